// Owns what every implementation of the store is held to about leadership.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Leadership, Store } from '../../control/store/contract.ts';
import { failureOf, sleep } from './store_support.ts';

const lost = ({ lost: signal }: Leadership): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** `TTL_MS`: of leases that tests wait for. */
export function electionContract(data: () => { open(): Promise<Store> }, TTL_MS: number): void {
  describe('leadership', () => {
    let store: Store;
    let other: Store;

    beforeEach(async () => {
      store = await data().open();
      other = await data().open();
    });

    afterEach(async () => {
      await store.close();
      await other.close();
    });

    it('is one campaigner’s at a time, and handed over when it resigns', async () => {
      const first = await store.campaign('x', 'one', { ttlMs: 60_000 });
      expect(await other.leader('x')).toEqual({ value: 'one', epoch: first.epoch });
      let second: Leadership | undefined;
      const waiting = other.campaign('x', 'two', { ttlMs: 60_000 }).then((won) => {
        second = won;
        // Whoever acts on the first one has stopped by now.
        expect(first.lost.aborted).toBe(true);
      });
      await sleep(150);
      expect(second).toBeUndefined();
      await first.resign();
      await waiting;
      expect(second!.epoch).toBeGreaterThan(first.epoch);
      expect(await store.leader('x')).toEqual({ value: 'two', epoch: second!.epoch });
      await second!.resign();
      expect(await store.leader('x')).toBeUndefined();
    });

    it('is kept for longer than the time to live', async () => {
      const leadership = await store.campaign('x', 'one', { ttlMs: TTL_MS });
      await sleep(3 * TTL_MS);
      expect(leadership.lost.aborted).toBe(false);
      expect(await other.leader('x')).toMatchObject({ value: 'one', epoch: leadership.epoch });
      await leadership.resign();
    });

    it('is of a name: others do not matter, nor names that begin alike', async () => {
      const first = await store.campaign('x', 'one', { ttlMs: 60_000 });
      const second = await other.campaign('xy', 'two', { ttlMs: 60_000 });
      const waiting = other.campaign('x', 'three', { ttlMs: 60_000 });
      await second.resign();
      await sleep(100);
      expect(await store.leader('x')).toMatchObject({ value: 'one' });
      await first.resign();
      expect((await waiting).lost.aborted).toBe(false);
    });

    it('goes to each campaigner once, with epochs that grow', async () => {
      const epochs: number[] = [];
      let leading = 0;
      await Promise.all(
        [store, other, store, other].map(async (one, index) => {
          const leadership = await one.campaign('x', `${index}`, { ttlMs: 5_000 });
          leading++;
          expect(leading).toBe(1);
          epochs.push(leadership.epoch);
          await sleep(20);
          leading--;
          await leadership.resign();
        }),
      );
      expect(epochs).toHaveLength(4);
      expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
      expect(new Set(epochs).size).toBe(4);
    });

    it('lets transactions through while it lasts', async () => {
      const first = await store.campaign('x', 'one', { ttlMs: 60_000 });
      const write = () => store.txn([first.comparison], [{ put: 'a', value: '' }]);
      expect(await write()).toMatchObject({ succeeded: true });
      await first.resign();
      expect(await write()).toMatchObject({ succeeded: false });
      await other.campaign('x', 'two', { ttlMs: 60_000 });
      expect(await write()).toMatchObject({ succeeded: false });
    });

    it('is lost when the store is closed, and free once the lease has run out', async () => {
      const first = await store.campaign('x', 'one', { ttlMs: TTL_MS });
      await store.close();
      expect(first.lost.aborted).toBe(true);
      const second = await other.campaign('x', 'two', { ttlMs: TTL_MS });
      expect(second.epoch).toBeGreaterThan(first.epoch);
      await second.resign();
    });

    it('is lost when somebody takes the entry away', async () => {
      const leadership = await store.campaign('x', 'one', { ttlMs: 300 });
      await other.txn([], [{ delete: leadership.comparison.key }]);
      await lost(leadership);
      expect(leadership.lost.reason).toMatchObject({ name: 'Failure' });
    });

    it('gives up the wait when it is told to', async () => {
      const first = await store.campaign('x', 'one', { ttlMs: 60_000 });
      const stop = new AbortController();
      const waiting = other.campaign('x', 'two', { ttlMs: 60_000, signal: stop.signal });
      await sleep(50);
      stop.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await expect(other.campaign('x', 'two', { ttlMs: 60_000, signal: stop.signal })).rejects.toThrow(
        'enough',
      );
      await first.resign();
      expect(await store.leader('x')).toBeUndefined();
    });

    it('refuses what is no name or no time to live', async () => {
      expect(await failureOf(store.campaign('', 'x', { ttlMs: 1_000 }))).toBe('invalid');
      expect(await failureOf(store.campaign('x', 'x', { ttlMs: 1 }))).toBe('invalid');
      expect(await failureOf(store.leader(''))).toBe('invalid');
    });
  });
}
