// Who may do what: by the client's address, by the link's options, and by the kernel's verdict on the caller.
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MOUNT } from '../../lib/nfs/exports_host.ts';
import { buildPath, parseDump, parseExports } from '../../lib/nfs/other_programs.ts';
import { changed, link, mkdir, mv, set, unlink } from '../../unit/file/lib.ts';
import {
  ALICE,
  BOB,
  bytes,
  Files,
  handleIn,
  READER,
  ROOT,
  Site,
  STRANGER,
  status,
  TRUSTED,
  text,
} from './support.ts';

const ROOT_SQUASHED = '192.0.2.2';
const ALL_SQUASHED = '192.0.2.3';
const NOBODY = 65_534;
const ACCES = 13;

let site: Site;
let data: Uint8Array;

beforeEach(async () => {
  site = new Site();
  data = await site.host.client(TRUSTED, ALICE).root('/data');
});
afterEach(() => {
  expect(site.host.bugs).toEqual([]);
  site.remove();
});

const onDisk = (...names: string[]) => join(site.shared, ...names);
const owner = async (files: Files, name: string) => {
  await files.make(data, name);
  const { uid, gid } = statSync(onDisk(name));
  return { uid, gid };
};

describe('a client', () => {
  test('that no rule names sees nothing, with a good handle or without', async () => {
    const stranger = site.host.client(STRANGER, ROOT);
    for (const path of ['/', '/data', '/projects', '/nowhere', '/data/x'])
      expect([path, (await stranger.mount(path)).status]).toEqual([path, ACCES]);
    const top = await site.host.client(TRUSTED, ALICE).root('/');
    const said = [];
    for (const handle of [data, top]) {
      said.push(status(await stranger.nfs('GETATTR', { handle })));
      said.push(status(await stranger.nfs('ACCESS', { handle, access: 0x3f })));
      said.push(status(await stranger.nfs('LOOKUP', { directory: handle, name: bytes('data') })));
      const list = { directory: handle, cookie: 0n, verifier: 0n };
      said.push(status(await stranger.nfs('READDIR', { ...list, count: 4096 })));
      said.push(status(await stranger.nfs('READDIRPLUS', { ...list, dircount: 4096, maxcount: 4096 })));
      said.push(status(await stranger.nfs('FSSTAT', { handle })));
    }
    expect(new Set(said)).toEqual(new Set(['ACCES']));
    expect(parseExports(await stranger.results(MOUNT, 5, new Uint8Array(0)))).toEqual([]);
  });

  test('that may read changes nothing', async () => {
    const file = await site.files(TRUSTED, ALICE).make(data, 'a', 'hello', 0o666);
    const { client } = new Files(site.host.client(READER, ALICE));
    const { attributes } = await client.nfs('GETATTR', { handle: file });
    const here = { directory: data, name: bytes('b') };
    const there = { directory: data, name: bytes('a') };
    const said = [
      await client.nfs('SETATTR', { handle: file, attributes: { mode: 0o600 } }),
      await client.nfs('WRITE', { handle: file, offset: 0n, stable: 0, data: bytes('x') }),
      await client.nfs('COMMIT', { handle: file, offset: 0n, count: 0 }),
      await client.nfs('CREATE', { ...here, mode: 0, attributes: {} }),
      await client.nfs('CREATE', { ...here, mode: 2, verifier: 1n }),
      await client.nfs('MKDIR', { ...here, attributes: {} }),
      await client.nfs('SYMLINK', { ...here, attributes: {}, path: bytes('x') }),
      await client.nfs('MKNOD', { ...here, type: 7, attributes: {} }),
      await client.nfs('REMOVE', there),
      await client.nfs('RMDIR', there),
      await client.nfs('RENAME', { from: there, to: here }),
      await client.nfs('LINK', { handle: file, ...here }),
    ].map(status);
    expect(said).toEqual(said.map(() => 'ROFS'));
    expect((await client.nfs('GETATTR', { handle: file })).attributes).toEqual(attributes);
    expect((await client.nfs('ACCESS', { handle: file, access: 0x3f })).access).toBe(1);
    expect(text((await client.nfs('READ', { handle: file, offset: 0n, count: 9 })).data!)).toBe('hello');
  });

  test('has the access that the link gives now, on connections that it has', async () => {
    const client = site.host.client(TRUSTED, ALICE);
    const create = (name: string) =>
      client.nfs('CREATE', { directory: data, name: bytes(name), mode: 1, attributes: {} });
    const now = (...commands: Parameters<typeof changed>[1][]) =>
      site.host.view.become(changed(site.host.view.namespace, ...commands));
    expect(status(await create('a'))).toBe('OK');
    now(set('/data', { readOnly: true }));
    expect(status(await create('b'))).toBe('ROFS');
    now(
      set('/data', {
        readOnly: false,
        clients: [{ address: '198.51.100.0/24', access: 'rw', squash: 'none' }],
      }),
    );
    expect(status(await create('c'))).toBe('ACCES');
    now(unlink('/data'));
    expect(status(await create('d'))).toBe('STALE');
  });
});

describe('squashing', () => {
  test('is none, of root, or of all', async () => {
    const nobody = { uid: NOBODY, gid: NOBODY };
    expect(await owner(site.files(TRUSTED, ROOT), 'a')).toEqual(ROOT);
    expect(await owner(site.files(ROOT_SQUASHED, ROOT), 'b')).toEqual(nobody);
    expect(await owner(site.files(ROOT_SQUASHED, ALICE), 'c')).toEqual(ALICE);
    expect(await owner(site.files(ROOT_SQUASHED, { ...ALICE, gid: 0 }), 'd')).toEqual({
      ...ALICE,
      gid: NOBODY,
    });
    expect(await owner(site.files(ALL_SQUASHED, ALICE), 'e')).toEqual(nobody);
    expect(await owner(site.files(TRUSTED, undefined), 'f')).toEqual(nobody);
    expect(await owner(site.files(TRUSTED, { uid: 0xffff_ffff, gid: 5 }), 'g')).toEqual(nobody);
    expect(await owner(site.files(TRUSTED, { ...ALICE, gid: 0xffff_ffff }), 'h')).toEqual({
      ...ALICE,
      gid: NOBODY,
    });
  });

  test('gives the ids that the link says', async () => {
    const { view } = site.host;
    view.become(changed(view.namespace, set('/data', { anonymousUid: 4711, anonymousGid: 4712 })));
    expect(await owner(site.files(ALL_SQUASHED, ROOT), 'a')).toEqual({ uid: 4711, gid: 4712 });
  });

  test('takes the group of root from the supplementary ones', async () => {
    writeFileSync(onDisk('roots'), 'secret');
    chownSync(onDisk('roots'), 1, 0);
    chmodSync(onDisk('roots'), 0o640);
    const wheel = { ...ALICE, gids: [0] };
    const roots = await site.files(TRUSTED, wheel).find(data, 'roots');
    expect(await site.files(TRUSTED, wheel).content(roots)).toBe('secret');
    expect(await site.files(ROOT_SQUASHED, wheel).content(roots)).toBe('ACCES');
  });
});

describe('the kernel decides', () => {
  test('by user, group and supplementary groups', async () => {
    const alice = site.files(TRUSTED, ALICE);
    const file = await alice.make(data, 'a', 'hello', 0o640);
    const bob = site.files(TRUSTED, BOB);
    const friend = site.files(TRUSTED, { ...BOB, gids: [5, ALICE.gid] });
    expect([await alice.content(file), await bob.content(file), await friend.content(file)]).toEqual([
      'hello',
      'ACCES',
      'hello',
    ]);
    const write = { handle: file, offset: 0n, stable: 0, data: bytes('x') };
    expect(status(await friend.client.nfs('WRITE', write))).toBe('ACCES');
    expect(status(await site.host.client(ROOT_SQUASHED, ROOT).nfs('WRITE', write))).toBe('ACCES');
    expect(status(await site.host.client(TRUSTED, ROOT).nfs('WRITE', write))).toBe('OK');
  });

  test('one call after the other on one connection', async () => {
    const client = site.host.client(TRUSTED, ALICE);
    const file = await new Files(client).make(data, 'a', 'hello', 0o600);
    const read = { handle: file, offset: 0n, count: 9 };
    for (let round = 0; round < 40; round++) {
      const said = await Promise.all(
        [ALICE, BOB, ROOT, undefined].map((auth) => client.nfs('READ', read, { auth })),
      );
      expect(said.map(status)).toEqual(['OK', 'ACCES', 'OK', 'ACCES']);
    }
  });

  test('about directories', async () => {
    const alice = site.files(TRUSTED, ALICE);
    const own = await alice.makeDirectory(data, 'own', 0o700);
    await alice.make(own, 'inside');
    const bob = site.host.client(TRUSTED, BOB);
    const inside = { directory: own, name: bytes('inside') };
    const said = [
      await bob.nfs('LOOKUP', inside),
      await bob.nfs('LOOKUP', { directory: own, name: bytes('.') }),
      await bob.nfs('LOOKUP', { directory: own, name: bytes('..') }),
      await bob.nfs('READDIR', { directory: own, cookie: 0n, verifier: 0n, count: 4096 }),
      await bob.nfs('CREATE', { directory: own, name: bytes('b'), mode: 1, attributes: {} }),
      await bob.nfs('REMOVE', inside),
      await bob.nfs('RENAME', { from: inside, to: { directory: data, name: bytes('x') } }),
    ].map(status);
    expect(said).toEqual(said.map(() => 'ACCES'));
    expect((await bob.nfs('ACCESS', { handle: own, access: 0x3f })).access).toBe(0);
  });

  test('who has a sticky directory to itself', async () => {
    chmodSync(site.shared, 0o1777);
    await site.files(TRUSTED, ALICE).make(data, 'a');
    const bob = site.host.client(TRUSTED, BOB);
    expect(['PERM', 'ACCES']).toContain(
      status(await bob.nfs('REMOVE', { directory: data, name: bytes('a') })),
    );
  });
});

describe('mounting', () => {
  test('gives what LOOKUP gives, of folders, links and what is below', async () => {
    const alice = site.files(TRUSTED, ALICE);
    await alice.makeDirectory(data, 'sub');
    const { client } = alice;
    const top = await client.root('/');
    expect(await client.root('/projects/deep/again')).toEqual(
      await alice.find(top, 'projects', 'deep', 'again'),
    );
    expect(await client.root('/data/sub')).toEqual(await alice.find(data, 'sub'));
    expect(await client.root('//data//')).toEqual(data);
    expect((await client.mount('/data')).flavors).toEqual([1]);
  });

  test.each([
    ['', 2],
    ['data', 2],
    ['/nowhere', 2],
    ['/data/nowhere', 2],
    ['/data/file', 20],
    ['/data/link', 20],
    ['/data/../../secret', 13],
    ['/closed', 13],
    [`/${'n'.repeat(256)}`, 63],
    ['/data/a\0b', 22],
  ])('%j is refused', async (path, expected) => {
    const alice = site.files(TRUSTED, ALICE);
    await alice.make(data, 'file');
    const link = { directory: data, name: bytes('link'), attributes: {}, path: bytes('/') };
    await alice.client.nfs('SYMLINK', link);
    expect((await alice.client.mount(path)).status).toBe(expected);
  });

  test('below a link has the rights of the caller', async () => {
    mkdirSync(onDisk('own', 'inner'), { recursive: true });
    chownSync(onDisk('own'), ALICE.uid, ALICE.gid);
    chmodSync(onDisk('own'), 0o700);
    expect((await site.host.client(TRUSTED, ALICE).mount('/data/own/inner')).status).toBe(0);
    expect((await site.host.client(TRUSTED, BOB).mount('/data/own/inner')).status).toBe(ACCES);
  });

  test('is remembered until it is taken back', async () => {
    const client = site.host.client(TRUSTED, ALICE);
    await client.root('/projects');
    const dump = async () => parseDump(await client.results(MOUNT, 2, new Uint8Array(0)));
    const all = ['/data', '/projects'].map((directory) => ({ hostname: TRUSTED, directory }));
    expect(await dump()).toEqual(all);
    expect(site.host.exports.mounts()).toEqual(
      all.map((it) => ({ client: it.hostname, path: it.directory })),
    );
    await client.results(MOUNT, 3, buildPath('/data'));
    expect(await dump()).toEqual([all[1]]);
    await client.results(MOUNT, 4, new Uint8Array(0));
    expect(await dump()).toEqual([]);
  });

  test('lists what the client may mount, and who else', async () => {
    const { view } = site.host;
    const everybody = [{ address: '0.0.0.0/0', access: 'ro', squash: 'all' } as const];
    view.become(changed(view.namespace, link('/public', { target: 'shared', clients: everybody })));
    const list = async (address: string) =>
      parseExports(await site.host.client(address).results(MOUNT, 5, new Uint8Array(0)));
    const groups = [`${TRUSTED}/32`, '192.0.2.2', '192.0.2.3', '192.0.2.64/26'];
    expect(await list(TRUSTED)).toEqual([
      { directory: '/data', groups },
      { directory: '/projects/deep/again', groups },
      { directory: '/public', groups: [] },
    ]);
    expect(await list(STRANGER)).toEqual([{ directory: '/public', groups: [] }]);
  });
});

describe('virtual folders', () => {
  test('are directories that nothing can be made in or taken out of', async () => {
    const alice = site.files(TRUSTED, ROOT);
    const { client } = alice;
    const top = await client.root('/');
    const projects = await alice.find(top, 'projects');
    const file = await alice.make(data, 'file');
    const fresh = { directory: top, name: bytes('fresh') };
    const known = { directory: top, name: bytes('projects') };
    const gone = { directory: top, name: bytes('gone') };
    const said = {
      setattr: await client.nfs('SETATTR', { handle: top, attributes: { mode: 0o777 } }),
      create: await client.nfs('CREATE', { ...fresh, mode: 0, attributes: {} }),
      mkdir: await client.nfs('MKDIR', { ...fresh, attributes: {} }),
      mkdirKnown: await client.nfs('MKDIR', { ...known, attributes: {} }),
      symlink: await client.nfs('SYMLINK', { ...fresh, attributes: {}, path: bytes('x') }),
      mknod: await client.nfs('MKNOD', { ...fresh, type: 7, attributes: {} }),
      remove: await client.nfs('REMOVE', known),
      removeGone: await client.nfs('REMOVE', gone),
      rmdir: await client.nfs('RMDIR', known),
      rename: await client.nfs('RENAME', { from: known, to: fresh }),
      renameIn: await client.nfs('RENAME', { from: { directory: data, name: bytes('file') }, to: fresh }),
      renameOut: await client.nfs('RENAME', { from: known, to: { directory: data, name: bytes('x') } }),
      link: await client.nfs('LINK', { handle: file, ...fresh }),
      linkOfFolder: await client.nfs('LINK', { handle: projects, directory: data, name: bytes('x') }),
      read: await client.nfs('READ', { handle: top, offset: 0n, count: 1 }),
      write: await client.nfs('WRITE', { handle: top, offset: 0n, stable: 0, data: bytes('x') }),
      commit: await client.nfs('COMMIT', { handle: top, offset: 0n, count: 0 }),
      readlink: await client.nfs('READLINK', { handle: top }),
    };
    expect(Object.fromEntries(Object.entries(said).map(([name, reply]) => [name, status(reply)]))).toEqual({
      setattr: 'ROFS',
      create: 'ROFS',
      mkdir: 'ROFS',
      mkdirKnown: 'EXIST',
      symlink: 'ROFS',
      mknod: 'ROFS',
      remove: 'ROFS',
      removeGone: 'NOENT',
      rmdir: 'ROFS',
      rename: 'ROFS',
      renameIn: 'ROFS',
      renameOut: 'ROFS',
      link: 'ROFS',
      linkOfFolder: 'INVAL',
      read: 'ISDIR',
      write: 'ROFS',
      commit: 'ROFS',
      readlink: 'INVAL',
    });
    expect((await client.nfs('ACCESS', { handle: top, access: 0x3f })).access).toBe(0x03);
  });

  test('list what the client has access to, and nothing else', async () => {
    const { view } = site.host;
    const clients = [{ address: READER, access: 'ro', squash: 'root' } as const];
    const only = link('/only', { target: 'shared', clients });
    view.become(changed(view.namespace, mkdir('/empty', { admin: [STRANGER] }), only));
    const reader = site.files(READER, ALICE);
    const top = await reader.client.root('/');
    expect(await reader.names(top)).toEqual(['.', '..', 'projects', 'data', 'empty', 'only']);
    expect(await site.files(TRUSTED, ALICE).names(top)).toEqual(['.', '..', 'projects', 'data', 'empty']);
    // Who administers a folder is no stranger any more.
    expect(await site.files(STRANGER, ALICE).names(top)).toEqual(['.', '..', 'projects', 'empty']);
    for (const name of ['closed', 'only']) {
      const looked = await site.host.client(TRUSTED).nfs('LOOKUP', { directory: top, name: bytes(name) });
      expect(status(looked)).toBe('ACCES');
    }
  });

  test('go on after a cookie whatever comes and goes', async () => {
    const { view } = site.host;
    const clients = [{ address: TRUSTED, access: 'ro', squash: 'root' } as const];
    const add = (...names: string[]) =>
      view.become(
        changed(view.namespace, ...names.map((name) => link(`/${name}`, { target: 'shared', clients }))),
      );
    add('a', 'b', 'c', 'd');
    const alice = site.files(TRUSTED, ALICE);
    const top = await alice.client.root('/');
    const page = (cookie: bigint, verifier: bigint) =>
      alice.client.nfs('READDIR', { directory: top, cookie, verifier, count: 250 });
    const first = await page(0n, 0n);
    expect(first.eof).toBe(false);
    const names = first.entries!.map(({ name }) => text(name));
    view.become(changed(view.namespace, unlink(`/${names.at(-1)}`), unlink('/d')));
    add('e');
    expect(names).not.toContain('d');
    let { cookie } = first.entries!.at(-1)!;
    for (;;) {
      const next = await page(cookie, first.verifier!);
      names.push(...next.entries!.map(({ name }) => text(name)));
      if (next.eof) break;
      cookie = next.entries!.at(-1)!.cookie;
    }
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(['.', '..', 'projects', 'data', 'c', 'e']));
    expect(status(await page(cookie, first.verifier! + 1n))).toBe('BAD_COOKIE');
  });

  test('keep handles of what is moved and renamed', async () => {
    const alice = site.files(TRUSTED, ALICE);
    const top = await alice.client.root('/');
    const projects = await alice.find(top, 'projects');
    const file = await alice.make(await alice.find(top, 'projects', 'deep', 'again'), 'file', 'hello');
    const { view } = site.host;
    view.become(changed(view.namespace, mv('/projects', '/renamed'), mv('/renamed/deep/again', '/data2')));
    expect(await alice.find(top, 'renamed')).toEqual(projects);
    expect(await alice.content(file)).toBe('hello');
    expect(await alice.find(await alice.find(top, 'data2'), '..')).toEqual(top);
    expect(status(await alice.client.nfs('LOOKUP', { directory: top, name: bytes('projects') }))).toBe(
      'NOENT',
    );
  });

  test('have the rights that their mode gives', async () => {
    const { view } = site.host;
    view.become(changed(view.namespace, set('/projects', { mode: '0710', uid: ALICE.uid, gid: BOB.gid })));
    const top = await site.host.client(TRUSTED, ALICE).root('/');
    const asked = async (auth: typeof ALICE) => {
      const files = site.files(TRUSTED, auth);
      const found = await files.client.nfs('LOOKUP', { directory: top, name: bytes('projects') });
      const handle = handleIn(found);
      const inner = await files.client.nfs('LOOKUP', { directory: handle, name: bytes('deep') });
      const list = { directory: handle, cookie: 0n, verifier: 0n, count: 4096 };
      const { access } = await files.client.nfs('ACCESS', { handle, access: 0x3f });
      return [status(inner), status(await files.client.nfs('READDIR', list)), access];
    };
    expect(await asked(ALICE)).toEqual(['OK', 'OK', 3]);
    expect(await asked(BOB)).toEqual(['OK', 'ACCES', 2]);
    expect(await asked({ uid: 1, gid: 1 })).toEqual(['ACCES', 'ACCES', 0]);
    expect(await asked(ROOT)).toEqual(['OK', 'OK', 3]);
  });
});
