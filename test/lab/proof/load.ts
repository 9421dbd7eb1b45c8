// Owns the load of the proof: long-lived connections and short requests, IPv4 and IPv6, from all clients, and the account
// of whatever breaks: which connection, to which backend, when, and which changes were under way.
import type { ClientAgent } from '../agent.ts';
import type { Lab } from '../lab.ts';
import type { HoldStatus } from '../protocol.ts';

/** Of services; what is silent for longer has ended. */
export const IDLE_MS = 20_000;
/** A third of it, so that a retransmission or two are no silence. */
const SEND_EVERY_MS = 6_000;
const CHUNK_BYTES = 120;
/** Of each client, each with a request every so often. */
const REQUESTERS = 10;
const REQUEST_EVERY_MS = 200;
const REQUEST_TIMEOUT_MS = 8_000;
/** What broke a connection began a while before it was noticed. */
const NOTICED_WITHIN_MS = 15_000;
const LOSSES_TOLD_MAX = 20;

export type Totals = {
  readonly held: number;
  /** Reset, ended or stalled. */
  readonly broken: number;
  readonly corrupted: number;
  /** Checked, of all connections: each is a chunk there and back. */
  readonly rounds: number;
  readonly fewestRounds: number;
  readonly perBackend: Readonly<Record<string, number>>;
  readonly requests: number;
  /** Also those that were answered when they were sent once more. */
  readonly failed: number;
};

type Event = { readonly what: string; readonly fromMs: number; untilMs: number };

export class Load {
  readonly #lab: Lab;
  readonly #agents: readonly ClientAgent[];
  readonly #events: Event[] = [];

  private constructor(lab: Lab, agents: readonly ClientAgent[]) {
    this.#lab = lab;
    this.#agents = agents;
  }

  static async start(lab: Lab, connections: number): Promise<Load> {
    const agents = await Promise.all(lab.plan.clients.map(({ number }) => lab.client(number)));
    const addresses = [...lab.plan.services4, ...lab.plan.services6];
    const share = Math.ceil(connections / agents.length);
    await Promise.all(
      agents.map((agent) =>
        agent.call('hold', {
          addresses,
          connections: share,
          chunkBytes: CHUNK_BYTES,
          intervalMs: SEND_EVERY_MS,
        }),
      ),
    );
    for (const agent of agents) {
      await agent.call('startTraffic', {
        addresses,
        concurrency: REQUESTERS,
        timeoutMs: REQUEST_TIMEOUT_MS,
        intervalMs: REQUEST_EVERY_MS,
      });
    }
    return new Load(lab, agents);
  }

  /** Remembers when it happened, for the account of what broke. */
  async during<T>(what: string, work: () => Promise<T>): Promise<T> {
    const event: Event = { what, fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
    this.#events.push(event);
    try {
      return await work();
    } finally {
      event.untilMs = Date.now();
    }
  }

  async totals(): Promise<Totals> {
    const each = await Promise.all(
      this.#agents.map(async (agent) => {
        const [holds, period] = await Promise.all([
          agent.call('heldStatus', {}),
          agent.call('trafficStatus', {}),
        ]);
        return totalsOf(holds, period?.result.succeeded ?? 0, failedOf(period));
      }),
    );
    return each.reduce(add);
  }

  /** After a round trip or two of every connection from now. */
  async everyoneAnswers(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.call('steerHeld', { trafficClass: 0 })));
  }

  /** A line each; some at most. */
  async losses(): Promise<string[]> {
    const lines: string[] = [];
    for (const agent of this.#agents) {
      for (const it of await agent.call('heldConnections', {})) {
        if (it.failure !== undefined)
          lines.push(
            `connection ${it.source} ${it.sourcePort} > ${it.destination} ${it.destinationPort} at ${it.backend}: ${it.failure}${this.#when(it.brokenAtMs!)}`,
          );
      }
      const period = await agent.call('trafficStatus', {});
      for (const it of period?.broken ?? [])
        lines.push(
          `request ${it.source} ${it.sourcePort} > ${it.destination} ${it.destinationPort}: ${it.error}${this.#when(it.atMs)}`,
        );
    }
    const rest = lines.length - LOSSES_TOLD_MAX;
    return rest > 0 ? [...lines.slice(0, LOSSES_TOLD_MAX), `and ${rest} more`] : lines;
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#agents.map(async (agent) => {
        await agent.call('stopTraffic', {});
        await agent.call('release', {});
      }),
    );
  }

  #when(atMs: number): string {
    const open = this.#events
      .filter(({ fromMs, untilMs }) => fromMs <= atMs && untilMs >= atMs - NOTICED_WITHIN_MS)
      .map(
        ({ what, fromMs, untilMs }) =>
          `${what} (${ago(atMs - fromMs)}${untilMs < atMs ? `, over ${ago(atMs - untilMs)}` : ''})`,
      );
    return `, at ${new Date(atMs).toISOString()}, while: ${open.join('; ') || 'nothing'}; lab ${this.#lab.plan.name}`;
  }
}

function ago(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s before`;
}

const CORRUPTED = 'the echo differs';

function totalsOf(
  { held, broken, failures, rounds, fewestRounds, perBackend }: HoldStatus,
  requests: number,
  failed: number,
): Totals {
  const corrupted = failures[CORRUPTED] ?? 0;
  return { held, broken: broken - corrupted, corrupted, rounds, fewestRounds, perBackend, requests, failed };
}

function failedOf(
  period: { readonly result: { readonly failed: number }; readonly sentAgain: number } | null,
): number {
  // What failed was sent again, too.
  return period === null ? 0 : Math.max(period.sentAgain, period.result.failed);
}

function add(one: Totals, other: Totals): Totals {
  const perBackend = { ...one.perBackend };
  for (const [name, count] of Object.entries(other.perBackend))
    perBackend[name] = (perBackend[name] ?? 0) + count;
  return {
    held: one.held + other.held,
    broken: one.broken + other.broken,
    corrupted: one.corrupted + other.corrupted,
    rounds: one.rounds + other.rounds,
    fewestRounds: Math.min(one.fewestRounds, other.fewestRounds),
    perBackend,
    requests: one.requests + other.requests,
    failed: one.failed + other.failed,
  };
}
