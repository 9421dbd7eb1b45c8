// Owns muxes with programs, a network and a leader that are stood for in memory, around a store: for tests of their daemons.
import { expect, onTestFinished, vi } from 'vitest';
import { HEAD_KEY } from '../../../control/cluster/keys.ts';
import { type MemberProgram, MuxMember, type PeerNotes, type Wire } from '../../../control/cluster/member.ts';
import type { AskKeyRing } from '../../../control/cluster/member_keys_core.ts';
import { MemberStore } from '../../../control/cluster/member_store.ts';
import { MuxesView } from '../../../control/cluster/member_view.ts';
import type { Gone, Member, Version } from '../../../control/cluster/version.ts';
import type { Store } from '../../../control/store/contract.ts';
import { newStore } from './support.ts';

export const LEASE_MS = 400;
export const HEARTBEAT_MS = 20;
export const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

/** Stands for a loaded program: what a daemon before has left in it stays. */
export class FakeProgram implements MemberProgram {
  readonly role = 'mux';
  isAdopted = false;
  id = 0;
  incarnation = 0;
  version = 0;
  deadlineMs: number | undefined = 0;
  isAttached = true;
  forgotten = 0;
  #offset = 0;
  readonly installed = new Map<number, string>();
  readonly notes = new Map<number, PeerNotes>();
  readonly keys = {
    places: () => [...this.installed.keys()],
    used: -1,
    install: async (id: number, key: Uint8Array) =>
      void this.installed.set(id % 4, Buffer.from(key).toString('hex')),
    use(id: number) {
      this.used = id;
    },
    remove: async (id: number) => void this.installed.delete(id % 4),
  };

  async ready(): Promise<void> {}

  setId(id: number): void {
    this.id = id;
  }

  async beginIncarnation(incarnation: number): Promise<void> {
    if (this.isAdopted) this.forgotten++;
    this.incarnation = incarnation;
  }

  goAlone(): void {}

  get leftDeadlineMs(): number {
    return this.deadlineMs ?? Number.NEGATIVE_INFINITY;
  }

  setDeadline(atMs: number | undefined): void {
    this.deadlineMs = atMs;
  }

  clusterTime(): number {
    return (Math.floor(nowMs()) + this.#offset) >>> 0;
  }

  advanceTime(ticks: number): void {
    this.#offset += ticks;
  }

  peer(id: number): PeerNotes {
    const nothing = { echo: 0, incarnation: 0, time: 0 };
    return this.notes.get(id) ?? { ...nothing, pledgeEcho: 0, pledgedMs: undefined, pledgedVersion: 0 };
  }

  probe(probe: object): Uint8Array {
    return Buffer.from(JSON.stringify({ ...probe, asker: this.id, version: this.version }));
  }

  get decides(): boolean {
    return this.deadlineMs === undefined || this.deadlineMs > nowMs();
  }
}

/** Programs by address: each answers probes as the real one does. */
class Network {
  readonly programs = new Map<string, FakeProgram>();

  wireOf(from: FakeProgram): Wire {
    return {
      send: (datagram, { address }) => {
        const to = this.programs.get(address);
        if (to === undefined || !to.isAttached || !from.isAttached) return;
        const probe = JSON.parse(Buffer.from(datagram).toString());
        const pledges = probe.isPledge && to.version <= probe.version;
        if (pledges)
          to.notes.set(from.id, { ...to.peer(from.id), pledgedMs: nowMs(), pledgedVersion: to.version });
        from.notes.set(to.id, {
          ...from.peer(to.id),
          echo: probe.number,
          incarnation: to.incarnation,
          time: to.clusterTime(),
          ...(pledges && { pledgeEcho: probe.number }),
        });
      },
    };
  }
}

const isAway = () => Promise.reject(new Error('the store is away'));
const AWAY: Store = {
  get: isAway,
  list: isAway,
  txn: isAway,
  lease: isAway,
  campaign: isAway,
  leader: isAway,
  watch: async function* () {
    yield* [];
  },
  compact: isAway,
  close: async () => {},
};

/** Stands for the leader: whoever is registered is a member, whoever is not is none. */
class FakeLeader {
  readonly #store: Store;
  head: Version | undefined;
  readonly listeners = new Set<() => void>();
  frozen = false;

  constructor(store: Store) {
    this.#store = store;
  }

  async publish(members: readonly Member[], gone: readonly Gone[]): Promise<void> {
    const number = (this.head?.number ?? 0) + 1;
    const digest = `digest-${number}`;
    await this.#store.txn([], [{ put: HEAD_KEY, value: JSON.stringify({ number, digest }) }]);
    this.head = {
      number,
      cluster: 'test',
      digest,
      leaderEpoch: 1,
      members,
      gone,
      objects: { revision: 1, services: new Map(), pools: new Map(), backends: new Map() },
      unnamedSince: new Map(),
      placements: new Map(),
    };
    for (const listener of this.listeners) listener();
  }
}

export async function cluster() {
  const { store, another } = await newStore();
  const leader = new FakeLeader(store);
  const network = new Network();
  const watching = new MuxesView(store, () => undefined);
  await watching.start();
  onTestFinished(() => watching.close());
  const consider = async () => {
    if (leader.frozen) return;
    const members = [...watching.muxes.registrations.values()].sort((a, b) => a.id - b.id);
    const before = leader.head?.members ?? [];
    const same = (a: readonly Member[], b: readonly Member[]) =>
      JSON.stringify(a.map((it) => [it.id, it.incarnation, it.isLeaving])) ===
      JSON.stringify(b.map((it) => [it.id, it.incarnation, it.isLeaving]));
    const kept = members.filter(({ isLeaving }) => !isLeaving);
    if (same(kept, before)) return;
    const lost = before.filter(
      ({ id, incarnation }) => !kept.some((it) => it.id === id && it.incarnation === incarnation),
    );
    const gone = [...(leader.head?.gone ?? []), ...lost.map((it) => ({ ...it, isFenced: true }))];
    leader.frozen = true;
    await leader.publish(kept, gone);
    leader.frozen = false;
    await consider();
  };
  watching.onChange(() => void consider());

  /** `saved`: it begins with that, and its store is away. */
  const daemon = async (
    name: string,
    address: string,
    {
      fresh = true,
      leaseMs = LEASE_MS,
      saved,
    }: { fresh?: boolean; leaseMs?: number; saved?: AskKeyRing } = {},
  ) => {
    const program = (!fresh && network.programs.get(address)) || new FakeProgram();
    network.programs.set(address, program);
    const startsAt = fresh ? 0 : program.version;
    const own = await another();
    const memberStore = new MemberStore(saved === undefined ? own : AWAY, name);
    const problems = new Map<string, string>();
    const failures: string[] = [];
    const member = new MuxMember({
      name,
      address,
      askPort: 7445,
      api: undefined,
      leaseMs,
      heartbeatMs: HEARTBEAT_MS,
      heartbeatMisses: 3,
      store: memberStore,
      saved,
      program,
      startsAt,
      wire: network.wireOf(program),
      nowMs,
      isServing: () => program.isAttached,
      reports: () => [],
      onFailure: (what, error) => {
        failures.push(what);
        problems.set(what, (error as Error).message);
      },
      onSuccess: (what) => void problems.delete(what),
      tell: () => undefined,
    });
    const view = new MuxesView(own, () => undefined);
    await member.start();
    const see = () => {
      member.head(leader.head);
      if (leader.head === undefined || leader.head.number <= program.version) return;
      program.version = leader.head.number;
      member.applied(leader.head);
    };
    view.onChange((muxes) => member.muxes(muxes));
    await view.start();
    leader.listeners.add(see);
    program.version = fresh ? 0 : startsAt - 1;
    see();
    let isRunning = true;
    const stop = async () => {
      if (!isRunning) return;
      isRunning = false;
      leader.listeners.delete(see);
      await member.close();
      await view.close();
    };
    onTestFinished(stop);
    return { member, program, problems, failures, store: own, stop };
  };
  return { store, leader, network, watching, daemon };
}

export const until = (check: () => unknown) =>
  vi.waitFor(async () => expect(await check()).toBeTruthy(), { timeout: 5_000, interval: 10 });
