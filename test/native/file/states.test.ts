// Storages in trouble: full, read-only, hung, with other file systems mounted inside; and what must stay bounded.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import type { FileSystem } from '../../../control/file/filesystem/port.ts';
import {
  alice,
  bytes,
  contentOf,
  entriesOf,
  errnoOf,
  makeFile,
  must,
  root,
  text,
} from '../../contract/filesystem_support.ts';
import { OwnStorage, until } from './support.ts';

let storage: OwnStorage;
let fs: FileSystem;

beforeEach(() => {
  storage = new OwnStorage();
  fs = openLocalFileSystem(storage.path, { threads: 2, patienceMs: 400, descriptors: 64, pendingMax: 32 });
});
afterEach(() => {
  storage.thaw();
  fs.close();
  storage.remove();
});

describe('full', () => {
  test('what is reserved for root is not for others, and ENOSPC comes as it is', async () => {
    const { handle } = await makeFile(fs, alice, fs.root, 'f');
    const block = Buffer.alloc(256 * 1024, 1);
    let errno = 'none';
    let offset = 0n;
    while (errno === 'none') {
      const answer = await fs.write(alice, handle, offset, block, 'data');
      if (answer.ok) offset += BigInt(answer.writtenBytes);
      else errno = answer.errno;
      expect(offset).toBeLessThan(64n * 1024n * 1024n);
    }
    expect(errno).toBe('ENOSPC');
    const { space } = await must(fs.spaceOf(fs.root));
    expect(space.freeBytes).toBeGreaterThan(1_000_000n);
    expect(await errnoOf(fs.allocate(alice, handle, offset, 4_000_000n, 'grow'))).toBe('ENOSPC');
    // What was acknowledged is there.
    const { attributes } = await must(fs.attributesOf(handle));
    expect(attributes.sizeBytes).toBeGreaterThanOrEqual(offset);
    await must(fs.remove(alice, fs.root, bytes('f')));
    // The descriptors that we had of it hold no space back.
    let available = 0n;
    for (let i = 0; i < 1000 && available < 4_000_000n; i += 1) {
      available = (await must(fs.spaceOf(fs.root))).space.availableBytes;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(available).toBeGreaterThan(4_000_000n);
  });
});

describe('read-only', () => {
  test('every change is EROFS, and reading works', async () => {
    const { handle } = await makeFile(fs, alice, fs.root, 'f', 'text');
    fs.close();
    storage.remount('ro');
    fs = openLocalFileSystem(storage.path, { threads: 2 });
    expect(await contentOf(fs, alice, handle)).toBe('text');
    for (const answer of [
      fs.write(alice, handle, 0n, bytes('x'), 'unstable'),
      fs.setAttributes(alice, handle, { mode: 0o600 }),
      fs.create(alice, fs.root, bytes('g'), { how: 'guarded', attributes: {} }),
      fs.makeDirectory(alice, fs.root, bytes('g'), {}),
      fs.remove(alice, fs.root, bytes('f')),
      fs.rename(alice, { directory: fs.root, name: bytes('f') }, { directory: fs.root, name: bytes('g') }),
      fs.link(alice, handle, fs.root, bytes('g')),
    ]) {
      expect(await errnoOf(answer)).toBe('EROFS');
    }
  });
});

describe('hung', () => {
  test('calls that hang are answered EBUSYNOW in time, and what needs no thread goes on', async () => {
    const { handle } = await makeFile(fs, alice, fs.root, 'f', 'text');
    await new Promise((resolve) => setTimeout(resolve, 150));
    await contentOf(fs, alice, handle);
    storage.freeze();
    const hanging = [1, 2, 3].map((i) =>
      fs.create(alice, fs.root, bytes(`new${i}`), { how: 'guarded', attributes: {} }),
    );
    expect(fs.attributesOf(handle)).toMatchObject({ ok: true });
    expect(fs.read(alice, handle, 0n, Buffer.alloc(4))).toMatchObject({ ok: true, readBytes: 4 });
    for (const answer of hanging) expect(await errnoOf(answer)).toBe('EBUSYNOW');
    expect(fs.attributesOf(handle)).toMatchObject({ ok: true });
    expect(fs.state().pending).toBe(3);
    expect(fs.state().oldestMs).toBeGreaterThan(300);
    storage.thaw();
    await until('the end of what hung', () => fs.state().pending === 0);
    // It may still have done what it was told.
    await must(fs.lookUp(alice, fs.root, bytes('new1')));
  });

  test('one call that hangs leaves the other thread', async () => {
    const other = await makeFile(fs, alice, fs.root, 'other', 'x'.repeat(1_000_000));
    storage.freeze();
    const hanging = fs.create(alice, fs.root, bytes('new'), { how: 'guarded', attributes: {} });
    // By size, this is no read that is tried at once.
    const read = await must(fs.read(alice, other.handle, 0n, Buffer.alloc(1_000_000)));
    expect(read.readBytes).toBe(1_000_000);
    storage.thaw();
    expect((await hanging).ok || ((await hanging) as { errno: string }).errno === 'EBUSYNOW').toBe(true);
  });

  test('no more are taken than can be pending', async () => {
    storage.freeze();
    const answers = Array.from({ length: 50 }, (_, i) =>
      fs.create(alice, fs.root, bytes(`n${i}`), { how: 'guarded', attributes: {} }),
    );
    const atOnce = answers.filter((answer) => !(answer instanceof Promise));
    expect(atOnce).toHaveLength(50 - fs.state().pendingMax);
    for (const answer of atOnce) expect(answer).toMatchObject({ ok: false, errno: 'EBUSYNOW' });
    storage.thaw();
    await Promise.all(answers);
    await until('the end of what hung', () => fs.state().pending === 0);
  });
});

describe('with something mounted inside', () => {
  test('another file system is a name without a file', async () => {
    writeFileSync(join(storage.mountInside('other'), 'secret'), 'text');
    expect(await errnoOf(fs.lookUp(root, fs.root, bytes('other')))).toBe('EXDEV');
    const entries = await entriesOf(fs, root, fs.root, 100, true);
    const other = entries.find((entry) => text(entry.name) === 'other');
    expect(other).toMatchObject({ file: undefined });
    expect(await errnoOf(fs.removeDirectory(root, fs.root, bytes('other')))).toBe('EBUSY');
  });
});

/** By turns, until it is ended, the name is a directory and a symbolic link; told to the parent when it has begun. */
const SWAPPER = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
const [name, aside] = process.argv.slice(1);
for (let i = 0; ; i += 1) {
  renameSync(name, aside);
  symlinkSync('/etc', name);
  if (i === 0) process.send('begun');
  unlinkSync(name);
  renameSync(aside, name);
}`;

describe('races', () => {
  test('a name that is by turns a directory and a link leads nowhere but into the directory', async () => {
    const [d, aside] = [join(storage.path, 'd'), join(storage.path, 'aside')];
    mkdirSync(join(d, 'x'), { recursive: true });
    writeFileSync(join(d, 'x', 'f'), 'inside');
    const handle = (await must(fs.lookUp(root, fs.root, bytes('d')))).handle;
    const swapper = spawn(process.execPath, ['-e', SWAPPER, join(d, 'x'), aside], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const ended = new Promise((resolve) => swapper.once('exit', resolve));
    await new Promise((resolve) => swapper.once('message', resolve));
    const seen = new Set<string>();
    try {
      // Until both were met, and then some more.
      for (let more = 500, i = 0; more > 0; i += 1) {
        expect(i).toBeLessThan(100_000);
        const found = await fs.lookUp(root, handle, bytes('x'));
        seen.add(found.ok ? found.attributes.kind : found.errno);
        if (seen.has('directory') && seen.has('symlink')) more -= 1;
        if (!found.ok) continue;
        const foreign = fs.lookUp(root, found.handle, bytes('passwd'));
        // ESTALE: the link it found is gone by now.
        expect(['ENOENT', 'ENOTDIR', 'ESTALE']).toContain(await errnoOf(foreign));
        const entries = await fs.list(root, found.handle, {
          cookie: 0n,
          verifier: new Uint8Array(8),
          entriesMax: 10,
          plus: true,
        });
        if (entries.ok)
          expect(entries.entries.map((entry) => text(entry.name)).sort()).toEqual(['.', '..', 'f']);
      }
    } finally {
      swapper.kill('SIGKILL');
      await ended;
    }
    for (const kind of seen) expect(['directory', 'symlink', 'ENOENT']).toContain(kind);
  });
});

describe('bounds', () => {
  test('descriptors stay below their number, and every handle works', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const start = open();
    const handles = [];
    for (let i = 0; i < 300; i += 1)
      handles.push((await makeFile(fs, alice, fs.root, `f${i}`, `${i}`)).handle);
    for (let round = 0; round < 2; round += 1) {
      for (const [i, handle] of handles.entries()) expect(await contentOf(fs, alice, handle)).toBe(`${i}`);
    }
    expect(fs.state().descriptors).toBeLessThanOrEqual(64);
    expect(fs.state().descriptors).toBeGreaterThan(30);
    await until('the closing', () => open() <= start + 64 + 4);
    fs.close();
    await until('the closing', () => open() < start);
  });

  test('more callers than are remembered are served, each with its own rights', async () => {
    const { handle } = await makeFile(fs, alice, fs.root, 'f', 'text', { mode: 0o600 });
    for (let i = 0; i < 5000; i += 1) {
      const answer = await fs.read({ uid: 70_000 + i, gid: 7, groups: [i] }, handle, 0n, Buffer.alloc(4));
      expect(answer).toMatchObject({ ok: false, errno: 'EACCES' });
    }
    expect(await contentOf(fs, alice, handle)).toBe('text');
  });
});
