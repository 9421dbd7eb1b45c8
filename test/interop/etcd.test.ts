// A real etcd by the contract of every store, and what is its own: a prefix among others' keys, pages, fragments, limits.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { hostClock } from '../../control/io/host_clock.ts';
import type { Store } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { EtcdServer } from '../contract/etcd_server.ts';
import { storeContract } from '../contract/store.ts';
import { rebased } from '../contract/store_rebased.ts';
import { failureOf, take } from '../contract/store_support.ts';

let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start();
});
afterAll(() => server?.remove());

const openAt = (prefix: string): Promise<Store> =>
  openStore(`etcd=${server.url}`, { clock: hostClock(), etcd: { prefix } });

let made = 0;
const base64 = (text: string) => Buffer.from(text).toString('base64');

storeContract(
  'etcd',
  async () => {
    await server.clear();
    const prefix = `/test${++made}/`;
    // Keys of others right before and behind ours.
    for (const key of [prefix.slice(0, -1), `${prefix.slice(0, -1)}0`, `${prefix.slice(0, -1)}.z`]) {
      await server.call('kv/put', { key: base64(key), value: '/w==' });
    }
    const base = await server.revision();
    return { open: async () => rebased(await openAt(prefix), base), remove: async () => {} };
  },
  // etcd looks for leases that have ended every half second, and for watches that are behind every tenth.
  { ttlMs: 1_000, endsLateMs: 1_000, readsAhead: true, catchesUpMs: 300 },
);

describe('the store on etcd', () => {
  async function open(prefix = '/holdfast/'): Promise<Store> {
    const store = await openAt(prefix);
    onTestFinished(() => store.close());
    return store;
  }

  it('begins at revision 1 where etcd does', async () => {
    const fresh = await EtcdServer.start();
    onTestFinished(() => fresh.remove());
    const store = await openStore(`etcd=${fresh.url}`, { clock: hostClock() });
    onTestFinished(() => store.close());
    expect(await store.list('')).toEqual({ entries: [], revision: 1 });
    const watching = take(store, '', 1, 1);
    expect(await store.txn([], [{ put: 'a', value: 'b' }])).toEqual({ succeeded: true, revision: 2 });
    expect(await watching).toMatchObject([{ revision: 2 }]);
    await store.compact(1);
    await store.compact(2);
    expect(await take(store, '', 2, 1)).toMatchObject([{ revision: 2 }]);
  });

  it('lists more than one answer holds, all at one revision', async () => {
    const store = await open('/pages/');
    const value = 'x'.repeat(1 << 18);
    for (let index = 0; index < 40; index++) {
      await store.txn([], [{ put: `k${String(index).padStart(3, '0')}`, value: `${index}${value}` }]);
    }
    const listing = store.list('');
    await store.txn([], [{ delete: 'k039' }]);
    const { entries, revision } = await listing;
    expect(entries.every(({ modRevision }) => modRevision <= revision)).toBe(true);
    expect([39, 40]).toContain(entries.length);
    expect(entries.map(({ key }) => key)).toEqual(entries.map(({ key }) => key).toSorted());
    const events = await take(store, '', entries[0]!.modRevision, 41);
    expect(events.map((it) => it.kind === 'changes' && it.changes.length)).toEqual(Array(41).fill(1));
  });

  it('never tells a part of a revision, also where etcd cuts it', async () => {
    const store = await open('/fragments/');
    const value = 'y'.repeat(10_000);
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`);
    const first = (
      await store.txn(
        [],
        keys.map((key) => ({ put: key, value })),
      )
    ).revision;
    for (let round = 0; round < 3; round++)
      await store.txn(
        [],
        keys.map((key) => ({ put: key, value })),
      );
    const events = await take(store, '', first, 4);
    expect(events.map((it) => it.kind === 'changes' && [it.revision, it.changes.length])).toEqual(
      [0, 1, 2, 3].map((index) => [first + index, 100]),
    );
  });

  it('says which limit a change is beyond, and does nothing of it', async () => {
    const store = await open('/limits/');
    const puts = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ put: `k${index}`, value: 'z'.repeat(1 << 19) }));
    for (const count of [4, 6, 21]) {
      const failure = await store.txn([], puts(count)).catch((error: unknown) => error);
      expect(failure).toMatchObject({
        name: 'Failure',
        code: 'limit',
        remedy: expect.stringContaining('less at once'),
      });
    }
    expect((await store.list('')).entries).toEqual([]);
  });

  it('names what others wrote under its prefix', async () => {
    const store = await open('/shared/');
    await server.call('kv/put', { key: base64('/shared/a'), value: '/w==' });
    expect(await failureOf(store.get('a'))).toBe('internal');
    expect(await failureOf(store.list(''))).toBe('internal');
  });

  it('forgets no deletion of the revision that history begins with', async () => {
    const store = await open('/tombstone/');
    await store.txn([], [{ put: 'a', value: '' }]);
    const { revision } = await store.txn([], [{ delete: 'a' }]);
    await store.txn([], [{ put: 'b', value: '' }]);
    await store.compact(revision);
    expect(await take(store, '', revision, 2)).toMatchObject([
      { revision, changes: [{ kind: 'delete', key: 'a' }] },
      { revision: revision + 1 },
    ]);
  });

  it('tells that history is gone where somebody else compacted etcd', async () => {
    const store = await open('/compacted/');
    const { revision: first } = await store.txn([], [{ put: 'a', value: '' }]);
    const { revision } = await store.txn([], [{ delete: 'a' }]);
    await server.call('kv/compaction', { revision: String(revision) });
    expect(await take(store, '', first, 1)).toEqual([{ kind: 'compacted', oldest: revision + 1 }]);
    expect(await take(store, '', revision, 1)).toEqual([{ kind: 'compacted', oldest: revision + 1 }]);
    const watching = take(store, '', revision + 1, 1);
    await store.txn([], [{ put: 'c', value: '' }]);
    expect(await watching).toMatchObject([{ revision: revision + 1 }]);
  });
});
