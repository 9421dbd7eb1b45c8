import { expect, it, onTestFinished } from 'vitest';
import { ClusterView } from '../../../control/cluster/view.ts';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { Node, type NodeOptions } from '../../../control/node/node.ts';
import type { ProgramRole } from '../../../control/node/role.ts';
import type { Store } from '../../../control/store/contract.ts';
import { newStore } from '../cluster/support.ts';

/** A store in whose place another can be put, as where its machine is restored from nothing. */
function replaceable(first: Store): { store: Store; replace(next: Store): void } {
  let target = first;
  let broken = new AbortController();
  const watch: Store['watch'] = (prefix, from, signal) =>
    target.watch(prefix, from, AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]));
  const store: Store = new Proxy(first, {
    get: (_, name) => {
      if (name === 'watch') return watch;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    store,
    replace(next) {
      target = next;
      broken.abort();
      broken = new AbortController();
    },
  };
}

const WEB: readonly Edit[] = [{ kind: 'putPool', pool: { name: 'web', slots: 97 } }];
const backend = (weight: number): Edit => ({
  kind: 'putBackend',
  backend: { pool: 'web', name: 'b1', address: '192.0.2.1', weight, encap: 'ip' },
});
const options = { dryRun: false, force: false };

it('an edit is answered once it is in effect, also where a store that came back empty counts from the beginning', async () => {
  const applied: ClusterState[] = [];
  let gate: Promise<void> = Promise.resolve();
  const role = {
    role: 'backend',
    origin: 'fresh',
    apply: async (state: ClusterState) => {
      await gate;
      applied.push(state);
    },
    attachments: () => [],
    problems: () => [],
    close: async () => undefined,
  } as unknown as ProgramRole;
  const { store, replace } = replaceable((await newStore()).store);
  const view = new ClusterView(store);
  const node = new Node({
    name: 'n1',
    version: '1',
    interfaces: [],
    store,
    storeName: { kind: 'sqlite', where: 'here' },
    view,
    mux: undefined,
    backend: role,
    tracking: () => ({ summary: () => undefined }),
    trust: { summary: () => undefined },
    nowMs: Date.now,
    log: () => undefined,
  } as unknown as NodeOptions);
  onTestFinished(() => view.close());
  onTestFinished(() => node.close());
  await view.start();
  await node.start();
  await node.commit(() => WEB, options);
  for (let weight = 1; weight < 9; weight++) await node.commit(() => [backend(weight)], options);
  const before = node.status().appliedRevision;
  // What changes nothing, or is not to be, is at the revision that is in effect.
  await node.commit(() => [backend(8)], options);
  await node.commit(() => [backend(9)], { ...options, dryRun: true });
  expect(node.status().appliedRevision).toBe(before);

  replace((await newStore()).store);
  const open = Promise.withResolvers<void>();
  gate = open.promise;
  onTestFinished(() => open.resolve());
  const edit = node.commit(() => [backend(10)], { ...options, isWhole: true });
  let isAnswered = false;
  void edit.then(() => {
    isAnswered = true;
  });
  await new Promise<void>((resolve) => view.onChange((state) => state.revision < before && resolve()));
  expect(isAnswered).toBe(false);
  expect(node.status().appliedRevision).toBeLessThan(view.state.revision);
  open.resolve();
  const { revision } = await edit;
  expect(revision).toBeLessThan(before);
  expect(applied.at(-1)!.backends.get('web/b1')).toMatchObject({ weight: 10 });
  expect(node.status().appliedRevision).toBe(view.state.revision);
});
