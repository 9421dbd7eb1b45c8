// Attributes, times and errno values of the kernel in the words of the port, and back. Nothing here asks the kernel.
import { constants } from 'node:os';
import { fileProgram, type Program } from '@holdfast/linux';
import type { Attributes, Before, Errno, FileHandle, FileKind, FileTime, SetTime } from '../port.ts';

const { HANDLE_SPACE, STATX, UTIME_NOW, UTIME_OMIT } = fileProgram;

const KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0o10, 'regular'],
  [0o4, 'directory'],
  [0o12, 'symlink'],
  [0o6, 'block'],
  [0o2, 'character'],
  [0o1, 'fifo'],
  [0o14, 'socket'],
]);

const BLOCK_BYTES = 512n;

export function attributesAt(view: DataView, at: number): Attributes {
  const mode = view.getUint16(at + STATX.mode16, true);
  return {
    kind: KINDS.get(mode >> 12) ?? 'regular',
    mode: mode & 0o7777,
    links: view.getUint32(at + STATX.nlink32, true),
    uid: view.getUint32(at + STATX.uid32, true),
    gid: view.getUint32(at + STATX.gid32, true),
    sizeBytes: view.getBigUint64(at + STATX.size, true),
    usedBytes: view.getBigUint64(at + STATX.blocks512, true) * BLOCK_BYTES,
    device: {
      major: view.getUint32(at + STATX.rdevMajor32, true),
      minor: view.getUint32(at + STATX.rdevMinor32, true),
    },
    fileId: view.getBigUint64(at + STATX.inode, true),
    accessed: timeAt(view, at + STATX.accessed),
    modified: timeAt(view, at + STATX.modified),
    changed: timeAt(view, at + STATX.changed),
    born: timeAt(view, at + STATX.born),
  };
}

export function beforeAt(view: DataView, at: number): Before {
  return {
    sizeBytes: view.getBigUint64(at + STATX.size, true),
    modified: timeAt(view, at + STATX.modified),
    changed: timeAt(view, at + STATX.changed),
  };
}

/** struct statx_timestamp: seconds in two's complement, which 53 bits hold of every file system that is served. */
function timeAt(view: DataView, at: number): FileTime {
  const seconds = view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return { seconds, nanoseconds: view.getUint32(at + 8, true) };
}

/** Two of struct timespec for utimensat(2); undefined leaves it. */
export function timespecs(accessed: SetTime | undefined, modified: SetTime | undefined): bigint[] {
  return [...timespec(accessed), ...timespec(modified)];
}

function timespec(time: SetTime | undefined): bigint[] {
  if (time === undefined) return [0n, BigInt(UTIME_OMIT)];
  if (time === 'now') return [0n, BigInt(UTIME_NOW)];
  return [BigInt(time.seconds), BigInt(time.nanoseconds)];
}

/** A copy of what HANDLE_OF has written. */
export function handleAt(program: Program, at: number): FileHandle {
  return Uint8Array.prototype.slice.call(program.bytes, at + 4, at + 8 + program.view.getUint32(at, true));
}

/** The same of an entry of a listing, not copied. */
export function handleIn(bytes: Buffer, view: DataView, at: number): FileHandle {
  return bytes.subarray(at + 4, at + Math.min(HANDLE_SPACE, 8 + view.getUint32(at, true)));
}

const NAMES = new Map<number, Errno>(Object.entries(constants.errno).map(([name, number]) => [number, name]));
// Names of the port, and of two names the one it has.
for (const [number, name] of [
  [constants.errno.EOPNOTSUPP, 'EOPNOTSUPP'],
  [constants.errno.ECANCELED, 'EGUARD'],
  // A lease that is being taken back; descriptors or memory that are short.
  [constants.errno.EAGAIN, 'EBUSYNOW'],
  [constants.errno.EMFILE, 'EBUSYNOW'],
  [constants.errno.ENFILE, 'EBUSYNOW'],
  [constants.errno.ENOMEM, 'EBUSYNOW'],
] as const) {
  NAMES.set(number, name);
}

export function errnoName(number: number): Errno {
  return NAMES.get(number) ?? `E${number}`;
}
