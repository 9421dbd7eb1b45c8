// A node that runs, and a store that comes back, or has another secret.
import { expect, it, onTestFinished, vi } from 'vitest';
import { Agreement } from '../../../control/cluster/agreement.ts';
import { HASH_SECRET_KEY, nodeKey } from '../../../control/cluster/layout.ts';
import { hashSecret } from '../../../control/cluster/registry.ts';
import { ClusterView } from '../../../control/cluster/view.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { newStore } from './support.ts';

const ME = { name: 'mux1', roles: ['mux' as const], tunnelSources: [], version: '1', address: '192.0.2.201' };

async function running({ isBehind = false, failures = 0 } = {}) {
  const { store } = await newStore();
  const secret = await hashSecret(store);
  const view = new ClusterView(store);
  const outcomes: unknown[] = [];
  let left = failures;
  const agreement = new Agreement({
    store: {
      get: (key) =>
        left-- > 0 ? Promise.reject(new Failure('unavailable', 'etcd is away')) : store.get(key),
      txn: (...given) => store.txn(...given),
    },
    view,
    node: ME,
    secret,
    isBehind,
    onOutcome: (error) => outcomes.push(error),
    retryMs: 10,
  });
  onTestFinished(async () => {
    agreement.close();
    await view.close();
  });
  let isOther = false;
  void agreement.otherSecret.then(() => {
    isOther = true;
  });
  await view.start();
  return { store, outcomes, isOther: () => isOther };
}

const until = (check: () => unknown) =>
  vi.waitFor(async () => expect(await check()).toBeTruthy(), { timeout: 5_000, interval: 10 });

it('a node that runs notices that the store has another secret', async () => {
  const { store, isOther } = await running();
  await store.txn([], [{ put: 'cluster/nodes/x', value: JSON.stringify({ ...ME, name: 'x' }) }]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(isOther()).toBe(false);
  await store.txn([], [{ put: HASH_SECRET_KEY, value: Buffer.alloc(32, 7).toString('base64') }]);
  await until(isOther);
});

it('and goes on with its own where what the store has is none', async () => {
  const { store, isOther, outcomes } = await running();
  const { value } = (await store.get(HASH_SECRET_KEY))!;
  await store.txn([], [{ put: HASH_SECRET_KEY, value: 'rubbish' }]);
  await until(() => outcomes.length > 0);
  expect(outcomes[0]).toMatchObject({ message: 'cluster/secrets/hash in the store is damaged' });
  await store.txn([], [{ put: HASH_SECRET_KEY, value }]);
  await until(() => outcomes.at(-1) === undefined);
  expect(isOther()).toBe(false);
});

it('it tells a store that came back of itself, and again until that has worked', async () => {
  const { store, outcomes, isOther } = await running({ isBehind: true, failures: 2 });
  await until(() => outcomes.includes(undefined));
  expect(outcomes.map((it) => it === undefined)).toEqual([false, false, true]);
  expect(await store.get(nodeKey('mux1'))).toBeDefined();
  expect(isOther()).toBe(false);
});
