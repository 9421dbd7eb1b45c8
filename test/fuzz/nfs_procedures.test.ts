// Whatever the body of a call of any procedure: one reply that a client can read, or GARBAGE_ARGS, never a bug of the
// server; and nothing outside of the link is changed. Handles are those of a real directory, of folders, and of nothing.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLocalFileSystem } from '../../control/file/filesystem/local/filesystem.ts';
import type { FileSystem } from '../../control/file/filesystem/port.ts';
import { CALLS } from '../lib/nfs/arbitraries.ts';
import { ExportsHost, MOUNT, NFS, type TestClient } from '../lib/nfs/exports_host.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Name } from '../lib/nfs/nfs3_calls.ts';
import { parseNfs3Results, type RepliedName } from '../lib/nfs/nfs3_replies.ts';
import { buildPath, parseMnt } from '../lib/nfs/other_programs.ts';
import { link, made, mkdir, storage } from '../unit/file/lib.ts';

const numRuns = 400;
const CLIENT = '192.0.2.1';
const SECRET = 'nobody may change this';

let path: string;
let fs: FileSystem;
let host: ExportsHost;
let client: TestClient;
let handles: Uint8Array[];

beforeAll(async () => {
  path = mkdtempSync(join(tmpdir(), 'holdfast-fuzz-'));
  mkdirSync(join(path, 'shared'));
  writeFileSync(join(path, 'secret'), SECRET);
  chmodSync(join(path, 'shared'), 0o777);
  fs = openLocalFileSystem(path);
  const clients = [{ address: CLIENT, access: 'rw', squash: 'all' } as const];
  const namespace = made(storage('data', 7), mkdir('/folder'), link('/data', { target: 'shared', clients }));
  host = new ExportsHost(namespace, new Map([['data', fs]]));
  client = host.client(CLIENT, { uid: 1000, gid: 1000, gids: [4, 24] });
  const data = await client.root('/data');
  handles = [data, data, await client.root('/'), await client.root('/folder'), new Uint8Array(28)];
  for (const name of ['a', 'b']) {
    const call = { directory: data, name: Buffer.from(name), mode: 1, attributes: {} } as const;
    handles.push((await client.nfs('CREATE', call)).handle!);
    const directory = { directory: data, name: Buffer.from(`${name}d`), attributes: { mode: 0o777 } };
    handles.push((await client.nfs('MKDIR', directory)).handle!);
  }
  const symlink = { directory: data, name: Buffer.from('s'), attributes: {}, path: Buffer.from('../secret') };
  handles.push((await client.nfs('SYMLINK', symlink)).handle!);
});
afterAll(() => {
  fs.close();
  rmSync(path, { recursive: true });
});

/** Calls of arbitrary arguments, but with handles that mean something. */
function withHandles(value: unknown, draw: () => number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === 'handle' || key === 'directory'
        ? [key, handles[draw() % handles.length]]
        : [key, withHandles(inner, draw)],
    ),
  );
}

const change = fc.tuple(
  fc.nat(),
  fc.oneof(fc.constantFrom(0, 1, 2, 3, 64, 0x7fff_ffff, 0xffff_ffff), fc.nat()),
);

test.each(Object.keys(NFS3_NUMBERS) as Nfs3Name[])('any body of %s has an answer', async (name) => {
  const call = CALLS[name] as fc.Arbitrary<unknown>;
  let sound = 0;
  await fc.assert(
    fc.asyncProperty(
      call,
      fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
      fc.array(change, { maxLength: 2 }),
      fc.nat(9),
      async (args, draws, changes, cut) => {
        let at = 0;
        const drawn = withHandles(args, () => draws[at++ % draws.length]!);
        const body = Uint8Array.from(buildNfs3Arguments(name, drawn as never));
        const view = new DataView(body.buffer);
        if (body.length >= 4)
          for (const [place, word] of changes) view.setUint32((place % (body.length >> 2)) * 4, word);
        const sent = cut === 0 ? body.subarray(0, draws[0]! % (body.length + 1)) : body;
        const reply = await client.raw(NFS, NFS3_NUMBERS[name], sent);
        if (reply.what === 'SUCCESS') {
          sound += 1;
          if (name !== 'NULL') parseNfs3Results(name as RepliedName, reply.results);
        } else expect(reply.what).toBe('GARBAGE_ARGS');
        expect(host.bugs).toEqual([]);
      },
    ),
    { numRuns },
  );
  expect(sound).toBeGreaterThan(numRuns / 10);
  expect(readFileSync(join(path, 'secret'), 'utf8')).toBe(SECRET);
  expect([client.connection.client.requests, client.connection.inFlight]).toEqual([0, 0]);
});

test('any path has an answer of MNT', async () => {
  const piece = fc.oneof(fc.constantFrom('data', 'folder', '..', '.', '', 'a', 'ad', 's', '\0'), fc.string());
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 6 }), fc.boolean(), async (pieces, rooted) => {
      const body = buildPath(`${rooted ? '/' : ''}${pieces.join('/')}`);
      const reply = await client.raw(MOUNT, 1, body);
      if (reply.what === 'SUCCESS') parseMnt(reply.results);
      else expect(reply.what).toBe('GARBAGE_ARGS');
      expect(host.bugs).toEqual([]);
    }),
    { numRuns },
  );
});
