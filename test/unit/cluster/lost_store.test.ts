// A store that comes back empty: nobody believes it, and what is put back goes on where it was.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodeAcknowledgement, encodeRegistration } from '../../../control/cluster/ack_layout.ts';
import { commitEdits, type KnownCluster } from '../../../control/cluster/commit.ts';
import {
  ASK_KEYS_KEY,
  ackKey,
  drainKey,
  HEAD_KEY,
  MUX_PREFIX,
  muxIdKey,
  registrationKey,
} from '../../../control/cluster/keys.ts';
import { HASH_SECRET_KEY, OBJECTS_KEY } from '../../../control/cluster/layout.ts';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { LeaderDriver, type LeaderDriverOptions } from '../../../control/cluster/leader_driver.ts';
import { type AskKeyRing, firstRing, nextRing, rotate } from '../../../control/cluster/member_keys_core.ts';
import { decodeRing, encodeRing } from '../../../control/cluster/member_layout.ts';
import { MemberStore } from '../../../control/cluster/member_store.ts';
import { MuxesView } from '../../../control/cluster/member_view.ts';
import { hashSecret } from '../../../control/cluster/registry.ts';
import { MembershipCopy, savedMembership } from '../../../control/cluster/saved_membership.ts';
import type { Version } from '../../../control/cluster/version.ts';
import { VersionView } from '../../../control/cluster/version_view.ts';
import { ClusterView } from '../../../control/cluster/view.ts';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { documentOf, editsTowards, planEdits } from '../../../control/pool/edits.ts';
import type { Entry, Store } from '../../../control/store/contract.ts';
import { newStore, readState } from './support.ts';

const SETTINGS = { ...LEADER_SETTINGS_DEFAULT, handshakeHoldMs: 60_000, leaseMs: 300, marginMs: 20 };
const MUX = { name: 'm1', id: 1, incarnation: 4, address: '192.0.2.201', askPort: 7445, isLeaving: false };

const SECRETS = ['ours', 'next'].map((it) => Buffer.from(it.padEnd(16)).toString('base64')) as [
  string,
  string,
];

const backend = (name: string, weight = 100) =>
  ({
    kind: 'putBackend',
    backend: { pool: 'web', name, address: `192.0.2.${name.slice(1)}`, weight, encap: 'ip' },
  }) as const;
const BASICS: readonly Edit[] = [
  { kind: 'putPool', pool: { name: 'web', slots: 97 } },
  backend('b3'),
  {
    kind: 'putService',
    service: {
      name: 'www',
      addresses: ['198.51.100.1'],
      protocol: 'tcp',
      port: 80,
      pool: 'web',
      idleTimeoutMs: 1_000,
    },
  },
];

const edit = (store: Store, ...edits: readonly Edit[]) =>
  commitEdits(store, (state) => planEdits(state, edits, { force: false }));

const numbersOf = ({ backends }: Pick<ClusterState, 'backends'>) =>
  [...backends.values()].map(({ name, index, generation }) => ({ name, index, generation }));

/** What was there, in another store, which has nothing. */
async function emptied(store: Store): Promise<{ known: KnownCluster; empty: Store }> {
  const view = new ClusterView(store);
  await view.start();
  await view.close();
  return { known: { state: view.state, entries: view.entries }, empty: (await newStore()).store };
}

describe('an edit', () => {
  it('is refused where the store has lost the cluster, unless it says all that there is to be', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const { known, empty } = await emptied(store);
    const one = commitEdits(empty, (state) => planEdits(state, BASICS.slice(0, 1), { force: false }), {
      known,
    });
    await expect(one).rejects.toThrow(/lost the cluster/);
    expect(await empty.get(OBJECTS_KEY)).toBeUndefined();
    // Where it has not, and where there was none, it is an edit like any other.
    await commitEdits(store, (state) => planEdits(state, [backend('b9')], { force: false }), { known });
    const { known: nothing } = await emptied((await newStore()).store);
    await commitEdits(empty, (state) => planEdits(state, BASICS, { force: false }), { known: nothing });
  });

  it('is refused at a node that came new, where a mux has what the store has lost', async () => {
    const { store, view, last } = await changing();
    const { known, empty } = await emptied(store);
    await acknowledge(empty, last);
    for (const isWhole of [false, true]) {
      const plan = (state: ClusterState) => planEdits(state, BASICS, { force: false });
      const { known: nothing } = await emptied((await newStore()).store);
      for (const dryRun of [false, true])
        await expect(commitEdits(empty, plan, { known: nothing, isWhole, dryRun })).rejects.toMatchObject({
          message: 'the store has lost the cluster',
          reason: expect.stringContaining('m1 has version'),
          remedy: expect.stringContaining('at a node that was a member'),
        });
    }
    expect(await empty.get(OBJECTS_KEY)).toBeUndefined();
    const all = (state: ClusterState) => planEdits(state, [], { force: false });
    await commitEdits(empty, all, { known, isWhole: true });
    await view.close();
  });

  it('is taken as the first of a cluster whose muxes have the version of nothing', async () => {
    const { store } = await newStore();
    await register(store);
    lead(store);
    const view = await follow(store);
    const head = await until(view, ({ members }) => members.length === 1);
    await acknowledge(store, head);
    const { revision } = await edit(store, ...BASICS);
    await until(view, ({ objects }) => objects.revision === revision);
  });

  it('of all puts back numbers, slots and the secret as they were', async () => {
    const { store } = await newStore();
    const secret = await hashSecret(store);
    await edit(store, ...BASICS);
    // By another way than a document would be put into a new store.
    for (const name of ['b2', 'b1']) await edit(store, backend(name));
    const before = await readState(store);
    const { known, empty } = await emptied(store);
    // Somebody came new, and made a secret of its own.
    await hashSecret(empty);
    const document = documentOf(before);
    const { plan } = await commitEdits(
      empty,
      (state) => planEdits(state, editsTowards(state, document), { force: false }),
      { known, isWhole: true },
    );
    expect(plan.changes).toEqual([]);
    const after = await readState(empty);
    expect(numbersOf(after)).toEqual(numbersOf(before));
    expect(after.tables.get('web')!.slots).toEqual(before.tables.get('web')!.slots);
    expect((await empty.get(HASH_SECRET_KEY))!.value).toBe(Buffer.from(secret).toString('base64'));
    expect((await newStoreNumbers(document)).join()).not.toBe(
      numbersOf(before)
        .map((it) => it.index)
        .join(),
    );
  });
});

/** Of a store that never had anything: what a document gives backends there. */
async function newStoreNumbers(document: ReturnType<typeof documentOf>): Promise<number[]> {
  const { store } = await newStore();
  await commitEdits(store, (state) => planEdits(state, editsTowards(state, document), { force: false }));
  return [...(await readState(store)).backends.values()].map(({ index }) => index);
}

function lead(store: Store, options: Partial<LeaderDriverOptions> = {}): LeaderDriver {
  const driver = new LeaderDriver({
    store,
    name: 'n1',
    settings: SETTINGS,
    keyAgeMs: 86_400_000,
    nowMs: () => performance.now(),
    log: () => undefined,
    ...options,
  });
  onTestFinished(() => driver.close());
  driver.start();
  return driver;
}

function until(view: VersionView, holds: (head: Version) => boolean): Promise<Version> {
  if (view.head !== undefined && holds(view.head)) return Promise.resolve(view.head);
  return new Promise((resolve) => {
    const end = view.onChange((head) => {
      if (!holds(head) || view.isLost) return;
      end();
      resolve(head);
    });
  });
}

async function follow(store: Store): Promise<VersionView> {
  const view = new VersionView(store);
  onTestFinished(() => view.close());
  await view.start();
  return view;
}

const register = (store: Store) =>
  store.txn([], [{ put: registrationKey('m1'), value: encodeRegistration({ ...MUX, leaseMs: 3_000 }) }]);

/** A cluster of one mux in the middle of a change, and its last version. */
async function changing(): Promise<{ store: Store; view: VersionView; last: Version }> {
  const { store } = await newStore();
  await edit(store, ...BASICS);
  await register(store);
  const driver = lead(store);
  const view = await follow(store);
  await until(view, ({ members }) => members.length === 1);
  await edit(store, backend('b1'));
  const last = await until(view, ({ placements }) => placements.get(1)!.periods.length > 0);
  await driver.close();
  return { store, view, last };
}

const acknowledge = (store: Store, { number, digest }: Version) => {
  const value = encodeAcknowledgement({
    name: 'm1',
    incarnation: 4,
    version: number,
    digest,
    reports: [],
  });
  return store.txn([], [{ put: ackKey('m1'), value }]);
};

describe('a leader', () => {
  it('goes on from the version that it has seen last, once people have put back the rest', async () => {
    const { store, last } = await changing();
    const { known, empty } = await emptied(store);
    await register(empty);
    await acknowledge(empty, last);
    lead(empty, { knowsCluster: () => true, lastVersion: () => last });
    await sleep(100);
    expect(await empty.get(HEAD_KEY)).toBeUndefined();
    const { revision } = await commitEdits(empty, (state) => planEdits(state, [], { force: false }), {
      known,
      isWhole: true,
    });
    const view = await follow(empty);
    const next = await until(view, ({ objects }) => objects.revision === revision);
    expect(next).toMatchObject({ number: last.number + 1, cluster: last.cluster, members: [MUX] });
    // What was open is open, at the same muxes.
    expect(next.placements).toEqual(last.placements);
    expect(numbersOf(next.objects)).toEqual(numbersOf(last.objects));
  });

  it('that knows no cluster leaves it to a mux that does', async () => {
    const { store, last } = await changing();
    const { known, empty } = await emptied(store);
    await register(empty);
    await acknowledge(empty, last);
    const driver = lead(empty);
    await commitEdits(empty, (state) => planEdits(state, [], { force: false }), { known, isWhole: true });
    while (driver.problem === undefined) await sleep(10);
    expect(driver.problem.message).toMatch(/mux m1 knows a cluster that the store has lost/);
    expect(await empty.get(HEAD_KEY)).toBeUndefined();
    lead(empty, { name: 'n2', knowsCluster: () => true, lastVersion: () => last });
    expect((await until(await follow(empty), () => true)).number).toBe(last.number + 1);
  });
});

describe('a version', () => {
  it('of nothing is not believed beside one that had something', async () => {
    const { store, view, last } = await changing();
    const { entries } = await store.list('');
    await store.txn(
      [],
      entries.map(({ key }) => ({ delete: key })),
    );
    const stranger = lead(store);
    while (!view.isLost) await sleep(10);
    expect(view.head).toBe(last);
    expect(view.entries.get(HEAD_KEY)!.value).toContain(last.digest);
    await stranger.close();
  });
});

describe('what muxes know', () => {
  const SELF = { id: 1, incarnation: 4 };
  const ours = firstRing(SECRETS[0], 1);
  const ringIn = async (store: Store): Promise<AskKeyRing> => decodeRing((await store.get(ASK_KEYS_KEY))!);

  it('is put back, in place of what somebody who came new has made', async () => {
    const { store } = await newStore();
    const stranger = new MemberStore(store, 'new');
    expect(await stranger.claimId()).toEqual({ id: 1, incarnation: 0 });
    await stranger.ring();
    const mux = new MemberStore(store, 'm1');
    await mux.putBack({ self: SELF, ring: ours, isDrained: true, ticks: 77 });
    expect(await ringIn(store)).toEqual(ours);
    expect(await mux.claimId()).toEqual(SELF);
    expect(await mux.clusterTime()).toBe(77);
    expect(await store.get(drainKey('m1'))).toBeDefined();
    expect(await new MemberStore(store, 'next').claimId()).toMatchObject({ id: 2 });
  });

  it('of a mux that is no member yet is its id, which it takes as it registers, unless another has it', async () => {
    const { store } = await newStore();
    const mux = new MemberStore(store, 'm1');
    expect(await mux.register({ ...MUX, leaseMs: 5_000 }, undefined)).toBe('done');
    expect(await mux.claimId()).toEqual(SELF);
    const late = new MemberStore(store, 'm2');
    const registration = { ...MUX, name: 'm2', address: '192.0.2.202', leaseMs: 5_000 };
    await expect(late.register(registration, undefined)).rejects.toThrow(/id 1 is not that of m2/);
  });

  it('leaves keys that another has put back, whichever of two states of them that were', async () => {
    const known = rotate(ours, SECRETS[1], 2)!;
    const used = nextRing(known, [], new Map(), 0)!;
    for (const [first, second] of [
      [ours, known],
      [known, ours],
      [known, used],
      [used, known],
    ] as const) {
      const { store } = await newStore();
      for (const [name, ring] of Object.entries({ m1: first, m2: second })) {
        const mux = new MemberStore(store, name);
        await mux.putBack({
          self: { id: Number(name[1]), incarnation: 1 },
          ring,
          isDrained: false,
          ticks: 1,
        });
      }
      expect(await ringIn(store)).toEqual(first);
    }
  });
});

describe('a copy of what a mux goes on with', () => {
  const LEFT = { isAdopted: true, id: 1, incarnation: 4 };

  async function copied() {
    const { store, view, last } = await changing();
    const ring = firstRing(SECRETS[0], 1);
    const identity = JSON.stringify({ name: 'm1', incarnation: 4 });
    await store.txn(
      [],
      [
        { put: ASK_KEYS_KEY, value: encodeRing(ring) },
        { put: muxIdKey(1), value: identity },
        { put: drainKey('m2'), value: '' },
      ],
    );
    const muxes = new MuxesView(store, () => undefined);
    onTestFinished(() => muxes.close());
    await muxes.start();
    const kept: ReadonlyMap<string, Entry>[] = [];
    const copy = new MembershipCopy({
      name: 'm1',
      versions: view,
      muxes,
      keep: (_, entries) => void kept.push(entries),
    });
    copy.look();
    copy.look();
    expect(kept).toHaveLength(1);
    return { store, view, last, ring, muxes, copy, kept };
  }

  it('has the version with its parts, the keys, ids and drains, and nothing that a lease takes away', async () => {
    const { last, ring, kept } = await copied();
    const saved = (await savedMembership(kept[0]!, { ...LEFT, version: last.number }))!;
    expect(saved.version.version).toEqual(last);
    expect(saved.ring).toEqual(ring);
    const keys = [...saved.entries.keys()].filter((key) => key.startsWith(MUX_PREFIX));
    expect(keys.sort()).toEqual([drainKey('m2'), muxIdKey(1), ASK_KEYS_KEY].sort());
    const away: Pick<Store, 'get' | 'list' | 'watch'> = {
      get: () => Promise.reject(new Error('away')),
      list: () => Promise.reject(new Error('away')),
      watch: async function* () {
        yield* [];
      },
    };
    const versions = new VersionView(away, saved.version);
    const muxes = new MuxesView(away, () => undefined, saved.entries);
    await Promise.all([versions.start(), muxes.start()]);
    expect(versions.head).toEqual(last);
    expect(muxes.muxes).toMatchObject({ ring, drained: new Set(['m2']) });
    await Promise.all([versions.close(), muxes.close()]);
  });

  it('is for the program that it is of alone', async () => {
    const { last, kept } = await copied();
    const entries = kept[0]!;
    const left = { ...LEFT, version: last.number };
    expect(await savedMembership(entries, left)).toBeDefined();
    expect(await savedMembership(entries, { ...left, version: last.number - 1 })).toBeDefined();
    for (const other of [
      { isAdopted: false },
      { id: 2 },
      { incarnation: 5 },
      // It was written before that one was in effect.
      { version: last.number + 1 },
      { version: 0 },
    ])
      expect(await savedMembership(entries, { ...left, ...other })).toBeUndefined();
    const short = new Map([...entries].slice(0, -1).filter(([key]) => key !== ASK_KEYS_KEY));
    expect(await savedMembership(short, left)).toBeUndefined();
  });

  it('is not made of a store that has lost the cluster', async () => {
    const { store, view, muxes, copy, kept } = await copied();
    await store.txn([], [{ delete: muxIdKey(1) }, { delete: ASK_KEYS_KEY }]);
    while (muxes.muxes.ring !== undefined) await sleep(10);
    copy.look();
    expect(kept).toHaveLength(1);
    expect(view.isLost).toBe(false);
  });
});
