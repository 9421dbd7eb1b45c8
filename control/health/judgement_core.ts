// Owns what the opinions of all muxes come to: which backends are taken away and given back, the panic threshold, the
// steps of slow start, the ends of drains. A part of the leader, pure: time is told. Not here: checking (checks_core.ts),
// what a state follows from the decisions (control/pool/observed.ts).
import {
  type ClusterState,
  type Observed,
  SLOW_START_STEPS,
  type StoredBackend,
} from '../config/cluster_state.ts';
import { deliveryOf } from '../config/filter.ts';
import type { Pool } from '../config/objects.ts';
import { withObservations } from '../pool/observed.ts';
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
 */
export function ballotOf(
  backend: StoredBackend,
  verdicts: ReadonlyMap<string, Verdicts>,
  quorum: number | undefined,
): Ballot {
  const about = subjectOf(backend);
  const votes = [...verdicts].flatMap(([mux, its]): [string, Verdict][] => {
    const verdict = its.get(about);
    return verdict === undefined ? [] : [[mux, verdict]];
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

/** Filter nodes that are members, by the index of the backend that each is. */
export type Attendance = ReadonlyMap<number, { readonly isLeaving: boolean }>;

const ABSENT = 'no filter node at its address is a member';
const UNCHECKED = 'it is a member again, and its health check has not passed yet';

/** One leadership's. Its only memory is since when steps of slow start last: a new leader's begin again. */
export class Judgement {
  readonly #verdicts = new Map<string, Verdicts>();
  #steps = new Map<string, number>();

  /** Undefined: the mux says nothing any more. */
  heard(mux: string, verdicts: Verdicts | undefined): void {
    if (verdicts === undefined) this.#verdicts.delete(mux);
    else this.#verdicts.set(mux, verdicts);
  }

  /**
   * `nowMs` never goes back; `wallMs` is of the clocks that all hosts share more or less. `servers`: filter nodes that are
   * members, by the index of the backend that each is.
   */
  step(
    state: ClusterState,
    { nowMs, wallMs, servers }: { readonly nowMs: number; readonly wallMs: number; readonly servers?: Attendance },
  ): Judged {
    const observations = new Map<string, Observed | undefined>();
    const problems: Judged['problems'][number][] = [];
    const wakes: number[] = [];
    const before = this.#steps;
    this.#steps = new Map();
    const members = Map.groupBy(state.backends, ([, { pool }]) => pool);
    for (const pool of state.pools.values()) {
      const backends = new Map(members.get(pool.name) ?? []);
      const present =
        deliveryOf(pool) === 'filter'
          ? this.#attend(pool, backends, observations, { wallMs, servers: servers ?? new Map() })
          : backends;
      const kept = this.#decide(pool, present, observations, wallMs);
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

  /** Of a pool of filters: who is no member answers nobody, whatever is left then. The others. */
  #attend(
    { health }: Pool,
    backends: ReadonlyMap<string, StoredBackend>,
    observations: Map<string, Observed | undefined>,
    { wallMs, servers }: { readonly wallMs: number; readonly servers: Attendance },
  ): ReadonlyMap<string, StoredBackend> {
    const present = new Map<string, StoredBackend>();
    for (const [key, backend] of backends) {
      const { observed } = backend;
      const server = servers.get(backend.index);
      if (server === undefined) {
        if (observed?.down?.reason !== ABSENT)
          observations.set(key, { ...observed, down: { sinceMs: wallMs, reason: ABSENT }, rampStep: undefined });
        continue;
      }
      const isLeaving = server.isLeaving || undefined;
      const isBack = observed?.down?.reason === ABSENT;
      // Its check says when it is back, as far as there is one.
      const down = isBack && health !== undefined ? { sinceMs: wallMs, reason: UNCHECKED } : observed?.down;
      const next = { ...observed, down, isLeaving };
      if (observed?.isLeaving !== isLeaving || down !== observed?.down) observations.set(key, next);
      present.set(key, { ...backend, observed: next });
    }
    return present;
  }

  /** Those that are found dead and stay nevertheless, as the pool would have too little left. */
  #decide(
    { health, slowStartMs, delivery }: Pool,
    backends: ReadonlyMap<string, StoredBackend>,
    observations: Map<string, Observed | undefined>,
    wallMs: number,
  ): string[] {
    const total = sum(backends.values(), ({ weight }) => weight);
    let alive = sum(backends.values(), (it) => (it.observed?.down === undefined ? it.weight : 0));
    const dead: { key: string; backend: StoredBackend; ballot: Ballot }[] = [];
    const ballots = new Map(
      [...backends].map(([key, it]) => [key, health && ballotOf(it, this.#verdicts, health.quorum)]),
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
      } else if (!isDown && ballot?.result === 'down' && isPassable) dead.push({ key, backend, ballot });
    }
    dead.sort((a, b) => a.ballot.sinceMs - b.ballot.sinceMs || (a.key < b.key ? -1 : 1));
    const kept: string[] = [];
    for (const { key, backend, ballot } of dead) {
      const left = alive - backend.weight;
      const isEnough = left > 0 && left * 100 >= (health?.panicPercent ?? 0) * total;
      if (backend.weight > 0 && !isEnough) kept.push(key);
      else {
        alive = left;
        const down = { sinceMs: wallMs, reason: ballot.reason };
        observations.set(key, { ...backend.observed, down, rampStep: undefined });
      }
    }
    return kept;
  }

  /** What time brings to a backend: the next step of its share, the end of its drain. When to look again. */
  #advance(
    { slowStartMs }: Pool,
    key: string,
    observed: Observed | undefined,
    { nowMs, wallMs, before }: { nowMs: number; wallMs: number; before: ReadonlyMap<string, number> },
    observations: Map<string, Observed | undefined>,
  ): number | undefined {
    const { rampStep, giveUpAtMs } = observed ?? {};
    let wakeMs: number | undefined;
    if (giveUpAtMs !== undefined) {
      if (giveUpAtMs <= wallMs) observations.set(key, { ...observed, giveUpAtMs: undefined });
      else wakeMs = nowMs + giveUpAtMs - wallMs;
    }
    if (rampStep === undefined) return wakeMs;
    const name = `${key} ${rampStep}`;
    const sinceMs = before.get(name) ?? nowMs;
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
