// Owns measuring servers that all hear, on a bridge with real daemons: what three holders add to the first answer of a
// client, and for how long clients of a server that crashes are answered by nobody.
import { once } from 'node:events';
import { Segment, type SegmentServer } from '../../lab/segment.ts';
import { eventually } from '../../lab/support.ts';
import type { Report } from '../lib/report.ts';

const SERVERS = 4;
/** Each has clients at each holder: none becomes clean meanwhile. */
const SLOTS = 64;
const TIMEOUT_MS = 600_000;
const CLIENTS = 1_000;
const QUERY_MUST_US = 100;
const CRASHES = 10;
const CRASH_CLIENTS = 400;
const CRASH_MUST_MS = 500;
const LIMIT_MS = 60_000;

export async function measureSegment(report: Report): Promise<void> {
  const segment = await Segment.raise({ name: `b${process.pid}`, servers: SERVERS, timeoutMs: TIMEOUT_MS });
  try {
    await segment.join(segment.servers);
    await measureQueries(report, new Weights(segment));
    await measureCrashes(report, new Weights(segment));
  } finally {
    await segment.down();
  }
}

/** New clients at each turn: addresses are used once. */
let nextClient = 0;
function newClients(count: number): string {
  const first = nextClient + 256;
  nextClient += count;
  return `198.19.${first >> 8}.${first & 255}`;
}

class Weights {
  readonly segment: Segment;

  constructor(segment: Segment) {
    this.segment = segment;
  }

  /** These servers have all slots, as soon as the release of what moves is over. */
  async only(...servers: readonly SegmentServer[]): Promise<void> {
    const weights = this.segment.servers.map(({ name }) => [
      name,
      servers.some((it) => it.name === name) ? 100 : 0,
    ]);
    const document = this.segment.document(Object.fromEntries(weights));
    const { client } = this.segment.servers[0]!.daemon;
    const pools = document.pools.map((it) => ({ ...it, slots: SLOTS }));
    await client.apply({ ...document, pools }, { force: true });
    await eventually(
      async () => {
        const { open, applied, version } = await client.changes();
        const isReleased = open.every(({ parts }) => parts.every(({ step }) => step === 'settle'));
        return (isReleased && applied === version) || undefined;
      },
      'the release of what moves',
      LIMIT_MS,
    );
  }
}

async function measureQueries(report: Report, weights: Weights): Promise<void> {
  const { segment } = weights;
  let times: number[] = [];
  let clean = 0;
  for (const [holders, server] of segment.servers.entries()) {
    await weights.only(server);
    // What resolves addresses and fills caches is no part of it.
    await latencies(segment, 100);
    const asked = await passedOn(segment);
    times = await latencies(segment, CLIENTS);
    if (holders === 0) clean = at(times, 0.5);
    else if ((await passedOn(segment)) - asked < (holders - 1) * CLIENTS)
      throw new Error(`${holders} holders were not asked each`);
  }
  const added = (share: number) => at(times, share) - clean;
  report.add({
    case: 'query-3-holders-us',
    unit: 'us',
    value: added(0.5),
    must: { atMost: QUERY_MUST_US },
  });
  report.add({ case: 'query-3-holders-p99-us', unit: 'us', value: added(0.99) });
}

async function latencies(segment: Segment, clients: number): Promise<number[]> {
  const started = await segment.probe('latency', newClients(clients), clients);
  const [line] = (await once(started.lines, 'line')) as [string];
  const times = JSON.parse(line) as number[];
  if (times.some((it) => it < 0)) throw new Error('a datagram was not answered');
  return times;
}

async function passedOn(segment: Segment): Promise<number> {
  const stats = await Promise.all(segment.servers.map(async ({ daemon }) => await daemon.client.stats()));
  return stats.reduce((sum, { reasons }) => sum + (reasons.QUERY_PASSED_ON ?? 0), 0);
}

async function measureCrashes(report: Report, weights: Weights): Promise<void> {
  const { segment } = weights;
  const samples: number[] = [];
  await weights.only(...segment.servers);
  for (let round = 0; round < CRASHES; round++) {
    // The first stays, to be asked.
    const victim = segment.servers[1 + (round % (SERVERS - 1))]!;
    const started = await segment.probe('crash', newClients(CRASH_CLIENTS), CRASH_CLIENTS, victim.name);
    const lines = started.lines[Symbol.asyncIterator]();
    const { clients } = JSON.parse((await lines.next()).value!) as { clients: number };
    if (clients === 0) throw new Error(`${victim.name} has no clients`);
    const crashedMs = performance.timeOrigin + performance.now();
    segment.cut(victim, true);
    await segment.reset(victim);
    const { left, atMs } = JSON.parse((await lines.next()).value!) as { left: number; atMs: number };
    if (left > 0) throw new Error(`${left} clients of ${victim.name} were not answered any more`);
    samples.push(atMs - crashedMs);
    segment.cut(victim, false);
    await segment.join([victim]);
    await weights.only(...segment.servers);
  }
  report.add({ case: 'server-crash-ms', unit: 'ms', samples, must: { atMost: CRASH_MUST_MS } });
}

function at(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1]!;
}
