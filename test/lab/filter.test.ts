// Clients and servers on one segment, and no load balancer: every server hears every packet, and one answers, whatever
// becomes of servers.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AffinityReport } from '../../control/api/schema.ts';
import type { Crowd, CrowdEvent } from './segment/crowd.ts';
import { FIRST_CLIENT, Segment, type SegmentServer } from './segment.ts';
import { eventually, TEST_LAB } from './support.ts';

const CLIENTS = 2_000;
const REQUESTS = 100_000;
const RATE = 1_900;
/** Clients come back within it: each asks about once a second. */
const TIMEOUT_MS = 10_000;
const CHANGE_LIMIT_MS = 20_000;
/** From a death to the first request that may not suffer of it: of a server that hangs, its deadline has to pass. */
const CRASH_SUFFERING_MS = 3_000;
const HANG_SUFFERING_MS = 8_000;
const WEIGHT = 100;

let segment: Segment;
let crowd: Crowd;
/** Weights that are in force, by server. */
const weights: Record<string, number> = {};

beforeAll(async () => {
  segment = await Segment.raise({ name: TEST_LAB, servers: 6, timeoutMs: TIMEOUT_MS });
  await join(...segment.servers.slice(0, 4));
}, 60_000);
afterAll(async () => {
  await segment?.down();
});

const server = (number: number): SegmentServer => segment.servers[number - 1]!;
const client = () => server(1).daemon.client;

async function join(...servers: readonly SegmentServer[]): Promise<void> {
  await segment.join(servers);
  for (const { name } of servers) weights[name] = WEIGHT;
  await weigh();
}

async function weigh(changed: Readonly<Record<string, number>> = {}): Promise<void> {
  Object.assign(weights, changed);
  await client().apply(segment.document(weights), { force: true });
}

/** Until each slot that moves has one server for new clients. */
const released = () =>
  eventually(
    async () => {
      const { open } = await client().changes();
      return open.every(({ parts }) => parts.every(({ step }) => step === 'settle')) || undefined;
    },
    'the release of what moves',
    CHANGE_LIMIT_MS,
  );

const memberNames = async (): Promise<string[]> =>
  (await client().nodes()).filter(({ state }) => state === 'member').map(({ name }) => name);

/** Until the others have gone on without it. */
const removed = ({ name }: SegmentServer) =>
  eventually(
    async () => !(await memberNames()).includes(name) || undefined,
    `removal of ${name}`,
    CHANGE_LIMIT_MS,
  );

/** Who answers a client, as each server says that runs. */
async function explained(address: string, ...servers: readonly SegmentServer[]): Promise<AffinityReport[]> {
  const found = await Promise.all(
    servers.map(async ({ daemon }) => await daemon.client.affinity(address, { service: 'web', local: true })),
  );
  return found.map(({ items }) => items[0]!);
}

describe('servers that all hear every packet', () => {
  /** When servers died, and until when requests of their clients may suffer. */
  const deaths: { readonly name: string; readonly atMs: number; readonly untilMs: number }[] = [];
  const isExcused = ({ what, detail, server: name, beganMs, atMs }: CrowdEvent): boolean => {
    const before = what === 'failed' ? name : detail;
    return deaths.some(
      (it) => it.name === before && atMs >= it.atMs && (what === 'moved' || beganMs <= it.untilMs),
    );
  };

  it('answer each request once, a client always by the same server that lives, while they join, drain, crash, hang and rejoin', async () => {
    crowd = await segment.crowd(CLIENTS, RATE);
    await crowd.answered(REQUESTS * 0.05, 30_000);
    expect(crowd.events).toEqual([]);
    const said = await explained(FIRST_CLIENT, ...segment.servers.slice(0, 4));
    const [backend] = new Set(said.map((it) => it.backend));
    expect(said.map((it) => [it.rule, it.backend])).toEqual(Array(4).fill(['clean', backend]));
    const own = said.flatMap(({ servers = [] }) => servers).filter(({ holds }) => holds);
    expect(own).toMatchObject([{ node: backend!.split('/')[1], part: 'current', state: 'proven' }]);

    await join(server(5), server(6));
    await crowd.answered(REQUESTS * 0.15, 60_000);
    await released();

    await weigh({ server2: 0 });
    await released();
    await crowd.answered(REQUESTS * 0.3, 60_000);
    expect(crowd.events.slice(0, 10), summary(crowd.events)).toEqual([]);

    const crashedMs = Date.now();
    deaths.push({ name: 'server3', atMs: crashedMs, untilMs: crashedMs + CRASH_SUFFERING_MS });
    segment.cut(server(3), true);
    await segment.reset(server(3));
    await removed(server(3));
    await crowd.answered(REQUESTS * 0.45, 60_000);

    const hungMs = Date.now();
    deaths.push({ name: 'server4', atMs: hungMs, untilMs: hungMs + HANG_SUFFERING_MS });
    segment.hang(server(4), true);
    await removed(server(4));
    await sleep(HANG_SUFFERING_MS - (Date.now() - hungMs));
    segment.hang(server(4), false);
    await crowd.answered(REQUESTS * 0.65, 60_000);

    segment.cut(server(3), false);
    await segment.join([server(3)]);
    await eventually(
      async () => (await memberNames()).length === segment.servers.length || undefined,
      'all servers being members',
      CHANGE_LIMIT_MS,
    );
    await weigh({ server2: WEIGHT });
    await released();
    await crowd.answered(REQUESTS, 90_000);
    const counts = await crowd.stop();
    const blamed = crowd.events.filter((it) => !isExcused(it));
    expect(blamed.slice(0, 10), summary(blamed)).toEqual([]);
    // Those who died had clients, and these found others.
    for (const { name } of deaths)
      expect(crowd.events.filter(({ what, detail }) => what === 'moved' && detail === name)).not.toEqual([]);
    expect(segment.witness.events.filter(({ what }) => what === 'double')).toEqual([]);
    expect(segment.witness.counts.doubles).toBe(0);
    expect(counts.missed).toBe(0);
    expect(counts.answered).toBeGreaterThanOrEqual(REQUESTS);
  }, 240_000);
});

/** How many of what, of whom. */
function summary(events: readonly CrowdEvent[]): string {
  const counts = new Map<string, number>();
  for (const { what, detail, kind, server: name } of events) {
    const key = `${what} ${detail} ${kind} ${name}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${key}: ${count}`).join('\n');
}
