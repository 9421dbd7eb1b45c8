import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  decodeAcknowledgement,
  decodeRegistration,
  encodeAcknowledgement,
  encodeRegistration,
} from '../../../control/cluster/ack_layout.ts';
import { commitEdits } from '../../../control/cluster/commit.ts';
import {
  ackKey,
  blobKey,
  cutKey,
  GARBAGE_KEY,
  HEAD_KEY,
  LEADER_ELECTION,
  MUX_PREFIX,
  registrationKey,
} from '../../../control/cluster/keys.ts';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { LeaderDriver } from '../../../control/cluster/leader_driver.ts';
import type { AskKeyRing } from '../../../control/cluster/member_keys_core.ts';
import { MemberStore, removeNode, rotateKeys } from '../../../control/cluster/member_store.ts';
import { type Muxes, MuxesView } from '../../../control/cluster/member_view.ts';
import type { Acknowledgement, Version } from '../../../control/cluster/version.ts';
import {
  BLOBS_UNNAMED_MAX,
  decodeGarbage,
  decodeHead,
  encodeGarbage,
  VERSIONS_READABLE,
  VersionDecoder,
} from '../../../control/cluster/version_layout.ts';
import { VersionView } from '../../../control/cluster/version_view.ts';
import type { Edit } from '../../../control/config/cluster_state.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import { type Store, VALUE_BYTES_MAX } from '../../../control/store/contract.ts';
import { campaign } from '../../../control/store/election.ts';
import { newStore, readState } from './support.ts';

const SETTINGS = { ...LEADER_SETTINGS_DEFAULT, handshakeHoldMs: 20, leaseMs: 300, marginMs: 20 };

const backend = (name: string, weight = 100): Edit => ({
  kind: 'putBackend',
  backend: { pool: 'web', name, address: `192.0.2.${name.slice(1)}`, weight, encap: 'ip' },
});
const remove = (name: string): Edit => ({ kind: 'deleteBackend', pool: 'web', name });
const BASICS: Edit[] = [
  { kind: 'putPool', pool: { name: 'web', slots: 97 } },
  backend('b1'),
  backend('b2'),
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

const edit = (store: Store, ...edits: Edit[]) =>
  commitEdits(store, (state) => planEdits(state, edits, { force: false }));

function lead(store: Store, name: string, knowsCluster = () => false): LeaderDriver {
  const driver = new LeaderDriver({
    store,
    name,
    settings: SETTINGS,
    keyAgeMs: 86_400_000,
    nowMs: () => performance.now(),
    knowsCluster,
    log: () => undefined,
  });
  onTestFinished(() => driver.close());
  driver.start();
  return driver;
}

async function follow(store: Store): Promise<VersionView> {
  const view = new VersionView(store);
  onTestFinished(() => view.close());
  await view.start();
  return view;
}

/** That does something else before it writes a head. */
function interrupted(store: Store, act: () => Promise<void>): Store {
  const changed: Partial<Store> = {
    txn: async (comparisons, operations) => {
      if (operations.some((it) => 'put' in it && it.put === HEAD_KEY)) await act();
      return await store.txn(comparisons, operations);
    },
  };
  return new Proxy(store, {
    get: (_, name) => {
      const value: unknown = Reflect.get(changed, name) ?? Reflect.get(store, name, store);
      return typeof value === 'function' ? value.bind(store) : value;
    },
  });
}

/** The first head for which this holds. */
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

/** A mux that does all that it is told, at once. */
async function join(store: Store, name: string, id: number, leaseMs = 3_000): Promise<VersionView> {
  const view = await follow(store);
  const acknowledge = ({ number, digest, placements }: Version) => {
    const acknowledgement: Acknowledgement = {
      name,
      incarnation: 1,
      version: number,
      digest,
      reports: [...placements.values()].flatMap(({ poolId, periods, period }) =>
        periods.map(({ trackEpoch, chainEpoch }) => ({
          poolId,
          trackEpoch,
          copiedChainEpoch: chainEpoch,
          isHandedOver: false,
          unrecordedAgoMs: -1,
          heldSlots: new Uint8Array(Math.ceil(period.length / 8)),
          flows: 0,
          oldFlows: 0,
        })),
      ),
    };
    return store.txn([], [{ put: ackKey(name), value: encodeAcknowledgement(acknowledgement) }]);
  };
  view.onChange((head) => void acknowledge(head).catch(() => undefined));
  const again = setInterval(() => view.head && void acknowledge(view.head).catch(() => undefined), 50);
  onTestFinished(() => clearInterval(again));
  const registration = {
    name,
    id,
    incarnation: 1,
    address: `192.0.2.${200 + id}`,
    askPort: 7445,
    leaseMs,
    isLeaving: false,
  };
  await store.txn([], [{ put: registrationKey(name), value: encodeRegistration(registration) }]);
  return view;
}

const isAt = (head: Version, backends: number): boolean =>
  head.placements.get(1)?.periods.length === 0 && new Set(head.placements.get(1)!.current).size === backends;

describe('a leader', () => {
  it('takes a change through its steps, and gives the index back', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    lead(store, 'n1');
    const view = await join(store, 'm1', 1);
    const seen: Version[] = [];
    view.onChange((head) => seen.push(head));
    await until(view, ({ members }) => members.length === 1);
    const { revision } = await edit(store, remove('b2'));
    await until(view, (head) => head.objects.revision >= revision && isAt(head, 1));
    const steps = seen.flatMap((head) => head.placements.get(1)!.periods.map(({ step }) => step));
    expect([...new Set(steps)]).toEqual(['track', 'commit', 'settle']);
    const numbers = seen.map(({ number }) => number);
    expect(numbers).toEqual(numbers.map((_, at) => numbers[0]! + at));
    await until(view, ({ objects }) => objects.backends.size === 1 && objects.revision > revision);
    expect((await readState(store)).retired.backends).toEqual([]);
  });

  it('is followed by another in the middle of a change', async () => {
    const { store, another } = await newStore();
    await edit(store, ...BASICS);
    const first = lead(await another(), 'n1');
    const view = await join(store, 'm1', 1);
    await until(view, ({ members }) => members.length === 1);
    await edit(store, remove('b2'));
    await until(view, (head) => head.placements.get(1)!.periods.length > 0);
    lead(await another(), 'n2');
    await first.close();
    const head = await until(view, (it) => isAt(it, 1));
    expect(head.leaderEpoch).toBeGreaterThan(0);
  });

  it('drives a change of keys, once at a time, and its follower goes on with it', async () => {
    const { store, another } = await newStore();
    const member = new MemberStore(store, 'm1');
    const { keys } = await member.ring();
    const first = lead(await another(), 'n1');
    await until(await join(store, 'm1', 1), ({ members }) => members.length === 1);
    const muxes = new MuxesView(store, () => undefined);
    onTestFinished(() => muxes.close());
    await muxes.start();
    const ringAt = (step: number) =>
      new Promise<AskKeyRing>((resolve) => {
        const look = ({ ring }: Muxes) => ring?.step === step && resolve(ring);
        muxes.onChange(look);
        look(muxes.muxes);
      });
    await rotateKeys(store, Date.now());
    await expect(rotateKeys(store, Date.now())).rejects.toThrow('the key is being changed already');
    const installed = await ringAt(2);
    expect([installed.use, installed.keys.length]).toEqual([0, 2]);
    lead(await another(), 'n2');
    await first.close();
    await member.knowKeys(1, 2);
    const used = await ringAt(3);
    expect(used).toEqual({ ...installed, step: 3, use: 1 });
    expect(used.keys[0]).toEqual(keys[0]);
    expect(used.keys[1]!.secret).not.toBe(keys[0]!.secret);
    await expect(rotateKeys(store, Date.now())).rejects.toThrow('the key is being changed already');
  });

  it('gives back at once what it led with when the store was away', async () => {
    const { store } = await newStore();
    let isAway = false;
    let leases = 0;
    let breakWatch = (): void => undefined;
    const closed = new AbortController().signal;
    const changed: Partial<Store> = {
      campaign: (name, value, options) =>
        campaign(flaky, name, value, { ...options, ttlMs: 60_000, closed, nowMs: () => performance.now() }),
      lease: async (ttlMs) => {
        leases++;
        const lease = await store.lease(ttlMs);
        const revoke = async () => {
          if (isAway) throw new Failure('unavailable', 'the store is away');
          await lease.revoke();
        };
        return { id: lease.id, ttlMs: lease.ttlMs, renew: () => lease.renew(), revoke };
      },
      watch: (prefix, from, signal) => {
        const broken = new AbortController();
        if (prefix === MUX_PREFIX) breakWatch = () => broken.abort();
        return store.watch(prefix, from, AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]));
      },
    };
    const flaky: Store = new Proxy(store, {
      get: (_, name) => {
        const value: unknown = Reflect.get(changed, name) ?? Reflect.get(store, name, store);
        return typeof value === 'function' ? value.bind(store) : value;
      },
    });
    await edit(store, ...BASICS);
    const driver = lead(flaky, 'n1');
    const view = await follow(store);
    await until(view, () => true);
    isAway = true;
    breakWatch();
    while (driver.outcome !== undefined) await sleep(10);
    isAway = false;
    const { revision } = await edit(store, backend('b3'));
    await until(view, ({ objects }) => objects.revision >= revision);
    expect(leases).toBe(2);
  });

  it('does not lead from a store that has lost the cluster until somebody brings objects', async () => {
    const { store } = await newStore();
    const driver = lead(store, 'n1', () => true);
    const view = await follow(store);
    while ((await store.leader(LEADER_ELECTION)) === undefined) await sleep(10);
    await sleep(100);
    expect([view.head, driver.outcome]).toEqual([undefined, undefined]);
    const { revision } = await edit(store, ...BASICS);
    await until(view, ({ objects }) => objects.revision >= revision);
  });

  it('is one of those that race, and each edit comes into one line of versions', async () => {
    const { store, another } = await newStore();
    await edit(store, ...BASICS);
    const view = await follow(store);
    const seen: Version[] = [];
    view.onChange((head) => seen.push(head));
    const drivers = [lead(await another(), 'n1'), lead(await another(), 'n2')];
    await join(store, 'm1', 1);
    let revision = 0;
    for (let round = 0; round < 6; round++) {
      ({ revision } = await edit(store, backend(`b${round + 3}`)));
      // Who leads gives up, and comes back.
      const at = drivers.findIndex(({ outcome }) => outcome !== undefined);
      if (round % 2 === 0 && at >= 0) {
        await drivers[at]!.close();
        drivers[at] = lead(await another(), `n${round + 3}`);
      }
    }
    await until(view, (head) => head.objects.revision >= revision);
    const numbers = seen.map(({ number }) => number);
    expect(numbers).toEqual(numbers.map((_, at) => numbers[0]! + at));
    expect(new Set(seen.map(({ cluster }) => cluster)).size).toBe(1);
    expect(new Set(seen.map(({ leaderEpoch }) => leaderEpoch)).size).toBeGreaterThan(1);
  });

  it('deletes what no version names, when nobody reads it any more', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    lead(store, 'n1');
    const view = await follow(store);
    for (let round = 0; round < VERSIONS_READABLE + 6; round++) {
      const { revision } = await edit(store, backend('b1', 100 + round));
      await until(view, ({ objects }) => objects.revision >= revision);
    }
    const { entries } = await store.list('version/');
    const blobs = new Set(entries.map(({ key }) => key).filter((key) => key.startsWith(blobKey(''))));
    const garbage = decodeGarbage(entries.find(({ key }) => key === GARBAGE_KEY));
    const head = entries.find(({ key }) => key === HEAD_KEY)!;
    const decoder = new VersionDecoder();
    const byKey = new Map(entries.map((entry) => [entry.key, entry.value]));
    await decoder.decode(head, async (digest) => byKey.get(blobKey(digest)));
    expect(blobs).toEqual(new Set([...garbage.keys(), ...decoder.names].map(blobKey)));
    expect(Math.min(...garbage.values())).toBeGreaterThan(view.head!.number - VERSIONS_READABLE);
  });

  it('deletes all of that at once, and what may be read still where it becomes too much', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const first = lead(store, 'n1');
    const view = await follow(store);
    await until(view, () => true);
    await first.close();
    const digest = (at: number) => String(at).padStart(64, '0');
    // As large as the list can be: one entry more, and no head could be written again.
    const bytes = JSON.stringify([[digest(0), -100]]).length - 1;
    const count = Math.floor((VALUE_BYTES_MAX - 1) / bytes);
    const since = (at: number) => (at < 300 ? -100 : 1);
    const listed = Array.from({ length: count }, (_, at): [string, number] => [digest(at), since(at)]);
    await store.txn([], [{ put: GARBAGE_KEY, value: encodeGarbage(new Map(listed)) }]);
    for (const at of [0, 100, 299, count - 1])
      await store.txn([], [{ put: blobKey(digest(at)), value: 'left' }]);
    lead(store, 'n2');
    const { revision } = await edit(store, backend('b3'));
    await until(view, ({ objects }) => objects.revision >= revision);
    const garbage = decodeGarbage(await store.get(GARBAGE_KEY));
    expect(garbage.size).toBeLessThan(BLOBS_UNNAMED_MAX + 10);
    expect(garbage.get(digest(count - 1))).toBe(1);
    for (const at of [0, 100, 299]) expect(await store.get(blobKey(digest(at)))).toBeUndefined();
    expect(await store.get(blobKey(digest(count - 1)))).toBeDefined();
  });
});

describe('removing a member', () => {
  it('that an operator has cut off while its lease ran counts its lease, and leaves no order behind', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const first = lead(store, 'n1');
    const view = await join(store, 'm1', 1);
    await join(store, 'm2', 2, 100);
    await until(view, ({ members }) => members.length === 2);
    await first.close();
    await expect(removeNode(store, 'm2')).rejects.toThrow('m2 is alive');
    const { value } = (await store.get(registrationKey('m2')))!;
    const longer = JSON.stringify({ ...JSON.parse(value), leaseMs: 700 });
    await store.txn([], [{ put: registrationKey('m2'), value: longer }]);
    await removeNode(store, 'm2', { force: true });
    expect(await store.get(registrationKey('m2'))).toBeUndefined();
    expect((await store.get(cutKey('2.1')))?.value).toBe('{"leaseMs":700}');
    lead(store, 'n2');
    const { gone } = await until(view, ({ members }) => members.length === 1);
    expect(gone).toMatchObject([{ name: 'm2', isFenced: false, leaseMs: 700 }]);
    expect(await store.get(cutKey('2.1'))).toBeUndefined();
  });

  it('says of one that had no deadline that it is off, which the next version has', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const driver = lead(store, 'n1');
    const view = await join(store, 'm1', 1);
    await until(view, ({ members }) => members.length === 1);
    // It is cut off: it says no more, and another comes.
    await store.txn([], [{ delete: registrationKey('m1') }]);
    await until(view, ({ members }) => members.length === 0);
    await driver.close();
    await store.txn([], [{ delete: ackKey('m1') }]);
    lead(store, 'n2');
    const { gone } = view.head!;
    expect(gone).toMatchObject([{ name: 'm1', isFenced: false, aloneAt: view.head!.number - 1 }]);
    await removeNode(store, 'm1', { force: true, isOff: { id: 1, incarnation: 1, leaseMs: 100 } });
    const told = await until(view, (head) => head.gone[0]?.aloneAt === undefined);
    expect(told.gone).toMatchObject([{ name: 'm1', leaseMs: 3_000 }]);
    expect(await store.get(cutKey('1.1'))).toBeUndefined();
  });

  it('counts its lease where it registered and was cut off after the leader had looked', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    let cutOff: (() => Promise<void>) | undefined;
    lead(
      interrupted(store, async () => cutOff?.()),
      'n1',
    );
    const view = await join(store, 'm1', 1);
    await join(store, 'm2', 2, 100);
    await until(view, ({ members }) => members.length === 2);
    cutOff = async () => {
      cutOff = undefined;
      const registration = { name: 'm2', id: 2, incarnation: 1, address: '192.0.2.202', askPort: 7445 };
      const value = encodeRegistration({ ...registration, leaseMs: 700, isLeaving: false });
      await store.txn([], [{ put: registrationKey('m2'), value }]);
      await removeNode(store, 'm2', { force: true });
    };
    // As if its lease had ended.
    await store.txn([], [{ delete: registrationKey('m2') }]);
    const { gone } = await until(view, ({ members }) => members.length === 1);
    expect(cutOff).toBeUndefined();
    expect(gone).toMatchObject([{ name: 'm2', leaseMs: 700 }]);
  });

  it('does not happen where it registers after the leader has looked', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    let registerAgain: (() => Promise<void>) | undefined;
    lead(
      interrupted(store, async () => registerAgain?.()),
      'n1',
    );
    const view = await join(store, 'm1', 1);
    await join(store, 'm2', 2);
    const isWhole = ({ members }: Version) => members.length === 2;
    await until(view, isWhole);
    const seen: Version[] = [];
    view.onChange((head) => seen.push(head));
    const { value } = (await store.get(registrationKey('m2')))!;
    const registered = new Promise<void>((resolve) => {
      registerAgain = async () => {
        registerAgain = undefined;
        await store.txn([], [{ put: registrationKey('m2'), value }]);
        resolve();
      };
    });
    await store.txn([], [{ delete: registrationKey('m2') }]);
    await registered;
    // The leader has looked at it again when it has published this.
    const { revision } = await edit(store, backend('b3'));
    await until(view, ({ objects }) => objects.revision >= revision);
    expect(seen.every(isWhole)).toBe(true);
    expect(await store.get(registrationKey('m2'))).toBeDefined();
  });
});

describe('a version in the store', () => {
  it('is read as it was written', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    lead(store, 'n1');
    const view = await join(store, 'm1', 1);
    await until(view, ({ members }) => members.length === 1);
    await edit(store, remove('b2'), backend('b3'));
    const head = await until(view, (it) =>
      it.placements.get(1)!.periods.some(({ step }) => step === 'commit'),
    );
    const state = await readState(store);
    expect(head.placements.get(1)!.current).toEqual(state.tables.get('web')!.slots);
    expect(head.placements.get(1)!.base).not.toEqual(head.placements.get(1)!.current);
    expect(head.objects.services).toEqual(state.services);
    expect([...head.objects.backends.keys()].sort()).toEqual(['web/b1', 'web/b2~2', 'web/b3']);
  });

  it('is refused where its digest is not its content', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    lead(store, 'n1');
    const view = await follow(store);
    await until(view, () => true);
    const entry = (await store.get(HEAD_KEY))!;
    const value = entry.value.replace(/"number":\d+/, '"number":77');
    expect(() => decodeHead({ ...entry, value })).toThrow(/damaged/);
    const blob = decodeHead(entry).index;
    const read = async (digest: string) =>
      digest === blob ? 'AAAA' : (await store.get(blobKey(digest)))!.value;
    await expect(new VersionDecoder().decode(entry, read)).rejects.toThrow(/damaged/);
  });

  it('is kept where the store has lost it, and followed by what comes then', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const first = lead(store, 'n1');
    let breakWatch = (): void => undefined;
    const flaky: Pick<Store, 'get' | 'list' | 'watch'> = {
      get: (key) => store.get(key),
      list: (prefix) => store.list(prefix),
      watch: (prefix, from, signal) => {
        const broken = new AbortController();
        breakWatch = () => broken.abort();
        return store.watch(prefix, from, AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]));
      },
    };
    const view = new VersionView(flaky);
    onTestFinished(() => view.close());
    await view.start();
    const { number } = await until(view, () => true);
    await first.close();
    await store.txn([], [{ delete: HEAD_KEY }]);
    breakWatch();
    while (!view.isLost) await sleep(10);
    expect(view.head?.number).toBe(number);
    lead(store, 'n2');
    while (view.isLost) await sleep(10);
  });

  it('is given in order, and of another life at once', async () => {
    const { store } = await newStore();
    await edit(store, ...BASICS);
    const view = await follow(store);
    lead(store, 'n1');
    for (let round = 0; round < 3; round++) {
      const { revision } = await edit(store, backend('b1', 50 + round));
      await until(view, ({ objects }) => objects.revision >= revision);
    }
    const { cluster, number } = view.head!;
    expect(view.next({ cluster, number: number - 2 })!.number).toBe(number - 1);
    expect(view.next({ cluster, number: number - 1 })!.number).toBe(number);
    expect(view.next({ cluster, number })).toBeUndefined();
    expect(view.next({ cluster: 'another', number: number + 5 })!.number).toBe(number);
    expect(view.next(undefined)).toBe(view.head);
  });
});

describe('an acknowledgement in the store', () => {
  it('is read as it was written', () => {
    const heldSlots = new Uint8Array(8_193).fill(0b1010);
    const report = {
      poolId: 1,
      trackEpoch: 7,
      copiedChainEpoch: 9,
      isHandedOver: true,
      unrecordedAgoMs: 12.5,
      heldSlots,
      flows: 3,
      oldFlows: 1,
    };
    const acknowledgement = {
      name: 'm1',
      incarnation: 4,
      version: 9,
      digest: 'ab',
      heldBack: 10,
      reports: [report, { ...report, trackEpoch: 8, heldSlots: new Uint8Array(0) }],
    };
    const value = encodeAcknowledgement(acknowledgement);
    const entry = { key: ackKey('m1'), value, createRevision: 1, modRevision: 1 };
    expect(decodeAcknowledgement(entry)).toEqual(acknowledgement);
    expect(() => decodeAcknowledgement({ ...entry, value: '{}' })).toThrow(/damaged/);
    // After it the leader would begin a count that no program has room for.
    const endless = encodeAcknowledgement({ ...acknowledgement, version: 2 ** 32 });
    expect(() => decodeAcknowledgement({ ...entry, value: endless })).toThrow(/damaged/);
  });
});

describe('a registration in the store', () => {
  const registration = {
    name: 'm1',
    id: 1,
    incarnation: 1,
    address: '192.0.2.1',
    askPort: 7445,
    isLeaving: false,
    leaseMs: 3_000,
  };
  const read = (more: Partial<typeof registration>) => {
    const value = encodeRegistration({ ...registration, ...more });
    return decodeRegistration({ key: registrationKey('m1'), value, createRevision: 1, modRevision: 1 });
  };

  it('is read as it was written', () => expect(read({})).toEqual(registration));

  it.each<[string, Partial<typeof registration>]>([
    ['id', { id: 1_024 }],
    ['id', { id: 0 }],
    ['incarnation', { incarnation: 2 ** 32 }],
    ['address', { address: 'mux.example' }],
    ['askPort', { askPort: 65_536 }],
    ['leaseMs', { leaseMs: 1e9 }],
  ])('is refused for an %s that cannot be', (_, more) => {
    expect(() => read(more)).toThrow(/damaged/);
  });
});
