// Nothing outside of a link is readable or writable, whatever a client sends: forged, stale and foreign handles, races of
// symbolic links and renames, `..`, devices and FIFOs. `secret` lies beside the link's directory and is watched.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HandleSeal } from '../../../control/file/exports/handle.ts';
import { ALICE, bytes, type Files, handleIn, ROOT, Site, status, TRUSTED, text } from './support.ts';

const SECRET = 'nobody may read this';

let site: Site;
let root: Files;
let data: Uint8Array;
let secret: string;

beforeEach(async () => {
  site = new Site();
  secret = join(site.path, 'secret', 'file');
  writeFileSync(secret, SECRET);
  chmodSync(secret, 0o666);
  chmodSync(join(site.path, 'secret'), 0o777);
  root = site.files(TRUSTED, ROOT);
  data = await root.client.root('/data');
});
afterEach(() => {
  expect(site.host.bugs).toEqual([]);
  expect(readFileSync(secret, 'utf8')).toBe(SECRET);
  expect(readdirSync(join(site.path, 'secret'))).toEqual(['file']);
  site.remove();
});

const nfs: Files['client']['nfs'] = (...call) => root.client.nfs(...call);

/** All that can be asked of one handle; none may succeed. */
async function askAll(handle: Uint8Array): Promise<Set<string>> {
  const where = { directory: handle, name: bytes('x') };
  const good = { directory: data, name: bytes('x') };
  const list = { directory: handle, cookie: 0n, verifier: 0n };
  const said = [
    await nfs('GETATTR', { handle }),
    await nfs('SETATTR', { handle, attributes: { mode: 0o777 } }),
    await nfs('LOOKUP', where),
    await nfs('LOOKUP', { directory: handle, name: bytes('..') }),
    await nfs('ACCESS', { handle, access: 0x3f }),
    await nfs('READLINK', { handle }),
    await nfs('READ', { handle, offset: 0n, count: 100 }),
    await nfs('WRITE', { handle, offset: 0n, stable: 0, data: bytes('x') }),
    await nfs('CREATE', { ...where, mode: 0, attributes: {} }),
    await nfs('MKDIR', { ...where, attributes: {} }),
    await nfs('SYMLINK', { ...where, attributes: {}, path: bytes('x') }),
    await nfs('MKNOD', { ...where, type: 7, attributes: {} }),
    await nfs('REMOVE', where),
    await nfs('RMDIR', where),
    await nfs('RENAME', { from: where, to: good }),
    await nfs('RENAME', { from: good, to: where }),
    await nfs('LINK', { handle, ...good }),
    await nfs('LINK', { handle: data, ...where }),
    await nfs('READDIR', { ...list, count: 4096 }),
    await nfs('READDIRPLUS', { ...list, dircount: 4096, maxcount: 4096 }),
    await nfs('FSSTAT', { handle }),
    await nfs('FSINFO', { handle }),
    await nfs('PATHCONF', { handle }),
    await nfs('COMMIT', { handle, offset: 0n, count: 0 }),
  ];
  return new Set(said.map(status));
}

describe('a handle', () => {
  test('with any bit changed is none', async () => {
    const file = await root.make(data, 'a', 'x');
    for (const good of [file, await root.client.root('/')])
      for (let bit = 0; bit < good.length * 8; bit++) {
        const forged = Uint8Array.from(good);
        forged[bit >> 3]! ^= 1 << (bit & 7);
        expect([bit, status(await nfs('GETATTR', { handle: forged }))]).toEqual([bit, 'BADHANDLE']);
      }
  });

  test('that is cut, longer, empty or of zeros is none, for every procedure', async () => {
    for (const bad of [
      data.subarray(0, data.length - 1),
      Uint8Array.from([...data, 0]),
      new Uint8Array(0),
      new Uint8Array(16),
      new Uint8Array(64),
      data.subarray(8),
    ])
      expect(await askAll(bad)).toEqual(new Set(['BADHANDLE']));
  });

  test('sealed with another key is none', async () => {
    const { ino } = statSync(secret);
    const forger = new HandleSeal(new Uint8Array(16).fill(9));
    const guess = new Uint8Array(12);
    new DataView(guess.buffer).setUint32(0, 1, true);
    new DataView(guess.buffer).setUint32(4, ino, true);
    expect(await askAll(forger.file(site.host.view.at('/data')!.id, 7, guess))).toEqual(
      new Set(['BADHANDLE']),
    );
  });

  test('of what is removed is stale, for every procedure', async () => {
    for (const [name, make, remove] of [
      ['a', () => root.make(data, 'a'), 'REMOVE'],
      ['d', () => root.makeDirectory(data, 'd'), 'RMDIR'],
    ] as const) {
      const handle = await make();
      await nfs(remove, { directory: data, name: bytes(name) });
      expect(await askAll(handle)).toEqual(new Set(['STALE']));
    }
  });

  test('of a link that is gone, or of another storage, is stale', async () => {
    const { seal } = site.host.exports;
    const { root: top } = site.fs;
    const link = site.host.view.at('/data')!.id;
    for (const handle of [
      seal.file(4711, 7, top),
      seal.file(link, 8, top),
      seal.folder(4711),
      seal.folder(link),
    ])
      expect(await askAll(handle)).toEqual(new Set(['STALE']));
  });

  test('of a link where the client has no access is refused, for every procedure', async () => {
    const closed = site.host.view.at('/closed')!.id;
    const found = await site.fs.lookUp({ uid: 0, gid: 0, groups: [] }, site.fs.root, bytes('secret'));
    if (!found.ok) throw new Error(found.errno);
    const handle = site.host.exports.seal.file(closed, 7, found.handle);
    expect(await askAll(handle)).toEqual(new Set(['ACCES']));
  });

  test('is the same after a restart, and on another node', async () => {
    const file = await root.make(data, 'a', 'hello');
    const again = new Site({}, {}, site.path);
    try {
      const other = again.files(TRUSTED, ROOT);
      expect(await other.content(file)).toBe('hello');
      expect(await other.client.root('/data')).toEqual(data);
    } finally {
      again.fs.close();
    }
  });
});

describe('the way up', () => {
  test('ends at the root of the link, in the folder that the link is in', async () => {
    const deep = await root.makeDirectory(await root.makeDirectory(data, 'd'), 'e');
    expect(await root.find(deep, '..', '..', '..')).toEqual(await root.client.root('/'));
    expect(await root.find(deep, '..', '..', '..', '..', '..')).toEqual(await root.client.root('/'));
    const again = await root.client.root('/projects/deep/again');
    expect(await root.find(again, '..')).toEqual(await root.client.root('/projects/deep'));
  });

  test('is closed where the directory was moved out of the link', async () => {
    const moved = await root.makeDirectory(await root.makeDirectory(data, 'd'), 'e');
    renameSync(join(site.shared, 'd', 'e'), join(site.path, 'outside'));
    const up = await nfs('LOOKUP', { directory: moved, name: bytes('..') });
    expect([status(up), up.handle]).toEqual(['ACCES', undefined]);
  });

  test('is closed where the directory of the link was moved, and another has its name', async () => {
    const inner = await root.makeDirectory(data, 'd');
    renameSync(site.shared, join(site.path, 'moved'));
    mkdirSync(site.shared);
    expect(await root.client.root('/data')).not.toEqual(data);
    for (const directory of [data, inner]) {
      const up = await nfs('LOOKUP', { directory, name: bytes('..') });
      expect(['ACCES', 'STALE']).toContain(status(up));
    }
  });

  test('never shows a number of a directory outside', async () => {
    const outside = BigInt(statSync(site.path).ino);
    for (const entry of await root.list(data)) expect(entry.fileid).not.toBe(outside);
  });
});

describe('a link', () => {
  test.each(['secret-link', 'up/secret-link'])(
    'whose target %s is or goes through a symbolic link leads nowhere',
    async (target) => {
      symlinkSync('secret', join(site.path, 'secret-link'));
      mkdirSync(join(site.path, 'up'));
      symlinkSync('../secret', join(site.path, 'up', 'secret-link'));
      const other = new Site({ target }, {}, site.path);
      try {
        expect((await other.files(TRUSTED, ROOT).client.mount('/data')).status).toBe(20);
        expect((await other.host.exports.checkLink(other.host.view.at('/data')!.id))?.body.cause).toContain(
          'ENOTDIR',
        );
      } finally {
        other.fs.close();
      }
    },
  );

  test('has no way into another, by rename or by another name', async () => {
    const other = await root.client.root('/projects/deep/again');
    const file = await root.make(data, 'a', 'x');
    const from = { directory: data, name: bytes('a') };
    const to = { directory: other, name: bytes('b') };
    expect(status(await nfs('RENAME', { from, to }))).toBe('XDEV');
    expect(status(await nfs('LINK', { handle: file, ...to }))).toBe('XDEV');
  });

  test('shows nothing of a file system that is mounted inside', async () => {
    const inside = join(site.shared, 'mounted');
    mkdirSync(inside);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', inside]);
    try {
      writeFileSync(join(inside, 'file'), SECRET);
      expect(status(await nfs('LOOKUP', { directory: data, name: bytes('mounted') }))).toBe('ACCES');
      const entry = (await root.list(data)).find(({ name }) => text(name) === 'mounted');
      if (entry?.handle !== undefined) {
        const names = await root.names(entry.handle);
        expect(names).not.toContain('file');
      }
    } finally {
      execFileSync('umount', [inside]);
    }
  });
});

describe('races', () => {
  const ROUNDS = 300;

  test('of a directory and a symbolic link with its name read and write nothing outside', async () => {
    const [target, spare] = [join(site.shared, 'd'), join(site.shared, 'spare')];
    mkdirSync(target);
    symlinkSync('../secret', spare);
    const exchange = () => {
      renameSync(target, `${spare}2`);
      renameSync(spare, target);
      renameSync(`${spare}2`, spare);
    };
    const said = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const attempt = (async () => {
        const found = await nfs('LOOKUP', { directory: data, name: bytes('d') });
        if (found.handle === undefined) return;
        const { handle } = found;
        const inner = await nfs('LOOKUP', { directory: handle, name: bytes('file') });
        said.add(status(inner));
        const write = { directory: handle, name: bytes('file'), mode: 0, attributes: { size: 0n } } as const;
        said.add(status(await nfs('CREATE', write)));
        await nfs('REMOVE', { directory: handle, name: bytes('file') });
      })();
      exchange();
      await attempt;
    }
    expect(said.has('OK')).toBe(true);
    rmSync(spare, { force: true, recursive: true });
  });

  test('of a file and a symbolic link with its name neither', async () => {
    const target = join(site.shared, 'f');
    const said = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      rmSync(target, { force: true });
      if (round % 2 === 0) writeFileSync(target, 'inside', { mode: 0o666 });
      else symlinkSync('../secret/file', target);
      const call = { directory: data, name: bytes('f'), mode: 0, attributes: { size: 0n } } as const;
      const created = nfs('CREATE', call);
      if (round % 3 === 0) {
        rmSync(target, { force: true });
        symlinkSync('../secret/file', target);
      }
      const made = await created;
      said.add(status(made));
      if (made.handle !== undefined) {
        const write = { handle: made.handle, offset: 0n, stable: 0, data: bytes('overwritten') };
        said.add(status(await nfs('WRITE', write)));
      }
    }
    expect([...said].every((one) => ['OK', 'EXIST', 'STALE', 'NOENT', 'INVAL'].includes(one))).toBe(true);
  });
});

describe('what is no file', () => {
  test('is never opened: FIFOs, sockets and devices', async () => {
    execFileSync('mkfifo', [join(site.shared, 'fifo')]);
    execFileSync('mknod', [join(site.shared, 'null'), 'c', '1', '3']);
    execFileSync('mknod', [join(site.shared, 'disk'), 'b', '1', '0']);
    await nfs('MKNOD', { directory: data, name: bytes('socket'), type: 6, attributes: { mode: 0o777 } });
    for (const name of ['fifo', 'null', 'disk', 'socket']) {
      const handle = await root.find(data, name);
      const said = [
        await nfs('READ', { handle, offset: 0n, count: 10 }),
        await nfs('WRITE', { handle, offset: 0n, stable: 0, data: bytes('x') }),
        await nfs('SETATTR', { handle, attributes: { size: 0n } }),
        await nfs('COMMIT', { handle, offset: 0n, count: 0 }),
        await nfs('READLINK', { handle }),
      ].map(status);
      expect([name, ...said]).toEqual([name, 'INVAL', 'INVAL', 'INVAL', 'INVAL', 'INVAL']);
      const list = { directory: handle, cookie: 0n, verifier: 0n, count: 4096 };
      expect(status(await nfs('READDIR', list))).toBe('NOTDIR');
      expect(status(await nfs('GETATTR', { handle }))).toBe('OK');
    }
    expect(existsSync(join(site.shared, 'null'))).toBe(true);
  });
});

test('handles of one link are of no use at another, with other rights', async () => {
  const file = await site.files(TRUSTED, ALICE).make(data, 'a', 'x', 0o600);
  const { view, exports } = site.host;
  const again = view.at('/projects/deep/again')!;
  // What a client could do: take the storage's part of one handle for the other link. The seal is missing.
  const forged = Uint8Array.from(file);
  new DataView(forged.buffer).setUint32(4, again.id);
  expect(status(await nfs('GETATTR', { handle: forged }))).toBe('BADHANDLE');
  expect(handleIn({ status: 0, handle: exports.seal.folder(1) })).toHaveLength(16);
});
