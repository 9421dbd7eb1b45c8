// Another process on a store, for tests of the embedded one. Says one line of JSON on standard output for each thing
// that it has done.
import { hostClock } from '../../../control/io/host_clock.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';

const say = (what: unknown): void => console.log(JSON.stringify(what));

const ACTIONS: Record<string, (store: Store) => Promise<void>> = {
  /** Adds 1 a hundred times, by compare-and-set. */
  async increment(store) {
    for (let done = 0; done < 100; ) {
      const entry = await store.get('n');
      const next = String(Number(entry?.value ?? '0') + 1);
      const comparison = { key: 'n', modRevision: entry?.modRevision ?? 0 };
      if ((await store.txn([comparison], [{ put: 'n', value: next }])).succeeded) done++;
    }
    say('done');
  },
  /** Two keys a transaction, told after each, until it is killed. */
  async commit(store) {
    for (let count = 0; ; count++) {
      const key = `${process.pid}-${String(count).padStart(6, '0')}`;
      const value = 'x'.repeat((count * 37) % 5_000);
      const { revision } = await store.txn(
        [],
        [
          { put: `one/${key}`, value },
          { put: `two/${key}`, value },
        ],
      );
      say({ key, value: value.length, revision });
    }
  },
  async lead(store) {
    const { epoch } = await store.campaign('leader', String(process.pid), { ttlMs: 500 });
    say({ epoch });
    await new Promise(() => setInterval(() => undefined, 60_000));
  },
  /** Until the disk is full; then reads, and goes on once there is room. */
  async fill(store) {
    await store.txn([], [{ put: 'small', value: 'kept' }]);
    let count = 0;
    try {
      for (; ; count++) await store.txn([], [{ put: `big/${count}`, value: 'x'.repeat(100_000) }]);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { entries } = await store.list('big/');
      say({ failure: error.body, small: (await store.get('small'))?.value, lost: count - entries.length });
    }
  },
  /** Writes, and tells what became of it, at each line of input. */
  async write(store) {
    say('open');
    for await (const _ of process.stdin) {
      const result = await store
        .txn([], [{ put: 'a', value: '' }])
        .catch((error: Failure) => error.body ?? error);
      say(result);
    }
  },
};

const [action = '', path = ''] = process.argv.slice(2);
try {
  const store = await openStore(`sqlite=${path}`, { clock: hostClock() });
  await ACTIONS[action]!(store);
  await store.close();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  say(error.body);
}
