// Owns what every implementation of the store is held to: each sentence of control/store/contract.ts, on instances that
// open the same data as separate processes would. Leadership is store_election.ts.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KEY_BYTES_MAX,
  type Lease,
  type Store,
  TXN_OPERATIONS_MAX,
  VALUE_BYTES_MAX,
  type WatchEvent,
} from '../../control/store/contract.ts';
import { electionContract } from './store_election.ts';
import { type Call, calls, PREFIXES, StoreModel } from './store_model.ts';
import { all, failureOf, sleep, take } from './store_support.ts';

/** One set of data, empty at first. */
export type StoreUnderTest = {
  /** Another instance on the same data. */
  open(): Promise<Store>;
  /** Takes the data away; instances are closed by then. */
  remove(): Promise<void>;
};

/** Where implementations may differ, within the contract. */
export type Traits = {
  /** A lease: long enough to tell on a busy machine that it has not ended, short enough to wait for. */
  readonly ttlMs: number;
  /** How long after its time a lease may still be there for who looks at it. */
  readonly endsLateMs: number;
  /** A watch may hold events ready that its reader has not asked for, and tells them even if history is forgotten since. */
  readonly readsAhead: boolean;
  /** How long a watch that has just begun may count as one that is behind. */
  readonly catchesUpMs: number;
};

export const EXACT: Traits = { ttlMs: 400, endsLateMs: 0, readsAhead: false, catchesUpMs: 60 };

const put = (key: string, value = ''): { put: string; value: string } => ({ put: key, value });

export function storeContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
  traits: Traits = EXACT,
): void {
  const TTL_MS = traits.ttlMs;
  describe(`${name}, by the store's contract`, () => {
    let data: StoreUnderTest;
    let store: Store;
    let other: Store;

    beforeEach(async () => {
      data = await makeStore();
      store = await data.open();
      other = await data.open();
    });

    afterEach(async () => {
      await store.close();
      await other.close();
      await data.remove();
    });

    describe('entries and transactions', () => {
      it('begins at revision 1, empty', async () => {
        expect(await store.list('')).toEqual({ entries: [], revision: 1 });
        expect(await store.get('a')).toBeUndefined();
      });

      it('tells when a key came to exist and when it changed last', async () => {
        expect(await store.txn([], [put('a', '1')])).toEqual({ succeeded: true, revision: 2 });
        expect(await store.txn([], [put('b', '2')])).toEqual({ succeeded: true, revision: 3 });
        expect(await store.txn([], [put('a', '3')])).toEqual({ succeeded: true, revision: 4 });
        expect(await other.get('a')).toEqual({ key: 'a', value: '3', createRevision: 2, modRevision: 4 });
        await other.txn([], [{ delete: 'a' }]);
        await other.txn([], [put('a')]);
        expect(await store.get('a')).toEqual({ key: 'a', value: '', createRevision: 6, modRevision: 6 });
      });

      it('makes a revision of a put of the same value, and none of what changes nothing', async () => {
        await store.txn([], [put('a', '1')]);
        expect(await store.txn([], [put('a', '1')])).toEqual({ succeeded: true, revision: 3 });
        expect(await store.txn([], [])).toEqual({ succeeded: true, revision: 3 });
        expect(await store.txn([], [{ delete: 'nobody' }])).toEqual({ succeeded: true, revision: 3 });
        expect((await store.list('')).revision).toBe(3);
      });

      it('does all operations at one revision', async () => {
        await store.txn([], [put('gone')]);
        await store.txn([], [put('a', '1'), { delete: 'gone' }, put('b', '2')]);
        const { entries, revision } = await other.list('');
        expect(revision).toBe(3);
        expect(entries.map(({ key, modRevision }) => [key, modRevision])).toEqual([
          ['a', 3],
          ['b', 3],
        ]);
      });

      it('does nothing where one comparison does not hold, and tells the revision', async () => {
        await store.txn([], [put('a', '1')]);
        const failed = { succeeded: false, revision: 2 };
        for (const comparisons of [
          [{ key: 'a', modRevision: 1 }],
          [{ key: 'a', modRevision: 0 }],
          [{ key: 'b', modRevision: 2 }],
          [
            { key: 'a', modRevision: 2 },
            { key: 'b', modRevision: 1 },
          ],
        ]) {
          expect(await other.txn(comparisons, [put('a', 'x'), put('b')])).toEqual(failed);
          expect(await other.txn(comparisons, [{ delete: 'a' }])).toEqual(failed);
        }
        expect((await store.list('')).entries.map(({ value }) => value)).toEqual(['1']);
      });

      it('compares modRevision, 0 where there is no such key', async () => {
        await store.txn([], [put('a')]);
        await store.txn([], [put('a')]);
        const holds = [
          { key: 'a', modRevision: 3 },
          { key: 'a', modRevision: 3 },
          { key: 'b', modRevision: 0 },
        ];
        expect(await other.txn(holds, [])).toEqual({ succeeded: true, revision: 3 });
        expect(await other.txn(holds, [{ delete: 'a' }])).toEqual({ succeeded: true, revision: 4 });
        expect(await store.txn([{ key: 'a', modRevision: 0 }], [])).toMatchObject({ succeeded: true });
      });

      it('lists by prefix, in order of bytes', async () => {
        // As UTF-16, which strings of JavaScript compare by, U+FFFF would come after U+1F600.
        const keys = ['B', 'a', 'a/', 'a/1', 'a/10', 'a/2', 'a0', 'b', 'ä', '\uffff', '😀', '😀/1'];
        await store.txn(
          [],
          keys.toReversed().map((key) => put(key)),
        );
        const listed = async (prefix: string) => (await other.list(prefix)).entries.map(({ key }) => key);
        expect(await listed('')).toEqual(keys);
        expect(await listed('a/')).toEqual(['a/', 'a/1', 'a/10', 'a/2']);
        expect(await listed('a/1')).toEqual(['a/1', 'a/10']);
        expect(await listed('😀')).toEqual(['😀', '😀/1']);
        expect(await listed('c')).toEqual([]);
      });

      it.each(['', '\0', 'a\0b', 'ü😀\n"\'%_', '\ufeffx'])('keeps the value %j as it is', async (value) => {
        await store.txn([], [put(`k${value}`, value)]);
        expect(await other.get(`k${value}`)).toMatchObject({ key: `k${value}`, value });
      });

      it('counts without a gap when several increment at once', async () => {
        await store.txn([], [put('n', '0')]);
        const stores = [store, other, await data.open()];
        const increment = async (one: Store): Promise<void> => {
          for (;;) {
            const { value, modRevision } = (await one.get('n'))!;
            const { succeeded } = await one.txn(
              [{ key: 'n', modRevision }],
              [put('n', `${Number(value) + 1}`)],
            );
            if (succeeded) return;
          }
        };
        await Promise.all(
          stores.map(async (one) => {
            for (let done = 0; done < 20; done++) await increment(one);
          }),
        );
        expect(await store.get('n')).toMatchObject({ value: '60', modRevision: 62 });
        await stores[2]!.close();
      });
    });

    describe('limits', () => {
      it('takes keys, values and transactions as large as allowed', async () => {
        const key = 'ä'.repeat(KEY_BYTES_MAX / 2);
        const value = 'ä'.repeat(VALUE_BYTES_MAX / 2);
        await store.txn([], [put(key, value)]);
        expect(await other.get(key)).toMatchObject({ value });
        expect(await other.list(key)).toMatchObject({ entries: [{ key }] });
        const keys = Array.from({ length: TXN_OPERATIONS_MAX }, (_, index) => `k${index}`);
        const comparisons = keys.map((each) => ({ key: each, modRevision: 0 }));
        expect(
          await store.txn(
            comparisons,
            keys.map((each) => put(each)),
          ),
        ).toMatchObject({ succeeded: true });
      });

      it('refuses keys that are none', async () => {
        for (const key of ['', 'ä'.repeat(KEY_BYTES_MAX / 2 + 1), 'a\ud800']) {
          expect(await failureOf(store.get(key))).toBe('invalid');
          expect(await failureOf(store.txn([], [put(key)]))).toBe('invalid');
          expect(await failureOf(store.txn([], [{ delete: key }]))).toBe('invalid');
          expect(await failureOf(store.txn([{ key, modRevision: 0 }], []))).toBe('invalid');
          if (key === '') continue;
          expect(await failureOf(store.list(key))).toBe('invalid');
          expect(await failureOf(take(store, key, 1, 1))).toBe('invalid');
        }
      });

      it('refuses values and transactions that are too large or no text', async () => {
        const many = Array.from({ length: TXN_OPERATIONS_MAX + 1 }, (_, index) => `k${index}`);
        expect(await failureOf(store.txn([], [put('a', 'ä'.repeat(VALUE_BYTES_MAX / 2 + 1))]))).toBe('limit');
        expect(
          await failureOf(
            store.txn(
              [],
              many.map((key) => put(key)),
            ),
          ),
        ).toBe('limit');
        expect(
          await failureOf(
            store.txn(
              many.map((key) => ({ key, modRevision: 0 })),
              [],
            ),
          ),
        ).toBe('limit');
        expect(await failureOf(store.txn([], [put('a', '\udc00')]))).toBe('invalid');
        expect((await store.list('')).revision).toBe(1);
      });

      it('refuses two operations on one key, and revisions that cannot be', async () => {
        expect(await failureOf(store.txn([], [put('a'), { delete: 'a' }]))).toBe('invalid');
        expect(await failureOf(store.txn([], [put('a'), put('a')]))).toBe('invalid');
        for (const modRevision of [-1, 0.5, Number.NaN]) {
          expect(await failureOf(store.txn([{ key: 'a', modRevision }], []))).toBe('invalid');
          expect(await failureOf(take(store, '', modRevision, 1))).toBe('invalid');
          expect(await failureOf(store.compact(modRevision))).toBe('invalid');
        }
        expect(await failureOf(take(store, '', 0, 1))).toBe('invalid');
        expect(await failureOf(store.compact(2))).toBe('invalid');
        expect(await failureOf(store.lease(99))).toBe('invalid');
        expect(await failureOf(store.lease(Number.NaN))).toBe('invalid');
      });
    });

    describe('watches', () => {
      it('tells the past from a revision on, it included, and what comes after', async () => {
        await store.txn([], [put('a', '1')]);
        await store.txn([], [put('a', '2')]);
        const events = take(other, '', 3, 3);
        await store.txn([], [{ delete: 'a' }]);
        await store.txn([], [put('a', '4')]);
        const entry = { key: 'a', createRevision: 2 };
        expect(await events).toEqual([
          {
            kind: 'changes',
            revision: 3,
            changes: [{ kind: 'put', entry: { ...entry, value: '2', modRevision: 3 } }],
          },
          { kind: 'changes', revision: 4, changes: [{ kind: 'delete', key: 'a', modRevision: 4 }] },
          {
            kind: 'changes',
            revision: 5,
            changes: [{ kind: 'put', entry: { key: 'a', value: '4', createRevision: 5, modRevision: 5 } }],
          },
        ]);
      });

      it('tells only what is under the prefix, and all of a revision at once', async () => {
        await store.txn([], [put('p/a'), put('q'), put('p/b')]);
        await store.txn([], [put('q')]);
        await store.txn([], [put('p'), { delete: 'p/a' }]);
        const events = await take(other, 'p/', 1, 2);
        expect(
          events.map((event) => event.kind === 'changes' && [event.revision, event.changes.length]),
        ).toEqual([
          [2, 2],
          [4, 1],
        ]);
      });

      it('is woken by its own instance and by others, each watcher for itself', async () => {
        const watchers = [store, store, other, other].map((one, index) =>
          take(one, index % 2 ? 'a' : '', 2, 2),
        );
        await sleep(50);
        await store.txn([], [put('a', '1')]);
        await sleep(50);
        await other.txn([], [put('a', '2')]);
        const all = await Promise.all(watchers);
        for (const events of all) expect(events).toEqual(all[0]);
        expect(all[0]!.map((event) => event.kind === 'changes' && event.revision)).toEqual([2, 3]);
      });

      it('waits for a revision that is still to come', async () => {
        const events = take(other, '', 4, 1);
        for (const value of ['2', '3', '4']) await store.txn([], [put('a', value)]);
        expect(await events).toMatchObject([{ revision: 4, changes: [{ entry: { value: '4' } }] }]);
      });

      it('ends when it is aborted: before, while it waits, and between events', async () => {
        await store.txn([], [put('a')]);
        await store.txn([], [put('a')]);
        expect(await all(store.watch('', 1, AbortSignal.abort()))).toEqual([]);
        const stop = new AbortController();
        const waiting = all(store.watch('', 4, stop.signal));
        await sleep(30);
        stop.abort();
        expect(await waiting).toEqual([]);
        expect(await take(store, '', 2, 1)).toHaveLength(1);
      });

      it('may be left', async () => {
        await store.txn([], [put('a')]);
        for await (const event of store.watch('', 1)) {
          expect(event).toMatchObject({ revision: 2 });
          break;
        }
      });

      it('loses nothing to one who reads slowly while others write', async () => {
        const seen: number[] = [];
        const stop = new AbortController();
        const reading = (async () => {
          for await (const event of other.watch('', 2, stop.signal)) {
            if (event.kind !== 'changes') throw new Error(`unexpected ${event.kind}`);
            seen.push(event.revision);
            if (seen.length % 40 === 1) await sleep(20);
            if (event.revision === 301) stop.abort();
          }
        })();
        for (let count = 0; count < 300; count++) await store.txn([], [put('a', `${count}`)]);
        await reading;
        expect(seen).toEqual(Array.from({ length: 300 }, (_, index) => index + 2));
      });
    });

    describe('compaction', () => {
      it('forgets revisions before the one it names, keeps that and the entries', async () => {
        for (const value of ['2', '3', '4']) await store.txn([], [put('a', value)]);
        await store.txn([], [put('b')]);
        await store.compact(4);
        expect(await all(other.watch('', 3))).toEqual([{ kind: 'compacted', oldest: 4 }]);
        expect(await all(other.watch('nobody', 1))).toEqual([{ kind: 'compacted', oldest: 4 }]);
        expect(await take(other, '', 4, 2)).toMatchObject([{ revision: 4 }, { revision: 5 }]);
        expect((await other.list('')).entries.map(({ value }) => value)).toEqual(['4', '']);
      });

      it('never brings back what was forgotten', async () => {
        for (const value of ['2', '3', '4']) await store.txn([], [put('a', value)]);
        await store.compact(4);
        await other.compact(2);
        expect(await all(store.watch('', 2))).toEqual([{ kind: 'compacted', oldest: 4 }]);
      });

      it('ends a watch that was behind, and none that was not', async () => {
        await store.txn([], [put('a')]);
        const slow = store.watch('', 2)[Symbol.asyncIterator]();
        expect((await slow.next()).value).toMatchObject({ revision: 2 });
        const waiting = take(other, 'b', 2, 1);
        for (const value of ['3', '4']) await store.txn([], [put('a', value)]);
        await sleep(traits.catchesUpMs);
        await store.compact(4);
        await store.txn([], [put('b')]);
        const told = (await slow.next()).value as WatchEvent;
        if (traits.readsAhead && told.kind === 'changes') {
          // All of it then, and nothing left out.
          expect(told.revision).toBe(3);
          for (const revision of [4, 5]) expect((await slow.next()).value).toMatchObject({ revision });
          await slow.return?.();
        } else {
          expect(told).toEqual({ kind: 'compacted', oldest: 4 });
          expect((await slow.next()).done).toBe(true);
        }
        expect(await waiting).toMatchObject([{ kind: 'changes', revision: 5 }]);
      });
    });

    describe('leases', () => {
      const hold = async (lease: Lease, ...keys: string[]) =>
        store.txn(
          [],
          keys.map((key) => ({ ...put(key), leaseId: lease.id })),
        );

      it('ends where nobody renews it, and takes its entries along at one revision that watchers see', async () => {
        const lease = await store.lease(TTL_MS);
        expect(lease.ttlMs).toBe(TTL_MS);
        await hold(lease, 'a', 'b');
        await store.txn([], [put('c')]);
        expect(await other.get('a')).toMatchObject({ leaseId: lease.id });
        const startedMs = performance.now();
        expect(await take(other, '', 4, 1)).toEqual([
          {
            kind: 'changes',
            revision: 4,
            changes: ['a', 'b'].map((key) => ({ kind: 'delete', key, modRevision: 4 })),
          },
        ]);
        expect(performance.now() - startedMs).toBeLessThan(TTL_MS + traits.endsLateMs + 1_500);
        expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['c']);
        expect(await lease.renew()).toBe(false);
      });

      it('ends without anybody watching: reads and transactions know', async () => {
        const lease = await store.lease(TTL_MS);
        await hold(lease, 'a');
        await sleep(TTL_MS + traits.endsLateMs + 200);
        expect(await other.txn([{ key: 'a', modRevision: 0 }], [put('b')])).toMatchObject({
          succeeded: true,
        });
        expect(await failureOf(hold(lease, 'c'))).toBe('not_found');
        expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['b']);
      });

      it('lives as long as it is renewed', async () => {
        const lease = await store.lease(TTL_MS);
        await hold(lease, 'a');
        for (let round = 0; round < 6; round++) {
          await sleep(TTL_MS / 3);
          expect(await lease.renew()).toBe(true);
        }
        expect(await other.get('a')).toBeDefined();
      });

      it('is over at once when it is revoked, also the second time', async () => {
        const lease = await store.lease(60_000);
        await hold(lease, 'a', 'b');
        await lease.revoke();
        expect(await other.list('')).toEqual({ entries: [], revision: 3 });
        expect(await lease.renew()).toBe(false);
        await lease.revoke();
        expect((await other.list('')).revision).toBe(3);
      });

      it('keeps only entries that were put last under it', async () => {
        const lease = await store.lease(60_000);
        const second = await other.lease(60_000);
        await hold(lease, 'a', 'b', 'c');
        await store.txn([], [put('a')]);
        await hold(second, 'b');
        expect(await store.get('a')).not.toHaveProperty('leaseId');
        await lease.revoke();
        expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['a', 'b']);
        await second.revoke();
      });

      it('makes no revision of a lease without entries', async () => {
        await (await store.lease(60_000)).revoke();
        const { ttlMs } = await store.lease(100);
        await sleep(ttlMs + traits.endsLateMs + 100);
        expect((await store.list('')).revision).toBe(1);
      });

      it('refuses a put under a lease that is none, and does nothing of that transaction', async () => {
        const lease = await store.lease(60_000);
        await lease.revoke();
        for (const leaseId of [lease.id, '', '12345', 'x']) {
          const operations = [put('a'), { ...put('b'), leaseId }];
          expect(await failureOf(store.txn([], operations))).toBe('not_found');
          expect(await store.txn([{ key: 'a', modRevision: 9 }], operations)).toMatchObject({
            succeeded: false,
          });
        }
        expect((await store.list('')).entries).toEqual([]);
      });

      it('outlives the instance that it was asked of, by its time to live', async () => {
        const third = await data.open();
        const lease = await third.lease(TTL_MS);
        await third.txn([], [{ ...put('a'), leaseId: lease.id }]);
        await third.close();
        expect(await store.get('a')).toBeDefined();
        expect(await take(store, 'a', 3, 1)).toMatchObject([{ changes: [{ kind: 'delete' }] }]);
      });
    });

    describe('closing', () => {
      it('makes everything unavailable, watches that wait included, and may happen twice', async () => {
        const third = await data.open();
        const lease = await third.lease(60_000);
        const watching = failureOf(all(third.watch('', 2)));
        await sleep(30);
        await third.close();
        await third.close();
        expect(await watching).toBe('unavailable');
        expect(await failureOf(third.get('a'))).toBe('unavailable');
        expect(await failureOf(third.list(''))).toBe('unavailable');
        expect(await failureOf(third.txn([], []))).toBe('unavailable');
        expect(await failureOf(take(third, '', 1, 1))).toBe('unavailable');
        expect(await failureOf(third.lease(1_000))).toBe('unavailable');
        expect(await failureOf(lease.renew())).toBe('unavailable');
        expect(await failureOf(third.compact(1))).toBe('unavailable');
        expect(await failureOf(third.leader('x'))).toBe('unavailable');
        expect(await failureOf(third.campaign('x', '', { ttlMs: 1_000 }))).toBe('unavailable');
      });

      it('does not disturb a watch that was given up before', async () => {
        const third = await data.open();
        const stop = new AbortController();
        const watching = all(third.watch('', 2, stop.signal));
        await sleep(30);
        stop.abort();
        await third.close();
        expect(await watching).toEqual([]);
      });

      it('keeps what was written', async () => {
        await store.txn([], [put('a', '1')]);
        await store.close();
        await other.close();
        store = await data.open();
        expect(await store.list('')).toMatchObject({ entries: [{ key: 'a', value: '1' }], revision: 2 });
        expect(await take(store, '', 1, 1)).toMatchObject([{ revision: 2 }]);
      });
    });

    electionContract(() => data, traits.ttlMs + 100);

    it('does what the model does, in any order of calls', { timeout: 60_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(calls, async (sequence) => {
          const fresh = await makeStore();
          const stores = [await fresh.open(), await fresh.open()];
          try {
            await compare(sequence, stores);
          } finally {
            for (const one of stores) await one.close();
            await fresh.remove();
          }
        }),
        { numRuns: 60 },
      );
    });
  });
}

/** Performs the calls on the stores, two instances of one, and on the model; all answers must be the same. */
async function compare(sequence: readonly Call[], stores: readonly Store[]): Promise<void> {
  const model = new StoreModel();
  let lease = await stores[0]!.lease(60_000);
  for (const step of sequence) {
    const store = stores[step.store]!;
    switch (step.call) {
      case 'txn': {
        const comparisons = step.comparisons.map(({ key, right }) => {
          const modRevision = model.entries.get(key)?.modRevision ?? 0;
          return { key, modRevision: right ? modRevision : modRevision + 1 };
        });
        const operations = step.operations.map(({ key, value, lease: leased }) => {
          if (value === undefined) return { delete: key };
          return leased ? { put: key, value, leaseId: lease.id } : { put: key, value };
        });
        expect(await store.txn(comparisons, operations)).toEqual(model.txn(comparisons, operations));
        break;
      }
      case 'compact': {
        const revision = Math.max(1, model.revision - step.back);
        await store.compact(revision);
        model.oldest = Math.max(model.oldest, revision);
        break;
      }
      case 'revoke':
        await lease.revoke();
        model.revoke(lease.id);
        lease = await store.lease(60_000);
        break;
      case 'look':
        expect(await store.get(step.key)).toEqual(model.entries.get(step.key));
        expect(await store.list(step.prefix)).toEqual({
          entries: model.list(step.prefix),
          revision: model.revision,
        });
        break;
    }
  }
  await Promise.all(
    PREFIXES.flatMap((prefix) =>
      [1, model.oldest, model.revision].map(async (from) => {
        const expected = model.watch(prefix, from);
        expect(await take(stores[1]!, prefix, from, expected.length)).toEqual(expected);
      }),
    ),
  );
}
