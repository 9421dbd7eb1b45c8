// The whole way in the store: what muxes write under their leases becomes versions, beside what users edit meanwhile.
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodeRegistration } from '../../../control/cluster/ack_layout.ts';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { healthKey, registrationKey } from '../../../control/cluster/keys.ts';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { LeaderDriver } from '../../../control/cluster/leader_driver.ts';
import type { Version } from '../../../control/cluster/version.ts';
import { VersionView } from '../../../control/cluster/version_view.ts';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { poolSchema } from '../../../control/config/objects.ts';
import { encodeVerdicts, subjectOf, type Verdict } from '../../../control/health/verdicts_codec.ts';
import { healthObserver } from '../../../control/node/health.ts';
import { documentOf, planEdits } from '../../../control/pool/edits.ts';
import type { Store } from '../../../control/store/contract.ts';
import { newStore, readState } from '../cluster/support.ts';
import { backend, putBackend, putPool, putService, SLOTS, service } from '../pool/lib/cluster.ts';

const LEASE_MS = 300;
const POOL = poolSchema.parse({ name: 'web', slots: SLOTS, health: { type: 'tcp' } });
const BASICS: Edit[] = [
  putPool(POOL),
  ...['b1', 'b2', 'b3'].map((name, at) =>
    putBackend(backend(`web/${name}`, { address: `192.0.2.${at + 1}` })),
  ),
  putService(service('www')),
];

const edit = (store: Store, ...edits: Edit[]) =>
  commitEdits(store, (state) => planEdits(state, edits, { force: false }));

function lead(store: Store, name: string): { driver: LeaderDriver; problems: () => string[] } {
  const driver = new LeaderDriver({
    store,
    name,
    settings: { ...LEADER_SETTINGS_DEFAULT, leaseMs: LEASE_MS, marginMs: 20 },
    keyAgeMs: 86_400_000,
    nowMs: () => performance.now(),
    observer: () => healthObserver(LEASE_MS),
    log: () => undefined,
  });
  onTestFinished(() => driver.close());
  driver.start();
  return { driver, problems: () => (driver.outcome?.problems ?? []).map(({ message }) => message) };
}

async function cluster(): Promise<{ store: Store; state: () => Promise<ClusterState>; view: VersionView }> {
  const { store } = await newStore();
  await edit(store, ...BASICS);
  const view = new VersionView(store);
  onTestFinished(() => view.close());
  await view.start();
  return { store, state: () => readState(store), view };
}

function until(view: VersionView, holds: (head: Version) => boolean): Promise<Version> {
  if (view.head !== undefined && holds(view.head)) return Promise.resolve(view.head);
  return new Promise((resolve) => {
    const end = view.onChange((head) => {
      if (!holds(head)) return;
      end();
      resolve(head);
    });
  });
}

async function say(
  store: Store,
  mux: string,
  state: ClusterState,
  dead: readonly string[],
  leaseId?: string,
) {
  const verdicts = [...state.backends.values()].map((it): [number, Verdict] => [
    subjectOf(it),
    { isUp: !dead.includes(it.name), sinceMs: 1, reason: 'refused' },
  ]);
  const value = encodeVerdicts(new Map(verdicts));
  await store.txn([], [{ put: healthKey(mux), value, ...(leaseId !== undefined && { leaseId }) }]);
}

const takes = (head: Version, index: number) =>
  [...head.placements.values()].some((it) => it.current.includes(index));

describe('verdicts in the store', () => {
  it('become a version, and another when they change; no document says so', async () => {
    const { store, state, view } = await cluster();
    const { index, generation } = (await state()).backends.get('web/b2')!;
    lead(store, 'm1');
    await until(view, (head) => takes(head, index));
    const before = documentOf(await state());
    await say(store, 'm1', await state(), ['b2']);
    await until(view, (head) => !takes(head, index));
    expect(documentOf(await state())).toEqual(before);
    await say(store, 'm1', await state(), []);
    const back = await until(view, (head) => takes(head, index));
    expect(back.objects.backends.get('web/b2')?.generation).not.toBe(generation);
  });

  it('lose no edit that comes at the same moment, and no edit loses them', async () => {
    const { store, state, view } = await cluster();
    lead(store, 'm1');
    await until(view, () => true);
    const known = await state();
    const edits = Array.from({ length: 12 }, (_, at) =>
      edit(store, putBackend(backend(`web/n${at}`, { address: `192.0.2.${100 + at}` }))),
    );
    for (const dead of [['b1'], [], ['b2'], ['b1', 'b3']]) await say(store, 'm1', known, dead);
    await Promise.all(edits);
    const last = await until(
      view,
      (head) =>
        head.objects.backends.size >= 13 &&
        [1, 3].every((at) => !takes(head, known.backends.get(`web/b${at}`)!.index)),
    );
    expect(last.objects.revision).toBeGreaterThan(0);
    const now = await state();
    expect([...now.backends.keys()].filter((it) => it.startsWith('web/n'))).toHaveLength(12);
    expect([...now.backends].filter(([, it]) => it.observed?.down !== undefined).map(([key]) => key)).toEqual(
      ['web/b1', 'web/b3'],
    );
  });

  it('of a mux vanish with its lease', async () => {
    const { store, state, view } = await cluster();
    const { index } = (await state()).backends.get('web/b2')!;
    lead(store, 'm1');
    await until(view, (head) => takes(head, index));
    const lease = await store.lease(60_000);
    await say(store, 'm2', await state(), [], lease.id);
    await say(store, 'm1', await state(), ['b2']);
    // One of two is no majority; one of one is, once the other was waited for.
    await lease.revoke();
    await until(view, (head) => !takes(head, index));
  });

  it('that a member has not written yet are waited for by who leads next', async () => {
    const { store, state, view } = await cluster();
    const first = lead(store, 'm1');
    const m2 = { name: 'm2', id: 2, incarnation: 1, address: '192.0.2.202', askPort: 7_445 };
    const value = encodeRegistration({ ...m2, leaseMs: LEASE_MS, isLeaving: false });
    await store.txn([], [{ put: registrationKey('m2'), value }]);
    await until(view, ({ members }) => members.length === 1);
    await first.driver.close();
    await say(store, 'm1', await state(), ['b2']);
    const fromMs = performance.now();
    lead(store, 'm1');
    const down = async () => (await state()).backends.get('web/b2')?.observed?.down?.reason;
    await expect.poll(down, { timeout: 10_000 }).toBe('refused');
    expect(performance.now() - fromMs).toBeGreaterThanOrEqual(2 * LEASE_MS);
  });

  it('that are nonsense are those of a mux that says nothing', async () => {
    const { store, state, view } = await cluster();
    const { index } = (await state()).backends.get('web/b2')!;
    lead(store, 'm1');
    await until(view, (head) => takes(head, index));
    await store.txn([], [{ put: healthKey('m2'), value: '{"up":' }]);
    await say(store, 'm1', await state(), ['b2']);
    await until(view, (head) => !takes(head, index));
  });

  it('that turn into nonsense count no longer as what the mux said before', async () => {
    const { store, state, view } = await cluster();
    const { index } = (await state()).backends.get('web/b2')!;
    lead(store, 'm1');
    await until(view, (head) => takes(head, index));
    await say(store, 'm2', await state(), []);
    await say(store, 'm1', await state(), ['b2']);
    await store.txn([], [{ put: healthKey('m2'), value: '{"up":' }]);
    await until(view, (head) => !takes(head, index));
  });

  it('are judged anew by who leads next, which says so of panic too', async () => {
    const { store, state, view } = await cluster();
    const first = lead(store, 'm1');
    await until(view, () => true);
    await say(store, 'm1', await state(), ['b1', 'b2', 'b3']);
    await expect.poll(() => first.problems()[0]).toContain('panic: pool web keeps web/b3');
    await first.driver.close();
    const before = await state();
    const second = lead(store, 'm2');
    await expect.poll(() => second.problems()[0]).toContain('panic: pool web keeps web/b3');
    expect((await state()).backends).toEqual(before.backends);
  });
});
