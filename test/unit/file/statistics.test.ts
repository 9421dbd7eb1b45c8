// What is counted of requests, and what no longer has room of its own.
import { describe, expect, it } from 'vitest';
import {
  COUNTED_LINKS_MAX,
  LATENCY_ENDS_US,
  quantileUs,
  Statistics,
  Tally,
} from '../../../control/file/core/statistics.ts';

const READ = { name: 'READ' };
const request = {
  program: 100_003,
  procedure: READ,
  linkId: 7,
  status: 0,
  durationMs: 0.03,
  bytesIn: 100,
  bytesOut: 4_200,
};

describe('statistics', () => {
  it('count a request by procedure, by link and by client', () => {
    const [statistics, client] = [new Statistics(), new Tally()];
    statistics.count(client, request);
    statistics.count(client, { ...request, status: 2, durationMs: 20_000, bytesOut: 8 });
    statistics.count(undefined, { ...request, linkId: 0 });
    const [read] = statistics.procedures();
    expect(read).toMatchObject({
      program: 100_003,
      name: 'READ',
      requests: 3,
      errors: 1,
      statuses: [[2, 1]],
    });
    expect(read!.latencies).toEqual([0, 2, ...new Array(LATENCY_ENDS_US.length - 2).fill(0), 1]);
    expect(statistics.links()).toMatchObject([
      { id: 7, requests: 2, errors: 1, inBytes: 200, outBytes: 4_208 },
    ]);
    expect(client.figures()).toMatchObject({ requests: 2, errors: 1, inBytes: 200 });
    expect(client.figures().totalUs).toBeCloseTo(20_000_030);
  });

  it('count links beyond the limit together, and forget those that are gone', () => {
    const statistics = new Statistics();
    for (let linkId = 1; linkId <= COUNTED_LINKS_MAX + 5; linkId++)
      statistics.count(undefined, { ...request, linkId });
    expect(statistics.links()).toHaveLength(COUNTED_LINKS_MAX);
    expect(statistics.otherLinks().requests).toBe(5);
    statistics.forgetLinks((id) => id > 10);
    expect(statistics.links()).toHaveLength(10);
    statistics.count(undefined, { ...request, linkId: 99_999 });
    expect(statistics.links()).toHaveLength(11);
  });
});

describe('a quantile', () => {
  const buckets = (counts: Readonly<Record<number, number>>) =>
    Array.from({ length: LATENCY_ENDS_US.length + 1 }, (_, bucket) => counts[bucket] ?? 0);

  it.each([
    [buckets({}), 0.5, undefined],
    [buckets({ 0: 1 }), 0.99, LATENCY_ENDS_US[0]],
    [buckets({ 0: 98, 3: 2 }), 0.5, LATENCY_ENDS_US[0]],
    [buckets({ 0: 98, 3: 2 }), 0.99, LATENCY_ENDS_US[3]],
    [buckets({ [LATENCY_ENDS_US.length]: 1 }), 0.5, Infinity],
  ])('%#', (latencies, share, us) => {
    expect(quantileUs(latencies, share)).toBe(us);
  });
});
