// Owns what every file system is held to: the sentences of control/file/filesystem/port.ts. Rights are in
// filesystem_rights.ts, which this includes.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FileHandle, FileSystem } from '../../control/file/filesystem/port.ts';
import { rightsContract } from './filesystem_rights.ts';
import {
  alice,
  bytes,
  contentOf,
  entriesOf,
  errnoOf,
  type FileSystemUnderTest,
  makeDirectory,
  makeFile,
  must,
  root,
  text,
} from './filesystem_support.ts';

export function fileSystemContract(name: string, make: () => FileSystemUnderTest): void {
  describe(`${name}, by the contract of file systems`, () => {
    let under: FileSystemUnderTest;
    let fs: FileSystem;
    let top: FileHandle;

    beforeEach(() => {
      under = make();
      fs = under.fs;
      top = fs.root;
    });
    afterEach(() => {
      expect(fs.state().pending).toBe(0);
      under.remove();
    });

    rightsContract(() => fs);

    describe('names', () => {
      const BAD: readonly [string, Uint8Array, string][] = [
        ['nothing', bytes(''), 'EBADNAME'],
        ['itself', bytes('.'), 'EBADNAME'],
        ['the parent', bytes('..'), 'EBADNAME'],
        ['a path', bytes('a/b'), 'EBADNAME'],
        ['an absolute path', bytes('/etc'), 'EBADNAME'],
        ['a NUL', bytes('a\0b'), 'EBADNAME'],
        ['256 bytes', bytes('n'.repeat(256)), 'ENAMETOOLONG'],
      ];
      test.each(BAD)('%s is no name, in any operation', async (_, bad, errno) => {
        const file = (await makeFile(fs, alice, top, 'a')).handle;
        const good = bytes('a');
        const attempts = {
          lookUp: fs.lookUp(alice, top, bad),
          create: fs.create(alice, top, bad, { how: 'unchecked', attributes: {} }),
          makeDirectory: fs.makeDirectory(alice, top, bad, {}),
          makeLink: fs.makeLink(alice, top, bad, bytes('target'), {}),
          makeNode: fs.makeNode(alice, top, bad, { kind: 'fifo' }, {}),
          remove: fs.remove(alice, top, bad),
          removeDirectory: fs.removeDirectory(alice, top, bad),
          renameFrom: fs.rename(alice, { directory: top, name: bad }, { directory: top, name: good }),
          renameTo: fs.rename(alice, { directory: top, name: good }, { directory: top, name: bad }),
          link: fs.link(alice, file, top, bad),
        };
        for (const [operation, answer] of Object.entries(attempts)) {
          expect([operation, await errnoOf(answer)]).toEqual([operation, errno]);
        }
      });

      test('of 255 bytes and of bytes that are no text are names', async () => {
        for (const odd of [
          bytes('n'.repeat(255)),
          Buffer.from([0xff, 0xfe, 0x80]),
          bytes('...'),
          bytes(' '),
        ]) {
          const made = await must(fs.create(alice, top, odd, { how: 'guarded', attributes: {} }));
          expect((await must(fs.lookUp(alice, top, odd))).handle).toEqual(made.handle);
          const names = (await entriesOf(fs, alice, top, 10, false)).map((entry) => Buffer.from(entry.name));
          expect(names).toContainEqual(Buffer.from(odd));
          await must(fs.remove(alice, top, odd));
        }
      });
    });

    describe('handles', () => {
      test('stay over rename, in another directory and in another process', async () => {
        const { handle, attributes } = await makeFile(fs, alice, top, 'a', 'kept');
        const other = await makeDirectory(fs, alice, top, 'd');
        await must(
          fs.rename(alice, { directory: top, name: bytes('a') }, { directory: other, name: bytes('b') }),
        );
        expect((await must(fs.lookUp(alice, other, bytes('b')))).handle).toEqual(handle);
        const again = under.reopen();
        try {
          expect((await must(again.attributesOf(handle))).attributes.fileId).toBe(attributes.fileId);
          expect(await contentOf(again, alice, handle)).toBe('kept');
        } finally {
          again.close();
        }
      });

      test('are stale after the last link is gone, and not before', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a', 'x');
        await must(fs.link(alice, handle, top, bytes('b')));
        await must(fs.remove(alice, top, bytes('a')));
        expect(await contentOf(fs, alice, handle)).toBe('x');
        await must(fs.remove(alice, top, bytes('b')));
        expect(await errnoOf(fs.attributesOf(handle))).toBe('ESTALE');
        expect(await errnoOf(fs.read(alice, handle, 0n, Buffer.alloc(1)))).toBe('ESTALE');
        expect(await errnoOf(fs.write(alice, handle, 0n, bytes('y'), 'unstable'))).toBe('ESTALE');
      });

      test('of a replaced file and of a removed directory are stale', async () => {
        const old = (await makeFile(fs, alice, top, 'old', 'old')).handle;
        await makeFile(fs, alice, top, 'new', 'new');
        await contentOf(fs, alice, old);
        await must(
          fs.rename(alice, { directory: top, name: bytes('new') }, { directory: top, name: bytes('old') }),
        );
        expect(await errnoOf(fs.attributesOf(old))).toBe('ESTALE');
        const directory = await makeDirectory(fs, alice, top, 'd');
        await must(fs.removeDirectory(alice, top, bytes('d')));
        for (const answer of [
          fs.attributesOf(directory),
          fs.lookUp(alice, directory, bytes('a')),
          fs.create(alice, directory, bytes('a'), { how: 'guarded', attributes: {} }),
        ]) {
          expect(await errnoOf(answer)).toBe('ESTALE');
        }
      });

      test('that were made up are stale, whatever they look like', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a');
        const forged: Uint8Array[] = [
          new Uint8Array(0),
          new Uint8Array(4),
          new Uint8Array(133),
          randomBytes(132),
        ];
        for (let i = 0; i < handle.length; i += 1) {
          const copy = Uint8Array.from(handle);
          copy[i]! ^= 0x55;
          forged.push(copy, handle.slice(0, i), Buffer.concat([handle, Buffer.alloc(i + 1, 0xff)]));
        }
        for (let i = 0; i < 200; i += 1) forged.push(randomBytes(5 + (i % 60)));
        for (const handle of forged) {
          const errno = await errnoOf(fs.attributesOf(handle));
          // A changed bit of the type or of spare bytes may still lead to the same file; never to an error of ours.
          if (errno !== 'none') expect(errno).toBe('ESTALE');
          const read = await errnoOf(fs.read(alice, handle, 0n, Buffer.alloc(8)));
          expect(['none', 'ESTALE', 'EACCES', 'EISDIR', 'EINVAL']).toContain(read);
        }
      });
    });

    describe('data', () => {
      test('is read where it was written, with holes and an end', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a');
        const written = await must(fs.write(alice, handle, 5n, bytes('hello'), 'unstable'));
        expect(written.writtenBytes).toBe(5);
        expect(written.change.before?.sizeBytes).toBe(0n);
        expect(written.change.after?.sizeBytes).toBe(10n);
        const into = Buffer.alloc(8, 1);
        const first = await must(fs.read(alice, handle, 0n, into));
        expect([first.readBytes, first.atEnd, into.toString()]).toEqual([8, false, '\0\0\0\0\0hel']);
        const last = await must(fs.read(alice, handle, 8n, into));
        expect([last.readBytes, last.atEnd]).toEqual([2, true]);
        for (const offset of [10n, 11n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
          const beyond = await must(fs.read(alice, handle, offset, into));
          expect([beyond.readBytes, beyond.atEnd]).toEqual([0, true]);
        }
        expect((await must(fs.read(alice, handle, 2n, new Uint8Array(0)))).atEnd).toBe(false);
      });

      test('of a megabyte comes whole, at once and again', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a');
        const data = randomBytes(1_048_576);
        for (const stability of ['unstable', 'data', 'all'] as const) {
          data[0]! ^= 1;
          expect((await must(fs.write(alice, handle, 0n, data, stability))).writtenBytes).toBe(data.length);
          for (const size of [1_048_576, 65_536, 4096]) {
            const into = Buffer.alloc(size);
            for (let at = 0; at < data.length; at += size * 8) {
              await must(fs.read(alice, handle, BigInt(at), into));
              expect(into.equals(data.subarray(at, at + size))).toBe(true);
            }
          }
        }
        await must(fs.commit(alice, handle));
      });

      test('that no file can hold is refused', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a');
        for (const offset of [2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
          expect(await errnoOf(fs.write(alice, handle, offset, bytes('xy'), 'unstable'))).toBe('EFBIG');
        }
        expect(await errnoOf(fs.setAttributes(alice, handle, { sizeBytes: 2n ** 63n }))).toBe('EFBIG');
      });

      test('moves between files, and space is reserved and given back', async () => {
        const from = (await makeFile(fs, alice, top, 'a', 'x'.repeat(10_000))).handle;
        const to = (await makeFile(fs, alice, top, 'b')).handle;
        const copied = await must(
          fs.copy(alice, { file: from, offset: 1000n }, { file: to, offset: 0n }, 5000n),
        );
        expect(copied.copiedBytes).toBe(5000);
        expect(copied.change.after?.sizeBytes).toBe(5000n);
        const grown = await must(fs.allocate(alice, to, 0n, 1_048_576n, 'grow'));
        expect(grown.change.after?.sizeBytes).toBe(1_048_576n);
        expect(grown.change.after!.usedBytes).toBeGreaterThanOrEqual(1_048_576n);
        const punched = await must(fs.allocate(alice, to, 0n, 1_048_576n, 'punch'));
        expect(punched.change.after!.usedBytes).toBeLessThan(1_048_576n);
        expect(await contentOf(fs, alice, to, 10)).toBe('\0'.repeat(10));
        expect((await must(fs.seek(alice, from, 0n, 'data'))).offset).toBe(0n);
        expect((await must(fs.seek(alice, from, 0n, 'hole'))).offset).toBe(10_000n);
        expect(await errnoOf(fs.seek(alice, from, 20_000n, 'data'))).toBe('ENXIO');
      });
    });

    describe('attributes', () => {
      test('are set together, and tell before and after', async () => {
        const { handle } = await makeFile(fs, root, top, 'a', 'abc');
        const modified = { seconds: 1_000_000_000, nanoseconds: 123_456_789 };
        const accessed = { seconds: -5, nanoseconds: 0 };
        const set = { sizeBytes: 1n, uid: alice.uid, gid: alice.gid, mode: 0o4751, modified, accessed };
        const { change } = await must(fs.setAttributes(root, handle, set));
        expect(change.before?.sizeBytes).toBe(3n);
        const after = { sizeBytes: 1n, uid: alice.uid, gid: alice.gid, mode: 0o4751, modified, accessed };
        expect(change.after).toMatchObject(after);
        expect((await must(fs.attributesOf(handle))).attributes).toEqual(change.after);
      });

      test('are kept by a guard that is not met', async () => {
        const { handle } = await makeFile(fs, alice, top, 'a');
        const { attributes } = await must(fs.attributesOf(handle));
        const { seconds, nanoseconds } = attributes.changed;
        const wrong = { seconds, nanoseconds: (nanoseconds + 1) % 1_000_000_000 };
        expect(await errnoOf(fs.setAttributes(alice, handle, { mode: 0o600 }, wrong))).toBe('EGUARD');
        expect((await must(fs.attributesOf(handle))).attributes.mode).toBe(0o644);
        await must(fs.setAttributes(alice, handle, { mode: 0o600 }, attributes.changed));
        expect((await must(fs.attributesOf(handle))).attributes.mode).toBe(0o600);
      });

      test('of what is no regular file have no size to set', async () => {
        const directory = await makeDirectory(fs, alice, top, 'd');
        const link = (await must(fs.makeLink(alice, top, bytes('l'), bytes('x'), {}))).handle;
        expect(await errnoOf(fs.setAttributes(alice, directory, { sizeBytes: 0n }))).toBe('EISDIR');
        expect(await errnoOf(fs.setAttributes(alice, link, { sizeBytes: 0n }))).toBe('EINVAL');
      });

      test('of the space are plausible', async () => {
        const { space, attributes } = await must(fs.spaceOf(top));
        expect(attributes.kind).toBe('directory');
        expect(space.totalBytes).toBeGreaterThanOrEqual(space.freeBytes);
        expect(space.totalBytes).toBeGreaterThan(0n);
        expect(space.freeBytes).toBeGreaterThanOrEqual(space.availableBytes);
        expect(space.nameBytesMax).toBe(255);
      });
    });

    describe('making and removing', () => {
      test('an unchecked create takes what is there, and cuts it if it is told', async () => {
        const first = await makeFile(fs, alice, top, 'a', 'content');
        const open = await must(
          fs.create(alice, top, bytes('a'), { how: 'unchecked', attributes: { mode: 0o600 } }),
        );
        expect(open.handle).toEqual(first.handle);
        expect(open.attributes).toMatchObject({ sizeBytes: 7n, mode: 0o644 });
        const cut = await must(
          fs.create(alice, top, bytes('a'), { how: 'unchecked', attributes: { sizeBytes: 0n } }),
        );
        expect(cut.attributes.sizeBytes).toBe(0n);
        const guarded = fs.create(alice, top, bytes('a'), { how: 'guarded', attributes: {} });
        expect(await errnoOf(guarded)).toBe('EEXIST');
        await makeDirectory(fs, alice, top, 'd');
        const directory = fs.create(alice, top, bytes('d'), { how: 'unchecked', attributes: {} });
        expect(await errnoOf(directory)).toBe('EEXIST');
      });

      test('an exclusive create knows its own request again, and no other', async () => {
        const verifier = Buffer.from('f1f2f3f4a5a6a7a8', 'hex');
        const request = (): ReturnType<FileSystem['create']> =>
          fs.create(alice, top, bytes('a'), { how: 'exclusive', verifier });
        const first = await must(request());
        expect((await must(request())).handle).toEqual(first.handle);
        const other = Buffer.from('f1f2f3f4a5a6a7a9', 'hex');
        const foreign = fs.create(alice, top, bytes('a'), { how: 'exclusive', verifier: other });
        expect(await errnoOf(foreign)).toBe('EEXIST');
        await must(fs.write(alice, first.handle, 0n, bytes('x'), 'unstable'));
        expect(await errnoOf(request())).toBe('EEXIST');
      });

      test('of many that make one name, one does', async () => {
        const attempts = Array.from({ length: 40 }, () =>
          fs.create(alice, top, bytes('a'), { how: 'guarded', attributes: {} }),
        );
        const errnos = await Promise.all(attempts.map((attempt) => errnoOf(attempt)));
        expect(errnos.filter((errno) => errno === 'none')).toHaveLength(1);
        expect(new Set(errnos)).toEqual(new Set(['none', 'EEXIST']));
      });

      test('symbolic links say where they point and lead nowhere', async () => {
        const made = await must(fs.makeLink(alice, top, bytes('l'), bytes('/etc'), {}));
        expect(made.attributes).toMatchObject({ kind: 'symlink', uid: alice.uid });
        expect(text((await must(fs.readLink(alice, made.handle))).target)).toBe('/etc');
        const found = await must(fs.lookUp(alice, top, bytes('l')));
        expect(found.attributes.kind).toBe('symlink');
        expect(found.handle).toEqual(made.handle);
        expect(await errnoOf(fs.lookUp(root, made.handle, bytes('passwd')))).toBe('ENOTDIR');
        expect(await errnoOf(fs.read(root, made.handle, 0n, Buffer.alloc(8)))).toBe('EINVAL');
        const through = fs.create(root, top, bytes('l'), { how: 'unchecked', attributes: { sizeBytes: 0n } });
        expect(await errnoOf(through)).toBe('EEXIST');
        expect(await errnoOf(fs.readLink(alice, top))).toBe('EINVAL');
        const longest = 'x'.repeat(4095);
        const long = await must(fs.makeLink(alice, top, bytes('long'), bytes(longest), {}));
        expect(text((await must(fs.readLink(alice, long.handle))).target)).toBe(longest);
        expect(await errnoOf(fs.makeLink(alice, top, bytes('x'), bytes(`${longest}x`), {}))).toBe(
          'ENAMETOOLONG',
        );
        expect(await errnoOf(fs.makeLink(alice, top, bytes('x'), bytes('a\0b'), {}))).toBe('EINVAL');
      });

      test('nodes are made and never opened', async () => {
        const device = { major: 1, minor: 5 };
        const nodes = [
          { kind: 'fifo' },
          { kind: 'socket' },
          { kind: 'character', device },
          { kind: 'block', device },
        ] as const;
        for (const node of nodes) {
          const made = await must(fs.makeNode(root, top, bytes(node.kind), node, { mode: 0o666 }));
          expect(made.attributes).toMatchObject({ kind: node.kind, mode: 0o666 });
          if ('device' in node) expect(made.attributes.device).toEqual(device);
          // Opening the FIFO would wait for its other end, and /dev/zero would deliver.
          for (const caller of [root, alice]) {
            expect(await errnoOf(fs.read(caller, made.handle, 0n, Buffer.alloc(8)))).toBe('EINVAL');
            expect(await errnoOf(fs.write(caller, made.handle, 0n, bytes('x'), 'all'))).toBe('EINVAL');
            expect(await errnoOf(fs.commit(caller, made.handle))).toBe('EINVAL');
            expect(await errnoOf(fs.setAttributes(caller, made.handle, { sizeBytes: 0n }))).toBe('EINVAL');
            const what = { cookie: 0n, verifier: new Uint8Array(8), entriesMax: 10, plus: false };
            expect(await errnoOf(fs.list(caller, made.handle, what))).toBe('ENOTDIR');
            const taken = fs.create(caller, top, bytes(node.kind), {
              how: 'unchecked',
              attributes: { sizeBytes: 0n },
            });
            expect(await errnoOf(taken)).toBe('EEXIST');
          }
        }
        expect(await errnoOf(fs.makeNode(alice, top, bytes('mine'), nodes[2], {}))).toBe('EPERM');
      });

      test('changes of directories tell what lies before and after', async () => {
        const directory = await makeDirectory(fs, alice, top, 'd');
        const made = await must(fs.create(alice, directory, bytes('a'), { how: 'guarded', attributes: {} }));
        const { before, after } = made.change;
        expect(before).toBeDefined();
        expect(after).toBeDefined();
        const removed = await must(fs.remove(alice, directory, bytes('a')));
        expect(removed.change.before?.modified).toEqual(after!.modified);
        const refused = await fs.remove(alice, directory, bytes('a'));
        expect(refused).toMatchObject({ ok: false, errno: 'ENOENT' });
        expect(refused.change.before?.modified).toEqual(removed.change.after?.modified);
        expect(refused.change.after).toEqual(removed.change.after);
      });

      test('kinds are not mistaken', async () => {
        const directory = await makeDirectory(fs, alice, top, 'd');
        const { handle } = await makeFile(fs, alice, directory, 'a');
        expect(await errnoOf(fs.removeDirectory(alice, top, bytes('d')))).toBe('ENOTEMPTY');
        expect(await errnoOf(fs.remove(alice, top, bytes('d')))).toBe('EISDIR');
        expect(await errnoOf(fs.removeDirectory(alice, directory, bytes('a')))).toBe('ENOTDIR');
        expect(await errnoOf(fs.lookUp(alice, handle, bytes('x')))).toBe('ENOTDIR');
        expect(await errnoOf(fs.link(alice, directory, top, bytes('e')))).toBe('EPERM');
        expect(await errnoOf(fs.read(alice, directory, 0n, Buffer.alloc(1)))).toBe('EISDIR');
        const into = fs.rename(alice, { directory: top, name: bytes('d') }, { directory, name: bytes('d') });
        expect(await errnoOf(into)).toBe('EINVAL');
      });

      test('a rename tells of both directories', async () => {
        const from = await makeDirectory(fs, alice, top, 'from');
        const to = await makeDirectory(fs, alice, top, 'to');
        await makeFile(fs, alice, from, 'a');
        const answer = await fs.rename(
          alice,
          { directory: from, name: bytes('a') },
          { directory: to, name: bytes('b') },
        );
        expect(answer.ok).toBe(true);
        for (const change of [answer.change, answer.toChange]) {
          expect(change.before?.changed).not.toEqual(change.after?.changed);
        }
        expect(await errnoOf(fs.lookUp(alice, from, bytes('a')))).toBe('ENOENT');
      });
    });

    describe('going up', () => {
      test('ends at the root that is named', async () => {
        const outer = await makeDirectory(fs, alice, top, 'outer');
        const inner = await makeDirectory(fs, alice, outer, 'inner');
        expect((await must(fs.lookUpParent(alice, inner, top))).handle).toEqual(outer);
        expect((await must(fs.lookUpParent(alice, inner, outer))).handle).toEqual(outer);
        expect((await must(fs.lookUpParent(alice, outer, top))).handle).toEqual(top);
        expect(await errnoOf(fs.lookUpParent(alice, outer, outer))).toBe('EXDEV');
        expect(await errnoOf(fs.lookUpParent(alice, top, top))).toBe('EXDEV');
        expect(await errnoOf(fs.lookUpParent(alice, outer, inner))).toBe('EXDEV');
      });

      test('does not lead out of a root that the directory was moved out of', async () => {
        const inside = await makeDirectory(fs, alice, top, 'inside');
        const outside = await makeDirectory(fs, alice, top, 'outside');
        const moved = await makeDirectory(fs, alice, inside, 'moved');
        await must(
          fs.rename(
            alice,
            { directory: inside, name: bytes('moved') },
            { directory: outside, name: bytes('m') },
          ),
        );
        expect(await errnoOf(fs.lookUpParent(alice, moved, inside))).toBe('EXDEV');
      });
    });

    describe('listing', () => {
      test('has each entry once, with attributes and handles where they are asked for', async () => {
        const made = new Map<string, FileHandle>();
        for (let i = 0; i < 300; i += 1) {
          made.set(`file-${i}`, (await makeFile(fs, alice, top, `file-${i}`)).handle);
        }
        for (const [entriesMax, plus] of [
          [7, true],
          [1, false],
          [4096, true],
          [100, false],
        ] as const) {
          const entries = await entriesOf(fs, alice, top, entriesMax, plus);
          expect(entries.map((entry) => text(entry.name)).sort()).toEqual(['.', '..', ...made.keys()].sort());
          for (const entry of entries) {
            const handle = made.get(text(entry.name));
            if (text(entry.name) === '.') expect(entry.file?.handle).toEqual(plus ? top : undefined);
            else if (!plus || handle === undefined) expect(entry.file).toBeUndefined();
            else {
              expect(Buffer.from(entry.file!.handle)).toEqual(Buffer.from(handle));
              expect(entry.file!.attributes.fileId).toBe(entry.fileId);
            }
          }
        }
      });

      test('misses nothing that stays while others come and go', async () => {
        for (let i = 0; i < 200; i += 1) await makeFile(fs, alice, top, `stays-${i}`);
        for (let i = 0; i < 100; i += 1) await makeFile(fs, alice, top, `goes-${i}`);
        let page = 0;
        const entries = await entriesOf(fs, alice, top, 20, false, async () => {
          for (let i = page * 6; i < Math.min(100, page * 6 + 6); i += 1) {
            await must(fs.remove(alice, top, bytes(`goes-${i}`)));
            await makeFile(fs, alice, top, `comes-${i}`);
          }
          page += 1;
        });
        const stays = entries.map((entry) => text(entry.name)).filter((name) => name.startsWith('stays-'));
        expect(stays).toHaveLength(200);
        expect(new Set(stays).size).toBe(200);
      });

      test('continues in another process', async () => {
        for (let i = 0; i < 50; i += 1) await makeFile(fs, alice, top, `f${i}`);
        const what = { cookie: 0n, verifier: new Uint8Array(8), entriesMax: 20, plus: false };
        const first = await must(fs.list(alice, top, what));
        const again = under.reopen();
        try {
          const rest = await must(
            again.list(alice, top, {
              ...what,
              cookie: first.entries.at(-1)!.cookie,
              verifier: first.verifier,
              entriesMax: 100,
            }),
          );
          const names = [...first.entries, ...rest.entries].map((entry) => text(entry.name));
          expect(new Set(names).size).toBe(52);
        } finally {
          again.close();
        }
      });

      test('takes no cookie of another directory', async () => {
        const directory = await makeDirectory(fs, alice, top, 'd');
        const foreign = (await must(fs.list(alice, top, WHOLE))).verifier;
        const stranger = fs.list(alice, directory, { ...WHOLE, cookie: 5n, verifier: foreign });
        expect(await errnoOf(stranger)).toBe('EBADCOOKIE');
        const huge = fs.list(alice, directory, { ...WHOLE, cookie: 2n ** 64n - 1n });
        expect(await errnoOf(huge)).toBe('EBADCOOKIE');
        expect(await errnoOf(fs.list(alice, (await makeFile(fs, alice, top, 'a')).handle, WHOLE))).toBe(
          'ENOTDIR',
        );
      });
    });
  });
}

const WHOLE = { cookie: 0n, verifier: new Uint8Array(8), entriesMax: 4096, plus: true };
