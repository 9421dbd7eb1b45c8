// Owns the control of muxes that speak the protocol: the real leader's core, the daemons, the store, and what a history
// does to them.

import type { Intent, LeaderSettings, Outcome } from '../../../control/cluster/leader/inputs.ts';
import { KeyRotation } from '../../../control/cluster/leader/key_rotation.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';
import { isCandidate } from '../../../control/cluster/leaving.ts';
import { type AskKeyRing, type KnownSteps, rotate } from '../../../control/cluster/member_keys_core.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type Period,
  type Placement,
  type Version,
} from '../../../control/cluster/version.ts';
import type { ClusterState } from '../../../control/config/cluster_state.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import { type Action, type HostEdit, ROUTER_NOTICES_NS } from './actions.ts';
import { settled } from './agenda.ts';
import { Daemon, type DaemonTimes } from './daemon.ts';
import type { DaemonFaults } from './daemon_faults.ts';
import { editsOf } from './edits.ts';
import { mix, unitOf } from './mix.ts';
import { firstState, MS, SECOND } from './place.ts';
import type { ProgramFleet } from './programs.ts';
import { SimStore, secretOf } from './sim_store.ts';
import type { World } from './world.ts';

export type DirectorFaults = DaemonFaults & {
  readonly noBarrier?: boolean;
  readonly noHandshakeHold?: boolean;
  readonly noSettleWindow?: boolean;
  /** The leader is told of no packet that went unrecorded. */
  readonly noUnrecorded?: boolean;
  /** The leader is told of no flow that holds its slot. */
  readonly noHeld?: boolean;
  /** A mux that has lost its tables says that it has not. */
  readonly sameIncarnation?: boolean;
  /** Keys change without waiting for those who do not have them yet. */
  readonly noKeyBarrier?: boolean;
};

export type DirectorOptions = {
  readonly world: World;
  readonly fleet: ProgramFleet;
  readonly version: 4 | 6;
  readonly hosts: readonly number[];
  readonly idleMs: number;
  readonly times: DaemonTimes;
  readonly settings: LeaderSettings;
  readonly faults: DirectorFaults;
};

/** Beyond any history: keys change when one says so. */
const KEY_AGE_MS = 3_600_000;
/** Between a change in the store and the leader's next step. */
const LEADER_DELAY_NS = 5 * MS;
/** How long applying waits between two of its writes. */
const GRACE_NS = 3 * MS;
const LOOK_AGAIN_NS = 50 * MS;
/** Between a flow's first packet and its being recorded, and copied. */
const UNDER_WAY_NS = SECOND;

type Node = { daemon: Daemon | undefined; life: number; isDown: boolean; incarnation: number };

export class Director {
  readonly store: SimStore;
  readonly #options: DirectorOptions;
  readonly #nodes = new Map<number, Node>();
  #leader: Leader | undefined;
  /** Of that leader. */
  #keys: KeyRotation | undefined;
  #leaderEpoch = 0;
  #isStepDue = false;
  #intent: Intent;
  #planned: ClusterState | undefined;
  #wakeAtNs = Number.POSITIVE_INFINITY;
  #outcome: Outcome | undefined;
  /** When it was published that a mux leaves, by candidate. */
  readonly #leavingNs = new Map<string, number>();
  readonly #victims: { readonly leaver: number; readonly victim: number; readonly afterNs: number }[] = [];

  constructor(options: DirectorOptions) {
    const { world, times, hosts, idleMs } = options;
    this.#options = options;
    this.store = new SimStore(world.agenda, firstState(hosts, idleMs), times.leaseMs);
    this.#intent = { state: this.store.intent, revision: this.store.intent.revision };
    this.store.onChange(() => this.#lead());
    this.elect();
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** No slot is tracked, and every mux that is there has the newest version. */
  get isClean(): boolean {
    const { head } = this.store;
    if (head === undefined || [...head.placements.values()].some(({ periods }) => periods.length > 0))
      return false;
    return head.members.every(({ id }) => this.daemon(id - 1)?.applied === head);
  }

  /** Those that are up. */
  get muxes(): number[] {
    return [...this.#nodes].filter(([, { isDown }]) => !isDown).map(([mux]) => mux);
  }

  /** All daemons end, and nobody leads. */
  stop(): void {
    for (const { daemon } of this.#nodes.values()) daemon?.kill();
    this.#leader = undefined;
  }

  daemon(mux: number): Daemon | undefined {
    return this.#nodes.get(mux)?.daemon;
  }

  /**
   * Flows that were recorded since then may be at one mux alone; undefined: all are at two, and whoever died is no member any
   * more. What is made up for is a mux that left: what was recorded before was copied ahead.
   */
  get #aloneSinceNs(): number | undefined {
    const { head } = this.store;
    if (head === undefined) return Number.NEGATIVE_INFINITY;
    const isThere = head.members.every(({ id, incarnation }) => {
      const node = this.#nodes.get(id - 1);
      return node !== undefined && !node.isDown && node.incarnation <= incarnation;
    });
    if (!isThere) return Number.NEGATIVE_INFINITY;
    const open = [...head.placements.values()].flatMap(({ poolId, periods }) =>
      periods.filter((it) => !this.#isRepaired(head, poolId, it)),
    );
    if (open.length === 0) return undefined;
    if (open.some((it) => !it.isCopiedAhead)) return Number.NEGATIVE_INFINITY;
    return Math.min(...head.members.map((it) => this.#leavingNs.get(candidateKey(it)) ?? this.#nowNs));
  }

  get #nowNs(): number {
    return this.#options.world.nowNs;
  }

  #isRepaired({ members }: Version, poolId: number, { trackEpoch, chainEpoch }: Period): boolean {
    if (chainEpoch === trackEpoch) return true;
    return members.every(({ name }) =>
      this.store.acknowledgements
        .get(name)
        ?.reports.some(
          (it) => it.poolId === poolId && it.trackEpoch === trackEpoch && it.copiedChainEpoch === chainEpoch,
        ),
    );
  }

  perform(action: Action): void {
    const { world } = this.#options;
    switch (action.kind) {
      case 'edit':
        this.#edit(action.edits);
        return;
      case 'reshuffle':
        world.reshuffle(action.salt);
        return;
      case 'crash':
        this.#crash(action.mux);
        return;
      case 'join':
        this.boot(action.mux);
        return;
      case 'reboot':
        this.#crash(action.mux);
        world.agenda.after(action.forNs, () => this.boot(action.mux));
        return;
      case 'hang':
        if (this.#nodes.get(action.mux)?.isDown === false) world.hang(action.mux, action.forNs);
        return;
      case 'restart':
        this.#restart(action.mux, action.forNs);
        return;
      case 'leave':
        this.daemon(action.mux)?.drain();
        if (action.victim !== undefined)
          this.#victims.push({ leaver: action.mux, victim: action.victim, afterNs: action.afterNs ?? 0 });
        return;
      case 'newLeader':
        this.#leader = undefined;
        world.agenda.after(action.forNs, () => this.elect());
        return;
      case 'storeAway':
        this.store.isAway = true;
        world.note('store is away');
        world.agenda.after(action.forNs, () => {
          this.store.isAway = false;
          world.note('store is back');
          this.#lead();
        });
        return;
      case 'partition':
        world.partition(action.mux, action.forNs);
        return;
      case 'flood':
        world.flood(action.packets, action.perSecond, action.forNs);
        return;
      case 'rotateKeys':
        this.#rotateKeys();
        return;
      case 'hostDies':
        this.#hostDies(action.host, action.forNs);
        return;
    }
  }

  /** A mux with empty tables begins. */
  boot(mux: number): void {
    const { world, fleet, faults } = this.#options;
    const node = this.#nodes.get(mux) ?? { daemon: undefined, life: 0, isDown: true, incarnation: 0 };
    if (!node.isDown) return;
    this.#nodes.set(mux, node);
    node.isDown = false;
    node.life++;
    if (node.incarnation === 0 || !faults.sameIncarnation)
      node.incarnation = this.store.nextIncarnation(mux + 1);
    // Each host has been up for another while.
    const bootNs = Math.floor(unitOf(mix(world.seed, mix(mux, node.life))) * 1e6) * SECOND;
    const loaded = fleet.load(mux, bootNs, node.incarnation, () => this.#gracePeriod(mux));
    // Nobody begins without the keys of the moment.
    const { ring } = this.store;
    for (const { id, secret } of ring.keys)
      void loaded.program.askKeys.install(id, Buffer.from(secret, 'base64'));
    loaded.program.askKeys.use(ring.use);
    // As the store says; a little off.
    const aheadTicks = Math.floor((unitOf(mix(world.seed, mix(mux, 77))) - 0.5) * 500);
    const ticks = (atNs: number): number => Math.floor(atNs / 2 ** 20);
    loaded.program.self.timeOffset = ticks(world.nowNs) - ticks(loaded.nowNs(world.nowNs)) + aheadTicks;
    world.restore(mux);
    node.daemon = this.#daemon(mux, node);
  }

  /** Another process leads from now on. */
  elect(): void {
    const { settings, faults } = this.#options;
    this.#keys = new KeyRotation(KEY_AGE_MS);
    this.#leader = new Leader(faults.noHandshakeHold ? { ...settings, handshakeHoldMs: 0 } : settings);
    this.#leaderEpoch++;
    this.#lead();
  }

  #daemon(mux: number, node: Node, before?: Version): Daemon {
    const { world, fleet, version, times, faults } = this.#options;
    return new Daemon({ world, fleet, store: this.store, version, times, faults }, mux, node.life, before);
  }

  #crash(mux: number): void {
    const { world } = this.#options;
    const node = this.#nodes.get(mux);
    if (node === undefined || node.isDown) return;
    const aloneSinceNs = this.#aloneSinceNs;
    if (aloneSinceNs !== undefined) {
      world.oracle.excuseOpenFlows(aloneSinceNs - UNDER_WAY_NS);
      world.note('a second mux dies before the first has been made up for: open flows may be lost');
    }
    node.isDown = true;
    node.daemon?.kill();
    node.daemon = undefined;
    world.takeDown(mux);
    world.agenda.after(ROUTER_NOTICES_NS, () => {
      if (node.isDown || node.daemon?.isMember === false) world.withdraw(mux);
      if (node.isDown) world.announceLast(mux, false);
    });
  }

  /** The daemon alone. */
  #restart(mux: number, forNs: number): void {
    const { world } = this.#options;
    const node = this.#nodes.get(mux);
    if (node === undefined || node.isDown || node.daemon === undefined) return;
    const { applied } = node.daemon;
    const { life } = node;
    node.daemon.kill();
    node.daemon = undefined;
    world.note(`daemon of mux${mux} dies`);
    world.agenda.after(forNs, () => {
      if (node.isDown || node.life !== life || node.daemon !== undefined) return;
      node.life++;
      world.note(`daemon of mux${mux} is back`);
      node.daemon = this.#daemon(mux, node, applied);
    });
  }

  /** `now`: hosts that get no weight are dead. */
  #edit(edits: readonly HostEdit[], now = false): void {
    const { intent } = this.store;
    const { after } = planEdits(intent, editsOf(intent, edits), { force: true, now });
    if (after !== intent) this.#setIntent({ ...after, revision: intent.revision + 1 });
  }

  #setIntent(intent: ClusterState): void {
    this.store.edit(intent);
  }

  #rotateKeys(): void {
    const { ring } = this.store;
    const next = rotate(ring, secretOf((ring.use + 1) % 256), this.#options.world.nowNs / MS);
    if (next !== undefined) this.store.setRing(next);
  }

  /** The ring goes on where all have it as it is. */
  #turnRing(members: Version['members']): void {
    const { world, faults } = this.#options;
    const { store } = this;
    const { ring, keyHolders } = store;
    const keys = this.#keys!;
    const nowMs = world.nowNs / MS;
    const known = faults.noKeyBarrier ? allKnow(ring, members) : keyHolders;
    const registrations = faults.noKeyBarrier ? new Map() : store.registrations();
    const next = keys.step({ ring, known, members, registrations }, { nowMs, wallMs: nowMs }, () =>
      secretOf((ring.use + 1) % 256),
    );
    this.#wakeAt(keys.wakeAtMs);
    if (next === undefined) return;
    store.setRing(next);
    world.note(
      `keys, step ${next.step}: ${next.keys.map(({ id }) => id).join(' and ')}, sign with ${next.use}`,
    );
  }

  #hostDies(host: number, forNs: number): void {
    const { world } = this.#options;
    const all = [...this.store.intent.backends.values()].filter((it) => it.name === `host${host + 1}`);
    const hadWeight = all.some((it) => it.weight > 0);
    const indexes = all.map((it) => it.index);
    world.killHost(host);
    this.#edit([{ host, weight: 0 }], true);
    const comeBack = (): void => {
      // What a mux that has not heard of its death would open with it is promised to nobody.
      if (indexes.some((index) => this.#isSentTo(index))) {
        world.agenda.after(LOOK_AGAIN_NS, comeBack);
        return;
      }
      world.reviveHost(host);
      if (hadWeight) this.#edit([{ host, weight: 100 }]);
    };
    world.agenda.after(forNs, comeBack);
  }

  /** Whether some mux may send packets to a backend. */
  #isSentTo(index: number): boolean {
    return [...this.#nodes.values()].some(({ isDown, daemon }) => {
      if (isDown) return false;
      const placements = daemon?.applied?.placements.values();
      return placements === undefined || [...placements].some((it) => names(it, index));
    });
  }

  // --- leader ---

  #lead(): void {
    if (this.#isStepDue) return;
    this.#isStepDue = true;
    this.#options.world.agenda.after(LEADER_DELAY_NS, () => {
      this.#isStepDue = false;
      this.#step();
    });
  }

  #step(): void {
    const { world, faults } = this.#options;
    const { store } = this;
    if (this.#leader === undefined || store.isAway) return;
    if (store.intent !== this.#planned)
      this.#intent = { state: store.intent, revision: store.intent.revision };
    this.#planned = store.intent;
    const head = store.head;
    const outcome = this.#leader.step(
      {
        intent: this.#intent,
        head,
        registrations: store.registrations(),
        acknowledgements: claimed(store.acknowledgements, store.head, faults),
        suspicions: store.suspicions(),
        cutOff: new Map(),
        freshCluster: `cluster of seed ${world.seed}`,
      },
      world.nowNs / MS,
    );
    this.#outcome = outcome;
    this.#wakeAt(outcome.wakeAtMs);
    if (head !== undefined) this.#turnRing(head.members);
    if (outcome.forget.backends.size + outcome.forget.pools.size > 0) this.#forget(outcome.forget);
    if (outcome.publish === undefined) return;
    const version: Version = {
      ...outcome.publish,
      ...(faults.noSettleWindow && { placements: hasty(outcome.publish.placements) }),
      digest: `digest of ${outcome.publish.number}`,
      leaderEpoch: this.#leaderEpoch,
    };
    if (world.isTraced) world.note(`version ${version.number}: ${describe(version)}`);
    store.publish(version, head, outcome.deregister);
    this.#followLeaves(version, head);
  }

  #followLeaves({ members, placements }: Version, before: Version | undefined): void {
    const { world } = this.#options;
    for (const member of members.filter((it) => it.isLeaving)) {
      const key = candidateKey(member);
      if (!this.#leavingNs.has(key)) this.#leavingNs.set(key, world.nowNs);
      const victim = this.#victims.find((it) => it.leaver === member.id - 1);
      const hadChains = before !== undefined && keepsSome(member, before.placements);
      if (victim === undefined || !hadChains || keepsSome(member, placements)) continue;
      world.agenda.after(victim.afterNs, () => this.#crash(victim.victim));
    }
  }

  #forget({ backends, pools }: Outcome['forget']): void {
    const { retired } = this.store.intent;
    this.#setIntent({
      ...this.store.intent,
      retired: {
        backends: retired.backends.filter(({ index }) => !backends.has(index)),
        pools: retired.pools.filter(({ id }) => !pools.has(id)),
      },
    });
  }

  #wakeAt(atMs: number | undefined): void {
    if (atMs === undefined) return;
    const { agenda } = this.#options.world;
    // Milliseconds may be rounded to before now: then the leader would wake for ever at the same moment.
    const atNs = Math.max(Math.ceil(atMs * MS), agenda.nowNs + 1);
    if (this.#wakeAtNs > agenda.nowNs && this.#wakeAtNs <= atNs) return;
    this.#wakeAtNs = atNs;
    agenda.at(atNs, () => {
      if (this.#wakeAtNs === atNs) this.#wakeAtNs = Number.POSITIVE_INFINITY;
      this.#step();
    });
  }

  /** Virtual time, so that packets come between two writes; what waits for it has gone on when the next event comes. */
  #gracePeriod(mux: number): Promise<void> {
    const { world } = this.#options;
    return new Promise((resolve) => {
      world.agenda.after(GRACE_NS, () =>
        world.whenAwake(mux, async () => {
          resolve();
          await settled();
        }),
      );
    });
  }
}

function keepsSome(mux: Candidate, placements: Version['placements']): boolean {
  return [...placements.values()].some(({ periods }) => periods.some((it) => isCandidate(mux, it)));
}

/** What the leader hears where somebody keeps something from it. */
function claimed(
  acknowledgements: ReadonlyMap<string, Acknowledgement>,
  head: Version | undefined,
  { noBarrier, noUnrecorded, noHeld }: DirectorFaults,
): ReadonlyMap<string, Acknowledgement> {
  if (!noBarrier && !noUnrecorded && !noHeld) return acknowledgements;
  const of = (it: Acknowledgement): Acknowledgement => ({
    ...it,
    ...(noBarrier && head !== undefined && { version: head.number, digest: head.digest }),
    reports: it.reports.map((report) => ({
      ...report,
      ...(noUnrecorded && { unrecordedAgoMs: -1 }),
      ...(noHeld && report.heldSlots && { heldSlots: new Uint8Array(report.heldSlots.length), oldFlows: 0 }),
    })),
  });
  return new Map([...acknowledgements].map(([name, it]) => [name, of(it)]));
}

/** Waits for flows as if they were idle after a moment. */
function hasty(placements: Version['placements']): Version['placements'] {
  return new Map(
    [...placements].map(([id, it]) => [
      id,
      { ...it, periods: it.periods.map((period) => ({ ...period, idleTimeoutMs: 1 })) },
    ]),
  );
}

/** As though each had said so. */
function allKnow({ step }: AskKeyRing, members: Version['members']): KnownSteps {
  return new Map(members.map(({ name, incarnation }) => [name, { incarnation, step }]));
}

function names({ current, base }: Placement, index: number): boolean {
  return current.includes(index) || base.includes(index);
}

function describe({ members, placements }: Version): string {
  const pools = [...placements.values()].map(({ poolId, periods, period }) => {
    const open = periods.map(
      (it, at) =>
        `${it.step} e${it.trackEpoch}/${it.chainEpoch} ${period.filter((n) => n === at + 1).length} slots`,
    );
    return `pool ${poolId} ${open.join(', ') || 'clean'}`;
  });
  return `members ${members.map(({ id, incarnation }) => `${id}.${incarnation}`).join(' ')}; ${pools.join('; ')}`;
}
