// Owns the figures that the demo shows while it runs: what the client's connections see, and what the router counts on
// its links to the muxes, which does not depend on any daemon.
import { readFileSync } from 'node:fs';
import { withNetns } from '@holdfast/linux';
import { netnsPath } from '../plan.ts';
import type { TrafficPeriod } from '../protocol.ts';
import type { Cast } from './act.ts';
import { type Share, sharesOf } from './shares.ts';
import { sumOf } from './traffic.ts';

export type LiveFigures = {
  /** Undefined while there is no traffic. */
  readonly traffic:
    | {
        readonly requestsPerSecond: number;
        readonly succeeded: number;
        readonly failed: number;
        readonly sentAgain: number;
        readonly shares: readonly Share[];
      }
    | undefined;
  readonly muxes: readonly {
    readonly name: string;
    /** That come out of it. */
    readonly packetsPerSecond: number;
    readonly hasDaemon: boolean;
  }[];
  readonly held: number;
  readonly broken: number;
};

type Reading = { readonly atMs: number; readonly answered: number; readonly received: Map<string, number> };

export class LiveSampler {
  readonly #cast: Cast;
  #last: Reading | undefined;

  constructor(cast: Cast) {
    this.#cast = cast;
  }

  /** Rates are those since the sample before. */
  async sample(): Promise<LiveFigures> {
    const { lab, weights } = this.#cast;
    const agents = await Promise.all(lab.plan.clients.map(({ number }) => lab.client(number)));
    const [periods, holds] = await Promise.all([
      Promise.all(agents.map((agent) => agent.call('trafficStatus', {}))),
      Promise.all(agents.map((agent) => agent.call('heldStatus', {}))),
    ]);
    const traffic = together(periods.filter((period) => period !== null));
    const total = (kind: 'held' | 'broken') => holds.reduce((sum, it) => sum + it[kind], 0);
    const last = this.#last;
    const now: Reading = {
      atMs: performance.now(),
      answered: traffic?.succeeded ?? 0,
      received: receivedFrom(lab.plan.router.netns),
    };
    this.#last = now;
    const seconds = last === undefined ? Number.POSITIVE_INFINITY : (now.atMs - last.atMs) / 1000;
    // A count that is lower is that of a new period.
    const rate = (was = 0, is = 0) => Math.round((is >= was ? is - was : is) / seconds);
    return {
      traffic: traffic && {
        ...traffic,
        shares: sharesOf(traffic.perBackend, weights),
        requestsPerSecond: rate(last?.answered, now.answered),
      },
      muxes: lab.muxes.map(({ node: { name }, daemon }) => ({
        name,
        packetsPerSecond: rate(last?.received.get(name), now.received.get(name)),
        hasDaemon: daemon.isRunning,
      })),
      held: total('held'),
      broken: total('broken'),
    };
  }
}

/** Of all clients that make requests; undefined where none does. */
function together(periods: readonly TrafficPeriod[]) {
  if (periods.length === 0) return undefined;
  const perBackend: Record<string, number> = {};
  for (const { result } of periods)
    for (const [name, times] of Object.entries(result.perBackend))
      perBackend[name] = (perBackend[name] ?? 0) + times;
  return { ...sumOf(periods), perBackend };
}

/** Packets that a namespace's devices have received. */
function receivedFrom(netns: string): Map<string, number> {
  const text = withNetns(netnsPath(netns), () => readFileSync('/proc/thread-self/net/dev', 'utf8'));
  // Two lines of headings; then NAME: bytes packets …
  const rows = text.trimEnd().split('\n').slice(2);
  return new Map(
    rows.map((row) => {
      const [name = '', , packets] = row.trim().split(/:?\s+/);
      return [name, Number(packets)];
    }),
  );
}
