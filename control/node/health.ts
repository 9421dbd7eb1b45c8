// Owns what a running node says and does about the health of backends: connects this mux's checks with the cluster, counts
// them, and makes of the verdicts of all muxes what people read. Checking is control/health's, deciding the leader's.
import { HEALTH_SECONDS, type HealthCounts, type HealthPort } from '../api/node_port.ts';
import type { BackendView, NodeEvent } from '../api/schema.ts';
import type { Observer } from '../cluster/leader_driver.ts';
import type { Muxes } from '../cluster/member_view.ts';
import { type ClusterState, SLOW_START_STEPS, type StoredBackend } from '../config/cluster_state.ts';
import type { HealthCommands } from '../config/health.ts';
import type { PoolHealthFacts } from '../doctor/core/facts.ts';
import { Checking, type CheckOutcome, type TunnelPort } from '../health/checking.ts';
import { ballotOf, Judgement } from '../health/judgement_core.ts';
import { probe } from '../health/probe/probes.ts';
import { decodeVerdicts, subjectOf, type Verdicts } from '../health/verdicts_codec.ts';
import type { Problems } from './problems.ts';

type CheckResultName = HealthCounts['checks'][number]['result'];

/** Of the lease of a mux: a mux that fell silent is waited for as long, before others decide without it. */
const GRACE_LEASES = 2;

/** One a leadership. */
export function healthObserver(leaseMs: number): Observer {
  const judgement = new Judgement(GRACE_LEASES * leaseMs);
  return {
    heard: (mux, entry) => {
      try {
        judgement.heard(mux, entry && decodeVerdicts(entry));
      } catch (error) {
        judgement.heard(mux, undefined);
        throw error;
      }
    },
    step: (state, now) => judgement.step(state, now),
  };
}

/** Of a node that asks nobody through a tunnel. */
export const NO_TUNNEL: TunnelPort = {
  versions: new Set(),
  want: () => {},
  close: () => {},
  open: () => {
    throw new Error('a filter has no tunnel');
  },
};

export type NodeHealthOptions = {
  readonly state: () => ClusterState;
  readonly muxes: () => Pick<Muxes, 'health'>;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
};

export class NodeHealth implements HealthPort {
  readonly #options: NodeHealthOptions;
  readonly #checks = new Map<string, Record<CheckResultName, number>>();
  readonly #durations = new Map<string, { buckets: number[]; seconds: number; count: number }>();
  readonly #decoded = new Map<string, { readonly revision: number; readonly verdicts: Verdicts }>();
  #checking: Checking | undefined;

  constructor(options: NodeHealthOptions) {
    this.#options = options;
  }

  /**
   * This node is a mux, and checks backends; or a filter, whose own address is `server`, and checks itself. `publish` tells
   * everybody what was found.
   */
  check({
    tunnel,
    server,
    commands,
    publish,
    problems,
  }: {
    readonly tunnel: TunnelPort;
    readonly server?: string;
    readonly commands: HealthCommands | undefined;
    readonly publish: (verdicts: string | undefined) => Promise<void>;
    readonly problems: Pick<Problems, 'arise' | 'solve'>;
  }): void {
    this.#checking = new Checking({
      probe,
      tunnel,
      server,
      commands,
      publish,
      onOutcome: (outcome) => this.#count(outcome),
      onOpinion: () => {},
      onFailure: (error) => problems.arise('health', error),
      onSuccess: () => problems.solve('health'),
    });
    this.#checking.follow(this.#options.state());
  }

  /** The cluster is `state` now. */
  follow(state: ClusterState, before: ClusterState): void {
    this.#checking?.follow(state);
    for (const [key, backend] of state.backends) {
      const was = before.backends.get(key)?.observed?.down;
      const is = backend.observed?.down;
      if ((was === undefined) === (is === undefined) || !before.backends.has(key)) continue;
      const message = is === undefined ? `backend ${key} is back` : `backend ${key} is down: ${is.reason}`;
      this.#options.tell({ kind: 'health', message, revision: state.revision, detail: { backend: key } });
    }
    for (const key of this.#checks.keys()) if (!state.backends.has(key)) this.#checks.delete(key);
    for (const pool of this.#durations.keys()) if (!state.pools.has(pool)) this.#durations.delete(pool);
  }

  backend(backend: StoredBackend): ReturnType<HealthPort['backend']> {
    const { observed, weight } = backend;
    const health = this.#health(backend);
    return {
      ...(health !== undefined && { health }),
      ...(observed?.rampStep !== undefined &&
        weight > 0 && { slowStart: { step: observed.rampStep, of: SLOW_START_STEPS } }),
      ...(observed?.giveUpAtMs !== undefined && { givesUpAt: iso(observed.giveUpAtMs) }),
    };
  }

  counts(): HealthCounts {
    return {
      checks: [...this.#checks].flatMap(([key, counts]) => {
        const [pool = '', backend = ''] = key.split('/');
        return Object.entries(counts).map(([result, count]) => ({
          pool,
          backend,
          result: result as CheckResultName,
          count,
        }));
      }),
      durations: [...this.#durations].map(([pool, it]) => ({ pool, ...it })),
    };
  }

  /** Of pools that services use, for the doctor. */
  facts(): PoolHealthFacts[] {
    const { pools, backends, services } = this.#options.state();
    const used = new Set([...services.values()].map(({ pool }) => pool));
    const members = Map.groupBy(backends.values(), ({ pool }) => pool);
    return [...pools.values()]
      .filter(({ name }) => used.has(name))
      .map(({ name, health }) => {
        const its = (members.get(name) ?? []).map((it) => ({
          backend: `${name}/${it.name}`,
          health: this.#health(it),
        }));
        const namesOf = (it: (typeof its)[number], state: 'up' | 'down') =>
          (it.health?.muxes ?? []).filter((mux) => mux.state === state).map((mux) => mux.name);
        return {
          pool: name,
          isChecked: health !== undefined,
          backends: its.length,
          kept: its.filter((it) => it.health?.state === 'kept').map(({ backend }) => backend),
          disputed: its
            .map((it) => ({ backend: it.backend, up: namesOf(it, 'up'), down: namesOf(it, 'down') }))
            .filter(({ up, down }) => up.length > 0 && down.length > 0),
          unknown: its
            .filter((it) => it.health?.state === 'unknown')
            .map((it) => ({ backend: it.backend, reason: it.health?.reason })),
        };
      });
  }

  close(): void {
    this.#checking?.close();
  }

  #health(backend: StoredBackend): BackendView['health'] {
    const settings = this.#options.state().pools.get(backend.pool)?.health;
    const down = backend.observed?.down;
    if (settings === undefined) return undefined;
    const verdicts = this.#verdicts();
    const { result, up, reason } = ballotOf(backend, verdicts, settings.quorum);
    const isFoundDead = down === undefined && result === 'down';
    const isKept = isFoundDead && backend.weight > 0;
    const isDown = down !== undefined || isFoundDead;
    const state = isKept ? 'kept' : isDown ? 'down' : up.length > 0 ? 'up' : 'unknown';
    const pending = state === 'unknown' ? firstReason(backend, verdicts) : undefined;
    const why = down?.reason ?? (isFoundDead ? reason : (this.#unable(backend) ?? pending));
    return {
      state,
      ...(down !== undefined && { since: iso(down.sinceMs) }),
      ...(why !== undefined && { reason: why }),
      muxes: [...verdicts].flatMap(([name, its]) => {
        const verdict = its.get(subjectOf(backend));
        if (verdict === undefined) return [];
        const { isUp, sinceMs, reason: words } = verdict;
        return [
          {
            name,
            state: isUp === undefined ? ('pending' as const) : isUp ? ('up' as const) : ('down' as const),
            ...(isUp !== undefined && { since: iso(sinceMs) }),
            ...(words !== '' && { reason: words }),
          },
        ];
      }),
    };
  }

  /** Why this mux does not check it. */
  #unable(backend: StoredBackend): string | undefined {
    const subject = subjectOf(backend);
    const own = this.#checking?.targets().find(({ target }) => target.subject === subject);
    return own?.target.missing ?? (own?.opinion?.isUnable === true ? own.opinion.reason : undefined);
  }

  #verdicts(): ReadonlyMap<string, Verdicts> {
    const { health } = this.#options.muxes();
    const all = new Map<string, Verdicts>();
    for (const [mux, entry] of health) {
      const known = this.#decoded.get(mux);
      try {
        const verdicts = known?.revision === entry.modRevision ? known.verdicts : decodeVerdicts(entry);
        this.#decoded.set(mux, { revision: entry.modRevision, verdicts });
        all.set(mux, verdicts);
      } catch {
        // Of another version of Holdfast: as one that says nothing.
      }
    }
    for (const mux of this.#decoded.keys()) if (!health.has(mux)) this.#decoded.delete(mux);
    return new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #count({ target, result, isTimeout, durationMs }: CheckOutcome): void {
    const { key, backend } = target;
    const counts = this.#checks.get(key) ?? { good: 0, bad: 0, timeout: 0, unable: 0 };
    this.#checks.set(key, counts);
    counts[nameOf(result.isGood, isTimeout)]++;
    const fresh = { buckets: HEALTH_SECONDS.map(() => 0), seconds: 0, count: 0 };
    const durations = this.#durations.get(backend.pool) ?? fresh;
    this.#durations.set(backend.pool, durations);
    const seconds = durationMs / 1_000;
    HEALTH_SECONDS.forEach((limit, at) => {
      if (seconds <= limit) durations.buckets[at]!++;
    });
    durations.seconds += seconds;
    durations.count++;
  }
}

function nameOf(isGood: boolean | undefined, isTimeout: boolean): CheckResultName {
  if (isGood === undefined) return 'unable';
  return isGood ? 'good' : isTimeout ? 'timeout' : 'bad';
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function firstReason(backend: StoredBackend, verdicts: ReadonlyMap<string, Verdicts>): string | undefined {
  const about = subjectOf(backend);
  return [...verdicts.values()]
    .map((its) => its.get(about)?.reason)
    .find((it) => it !== undefined && it !== '');
}
