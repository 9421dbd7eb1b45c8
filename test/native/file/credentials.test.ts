// Rights of threads as the kernel sees them: while a caller's call hangs, after it, and after failures. What callers may
// do with them is the contract's (test/contract/filesystem_rights.ts).
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import type { Caller, FileSystem } from '../../../control/file/filesystem/port.ts';
import { alice, bob, bobOfAlice, bytes, errnoOf, must, root } from '../../contract/filesystem_support.ts';
import { OwnStorage, type ThreadState, threads, until, workers } from './support.ts';

/** Bits of capabilities(7). */
const CHOWN = 1n << 0n;
const DAC_OVERRIDE = 1n << 1n;
const DAC_READ_SEARCH = 1n << 2n;
const FOWNER = 1n << 3n;
const FSETID = 1n << 4n;
const SETGID = 1n << 6n;
const SETUID = 1n << 7n;
const MKNOD = 1n << 27n;
const OF_FILES = CHOWN | DAC_OVERRIDE | DAC_READ_SEARCH | FOWNER | FSETID | MKNOD;
const THREADS = 3;

/** Threads that are none of the storage's: whatever it does, they stay as they are. */
const others = (): ThreadState[] => threads().filter((thread) => thread.name !== 'file-worker');
const distinct = (states: ThreadState[]): Set<string> =>
  new Set(
    states.map((state) => JSON.stringify([state.uids, state.gids, state.groups, `${state.effective}`])),
  );

let storage: OwnStorage;
let fs: FileSystem;
let before: Set<string>;

beforeEach(() => {
  before = distinct(others());
  storage = new OwnStorage();
  fs = openLocalFileSystem(storage.path, { threads: THREADS });
});
afterEach(() => {
  storage.thaw();
  fs.close();
  storage.remove();
});

function expectAtHome(states: ThreadState[]): void {
  const own = others()[0]!;
  expect(states).toHaveLength(THREADS);
  for (const state of states) {
    expect(state.uids).toEqual([0, 0, 0, 0]);
    expect(state.gids).toEqual([0, 0, 0, 0]);
    expect(state.groups).toEqual(own.groups);
    expect(state.effective).toBe(OF_FILES | SETUID | SETGID);
    // Nothing to take back: no CAP_SYS_RESOURCE that quotas do not bind, no CAP_SYS_ADMIN.
    expect(state.permitted).toBe(OF_FILES | SETUID | SETGID);
  }
}

/** Their way back has several steps. */
const returned = async (): Promise<void> => {
  const own = others()[0]!;
  const home = (state: ThreadState): boolean =>
    state.uids[3] === 0 && state.gids[3] === 0 && state.groups.join() === own.groups.join();
  await until('the way back', () => workers().every(home));
};

test('threads begin with the capabilities of files and nothing more', () => {
  expectAtHome(workers());
});

test.each([
  ['a user', alice],
  ['a user with groups', bobOfAlice],
  ['a user in the group of root', { uid: 61_003, gid: 0, groups: [] } satisfies Caller],
])('a thread that acts for %s has its identity and no capability over files', async (_, caller) => {
  storage.freeze();
  const made = fs.create(caller, fs.root, bytes('f'), { how: 'guarded', attributes: {} });
  await until('the call', () => workers().some((state) => state.uids[3] === caller.uid));
  const states = workers();
  const [acting, ...more] = states.filter((state) => state.uids[3] !== 0);
  expect(more).toEqual([]);
  // Only what the file system goes by: signals, for one, still come as to root.
  expect(acting!.uids).toEqual([0, 0, 0, caller.uid]);
  expect(acting!.gids).toEqual([0, 0, 0, caller.gid]);
  expect(acting!.groups).toEqual([...caller.groups].sort((a, b) => a - b));
  expect(acting!.effective & OF_FILES).toBe(0n);
  expect(acting!.effective).toBe(SETUID | SETGID);
  for (const state of states) if (state !== acting) expect(state.effective).toBe(OF_FILES | SETUID | SETGID);
  expect(distinct(others())).toEqual(before);
  storage.thaw();
  await must(made);
  await returned();
  expectAtHome(workers());
});

test('callers that wait for one directory get each its own', async () => {
  storage.freeze();
  const callers = [alice, bobOfAlice, root];
  const made = callers.map((caller) =>
    fs.makeDirectory(caller, fs.root, bytes(`d${caller.uid}`), { mode: 0o700 }),
  );
  await until('the first call', () => workers().some((state) => state.uids[3] !== 0));
  storage.thaw();
  for (const [i, answer] of made.entries()) {
    const { attributes } = await must(answer);
    expect(attributes).toMatchObject({ uid: callers[i]!.uid, gid: callers[i]!.gid });
  }
  await returned();
  expectAtHome(workers());
});

test('after failures of every kind threads are what they were, and so is every other thread', async () => {
  const secret = (await must(fs.makeDirectory(root, fs.root, bytes('secret'), { mode: 0o700 }))).handle;
  const answers: Promise<string>[] = [];
  for (let i = 0; i < 50; i += 1) {
    for (const caller of [alice, bob, bobOfAlice]) {
      answers.push(
        errnoOf(fs.create(caller, secret, bytes('x'), { how: 'guarded', attributes: {} })),
        errnoOf(fs.remove(caller, fs.root, bytes('none'))),
        errnoOf(fs.setAttributes(caller, secret, { uid: caller.uid })),
        errnoOf(fs.attributesOf(Buffer.alloc(12, i))),
        errnoOf(fs.read(caller, secret, 0n, Buffer.alloc(1))),
      );
    }
  }
  expect(new Set(await Promise.all(answers))).toEqual(
    new Set(['EACCES', 'ENOENT', 'EPERM', 'ESTALE', 'EISDIR']),
  );
  await returned();
  expectAtHome(workers());
  expect(distinct(others())).toEqual(before);
});

test("reads that are answered at once take nobody's rights", async () => {
  const made = await must(
    fs.create(alice, fs.root, bytes('f'), { how: 'guarded', attributes: { mode: 0o600 } }),
  );
  await must(fs.write(alice, made.handle, 0n, bytes('text'), 'unstable'));
  await new Promise((resolve) => setTimeout(resolve, 150));
  await must(fs.read(alice, made.handle, 0n, Buffer.alloc(4)));
  const answer = fs.read(alice, made.handle, 0n, Buffer.alloc(4));
  expect(answer).not.toBeInstanceOf(Promise);
  const [main] = others();
  expect(main!.uids).toEqual([0, 0, 0, 0]);
  expect(await errnoOf(fs.read(bob, made.handle, 0n, Buffer.alloc(4)))).toBe('EACCES');
  expect(await errnoOf(fs.read({ ...alice, uid: bob.uid }, made.handle, 0n, Buffer.alloc(4)))).toBe('EACCES');
});

test('the mode is the caller’s, whatever the umask of the process is', async () => {
  const umask = process.umask(0o077);
  const path = mkdtempSync(join(tmpdir(), 'hf-umask-'));
  chmodSync(path, 0o777);
  const other = openLocalFileSystem(path, { threads: 1 });
  try {
    const attributes = { mode: 0o6777 };
    const made = await must(other.create(alice, other.root, bytes('f'), { how: 'guarded', attributes }));
    expect(made.attributes.mode).toBe(0o6777);
    expect(process.umask()).toBe(0o077);
  } finally {
    process.umask(umask);
    other.close();
    rmSync(path, { recursive: true });
  }
});
