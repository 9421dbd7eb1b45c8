// Quotas of links: what counts, what is refused, and that nothing beyond is ever held.
import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { changed, set } from '../../unit/file/lib.ts';
import { ALICE, bytes, type Files, Site, status, TRUSTED } from './support.ts';

const BYTES = 10_000;
const FILES = 5;

let site: Site;
let alice: Files;
let data: Uint8Array;
let linkId: number;
let nowMs = 0;

beforeEach(() => {
  nowMs = 0;
});
afterEach(() => {
  expect(site.host.bugs).toEqual([]);
  site.remove();
});

/** With what is there before the link is used for the first time. */
async function start(before: Readonly<Record<string, number>> = {}): Promise<void> {
  site = new Site({ quota: { bytes: BYTES, files: FILES } }, { nowMs: () => nowMs });
  for (const [name, size] of Object.entries(before))
    writeFileSync(join(site.shared, name), Buffer.alloc(size));
  alice = site.files(TRUSTED, { uid: 0, gid: 0 });
  linkId = site.host.view.at('/data')!.id;
  data = await alice.client.root('/data');
  await counted();
}

const counted = () => vi.waitFor(() => expect(site.host.exports.usage(linkId)).toBeDefined());
const usage = () => site.host.exports.usage(linkId);
const onDisk = () => {
  const names = readdirSync(site.shared);
  return {
    files: names.length,
    bytes: names.reduce((sum, name) => sum + statSync(join(site.shared, name)).size, 0),
  };
};
const nfs: Files['client']['nfs'] = (...call) => alice.client.nfs(...call);
const write = (handle: Uint8Array, offset: number, size: number, stable = 0) =>
  nfs('WRITE', { handle, offset: BigInt(offset), stable, data: new Uint8Array(size) });

test('what is there counts', async () => {
  await start({ a: 3000, b: 500 });
  expect(usage()).toEqual({ bytes: 3500, files: 2 });
});

test('bytes beyond are refused, also a hole, and what is there may be written over', async () => {
  await start();
  const file = await alice.make(data, 'a');
  const said = [];
  for (const [offset, size] of [
    [0, 9000],
    [9000, 1001],
    [9000, 1000],
    [10_000, 1],
    [0, 5000],
    [20_000, 1],
  ] as const)
    said.push(status(await write(file, offset, size)));
  expect(said).toEqual(['OK', 'DQUOT', 'OK', 'DQUOT', 'OK', 'DQUOT']);
  expect(status(await nfs('SETATTR', { handle: file, attributes: { size: 10_001n } }))).toBe('DQUOT');
  expect(status(await nfs('SETATTR', { handle: file, attributes: { size: 100n } }))).toBe('OK');
  expect(usage()).toEqual({ bytes: 100, files: 1 });
  expect(status(await write(file, 100, 9900, 2))).toBe('OK');
  expect(usage()).toEqual({ bytes: BYTES, files: 1 });
});

test('writes that come together hold no more either', async () => {
  await start();
  const files = [await alice.make(data, 'a'), await alice.make(data, 'b')];
  const all = Array.from({ length: 20 }, (_, index) => write(files[index % 2]!, (index >> 1) * 1000, 1000));
  const said = (await Promise.all(all)).map(status);
  expect(said.filter((one) => one === 'OK').length).toBeLessThanOrEqual(10);
  expect(onDisk().bytes).toBeLessThanOrEqual(BYTES);
  expect(usage()).toEqual(onDisk());
});

test('files beyond are refused, of any kind', async () => {
  await start();
  const where = (name: string) => ({ directory: data, name: bytes(name) });
  const makers = [
    () => nfs('CREATE', { ...where('a'), mode: 1, attributes: {} }),
    () => nfs('CREATE', { ...where('b'), mode: 2, verifier: 7n }),
    () => nfs('MKDIR', { ...where('c'), attributes: {} }),
    () => nfs('SYMLINK', { ...where('d'), attributes: {}, path: bytes('x') }),
    () => nfs('MKNOD', { ...where('e'), type: 7, attributes: {} }),
  ];
  for (const make of makers) expect(status(await make())).toBe('OK');
  expect(usage()!.files).toBe(FILES);
  const more = [
    await nfs('CREATE', { ...where('f'), mode: 0, attributes: {} }),
    await nfs('CREATE', { ...where('f'), mode: 1, attributes: {} }),
    await nfs('CREATE', { ...where('f'), mode: 2, verifier: 8n }),
    await nfs('MKDIR', { ...where('f'), attributes: {} }),
    await nfs('SYMLINK', { ...where('f'), attributes: {}, path: bytes('x') }),
    await nfs('MKNOD', { ...where('f'), type: 7, attributes: {} }),
  ].map(status);
  expect(more).toEqual(more.map(() => 'DQUOT'));
  // No new file: it is there.
  expect(status(await nfs('CREATE', { ...where('a'), mode: 0, attributes: {} }))).toBe('OK');
  const linked = await alice.find(data, 'a');
  expect(status(await nfs('LINK', { handle: linked, ...where('g') }))).toBe('OK');
  expect(usage()!.files).toBe(FILES);
  for (const name of ['a', 'd']) expect(status(await nfs('REMOVE', where(name)))).toBe('OK');
  expect(status(await nfs('RMDIR', where('c')))).toBe('OK');
  expect(usage()!.files).toBe(FILES - 2);
});

test('what is replaced or cut counts no more', async () => {
  await start();
  await alice.make(data, 'a', 'x'.repeat(4000));
  await alice.make(data, 'b', 'x'.repeat(3000));
  const at = (name: string) => ({ directory: data, name: bytes(name) });
  await nfs('RENAME', { from: at('a'), to: at('b') });
  expect(usage()).toEqual({ bytes: 4000, files: 1 });
  await nfs('CREATE', { ...at('b'), mode: 0, attributes: { size: 0n } });
  expect(usage()).toEqual({ bytes: 0, files: 1 });
  await nfs('REMOVE', at('b'));
  expect(usage()).toEqual({ bytes: 0, files: 0 });
});

test('what others do is seen when somebody is refused, and not a minute after the last count', async () => {
  await start({ a: 9_999 });
  const file = await alice.make(data, 'b');
  truncateSync(join(site.shared, 'a'), 0);
  expect(status(await write(file, 0, 100))).toBe('DQUOT');
  nowMs = 61_000;
  expect(status(await write(file, 0, 100))).toBe('DQUOT');
  await vi.waitFor(() => expect(usage()!.bytes).toBe(0));
  expect(status(await write(file, 0, 100))).toBe('OK');
});

test('a client is told how much is left', async () => {
  await start({ a: 4_000 });
  expect(await nfs('FSSTAT', { handle: data })).toMatchObject({
    totalBytes: 10_000n,
    freeBytes: 6_000n,
    availableBytes: 6_000n,
    totalFiles: 5n,
    freeFiles: 4n,
  });
});

test('another quota is in force at once, and none as well', async () => {
  await start({ a: 4_000 });
  const file = await alice.make(data, 'b');
  const { view } = site.host;
  view.become(changed(view.namespace, set('/data', { quota: { bytes: 4_100 } })));
  expect(status(await write(file, 0, 101))).toBe('DQUOT');
  view.become(changed(view.namespace, set('/data', { quota: null })));
  expect(status(await write(file, 0, 50_000))).toBe('OK');
});

test('the other link to the same directory has none', async () => {
  await start({ a: 9_999 });
  const files = site.files(TRUSTED, ALICE);
  const again = await files.client.root('/projects/deep/again');
  const file = await files.make(again, 'b');
  const written = await files.client.nfs('WRITE', { handle: file, offset: 0n, stable: 0, data: bytes('xx') });
  expect(status(written)).toBe('OK');
});
