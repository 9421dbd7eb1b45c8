// Owns the daemon of a mux in a history: the real cores of membership and heartbeat beside the real tables, with the
// store, the wire and the clock of the simulation in the place of real ones. Killing it leaves the program running.
import { Listening } from '../../../control/cluster/alone_core.ts';
import {
  Heartbeat,
  type HeartbeatEffect,
  type PeerHearing,
} from '../../../control/cluster/heartbeat_core.ts';
import { type MemberEffect, type MemberEvent, Membership } from '../../../control/cluster/member_core.ts';
import { keyOperations } from '../../../control/cluster/member_keys_core.ts';
import type { Registration, Version } from '../../../control/cluster/version.ts';
import type { Path } from '../../../control/dataplane/backend_table.ts';
import { desiredMux } from '../../../control/dataplane/desired.ts';
import { ASK_HEADER_LAYOUT, AskFlag } from '../../../control/dataplane/generated/layout.ts';
import { memberOffset } from '../../../control/dataplane/layout_offsets.ts';
import { DEADLINE_ALONE, NO_DEADLINE } from '../../../control/dataplane/self.ts';
import { FlowTasks } from '../../../control/flow/tasks.ts';
import { flowEngineOf } from '../../../control/node/mux_ports.ts';
import { settled } from './agenda.ts';
import { type DaemonFaults, tampered } from './daemon_faults.ts';
import { datagramOf } from './datagram.ts';
import { mix, unitOf } from './mix.ts';
import { ASK_PORT, hostsOf, MS, NEXT_HOP, type PoolName } from './place.ts';
import { muxAddressOf, type ProgramFleet, type ProgramMux } from './programs.ts';
import type { SimStore } from './sim_store.ts';
import type { World } from './world.ts';

export type DaemonTimes = {
  readonly leaseMs: number;
  readonly marginMs: number;
  readonly heartbeatMs: number;
  readonly misses: number;
  /** Of a request to the store, at most. */
  readonly storeMs: number;
  /** Between a version in the store and this mux's beginning to apply it, at most; drawn for each. */
  readonly applyLagMs: number;
  /** The same of the first version of a mux that begins; absent: as of any other. */
  readonly firstApplyMs?: number;
};

export type DaemonSite = {
  readonly world: World;
  readonly fleet: ProgramFleet;
  readonly store: SimStore;
  readonly version: 4 | 6;
  readonly times: DaemonTimes;
  readonly faults: DaemonFaults;
};

const TICK_NS = 2 ** 20;
const FLAGS_AT = memberOffset(ASK_HEADER_LAYOUT, 'flags');
const PATH: Path = { mtuBytes: 1_500, nextHop: NEXT_HOP };
const STORE_TIMEOUT_MS = 500;
const FIRST_PROBES = 1_000_000;
/** Until the supervisor of a daemon withdraws the routes of a mux that is past its deadline. */
const SUPERVISOR_MS = 200;

export class Daemon {
  readonly number: number;
  readonly name: string;
  readonly #site: DaemonSite;
  readonly #program: ProgramMux;
  readonly #membership: Membership;
  readonly #heartbeat: Heartbeat;
  readonly #tasks: FlowTasks;
  readonly #peers = new Map<number, number>();
  readonly #stopWatching: () => void;
  #isAlive = true;
  #applied: Version | undefined;
  #acknowledged = 0;
  #applying: Version | undefined;
  /** A daemon that takes over does not know how far the one before had got. */
  #isSure: boolean;
  #isApplying = false;
  #isFollowing = false;
  #draws = 0;
  #asksPledges = false;
  #ringStep = 0;
  #isTakingKeys = false;
  readonly #listening: Listening;

  constructor(site: DaemonSite, number: number, life: number, before?: Version) {
    const { times, fleet, store } = site;
    this.number = number;
    this.name = `mux${number}`;
    this.#site = site;
    this.#program = fleet.mux(number);
    const { self } = this.#program.program;
    this.#membership = new Membership(
      { id: this.#program.id, incarnation: self.incarnation },
      { leaseMs: times.leaseMs, marginMs: times.marginMs, isAdopted: before !== undefined },
    );
    this.#listening = new Listening({ intervalMs: site.times.heartbeatMs });
    this.#heartbeat = new Heartbeat(
      { intervalMs: times.heartbeatMs, misses: times.misses },
      life * FIRST_PROBES,
    );
    const engine = flowEngineOf(this.#program.program, () => this.#applied);
    this.#tasks = new FlowTasks({
      engine: site.faults.noCopyAhead ? { ...engine, chooseAhead: () => undefined } : engine,
      self: () => (this.isMember ? this.#membership.self : undefined),
      send: (peer, message) => this.#sendFlows(peer, message),
      onReports: () => this.#report(),
      firstRound: life * FIRST_PROBES,
    });
    this.#applied = before;
    this.#isSure = before === undefined;
    this.#stopWatching = store.onChange(() => this.#look());
    self.id = this.#program.id;
    if (before === undefined) this.#setDeadline(Number.NEGATIVE_INFINITY);
    this.#tell({ kind: 'serving', isServing: true });
    this.#look();
    if (before !== undefined) {
      this.#tasks.apply(before);
      this.#tellApplied(before);
    }
    this.#later(times.heartbeatMs * this.#draw(), () => this.#tick());
  }

  get isMember(): boolean {
    return this.#membership.phase === 'member';
  }

  get applied(): Version | undefined {
    return this.#applied;
  }

  /** Whether a version that is in effect here, or is coming into effect, has this host for a clean slot. */
  maySend(pool: PoolName, slot: number, host: number): boolean {
    if (!this.#isSure) return true;
    return [this.#applied, this.#applying].some(
      (version) => version !== undefined && hostsOf(version, pool, slot).includes(host),
    );
  }

  /** As by SIGKILL: the program goes on. */
  kill(): void {
    this.#isAlive = false;
    this.#stopWatching();
  }

  /** An operator has it leave. */
  drain(): void {
    this.#tell({ kind: 'draining', isDraining: true });
    this.#site.world.withdraw(this.number);
  }

  // --- time of this host ---

  get #nowMs(): number {
    return this.#program.nowNs(this.#site.world.nowNs) / MS;
  }

  /** In [0, 1), another each time. */
  #draw(): number {
    return unitOf(mix(this.#site.world.seed, mix(this.number + 1, ++this.#draws)));
  }

  /** Not while it is dead; where it hangs, once it wakes. */
  #later(delayMs: number, happen: () => void | Promise<void>): void {
    const { world } = this.#site;
    world.agenda.after(delayMs * MS, () => {
      if (!this.#isAlive) return;
      return world.whenAwake(this.number, () => (this.#isAlive ? happen() : undefined));
    });
  }

  // --- cores ---

  #tell(event: MemberEvent): void {
    for (const effect of this.#membership.step(event, this.#nowMs)) this.#perform(effect);
    this.#announce();
  }

  #tick(): void {
    const { world, times, store } = this.#site;
    this.#program.setTime(world.nowNs);
    const { peerStates } = this.#program.program;
    const states = [...this.#peers.keys()].map((id) => [id, peerStates.state(id)] as const);
    const hearings = new Map<number, PeerHearing>(
      states.map(([id, { echo, incarnation, time }]) => [id, { echo, incarnation, time }]),
    );
    const pledgeEchoes = new Map(states.map(([id, { pledgeEcho }]) => [id, Number(pledgeEcho)]));
    const effects = this.#heartbeat.step({ kind: 'tick', hearings, time: this.#clusterTime() }, this.#nowMs);
    this.#asksPledges = false;
    const probe = effects.find((it) => it.kind === 'probe')?.number;
    this.#tell({ kind: 'tick', probe, pledgeEchoes });
    for (const effect of effects) this.#performHeartbeat(effect);
    this.#goAlone();
    this.#followRing();
    this.#tasks.acknowledged(store.acknowledgements);
    this.#tasks.tick(this.#nowMs);
    this.#program.forgetCounts();
    this.#later(times.heartbeatMs, () => this.#tick());
  }

  #goAlone(): void {
    const { self } = this.#program.program;
    const isPastDeadline = this.isMember && this.#membership.deadlineMs <= this.#nowMs;
    const heardAgoMs = this.#heartbeat.heardAgoMs(this.#nowMs).values();
    const isAlone = this.#listening.step({ isPastDeadline, heardAgoMs }, this.#nowMs);
    this.#site.world.announceLast(this.number, isAlone);
    if (isAlone) self.deadline = DEADLINE_ALONE;
    else if (self.deadline === DEADLINE_ALONE) self.deadline = 0n;
  }

  #clusterTime(): number {
    const ticks = Math.floor(this.#program.nowNs(this.#site.world.nowNs) / TICK_NS);
    return (ticks + this.#program.program.self.timeOffset) >>> 0;
  }

  #perform(effect: MemberEffect): void {
    const { store } = this.#site;
    switch (effect.kind) {
      case 'register':
        this.#request(effect.sentMs, 'registered', () =>
          store.register(this.#registration(effect.isLeaving), effect.head?.number),
        );
        return;
      case 'renew':
        this.#request(effect.sentMs, 'renewed', () => store.renew(this.#registration(effect.isLeaving)));
        return;
      case 'withdraw':
        this.#later(this.#storeDelayMs(), () => store.unregister(this.#registration(false)));
        return;
      case 'reset':
        this.#reset();
        return;
      case 'acknowledge': {
        const { version, digest } = effect;
        this.#later(this.#storeDelayMs(), () => this.#acknowledge(version, digest));
        return;
      }
      case 'deadline':
        this.#setDeadline(effect.atMs);
        return;
      case 'askPledges':
        this.#asksPledges = true;
        return;
      case 'peers':
        this.#peers.clear();
        for (const [id, incarnation] of effect.incarnations) this.#peers.set(id, incarnation);
        for (const one of this.#heartbeat.step(
          { kind: 'peers', incarnations: effect.incarnations },
          this.#nowMs,
        ))
          this.#performHeartbeat(one);
    }
  }

  #performHeartbeat(effect: HeartbeatEffect): void {
    const { store } = this.#site;
    const { self } = this.#program.program;
    switch (effect.kind) {
      case 'probe':
        for (const peer of effect.peers) this.#probe(peer, effect.number);
        return;
      case 'suspect':
      case 'trust': {
        const incarnation = effect.kind === 'suspect' ? effect.incarnation : 0;
        const name = `mux${effect.peer - 1}`;
        const { world } = this.#site;
        world.note(`${this.name} ${effect.kind === 'suspect' ? 'does not hear' : 'hears'} ${name}`);
        this.#later(this.#storeDelayMs(), () =>
          store.suspect(this.name, name, incarnation, effect.kind === 'suspect'),
        );
        return;
      }
      case 'advance':
        self.timeOffset = self.timeOffset + effect.ticks;
    }
  }

  #probe(peer: number, number: number): void {
    const { world } = this.#site;
    this.#program.setTime(world.nowNs);
    const payload = this.#program.program.flows.composeProbe({ number, pledge: this.#asksPledges });
    this.#send(peer, payload);
  }

  #sendFlows(peer: number, message: Uint8Array): void {
    const { faults } = this.#site;
    const isRefresh = (message[FLAGS_AT]! & AskFlag.ASK_REFRESH) !== 0;
    if (isRefresh ? faults.noRefresh : faults.noCopy) return;
    this.#send(peer, message);
  }

  /** Again, of the version that was acknowledged. */
  #report(): void {
    const { store } = this.#site;
    const last = store.acknowledgements.get(this.name);
    if (last === undefined || store.isAway || last.version !== this.#applied?.number) return;
    if (last.incarnation !== this.#membership.self.incarnation) return;
    this.#later(this.#storeDelayMs(), () => {
      if (store.acknowledgements.get(this.name)?.version !== last.version) return;
      store.acknowledge({ ...last, reports: this.#tasks.reports(last.version, this.#nowMs) });
    });
  }

  #send(peer: number, payload: Uint8Array): void {
    const { world, version } = this.#site;
    this.#program.forgetCounts();
    world.sendBetween(this.number, peer - 1, datagramOf(version, this.number, peer - 1, payload));
  }

  #setDeadline(atMs: number): void {
    const { self } = this.#program.program;
    const { noDeadline, announcesEarly } = this.#site.faults;
    const isNever = atMs === Number.NEGATIVE_INFINITY;
    if (noDeadline === true || (announcesEarly && isNever) || atMs === Number.POSITIVE_INFINITY)
      self.deadline = NO_DEADLINE;
    else if (isNever) self.deadline = 0n;
    else self.deadline = BigInt(Math.floor((atMs * MS) / TICK_NS));
  }

  // --- store ---

  #registration(isLeaving: boolean): Registration {
    const { id, incarnation } = this.#membership.self;
    const { version, times } = this.#site;
    const address = muxAddressOf(version, this.number);
    return {
      name: this.name,
      id,
      incarnation,
      address,
      askPort: ASK_PORT,
      isLeaving,
      leaseMs: times.leaseMs,
    };
  }

  #storeDelayMs(): number {
    return this.#site.times.storeMs * this.#draw();
  }

  #request(sentMs: number, done: 'registered' | 'renewed', ask: () => boolean): void {
    const { store } = this.#site;
    if (store.isAway) {
      this.#later(STORE_TIMEOUT_MS, () => this.#tell({ kind: 'failed', code: 'unavailable' }));
      return;
    }
    this.#later(this.#storeDelayMs() / 2, () => {
      const isDone = ask();
      this.#later(this.#storeDelayMs() / 2, () =>
        this.#tell(isDone ? { kind: done, sentMs } : { kind: 'refused' }),
      );
    });
  }

  #acknowledge(version: number, digest: string): void {
    const { store } = this.#site;
    if (store.isAway) {
      this.#later(STORE_TIMEOUT_MS, () => this.#acknowledge(version, digest));
      return;
    }
    // Writes are made one after the other.
    if (version < this.#acknowledged) return;
    this.#acknowledged = version;
    const { incarnation } = this.#membership.self;
    const reports = this.#tasks.reports(version, this.#nowMs);
    store.acknowledge({ name: this.name, incarnation, version, digest, reports });
  }

  #look(): void {
    if (!this.#isAlive || this.#isFollowing) return;
    this.#isFollowing = true;
    this.#later(this.#storeDelayMs(), () => {
      this.#isFollowing = false;
      const { store } = this.#site;
      if (store.isAway) return this.#later(STORE_TIMEOUT_MS, () => this.#look());
      this.#tell({ kind: 'head', head: store.head });
      this.#follow();
    });
  }

  // --- keys ---

  /** Some time after the store has another ring, or this mux another incarnation. */
  #followRing(): void {
    const { store, times } = this.#site;
    if (!this.#isAlive || this.#isTakingKeys || store.isAway || store.ring.step === this.#ringStep) return;
    this.#isTakingKeys = true;
    this.#later(times.applyLagMs * this.#draw() + this.#storeDelayMs(), () => {
      void this.#takeKeys();
      return settled();
    });
  }

  async #takeKeys(): Promise<void> {
    const { store } = this.#site;
    const { askKeys } = this.#program.program;
    const { ring } = store;
    for (const operation of keyOperations(ring, askKeys.places(), askKeys.used)) {
      if (operation.kind === 'install')
        await askKeys.install(operation.id, Buffer.from(operation.secret, 'base64'));
      else if (operation.kind === 'use') askKeys.use(operation.id);
      else await askKeys.remove(operation.id);
    }
    this.#ringStep = ring.step;
    this.#isTakingKeys = false;
    const { incarnation } = this.#membership.self;
    this.#later(this.#storeDelayMs(), () =>
      store.knowKeys({ name: this.name, incarnation, step: ring.step }),
    );
  }

  // --- versions ---

  #follow(): void {
    if (this.#isApplying) return;
    const { store, times } = this.#site;
    // Whoever begins takes the newest; later it takes each.
    const next = this.#applied === undefined ? store.head : store.version(this.#applied.number + 1);
    if (next === undefined) return;
    this.#isApplying = true;
    const isSlow = this.#draw() < 0.15;
    const lagMs = times.applyLagMs * this.#draw() * (isSlow ? 1 : 0.1);
    this.#later(this.#applied === undefined ? (times.firstApplyMs ?? lagMs) : lagMs, () => {
      void this.#apply(next);
      return settled();
    });
  }

  async #apply(version: Version): Promise<void> {
    const { world, faults } = this.#site;
    const self = {
      id: this.#program.id,
      address: muxAddressOf(this.#site.version, this.number),
      askPort: ASK_PORT,
    };
    const desired = desiredMux(tampered(version, faults), () => PATH, self);
    this.#applying = version;
    await this.#program.program.apply(desired);
    if (!this.#isAlive) return;
    this.#applying = undefined;
    this.#isSure = true;
    this.#applied = version;
    this.#tasks.apply(version);
    this.#isApplying = false;
    world.note(`${this.name} has version ${version.number}`);
    this.#tellApplied(version);
    this.#follow();
  }

  #tellApplied(version: Version): void {
    const { times } = this.#site;
    const { peerStates } = this.#program.program;
    const pledges = [...this.#peers.keys()].flatMap((id) => {
      const { pledgedNs, pledgedVersion } = peerStates.state(id);
      return pledgedNs === 0n
        ? []
        : [{ atMs: Number(pledgedNs) / MS, version: pledgedVersion, leaseMs: times.leaseMs }];
    });
    this.#tell({ kind: 'applied', version, pledges });
  }

  #reset(): void {
    const { program } = this.#program;
    const incarnation = this.#site.store.nextIncarnation(this.#program.id);
    this.#site.world.note(`${this.name} empties its tables: incarnation ${incarnation}`);
    void program.beginIncarnation(incarnation).then(() => {
      if (!this.#isAlive) return;
      this.#tell({ kind: 'reset', self: { id: program.self.id, incarnation } });
      this.#ringStep = 0;
    });
  }

  /** Routes follow what the program may do; a supervisor withdraws them where the daemon is gone. */
  #announce(): void {
    const { world, faults } = this.#site;
    const may = this.isMember && this.#membership.deadlineMs > this.#nowMs && !this.#membership.isDraining;
    if (may || faults.announcesEarly) world.announce(this.number);
    else this.#later(SUPERVISOR_MS, () => this.#withdrawIfPast());
  }

  #withdrawIfPast(): void {
    if (!(this.isMember && this.#membership.deadlineMs > this.#nowMs)) this.#site.world.withdraw(this.number);
  }
}
