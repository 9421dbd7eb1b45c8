// Muxes that run the real program and the real control cores: no packet of an established flow reaches another server,
// whatever happens. More histories: scripts/sim.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ATTACKS, type AttackName, attackOf } from './protocol/attacks.ts';
import { type HistoryResult, runHistory } from './protocol/history.ts';
import { type Scenario, scenarioOf } from './protocol/scenario.ts';

const SEEDS = [1, 2, 3, 4, 5, 6];
const REGRESSIONS = join(import.meta.dirname, 'protocol/regressions');
const TIMEOUT_MS = 180_000;
const results: HistoryResult[] = [];

describe('random histories', { timeout: TIMEOUT_MS }, () => {
  it.each(SEEDS)('seed %d breaks no rule', async (seed) => {
    const result = await runHistory(scenarioOf(seed));
    results.push(result);
    expect(result.findings).toEqual([]);
  });
});

describe('the attacks that broke earlier versions', { timeout: TIMEOUT_MS }, () => {
  it.each(Object.keys(ATTACKS) as AttackName[])('%s breaks no rule', async (name) => {
    const result = await runHistory(attackOf(name, 1));
    results.push(result);
    expect(result.findings).toEqual([]);
  });
});

it('have everything in them, together', () => {
  const seen = new Set(results.flatMap(({ reasons }) => Object.keys(reasons)));
  for (const reason of [
    'FORWARD',
    'FORWARD_CACHED',
    'FORWARD_ANSWERED',
    'FORWARD_UNRECORDED',
    'FORWARD_ICMP_ERROR',
    'FORWARD_LATER_FRAGMENT',
    'ASK',
    'ASK_RECORD',
    'ASK_ANSWER',
    'ASK_RETURNED',
    'RELAY_DEADLINE',
    'RELAY_FRAGMENT',
    'REPLY_PROBE',
    'REPLY_FLOWS',
    'NOTED_PROBE',
    'NOTED_FLOWS',
    'NOTED_LATE',
    'DROP_ASK_TAG',
    'DROP_ASK_TIME',
    'DROP_ASK_SIZE',
    'DROP_ASK_SOURCE',
    'DROP_ASK_EPOCH',
    'DROP_ASK_INCARNATION',
    'DROP_ASK_FENCED',
  ])
    expect(seen, reason).toContain(reason);
});

describe('a seed', { timeout: TIMEOUT_MS }, () => {
  it('leads to the same history twice, and another seed to another', async () => {
    const told: string[] = [];
    for (const seed of [7, 7, 8]) {
      const scenario = scenarioOf(seed);
      const traffic = { ...scenario.traffic, endNs: scenario.traffic.endNs / 3 };
      const { trace } = await runHistory({ ...scenario, traffic }, { isTraced: true });
      told.push(trace.map(({ line }) => line).join('\n'));
    }
    expect(told[0]!.length).toBeGreaterThan(10_000);
    expect(told[1]).toBe(told[0]);
    expect(told[2]).not.toBe(told[0]);
  });
});

describe('histories that broke a rule once', { timeout: TIMEOUT_MS }, () => {
  const files = existsSync(REGRESSIONS)
    ? readdirSync(REGRESSIONS).filter((name) => name.endsWith('.json'))
    : [];

  it.each(files)('%s breaks none any more', async (name) => {
    const scenario = JSON.parse(readFileSync(join(REGRESSIONS, name), 'utf8')) as Scenario;
    expect((await runHistory(scenario)).findings).toEqual([]);
  });
});
