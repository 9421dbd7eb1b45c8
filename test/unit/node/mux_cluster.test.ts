import { expect, it, onTestFinished, vi } from 'vitest';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { drainKey, HEAD_KEY, muxIdKey } from '../../../control/cluster/keys.ts';
import { firstRing } from '../../../control/cluster/member_keys_core.ts';
import { encodeIdentity } from '../../../control/cluster/member_layout.ts';
import { freshKey } from '../../../control/cluster/member_store.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { MuxCluster, type MuxClusterOptions } from '../../../control/node/mux_cluster.ts';
import { clusterProgramOf, flowTasksOf } from '../../../control/node/mux_ports.ts';
import { Problems } from '../../../control/node/problems.ts';
import type { Entry, Store } from '../../../control/store/contract.ts';
import { cleanVersion, newStore, planned, pool, service } from '../cluster/support.ts';
import { fakeProgram } from './mux_program.ts';

const until = (check: () => unknown) =>
  vi.waitFor(async () => expect(await check()).toBeTruthy(), { timeout: 8_000, interval: 20 });

function daemon(
  store: Store,
  {
    program,
    ...options
  }: Partial<Omit<MuxClusterOptions, 'program'>> & {
    readonly program: ReturnType<typeof fakeProgram>;
  },
) {
  const problems = new Problems(() => undefined);
  const cluster = new MuxCluster({
    name: 'm1',
    address: '192.0.2.201',
    askPort: 7445,
    api: undefined,
    leaseMs: 400,
    heartbeatMs: 20,
    heartbeatMisses: 3,
    keyAgeMs: 86_400_000,
    store,
    wire: { send: () => undefined },
    apply: async ({ number }) => {
      program.self.version = number;
    },
    role: 'mux',
    program: clusterProgramOf(program),
    tasks: flowTasksOf(program),
    isServing: () => true,
    problems,
    onApplied: () => problems.solve('apply'),
    onApplyFailure: (error) => problems.arise('apply', error),
    tell: () => undefined,
    log: () => undefined,
    ...options,
  });
  onTestFinished(() => cluster.close());
  return { cluster, problems, started: cluster.start() };
}

it('a mux that comes back beside a store without the cluster waits for what people put back, and joins then', async () => {
  const { store } = await newStore();
  const program = fakeProgram({ id: 3, incarnation: 9, version: 57 });
  const { cluster, problems } = daemon(store, { program });
  await until(() => problems.list().some(({ message }) => message === 'The store has lost the cluster.'));
  // Nothing is made in its place meanwhile.
  expect((await store.list('')).entries).toEqual([]);
  await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
  await until(() => cluster.member.membership?.phase === 'member');
  // Nobody took the number that it has for another content.
  expect(cluster.applied!.number).toBeGreaterThan(57);
  expect(cluster.applied!.objects.services.has('www')).toBe(true);
  expect(problems.list()).toEqual([]);
  expect(await store.get(HEAD_KEY)).toBeDefined();
});

it('a mux that begins without its store knows what was saved of muxes: that it was drained', async () => {
  const isAway = () => Promise.reject(new Failure('unavailable', 'the store is away'));
  const away = {
    get: isAway,
    list: isAway,
    txn: isAway,
    lease: isAway,
    campaign: isAway,
    watch: async function* () {
      yield* [];
    },
  } as unknown as Store;
  const program = fakeProgram({ id: 1, incarnation: 4, version: 7 });
  const entry = (key: string, value: string): [string, Entry] => [
    key,
    { key, value, createRevision: 1, modRevision: 1 },
  ];
  const member = {
    id: 1,
    incarnation: 4,
    name: 'm1',
    address: '192.0.2.201',
    askPort: 7445,
    isLeaving: false,
  };
  const version = { ...cleanVersion(EMPTY_STATE), number: 7, digest: 'd7', members: [member] };
  const { cluster, started } = daemon(away, {
    program,
    saved: {
      version: { version, entries: new Map() },
      ring: firstRing(freshKey(), 1),
      entries: new Map([
        entry(muxIdKey(1), encodeIdentity({ name: 'm1', incarnation: 4 })),
        entry(drainKey('m1'), ''),
      ]),
    },
  });
  await started;
  const { phase, isDraining } = cluster.member.membership!;
  expect({ phase, isDraining }).toEqual({ phase: 'member', isDraining: true });
});
