// Owns the numbers of NFS version 3 (RFC 1813): statuses, types, modes of creation, bits, and the limits of its formats.

export const NFS_PROGRAM = 100_003;
/** Access control lists: another program, which Linux clients ask for on the same port. It is not served. */
export const NFSACL_PROGRAM = 100_227;

/** nfsstat3 of section 2.6. */
export const NFSSTAT3 = {
  NFS3_OK: 0,
  NFS3ERR_PERM: 1,
  NFS3ERR_NOENT: 2,
  NFS3ERR_IO: 5,
  NFS3ERR_NXIO: 6,
  NFS3ERR_ACCES: 13,
  NFS3ERR_EXIST: 17,
  NFS3ERR_XDEV: 18,
  NFS3ERR_NODEV: 19,
  NFS3ERR_NOTDIR: 20,
  NFS3ERR_ISDIR: 21,
  NFS3ERR_INVAL: 22,
  NFS3ERR_FBIG: 27,
  NFS3ERR_NOSPC: 28,
  NFS3ERR_ROFS: 30,
  NFS3ERR_MLINK: 31,
  NFS3ERR_NAMETOOLONG: 63,
  NFS3ERR_NOTEMPTY: 66,
  NFS3ERR_DQUOT: 69,
  NFS3ERR_STALE: 70,
  NFS3ERR_REMOTE: 71,
  NFS3ERR_BADHANDLE: 10_001,
  NFS3ERR_NOT_SYNC: 10_002,
  NFS3ERR_BAD_COOKIE: 10_003,
  NFS3ERR_NOTSUPP: 10_004,
  NFS3ERR_TOOSMALL: 10_005,
  NFS3ERR_SERVERFAULT: 10_006,
  NFS3ERR_BADTYPE: 10_007,
  NFS3ERR_JUKEBOX: 10_008,
} as const;

export type Nfsstat3 = (typeof NFSSTAT3)[keyof typeof NFSSTAT3];

export const FTYPE3 = {
  NF3REG: 1,
  NF3DIR: 2,
  NF3BLK: 3,
  NF3CHR: 4,
  NF3LNK: 5,
  NF3SOCK: 6,
  NF3FIFO: 7,
} as const;

/** How WRITE is to keep data, and has kept them; section 3.3.7. */
export const STABLE_HOW = { UNSTABLE: 0, DATA_SYNC: 1, FILE_SYNC: 2 } as const;

/** How CREATE is to take a file that exists; section 3.3.8. */
export const CREATEMODE3 = { UNCHECKED: 0, GUARDED: 1, EXCLUSIVE: 2 } as const;

/** What SETATTR and creations do to a time; section 2.6. */
export const TIME_HOW = { DONT_CHANGE: 0, SET_TO_SERVER_TIME: 1, SET_TO_CLIENT_TIME: 2 } as const;

/** Bits of ACCESS; section 3.3.4. */
export const ACCESS3 = {
  READ: 0x01,
  LOOKUP: 0x02,
  MODIFY: 0x04,
  EXTEND: 0x08,
  DELETE: 0x10,
  EXECUTE: 0x20,
} as const;

/** Properties of FSINFO; section 3.3.19. */
export const FSF3 = { LINK: 0x01, SYMLINK: 0x02, HOMOGENEOUS: 0x08, CANSETTIME: 0x10 } as const;

export const NFS3_FHSIZE = 64;
export const NAME_BYTES_MAX = 255;
export const PATH_BYTES_MAX = 4096;

/** Most data of one READ or WRITE that this codec is made for; FSINFO must not offer more. */
export const TRANSFER_BYTES_MAX = 1 << 20;
/** Most bytes of one call: a WRITE of that many, its handle, and the longest head that RFC 5531 allows. */
export const CALL_BYTES_MAX = TRANSFER_BYTES_MAX + 8192;
/** Most bytes of one answer of READDIR and READDIRPLUS, whatever is asked for. */
export const LISTING_BYTES_MAX = 1 << 20;

const NUL = 0x00;
const SLASH = 0x2f;
const DOT = 0x2e;

/** Whether a component may be looked up: `.` and `..` may. Bytes that are no UTF-8 may. Statuses are those of section 3.2. */
export function checkName(bytes: Uint8Array, offset: number, length: number): Nfsstat3 {
  if (length > NAME_BYTES_MAX) return NFSSTAT3.NFS3ERR_NAMETOOLONG;
  if (length === 0) return NFSSTAT3.NFS3ERR_ACCES;
  for (let at = offset; at < offset + length; at++)
    if (bytes[at] === NUL || bytes[at] === SLASH) return NFSSTAT3.NFS3ERR_ACCES;
  return NFSSTAT3.NFS3_OK;
}

/** Whether the name is `.` or `..`, which nothing can be made, removed or renamed as. */
export function isDotOrDotDot(bytes: Uint8Array, offset: number, length: number): boolean {
  if (length !== 1 && length !== 2) return false;
  return bytes[offset] === DOT && bytes[offset + length - 1] === DOT;
}
