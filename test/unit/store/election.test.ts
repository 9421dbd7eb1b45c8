// Leadership where the store does not always answer. What holds when it does is test/contract/store_election.ts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostClock } from '../../../control/io/host_clock.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Leadership, Lease, Store } from '../../../control/store/contract.ts';
import { campaign } from '../../../control/store/election.ts';
import { openStore } from '../../../control/store/open.ts';
import { failureOf, sleep } from '../../contract/store_support.ts';

const TTL_MS = 600;
const { nowMs } = hostClock();

let directory: string;
let store: Store;
let closed: AbortController;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-election-'));
  store = await openStore(`sqlite=${directory}/store.db`, { clock: hostClock() });
  closed = new AbortController();
});

afterEach(async () => {
  closed.abort();
  await store.close();
  rmSync(directory, { recursive: true });
});

/** The store, with methods of it and of its leases replaced. */
function faulty(over: { store?: Partial<Store>; lease?: (lease: Lease) => Partial<Lease> }): Store {
  const bound = {
    get: store.get.bind(store),
    txn: store.txn.bind(store),
    watch: store.watch.bind(store),
    lease: async (ttlMs: number) => {
      const lease = await store.lease(ttlMs);
      return { ...lease, ...over.lease?.(lease) };
    },
  };
  return { ...bound, ...over.store } as Store;
}

const lead = (through: Store, signal?: AbortSignal): Promise<Leadership> =>
  campaign(through, 'x', 'us', { ttlMs: TTL_MS, closed: closed.signal, nowMs, ...(signal && { signal }) });

const away = (): never => {
  throw new Failure('unavailable', 'the store is away');
};

/** When the leadership was lost; undefined where it was not. */
function lostAt(leadership: Leadership): { ms: number | undefined } {
  const at: { ms: number | undefined } = { ms: undefined };
  leadership.lost.addEventListener('abort', () => {
    at.ms = nowMs();
  });
  return at;
}

describe('leadership on a store that does not always answer', () => {
  it('is kept where renewals fail for less than the time to live', async () => {
    let failing = 2;
    const leadership = await lead(
      faulty({ lease: (lease) => ({ renew: async () => (failing-- > 0 ? away() : lease.renew()) }) }),
    );
    await sleep(2 * TTL_MS);
    expect(leadership.lost.aborted).toBe(false);
    expect(failing).toBeLessThan(0);
    await leadership.resign();
  });

  it.each([
    ['fail', async () => away()],
    ['are not answered', () => new Promise<boolean>(() => undefined)],
  ])('is lost before anybody else can lead where renewals %s', async (_, renew) => {
    const leadership = await lead(faulty({ lease: () => ({ renew }) }));
    const lost = lostAt(leadership);
    const second = await store.campaign('x', 'them', { ttlMs: 60_000 });
    const wonMs = nowMs();
    expect(lost.ms).toBeDefined();
    expect(lost.ms!).toBeLessThan(wonMs);
    expect(second.epoch).toBeGreaterThan(leadership.epoch);
  });

  it('is counted from when the renewal was sent, however late the answer is', async () => {
    let renewals = 0;
    const slow = (lease: Lease) => ({
      renew: async () => {
        renewals++;
        const alive = await lease.renew();
        // The answer to the first comes when nearly half of the time is over; there is no second answer.
        await (renewals === 1 ? sleep(TTL_MS * 0.45) : new Promise(() => undefined));
        return alive;
      },
    });
    const startedMs = nowMs();
    const leadership = await lead(faulty({ lease: slow }));
    const lost = lostAt(leadership);
    await sleep(2 * TTL_MS);
    // Renewed a third into the time to live, so lost within one and a third.
    expect(lost.ms! - startedMs).toBeLessThan(TTL_MS * 1.34);
    expect(lost.ms! - startedMs).toBeGreaterThan(TTL_MS);
  });

  it('is lost at once where the lease has ended', async () => {
    const leadership = await lead(faulty({ lease: () => ({ renew: async () => false }) }));
    await sleep(TTL_MS / 2);
    expect(leadership.lost.aborted).toBe(true);
    expect(leadership.lost.reason).toMatchObject({
      message: 'the leadership of elections/x is lost',
      reason: 'its lease has ended',
    });
  });

  it('is not won, and leaves nothing, where it is not known whether the entry was put', async () => {
    const txn: Store['txn'] = async (...what) => {
      await store.txn(...what);
      return away();
    };
    expect(await failureOf(lead(faulty({ store: { txn } })))).toBe('unavailable');
    expect(await store.leader('x')).toBeUndefined();
  });

  it('is not won by who gave up while the store answered', async () => {
    const stop = new AbortController();
    const txn: Store['txn'] = async (...what) => {
      stop.abort(new Error('enough'));
      return store.txn(...what);
    };
    await expect(lead(faulty({ store: { txn } }), stop.signal)).rejects.toThrow('enough');
    expect(await store.leader('x')).toBeUndefined();
  });

  it('is waited for across compaction', async () => {
    const first = await store.campaign('x', 'them', { ttlMs: 60_000 });
    const get: Store['get'] = async (key) => {
      const entry = await store.get(key);
      // What the wait would begin with is forgotten before it begins.
      await store.txn([], [{ put: 'other', value: '' }]);
      await store.txn([], [{ put: 'other', value: '' }]);
      const { revision } = await store.list('other');
      if (entry !== undefined) await store.compact(revision);
      if (entry !== undefined) await first.resign();
      return entry;
    };
    const leadership = await lead(faulty({ store: { get } }));
    expect(leadership.epoch).toBeGreaterThan(first.epoch);
    await leadership.resign();
  });
});
