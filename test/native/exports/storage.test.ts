// What clients are told when the storage is full, read-only, gone or hangs, or has lost data: nothing is acknowledged that
// was not done. Full and read-only are real file systems.
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import { type Changed, type FileSystem, NO_CHANGE } from '../../../control/file/filesystem/port.ts';
import { ExportsHost } from '../../lib/nfs/exports_host.ts';
import { link, made, storage } from '../../unit/file/lib.ts';
import { OwnStorage } from '../file/support.ts';
import { ALICE, bytes, Files, Site, status, TRUSTED } from './support.ts';

const MIB = 1 << 20;

let site: Site;
let alice: Files;
let data: Uint8Array;
let file: Uint8Array;

beforeEach(async () => {
  site = new Site();
  alice = site.files(TRUSTED, ALICE);
  data = await alice.client.root('/data');
  file = await alice.make(data, 'a', 'hello');
});
afterEach(() => {
  expect(site.host.bugs).toEqual([]);
  site.remove();
});

const nfs: Files['client']['nfs'] = (...call) => alice.client.nfs(...call);
const write = (stable: number, handle = file) =>
  nfs('WRITE', { handle, offset: 0n, stable, data: bytes('x') });
const commit = (handle = file) => nfs('COMMIT', { handle, offset: 0n, count: 0 });
const failed = (errno: string) => ({ ok: false, errno, change: NO_CHANGE }) as const;

describe('data that may be lost', () => {
  test('has another verifier from then on, and the failure is told', async () => {
    const before = await write(0);
    const fs = { ...site.fs, commit: (): Changed => failed('EIO') };
    site.storages.set('data', fs);
    const first = (await write(0)).verifier;
    // A storage that was opened anew has another one as well.
    expect(first).not.toBe(before.verifier);
    expect(status(await commit())).toBe('IO');
    const second = (await write(0)).verifier;
    expect(second).not.toBe(first);
    fs.commit = site.fs.commit as typeof fs.commit;
    expect((await commit()).verifier).toBe(second);
  });

  test.each(['EIO', 'ENOSPC', 'EDQUOT', 'EBUSYNOW'])('after %s of a stable write', async (errno) => {
    const fs: FileSystem = {
      ...site.fs,
      write: (...call) => (call[4] === 'unstable' ? site.fs.write(...call) : failed(errno)),
    };
    site.storages.set('data', fs);
    const before = (await write(0)).verifier;
    expect(status(await write(2))).not.toBe('OK');
    expect((await commit()).verifier).not.toBe(before);
  });

  test('is not acknowledged to whoever wrote before and is answered after', async () => {
    const begun = Promise.withResolvers<void>();
    const fs: FileSystem = {
      ...site.fs,
      write: async (...call) => {
        await begun.promise;
        return await site.fs.write(...call);
      },
      commit: () => failed('EIO'),
    };
    site.storages.set('data', fs);
    const slow = write(0);
    expect(status(await commit())).toBe('IO');
    begun.resolve();
    const { verifier } = await slow;
    fs.commit = site.fs.commit;
    expect((await commit()).verifier).not.toBe(verifier);
  });

  test('fails the stable write that the kernel called done, while another sync of the file failed', async () => {
    const other = Promise.withResolvers<Changed>();
    site.replace({ commit: () => other.promise });
    const committing = commit();
    const writing = write(2);
    let answered = false;
    void writing.then(() => {
      answered = true;
    });
    await site.fs.attributesOf(site.fs.root);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(false);
    other.resolve(failed('EIO'));
    expect([status(await committing), status(await writing)]).toEqual(['IO', 'IO']);
  });
});

describe('a storage', () => {
  test('that does not answer in time has the client come again', async () => {
    const busy = () => failed('EBUSYNOW');
    site.replace({
      read: busy,
      write: busy,
      attributesOf: busy,
      create: busy,
      lookUp: () => ({ ...failed('EBUSYNOW'), directory: undefined }),
    });
    const said = [
      await nfs('READ', { handle: file, offset: 0n, count: 10 }),
      await write(0),
      await nfs('GETATTR', { handle: file }),
      await nfs('CREATE', { directory: data, name: bytes('b'), mode: 1, attributes: {} }),
      await nfs('LOOKUP', { directory: data, name: bytes('b') }),
    ].map(status);
    expect(said).toEqual(said.map(() => 'JUKEBOX'));
  });

  test('that is not there has the client come again, and handles are good when it is back', async () => {
    site.storages.delete('data');
    expect(status(await nfs('GETATTR', { handle: file }))).toBe('JUKEBOX');
    expect((await alice.client.mount('/data')).status).toBe(5);
    const { id } = site.host.view.at('/data')!;
    expect((await site.host.exports.checkLink(id))?.body.cause).toContain('storage data is not there');
    site.storages.set('data', site.fs);
    expect(await alice.content(file)).toBe('hello');
    expect(await site.host.exports.checkLink(id)).toBeUndefined();
  });

  test('whose directory is gone leads nowhere', async () => {
    rmSync(site.shared, { recursive: true });
    expect(status(await nfs('GETATTR', { handle: data }))).toBe('STALE');
    expect((await alice.client.mount('/data')).status).toBe(2);
  });

  test('that breaks the contract is a bug, which the client is told of, and nothing else breaks', async () => {
    site.replace({
      attributesOf: () => {
        throw new Error('a bug');
      },
      rightsOf: () => Promise.reject(new Error('another')),
    });
    const what = async (procedure: number, args: Uint8Array) =>
      (await alice.client.raw({ program: 100_003, version: 3 }, procedure, args)).what;
    const handle = Uint8Array.from([0, 0, 0, file.length, ...file]);
    expect(await what(1, handle)).toBe('SYSTEM_ERR');
    expect(await what(4, Uint8Array.from([...handle, 0, 0, 0, 1]))).toBe('SYSTEM_ERR');
    expect(site.host.bugs.splice(0).map(String)).toEqual(['Error: a bug', 'Error: another']);
    expect(await alice.content(file)).toBe('hello');
  });
});

describe('a real one', () => {
  let own: OwnStorage;
  let fs: FileSystem;
  let files: Files;
  let top: Uint8Array;

  beforeEach(async () => {
    own = new OwnStorage();
    fs = openLocalFileSystem(own.path, { patienceMs: 300 });
    const clients = [{ address: TRUSTED, access: 'rw', squash: 'root' } as const];
    const namespace = made(storage('own', 9), link('/own', { storage: 'own', target: '.', clients }));
    const host = new ExportsHost(namespace, new Map([['own', fs]]));
    files = new Files(host.client(TRUSTED, ALICE));
    top = await files.client.root('/own');
  });
  afterEach(() => {
    own.thaw();
    fs.close();
    own.remove();
  });

  test('that is full says so, and keeps what it said it has', async () => {
    const handle = await files.make(top, 'large');
    let kept = 0;
    let last = '';
    for (let offset = 0; offset < 32 * MIB; offset += MIB) {
      const block = { handle, offset: BigInt(offset), stable: 2, data: new Uint8Array(MIB).fill(5) };
      const written = await files.client.nfs('WRITE', block);
      last = status(written);
      if (written.status !== 0) break;
      kept = offset + written.count!;
    }
    expect(last).toBe('NOSPC');
    const { attributes } = await files.client.nfs('GETATTR', { handle });
    expect(attributes!.size).toBeGreaterThanOrEqual(BigInt(kept));
    expect(await files.content(await files.make(top, 'small'))).toBe('');
  });

  test('that is read-only says so', async () => {
    const handle = await files.make(top, 'a');
    // Descriptors that write keep it from becoming so.
    await expect
      .poll(
        () => {
          try {
            own.remount('ro');
            return true;
          } catch {
            return false;
          }
        },
        { timeout: 10_000, interval: 200 },
      )
      .toBe(true);
    const said = [
      await files.client.nfs('WRITE', { handle, offset: 0n, stable: 0, data: bytes('x') }),
      await files.client.nfs('CREATE', { directory: top, name: bytes('b'), mode: 1, attributes: {} }),
      await files.client.nfs('SETATTR', { handle, attributes: { mode: 0o600 } }),
      await files.client.nfs('REMOVE', { directory: top, name: bytes('a') }),
    ].map(status);
    expect(said).toEqual(said.map(() => 'ROFS'));
    own.remount('rw');
  });

  test('that hangs has the client come again, and others are answered', async () => {
    const handle = await files.make(top, 'a', 'hello');
    own.freeze();
    const call = { directory: top, name: bytes('b'), mode: 1, attributes: {} } as const;
    const [created, read] = await Promise.all([files.client.nfs('CREATE', call), files.content(handle)]);
    expect([status(created), read]).toEqual(['JUKEBOX', 'hello']);
    own.thaw();
  });
});
