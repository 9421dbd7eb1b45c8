// Owns the results of the procedures of NFS version 3 (RFC 1813, section 3.3) but for listings (nfs3_listing.ts). What
// goes with a refusal is what goes with success, less what only success has: attributes are sent either way.
import {
  encodeFattr3,
  encodePostOpAttr,
  encodeWccData,
  FATTR3_BYTES,
  type Fattr3,
  POST_OP_ATTR_BYTES,
  WCC_DATA_BYTES,
  type WccData,
} from './nfs3_attributes.ts';
import {
  NFS3_FHSIZE,
  NFSSTAT3,
  type Nfsstat3,
  PATH_BYTES_MAX,
  TRANSFER_BYTES_MAX,
} from './nfs3_constants.ts';
import { padded, type XdrWriter } from './xdr.ts';

type Refused = Exclude<Nfsstat3, typeof NFSSTAT3.NFS3_OK>;

/** Success with `Ok`, or a refusal; `Always` goes with both. */
type Outcome<Ok, Always = unknown> = Always &
  (({ readonly status: typeof NFSSTAT3.NFS3_OK } & Ok) | { readonly status: Refused });

type WithAttributes = { readonly attributes: Fattr3 | undefined };
type WithWcc = { readonly wcc: WccData };

export type GetattrResult = Outcome<{ readonly attributes: Fattr3 }>;
/** SETATTR, REMOVE, RMDIR. */
export type WccResult = { readonly status: Nfsstat3 } & WithWcc;
export type LookupResult = Outcome<
  { readonly handle: Uint8Array } & WithAttributes,
  { readonly directory: Fattr3 | undefined }
>;
export type AccessResult = Outcome<{ readonly access: number }, WithAttributes>;
export type ReadlinkResult = Outcome<{ readonly path: Uint8Array }, WithAttributes>;
/** The data stands at `readDataOffset` already. */
export type ReadResult = Outcome<{ readonly count: number; readonly eof: boolean }, WithAttributes>;
/** `committed` is a value of STABLE_HOW, not below what was asked for; `verifier` has 8 bytes. */
export type WriteResult = Outcome<
  { readonly count: number; readonly committed: number; readonly verifier: Uint8Array },
  WithWcc
>;
/** CREATE, MKDIR, SYMLINK, MKNOD; `wcc` is the directory's. */
export type CreateResult = Outcome<{ readonly handle: Uint8Array | undefined } & WithAttributes, WithWcc>;
export type RenameResult = { readonly status: Nfsstat3; readonly from: WccData; readonly to: WccData };
export type LinkResult = { readonly status: Nfsstat3 } & WithAttributes & WithWcc;
export type CommitResult = Outcome<{ readonly verifier: Uint8Array }, WithWcc>;

export type FsstatResult = Outcome<
  {
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly availableBytes: number;
    readonly totalFiles: number;
    readonly freeFiles: number;
    readonly availableFiles: number;
    /** Seconds for which this is not expected to change. */
    readonly invarsec: number;
  },
  WithAttributes
>;

export type FsinfoResult = Outcome<
  {
    readonly rtmax: number;
    readonly rtpref: number;
    readonly rtmult: number;
    readonly wtmax: number;
    readonly wtpref: number;
    readonly wtmult: number;
    readonly dtpref: number;
    readonly maxfilesize: number;
    readonly timeDeltaSeconds: number;
    readonly timeDeltaNanoseconds: number;
    /** Bits of FSF3. */
    readonly properties: number;
  },
  WithAttributes
>;

export type PathconfResult = Outcome<
  {
    readonly linkmax: number;
    readonly nameMax: number;
    readonly noTrunc: boolean;
    readonly chownRestricted: boolean;
    readonly caseInsensitive: boolean;
    readonly casePreserving: boolean;
  },
  WithAttributes
>;

const OK = NFSSTAT3.NFS3_OK;
const STATUS_BYTES = 4;
const HANDLE_BYTES_MAX = 4 + NFS3_FHSIZE;
/** Between status and data of READ, where there are attributes: count, eof, length of the data. */
const READ_HEAD_BYTES = POST_OP_ATTR_BYTES + 12;

export const RESULT_BYTES_MAX = {
  getattr: STATUS_BYTES + FATTR3_BYTES,
  wcc: STATUS_BYTES + WCC_DATA_BYTES,
  lookup: STATUS_BYTES + HANDLE_BYTES_MAX + 2 * POST_OP_ATTR_BYTES,
  access: STATUS_BYTES + POST_OP_ATTR_BYTES + 4,
  readlink: STATUS_BYTES + POST_OP_ATTR_BYTES + 4 + PATH_BYTES_MAX,
  read: STATUS_BYTES + READ_HEAD_BYTES + TRANSFER_BYTES_MAX,
  write: STATUS_BYTES + WCC_DATA_BYTES + 4 + 4 + 8,
  create: STATUS_BYTES + 4 + HANDLE_BYTES_MAX + POST_OP_ATTR_BYTES + WCC_DATA_BYTES,
  rename: STATUS_BYTES + 2 * WCC_DATA_BYTES,
  link: STATUS_BYTES + POST_OP_ATTR_BYTES + WCC_DATA_BYTES,
  fsstat: STATUS_BYTES + POST_OP_ATTR_BYTES + 6 * 8 + 4,
  fsinfo: STATUS_BYTES + POST_OP_ATTR_BYTES + 7 * 4 + 8 + 8 + 4,
  pathconf: STATUS_BYTES + POST_OP_ATTR_BYTES + 6 * 4,
  commit: STATUS_BYTES + WCC_DATA_BYTES + 8,
} as const;

/** What a READ of `count` bytes takes at most; more than TRANSFER_BYTES_MAX must not be read. */
export function readResultBytes(count: number): number {
  return STATUS_BYTES + READ_HEAD_BYTES + padded(Math.min(count, TRANSFER_BYTES_MAX));
}

export function encodeGetattr(writer: XdrWriter, result: GetattrResult): void {
  writer.u32(result.status);
  if (result.status === OK) encodeFattr3(writer, result.attributes);
}

export function encodeWcc(writer: XdrWriter, result: WccResult): void {
  writer.u32(result.status);
  encodeWccData(writer, result.wcc);
}

export function encodeLookup(writer: XdrWriter, result: LookupResult): void {
  writer.u32(result.status);
  if (result.status === OK) {
    writer.opaque(result.handle);
    encodePostOpAttr(writer, result.attributes);
  }
  encodePostOpAttr(writer, result.directory);
}

export function encodeAccess(writer: XdrWriter, result: AccessResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status === OK) writer.u32(result.access);
}

export function encodeReadlink(writer: XdrWriter, result: ReadlinkResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status === OK) writer.opaque(result.path);
}

/**
 * Where READ puts its data before it encodes its result: the writer stands where the result will begin. There is room
 * for what `resultBytes` says.
 */
export function readDataOffset(writer: XdrWriter): number {
  return writer.offset + STATUS_BYTES + READ_HEAD_BYTES;
}

export function encodeRead(writer: XdrWriter, result: ReadResult): void {
  const data = readDataOffset(writer);
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status !== OK) return;
  const { count } = result;
  writer.u32(count);
  writer.bool(result.eof);
  writer.u32(count);
  // Without attributes the head is shorter than the room that was left for it.
  if (writer.offset !== data) writer.bytes.copyWithin(writer.offset, data, data + count);
  writer.offset += count;
  writer.pad(count);
}

export function encodeWrite(writer: XdrWriter, result: WriteResult): void {
  writer.u32(result.status);
  encodeWccData(writer, result.wcc);
  if (result.status !== OK) return;
  writer.u32(result.count);
  writer.u32(result.committed);
  encodeVerifier(writer, result.verifier);
}

export function encodeCreate(writer: XdrWriter, result: CreateResult): void {
  writer.u32(result.status);
  if (result.status === OK) {
    writer.bool(result.handle !== undefined);
    if (result.handle !== undefined) writer.opaque(result.handle);
    encodePostOpAttr(writer, result.attributes);
  }
  encodeWccData(writer, result.wcc);
}

export function encodeRename(writer: XdrWriter, result: RenameResult): void {
  writer.u32(result.status);
  encodeWccData(writer, result.from);
  encodeWccData(writer, result.to);
}

export function encodeLink(writer: XdrWriter, result: LinkResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  encodeWccData(writer, result.wcc);
}

export function encodeFsstat(writer: XdrWriter, result: FsstatResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status !== OK) return;
  writer.u64(result.totalBytes);
  writer.u64(result.freeBytes);
  writer.u64(result.availableBytes);
  writer.u64(result.totalFiles);
  writer.u64(result.freeFiles);
  writer.u64(result.availableFiles);
  writer.u32(result.invarsec);
}

export function encodeFsinfo(writer: XdrWriter, result: FsinfoResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status !== OK) return;
  writer.u32(result.rtmax);
  writer.u32(result.rtpref);
  writer.u32(result.rtmult);
  writer.u32(result.wtmax);
  writer.u32(result.wtpref);
  writer.u32(result.wtmult);
  writer.u32(result.dtpref);
  writer.u64(result.maxfilesize);
  writer.u32(result.timeDeltaSeconds);
  writer.u32(result.timeDeltaNanoseconds);
  writer.u32(result.properties);
}

export function encodePathconf(writer: XdrWriter, result: PathconfResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.attributes);
  if (result.status !== OK) return;
  writer.u32(result.linkmax);
  writer.u32(result.nameMax);
  writer.bool(result.noTrunc);
  writer.bool(result.chownRestricted);
  writer.bool(result.caseInsensitive);
  writer.bool(result.casePreserving);
}

export function encodeCommit(writer: XdrWriter, result: CommitResult): void {
  writer.u32(result.status);
  encodeWccData(writer, result.wcc);
  if (result.status === OK) encodeVerifier(writer, result.verifier);
}

/** writeverf3 has a fixed length, so none is sent. */
function encodeVerifier(writer: XdrWriter, verifier: Uint8Array): void {
  for (let i = 0; i < 8; i++) writer.bytes[writer.offset + i] = verifier[i]!;
  writer.offset += 8;
}
