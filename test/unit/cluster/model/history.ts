// Owns random histories: the leader's real core and real edits over the model of muxes, with everything late, lost, killed
// or suspected that the design must bear. The same seed gives the same history.
import { hasCopied } from '../../../../control/cluster/copies.ts';
import {
  type Inputs,
  type Intent,
  LEADER_SETTINGS_DEFAULT,
} from '../../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../../control/cluster/leader/leader.ts';
import { handingOver, isCandidate } from '../../../../control/cluster/leaving.ts';
import type { Acknowledgement, Period, Registration, Version } from '../../../../control/cluster/version.ts';
import { type ClusterState, type Edit, EMPTY_STATE } from '../../../../control/config/cluster_state.ts';
import { planEdits } from '../../../../control/pool/edits.ts';
import { violations } from './invariants.ts';
import {
  type Flow,
  HOLD_MS,
  IDLE_MS,
  type Kind,
  LEASE_MS,
  Mux,
  Network,
  POOL_ID,
  SLOTS,
  same,
} from './muxes.ts';

const STEPS = 4_000;
const MARGIN_MS = 10;
const MUXES_MAX = 5;
const BACKENDS_MAX = 5;
const RECENT = 60;

/** What the leader is told wrongly, or not told: the model must notice. */
export type Fault = 'no barrier' | 'no hold' | 'no settle window' | 'no counts' | 'no unrecorded';

export type Options = {
  readonly fault?: Fault;
  /** Kinds of flows. */
  readonly kinds?: readonly Kind[];
  readonly flood?: boolean;
  readonly noDeaths?: boolean;
};

export class History {
  readonly network = new Network();
  readonly versions: Version[] = [];
  readonly problems: string[] = [];
  readonly counts = { edits: 0, deaths: 0, joins: 0, leaders: 0, cleaned: 0 };
  readonly #random: () => number;
  readonly #options: Options;
  readonly #registrations = new Map<string, Registration>();
  readonly #acknowledgements = new Map<string, Acknowledgement>();
  readonly #suspicions = new Map<string, Map<string, number>>();
  readonly #flows: Flow[] = [];
  readonly #routes = new Map<Flow, Mux>();
  #state: ClusterState;
  #intent: Intent;
  #leader: Leader;
  #names = 0;
  #lastHurtMs = 0;

  constructor(seed: number, options: Options = {}) {
    this.#random = generator(seed);
    if (options.flood) this.network.nascentMax = 6;
    this.#options = options;
    this.#state = planned(EMPTY_STATE, [
      { kind: 'putPool', pool: { name: 'web', slots: SLOTS } },
      ...[1, 2, 3].map((): Edit => this.#newBackend()),
      {
        kind: 'putService',
        service: {
          name: 'www',
          addresses: ['198.51.100.1'],
          protocol: 'tcp',
          port: 80,
          pool: 'web',
          idleTimeoutMs: options.fault === 'no settle window' ? 1 : IDLE_MS,
        },
      },
    ]);
    this.#intent = { state: this.#state, revision: this.#state.revision };
    this.#leader = this.#newLeader();
    this.#lead();
    for (let id = 1; id <= 3; id++) this.#join();
  }

  run(): this {
    const { network } = this;
    for (network.nowMs = 1; network.nowMs < STEPS && network.misdirected.length === 0; network.nowMs++) {
      this.#carry();
      this.#resend();
      this.#daemons();
      if (this.#chance(0.5)) this.#lead();
      this.#traffic();
      this.#operate();
    }
    return this;
  }

  // --- the leader

  #newLeader(): Leader {
    return new Leader({
      ...LEADER_SETTINGS_DEFAULT,
      handshakeHoldMs: this.#options.fault === 'no hold' ? 0 : HOLD_MS,
      leaseMs: LEASE_MS,
      marginMs: MARGIN_MS,
      acknowledgeMsMax: 4 * LEASE_MS,
    });
  }

  #lead(): void {
    const head = this.versions.at(-1);
    const inputs: Inputs = {
      intent: this.#intent,
      head,
      registrations: this.#registrations,
      acknowledgements: this.#told(head),
      suspicions: this.#suspicions,
      cutOff: new Map(),
      freshCluster: 'model',
    };
    const { publish, deregister, forget } = this.#leader.step(inputs, this.network.nowMs);
    if (publish !== undefined) {
      for (const { name } of deregister) this.#registrations.delete(name);
      const version = { ...publish, leaderEpoch: 1, digest: `d${publish.number}` };
      this.problems.push(...violations(version, head));
      this.versions.push(version);
      for (const mux of this.network.muxes) if (mux.isLed) mux.behind.push(version);
      this.counts.cleaned += cleaned(version, head);
    }
    const { retired } = this.#state;
    const backends = retired.backends.filter(({ index }) => !forget.backends.has(index));
    if (backends.length < retired.backends.length) {
      this.#become({ ...this.#state, retired: { ...retired, backends } });
    }
  }

  readonly #lies = new WeakMap<Acknowledgement, Acknowledgement>();
  #told(head: Version | undefined): ReadonlyMap<string, Acknowledgement> {
    const { fault } = this.#options;
    if (fault === 'no barrier' && head !== undefined) {
      const forged = (it: Acknowledgement) => ({ ...it, version: head.number, digest: head.digest });
      return new Map([...this.#acknowledgements].map(([name, it]) => [name, forged(it)]));
    }
    if (fault !== 'no counts' && fault !== 'no unrecorded') {
      return this.#acknowledgements;
    }
    const forged = (it: Acknowledgement): Acknowledgement => ({
      ...it,
      reports: it.reports.map((report) => ({
        ...report,
        ...(fault === 'no counts' && { heldSlots: new Uint8Array(Math.ceil(SLOTS / 8)) }),
        ...(fault === 'no unrecorded' && { unrecordedAgoMs: -1 }),
      })),
    });
    return new Map(
      [...this.#acknowledgements].map(([name, it]) => {
        if (!this.#lies.has(it)) this.#lies.set(it, forged(it));
        return [name, this.#lies.get(it)!];
      }),
    );
  }

  // --- daemons

  #daemons(): void {
    const { network } = this;
    for (const mux of network.muxes) {
      if (!mux.isUp) continue;
      if (mux.isLed) this.#daemon(mux);
      // The store ends leases by itself.
      const registration = this.#registrations.get(mux.name);
      const isExpired = network.nowMs > mux.renewedMs + LEASE_MS;
      if (registration?.incarnation === mux.incarnation && isExpired) this.#registrations.delete(mux.name);
    }
  }

  #daemon(mux: Mux): void {
    const { nowMs } = this.network;
    const registration = this.#registrations.get(mux.name);
    const isRegistered = registration?.incarnation === mux.incarnation;
    if (isRegistered && mux.mayRenew && nowMs % (LEASE_MS / 3) === mux.id) mux.renewedMs = nowMs;
    if (mux.behind.length > 0 && nowMs > mux.slowUntilMs && this.#chance(0.15)) {
      const wasMember = mux.isMember;
      mux.apply(mux.behind.shift()!);
      if (wasMember && !mux.isMember) {
        this.#removed(mux);
        return;
      }
    }
    if (mux.isMember && !isRegistered && nowMs > mux.renewedMs + LEASE_MS) {
      this.#removed(mux);
      return;
    }
    if (this.#chance(0.1)) this.#acknowledgements.set(mux.name, mux.acknowledgement(nowMs));
    if (mux.isMember && this.#chance(1 / (IDLE_MS / 8))) this.network.refresh(mux);
    if (mux.isMember && this.#chance(0.05)) this.#copy(mux);
  }

  /** It begins anew, with nothing. */
  #removed(mux: Mux): void {
    if (mux.isLeaving) {
      mux.isUp = false;
      this.#acknowledgements.set(mux.name, mux.acknowledgement(this.network.nowMs));
      this.#registrations.delete(mux.name);
      return;
    }
    mux.empty();
    mux.incarnation++;
    this.#register(mux);
  }

  #register(mux: Mux): void {
    const { name, id, incarnation, isLeaving } = mux;
    mux.behind.length = 0;
    mux.apply(this.versions.at(-1)!);
    mux.renewedMs = this.network.nowMs;
    mux.mayRenew = true;
    this.#suspicions.delete(name);
    for (const names of this.#suspicions.values()) names.delete(name);
    this.#registrations.set(name, {
      name,
      id,
      incarnation,
      address: `192.0.2.${id}`,
      askPort: 7445,
      leaseMs: LEASE_MS,
      isLeaving,
    });
    this.#acknowledgements.set(name, mux.acknowledgement(this.network.nowMs));
  }

  #copy(mux: Mux): void {
    for (const period of mux.version.placements.get(1)!.periods) {
      const { trackEpoch, chainEpoch } = period;
      const isBarrier = mux.version.members.every(({ name, incarnation }) => {
        const it = this.#acknowledgements.get(name);
        return it?.incarnation === incarnation && it.version >= chainEpoch;
      });
      if (isBarrier && this.network.copy(mux, trackEpoch)) mux.copied.set(trackEpoch, chainEpoch);
      const leaver = handingOver(mux.version);
      mux.handedOver.delete(trackEpoch);
      if (
        leaver === undefined ||
        mux.copied.get(trackEpoch) !== chainEpoch ||
        !this.#areCopiesDone(mux, period)
      )
        continue;
      if (same(leaver, mux.candidate) || this.network.copyAhead(mux, period, leaver))
        mux.handedOver.add(trackEpoch);
    }
  }

  /** As this mux hears it. */
  #areCopiesDone(mux: Mux, period: Period): boolean {
    return mux.version.members
      .filter((it) => isCandidate(it, period))
      .every((it) => hasCopied(this.#acknowledgements.get(it.name), it, { ...period, poolId: POOL_ID }));
  }

  // --- traffic

  #carry(): void {
    const { wire } = this.network;
    while (wire.length > 12 || (wire.length > 0 && this.#chance(0.6))) {
      const [message] = wire.splice(this.#below(Math.min(wire.length, 12)), 1);
      if (this.#chance(0.01)) this.network.lose(message!);
      else this.network.carry(message!);
    }
  }

  #resend(): void {
    const { resend, nowMs } = this.network;
    for (let at = resend.length - 1; at >= 0; at--) {
      const { atMs, flow, isNew } = resend[at]!;
      if (atMs > nowMs) continue;
      resend.splice(at, 1);
      if (!flow.isClosed) this.#send(flow, isNew && !flow.isEstablished);
    }
    for (const flow of this.#flows.slice(-RECENT)) {
      if (flow.againMs === 0 || flow.againMs > nowMs || flow.isClosed) continue;
      flow.againMs = 0;
      flow.isEstablished = true;
      this.#send(flow, flow.kind !== 'udp');
    }
  }

  #traffic(): void {
    const { nowMs } = this.network;
    const newFlows = this.#options.flood && nowMs % 700 < 200 ? 3 : this.#chance(0.25) ? 1 : 0;
    for (let count = 0; count < newFlows; count++) this.#newFlow();
    const flow = this.#flows[this.#flows.length - 1 - this.#below(Math.min(RECENT, this.#flows.length))];
    if (flow !== undefined && this.#chance(0.4)) this.#data(flow);
    // Some live long.
    const old = this.#flows[this.#below(Math.min(6, this.#flows.length))];
    if (old !== undefined && nowMs - old.lastMs > IDLE_MS / 3) this.#data(old);
  }

  #data(flow: Flow): void {
    const { nowMs } = this.network;
    if (flow.isClosed || flow.server === undefined) return;
    if (nowMs - flow.lastMs > 0.9 * IDLE_MS) flow.isClosed = true;
    else if (flow.isEstablished) this.#send(flow, false);
    // The answer to the first packet arrives.
    else if (nowMs - flow.bornMs > 25 && this.#chance(0.3)) flow.isEstablished = true;
  }

  #newFlow(): void {
    const { nowMs } = this.network;
    const { kinds = ['tcp'] } = this.#options;
    const kind = kinds[this.#below(kinds.length)]!;
    // A SYN that no table had room for goes to base, and to current when it comes again: the design does not bear both.
    const isSentAgain = kind !== 'udp' && !this.#options.flood && this.#chance(0.3);
    const flow: Flow = {
      key: this.#flows.length,
      slot: this.#below(SLOTS),
      kind,
      bornMs: nowMs,
      server: undefined,
      lastMs: nowMs,
      isEstablished: !isSentAgain,
      againMs: isSentAgain ? nowMs + 5 + this.#below(kind === 'quic' ? 15 : 35) : 0,
      isClosed: false,
    };
    this.#flows.push(flow);
    this.#send(flow, kind !== 'udp');
  }

  #send(flow: Flow, isNew: boolean): void {
    const { muxes, nowMs } = this.network;
    flow.lastMs = nowMs;
    // Past its deadline a mux relays what comes in.
    const able = (mux: Mux) => mux.mayDecide(nowMs);
    let mux = this.#routes.get(flow);
    if (mux === undefined || !able(mux) || this.#chance(0.02)) {
      const open = muxes.filter((it) => able(it) && !it.isLeaving);
      const all = open.length > 0 ? open : muxes.filter(able);
      mux = all[this.#below(all.length)];
      if (mux === undefined) {
        this.network.lose({ flow, isNew });
        return;
      }
      this.#routes.set(flow, mux);
    }
    this.network.receive(mux, flow, isNew);
  }

  // --- what happens to a cluster

  #operate(): void {
    const dice = this.#random();
    const { nowMs } = this.network;
    const mux = this.network.muxes[this.#below(this.network.muxes.length)]!;
    // It has much to do and is late with everything, but it lives.
    if (dice > 0.998) mux.slowUntilMs = nowMs + this.#below(3 * LEASE_MS);
    if (dice < 0.006) this.#edit();
    else if (dice < 0.008) this.#routes.clear();
    else if (dice < 0.01) {
      this.#leader = this.#newLeader();
      this.counts.leaders++;
    } else if (dice < 0.0105) this.#join();
    else if (dice < 0.0125 && nowMs > 300 && this.#isWhole()) this.#hurt();
  }

  /** One failure at a time, until it is repaired: this is what the design bears. */
  #isWhole(): boolean {
    const head = this.versions.at(-1)!;
    const members = head.members.map((it) => this.network.muxes.find((mux) => same(mux.candidate, it)));
    const { periods } = head.placements.get(1)!;
    return (
      !this.#options.noDeaths &&
      members.length > 2 &&
      this.network.nowMs - this.#lastHurtMs > 2 * LEASE_MS &&
      head.gone.every(
        ({ name, incarnation }) =>
          !this.network.muxes.some((it) => it.isUp && it.name === name && it.incarnation === incarnation),
      ) &&
      members.every(
        (mux) => mux?.isUp && mux.isLed && mux.mayRenew && mux.version === head && !mux.isLeaving,
      ) &&
      periods.every(
        ({ chainEpoch, trackEpoch }) =>
          chainEpoch === trackEpoch ||
          members.every((mux) => this.#saysCopied(mux!, trackEpoch) >= chainEpoch),
      )
    );
  }

  /** As the leader is told. */
  #saysCopied({ name }: Mux, trackEpoch: number): number {
    const told = this.#told(this.versions.at(-1)).get(name);
    return told?.reports.find((it) => it.trackEpoch === trackEpoch)?.copiedChainEpoch ?? 0;
  }

  #hurt(): void {
    const { muxes, nowMs } = this.network;
    const live = muxes.filter((mux) => mux.isUp && mux.isMember);
    const mux = live[this.#below(live.length)]!;
    this.#lastHurtMs = nowMs;
    this.counts.deaths++;
    const suspectedByAll = () => {
      for (const { name } of live)
        if (name !== mux.name) this.#suspicions.set(name, new Map([[mux.name, mux.incarnation]]));
    };
    if (this.#chance(0.5)) this.#edit();
    const how = this.#random();
    if (how < 0.3) {
      mux.isUp = false;
      if (this.#chance(0.5)) suspectedByAll();
      // It does not renew any more; the model ends its lease at once, which the store does later.
      this.#registrations.delete(mux.name);
    } else if (how < 0.5) {
      // Rebooted fast: tables are empty, nobody noticed.
      mux.empty();
      mux.incarnation++;
      this.#register(mux);
    } else if (how < 0.7) {
      // Wrongly: it goes on until its deadline.
      suspectedByAll();
    } else if (how < 0.85) {
      // Its daemon hangs, and what is in the kernel goes on.
      mux.isLed = false;
      mux.behind.length = 0;
    } else {
      this.#leave(mux);
      // Maintenance of several at once: somebody stays.
      const other = live.find((it) => it !== mux);
      if (other !== undefined && live.length > 3 && this.#chance(0.5)) this.#leave(other);
    }
  }

  #leave(mux: Mux): void {
    mux.isLeaving = true;
    this.#registrations.set(mux.name, { ...this.#registrations.get(mux.name)!, isLeaving: true });
  }

  #join(): void {
    const { muxes } = this.network;
    const hung = muxes.find((it) => it.isUp && !it.isLed);
    if (hung !== undefined) {
      // A daemon that comes back after its lease.
      if (this.network.nowMs <= hung.renewedMs + LEASE_MS + MARGIN_MS) return;
      hung.isLed = true;
      this.#removed(hung);
      return;
    }
    if (muxes.filter(({ isUp }) => isUp).length >= MUXES_MAX || muxes.length >= 40) return;
    const mux = new Mux(muxes.length + 1, this.versions.at(-1)!);
    muxes.push(mux);
    this.counts.joins++;
    this.#register(mux);
  }

  #newBackend(): Edit {
    const number = ++this.#names;
    return {
      kind: 'putBackend',
      backend: {
        pool: 'web',
        name: `b${number}`,
        address: `192.0.2.${100 + number}`,
        weight: 100,
        encap: 'ip',
      },
    };
  }

  #edit(): void {
    const backends = [...this.#state.backends.values()];
    const serving = backends.filter(({ weight }) => weight > 0);
    const chosen = backends[this.#below(backends.length)]!;
    const { index: _, generation: __, modRevision: ___, isDead: ____, ...backend } = chosen;
    const isLast = serving.length <= 2 && chosen.weight > 0;
    const dice = this.#random();
    let edit: Edit;
    let now = false;
    if (dice < 0.25 && backends.length < BACKENDS_MAX) edit = this.#newBackend();
    else if (isLast || dice < 0.5) {
      edit = { kind: 'putBackend', backend: { ...backend, weight: [50, 100, 200][this.#below(3)]! } };
    } else {
      now = this.#chance(0.3);
      if (dice < 0.75) edit = { kind: 'putBackend', backend: { ...backend, weight: 0 } };
      else edit = { kind: 'deleteBackend', pool: 'web', name: backend.name };
    }
    this.counts.edits++;
    const server = `${chosen.address}#${chosen.generation}`;
    if (now) {
      this.network.givenUp.add(server);
      for (const flow of this.#flows) if (flow.server === server) flow.isClosed = true;
    }
    this.#become(planEdits(this.#state, [edit], { force: false, now }).after);
  }

  #become(state: ClusterState): void {
    this.#state = { ...state, revision: this.#state.revision + 1 };
    this.#intent = { state: this.#state, revision: this.#state.revision };
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function planned(state: ClusterState, edits: readonly Edit[]): ClusterState {
  return { ...planEdits(state, edits, { force: false }).after, revision: state.revision + 1 };
}

function cleaned(version: Version, head: Version | undefined): number {
  const before = head?.placements.get(1)?.period;
  if (before === undefined) return 0;
  return version.placements.get(1)!.period.filter((it, slot) => it === 0 && before[slot] !== 0).length;
}

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}
