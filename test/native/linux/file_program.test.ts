// Programs of a storage as the addon executes them: the form both halves agree on, plain system calls, and programs that
// are wrong in every way.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStorage, fileProgram, type Program, SystemError } from '@holdfast/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { binding } from '../../../native/linux/lib/binding.ts';

const { FLAG, OPERATION } = fileProgram;
const EACCES = 13;
const EINVAL = 22;
const ENODATA = 61;

let path: string;
let storage: FileStorage;
let asRoot: number;
let asUser: number;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'hf-program-'));
  chmodSync(path, 0o777);
  storage = new FileStorage(path, { threads: 2, programs: 8 });
  asRoot = storage.addCredentials(0, 0, []);
  asUser = storage.addCredentials(61_001, 62_001, [62_900]);
});
afterEach(() => {
  storage.close();
  rmSync(path, { recursive: true });
});

/** On a thread of the storage; `read` sees the results. */
async function run<T>(
  write: (program: Program) => void,
  read: (program: Program) => T,
  credentials = asRoot,
  data?: Uint8Array,
): Promise<T> {
  const program = storage.take()!;
  try {
    write(program);
    await new Promise<void>((resolve) => storage.submit(program, credentials, data, () => resolve()));
    return read(program);
  } finally {
    storage.release(program);
  }
}

const errorOf = (program: Program): number => program.error;

/** Register 0: the root; register 1: a file of that name, without opening it. */
function openFile(program: Program, name: string): void {
  program.add(OPERATION.ROOT, { a: 0 });
  const file = { ...program.put(Buffer.from(name)), xLow: fileProgram.O_PATH };
  program.add(OPERATION.OPENAT, { a: 1, b: 0, ...file });
}

test('both halves have the same numbers', () => {
  const { operations, flags, sizes } = binding.fileProgramLayout();
  expect(OPERATION).toEqual(operations);
  expect(FLAG).toEqual(flags);
  expect(sizes).toEqual({
    slotBytes: fileProgram.SLOT_BYTES,
    headerBytes: fileProgram.HEADER_BYTES,
    instructionBytes: fileProgram.INSTRUCTION_BYTES,
    instructionsMax: fileProgram.INSTRUCTIONS_MAX,
    registers: fileProgram.REGISTERS,
    statxBytes: fileProgram.STATX_BYTES,
    statfsBytes: fileProgram.STATFS_BYTES,
    handleSpace: fileProgram.HANDLE_SPACE,
    listEntryBytes: fileProgram.LIST_ENTRY_BYTES,
  });
});

describe('a program', () => {
  test('ends at the first failure, but for what must be done always', async () => {
    const results = await run(
      (program) => {
        program.add(OPERATION.ROOT, { a: 0 });
        program.add(OPERATION.MKDIRAT, { a: 0, ...program.put(Buffer.from('d')), xLow: 0o755 });
        const again = { a: 0, ...program.put(Buffer.from('d')), xLow: 0o755 };
        program.add(OPERATION.MKDIRAT, { ...again, flags: FLAG.MAY_FAIL });
        program.add(OPERATION.MKDIRAT, again);
        program.add(OPERATION.MKDIRAT, { a: 0, ...program.put(Buffer.from('e')), xLow: 0o755 });
        const attributes = program.room(fileProgram.STATX_BYTES);
        program.add(OPERATION.STATX, { a: 0, flags: FLAG.ALWAYS, offset: attributes });
      },
      (program) => [program.failedAt, program.error, [1, 2, 3, 4, 5].map((step) => program.result(step))],
    );
    expect(results).toEqual([3, 17, [0, -17, -17, fileProgram.NOT_RUN, 0]]);
    expect(readdirSync(path)).toEqual(['d']);
  });

  test('that reads runs at once when everything is in memory, and otherwise says so', async () => {
    writeFileSync(join(path, 'f'), 'text');
    const handle = await run(
      (program) => {
        openFile(program, 'f');
        program.add(OPERATION.HANDLE_OF, { a: 1, offset: program.room(fileProgram.HANDLE_SPACE) });
      },
      (program) => {
        const at =
          fileProgram.HEADER_BYTES + fileProgram.INSTRUCTIONS_MAX * fileProgram.INSTRUCTION_BYTES + 8;
        return Buffer.from(program.bytes.subarray(at + 4, at + 8 + program.view.getUint32(at, true)));
      },
    );
    const stat = (program: Program): void => {
      program.add(OPERATION.HANDLE, { a: 0, ...program.put(handle) });
      program.add(OPERATION.STATX, { a: 0, offset: program.room(fileProgram.STATX_BYTES) });
    };
    const atOnce = (write: (program: Program) => void): boolean => {
      const program = storage.take()!;
      write(program);
      const done = storage.tryNow(program, asUser);
      storage.release(program);
      return done;
    };
    expect(atOnce(stat)).toBe(false);
    expect(await run(stat, errorOf)).toBe(0);
    expect(atOnce(stat)).toBe(true);
    const change = (program: Program): void => {
      stat(program);
      program.add(OPERATION.CHMOD, { a: 0, xLow: 0o600 });
    };
    expect(atOnce(change)).toBe(false);
    // On this thread nobody's rights hold but the server's: a look-up needs the verdict first.
    const unchecked = (program: Program): void => {
      program.add(OPERATION.ROOT, { a: 0 });
      const file = { ...program.put(Buffer.from('f')), xLow: fileProgram.O_PATH };
      program.add(OPERATION.OPENAT, { a: 1, b: 0, ...file });
    };
    expect(atOnce(unchecked)).toBe(false);
  });
});

describe('extended attributes', () => {
  const name = Buffer.from('user.colour');
  const set = (value: Uint8Array, credentials: number): Promise<number> =>
    run(
      (program) => {
        openFile(program, 'f');
        program.add(OPERATION.SETXATTR, { a: 1, ...program.put(name) });
      },
      errorOf,
      credentials,
      value,
    );

  test("are set, read, listed and removed with the caller's rights", async () => {
    writeFileSync(join(path, 'f'), '');
    expect(await set(Buffer.from('blue'), asUser)).toBe(EACCES);
    expect(await set(Buffer.from('blue'), asRoot)).toBe(0);
    const value = Buffer.alloc(100);
    const get = (operation: number): Promise<number> =>
      run(
        (program) => {
          openFile(program, 'f');
          program.add(operation, { a: 1, ...program.put(name) });
        },
        (program) => program.result(2),
        asUser,
        value,
      );
    expect(value.toString('utf8', 0, await get(OPERATION.GETXATTR))).toBe('blue');
    expect(value.toString('utf8', 0, await get(OPERATION.LISTXATTR))).toContain('user.colour\0');
    const remove = (credentials: number): Promise<number> =>
      run(
        (program) => {
          openFile(program, 'f');
          program.add(OPERATION.REMOVEXATTR, { a: 1, ...program.put(name) });
        },
        errorOf,
        credentials,
      );
    expect(await remove(asUser)).toBe(EACCES);
    expect(await remove(asRoot)).toBe(0);
    expect(await get(OPERATION.GETXATTR)).toBe(-ENODATA);
  });
});

describe('a wrong program', () => {
  test('names nothing that is no name', async () => {
    mkdirSync(join(path, 'd'));
    const names = ['', '.', '..', '/', 'a/b', '/etc/passwd', 'a\0', '\0', 'x'.repeat(256)];
    const { MKDIRAT, MKNODAT, OPENAT, UNLINKAT, LINKAT, SYMLINKAT, RENAMEAT } = OPERATION;
    for (const name of names) {
      for (const operation of [MKDIRAT, MKNODAT, OPENAT, UNLINKAT, LINKAT, SYMLINKAT, RENAMEAT]) {
        const error = await run((program) => {
          program.add(OPERATION.ROOT, { a: 0 });
          const place = program.put(Buffer.from(name));
          const flags = operation === OPENAT ? fileProgram.O_PATH : 0o644;
          program.add(operation, { a: operation === OPENAT ? 1 : 0, b: 0, ...place, xLow: flags });
        }, errorOf);
        expect([name, operation, error]).toEqual([name, operation, EINVAL]);
      }
    }
    expect(readdirSync(path)).toEqual(['d']);
  });

  test('opens no file that is there but for its path', async () => {
    writeFileSync(join(path, 'f'), 'text');
    const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = fileProgram;
    for (const flags of [O_RDONLY, O_WRONLY, O_WRONLY | O_CREAT, O_WRONLY | O_EXCL, 0o1000 | O_WRONLY]) {
      const error = await run((program) => {
        program.add(OPERATION.ROOT, { a: 0 });
        program.add(OPERATION.OPENAT, { a: 1, b: 0, ...program.put(Buffer.from('f')), xLow: flags });
      }, errorOf);
      expect(error).toBe(EINVAL);
    }
    expect(readFileSync(join(path, 'f'), 'utf8')).toBe('text');
  });

  test('of random bytes never harms the process, nor leaves the directory', async () => {
    writeFileSync(join(path, 'f'), 'text');
    const outside = readdirSync(tmpdir()).length;
    // The seed is fixed: a failure repeats.
    let seed = 4711;
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % limit;
    };
    const data = Buffer.alloc(4096);
    const operations = Object.values(OPERATION);
    // Not those that take time, fill the disk or wait for their own locks.
    const { FALLOCATE, FSYNC, FTRUNCATE, SERIALISE, SYNC_RANGE } = OPERATION;
    const left = new Set<number>([FALLOCATE, FSYNC, FTRUNCATE, SERIALISE, SYNC_RANGE]);
    const chosen = operations.filter((operation) => !left.has(operation));
    let ran = 0;
    for (let i = 0; i < 3000; i += 1) {
      await run(
        (program) => {
          program.add(OPERATION.ROOT, { a: 0 });
          const place = program.put(Buffer.from('f'));
          program.bytes.fill(random(256), 1100, 1100 + random(7000));
          for (let step = random(8); step >= 0; step -= 1) {
            const wild = random(3) === 0;
            program.add(wild ? operations.length + random(60_000) : chosen[random(chosen.length)]!, {
              a: random(10),
              b: random(10),
              c: random(10),
              flags: random(64) & ~FLAG.ALWAYS,
              offset: wild ? random(2 ** 24) * 256 : place.offset + random(3) * 8,
              length: wild ? random(2 ** 24) * 256 : random(300),
              xLow: random(2 ** 24) * random(256),
              xHigh: wild ? random(2 ** 24) : 0,
              y: random(5),
            });
          }
        },
        (program) => {
          ran += program.failedAt === -1 ? 1 : 0;
        },
        random(2) === 0 ? asRoot : asUser,
        random(3) === 0 ? undefined : data,
      );
    }
    expect(ran).toBeGreaterThan(0);
    expect(readdirSync(tmpdir()).length).toBeLessThan(outside + 50);
    expect(storage.state()).toMatchObject({ waiting: 0, running: 0, inFlight: 0 });
  });

  test('is refused where its place, its caller or the storage is wrong', () => {
    const program = storage.take()!;
    expect(() => storage.runHere(program, 99)).toThrow(SystemError);
    storage.submit(program, asRoot, undefined, () => {});
    expect(() => storage.runHere(program, asRoot)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => storage.addCredentials(2 ** 32 - 1, 0, [])).toThrow(RangeError);
    expect(() => storage.addCredentials(0, 0, [2 ** 32 - 1])).toThrow(RangeError);
    expect(() => storage.addCredentials(1.5, 0, [])).toThrow(RangeError);
    expect(() => storage.addCredentials('0' as never, 0, [])).toThrow(TypeError);
    expect(() => new FileStorage('/nowhere')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => new FileStorage('/etc/passwd')).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    expect(() => new FileStorage('/proc')).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
    expect(() => new FileStorage(path, { threads: 0 })).toThrow(RangeError);
    const closed = new FileStorage(path, { threads: 1, programs: 1 });
    closed.close();
    closed.close();
    expect(() => closed.runHere(program, asRoot)).toThrow(SystemError);
  });
});
