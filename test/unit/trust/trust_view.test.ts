// Following what the store says of trust: an answer that was under way for long brings nothing back.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { hostClock } from '../../../control/io/host_clock.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';
import { encodeRecord, userRecordKey } from '../../../control/trust/layout.ts';
import { TrustView } from '../../../control/trust/trust_view.ts';

const KEY = userRecordKey('alice');
const record = encodeRecord({ role: 'admin', addedAtMs: 1, certificates: [] });

/** A view whose store gives the answers to `slow` no sooner than `release` is called. */
async function slowly(slow: 'get' | 'list') {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-view-'));
  const store = await openStore(`sqlite=${directory}/store.db`, { clock: hostClock() });
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let isSlow = false;
  const late = async <T>(method: string, answer: Promise<T>): Promise<T> => {
    const found = await answer;
    if (isSlow && method === slow) await released;
    return found;
  };
  const seen: Pick<Store, 'get' | 'list' | 'watch'> = {
    get: (key) => late('get', store.get(key)),
    list: (prefix) => late('list', store.list(prefix)),
    watch: (...given) => store.watch(...given),
  };
  const view = new TrustView(seen, { nowMs: Date.now, onProblem: () => {} });
  onTestFinished(async () => {
    await view.close();
    await store.close();
    rmSync(directory, { recursive: true });
  });
  await store.txn([], [{ put: KEY, value: record }]);
  await view.start();
  isSlow = true;
  return { store, view, release };
}

const changed = (view: TrustView) =>
  new Promise<void>((resolve) => {
    const stop = view.onChange(() => {
      stop();
      resolve();
    });
  });

it.each([
  ['get', (view: TrustView) => view.read({ kind: 'user', name: 'alice' })],
  ['list', (view: TrustView) => view.refresh()],
] as const)('an answer to %s from before a removal does not undo it', async (method, ask) => {
  const { store, view, release } = await slowly(method);
  expect(view.state.users.has('alice')).toBe(true);
  const asking = ask(view);
  const heard = changed(view);
  // Behind the question, which is on its way already.
  await store.get(KEY);
  await store.txn([], [{ delete: KEY }]);
  await heard;
  expect(view.state.users.has('alice')).toBe(false);
  release();
  await asking;
  expect(view.state.users.has('alice')).toBe(false);
});
