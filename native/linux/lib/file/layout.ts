// Owns the numbers of a program's form, as src/file/program.h has them; test/native/linux/file_program.test.ts compares.

export const SLOT_BYTES = 8192;
export const HEADER_BYTES = 32;
export const INSTRUCTION_BYTES = 32;
export const INSTRUCTIONS_MAX = 32;
export const REGISTERS = 8;
export const STATX_BYTES = 256;
export const STATFS_BYTES = 120;
export const HANDLE_SPACE = 136;
export const LIST_ENTRY_BYTES = 24;

export const OPERATION = {
  HANDLE: 0,
  ROOT: 1,
  STATX: 2,
  OPENAT: 3,
  PARENT: 4,
  REOPEN: 5,
  HANDLE_OF: 6,
  FORGET: 7,
  PERMIT: 8,
  SERIALISE: 9,
  OPEN_FILE: 10,
  READ_FILE: 11,
  WRITE_FILE: 12,
  FTRUNCATE: 13,
  FALLOCATE: 14,
  FSYNC: 15,
  SYNC_RANGE: 16,
  COPY_RANGE: 17,
  SEEK: 18,
  MKDIRAT: 19,
  MKNODAT: 20,
  SYMLINKAT: 21,
  LINKAT: 22,
  RENAMEAT: 23,
  UNLINKAT: 24,
  READLINKAT: 25,
  CHMOD: 26,
  CHOWN: 27,
  UTIMENS: 28,
  STATFS: 29,
  LIST: 30,
  GETXATTR: 31,
  SETXATTR: 32,
  LISTXATTR: 33,
  REMOVEXATTR: 34,
  GUARD: 35,
} as const;

export const FLAG = {
  /** Failing does not end the program. */
  MAY_FAIL: 1,
  /** Is executed even when the program has failed. */
  ALWAYS: 2,
  /** The owner of a file may, whatever its mode; who may execute it may read it. */
  OWNER_PASSES: 4,
  /** HANDLE_OF keeps the descriptor for programs that name this handle. */
  KEEP: 8,
  /** OPEN_FILE for writing. */
  WRITES: 16,
  /** LIST with attributes and handles. */
  PLUS: 32,
} as const;

/** The result of an instruction that was not reached. */
export const NOT_RUN = -4096;

/** Of open(2), linkat(2) and faccessat(2), the same on every architecture that Node.js runs on. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_PATH = 0o10000000;
export const AT_REMOVEDIR = 0x200;
export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** Where struct statx has what; numbers of 64 bits unless another width is named. */
export const STATX = {
  blockBytes32: 4,
  nlink32: 16,
  uid32: 20,
  gid32: 24,
  mode16: 28,
  inode: 32,
  size: 40,
  blocks512: 48,
  accessed: 64,
  born: 80,
  changed: 96,
  modified: 112,
  rdevMajor32: 128,
  rdevMinor32: 132,
  devMajor32: 136,
  devMinor32: 140,
} as const;
