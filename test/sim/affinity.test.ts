// The model of the filter protocol: with all of its rules no history has a double answer, a missing one, a reset of a living
// server's connection or a client that is moved; without any one of them some history has. More: scripts/sim --model affinity.
import { describe, expect, it } from 'vitest';
import { ATTACKS, type AttackName, attackOf } from './affinity/attacks.ts';
import { runHistory, story } from './affinity/history.ts';
import type { FindingKind } from './affinity/oracle.ts';
import { RULES, type Rule, rulesWithout } from './affinity/rules.ts';

const IS_LONG = process.env.HOLDFAST_LONG === '1';
const SEEDS = IS_LONG ? 100 : 5;
/** Histories tried until one shows that a rule is missed. */
const SEEDS_MAX = 40;
const TIMEOUT_MS = 600_000;

const attacks = Object.keys(ATTACKS) as AttackName[];
const seen = new Set<string>();

describe('with all rules', { timeout: TIMEOUT_MS }, () => {
  it.each(attacks)('%s breaks nothing', async (name) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const scenario = attackOf(name, seed);
      const { findings, counts, reasons } = await runHistory(scenario);
      for (const reason of Object.keys(reasons)) seen.add(reason);
      // Told from the start only where there is something to tell.
      const text = findings.length === 0 ? '' : await storyOf(name, seed);
      expect(findings, text).toEqual([]);
      expect(counts.requests).toBeGreaterThan(50);
    }
  });

  it('everything that a server does with a packet happens', () => {
    for (const reason of [
      'FENCED',
      '0 NOT_MINE',
      '1 HERE',
      '1 SOCKET',
      '2 FOREIGN',
      '3 NOT_MINE',
      '4 CLEAN',
      '4 CLEAN UNRECORDED',
      '5 QUERY',
      '5 RELEASING',
      'QUERY_MINE',
      'QUERY_UNKNOWN',
      'HOME_FOREIGN',
      'HOME_LEARNT',
      'HOME_NOBODY',
      'HOME_NOBODY UNRECORDED',
      'HOME_NOT_MINE',
      'HOME_NO_CONNECTION',
    ])
      expect([...seen], reason).toContain(reason);
  });
});

async function storyOf(name: AttackName, seed: number): Promise<string> {
  const result = await runHistory(attackOf(name, seed), { isTraced: true });
  return `${name}, seed ${seed}\n${story(result, result.findings[0]!, 30)}`;
}

const MISSED: Readonly<Record<Rule, readonly [AttackName, FindingKind]>> = {
  q5: ['moves', 'reset'],
  tomb: ['newcomers', 'double'],
  rehome: ['newcomers', 'double'],
  twostep: ['lag', 'unanswered'],
  barrier: ['lag', 'unanswered'],
  norel: ['lag', 'unanswered'],
  nofrefresh: ['silent', 'unanswered'],
  inc: ['crashesOfLong', 'unanswered'],
  newIncarnation: ['hangs', 'double'],
  deadline: ['hangs', 'double'],
  joinTables: ['crashes', 'double'],
  cleanReport: ['moves', 'reset'],
  push: ['holders', 'double'],
  witness: ['full', 'reset'],
  reportsVersion: ['few', 'reset'],
  witnessFirst: ['full', 'unanswered'],
  witnessOnlyPasses: ['silent', 'double'],
  connectionIsNotClient: ['silent', 'unanswered'],
  cleanRecords: ['silent', 'moved'],
  reportsSockets: ['full', 'reset'],
  ownSocket: ['silent', 'reset'],
  queryRefreshes: ['ending', 'unanswered'],
  tombOfMine: ['full', 'unanswered'],
  tombNotMine: ['full', 'unanswered'],
  tombOutlivesLag: ['lag', 'reset'],
  sameRecord: ['reordered', 'double'],
  releaseBarrier: ['lag', 'unanswered'],
  releasingAsks: ['lag', 'double'],
  releasingRecords: ['fullDatagrams', 'double'],
  incByVersion: ['comebacks', 'double'],
  queryEnds: ['pauses', 'double'],
  releaseHold: ['lossy', 'unanswered'],
  pushOnlyHints: ['holders', 'unanswered'],
  pushedAsks: ['holders', 'reset'],
};

describe('without the rule', { timeout: TIMEOUT_MS }, () => {
  const table = (Object.keys(RULES) as Rule[]).map((rule) => [rule, ...MISSED[rule]] as const);

  it.each(table)('%s, %s ends in: %s', async (rule, name, kind) => {
    const rules = rulesWithout(rule);
    let count = 0;
    for (let seed = 1; seed <= SEEDS_MAX && count === 0; seed++)
      count = (await runHistory(attackOf(name, seed), { rules })).found[kind];
    expect(count).toBeGreaterThan(0);
  });
});

it('a seed leads to the same history twice, and another seed to another', async () => {
  const told: string[] = [];
  for (const seed of [7, 7, 8]) {
    const { trace } = await runHistory(attackOf('lossy', seed), { isTraced: true });
    told.push(trace.map(({ line }) => line).join('\n'));
  }
  expect(told[0]!.length).toBeGreaterThan(10_000);
  expect(told[1]).toBe(told[0]);
  expect(told[2]).not.toBe(told[0]);
});
