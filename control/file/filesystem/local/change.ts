// Operations that change files: attributes, data, space.
import { fileProgram, type Program } from '@holdfast/linux';
import {
  type Answer,
  type Caller,
  type Changed,
  type Errno,
  type Failed,
  type FileHandle,
  type FileTime,
  type NewAttributes,
  NO_CHANGE,
  type Stability,
  TRANSFER_BYTES_MAX,
} from '../port.ts';
import { timespecs } from './attributes.ts';
import type { Engine } from './engine.ts';
import { badHandle, changeOf, firstOf, resolve, statxAfter, type Watched, watch } from './steps.ts';

const { FLAG, OPERATION } = fileProgram;

const FILE = 0;
const OPEN = 1;
const SOURCE = 2;
const SOURCE_OPEN = 3;
const OFFSET_MAX = 2n ** 63n - 1n;
/** To the kernel: leave it. */
const SAME_ID = 0xffff_ffff;
const DATA_ONLY = 1;
const ALL = 0;
const COPY_BYTES_MAX = 2n ** 30n;
/** FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE of fallocate(2). */
const ALLOCATE = { reserve: 1, grow: 0, punch: 2 | 1, zero: 0x10 | 1 } as const;

const refuse = (errno: Errno): Failed & { change: typeof NO_CHANGE } => ({
  ok: false,
  errno,
  change: NO_CHANGE,
});

/** The attributes that are set on an open or named file, in the order of the contract; the size needs OPEN. */
export function setSteps(program: Program, register: number, set: NewAttributes): void {
  const { uid = SAME_ID, gid = SAME_ID, mode, accessed, modified } = set;
  if (uid !== SAME_ID || gid !== SAME_ID) {
    program.add(OPERATION.CHOWN, { a: register, xLow: uid | 0, xHigh: gid | 0 });
  }
  if (mode !== undefined) program.add(OPERATION.CHMOD, { a: register, xLow: mode & 0o7777 });
  if (accessed !== undefined || modified !== undefined) {
    const offset = program.putBigInts(...timespecs(accessed, modified));
    program.add(OPERATION.UTIMENS, { a: register, offset });
  }
}

export function setAttributes(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  set: NewAttributes,
  guard: FileTime | undefined,
): Answer<Changed> {
  const { sizeBytes } = set;
  const bad = firstOf(
    badHandle(file),
    sizeBytes !== undefined && (sizeBytes < 0n || sizeBytes > OFFSET_MAX) ? 'EFBIG' : undefined,
    // The kernel's word for "leave it" is nobody's number.
    set.uid === SAME_ID || set.gid === SAME_ID ? 'EINVAL' : undefined,
  );
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  return engine.run<Changed>({
    caller,
    write: (program) => {
      resolve(program, FILE, file);
      watched = watch(program, FILE);
      if (guard !== undefined) {
        const wanted = { x: BigInt(guard.seconds), y: guard.nanoseconds };
        program.add(OPERATION.GUARD, { offset: watched.before.offset, ...wanted });
      }
      if (sizeBytes !== undefined) {
        program.add(OPERATION.OPEN_FILE, { a: OPEN, b: FILE, flags: FLAG.WRITES | FLAG.OWNER_PASSES });
        program.add(OPERATION.FTRUNCATE, { a: OPEN, x: sizeBytes });
      }
      setSteps(program, FILE, set);
      watched.after = statxAfter(program, FILE);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined ? { ok: true, change } : { ok: false, errno, change };
    },
    refuse,
  });
}

export function write(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  offset: bigint,
  data: Uint8Array,
  stability: Stability,
): Answer<Changed<{ writtenBytes: number }>> {
  if (data.length > TRANSFER_BYTES_MAX)
    throw new RangeError(`a write has at most ${TRANSFER_BYTES_MAX} bytes`);
  const tooFar = offset < 0n || offset > OFFSET_MAX - BigInt(data.length);
  const bad = firstOf(badHandle(file), tooFar ? 'EFBIG' : undefined);
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  let step = 0;
  return engine.run<Changed<{ writtenBytes: number }>>({
    caller,
    data,
    write: (program) => {
      resolve(program, FILE, file);
      watched = watch(program, FILE);
      const place = { offset: 0, length: data.length, x: offset };
      step = program.add(OPERATION.WRITE_FILE, { a: FILE, flags: FLAG.OWNER_PASSES, ...place });
      watched.after = statxAfter(program, FILE);
      if (stability === 'unstable') return;
      // Others may write meanwhile: they need not wait for the disk.
      program.add(OPERATION.SERIALISE, {});
      program.add(OPERATION.OPEN_FILE, { a: OPEN, b: FILE, flags: FLAG.WRITES | FLAG.OWNER_PASSES });
      program.add(OPERATION.FSYNC, { a: OPEN, y: stability === 'data' ? DATA_ONLY : ALL });
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      if (errno !== undefined) return { ok: false, errno, change };
      return { ok: true, writtenBytes: program.result(step), change };
    },
    refuse,
  });
}

export function commit(engine: Engine, caller: Caller, file: FileHandle): Answer<Changed> {
  const bad = badHandle(file);
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  return engine.run<Changed>({
    caller,
    write: (program) => {
      resolve(program, FILE, file);
      // It changes nothing, so what is true at one moment is both before and after.
      watched = watch(program, FILE);
      watched.after = watched.before;
      program.add(OPERATION.SERIALISE, {});
      program.add(OPERATION.OPEN_FILE, { a: OPEN, b: FILE, flags: FLAG.WRITES | FLAG.OWNER_PASSES });
      program.add(OPERATION.FSYNC, { a: OPEN, y: DATA_ONLY });
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined ? { ok: true, change } : { ok: false, errno, change };
    },
    refuse,
  });
}

export function allocate(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  offset: bigint,
  sizeBytes: bigint,
  what: keyof typeof ALLOCATE,
): Answer<Changed> {
  const tooFar = offset < 0n || sizeBytes < 0n || offset > OFFSET_MAX - sizeBytes;
  const bad = firstOf(badHandle(file), tooFar ? 'EFBIG' : undefined);
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  return engine.run<Changed>({
    caller,
    write: (program) => {
      resolve(program, FILE, file);
      watched = watch(program, FILE);
      program.add(OPERATION.OPEN_FILE, { a: OPEN, b: FILE, flags: FLAG.WRITES | FLAG.OWNER_PASSES });
      const length = program.putBigInts(sizeBytes);
      program.add(OPERATION.FALLOCATE, { a: OPEN, x: offset, y: ALLOCATE[what], offset: length });
      watched.after = statxAfter(program, FILE);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined ? { ok: true, change } : { ok: false, errno, change };
    },
    refuse,
  });
}

export function copy(
  engine: Engine,
  caller: Caller,
  from: { readonly file: FileHandle; readonly offset: bigint },
  to: { readonly file: FileHandle; readonly offset: bigint },
  sizeBytes: bigint,
): Answer<Changed<{ copiedBytes: number }>> {
  const length = sizeBytes > COPY_BYTES_MAX ? COPY_BYTES_MAX : sizeBytes;
  const tooFar = length < 0n || from.offset > OFFSET_MAX - length || to.offset > OFFSET_MAX - length;
  const bad = firstOf(badHandle(from.file), badHandle(to.file), tooFar ? 'EFBIG' : undefined);
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  let step = 0;
  return engine.run<Changed<{ copiedBytes: number }>>({
    caller,
    write: (program) => {
      resolve(program, FILE, to.file);
      resolve(program, SOURCE, from.file);
      watched = watch(program, FILE);
      program.add(OPERATION.OPEN_FILE, { a: SOURCE_OPEN, b: SOURCE, flags: FLAG.OWNER_PASSES });
      program.add(OPERATION.OPEN_FILE, { a: OPEN, b: FILE, flags: FLAG.WRITES | FLAG.OWNER_PASSES });
      const range = program.putBigInts(from.offset, to.offset, length);
      step = program.add(OPERATION.COPY_RANGE, { a: SOURCE_OPEN, b: OPEN, offset: range });
      watched.after = statxAfter(program, FILE);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      if (errno !== undefined) return { ok: false, errno, change };
      return { ok: true, copiedBytes: program.result(step), change };
    },
    refuse,
  });
}
