// Each procedure of NFS version 3 on a real file system: what it does, what it answers, and the statuses that RFC 1813 asks
// for. Who may do what is access.test.ts.
import { lstatSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ALICE, bytes, type Files, handleIn, ROOT, Site, status, TRUSTED, text } from './support.ts';

let site: Site;
let alice: Files;
let data: Uint8Array;

beforeEach(async () => {
  site = new Site();
  alice = site.files(TRUSTED, ALICE);
  data = await alice.client.root('/data');
});
afterEach(() => {
  expect(site.host.bugs).toEqual([]);
  site.remove();
});

const nfs: Files['client']['nfs'] = (...call) => alice.client.nfs(...call);
const onDisk = (...names: string[]) => join(site.shared, ...names);

/** What lies between two looks at the directory is the change that a reply reports, and nothing else. */
async function expectChange(
  wcc: { before?: { mtime: unknown } | undefined; after?: { mtime: unknown } | undefined },
  before: { readonly attributes?: { mtime: unknown } | undefined },
  directory = data,
): Promise<void> {
  expect(wcc.before?.mtime).toEqual(before.attributes!.mtime);
  expect(wcc.after).toEqual((await nfs('GETATTR', { handle: directory })).attributes);
}

describe('attributes', () => {
  test('are what the storage says', async () => {
    const handle = await alice.make(data, 'a', 'hello', 0o640);
    const { attributes } = await nfs('GETATTR', { handle });
    const { ino, mtimeMs, blocks } = statSync(onDisk('a'));
    expect(attributes).toMatchObject({
      type: 1,
      mode: 0o640,
      nlink: 1,
      uid: ALICE.uid,
      gid: ALICE.gid,
      size: 5n,
      used: BigInt(blocks) * 512n,
      fileid: BigInt(ino),
      fsid: 0x4846_0000_0000_0007n,
    });
    expect(attributes!.mtime.seconds).toBe(Math.floor(mtimeMs / 1000));
  });

  test('are set, with what was before and after', async () => {
    const handle = await alice.make(data, 'a', 'hello');
    const before = (await nfs('GETATTR', { handle })).attributes!;
    const mtime = { seconds: 1_000_000_000, nanoseconds: 123_456_789 };
    const set = await nfs('SETATTR', {
      handle,
      attributes: { mode: 0o4600, size: 3n, mtime, atime: 'server' },
    });
    expect(status(set)).toBe('OK');
    expect(set.wcc.before).toEqual({ size: 5n, mtime: before.mtime, ctime: before.ctime });
    expect(set.wcc.after).toMatchObject({ mode: 0o4600, size: 3n, mtime });
    expect(readFileSync(onDisk('a'), 'utf8')).toBe('hel');
  });

  test('are not set where the guard is another ctime', async () => {
    const handle = await alice.make(data, 'a');
    const { ctime } = (await nfs('GETATTR', { handle })).attributes!;
    const attributes = { mode: 0o600 };
    const guard = { ...ctime, nanoseconds: (ctime.nanoseconds + 1) % 1_000_000_000 };
    expect(status(await nfs('SETATTR', { handle, attributes, guard }))).toBe('NOT_SYNC');
    expect(status(await nfs('SETATTR', { handle, attributes, guard: ctime }))).toBe('OK');
  });

  test.each([
    [
      'a time of more nanoseconds than a second has',
      { mtime: { seconds: 1, nanoseconds: 1_000_000_000 } },
      'INVAL',
    ],
    ['UTIME_OMIT as nanoseconds', { atime: { seconds: 1, nanoseconds: 0x3fff_fffe } }, 'INVAL'],
    ['a size of 2^53', { size: 2n ** 53n }, 'FBIG'],
    ['a size of 2^64 - 1', { size: 2n ** 64n - 1n }, 'FBIG'],
    ['the owner that system calls take for none', { uid: 0xffff_ffff }, 'INVAL'],
    ["another's uid", { uid: 1 }, 'PERM'],
  ] as const)('%s is refused', async (_, attributes, expected) => {
    const handle = await alice.make(data, 'a', 'hello');
    expect(status(await nfs('SETATTR', { handle, attributes }))).toBe(expected);
    expect(readFileSync(onDisk('a'), 'utf8')).toBe('hello');
  });

  test('a directory has no size to be set', async () => {
    const handle = await alice.makeDirectory(data, 'd');
    expect(status(await nfs('SETATTR', { handle, attributes: { size: 0n } }))).toBe('ISDIR');
  });
});

describe('looking up', () => {
  test('gives handle and attributes of both', async () => {
    const made = await alice.make(data, 'a', 'hello');
    const found = await nfs('LOOKUP', { directory: data, name: bytes('a') });
    expect(found.handle).toEqual(made);
    expect(found.attributes).toMatchObject({ type: 1, size: 5n });
    expect(found.directory).toMatchObject({ type: 2, fileid: BigInt(statSync(site.shared).ino) });
  });

  test('of . and .. within a link', async () => {
    const inner = await alice.makeDirectory(await alice.makeDirectory(data, 'd'), 'e');
    expect(await alice.find(inner, '.')).toEqual(inner);
    expect(await alice.find(inner, '..')).toEqual(await alice.find(data, 'd'));
    expect(await alice.find(inner, '..', '..')).toEqual(data);
  });

  test('does not follow symbolic links', async () => {
    symlinkSync('/etc', onDisk('link'));
    const found = await nfs('LOOKUP', { directory: data, name: bytes('link') });
    expect(found.attributes?.type).toBe(5);
    expect(status(await nfs('LOOKUP', { directory: found.handle!, name: bytes('passwd') }))).toBe('NOTDIR');
    expect(status(await nfs('LOOKUP', { directory: found.handle!, name: bytes('..') }))).toBe('NOTDIR');
  });

  test.each([
    ['nothing of that name', 'nobody', 'NOENT'],
    ['an empty name', '', 'ACCES'],
    ['a path', 'a/b', 'ACCES'],
    ['a name with NUL', 'a\0', 'ACCES'],
    ['256 bytes', 'n'.repeat(256), 'NAMETOOLONG'],
    ['70,000 bytes', 'n'.repeat(70_000), 'NAMETOOLONG'],
  ])('%s', async (_, name, expected) => {
    expect(status(await nfs('LOOKUP', { directory: data, name: bytes(name) }))).toBe(expected);
  });

  test('takes names that are no text', async () => {
    const name = Uint8Array.of(0xff, 0xfe, 0x80);
    const made = await nfs('CREATE', { directory: data, name, mode: 1, attributes: {} });
    expect((await nfs('LOOKUP', { directory: data, name })).handle).toEqual(made.handle);
    expect((await alice.list(data)).map((it) => it.name)).toContainEqual(name);
  });

  test('in a file is refused', async () => {
    const directory = await alice.make(data, 'a');
    for (const name of ['b', '.', '..'])
      expect(status(await nfs('LOOKUP', { directory, name: bytes(name) }))).toBe('NOTDIR');
  });
});

describe('access', () => {
  test('says what of the asked may be done', async () => {
    const file = await alice.make(data, 'a', '', 0o640);
    const directory = await alice.makeDirectory(data, 'd', 0o750);
    expect((await nfs('ACCESS', { handle: file, access: 0x3f })).access).toBe(0x01 | 0x04 | 0x08);
    expect((await nfs('ACCESS', { handle: directory, access: 0x3f })).access).toBe(0x1f);
    expect((await nfs('ACCESS', { handle: file, access: 0x04 })).access).toBe(0x04);
    const bob = site.files(TRUSTED, { uid: 61_002, gid: 62_002 }).client;
    expect((await bob.nfs('ACCESS', { handle: file, access: 0x3f })).access).toBe(0);
  });
});

describe('symbolic links', () => {
  test('are made and read, whatever they say', async () => {
    const path = bytes('../../../etc/passwd');
    const made = await nfs('SYMLINK', { directory: data, name: bytes('s'), attributes: {}, path });
    expect(made.attributes).toMatchObject({ type: 5, uid: ALICE.uid });
    expect(readlinkSync(onDisk('s'), 'utf8')).toBe('../../../etc/passwd');
    const read = await nfs('READLINK', { handle: made.handle! });
    expect([text(read.path!), read.attributes?.type]).toEqual(['../../../etc/passwd', 5]);
  });

  test.each([
    ['nothing', '', 'INVAL'],
    ['a NUL', 'a\0b', 'INVAL'],
    ['more than Linux takes', 'x'.repeat(4096), 'NAMETOOLONG'],
  ])('to %s are refused', async (_, path, expected) => {
    const call = { directory: data, name: bytes('s'), attributes: {}, path: bytes(path) };
    expect(status(await nfs('SYMLINK', call))).toBe(expected);
  });

  test('are what READLINK takes alone', async () => {
    const handles = [await alice.make(data, 'a'), data];
    for (const handle of handles) expect(status(await nfs('READLINK', { handle }))).toBe('INVAL');
  });

  test('are neither read nor written as files', async () => {
    writeFileSync(join(site.path, 'outside'), 'secret', { mode: 0o666 });
    symlinkSync('../outside', onDisk('s'));
    const handle = await alice.find(data, 's');
    expect(status(await nfs('READ', { handle, offset: 0n, count: 10 }))).toBe('INVAL');
    const write = { handle, offset: 0n, stable: 0, data: bytes('x') };
    expect(status(await nfs('WRITE', write))).toBe('INVAL');
    expect(readFileSync(join(site.path, 'outside'), 'utf8')).toBe('secret');
  });
});

describe('reading', () => {
  test('gives what is there, and says where the end is', async () => {
    const handle = await alice.make(data, 'a', '0123456789');
    const read = (offset: bigint, count: number) => nfs('READ', { handle, offset, count });
    const pieces = [];
    for (const [offset, count] of [
      [0n, 4],
      [4n, 4],
      [8n, 4],
      [10n, 4],
      [99n, 4],
      [0n, 0],
      [0n, 10],
    ] as const) {
      const { data: piece, eof, count: said } = await read(offset, count);
      expect(said).toBe(piece!.length);
      pieces.push([text(piece!), eof]);
    }
    expect(pieces).toEqual([
      ['0123', false],
      ['4567', false],
      ['89', true],
      ['', true],
      ['', true],
      ['', false],
      ['0123456789', true],
    ]);
  });

  test('of a megabyte and more gives a megabyte at most', async () => {
    const content = Buffer.alloc((1 << 20) + 5, 'holdfast');
    writeFileSync(onDisk('large'), content, { mode: 0o644 });
    const handle = await alice.find(data, 'large');
    const first = await nfs('READ', { handle, offset: 0n, count: 0xffff_ffff });
    expect(first.count).toBe(1 << 20);
    expect(Buffer.compare(first.data!, content.subarray(0, 1 << 20))).toBe(0);
    const rest = await nfs('READ', { handle, offset: 1n << 20n, count: 100 });
    expect([text(rest.data!), rest.eof]).toEqual([content.toString('utf8', 1 << 20), true]);
  });

  test.each([2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n])(
    'from %d is behind the end',
    async (offset) => {
      const handle = await alice.make(data, 'a', 'x');
      const read = await nfs('READ', { handle, offset, count: 10 });
      expect([status(read), read.count, read.eof]).toEqual(['OK', 0, true]);
    },
  );

  test('a directory is refused', async () => {
    expect(status(await nfs('READ', { handle: data, offset: 0n, count: 1 }))).toBe('ISDIR');
  });
});

describe('writing', () => {
  test.each([0, 1, 2])('with stability %i says so, and the same verifier as COMMIT', async (stable) => {
    const handle = await alice.make(data, 'a', '0123456789');
    const written = await nfs('WRITE', { handle, offset: 4n, stable, data: bytes('abc') });
    expect(written).toMatchObject({ status: 0, count: 3, committed: stable });
    expect(written.wcc.before?.size).toBe(10n);
    expect(written.wcc.after?.size).toBe(10n);
    const committed = await nfs('COMMIT', { handle, offset: 0n, count: 0 });
    expect(committed.verifier).toBe(written.verifier);
    expect(readFileSync(onDisk('a'), 'utf8')).toBe('0123abc789');
  });

  test('nothing is a success, and changes nothing', async () => {
    const handle = await alice.make(data, 'a', 'x');
    const written = await nfs('WRITE', { handle, offset: 100n, stable: 2, data: bytes('') });
    expect(written).toMatchObject({ status: 0, count: 0 });
    expect(readFileSync(onDisk('a'), 'utf8')).toBe('x');
  });

  test('a megabyte is one write', async () => {
    const handle = await alice.make(data, 'a');
    const content = Buffer.alloc(1 << 20, 'holdfast!');
    const written = await nfs('WRITE', { handle, offset: 0n, stable: 0, data: content });
    expect(written.count).toBe(1 << 20);
    expect(Buffer.compare(readFileSync(onDisk('a')), content)).toBe(0);
  });

  test.each([2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 2n, 2n ** 64n - 1n])(
    'at %d is too far',
    async (offset) => {
      const handle = await alice.make(data, 'a', 'x');
      const written = await nfs('WRITE', { handle, offset, stable: 0, data: bytes('abc') });
      expect(status(written)).toBe('FBIG');
      expect(readFileSync(onDisk('a'), 'utf8')).toBe('x');
    },
  );

  test('a directory is refused', async () => {
    const write = { handle: data, offset: 0n, stable: 0, data: bytes('x') };
    expect(status(await nfs('WRITE', write))).toBe('ISDIR');
  });
});

describe('making', () => {
  test('a file reports the change of its directory', async () => {
    const before = await nfs('GETATTR', { handle: data });
    const made = await nfs('CREATE', {
      directory: data,
      name: bytes('a'),
      mode: 1,
      attributes: { mode: 0o604 },
    });
    expect(made.attributes).toMatchObject({ type: 1, mode: 0o604, uid: ALICE.uid, gid: ALICE.gid, size: 0n });
    await expectChange(made.wcc, before);
  });

  test('unchecked takes a file that exists, and sets its size alone', async () => {
    const old = await alice.make(data, 'a', 'hello', 0o600);
    const call = { directory: data, name: bytes('a'), mode: 0 } as const;
    const kept = await nfs('CREATE', { ...call, attributes: { mode: 0o777 } });
    expect(kept.handle).toEqual(old);
    expect(kept.attributes).toMatchObject({ mode: 0o600, size: 5n });
    const cut = await nfs('CREATE', { ...call, attributes: { size: 0n } });
    expect(cut.attributes).toMatchObject({ mode: 0o600, size: 0n });
  });

  test('guarded takes none that exists', async () => {
    await alice.make(data, 'a', 'hello');
    const call = { directory: data, name: bytes('a'), mode: 1, attributes: { size: 0n } } as const;
    expect(status(await nfs('CREATE', call))).toBe('EXIST');
    expect(readFileSync(onDisk('a'), 'utf8')).toBe('hello');
  });

  test('exclusively gives the same file to the same verifier, also when it is asked by another xid', async () => {
    const call = { directory: data, name: bytes('a'), mode: 2 } as const;
    const first = await nfs('CREATE', { ...call, verifier: 0x1234_5678_9abc_def0n });
    const second = await nfs('CREATE', { ...call, verifier: 0x1234_5678_9abc_def0n });
    expect([status(first), status(second)]).toEqual(['OK', 'OK']);
    expect(second.handle).toEqual(first.handle);
    expect(status(await nfs('CREATE', { ...call, verifier: 0x1234_5678_9abc_def1n }))).toBe('EXIST');
  });

  test('directories, FIFOs and sockets', async () => {
    const directory = await nfs('MKDIR', { directory: data, name: bytes('d'), attributes: { mode: 0o1755 } });
    expect(directory.attributes).toMatchObject({ type: 2, mode: 0o1755, uid: ALICE.uid });
    const types = [];
    for (const type of [6, 7] as const) {
      const node = { directory: data, name: bytes(`n${type}`), type, attributes: { mode: 0o622 } };
      types.push((await nfs('MKNOD', node)).attributes?.type);
    }
    expect(types).toEqual([6, 7]);
    expect(lstatSync(onDisk('n6')).isSocket() && lstatSync(onDisk('n7')).isFIFO()).toBe(true);
  });

  test("devices is root's", async () => {
    const call = {
      directory: data,
      name: bytes('null'),
      type: 4,
      attributes: {},
      major: 1,
      minor: 3,
    } as const;
    expect(status(await nfs('MKNOD', call))).toBe('PERM');
    const made = await site.host.client(TRUSTED, ROOT).nfs('MKNOD', call);
    expect(made.attributes).toMatchObject({ type: 4, rdev: [1, 3] });
  });

  test.each([1, 2, 5] as const)('a node of type %i is no node', async (type) => {
    expect(status(await nfs('MKNOD', { directory: data, name: bytes('n'), type }))).toBe('BADTYPE');
  });

  const MAKERS = {
    CREATE: (name: Uint8Array) => nfs('CREATE', { directory: data, name, mode: 1, attributes: {} }),
    MKDIR: (name: Uint8Array) => nfs('MKDIR', { directory: data, name, attributes: {} }),
    SYMLINK: (name: Uint8Array) =>
      nfs('SYMLINK', { directory: data, name, attributes: {}, path: bytes('x') }),
    MKNOD: (name: Uint8Array) => nfs('MKNOD', { directory: data, name, type: 7, attributes: {} }),
    LINK: async (name: Uint8Array) => {
      const found = await nfs('LOOKUP', { directory: data, name: bytes('there') });
      return nfs('LINK', { handle: handleIn(found), directory: data, name });
    },
  };
  test.each(Object.entries(MAKERS))('%s takes no name that is none, or taken', async (_, make) => {
    await alice.make(data, 'there');
    const said = [];
    for (const name of ['', 'a/b', 'a\0', '.', '..', 'there', 'n'.repeat(256)]) {
      said.push(status(await make(bytes(name))));
    }
    expect(said).toEqual(['ACCES', 'ACCES', 'ACCES', 'EXIST', 'EXIST', 'EXIST', 'NAMETOOLONG']);
    expect((await alice.names(data)).sort()).toEqual(['.', '..', 'there']);
  });

  test('in a file is refused', async () => {
    const directory = await alice.make(data, 'a');
    const name = bytes('b');
    expect(status(await nfs('CREATE', { directory, name, mode: 0, attributes: {} }))).toBe('NOTDIR');
    expect(status(await nfs('MKDIR', { directory, name, attributes: {} }))).toBe('NOTDIR');
  });
});

describe('removing', () => {
  test('a file, and its handle is stale', async () => {
    const handle = await alice.make(data, 'a', 'x');
    const before = await nfs('GETATTR', { handle: data });
    const removed = await nfs('REMOVE', { directory: data, name: bytes('a') });
    expect(status(removed)).toBe('OK');
    await expectChange(removed.wcc, before);
    expect(status(await nfs('GETATTR', { handle }))).toBe('STALE');
    expect(status(await nfs('READ', { handle, offset: 0n, count: 1 }))).toBe('STALE');
  });

  test('what is not there, or of the other kind, or full', async () => {
    const full = await alice.makeDirectory(data, 'd');
    await alice.make(full, 'inside');
    await alice.make(data, 'a');
    const said = [];
    for (const [procedure, name] of [
      ['REMOVE', 'nobody'],
      ['REMOVE', 'd'],
      ['REMOVE', '.'],
      ['REMOVE', '..'],
      ['REMOVE', ''],
      ['RMDIR', 'nobody'],
      ['RMDIR', 'a'],
      ['RMDIR', 'd'],
      ['RMDIR', '.'],
      ['RMDIR', '..'],
    ] as const)
      said.push([procedure, name, status(await nfs(procedure, { directory: data, name: bytes(name) }))]);
    expect(said).toEqual([
      ['REMOVE', 'nobody', 'NOENT'],
      ['REMOVE', 'd', 'ISDIR'],
      ['REMOVE', '.', 'ISDIR'],
      ['REMOVE', '..', 'ISDIR'],
      ['REMOVE', '', 'ACCES'],
      ['RMDIR', 'nobody', 'NOENT'],
      ['RMDIR', 'a', 'NOTDIR'],
      ['RMDIR', 'd', 'NOTEMPTY'],
      ['RMDIR', '.', 'INVAL'],
      ['RMDIR', '..', 'EXIST'],
    ]);
  });
});

describe('renaming', () => {
  const rename = (from: Uint8Array, fromName: string, to: Uint8Array, toName: string) =>
    nfs('RENAME', {
      from: { directory: from, name: bytes(fromName) },
      to: { directory: to, name: bytes(toName) },
    });

  test('keeps the handle, and reports both directories', async () => {
    const directory = await alice.makeDirectory(data, 'd');
    const handle = await alice.make(data, 'a', 'hello');
    const [from, to] = [await nfs('GETATTR', { handle: data }), await nfs('GETATTR', { handle: directory })];
    const renamed = await rename(data, 'a', directory, 'b');
    await expectChange(renamed.from, from);
    await expectChange(renamed.to, to, directory);
    expect(await alice.content(handle)).toBe('hello');
    expect(await alice.find(directory, 'b')).toEqual(handle);
  });

  test('replaces what is of the same kind alone', async () => {
    await alice.make(data, 'a', 'new');
    await alice.make(data, 'b', 'old');
    const full = await alice.makeDirectory(data, 'full');
    await alice.make(full, 'inside');
    await alice.makeDirectory(data, 'empty');
    const said = [];
    for (const [from, to] of [
      ['a', 'b'],
      ['b', 'b'],
      ['b', 'full'],
      ['empty', 'b'],
      ['empty', 'full'],
      ['full', 'empty'],
      ['nobody', 'x'],
      ['.', 'x'],
      ['b', '..'],
      ['b', 'a/b'],
    ] as const)
      said.push([from, to, status(await rename(data, from, data, to))]);
    expect(said).toEqual([
      ['a', 'b', 'OK'],
      ['b', 'b', 'OK'],
      ['b', 'full', 'ISDIR'],
      ['empty', 'b', 'NOTDIR'],
      ['empty', 'full', 'NOTEMPTY'],
      ['full', 'empty', 'OK'],
      ['nobody', 'x', 'NOENT'],
      ['.', 'x', 'INVAL'],
      ['b', '..', 'INVAL'],
      ['b', 'a/b', 'ACCES'],
    ]);
    expect(readFileSync(onDisk('b'), 'utf8')).toBe('new');
  });

  test('a directory into itself is refused', async () => {
    const directory = await alice.makeDirectory(data, 'd');
    expect(status(await rename(data, 'd', directory, 'e'))).toBe('INVAL');
  });
});

describe('another name', () => {
  test('is the same file', async () => {
    const handle = await alice.make(data, 'a', 'x');
    const before = await nfs('GETATTR', { handle: data });
    const linked = await nfs('LINK', { handle, directory: data, name: bytes('b') });
    expect(linked.attributes?.nlink).toBe(2);
    await expectChange(linked.wcc, before);
    expect(await alice.find(data, 'b')).toEqual(handle);
    await nfs('REMOVE', { directory: data, name: bytes('a') });
    expect(await alice.content(handle)).toBe('x');
  });

  test('is not given to directories', async () => {
    const handle = await alice.makeDirectory(data, 'd');
    expect(status(await nfs('LINK', { handle, directory: data, name: bytes('e') }))).toBe('PERM');
  });
});

describe('listing', () => {
  test('gives every name once, in pages of any size', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `file-${index}-${'x'.repeat(index % 90)}`);
    for (const name of names) writeFileSync(onDisk(name), '');
    for (const pageBytes of [600, 4096, 65_536])
      expect((await alice.names(data, pageBytes)).sort()).toEqual(['.', '..', ...names].sort());
  });

  test('with attributes and handles gives those of LOOKUP', async () => {
    await alice.make(data, 'a', 'hello');
    await alice.makeDirectory(data, 'd');
    for (const entry of await alice.list(data)) {
      const found = await nfs('LOOKUP', { directory: data, name: entry.name });
      if (text(entry.name) === '..') {
        expect(entry.fileid).toBe((2n ** 63n) | 1n);
        continue;
      }
      expect(entry.fileid).toBe(found.attributes!.fileid);
      // Listing changes the time of access of the directory itself.
      const { atime: _, ...rest } = found.attributes!;
      expect(entry.attributes).toMatchObject(rest);
      expect(entry.handle).toEqual(found.handle);
    }
  });

  test('goes on after a cookie while names come and go', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `file${index}`);
    for (const name of names) writeFileSync(onDisk(name), '');
    const page = (cookie: bigint, verifier: bigint) =>
      nfs('READDIR', { directory: data, cookie, verifier, count: 700 });
    const seen: string[] = [];
    for (let cookie = 0n, verifier = 0n, round = 0; ; round++) {
      const got = await page(cookie, verifier);
      seen.push(...got.entries!.map(({ name }) => text(name)));
      if (got.eof) break;
      cookie = got.entries!.at(-1)!.cookie;
      verifier = got.verifier!;
      await alice.make(data, `new${round}`);
      await nfs('REMOVE', { directory: data, name: bytes(`new${round - 1}`) });
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(names));
  });

  test.each([
    ['another verifier', 5n, 1n, 4096, 'BAD_COOKIE'],
    ['no room for one entry', 0n, 0n, 120, 'TOOSMALL'],
    ['no room at all', 0n, 0n, 0, 'TOOSMALL'],
  ] as const)('%s is refused', async (_, cookie, verifier, count, expected) => {
    await alice.make(data, 'a');
    expect(status(await nfs('READDIR', { directory: data, cookie, verifier, count }))).toBe(expected);
    const plus = { directory: data, cookie, verifier, dircount: count, maxcount: count };
    expect(status(await nfs('READDIRPLUS', plus))).toBe(expected);
  });

  test('a file is refused', async () => {
    const directory = await alice.make(data, 'a');
    const call = { directory, cookie: 0n, verifier: 0n, count: 4096 };
    expect(status(await nfs('READDIR', call))).toBe('NOTDIR');
  });
});

describe('the file system', () => {
  test('is as large as the storage says', async () => {
    const space = await nfs('FSSTAT', { handle: data });
    expect(space.totalBytes).toBeGreaterThan(space.freeBytes!);
    expect(space.freeBytes).toBeGreaterThanOrEqual(space.availableBytes!);
    expect(space.totalFiles).toBeGreaterThan(0n);
  });

  test('says what it can', async () => {
    expect(await nfs('FSINFO', { handle: data })).toMatchObject({
      rtmax: 1 << 20,
      wtmax: 1 << 20,
      properties: 0x1b,
    });
    expect(await nfs('PATHCONF', { handle: data })).toMatchObject({
      nameMax: 255,
      noTrunc: true,
      caseInsensitive: false,
    });
  });
});
