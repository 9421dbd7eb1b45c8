// Operations that change nothing: attributes, looking up, rights, reading, listing, space.
import { fileProgram } from '@holdfast/linux';
import {
  type Answer,
  type Attributes,
  type Caller,
  type Done,
  type Entry,
  type Errno,
  type Failed,
  type FileHandle,
  type FileName,
  LINK_TARGET_BYTES_MAX,
  LIST_ENTRIES_MAX,
  type Listing,
  type Made,
  type Rights,
  type SpaceState,
  TRANSFER_BYTES_MAX,
  VERIFIER_BYTES,
  type WhatToList,
} from '../port.ts';
import { attributesAt, handleIn } from './attributes.ts';
import { type Engine, ROOT_CALLER } from './engine.ts';
import { badHandle, badName, describe, firstOf, madeAt, openPath, resolve, statx } from './steps.ts';

const {
  FLAG,
  LIST_ENTRY_BYTES,
  OPERATION,
  R_OK,
  SEEK_DATA,
  SEEK_HOLE,
  STATFS_BYTES,
  STATX_BYTES,
  W_OK,
  X_OK,
} = fileProgram;

const FILE = 0;
const CHILD = 1;
const ROOT = 2;
/** Copying more at once would hold the event loop, and threads copy side by side. */
const AT_ONCE_BYTES_MAX = 64 * 1024;
const OFFSET_MAX = 2n ** 63n - 1n;
/** An entry with attributes; names are usually shorter than this leaves for them. */
const PLUS_BYTES = 480;
const PLAIN_BYTES = 64;
/** An entry with the longest name fits. */
const LISTING_BYTES_MIN = 1024;
const LISTING_BYTES_MAX = 1024 * 1024;
/** First byte of the verifiers of listings: another number for another kind of cookie. */
const COOKIES = 1;

const failed = (errno: Errno): Failed => ({ ok: false, errno });

export function attributesOf(
  engine: Engine,
  file: FileHandle,
): Answer<Done<{ attributes: Attributes }> | Failed> {
  const bad = badHandle(file);
  if (bad !== undefined) return failed(bad);
  let at = 0;
  return engine.run<Done<{ attributes: Attributes }> | Failed>({
    caller: ROOT_CALLER,
    atOnce: true,
    write: (program) => {
      resolve(program, FILE, file);
      at = statx(program, FILE);
    },
    read: (program, errno) =>
      errno === undefined ? { ok: true, attributes: attributesAt(program.view, at) } : failed(errno),
    refuse: failed,
  });
}

type LookedUp = (Done<Made> | Failed) & { readonly directory: Attributes | undefined };

export function lookUp(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
): Answer<LookedUp> {
  const refuse = (errno: Errno): LookedUp => ({ ok: false, errno, directory: undefined });
  const bad = firstOf(badHandle(directory), badName(name));
  if (bad !== undefined) return refuse(bad);
  let at = 0;
  let stated = 0;
  let permitted = 0;
  let child = { attributes: 0, handle: 0 };
  return engine.run<LookedUp>({
    caller,
    atOnce: true,
    write: (program) => {
      resolve(program, FILE, directory);
      at = program.room(STATX_BYTES);
      stated = program.add(OPERATION.STATX, { a: FILE, offset: at });
      permitted = program.add(OPERATION.PERMIT, { a: FILE, offset: at, y: X_OK });
      openPath(program, CHILD, FILE, name);
      child = describe(program, CHILD);
    },
    read: (program, errno) => {
      const attributes = program.result(stated) === 0 ? attributesAt(program.view, at) : undefined;
      if (errno === undefined) return { ok: true, ...madeAt(program, child), directory: attributes };
      // Of something else the right to search is not asked.
      const noDirectory = program.failedAt === permitted && attributes?.kind !== 'directory';
      return { ok: false, errno: noDirectory ? 'ENOTDIR' : errno, directory: attributes };
    },
    refuse,
  });
}

export function lookUpParent(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  root: FileHandle,
): Answer<Done<Made> | Failed> {
  const bad = firstOf(badHandle(directory), badHandle(root));
  if (bad !== undefined) return failed(bad);
  let parent = { attributes: 0, handle: 0 };
  return engine.run<Done<Made> | Failed>({
    caller,
    write: (program) => {
      resolve(program, FILE, directory);
      resolve(program, ROOT, root);
      program.add(OPERATION.PARENT, { a: CHILD, b: FILE, c: ROOT });
      parent = describe(program, CHILD);
    },
    read: (program, errno) =>
      errno === undefined ? { ok: true, ...madeAt(program, parent) } : failed(errno),
    refuse: failed,
  });
}

type RightsAnswer = Done<{ rights: Rights; attributes: Attributes }> | Failed;

export function rightsOf(engine: Engine, caller: Caller, file: FileHandle): Answer<RightsAnswer> {
  const bad = badHandle(file);
  if (bad !== undefined) return failed(bad);
  let at = 0;
  let asked = [0, 0, 0];
  return engine.run<RightsAnswer>({
    caller,
    atOnce: true,
    write: (program) => {
      resolve(program, FILE, file);
      at = statx(program, FILE);
      asked = [R_OK, W_OK, X_OK].map((y) =>
        program.add(OPERATION.PERMIT, { a: FILE, flags: FLAG.MAY_FAIL, offset: at, y }),
      );
    },
    read: (program, errno) => {
      if (errno !== undefined) return failed(errno);
      const [read, write, execute] = asked.map((step) => program.result(step) === 0) as [
        boolean,
        boolean,
        boolean,
      ];
      return { ok: true, rights: { read, write, execute }, attributes: attributesAt(program.view, at) };
    },
    refuse: failed,
  });
}

type Target = Done<{ target: Uint8Array; attributes: Attributes }> | Failed;

export function readLink(engine: Engine, caller: Caller, link: FileHandle): Answer<Target> {
  const bad = badHandle(link);
  if (bad !== undefined) return failed(bad);
  let at = 0;
  let place = 0;
  let step = 0;
  return engine.run<Target>({
    caller,
    write: (program) => {
      resolve(program, FILE, link);
      at = statx(program, FILE);
      place = program.room(LINK_TARGET_BYTES_MAX);
      step = program.add(OPERATION.READLINKAT, { a: FILE, offset: place, length: LINK_TARGET_BYTES_MAX });
    },
    read: (program, errno) => {
      if (errno !== undefined) return failed(errno);
      const target = Uint8Array.prototype.slice.call(program.bytes, place, place + program.result(step));
      return { ok: true, target, attributes: attributesAt(program.view, at) };
    },
    refuse: failed,
  });
}

type ReadAnswer = Done<{ readBytes: number; atEnd: boolean; attributes: Attributes }> | Failed;

export function read(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  offset: bigint,
  into: Uint8Array,
): Answer<ReadAnswer> {
  if (into.length > TRANSFER_BYTES_MAX)
    throw new RangeError(`a read has at most ${TRANSFER_BYTES_MAX} bytes`);
  const bad = badHandle(file);
  if (bad !== undefined) return failed(bad);
  // Where no file can have bytes; the storage would call it a mistake.
  const length = offset > OFFSET_MAX - BigInt(into.length) ? 0 : into.length;
  let at = 0;
  let step = 0;
  return engine.run<ReadAnswer>({
    caller,
    data: into,
    atOnce: into.length <= AT_ONCE_BYTES_MAX,
    write: (program) => {
      resolve(program, FILE, file);
      at = program.room(STATX_BYTES);
      const where = { offset: 0, length, x: offset, y: at };
      step = program.add(OPERATION.READ_FILE, { a: FILE, flags: FLAG.OWNER_PASSES, ...where });
    },
    read: (program, errno) => {
      if (errno !== undefined) return failed(errno);
      const readBytes = program.result(step);
      const attributes = attributesAt(program.view, at);
      return { ok: true, readBytes, atEnd: offset + BigInt(readBytes) >= attributes.sizeBytes, attributes };
    },
    refuse: failed,
  });
}

export function seek(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  offset: bigint,
  what: 'data' | 'hole',
): Answer<Done<{ offset: bigint }> | Failed> {
  const bad = badHandle(file);
  if (bad !== undefined) return failed(bad);
  if (offset > OFFSET_MAX) return failed('ENXIO');
  let step = 0;
  return engine.run<Done<{ offset: bigint }> | Failed>({
    caller,
    write: (program) => {
      resolve(program, FILE, file);
      program.add(OPERATION.OPEN_FILE, { a: CHILD, b: FILE, flags: FLAG.OWNER_PASSES });
      step = program.add(OPERATION.SEEK, { a: CHILD, x: offset, y: what === 'data' ? SEEK_DATA : SEEK_HOLE });
    },
    read: (program, errno) => (errno === undefined ? { ok: true, offset: program.x(step) } : failed(errno)),
    refuse: failed,
  });
}

export function list(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  what: WhatToList,
): Answer<Done<Listing> | Failed> {
  const { cookie, entriesMax, plus } = what;
  if (!(entriesMax >= 1 && entriesMax <= LIST_ENTRIES_MAX)) {
    throw new RangeError(`a listing has 1 to ${LIST_ENTRIES_MAX} entries`);
  }
  const bad = badHandle(directory);
  if (bad !== undefined) return failed(bad);
  if (cookie > OFFSET_MAX) return failed('EBADCOOKIE');
  const wanted = entriesMax * (plus ? PLUS_BYTES : PLAIN_BYTES);
  const data = Buffer.allocUnsafeSlow(Math.min(LISTING_BYTES_MAX, Math.max(LISTING_BYTES_MIN, wanted)));
  let at = 0;
  let step = 0;
  return engine.run<Done<Listing> | Failed>({
    caller,
    data,
    write: (program) => {
      resolve(program, FILE, directory);
      at = statx(program, FILE);
      program.add(OPERATION.REOPEN, { a: CHILD, b: FILE });
      const place = { offset: 0, length: data.length, x: cookie };
      step = program.add(OPERATION.LIST, { a: CHILD, flags: plus ? FLAG.PLUS : 0, ...place });
    },
    read: (program, errno) => {
      const attributes = program.result(1) === 0 ? attributesAt(program.view, at) : undefined;
      // A device or a FIFO is not opened to find out.
      if (errno === 'EINVAL' && attributes !== undefined && attributes.kind !== 'directory')
        return failed('ENOTDIR');
      if (errno === 'EINVAL' && cookie !== 0n) return failed('EBADCOOKIE');
      if (errno !== undefined) return failed(errno);
      const verifier = verifierOf(attributes!);
      if (cookie !== 0n && Buffer.compare(verifier, what.verifier) !== 0) return failed('EBADCOOKIE');
      const all = entriesIn(data.subarray(0, program.result(step)), entriesMax);
      const atEnd = all.complete && program.x(step) === 1n;
      return { ok: true, entries: all.entries, atEnd, verifier, directory: attributes! };
    },
    refuse: failed,
  });
}

/**
 * The storage's cookies stay good while the directory lives, whatever changes in it. The verifier therefore says which
 * directory it was: number and birth, the same on all nodes.
 */
function verifierOf(directory: Attributes): Uint8Array {
  const bytes = Buffer.alloc(VERIFIER_BYTES);
  const { seconds, nanoseconds } = directory.born;
  bytes.writeUInt32BE(Number(directory.fileId & 0xffff_ffffn));
  bytes.writeUInt32BE((seconds ^ nanoseconds) >>> 0, 4);
  bytes[0] = COOKIES;
  return bytes;
}

function entriesIn(bytes: Buffer, entriesMax: number): { entries: Entry[]; complete: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: Entry[] = [];
  let at = 0;
  for (; at < bytes.length && entries.length < entriesMax; at += view.getUint32(at + 16, true)) {
    const nameBytes = view.getUint16(at + 20, true);
    const more = at + ((LIST_ENTRY_BYTES + nameBytes + 7) & ~7);
    entries.push({
      name: bytes.subarray(at + LIST_ENTRY_BYTES, at + LIST_ENTRY_BYTES + nameBytes),
      fileId: view.getBigUint64(at, true),
      cookie: view.getBigUint64(at + 8, true),
      file:
        bytes[at + 23] === 0
          ? undefined
          : { attributes: attributesAt(view, more), handle: handleIn(bytes, view, more + STATX_BYTES) },
    });
  }
  return { entries, complete: at >= bytes.length };
}

type SpaceAnswer = Done<{ space: SpaceState; attributes: Attributes }> | Failed;

export function spaceOf(engine: Engine, file: FileHandle): Answer<SpaceAnswer> {
  const bad = badHandle(file);
  if (bad !== undefined) return failed(bad);
  let at = 0;
  let place = 0;
  return engine.run<SpaceAnswer>({
    caller: ROOT_CALLER,
    write: (program) => {
      resolve(program, FILE, file);
      at = statx(program, FILE);
      place = program.room(STATFS_BYTES);
      program.add(OPERATION.STATFS, { a: FILE, offset: place });
    },
    read: (program, errno) => {
      if (errno !== undefined) return failed(errno);
      // struct statfs of 64-bit systems: words of 8 bytes.
      const word = (i: number): bigint => program.view.getBigUint64(place + i * 8, true);
      const blockBytes = word(9) === 0n ? word(1) : word(9);
      const space = {
        totalBytes: word(2) * blockBytes,
        freeBytes: word(3) * blockBytes,
        availableBytes: word(4) * blockBytes,
        totalFiles: word(5),
        freeFiles: word(6),
        nameBytesMax: Number(word(8)),
        blockBytes: Number(blockBytes),
      };
      return { ok: true, space, attributes: attributesAt(program.view, at) };
    },
    refuse: failed,
  });
}
