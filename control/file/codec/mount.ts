// Owns MOUNT version 3 (RFC 1813, appendix I): its numbers, arguments, results and table.
import { NFS3_FHSIZE } from './nfs3_constants.ts';
import { type ArgumentsOf, decodeNothing, encodeNothing, type Program, type ResultOf } from './procedure.ts';
import { emptySpan, padded, type Span, type XdrReader, type XdrWriter } from './xdr.ts';

export const MOUNT_PROGRAM = 100_005;

/** mountstat3. */
export const MOUNTSTAT3 = {
  MNT3_OK: 0,
  MNT3ERR_PERM: 1,
  MNT3ERR_NOENT: 2,
  MNT3ERR_IO: 5,
  MNT3ERR_ACCES: 13,
  MNT3ERR_NOTDIR: 20,
  MNT3ERR_INVAL: 22,
  MNT3ERR_NAMETOOLONG: 63,
  MNT3ERR_NOTSUPP: 10_004,
  MNT3ERR_SERVERFAULT: 10_006,
} as const;

export type Mountstat3 = (typeof MOUNTSTAT3)[keyof typeof MOUNTSTAT3];

export const MNTPATHLEN = 1024;
export const MNTNAMLEN = 255;
/** Lists are cut where they would be longer: this program has no way to go on with a list. */
export const MOUNT_LIST_BYTES_MAX = 512 << 10;
/** More flavors there are not. */
const FLAVORS_MAX = 8;

export interface PathArguments {
  readonly path: Span;
}

export type MntResult =
  | {
      readonly status: typeof MOUNTSTAT3.MNT3_OK;
      readonly handle: Uint8Array;
      readonly flavors: readonly number[];
    }
  | { readonly status: Exclude<Mountstat3, typeof MOUNTSTAT3.MNT3_OK> };

/** mountbody: who has mounted what, as far as is known. */
export interface DumpResult {
  readonly mounts: readonly { readonly hostname: Uint8Array; readonly directory: Uint8Array }[];
}

/** exportnode: no groups is everybody. */
export interface ExportResult {
  readonly exports: readonly { readonly directory: Uint8Array; readonly groups: readonly Uint8Array[] }[];
}

const pathArguments: PathArguments = { path: emptySpan() };

function decodePath(reader: XdrReader): PathArguments {
  reader.opaque(pathArguments.path, MNTPATHLEN);
  return pathArguments;
}

function encodeMnt(writer: XdrWriter, result: MntResult): void {
  writer.u32(result.status);
  if (result.status !== MOUNTSTAT3.MNT3_OK) return;
  writer.opaque(result.handle);
  writer.u32(result.flavors.length);
  for (const flavor of result.flavors) writer.u32(flavor);
}

function encodeDump(writer: XdrWriter, { mounts }: DumpResult): void {
  const end = writer.offset + MOUNT_LIST_BYTES_MAX - 4;
  for (const { hostname, directory } of mounts) {
    if (writer.offset + 4 + stringBytes(hostname) + stringBytes(directory) > end) break;
    writer.bool(true);
    writer.opaque(hostname);
    writer.opaque(directory);
  }
  writer.bool(false);
}

function encodeExport(writer: XdrWriter, { exports }: ExportResult): void {
  const end = writer.offset + MOUNT_LIST_BYTES_MAX - 4;
  for (const { directory, groups } of exports) {
    const groupBytes = groups.reduce((bytes, group) => bytes + 4 + stringBytes(group), 4);
    if (writer.offset + 4 + stringBytes(directory) + groupBytes > end) break;
    writer.bool(true);
    writer.opaque(directory);
    for (const group of groups) {
      writer.bool(true);
      writer.opaque(group);
    }
    writer.bool(false);
  }
  writer.bool(false);
}

function stringBytes(text: Uint8Array): number {
  return 4 + padded(text.length);
}

/** Taking a mount off a list twice does no harm; the list is advice (section 5.2.0 of the appendix). */
export const MOUNT3_PROCEDURES = {
  NULL: {
    number: 0,
    name: 'NULL',
    decode: decodeNothing,
    encode: encodeNothing,
    idempotent: true,
    resultBytesMax: 0,
  },
  MNT: {
    number: 1,
    name: 'MNT',
    decode: decodePath,
    encode: encodeMnt,
    idempotent: true,
    resultBytesMax: 4 + 4 + NFS3_FHSIZE + 4 + 4 * FLAVORS_MAX,
  },
  DUMP: {
    number: 2,
    name: 'DUMP',
    decode: decodeNothing,
    encode: encodeDump,
    idempotent: true,
    resultBytesMax: MOUNT_LIST_BYTES_MAX,
  },
  UMNT: {
    number: 3,
    name: 'UMNT',
    decode: decodePath,
    encode: encodeNothing,
    idempotent: true,
    resultBytesMax: 0,
  },
  UMNTALL: {
    number: 4,
    name: 'UMNTALL',
    decode: decodeNothing,
    encode: encodeNothing,
    idempotent: true,
    resultBytesMax: 0,
  },
  EXPORT: {
    number: 5,
    name: 'EXPORT',
    decode: decodeNothing,
    encode: encodeExport,
    idempotent: true,
    resultBytesMax: MOUNT_LIST_BYTES_MAX,
  },
} as const;

export type Mount3Name = keyof typeof MOUNT3_PROCEDURES;
export type Mount3Arguments<Name extends Mount3Name> = ArgumentsOf<(typeof MOUNT3_PROCEDURES)[Name]>;
export type Mount3Result<Name extends Mount3Name> = ResultOf<(typeof MOUNT3_PROCEDURES)[Name]>;

export const MOUNT3: Program = {
  number: MOUNT_PROGRAM,
  version: 3,
  name: 'mount',
  procedures: Object.values(MOUNT3_PROCEDURES),
};
