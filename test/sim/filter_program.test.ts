// The world of the filter protocol with the real program in each server's place: no double answer, no missing one, no reset
// of a living server's connection and no client that is moved, under loss, reordering, lag, buckets that move again while a
// query is under way, and the death of a holder.
import { describe, expect, it } from 'vitest';
import { runHistory } from './affinity/history.ts';
import { SECOND } from './affinity/port.ts';
import { ProgramServers } from './affinity/program_server.ts';
import { plain, type Scenario } from './affinity/scenario.ts';

const IS_LONG = process.env.HOLDFAST_LONG === '1';
const SEEDS = IS_LONG ? 20 : 2;
const TIMEOUT_MS = 600_000;

const short = (seed: number): Scenario => ({ ...plain(seed), seconds: IS_LONG ? 60 : 15 });
const MS = 1_000_000;
const SCENARIOS: Readonly<Record<string, (seed: number) => Scenario>> = {
  'buckets that move all the time': short,
  'packets and queries that are lost, doubled and late': (seed) => {
    const weather = { loss: 0.02, duplicate: 0.02, delayNs: MS, jitterNs: 30 * MS };
    return { ...short(seed), outside: weather, inside: weather, lagNs: 200 * MS, judgesUnanswered: false };
  },
  'servers that crash, hang and join': (seed) => ({
    ...short(seed),
    moveEveryNs: SECOND,
    actions: [
      { kind: 'join', atNs: 2 * SECOND, server: 5 },
      { kind: 'crash', atNs: 5 * SECOND, server: 2 },
      { kind: 'hang', atNs: 8 * SECOND, server: 3, forNs: 4 * SECOND },
    ],
  }),
  datagrams: (seed) => ({ ...short(seed), traffic: { ...short(seed).traffic, protocol: 'udp' } }),
};

describe('the real program', { timeout: TIMEOUT_MS }, () => {
  it.each(Object.entries(SCENARIOS))('breaks nothing with %s', async (_, scenarioOf) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const scenario = scenarioOf(seed);
      const servers = new ProgramServers(scenario);
      try {
        const { findings, counts } = await runHistory(scenario, { makeServer: servers.make });
        expect(findings, `seed ${seed}`).toEqual([]);
        expect(counts.queries).toBeGreaterThan(0);
        expect(counts.requests).toBeGreaterThan(50);
      } finally {
        servers.close();
      }
    }
  });
});
