// Owns the table of the procedures of NFS version 3 (RFC 1813, section 3.3), by name and by number.
import * as args from './nfs3_arguments.ts';
import { NFS_PROGRAM } from './nfs3_constants.ts';
import { encodeListing, LISTING_RESULT_BYTES_MAX, listingResultBytes } from './nfs3_listing.ts';
import * as results from './nfs3_results.ts';
import { type ArgumentsOf, decodeNothing, encodeNothing, type Program, type ResultOf } from './procedure.ts';

const BYTES = results.RESULT_BYTES_MAX;

/**
 * In the order of their numbers. WRITE counts as not idempotent: an original that hangs in the storage and is done
 * after its retransmission and a later WRITE would undo that one. SETATTR does because of its guard, and of sizes.
 */
export const NFS3_PROCEDURES = {
  NULL: {
    number: 0,
    name: 'NULL',
    decode: decodeNothing,
    encode: encodeNothing,
    idempotent: true,
    resultBytesMax: 0,
  },
  GETATTR: {
    number: 1,
    name: 'GETATTR',
    decode: args.decodeHandleArguments,
    encode: results.encodeGetattr,
    idempotent: true,
    resultBytesMax: BYTES.getattr,
  },
  SETATTR: {
    number: 2,
    name: 'SETATTR',
    decode: args.decodeSetattr,
    encode: results.encodeWcc,
    idempotent: false,
    resultBytesMax: BYTES.wcc,
  },
  LOOKUP: {
    number: 3,
    name: 'LOOKUP',
    decode: args.decodeNameArguments,
    encode: results.encodeLookup,
    idempotent: true,
    resultBytesMax: BYTES.lookup,
  },
  ACCESS: {
    number: 4,
    name: 'ACCESS',
    decode: args.decodeAccess,
    encode: results.encodeAccess,
    idempotent: true,
    resultBytesMax: BYTES.access,
  },
  READLINK: {
    number: 5,
    name: 'READLINK',
    decode: args.decodeHandleArguments,
    encode: results.encodeReadlink,
    idempotent: true,
    resultBytesMax: BYTES.readlink,
  },
  READ: {
    number: 6,
    name: 'READ',
    decode: args.decodeRead,
    encode: results.encodeRead,
    idempotent: true,
    resultBytesMax: BYTES.read,
    resultBytes: ({ count }: args.ReadArguments) => results.readResultBytes(count),
  },
  WRITE: {
    number: 7,
    name: 'WRITE',
    decode: args.decodeWrite,
    encode: results.encodeWrite,
    idempotent: false,
    resultBytesMax: BYTES.write,
  },
  CREATE: {
    number: 8,
    name: 'CREATE',
    decode: args.decodeCreate,
    encode: results.encodeCreate,
    idempotent: false,
    resultBytesMax: BYTES.create,
  },
  MKDIR: {
    number: 9,
    name: 'MKDIR',
    decode: args.decodeMkdir,
    encode: results.encodeCreate,
    idempotent: false,
    resultBytesMax: BYTES.create,
  },
  SYMLINK: {
    number: 10,
    name: 'SYMLINK',
    decode: args.decodeSymlink,
    encode: results.encodeCreate,
    idempotent: false,
    resultBytesMax: BYTES.create,
  },
  MKNOD: {
    number: 11,
    name: 'MKNOD',
    decode: args.decodeMknod,
    encode: results.encodeCreate,
    idempotent: false,
    resultBytesMax: BYTES.create,
  },
  REMOVE: {
    number: 12,
    name: 'REMOVE',
    decode: args.decodeNameArguments,
    encode: results.encodeWcc,
    idempotent: false,
    resultBytesMax: BYTES.wcc,
  },
  RMDIR: {
    number: 13,
    name: 'RMDIR',
    decode: args.decodeNameArguments,
    encode: results.encodeWcc,
    idempotent: false,
    resultBytesMax: BYTES.wcc,
  },
  RENAME: {
    number: 14,
    name: 'RENAME',
    decode: args.decodeRename,
    encode: results.encodeRename,
    idempotent: false,
    resultBytesMax: BYTES.rename,
  },
  LINK: {
    number: 15,
    name: 'LINK',
    decode: args.decodeLink,
    encode: results.encodeLink,
    idempotent: false,
    resultBytesMax: BYTES.link,
  },
  READDIR: {
    number: 16,
    name: 'READDIR',
    decode: args.decodeReaddir,
    encode: encodeListing,
    idempotent: true,
    resultBytesMax: LISTING_RESULT_BYTES_MAX,
    resultBytes: listingResultBytes,
  },
  READDIRPLUS: {
    number: 17,
    name: 'READDIRPLUS',
    decode: args.decodeReaddirplus,
    encode: encodeListing,
    idempotent: true,
    resultBytesMax: LISTING_RESULT_BYTES_MAX,
    resultBytes: listingResultBytes,
  },
  FSSTAT: {
    number: 18,
    name: 'FSSTAT',
    decode: args.decodeHandleArguments,
    encode: results.encodeFsstat,
    idempotent: true,
    resultBytesMax: BYTES.fsstat,
  },
  FSINFO: {
    number: 19,
    name: 'FSINFO',
    decode: args.decodeHandleArguments,
    encode: results.encodeFsinfo,
    idempotent: true,
    resultBytesMax: BYTES.fsinfo,
  },
  PATHCONF: {
    number: 20,
    name: 'PATHCONF',
    decode: args.decodeHandleArguments,
    encode: results.encodePathconf,
    idempotent: true,
    resultBytesMax: BYTES.pathconf,
  },
  COMMIT: {
    number: 21,
    name: 'COMMIT',
    decode: args.decodeCommit,
    encode: results.encodeCommit,
    idempotent: true,
    resultBytesMax: BYTES.commit,
  },
} as const;

export type Nfs3Name = keyof typeof NFS3_PROCEDURES;
export type Nfs3Arguments<Name extends Nfs3Name> = ArgumentsOf<(typeof NFS3_PROCEDURES)[Name]>;
export type Nfs3Result<Name extends Nfs3Name> = ResultOf<(typeof NFS3_PROCEDURES)[Name]>;

/** One function a procedure: what serves version 3. */
export type Nfs3Handlers<Context> = {
  readonly [Name in Nfs3Name]: (args: Nfs3Arguments<Name>, context: Context) => Nfs3Result<Name>;
};

export const NFS3: Program = {
  number: NFS_PROGRAM,
  version: 3,
  name: 'nfs',
  procedures: Object.values(NFS3_PROCEDURES),
};
