// Clients and servers on one segment, and no load balancer: every server hears every packet, and one answers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Segment, type SegmentServer } from './segment.ts';
import { TEST_LAB } from './support.ts';

const CLIENTS = 2_000;
const RATE = 1_500;
const TIMEOUT_MS = 10_000;

let segment: Segment;

beforeAll(async () => {
  segment = await Segment.raise({ name: TEST_LAB, servers: 5, timeoutMs: TIMEOUT_MS });
  const first = segment.servers.slice(0, 4);
  await segment.join(first);
  await first[0]!.daemon.client.apply(segment.document(evenly(first)), { force: true });
}, 60_000);
afterAll(async () => {
  await segment?.down();
});

const evenly = (servers: readonly SegmentServer[]) =>
  Object.fromEntries(servers.map(({ name }) => [name, 100]));

describe('four servers that hear every packet', () => {
  it('answer each request once, a client always by the same server', async () => {
    const crowd = await segment.crowd(CLIENTS, RATE);
    await crowd.answered(10_000, 30_000);
    const counts = await crowd.stop();
    expect(crowd.events).toEqual([]);
    expect(counts).toMatchObject({ failed: 0, moved: 0, missed: 0 });
    expect(segment.witness.events).toEqual([]);
    expect(segment.witness.counts).toMatchObject({ doubles: 0, resets: 0 });
  });
});
