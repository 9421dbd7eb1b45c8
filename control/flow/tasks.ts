// Owns what a mux does for flows beside its program: it refreshes those it forwards at their owner and backup, copies
// those it owns to a new backup, and to one that will be one when a mux has left, takes out what has ended, and reports to the leader. Bounded work a tick; the caller
// ticks, with the time. What each step does to the tables is the program's.
import { chainsOf } from '../cluster/chain.ts';
import { hasCopied } from '../cluster/copies.ts';
import { copiesAhead, handingOver, isCandidate } from '../cluster/leaving.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type Member,
  type Period,
  type PeriodReport,
  REPORT_INTERVAL_MS,
  type Version,
} from '../cluster/version.ts';
import { IDLE_TIMEOUT_MS_MAX, idleTimeoutOf } from '../config/objects.ts';
import { type CopyProgress, copyFlows } from './copy.ts';
import type { Census, FlowEngine, Task } from './engine.ts';

/** Steps of tasks in one tick: each is one run of the program. */
export const STEPS_PER_TICK = 64;
/** Of copies between ticks: about a millisecond, for others of the process wait. */
export const STEPS_PER_COPY_TICK = 16;
/** Of the idle timeout: how often flows are refreshed. */
const REFRESH_SHARE = 1 / 4;
/** Of long idle timeouts less than four fit into what owners and backups count (FLOW_LIFETIME_MAX). */
export const REFRESH_INTERVAL_MS_MAX = 600_000;
/** Pages of messages that one peer is sent in a tick: more than that its network might not take at once. */
export const REFRESH_PAGES_PER_TICK = 16;
/** Where nothing is tracked the table is swept for what may be left, and the cache for what would come to look young. */
const IDLE_SWEEP_MS = 60_000;
/** What was silent for longer is of no service any more. */
const CACHE_IDLE_MS = IDLE_TIMEOUT_MS_MAX;
const ROUNDS = 1 << 21;

export type FlowTasksOptions = {
  readonly engine: FlowEngine;
  readonly self: () => Candidate | undefined;
  readonly send: (peer: number, message: Uint8Array) => void;
  /** The reports have changed, or are to be written again. */
  readonly onReports: () => void;
  /** A peer has taken all that this mux has for it, which took so long. */
  readonly onCopied?: (copy: Readonly<CopyView>, tookMs: number) => void;
  /** Another number than a process before this one began with. */
  readonly firstRound: number;
};

/** Of one tracking of one pool. */
type Tracking = {
  readonly poolId: number;
  readonly trackEpoch: number;
  readonly chainEpoch: number;
  readonly candidates: Period['candidates'];
  readonly idleTimeoutMs: number;
};

/** Idle timeouts of the services of a pool. */
type Idles = { readonly shortestMs: number; readonly longestMs: number };

/** Of flows of a pool at one member. */
type Refresh = {
  readonly name: string;
  readonly poolId: number;
  readonly peer: number;
  readonly intervalMs: number;
  readonly longestMs: number;
};

export type CopyView = CopyProgress &
  Pick<Tracking, 'poolId' | 'trackEpoch' | 'chainEpoch'> & {
    readonly peer: number;
    /** Before it keeps them: a mux is to leave. */
    readonly isAhead: boolean;
  };

export class FlowTasks {
  readonly #options: FlowTasksOptions;
  #version: Version | undefined;
  #trackings: readonly Tracking[] = [];
  /** The one that hands over. */
  #leaver: Member | undefined;
  #refreshes: readonly Refresh[] = [];
  #acknowledgements: ReadonlyMap<string, Acknowledgement> = new Map();
  /** Running ones by name, in the order in which they take turns. */
  readonly #tasks = new Map<string, Task>();
  /** When each is due next, by name. */
  readonly #dueMs = new Map<string, number>();
  /** By tracking: the chain epoch at which all was copied. */
  readonly #copied = new Map<string, number>();
  /** Names of the copies ahead that are done. */
  readonly #copiedAhead = new Set<string>();
  #copying: CopyView | undefined;
  /** Of the last whole pass at the version in effect, by tracking: while the next one counts, this is what is known. */
  readonly #censuses = new Map<string, Census>();
  #reportedMs = Number.NEGATIVE_INFINITY;
  #round: number;
  /** Of the tick. */
  #nowMs = 0;

  constructor(options: FlowTasksOptions) {
    this.#options = options;
    this.#round = options.firstRound % ROUNDS;
  }

  /** In effect on each CPU. */
  apply(version: Version): void {
    this.#version = version;
    this.#trackings = trackingsOf(version);
    this.#leaver = handingOver(version);
    this.#refreshes = refreshesOf(version, this.#trackings);
    const names = new Set(this.#trackings.map(nameOf));
    for (const name of this.#copied.keys()) if (!names.has(name)) this.#copied.delete(name);
    // What is being copied may be for a chain that is no more; what is counted is of another `current`.
    this.#tasks.delete('sweep');
    this.#censuses.clear();
    const wanted = new Set([
      ...SWEEPS,
      ...this.#trackings.map(copyNameOf),
      ...this.#handedOn.map((it) => this.#aheadNameOf(it)),
      ...this.#refreshes.map(({ name }) => name),
    ]);
    for (const name of this.#tasks.keys()) if (!wanted.has(name)) this.#tasks.delete(name);
    for (const name of this.#dueMs.keys()) if (!wanted.has(name)) this.#dueMs.delete(name);
    for (const name of this.#copiedAhead) if (!wanted.has(name)) this.#copiedAhead.delete(name);
    if (!this.#isCopying) this.#copying = undefined;
    for (const tracking of this.#trackings) {
      // Chains as they were when tracking began: nobody is new.
      if (tracking.chainEpoch === tracking.trackEpoch)
        this.#copied.set(nameOf(tracking), tracking.chainEpoch);
    }
    this.#dueMs.set('sweep', Number.NEGATIVE_INFINITY);
  }

  /** By name: how far the members are. */
  acknowledged(acknowledgements: ReadonlyMap<string, Acknowledgement>): void {
    this.#acknowledgements = acknowledgements;
  }

  /** The copy under way. */
  get copying(): Readonly<CopyView> | undefined {
    return this.#copying;
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#version === undefined || this.#options.self() === undefined) return;
    this.#begin(nowMs);
    this.#run(nowMs, [...this.#tasks], STEPS_PER_TICK);
    if (this.#trackings.length === 0 || nowMs - this.#reportedMs < REPORT_INTERVAL_MS) return;
    this.#report(nowMs);
  }

  /**
   * Between ticks copies alone go on: until a new backup has everything, its owner must not die. `more`: they could at
   * once; undefined: there are none.
   */
  tickCopies(nowMs: number): 'more' | 'wait' | undefined {
    this.#nowMs = nowMs;
    const copies = [...this.#tasks].filter(([name]) => name.startsWith(COPY));
    if (copies.length === 0 || this.#options.self() === undefined) return undefined;
    return this.#run(nowMs, copies, STEPS_PER_COPY_TICK) ? 'more' : 'wait';
  }

  /** Of `version`, where that is in effect here. */
  reports(version: number, nowMs: number): PeriodReport[] {
    const { engine } = this.#options;
    if (this.#version?.number !== version) return [];
    return this.#trackings.map((tracking): PeriodReport => {
      const { poolId, trackEpoch, chainEpoch } = tracking;
      const copiedChainEpoch = this.#copied.get(nameOf(tracking)) ?? 0;
      const census = this.#censuses.get(nameOf(tracking));
      const unrecordedMs = engine.unrecordedMs(poolId, trackEpoch);
      return {
        poolId,
        trackEpoch,
        copiedChainEpoch,
        isHandedOver: copiedChainEpoch === chainEpoch && this.#hasCopiedAhead(tracking),
        unrecordedAgoMs: unrecordedMs === undefined ? -1 : Math.max(0, Math.round(nowMs - unrecordedMs)),
        ...(census !== undefined && { heldSlots: census.heldSlots }),
        flows: census?.flows ?? 0,
        oldFlows: census?.oldFlows ?? 0,
      };
    });
  }

  #begin(nowMs: number): void {
    const isTracking = this.#trackings.length > 0;
    this.#start('sweep', nowMs, isTracking ? REPORT_INTERVAL_MS : IDLE_SWEEP_MS, () => this.#sweep());
    this.#start('sweep cache', nowMs, IDLE_SWEEP_MS, () => this.#sweepCache());
    for (const refresh of this.#refreshes) {
      const { name, intervalMs } = refresh;
      // A process that begins does not know for how long nobody has refreshed.
      const dueMs = this.#dueMs.get(name) ?? Number.NEGATIVE_INFINITY;
      this.#start(name, nowMs, intervalMs, () => this.#refresh(refresh, nowMs - dueMs));
    }
    for (const tracking of this.#trackings) {
      if (this.#copied.get(nameOf(tracking)) === tracking.chainEpoch || !this.#isBarrier(tracking.chainEpoch))
        continue;
      this.#start(copyNameOf(tracking), nowMs, 0, () => this.#copy(tracking, this.#backupsOf(tracking)));
    }
    this.#beginAhead(nowMs);
  }

  /** One at a time, where nothing else is copied: a peer takes one round at a time, and the program has one choice. */
  #beginAhead(nowMs: number): void {
    const names = [...this.#tasks.keys()];
    if (names.some((it) => it.startsWith(COPY) && !it.startsWith(AHEAD)))
      for (const name of names) if (name.startsWith(AHEAD)) this.#tasks.delete(name);
    if (this.#isCopying) return;
    const next = this.#handedOn.find((it) => !this.#hasCopiedAhead(it) && this.#isWhole(it));
    if (next !== undefined) this.#start(this.#aheadNameOf(next), nowMs, 0, () => this.#copyAhead(next));
  }

  get #isCopying(): boolean {
    return [...this.#tasks.keys()].some((it) => it.startsWith(COPY));
  }

  /** What the leaver keeps, and is to be at others before it does not any more. */
  get #handedOn(): readonly Tracking[] {
    const leaver = this.#leaver;
    return leaver === undefined ? [] : this.#trackings.filter((it) => isCandidate(leaver, it));
  }

  #hasCopiedAhead(tracking: Tracking): boolean {
    const [self, leaver] = [this.#options.self(), this.#leaver];
    if (self === undefined || leaver === undefined) return false;
    return candidateKey(self) === candidateKey(leaver) || this.#copiedAhead.has(this.#aheadNameOf(tracking));
  }

  /** Who joins may be a keeper then. */
  #aheadNameOf({ poolId, trackEpoch, chainEpoch, candidates }: Tracking): string {
    const keepers = candidates.map((group) => group.map(candidateKey).join()).join(' ');
    return `${AHEAD}${poolId} ${trackEpoch} ${chainEpoch} of ${candidateKey(this.#leaver!)}: ${keepers}`;
  }

  /** Its keepers have copied what the last change of chains asked for. */
  #isWhole(tracking: Tracking): boolean {
    return this.#version!.members.every(
      (it) => !isCandidate(it, tracking) || hasCopied(this.#acknowledgements.get(it.name), it, tracking),
    );
  }

  /** One that runs still when it is due again goes on, and begins anew when it has ended. */
  #start(name: string, nowMs: number, intervalMs: number, task: () => Task): void {
    if (this.#tasks.has(name) || nowMs < (this.#dueMs.get(name) ?? Number.NEGATIVE_INFINITY)) return;
    this.#dueMs.set(name, nowMs + intervalMs);
    this.#tasks.set(name, task());
  }

  /** Whether some could go on. */
  #run(nowMs: number, tasks: readonly [string, Task][], stepsMax: number): boolean {
    let steps = stepsMax;
    let active = [...tasks];
    while (steps > 0 && active.length > 0) {
      const again: typeof active = [];
      for (const [name, task] of active) {
        if (steps-- <= 0) break;
        const { done, value } = task.next(nowMs);
        if (done === true) {
          this.#tasks.delete(name);
          if (name.startsWith(COPY) || name === 'sweep') this.#report(nowMs);
        } else if (value === 'more') again.push([name, task]);
      }
      active = again;
    }
    // Those that had no turn are first in the next tick.
    for (const [name, task] of [...this.#tasks].slice(0, STEPS_PER_TICK)) {
      this.#tasks.delete(name);
      this.#tasks.set(name, task);
    }
    return active.length > 0;
  }

  #report(nowMs: number): void {
    this.#reportedMs = nowMs;
    this.#options.onReports();
  }

  *#sweep(): Task {
    const { engine } = this.#options;
    engine.beginCensus();
    for (let at: number | undefined = 0; at !== undefined; ) {
      at = engine.sweep(at).next;
      yield 'more';
    }
    for (const tracking of this.#trackings) {
      const { poolId, trackEpoch } = tracking;
      const census = engine.census(poolId, trackEpoch);
      if (census !== undefined) this.#censuses.set(nameOf(tracking), census);
    }
  }

  *#sweepCache(): Task {
    for (let at: number | undefined = 0; at !== undefined; ) {
      at = this.#options.engine.sweepCache(at, CACHE_IDLE_MS).next;
      yield 'more';
    }
  }

  *#refresh({ peer, poolId, intervalMs, longestMs }: Refresh, lateMs: number): Task {
    const { engine, send } = this.#options;
    // Those of the time since the refresh before, and the while that this one takes: with many flows longer than it should.
    const ageMaxMs = Math.max(2 * intervalMs, Math.min(2 * (intervalMs + lateMs), longestMs));
    let pages = 0;
    for (let at: number | undefined = 0; at !== undefined; ) {
      const page = engine.refresh({ peer, poolId, ageMaxMs, idleTimeMs: longestMs, at });
      for (const message of page.messages) send(peer, message);
      if (page.messages.length > 0) pages++;
      at = page.next;
      yield page.messages.length > 0 && pages % REFRESH_PAGES_PER_TICK === 0 ? 'wait' : 'more';
    }
  }

  *#copy(tracking: Tracking, peers: readonly number[]): Task {
    for (const peer of peers) yield* this.#copyTo(peer, tracking, false);
    this.#copying = undefined;
    this.#copied.set(nameOf(tracking), tracking.chainEpoch);
  }

  *#copyAhead(tracking: Tracking): Task {
    const { engine, self } = this.#options;
    const name = this.#aheadNameOf(tracking);
    for (const [peer, slots] of copiesAhead(this.#version!, tracking, this.#leaver!, self()!.id)) {
      engine.chooseAhead(tracking.poolId, slots);
      yield* this.#copyTo(peer, tracking, true);
    }
    this.#copying = undefined;
    this.#copiedAhead.add(name);
  }

  *#copyTo(peer: number, { poolId, trackEpoch, chainEpoch }: Tracking, isAhead: boolean): Task {
    const { engine, send } = this.#options;
    const counts = { taken: 0, flows: 0, resent: 0, restarted: 0 };
    const progress = { poolId, trackEpoch, chainEpoch, peer, isAhead, ...counts };
    const beganMs = this.#nowMs;
    this.#copying = progress;
    yield* copyFlows(
      engine,
      {
        peer,
        poolId,
        chainEpoch: isAhead ? 'ahead' : chainEpoch,
        nextRound: () => {
          this.#round = (this.#round + 1) % ROUNDS;
          return this.#round;
        },
        send: (message) => send(peer, message),
      },
      progress,
    );
    this.#options.onCopied?.(progress, this.#nowMs - beganMs);
  }

  /** Those that keep flows of slots that this mux owns. */
  #backupsOf({ poolId, trackEpoch, candidates }: Tracking): readonly number[] {
    const { members, placements } = this.#version!;
    const placement = placements.get(poolId)!;
    const numbers = new Set(
      placement.periods.flatMap((it, index) => (it.trackEpoch === trackEpoch ? [index + 1] : [])),
    );
    const self = this.#options.self()!.id;
    const found = new Set<number>();
    const chainOf = chainsOf({ candidates, trackEpoch }, members);
    for (const [slot, number] of placement.period.entries()) {
      if (!numbers.has(number) || found.size === members.length - 1) continue;
      const chain = chainOf(slot);
      if (chain?.owner.id === self && chain.backup !== undefined) found.add(chain.backup.id);
    }
    return [...found];
  }

  /** Every member has a version: no ask is decided by an older chain any more. */
  #isBarrier(version: number): boolean {
    return this.#version!.members.every(({ name, incarnation }) => {
      const known = this.#acknowledgements.get(name);
      return known !== undefined && known.incarnation === incarnation && known.version >= version;
    });
  }
}

function trackingsOf({ placements }: Version): Tracking[] {
  return [...placements.values()].flatMap(({ poolId, periods }) => {
    const found = new Map<number, Tracking>();
    for (const { trackEpoch, chainEpoch, candidates, idleTimeoutMs } of periods) {
      const longest = Math.max(idleTimeoutMs, found.get(trackEpoch)?.idleTimeoutMs ?? 0);
      found.set(trackEpoch, { poolId, trackEpoch, chainEpoch, candidates, idleTimeoutMs: longest });
    }
    return [...found.values()];
  });
}

function refreshesOf(version: Version, trackings: readonly Tracking[]): Refresh[] {
  return [...idlesOf(version, trackings)].flatMap(([poolId, { shortestMs, longestMs }]) =>
    version.members.map(({ id: peer }) => ({
      name: `refresh ${poolId} ${peer}`,
      poolId,
      peer,
      intervalMs: Math.min(shortestMs * REFRESH_SHARE, REFRESH_INTERVAL_MS_MAX),
      longestMs,
    })),
  );
}

const SWEEPS = ['sweep', 'sweep cache'];
const COPY = 'copy ';
const AHEAD = `${COPY}ahead `;
const copyNameOf = (it: Pick<Tracking, 'poolId' | 'trackEpoch' | 'chainEpoch'>): string =>
  `${COPY}${it.poolId} ${it.trackEpoch} ${it.chainEpoch}`;
const nameOf = ({ poolId, trackEpoch }: Tracking): string => `${poolId} ${trackEpoch}`;

/** Of the pools that are tracked. A refresh that is early costs little, one that is late a flow. */
function idlesOf({ objects }: Version, trackings: readonly Tracking[]): Map<number, Idles> {
  const found = new Map<number, Idles>();
  for (const { poolId, idleTimeoutMs } of trackings) {
    const name = [...objects.pools.values()].find(({ id }) => id === poolId)?.name;
    const services = [...objects.services.values()].filter(({ pool }) => pool === name);
    const longestMs = Math.max(idleTimeoutMs, found.get(poolId)?.longestMs ?? 0);
    found.set(poolId, { shortestMs: Math.min(longestMs, ...services.map(idleTimeoutOf)), longestMs });
  }
  return found;
}
