// A store that was put back to an earlier state, and a daemon that finds it so when it begins: what its program has in effect
// stays, until the leader has begun a new count.
import { expect, it, onTestFinished, vi } from 'vitest';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { HEAD_KEY, MUX_IDS_PREFIX } from '../../../control/cluster/keys.ts';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { LeaderDriver } from '../../../control/cluster/leader_driver.ts';
import { MuxMember } from '../../../control/cluster/member.ts';
import { MemberStore } from '../../../control/cluster/member_store.ts';
import { AppliedVersions } from '../../../control/cluster/member_versions.ts';
import { MuxesView } from '../../../control/cluster/member_view.ts';
import type { Version } from '../../../control/cluster/version.ts';
import { VersionView } from '../../../control/cluster/version_view.ts';
import type { Failure } from '../../../control/lib/failure.ts';
import type { Entry, Store } from '../../../control/store/contract.ts';
import { FakeProgram, HEARTBEAT_MS, nowMs, until } from './member_cluster.ts';
import { newStore, planned, pool, service } from './support.ts';

const SETTINGS = { ...LEADER_SETTINGS_DEFAULT, handshakeHoldMs: 20, leaseMs: 300, marginMs: 20 };
const LEASE_MS = 3_000;

const put = (store: Store, backends: number) =>
  commitEdits(store, planned(service('www', 'web'), pool('web', backends)));

/** All of a daemon that leads and follows, around a program. */
async function daemon(store: Store, program: FakeProgram) {
  const startsAt = program.version;
  const applied: Version[] = [];
  const failures: string[] = [];
  const leader = new LeaderDriver({
    store,
    name: 'a',
    settings: SETTINGS,
    keyAgeMs: 86_400_000,
    nowMs,
    log: () => undefined,
  });
  const [versions, muxes] = [new VersionView(store), new MuxesView(store, () => undefined)];
  const member = new MuxMember({
    name: 'a',
    address: '10.0.0.1',
    askPort: 7445,
    api: undefined,
    leaseMs: LEASE_MS,
    heartbeatMs: HEARTBEAT_MS,
    heartbeatMisses: 3,
    store: new MemberStore(store, 'a'),
    program,
    startsAt,
    wire: { send: () => undefined },
    nowMs,
    isServing: () => program.isAttached,
    reports: () => [],
    onFailure: () => undefined,
    onSuccess: () => undefined,
    tell: () => undefined,
  });
  const following = new AppliedVersions({
    versions,
    startsAt,
    apply: async ({ number }) => {
      program.version = number;
    },
    onApplied: (version) => {
      applied.push(version);
      member.applied(version);
    },
    onFailure: (error) => failures.push((error as Failure).message),
  });
  await member.start();
  muxes.onChange((it) => member.muxes(it));
  await Promise.all([muxes.start(), versions.start()]);
  const look = () => {
    if (versions.head !== undefined) member.head(versions.head);
    following.look();
  };
  versions.onChange(look);
  look();
  await following.settled();
  leader.start();
  let isRunning = true;
  const stop = async () => {
    if (!isRunning) return;
    isRunning = false;
    await leader.close();
    await Promise.all([muxes.close(), versions.close()]);
    await member.close();
    await following.close();
  };
  onTestFinished(stop);
  return { member, applied, failures, versions, stop };
}

/** As etcdctl snapshot restore does, whose leases are long gone. */
async function restore(entries: readonly Entry[]): Promise<Store> {
  const { store } = await newStore();
  for (const { key, value } of entries.filter(({ leaseId }) => leaseId === undefined))
    await store.txn([], [{ put: key, value }]);
  return store;
}

/** A mux whose daemon stopped after versions that no copy of its store has. */
async function history() {
  const { store } = await newStore();
  const leader = new LeaderDriver({
    store,
    name: 'first',
    settings: SETTINGS,
    keyAgeMs: 86_400_000,
    nowMs,
    log: () => undefined,
  });
  onTestFinished(() => leader.close());
  await put(store, 2);
  leader.start();
  await vi.waitFor(async () => expect(await store.get(HEAD_KEY)).toBeDefined());
  const beforeItJoined = (await store.list('')).entries;
  await leader.close();
  const program = new FakeProgram();
  const first = await daemon(store, program);
  await until(() => first.member.membership?.phase === 'member' && program.deadlineMs === undefined);
  const whileMember = (await store.list('')).entries;
  const { number } = first.versions.head!;
  await put(store, 3);
  await until(() => program.version >= number + 2);
  await first.stop();
  program.isAdopted = true;
  return { program, beforeItJoined, whileMember };
}

it.each([
  ['with it as a member', 'whileMember', true],
  ['without it', 'beforeItJoined', true],
  ['with it as a member, though its program is off all interfaces', 'whileMember', false],
] as const)(
  'a lone mux goes on by what it has beside a store %s, and comes back by itself',
  async (_, copy, isAttached) => {
    const { program, ...copies } = await history();
    const { version, incarnation } = program;
    program.isAttached = isAttached;
    const store = await restore(copies[copy]);
    expect((await store.list(MUX_IDS_PREFIX)).entries).toHaveLength(copy === 'whileMember' ? 1 : 0);
    const again = await daemon(store, program);
    expect(program.version).toBe(version);
    expect(again.failures[0]).toMatch(`and this node has version ${version}`);
    await until(() => again.applied.length > 0);
    expect(again.applied[0]!.number).toBeGreaterThan(version);
    if (!isAttached) return;
    await until(() => again.member.membership?.phase === 'member' && program.deadlineMs === undefined);
    expect(program.incarnation).toBe(incarnation);
  },
);
