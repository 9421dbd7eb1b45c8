// The three requests of this benchmark as programs, and their replies.
import { FileStorage, fileProgram, type Program } from '@holdfast/linux';
import { REPLY_BYTES } from './frames.ts';

const { FLAG, OPERATION, HANDLE_SPACE, STATX, STATX_BYTES } = fileProgram;

export const CALLER = { uid: 1000, gid: 1000, groups: [1000, 1001, 1002, 1003, 1004] };

/** Where files are read, and where they are made. */
export type Paths = { readonly read: string; readonly make: string };

export class Requests {
  readonly reading: FileStorage;
  readonly making: FileStorage;
  readonly #credentials: ReadonlyMap<FileStorage, number>;
  readonly #file: Buffer;
  readonly #directory: Buffer;

  constructor(paths: Paths, threads: number) {
    this.reading = new FileStorage(paths.read, { threads });
    this.making = new FileStorage(paths.make, { threads });
    const { uid, gid, groups } = CALLER;
    this.#credentials = new Map(
      [this.reading, this.making].map((storage) => [storage, storage.addCredentials(uid, gid, groups)]),
    );
    this.#file = handleOf(this.reading, 'data');
    this.#directory = handleOf(this.making, 'made');
  }

  credentials(storage: FileStorage): number {
    return this.#credentials.get(storage)!;
  }

  getattr(program: Program): void {
    program.add(OPERATION.HANDLE, { a: 0, ...program.put(this.#file) });
    program.add(OPERATION.STATX, { a: 0, offset: program.room(STATX_BYTES) });
  }

  /** Attributes are where those of `getattr` are. */
  read(program: Program, offset: number, count: number): void {
    program.add(OPERATION.HANDLE, { a: 0, ...program.put(this.#file) });
    const attributes = program.room(STATX_BYTES);
    const step = { a: 0, flags: FLAG.OWNER_PASSES, offset: REPLY_BYTES, length: count };
    program.add(OPERATION.READ_FILE, { ...step, xLow: offset, y: attributes });
  }

  create(program: Program, name: string): void {
    program.add(OPERATION.HANDLE, { a: 0, ...program.put(this.#directory) });
    const attributes = program.room(STATX_BYTES);
    program.add(OPERATION.SERIALISE, { a: 0, b: 0 });
    program.add(OPERATION.STATX, { a: 0, offset: program.room(STATX_BYTES) });
    const made = fileProgram.O_CREAT | fileProgram.O_EXCL | fileProgram.O_WRONLY;
    program.add(OPERATION.OPENAT, {
      a: 1,
      b: 0,
      ...program.put(Buffer.from(name)),
      xLow: made,
      xHigh: 0o644,
    });
    program.add(OPERATION.HANDLE_OF, { a: 1, offset: program.room(HANDLE_SPACE) });
    program.add(OPERATION.STATX, { a: 1, offset: attributes });
    program.add(OPERATION.STATX, { a: 0, flags: FLAG.ALWAYS, offset: program.room(STATX_BYTES) });
  }

  /** Fills in the head of a reply; the data is behind it already. */
  answer(program: Program, reply: Buffer, number: number): void {
    reply.writeUInt32LE(reply.length, 0);
    reply.writeUInt32LE(number, 4);
    reply.writeInt32LE(program.error, 8);
    // What every file protocol takes out of attributes, as a codec would: one by one.
    const { view } = program;
    const at = ATTRIBUTES_AT;
    reply.writeUInt32BE(view.getUint16(at + STATX.mode16, true), 16);
    reply.writeUInt32BE(view.getUint32(at + STATX.nlink32, true), 20);
    reply.writeUInt32BE(view.getUint32(at + STATX.uid32, true), 24);
    reply.writeUInt32BE(view.getUint32(at + STATX.gid32, true), 28);
    reply.writeBigUInt64BE(view.getBigUint64(at + STATX.size, true), 32);
    reply.writeBigUInt64BE(view.getBigUint64(at + STATX.blocks512, true), 40);
    reply.writeBigUInt64BE(view.getBigUint64(at + STATX.inode, true), 48);
    for (const [i, time] of [STATX.accessed, STATX.modified, STATX.changed].entries()) {
      reply.writeUInt32BE(Number(view.getBigInt64(at + time, true)) >>> 0, 56 + i * 8);
      reply.writeUInt32BE(view.getUint32(at + time + 8, true), 60 + i * 8);
    }
  }
}

function handleOf(storage: FileStorage, name: string): Buffer {
  const program = storage.take()!;
  program.add(OPERATION.ROOT, { a: 0 });
  const path = { a: 1, b: 0, ...program.put(Buffer.from(name)), xLow: fileProgram.O_PATH };
  program.add(OPERATION.OPENAT, path);
  const place = program.room(HANDLE_SPACE);
  program.add(OPERATION.HANDLE_OF, { a: 1, offset: place });
  storage.runHere(program, storage.addCredentials(0, 0, []));
  if (program.error !== 0) throw new Error(`no handle of ${name}: errno ${program.error}`);
  const bytes = program.view.getUint32(place, true);
  const handle = Buffer.from(program.bytes.subarray(place + 4, place + 8 + bytes));
  storage.release(program);
  return handle;
}

/** Behind the handle: of ext4 12 bytes, of tmpfs 16, so 16 of the slot. */
const ATTRIBUTES_AT =
  fileProgram.HEADER_BYTES + fileProgram.INSTRUCTIONS_MAX * fileProgram.INSTRUCTION_BYTES + 16;
