// Owns random histories of a pool of filters: the leader's real core, real edits and what is observed of members, over the
// model of servers (servers.ts), with everything late, killed, hung or restarted that the design must bear.
import { type Intent, LEADER_SETTINGS_DEFAULT } from '../../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../../control/cluster/leader/leader.ts';
import { serversOf } from '../../../../control/cluster/leader/servers.ts';
import type { Acknowledgement, Registration, Version } from '../../../../control/cluster/version.ts';
import { type ClusterState, type Edit, EMPTY_STATE } from '../../../../control/config/cluster_state.ts';
import { Judgement } from '../../../../control/health/judgement_core.ts';
import { planEdits } from '../../../../control/pool/edits.ts';
import { LEASE_MS, Segment, Server, SLOTS, TIMEOUT_MS } from './servers.ts';

const STEPS = 6_000;
const CLIENTS = 60;
const SERVERS_MAX = 6;
const FIRST_ID = 64;
const MARGIN_MS = 10;
/** A query that is lost with a server, and until its buckets are another's, who may be slow. */
const REPAIR_MS = 4 * LEASE_MS;

/** What the leader is told wrongly, or what of its versions servers misread: the model must notice. */
export type Fault = 'no barrier' | 'no counts' | 'released first' | 'no holders' | 'kept incarnation';

export class FilterHistory {
  readonly segment: Segment;
  readonly versions: Version[] = [];
  readonly counts = { edits: 0, deaths: 0, cleaned: 0, moved: 0 };
  readonly #random: () => number;
  readonly #fault: Fault | undefined;
  readonly #registrations = new Map<string, Registration>();
  readonly #acknowledgements = new Map<string, Acknowledgement>();
  readonly #suspicions = new Map<string, Map<string, number>>();
  readonly #judgement = new Judgement(3_000);
  #leader: Leader;
  #state: ClusterState;
  #lastHurtMs = Number.NEGATIVE_INFINITY;
  readonly hurtsMs: number[] = [];

  constructor(seed: number, fault?: Fault) {
    this.#random = generator(seed);
    this.#fault = fault;
    this.segment = new Segment(this.#random);
    this.#leader = this.#newLeader();
    this.#state = planned(EMPTY_STATE, [
      { kind: 'putPool', pool: { name: 'web', slots: SLOTS, delivery: 'filter' } },
      {
        kind: 'putService',
        service: {
          name: 'www',
          addresses: ['198.51.100.1'],
          pool: 'web',
          affinity: { prefixLength4: 32, prefixLength6: 128 },
          idleTimeoutMs: TIMEOUT_MS,
        },
      },
    ]);
    this.#lead();
    for (let count = 0; count < 4; count++) this.#join();
    // Before anybody asks: an address that no server has had is not the matter here.
    for (let round = 0; round < 200; round++) {
      this.segment.nowMs++;
      this.#daemons();
      this.#lead();
    }
  }

  /** Requests that nobody answered although no server had died. */
  get unanswered(): number {
    const isExcused = (atMs: number) =>
      this.hurtsMs.some((it) => atMs >= it - LEASE_MS && atMs <= it + REPAIR_MS);
    return this.segment.unanswered.filter(({ atMs }) => !isExcused(atMs)).length;
  }

  run(): this {
    const { segment } = this;
    const endMs = segment.nowMs + STEPS;
    for (; segment.nowMs < endMs && segment.wrong.length === 0; segment.nowMs++) {
      segment.run();
      this.#daemons();
      if (this.#chance(0.5)) this.#lead();
      if (this.#chance(0.35)) segment.send(this.#below(CLIENTS));
      this.#operate();
    }
    return this;
  }

  #newLeader(): Leader {
    return new Leader({
      ...LEADER_SETTINGS_DEFAULT,
      leaseMs: LEASE_MS,
      marginMs: MARGIN_MS,
      acknowledgeMsMax: 4 * LEASE_MS,
    });
  }

  #lead(): void {
    const head = this.versions.at(-1);
    const { nowMs } = this.segment;
    const servers = serversOf(head?.members ?? [], this.#state.backends.values());
    const { after } = this.#judgement.step(this.#state, { nowMs, wallMs: nowMs, members: [], servers });
    if (after !== this.#state) this.#become(after);
    const intent: Intent = { state: this.#state, revision: this.#state.revision };
    const { publish, deregister, forget } = this.#leader.step(
      {
        intent,
        head,
        registrations: this.#registrations,
        acknowledgements: this.#told(head),
        suspicions: this.#suspicions,
        cutOff: new Map(),
        freshCluster: 'model',
      },
      nowMs,
    );
    if (publish !== undefined) {
      for (const { name } of deregister) this.#registrations.delete(name);
      const version = { ...publish, leaderEpoch: 1, digest: `d${publish.number}` };
      this.#count(version, head);
      this.versions.push(version);
      for (const server of this.segment.servers) if (server.isUp) server.behind.push(this.#misread(version));
    }
    const { retired } = this.#state;
    const backends = retired.backends.filter(({ index }) => !forget.backends.has(index));
    if (backends.length < retired.backends.length)
      this.#become({ ...this.#state, retired: { ...retired, backends } });
  }

  #count(version: Version, head: Version | undefined): void {
    const [now, old] = [version.placements.get(1)!, head?.placements.get(1)];
    if (old === undefined) return;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (now.period[slot] === 0 && old.period[slot] !== 0) this.counts.cleaned++;
      if (now.current[slot] !== old.current[slot]) this.counts.moved++;
    }
  }

  #misread(version: Version): Version {
    const fault = this.#fault;
    if (fault !== 'released first' && fault !== 'no holders') return version;
    const placement = version.placements.get(1)!;
    const misread =
      fault === 'released first'
        ? { ...placement, base: placement.current }
        : { ...placement, periods: placement.periods.map((it) => ({ ...it, candidates: [[]] })) };
    return { ...version, placements: new Map([[1, misread]]) };
  }

  #told(head: Version | undefined): ReadonlyMap<string, Acknowledgement> {
    if (head === undefined) return this.#acknowledgements;
    if (this.#fault === 'no barrier') {
      const { number: version, digest } = head;
      return new Map([...this.#acknowledgements].map(([name, it]) => [name, { ...it, version, digest }]));
    }
    if (this.#fault !== 'no counts') return this.#acknowledgements;
    const heldSlots = new Uint8Array(Math.ceil(SLOTS / 8));
    return new Map(
      [...this.#acknowledgements].map(([name, it]) => [
        name,
        { ...it, reports: it.reports.map((report) => ({ ...report, heldSlots })) },
      ]),
    );
  }

  #daemons(): void {
    const { nowMs, servers } = this.segment;
    for (const server of servers) {
      if (!server.isUp) continue;
      if (server.hungUntilMs <= nowMs) this.#daemon(server);
      // The store ends leases by itself.
      const isExpired = nowMs > server.renewedMs + LEASE_MS;
      const registration = this.#registrations.get(server.name);
      if (registration?.incarnation === server.incarnation && isExpired)
        this.#registrations.delete(server.name);
    }
  }

  #daemon(server: Server): void {
    const { nowMs } = this.segment;
    const isRegistered = this.#registrations.get(server.name)?.incarnation === server.incarnation;
    if (isRegistered && nowMs % (LEASE_MS / 3) === server.id % 10) server.renewedMs = nowMs;
    if (server.behind.length > 0 && nowMs > server.slowUntilMs && this.#chance(0.15)) {
      const wasMember = server.isMember;
      server.version = server.behind.shift()!;
      if (wasMember && !server.isMember) {
        this.#removed(server);
        return;
      }
    }
    if (!isRegistered && nowMs > server.renewedMs + LEASE_MS) {
      this.#removed(server);
      return;
    }
    if (this.#chance(0.1)) this.#acknowledgements.set(server.name, server.acknowledgement(nowMs));
  }

  /** It begins anew, with nothing; or has left. */
  #removed(server: Server): void {
    if (server.isLeaving) {
      server.isUp = false;
      this.#registrations.delete(server.name);
      return;
    }
    server.empty();
    if (this.#fault !== 'kept incarnation') server.incarnation++;
    this.#register(server);
  }

  #register(server: Server): void {
    const { name, id, incarnation, isLeaving } = server;
    server.behind.length = 0;
    server.version = this.#misread(this.versions.at(-1)!);
    server.renewedMs = this.segment.nowMs;
    this.#suspicions.delete(name);
    for (const names of this.#suspicions.values()) names.delete(name);
    const address = addressOf(server);
    this.#registrations.set(name, {
      ...{ name, id, incarnation, address, askPort: 7445, leaseMs: LEASE_MS, isLeaving },
    });
    this.#acknowledgements.set(name, server.acknowledgement(this.segment.nowMs));
  }

  #join(): void {
    const { servers } = this.segment;
    if (servers.filter(({ isUp }) => isUp).length >= SERVERS_MAX || servers.length >= 30) return;
    const server = new Server(FIRST_ID + servers.length, this.versions.at(-1)!);
    servers.push(server);
    this.#edit([{ kind: 'putBackend', backend: backendOf(server, 100) }]);
    this.#register(server);
  }

  #operate(): void {
    const { nowMs, servers } = this.segment;
    const live = servers.filter((it) => it.isUp && it.isMember && it.hungUntilMs <= nowMs && !it.isLeaving);
    const server = live[this.#below(live.length)];
    if (server === undefined) return;
    const dice = this.#random();
    if (dice < 0.004) server.slowUntilMs = nowMs + this.#below(LEASE_MS);
    else if (dice < 0.009) this.#reweigh(server, live);
    else if (dice < 0.01) this.#leader = this.#newLeader();
    else if (dice < 0.011) this.#join();
    else if (dice < 0.012 && live.length > 3) this.#leave(server);
    else if (dice < 0.0135 && live.length > 2 && nowMs - this.#lastHurtMs > 4 * LEASE_MS)
      this.#hurt(server, live);
  }

  #reweigh(server: Server, live: readonly Server[]): void {
    const serving = [...this.#state.backends.values()].filter(
      (it) => it.weight > 0 && it.observed === undefined && it.address !== addressOf(server),
    );
    const weight = serving.length < 2 || live.length < 3 ? 100 : [0, 50, 100, 200][this.#below(4)]!;
    this.#edit([{ kind: 'putBackend', backend: backendOf(server, weight) }]);
  }

  #leave(server: Server): void {
    server.isLeaving = true;
    this.#registrations.set(server.name, { ...this.#registrations.get(server.name)!, isLeaving: true });
  }

  #hurt(server: Server, live: readonly Server[]): void {
    const { nowMs } = this.segment;
    this.#lastHurtMs = nowMs;
    this.hurtsMs.push(nowMs);
    this.counts.deaths++;
    const { name, incarnation } = server;
    for (const { name: observer } of live)
      if (observer !== name) this.#suspicions.set(observer, new Map([[name, incarnation]]));
    if (this.#chance(0.4)) {
      server.isUp = false;
      this.#registrations.delete(name);
      return;
    }
    // The whole machine stands still, and goes on past its deadline.
    server.hungUntilMs = server.renewedMs + LEASE_MS + 1 + this.#below(4 * LEASE_MS);
    this.hurtsMs.push(server.hungUntilMs);
  }

  #edit(edits: readonly Edit[]): void {
    this.counts.edits++;
    this.#become(planEdits(this.#state, edits, { force: true }).after);
  }

  #become(state: ClusterState): void {
    this.#state = { ...state, revision: this.#state.revision + 1 };
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

const addressOf = ({ id }: Server): string => `192.0.2.${id}`;
const backendOf = (server: Server, weight: number) => ({
  ...{ pool: 'web', name: server.name, address: addressOf(server), weight, encap: 'ip' as const },
});

function planned(state: ClusterState, edits: readonly Edit[]): ClusterState {
  return { ...planEdits(state, edits, { force: false }).after, revision: state.revision + 1 };
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
