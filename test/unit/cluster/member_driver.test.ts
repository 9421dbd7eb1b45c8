import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished, vi } from 'vitest';
import { encodeAcknowledgement } from '../../../control/cluster/ack_layout.ts';
import {
  ASK_KEYS_KEY,
  ackKey,
  CLUSTER_TIME_KEY,
  registrationKey,
  SUSPECTS_PREFIX,
} from '../../../control/cluster/keys.ts';
import type { MuxMember } from '../../../control/cluster/member.ts';
import { decodeRing } from '../../../control/cluster/member_layout.ts';
import { drainNode, MemberStore, removeNode, rotateKeys } from '../../../control/cluster/member_store.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Store } from '../../../control/store/contract.ts';
import { cluster, HEARTBEAT_MS, LEASE_MS, nowMs, until } from './member_cluster.ts';
import { newStore } from './support.ts';

it('a mux alone becomes a member, decides for ever and acknowledges', async () => {
  const { daemon, watching, leader } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  await until(() => watching.muxes.acknowledgements.get('a')?.version === 1);
  expect(leader.head?.members).toMatchObject([{ id: 1, name: 'a', incarnation: 1, address: '10.0.0.1' }]);
  expect(watching.muxes.acknowledgements.get('a')).toEqual({
    name: 'a',
    incarnation: 1,
    version: 1,
    digest: 'digest-1',
    reports: [],
  });
  expect(a.member.membership?.phase).toBe('member');
  expect(a.program.deadlineMs).toBeUndefined();
});

it('three muxes have ids, keys and time in common, hear each other, and have deadlines that go on', async () => {
  const { daemon, leader } = await cluster();
  const all = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2'), await daemon('c', '10.0.0.3')];
  await until(() => leader.head?.members.length === 3 && all.every(({ program }) => program.decides));
  await until(() =>
    all.every(({ member }) => [...member.heartbeat.heardAgoMs(nowMs()).values()].every((it) => it! < 100)),
  );
  expect(all.map(({ program }) => program.id)).toEqual([1, 2, 3]);
  expect(new Set(all.map(({ program }) => program.installed.get(0))).size).toBe(1);
  await sleep(2 * LEASE_MS);
  for (const { program } of all) {
    expect(program.decides).toBe(true);
    expect(program.deadlineMs).toBeLessThan(nowMs() + LEASE_MS);
    expect(Math.abs(program.clusterTime() - all[0]!.program.clusterTime())).toBeLessThan(100);
  }
});

it('a daemon that restarts in time is the member that it was, with the same incarnation', async () => {
  const { daemon, leader } = await cluster();
  const [a, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  const { number } = leader.head!;
  await b.stop();
  b.program.isAdopted = true;
  await sleep(LEASE_MS / 4);
  const again = await daemon('b', '10.0.0.2', { fresh: false });
  expect(again.program).toBe(b.program);
  await sleep(2 * LEASE_MS);
  expect(leader.head!.number).toBe(number);
  expect(again.member.self).toEqual({ id: 2, incarnation: 1 });
  expect([a.program.decides, again.program.decides]).toEqual([true, true]);
});

it('empties the tables of a program whose last daemon died while it did', async () => {
  const { daemon, leader } = await cluster();
  const b = await daemon('b', '10.0.0.2');
  await until(() => leader.head?.members.length === 1 && b.program.decides);
  await b.stop();
  b.program.isAdopted = true;
  b.program.incarnation = 0;
  const again = await daemon('b', '10.0.0.2', { fresh: false });
  expect([again.program.forgotten, again.program.incarnation]).toEqual([1, 2]);
});

it('a daemon that is gone too long is removed, stops deciding, and comes back empty as another incarnation', async () => {
  const { daemon, leader } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  await b.stop();
  b.program.isAdopted = true;
  await until(() => leader.head?.members.length === 1);
  expect(b.program.decides).toBe(false);
  const again = await daemon('b', '10.0.0.2', { fresh: false });
  await until(() => leader.head?.members.length === 2 && again.program.decides);
  expect(again.member.self).toEqual({ id: 2, incarnation: 2 });
  expect(again.program.forgotten).toBe(1);
});

it('a program that is not heard is suspected by its peers, until it is heard again', async () => {
  const { daemon, leader, watching, network } = await cluster();
  const [a, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await daemon('c', '10.0.0.3');
  const hears = (it: typeof a) => (it.member.heartbeat.heardAgoMs(nowMs()).get(3) ?? LEASE_MS) < LEASE_MS;
  await until(() => hears(a) && hears(b));
  leader.frozen = true;
  const { programs } = network;
  const real = programs.get('10.0.0.3')!;
  programs.delete('10.0.0.3');
  await until(() => watching.muxes.suspicions.length === 2);
  expect(watching.muxes.suspicions).toEqual([
    { observer: 'a', suspect: 'c', incarnation: 1 },
    { observer: 'b', suspect: 'c', incarnation: 1 },
  ]);
  programs.set('10.0.0.3', real);
  await until(() => watching.muxes.suspicions.length === 0);
});

it('says again what it has in effect where the store was put back to a time before', async () => {
  const { daemon, watching, store, leader } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  const said = () => watching.muxes.acknowledgements.get('a');
  await until(() => said()?.version === leader.head?.number && a.program.decides);
  const now = said()!;
  const old = { ...now, version: 0, digest: 'of another time' };
  await store.txn([], [{ put: ackKey('a'), value: encodeAcknowledgement(old) }]);
  await until(() => said()?.digest === now.digest);
  await store.txn([], [{ delete: ackKey('a') }]);
  await until(() => said()?.digest === now.digest);
});

it('says so also where the store that was put back is without it, so that it cannot register', async () => {
  const { daemon, watching, store, leader } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  await until(() => watching.muxes.acknowledgements.get('a')?.version === 1 && a.program.decides);
  leader.frozen = true;
  leader.head = { ...leader.head!, number: 0, digest: 'digest-0', members: [] };
  const seen = () => {
    for (const listener of leader.listeners) listener();
  };
  seen();
  await store.txn([], [{ delete: registrationKey('a') }]);
  await until(() => a.member.membership?.phase === 'outside');
  await store.txn([], [{ delete: ackKey('a') }]);
  await until(() => !watching.muxes.acknowledgements.has('a'));
  seen();
  await until(() => watching.muxes.acknowledgements.get('a')?.digest === 'digest-1');
});

it('a mux whose program is taken off gives its membership up at once', async () => {
  const { daemon, leader, watching } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  b.program.isAttached = false;
  const startMs = nowMs();
  await until(() => leader.head?.members.length === 1);
  expect(nowMs() - startMs).toBeLessThan(LEASE_MS / 2);
  await until(() => !b.program.decides);
  b.program.isAttached = true;
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  expect(b.member.self?.incarnation).toBe(2);
  // A change of keys waits for the word of this incarnation.
  await until(() => watching.muxes.knownKeys.get('b')?.incarnation === 2);
});

it('a drained mux leaves, and returns when that is undone', async () => {
  const { daemon, leader, store } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  await drainNode(store, 'b', false);
  await until(() => leader.head?.members.length === 1 && !b.program.decides);
  await sleep(LEASE_MS);
  expect(leader.head?.members.length).toBe(1);
  await drainNode(store, 'b', true);
  await until(() => leader.head?.members.length === 2 && b.program.decides);
});

it.each([
  { leaseMs: LEASE_MS, whose: 'of a lease like theirs' },
  { leaseMs: 3 * LEASE_MS, whose: 'of a longer lease' },
])(
  'with the store away a mux $whose goes on by pledges, and who pledged acknowledges late',
  async ({ leaseMs }) => {
    const { daemon, leader, watching } = await cluster();
    const all = [
      await daemon('a', '10.0.0.1'),
      await daemon('b', '10.0.0.2'),
      await daemon('c', '10.0.0.3', { leaseMs }),
    ];
    await until(() => leader.head?.members.length === 3 && all.every(({ program }) => program.decides));
    leader.frozen = true;
    const { store, program, problems } = all[2]!;
    await store.close();
    await until(() => problems.has('membership'));
    await sleep(2 * leaseMs);
    expect(program.decides).toBe(true);
    const pledgedMs = Math.max(all[0]!.program.peer(3).pledgedMs!, all[1]!.program.peer(3).pledgedMs!);
    expect(nowMs() - pledgedMs).toBeLessThan(leaseMs / 2);
    // The lone one is removed, and none of the others may say so before it has stopped.
    leader.listeners.delete([...leader.listeners][2]!);
    await leader.publish(leader.head!.members.slice(0, 2), [
      { ...leader.head!.members[2]!, isFenced: false },
    ]);
    const number = leader.head!.number;
    const acknowledged = () =>
      ['a', 'b'].every((name) => watching.muxes.acknowledgements.get(name)?.version === number);
    const heldBack = () =>
      ['a', 'b'].every((name) => watching.muxes.acknowledgements.get(name)?.heldBack === number);
    await until(heldBack);
    await until(() => acknowledged() || !program.decides);
    expect(acknowledged()).toBe(false);
    await until(acknowledged);
    expect(program.decides).toBe(false);
    expect(watching.muxes.acknowledgements.get('a')?.heldBack).toBeUndefined();
  },
);

it('does not ask a store that is away at every tick', async () => {
  const { daemon, leader } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  leader.frozen = true;
  await b.store.close();
  const startMs = nowMs();
  await leader.publish(leader.head!.members, []);
  await sleep(LEASE_MS);
  const count = b.failures.filter((what) => what === 'acknowledgement').length;
  expect(count).toBeGreaterThan(1);
  expect(count).toBeLessThanOrEqual((nowMs() - startMs) / (LEASE_MS / 10) + 1);
});

it('begins as the member that it was with the store away, and decides on by pledges', async () => {
  const { daemon, leader, store } = await cluster();
  const all = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2'), await daemon('c', '10.0.0.3')];
  await until(() => leader.head?.members.length === 3 && all.every(({ program }) => program.decides));
  leader.frozen = true;
  const ring = decodeRing((await store.get(ASK_KEYS_KEY))!);
  await all[2]!.stop();
  const { program } = all[2]!;
  program.isAdopted = true;
  const leftMs = program.leftDeadlineMs;
  const again = await daemon('c', '10.0.0.3', { fresh: false, saved: ring });
  expect(again.member.self).toEqual({ id: 3, incarnation: 1 });
  expect(again.member.membership).toMatchObject({ phase: 'member', deadlineMs: leftMs });
  for (let waitedMs = 0; waitedMs < 2 * LEASE_MS; waitedMs += HEARTBEAT_MS) {
    await sleep(HEARTBEAT_MS);
    expect(program.decides).toBe(true);
  }
});

it('begins past its deadline where that has passed, whoever would pledge', async () => {
  const { daemon, leader, store } = await cluster();
  const all = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2'), await daemon('c', '10.0.0.3')];
  await until(() => leader.head?.members.length === 3 && all.every(({ program }) => program.decides));
  leader.frozen = true;
  const ring = decodeRing((await store.get(ASK_KEYS_KEY))!);
  await all[2]!.stop();
  const { program } = all[2]!;
  program.isAdopted = true;
  await until(() => !program.decides);
  await daemon('c', '10.0.0.3', { fresh: false, saved: ring });
  await sleep(LEASE_MS);
  expect(program.decides).toBe(false);
  expect(all[0]!.program.peer(3).pledgedMs).toBeUndefined();
});

it('puts back what a store has lost, keeps its keys and stays drained, and decides on', async () => {
  const { daemon, leader, store, watching } = await cluster();
  const all = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && all.every(({ program }) => program.decides));
  leader.frozen = true;
  await drainNode(store, 'b', false);
  await until(() => all[1]!.member.membership?.isDraining);
  const ring = decodeRing((await store.get(ASK_KEYS_KEY))!);
  const installed = new Map(all[0]!.program.installed);
  const { entries } = await store.list('');
  await store.txn(
    [],
    entries.map(({ key }) => ({ delete: key })),
  );
  // Somebody comes new before the others have noticed.
  const stranger = new MemberStore(store, 'new');
  expect(await stranger.claimId()).toMatchObject({ id: 1 });
  await stranger.ring();
  await until(() => watching.muxes.ring !== undefined);
  for (const { store: own } of all) {
    const get = own.get.bind(own);
    // The store takes its time with what comes before the id.
    vi.spyOn(own, 'get').mockImplementation(async (key) => {
      if (key === ASK_KEYS_KEY) await sleep(LEASE_MS / 2);
      return get(key);
    });
  }
  // Nor have they a lease any more: they register as soon as they may.
  await sleep(LEASE_MS / 2);
  for (const { member } of all) member.lost();
  await until(() => watching.muxes.identities.size === 2 && watching.muxes.registrations.size === 2);
  expect(watching.muxes.ring).toEqual(ring);
  expect(watching.muxes.identities).toEqual(
    new Map([
      [1, { name: 'a', incarnation: 1 }],
      [2, { name: 'b', incarnation: 1 }],
    ]),
  );
  expect([...watching.muxes.drained]).toEqual(['b']);
  await until(() => watching.muxes.acknowledgements.size === 2);
  await sleep(2 * LEASE_MS);
  for (const { program, member, failures } of all) {
    expect(program.decides).toBe(true);
    // Each had put its id back before it registered.
    expect(failures).toEqual([]);
    expect(program.installed).toEqual(installed);
    expect(member.self?.incarnation).toBe(1);
  }
  expect(all[1]!.member.membership?.isDraining).toBe(true);
});

it('a node of a name that another has is told so', async () => {
  const { daemon } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  await until(() => a.program.decides);
  const other = await daemon('a', '10.0.0.9');
  await until(() => other.problems.get('membership') === 'another node is registered as a, at 10.0.0.1');
});

it('forgets a node for good once it is gone, and not before', async () => {
  const { daemon, store, watching, leader } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  await expect(removeNode(store, 'b')).rejects.toThrow('b is alive');
  await b.stop();
  await until(() => !watching.muxes.registrations.has('b'));
  await removeNode(store, 'b');
  const next = await daemon('d', '10.0.0.4');
  expect(next.member.self?.id).toBe(2);
  // The id is another's now, and its incarnations go on from where they were.
  await until(() => next.program.decides);
  expect(next.member.self?.incarnation).toBe(2);
});

it('takes a suspicion back that was written though the store did not say so', async () => {
  const { store } = await newStore();
  let isMute = false;
  const txn: Store['txn'] = async (comparisons, operations) => {
    const result = await store.txn(comparisons, operations);
    if (isMute) throw new Failure('unavailable', 'the store does not answer');
    return result;
  };
  const changed: Partial<Store> = { txn };
  const mute: Store = new Proxy(store, {
    get: (_, name) => {
      const value: unknown = Reflect.get(changed, name) ?? Reflect.get(store, name, store);
      return typeof value === 'function' ? value.bind(store) : value;
    },
  });
  const member = new MemberStore(mute, 'a');
  const address = '10.0.0.1';
  const registration = { name: 'a', id: 1, incarnation: 1, address, askPort: 7445, isLeaving: false };
  await member.claimId();
  await member.register({ ...registration, leaseMs: 5_000 }, undefined);
  const written = async () =>
    (await store.list(SUSPECTS_PREFIX)).entries.map(({ key, value }) => key + value);
  isMute = true;
  await expect(member.suspect(new Map([['c', 1]]))).rejects.toThrow('does not answer');
  expect(await written()).toEqual(['mux/suspects/a/c{"incarnation":1}']);
  isMute = false;
  await member.suspect(new Map());
  expect(await written()).toEqual([]);
  await member.suspect(new Map([['c', 1]]));
  await member.suspect(new Map([['c', 2]]));
  expect(await written()).toEqual(['mux/suspects/a/c{"incarnation":2}']);
});

it('a mux that was forgotten while it was away leaves its id to whom it was given, and takes another', async () => {
  const { daemon, store, watching, leader } = await cluster();
  const [, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && b.program.decides);
  // Its lease ends though its daemon runs.
  const key = registrationKey('b');
  leader.frozen = true;
  await store.txn([], [{ delete: key }]);
  await removeNode(store, 'b');
  const d = await daemon('d', '10.0.0.4');
  expect(d.member.self?.id).toBe(2);
  await leader.publish([leader.head!.members[0]!], [{ ...leader.head!.members[1]!, isFenced: true }]);
  leader.frozen = false;
  await until(() => b.member.self?.id === 3);
  await until(() => leader.head?.members.length === 3 && b.program.decides && d.program.decides);
  expect(leader.head!.members.map(({ name, id }) => [name, id])).toEqual([
    ['a', 1],
    ['d', 2],
    ['b', 3],
  ]);
  expect([b.program.id, d.program.id]).toEqual([3, 2]);
  expect([...watching.muxes.identities].map(([id, { name }]) => [id, name]).sort()).toEqual([
    [1, 'a'],
    [2, 'd'],
    [3, 'b'],
  ]);
});

/** What this daemon finds out of its own sleep from now on. */
function sleeps({ member }: { member: MuxMember }): () => boolean {
  const step = vi.spyOn(member.membership!, 'step');
  return () => step.mock.calls.some(([{ kind }]) => kind === 'slept');
}

it('the first mux of a cluster notices its first sleep, by the time of others that went on', async () => {
  const { daemon, leader } = await cluster();
  const [a, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && a.program.decides && b.program.decides);
  const hasSlept = sleeps(a);
  b.program.advanceTime(100 * LEASE_MS);
  await until(hasSlept);
});

it('a mux that came new and has heard nobody yet notices its first sleep', async () => {
  const { daemon, leader, network, watching, store } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  await until(() => watching.muxes.acknowledgements.get('a')?.version === 1);
  await until(() => store.get(CLUSTER_TIME_KEY));
  network.programs.delete('10.0.0.1');
  const b = await daemon('b', '10.0.0.2');
  const hasSlept = sleeps(b);
  await until(() => leader.head?.members.length === 2 && b.member.membership?.phase === 'member');
  // It reads what time it is.
  await sleep(LEASE_MS / 2);
  a.program.advanceTime(100 * LEASE_MS);
  network.programs.set('10.0.0.1', a.program);
  await until(hasSlept);
});

it('holds back by the lease that the version says of whom it pledged to, where it knows no registration of it', async () => {
  const { daemon, leader } = await cluster();
  const a = await daemon('a', '10.0.0.1');
  await until(() => leader.head?.members.length === 1 && a.program.decides);
  leader.frozen = true;
  const other = { name: 'x', incarnation: 1, address: '10.0.0.9', askPort: 7445, isLeaving: false };
  for (const [id, leaseMs, where] of [
    [8, 20_000, 'members'],
    [9, 40_000, 'gone'],
  ] as const) {
    const pledgedMs = nowMs();
    a.program.notes.set(id, { ...a.program.peer(id), pledgedMs, pledgedVersion: leader.head!.number });
    const { members, gone } = leader.head!;
    if (where === 'members') await leader.publish([...members, { ...other, id, leaseMs }], gone);
    else await leader.publish(members, [...gone, { ...other, id, leaseMs, isFenced: false }]);
    const heldBack = a.member.membership!.heldBack!;
    expect(heldBack.version).toBe(leader.head!.number);
    expect(heldBack.atMs).toBeGreaterThan(pledgedMs + leaseMs);
  }
});

it('says which keys it has as the incarnation that it is, also where it became another while it took them', async () => {
  const { daemon, leader, watching, store } = await cluster();
  const [a, b] = [await daemon('a', '10.0.0.1'), await daemon('b', '10.0.0.2')];
  await until(() => leader.head?.members.length === 2 && a.program.decides && b.program.decides);
  const { knowKeys } = MemberStore.prototype;
  const go = Promise.withResolvers<void>();
  const taking = Promise.withResolvers<void>();
  vi.spyOn(MemberStore.prototype, 'knowKeys').mockImplementation(async function (
    this: MemberStore,
    ...given
  ) {
    await knowKeys.apply(this, given);
    if (watching.muxes.knownKeys.get('a')?.step === 1) {
      taking.resolve();
      await go.promise;
    }
  });
  onTestFinished(() => {
    go.resolve();
    vi.restoreAllMocks();
  });
  await rotateKeys(store, 1);
  await taking.promise;
  await store.txn([], [{ delete: registrationKey('a') }]);
  await until(() => a.member.self?.incarnation === 2);
  go.resolve();
  await until(() => {
    const { incarnation, step } = watching.muxes.knownKeys.get('a')!;
    return incarnation === 2 && step === 2;
  });
});
