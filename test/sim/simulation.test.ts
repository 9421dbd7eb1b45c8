// Histories of fixed seeds, and those that once broke a rule. More of them: scripts/sim.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALONE } from './lib/judgement.ts';
import { HostPrograms } from './lib/nodes.ts';
import { quietScenarioOf, type Scenario, scenarioOf } from './lib/scenario.ts';
import { type Result, simulate } from './lib/simulation.ts';

const SEEDS = Array.from({ length: 12 }, (_, at) => at + 1);
const REGRESSIONS = join(import.meta.dirname, 'regressions');
let hosts: HostPrograms;
const results: Result[] = [];

beforeAll(async () => {
  hosts = await HostPrograms.load();
});
afterAll(() => hosts?.close());

describe('random histories', () => {
  it.each(SEEDS)('seed %d breaks no rule', async (seed) => {
    const result = await simulate(scenarioOf(seed), hosts.decaps);
    results.push(result);
    expect(result.violations).toEqual([]);
  });

  it('have everything in them, together', () => {
    const sum = (pick: (result: Result) => number): number =>
      results.reduce((total, it) => total + pick(it), 0);
    for (const reason of [
      'FORWARD',
      'FORWARD_FIRST_FRAGMENT',
      'FORWARD_LATER_FRAGMENT',
      'FORWARD_ICMP_ERROR',
      'DROP_FRAGMENT_UNKNOWN',
      'DROP_NO_BACKEND',
      'REPLY_ECHO',
      'PASS_NOT_A_SERVICE',
      'DECAP',
    ]) {
      expect(
        sum(({ summary }) => summary.reasons[reason] ?? 0),
        reason,
      ).toBeGreaterThan(0);
    }
    const kinds = results.flatMap(({ scenario }) => scenario.actions.map(({ kind }) => kind));
    for (const kind of ['edit', 'reshuffle', 'leave', 'join', 'reboot', 'icmpError'])
      expect(kinds).toContain(kind);
    expect(sum(({ summary }) => summary.lost)).toBeGreaterThan(0);
    expect(sum(({ summary }) => summary.movedSlots)).toBeGreaterThan(0);
    expect(results.some(({ scenario }) => scenario.weather.straggling > 0)).toBe(true);
    expect(sum(({ summary }) => summary.tolerated.misdirected ?? 0)).toBeGreaterThan(0);
    expect(sum(({ summary }) => summary.tolerated.fragment ?? 0)).toBeGreaterThan(0);
    expect(sum(({ summary }) => summary.ends.broken)).toBeGreaterThan(0);
  });
});

describe('muxes that are in no cluster', () => {
  it.each([1, 2])('while pools do not change, no flow leaves its server: seed %d', async (seed) => {
    const scenario = scenarioOf(seed);
    const actions = scenario.actions.filter(({ kind }) => kind !== 'edit');
    const { fragment } = ALONE;
    const result = await simulate({ ...scenario, actions }, hosts.decaps, {
      tolerance: { fragment: fragment! },
    });
    expect(result.violations).toEqual([]);
    expect(result.summary.ends.broken).toBe(0);
  });

  it.each([1, 2])('in fair weather every flow is served to its end: seed %d', async (seed) => {
    const { violations, summary } = await simulate(quietScenarioOf(seed), hosts.decaps, { tolerance: {} });
    expect(violations).toEqual([]);
    expect(summary.ends).toMatchObject({ open: 0, unanswered: 0, broken: 0, timedOut: 0 });
    expect(summary.ends.finished).toBeGreaterThan(10);
    expect(Object.keys(summary.reasons).filter((reason) => reason.startsWith('DROP'))).toEqual([]);
  });
});

describe('a seed', () => {
  it('leads to the same history twice, bytes included, and another seed to another', async () => {
    const digests: string[] = [];
    for (const seed of [5, 5, 6]) digests.push((await simulate(scenarioOf(seed), hosts.decaps)).digest);
    expect(digests[1]).toBe(digests[0]);
    expect(digests[2]).not.toBe(digests[0]);
  });

  it('decides what happens to a packet, whatever else happens', async () => {
    const scenario = scenarioOf(5);
    const pings = scenario.actions.filter(({ kind }) => kind !== 'ping');
    const whole = await simulate(scenario, hosts.decaps);
    const part = await simulate({ ...scenario, actions: pings }, hosts.decaps);
    const flowLines = ({ trace }: Result): string[] =>
      trace.filter(({ flow }) => flow !== undefined).map(({ text }) => text);
    expect(flowLines(part)).toEqual(flowLines(whole));
  });
});

describe('histories that were of interest once', () => {
  const files = readdirSync(REGRESSIONS).filter((name) => name.endsWith('.json'));
  const read = (name: string): Scenario =>
    JSON.parse(readFileSync(join(REGRESSIONS, name), 'utf8')) as Scenario;

  it.each(files)('%s breaks no rule', async (name) => {
    expect((await simulate(read(name), hosts.decaps)).violations).toEqual([]);
  });

  it('show the shortest ways in which a flow loses its server, and a datagram its fragments', async () => {
    const found = async (name: string) =>
      (await simulate(read(name), hosts.decaps, { tolerance: {} })).violations.map(({ kind }) => kind);
    expect(await found('change-misdirects.json')).toContain('misdirected');
    expect(await found('reshuffle-separates-fragments.json')).toContain('fragment');
  });
});
