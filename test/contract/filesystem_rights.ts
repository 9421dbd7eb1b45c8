// The part of the file system's contract that is about rights: what a caller makes is its own, and what it may is what the
// storage says of that caller alone, also when many callers are served at once.
import { describe, expect, test } from 'vitest';
import type { Caller, FileSystem } from '../../control/file/filesystem/port.ts';
import {
  alice,
  bob,
  bobOfAlice,
  bytes,
  contentOf,
  errnoOf,
  makeDirectory,
  makeFile,
  must,
  nobody,
  root,
} from './filesystem_support.ts';

export function rightsContract(current: () => FileSystem): void {
  describe('rights', () => {
    test('what a caller makes belongs to it, with exactly the mode it said', async () => {
      const fs = current();
      for (const caller of [root, alice, bob, nobody]) {
        const name = (what: string): Uint8Array => bytes(`${what}-${caller.uid}`);
        const mine = { uid: caller.uid, gid: caller.gid };
        const attributes = { mode: 0o666 };
        const made = [
          await must(fs.create(caller, fs.root, name('file'), { how: 'guarded', attributes })),
          await must(fs.makeDirectory(caller, fs.root, name('directory'), { mode: 0o777 })),
          await must(fs.makeNode(caller, fs.root, name('fifo'), { kind: 'fifo' }, { mode: 0o622 })),
          await must(fs.makeLink(caller, fs.root, name('link'), bytes('x'), {})),
        ];
        for (const { attributes } of made) expect(attributes).toMatchObject(mine);
        expect(made.map(({ attributes }) => attributes.mode)).toEqual([0o666, 0o777, 0o622, 0o777]);
      }
      const given = { uid: bob.uid, gid: bob.gid };
      const told = await must(fs.create(root, fs.root, bytes('told'), { how: 'guarded', attributes: given }));
      expect(told.attributes).toMatchObject(given);
      const claimed = await must(
        fs.create(alice, fs.root, bytes('claim'), { how: 'guarded', attributes: given }),
      );
      expect(claimed.attributes).toMatchObject({ uid: alice.uid, gid: alice.gid });
    });

    test('a supplementary group opens what it should, and only that', async () => {
      const fs = current();
      const { handle } = await makeFile(fs, alice, fs.root, 'shared', 'text', { mode: 0o640 });
      expect(await contentOf(fs, bobOfAlice, handle)).toBe('text');
      expect(await errnoOf(fs.read(bob, handle, 0n, Buffer.alloc(4)))).toBe('EACCES');
      expect(await errnoOf(fs.write(bobOfAlice, handle, 0n, bytes('x'), 'unstable'))).toBe('EACCES');
      expect((await must(fs.rightsOf(bobOfAlice, handle))).rights).toEqual({
        read: true,
        write: false,
        execute: false,
      });
      // A group to give a file to must be one's own.
      const mine = (await makeFile(fs, bobOfAlice, fs.root, 'mine')).handle;
      await must(fs.setAttributes(bobOfAlice, mine, { gid: alice.gid }));
      expect(await errnoOf(fs.setAttributes(bobOfAlice, mine, { gid: 62_999 }))).toBe('EPERM');
      expect(await errnoOf(fs.setAttributes(bob, mine, { gid: 62_900 }))).toBe('EPERM');
    });

    test('who is not root has nothing of its rights', async () => {
      const fs = current();
      const secret = (await makeFile(fs, root, fs.root, 'secret', 'text', { mode: 0o600 })).handle;
      const closed = await makeDirectory(fs, root, fs.root, 'closed', 0o700);
      const inside = (await makeFile(fs, root, closed, 'inside', 'text')).handle;
      expect(inside.length).toBeGreaterThan(0);
      for (const caller of [alice, nobody, { uid: 61_003, gid: 0, groups: [] }] satisfies Caller[]) {
        const refused: Record<string, unknown> = {
          read: fs.read(caller, secret, 0n, Buffer.alloc(4)),
          write: fs.write(caller, secret, 0n, bytes('x'), 'unstable'),
          commit: fs.commit(caller, secret),
          size: fs.setAttributes(caller, secret, { sizeBytes: 0n }),
          lookUp: fs.lookUp(caller, closed, bytes('inside')),
          list: fs.list(caller, closed, {
            cookie: 0n,
            verifier: new Uint8Array(8),
            entriesMax: 9,
            plus: true,
          }),
          create: fs.create(caller, closed, bytes('new'), { how: 'guarded', attributes: {} }),
          makeDirectory: fs.makeDirectory(caller, closed, bytes('new'), {}),
          remove: fs.remove(caller, closed, bytes('inside')),
          link: fs.link(caller, secret, closed, bytes('new')),
        };
        for (const [operation, answer] of Object.entries(refused)) {
          expect([operation, await errnoOf(answer as never)]).toEqual([operation, 'EACCES']);
        }
        const mode = fs.setAttributes(caller, secret, { mode: 0o777 });
        expect(await errnoOf(mode)).toBe('EPERM');
        expect(await errnoOf(fs.setAttributes(caller, secret, { uid: caller.uid }))).toBe('EPERM');
        const { rights } = await must(fs.rightsOf(caller, closed));
        expect(rights).toEqual({ read: false, write: false, execute: false });
      }
      expect(await contentOf(fs, root, secret)).toBe('text');
    });

    test('the sticky bit keeps names of others', async () => {
      const fs = current();
      const directory = await makeDirectory(fs, root, fs.root, 'sticky', 0o1777);
      await makeFile(fs, alice, directory, 'a');
      expect(await errnoOf(fs.remove(bob, directory, bytes('a')))).toBe('EPERM');
      const rename = fs.rename(bob, { directory, name: bytes('a') }, { directory, name: bytes('b') });
      expect(await errnoOf(rename)).toBe('EPERM');
      await must(fs.remove(alice, directory, bytes('a')));
    });

    test('who owns a file may use it whatever its mode, and who may execute it may read it', async () => {
      const fs = current();
      const { handle } = await makeFile(fs, alice, fs.root, 'own', '', { mode: 0o000 });
      await must(fs.write(alice, handle, 0n, bytes('late'), 'all'));
      await must(fs.setAttributes(alice, handle, { sizeBytes: 2n }));
      expect(await contentOf(fs, alice, handle)).toBe('la');
      expect((await must(fs.rightsOf(alice, handle))).rights.read).toBe(false);
      expect(await errnoOf(fs.read(bob, handle, 0n, Buffer.alloc(4)))).toBe('EACCES');
      await must(fs.setAttributes(alice, handle, { mode: 0o711 }));
      expect(await contentOf(fs, bob, handle)).toBe('la');
      expect(await errnoOf(fs.write(bob, handle, 0n, bytes('x'), 'unstable'))).toBe('EACCES');
    });

    test('a right that is taken away is gone at once, however often it was used', async () => {
      const fs = current();
      const { handle } = await makeFile(fs, alice, fs.root, 'f', 'text', { mode: 0o644 });
      const directory = await makeDirectory(fs, alice, fs.root, 'd', 0o755);
      await makeFile(fs, alice, directory, 'in', 'text');
      // Long enough that what was found is remembered.
      await new Promise((resolve) => setTimeout(resolve, 150));
      for (let round = 0; round < 3; round += 1) {
        for (let i = 0; i < 5; i += 1) {
          expect(await contentOf(fs, bob, handle)).toBe('text');
          await must(fs.lookUp(bob, directory, bytes('in')));
        }
        await must(fs.setAttributes(alice, handle, { mode: 0o600 }));
        await must(fs.setAttributes(alice, directory, { mode: 0o700 }));
        for (let i = 0; i < 3; i += 1) {
          expect(await errnoOf(fs.read(bob, handle, 0n, Buffer.alloc(4)))).toBe('EACCES');
          expect(await errnoOf(fs.lookUp(bob, directory, bytes('in')))).toBe('EACCES');
          expect(await contentOf(fs, alice, handle)).toBe('text');
        }
        await must(fs.setAttributes(alice, handle, { mode: 0o644 }));
        await must(fs.setAttributes(alice, directory, { mode: 0o755 }));
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    });

    test('callers that are served at the same time keep apart', async () => {
      const fs = current();
      const callers = Array.from(
        { length: 12 },
        (_, i): Caller => ({ uid: 61_100 + i, gid: 62_100 + i, groups: [i] }),
      );
      const secrets = await Promise.all(
        callers.map((caller) =>
          makeFile(fs, caller, fs.root, `s${caller.uid}`, `${caller.uid}`, { mode: 0o600 }),
        ),
      );
      const work: Promise<void>[] = [];
      for (let i = 0; i < 600; i += 1) {
        const caller = callers[(i * 7) % callers.length]!;
        const owner = (i * 5) % callers.length;
        const mine = callers[owner] === caller;
        const name = `n${i}`;
        work.push(
          (async () => {
            const { attributes } = await makeFile(fs, caller, fs.root, name);
            expect(attributes).toMatchObject({ uid: caller.uid, gid: caller.gid });
            const read = errnoOf(fs.read(caller, secrets[owner]!.handle, 0n, Buffer.alloc(5)));
            expect(await read).toBe(mine ? 'none' : 'EACCES');
          })(),
        );
      }
      await Promise.all(work);
    });
  });
}
