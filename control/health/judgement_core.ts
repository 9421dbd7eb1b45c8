// Owns what the opinions of all muxes come to: which backends are taken away and given back, the panic threshold, the
// steps of slow start, the ends of drains. A part of the leader, pure: time is told. Not here: checking (checks_core.ts),
// whose opinions count (electorate_core.ts), what a state follows from the decisions (control/pool/observed.ts).
import {
  type ClusterState,
  type Observed,
  SLOW_START_STEPS,
  type StoredBackend,
} from '../config/cluster_state.ts';
import { deliveryOf } from '../config/filter.ts';
import type { Pool } from '../config/objects.ts';
import { withObservations } from '../pool/observed.ts';
import { type Attendance, attend } from './attendance_core.ts';
import { Electorate } from './electorate_core.ts';
import { subjectOf, type Verdict, type Verdicts } from './verdicts_codec.ts';

/** What the muxes together think of a backend. */
export type Ballot = {
  readonly result: 'up' | 'down' | 'undecided';
  /** Names of muxes. */
  readonly up: readonly string[];
  readonly down: readonly string[];
  readonly pending: readonly string[];
  /** Of those who find it dead: the first. */
  readonly sinceMs: number;
  readonly reason: string;
};

/**
 * Muxes that check and have no result yet count as such that do not agree. A backend is dead where more than half find it
 * so, or as many as `quorum` asks, or all there are; it is alive where more than half do. In between it stays what it was.
 * Who abstains is none of them.
 */
export function ballotOf(
  backend: StoredBackend,
  verdicts: ReadonlyMap<string, Verdicts>,
  quorum: number | undefined,
): Ballot {
  const about = subjectOf(backend);
  const votes = [...verdicts].flatMap(([mux, its]): [string, Verdict][] => {
    const verdict = its.get(about);
    return verdict === undefined || verdict.isAbstaining === true ? [] : [[mux, verdict]];
  });
  const muxes = (isUp: boolean | undefined) =>
    votes
      .filter(([, it]) => it.isUp === isUp)
      .map(([mux]) => mux)
      .sort();
  const [up, down, pending] = [muxes(true), muxes(false), muxes(undefined)];
  const majority = Math.floor(votes.length / 2) + 1;
  const needed = quorum === undefined ? majority : Math.min(quorum, votes.length);
  const isDown = votes.length > 0 && down.length >= needed;
  const isUp = !isDown && up.length >= majority;
  const [first] = votes.filter(([, it]) => it.isUp === false).sort((a, b) => a[1].sinceMs - b[1].sinceMs);
  return {
    result: isDown ? 'down' : isUp ? 'up' : 'undecided',
    up,
    down,
    pending,
    sinceMs: first?.[1].sinceMs ?? 0,
    reason: first?.[1].reason ?? '',
  };
}

export type Judged = {
  /** The same state where there is nothing to change. */
  readonly after: ClusterState;
  /** When to judge again although nothing was heard, of `nowMs`'s clock. */
  readonly wakeAtMs: number | undefined;
  readonly problems: readonly {
    readonly code: 'panic';
    readonly subject: string;
    readonly message: string;
  }[];
};

/** What a step is told beside the state. */
export type Now = {
  /** Never goes back. */
  readonly nowMs: number;
  /** Of the clocks that all hosts share more or less. It may jump. */
  readonly wallMs: number;
  /** Of the cluster, by name. */
  readonly members: readonly string[];
  readonly servers?: Attendance;
};

/**
 * One leadership's. It remembers who fell silent, since when steps of slow start last, and when drains end by the clock that
 * never goes back: a new leader's begin again.
 */
export class Judgement {
  readonly #electorate: Electorate;
  #steps = new Map<string, number>();
  /** A clock that is set ends no drain before its time: how long it still lasts is asked of that clock once. */
  #drainEnds = new Map<string, number>();

  constructor(graceMs: number) {
    this.#electorate = new Electorate(graceMs);
  }

  /** Undefined: the mux says nothing any more. */
  heard(mux: string, verdicts: Verdicts | undefined): void {
    this.#electorate.heard(mux, verdicts);
  }

  step(state: ClusterState, { nowMs, wallMs, members, servers = new Map() }: Now): Judged {
    const observations = new Map<string, Observed | undefined>();
    const problems: Judged['problems'][number][] = [];
    const wakes: number[] = [];
    const before = { steps: this.#steps, drainEnds: this.#drainEnds };
    this.#steps = new Map();
    this.#drainEnds = new Map();
    const subjects = () => [...state.backends.values()].map(subjectOf);
    const { verdicts, wakeAtMs: electorateMs } = this.#electorate.at(nowMs, { members, subjects });
    if (electorateMs !== undefined) wakes.push(electorateMs);
    const ofPools = Map.groupBy(state.backends, ([, { pool }]) => pool);
    for (const pool of state.pools.values()) {
      const backends = new Map(ofPools.get(pool.name) ?? []);
      const present =
        deliveryOf(pool) === 'filter' ? attend(pool, backends, servers, observations, wallMs) : backends;
      const kept = decide(pool, present, { verdicts, observations, wallMs });
      if (kept.length > 0) problems.push(panic(pool, kept));
      for (const [key, backend] of backends) {
        const observed = observations.has(key) ? observations.get(key) : backend.observed;
        const wakeMs = this.#advance(pool, key, observed, { nowMs, wallMs, before }, observations);
        if (wakeMs !== undefined) wakes.push(wakeMs);
      }
    }
    return {
      after: observations.size === 0 ? state : withObservations(state, observations),
      wakeAtMs: wakes.length === 0 ? undefined : Math.min(...wakes),
      problems,
    };
  }

  /** What time brings to a backend: the next step of its share, the end of its drain. When to look again. */
  #advance(
    { slowStartMs }: Pool,
    key: string,
    observed: Observed | undefined,
    {
      nowMs,
      wallMs,
      before,
    }: {
      readonly nowMs: number;
      readonly wallMs: number;
      readonly before: Readonly<Record<'steps' | 'drainEnds', ReadonlyMap<string, number>>>;
    },
    observations: Map<string, Observed | undefined>,
  ): number | undefined {
    const { rampStep, giveUpAtMs } = observed ?? {};
    let wakeMs: number | undefined;
    if (giveUpAtMs !== undefined) {
      const drain = `${key} ${giveUpAtMs}`;
      const endMs = before.drainEnds.get(drain) ?? nowMs + giveUpAtMs - wallMs;
      this.#drainEnds.set(drain, endMs);
      if (endMs <= nowMs) observations.set(key, { ...observed, giveUpAtMs: undefined });
      else wakeMs = endMs;
    }
    if (rampStep === undefined) return wakeMs;
    const name = `${key} ${rampStep}`;
    const sinceMs = before.steps.get(name) ?? nowMs;
    const atMs = sinceMs + (slowStartMs ?? 0) / (SLOW_START_STEPS - 1);
    if (atMs > nowMs) {
      this.#steps.set(name, sinceMs);
      return Math.min(atMs, wakeMs ?? Infinity);
    }
    const next = rampStep + 1;
    const isWhole = next >= SLOW_START_STEPS || slowStartMs === undefined;
    observations.set(key, { ...observed, rampStep: isWhole ? undefined : next });
    if (!isWhole) this.#steps.set(`${key} ${next}`, nowMs);
    return wakeMs;
  }
}

/**
 * Those that are found dead and stay nevertheless, as the pool would have too little left. One without a weight is not
 * looked at: it gets no new flows anyway, and those that it has end with its drain, or when people say so.
 */
function decide(
  { health, slowStartMs, delivery }: Pool,
  backends: ReadonlyMap<string, StoredBackend>,
  {
    verdicts,
    observations,
    wallMs,
  }: {
    readonly verdicts: ReadonlyMap<string, Verdicts>;
    readonly observations: Map<string, Observed | undefined>;
    readonly wallMs: number;
  },
): string[] {
  const total = sum(backends.values(), ({ weight }) => weight);
  let alive = sum(backends.values(), (it) => (it.observed?.down === undefined ? it.weight : 0));
  const dead: { key: string; backend: StoredBackend; ballot: Ballot }[] = [];
  const ballots = new Map(
    [...backends].map(([key, it]) => [key, health && ballotOf(it, verdicts, health.quorum)]),
  );
  // Where each server asks itself alone, a check that none passes may be a mistake; see checking.ts for muxes.
  const isPassable =
    deliveryOf({ delivery }) === 'mux' || [...ballots.values()].some((it) => it?.result === 'up');
  for (const [key, backend] of backends) {
    const ballot = ballots.get(key);
    const isDown = backend.observed?.down !== undefined;
    if (isDown && (ballot === undefined || ballot.result === 'up')) {
      const isRamped = slowStartMs !== undefined && alive > 0 && backend.weight > 0;
      observations.set(key, {
        ...backend.observed,
        down: undefined,
        rampStep: isRamped ? 1 : undefined,
      });
      alive += backend.weight;
    } else if (!isDown && backend.weight > 0 && isPassable && ballot?.result === 'down')
      dead.push({ key, backend, ballot });
  }
  dead.sort((a, b) => a.ballot.sinceMs - b.ballot.sinceMs || (a.key < b.key ? -1 : 1));
  const kept: string[] = [];
  for (const { key, backend, ballot } of dead) {
    const left = alive - backend.weight;
    const isEnough = left > 0 && left * 100 >= (health?.panicPercent ?? 0) * total;
    if (!isEnough) kept.push(key);
    else {
      alive = left;
      const down = { sinceMs: wallMs, reason: ballot.reason };
      observations.set(key, { ...backend.observed, down, rampStep: undefined });
    }
  }
  return kept;
}

function panic({ name, health }: Pool, kept: readonly string[]): Judged['problems'][number] {
  const shown = kept.slice(0, 3).join(', ');
  const more = kept.length > 3 ? ` and ${kept.length - 3} more` : '';
  const message = `panic: pool ${name} keeps ${shown}${more}, which its health checks find dead: without, less than ${health?.panicPercent ?? 0} % of its weight, or none, would be left`;
  return { code: 'panic', subject: name, message };
}

function sum<T>(items: Iterable<T>, of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}
