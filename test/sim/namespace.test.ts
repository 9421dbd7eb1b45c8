// File nodes over one store, with the real cores: whatever is cut, crashes, hangs, lags or loses its power, nobody reads less than
// what is complete, every node comes back to the same, and what clients are told is linearizable; without any one of the
// rules some history shows it.
import { describe, expect, it } from 'vitest';
import { runHistory } from './namespace/history.ts';
import { isLinearizable, type Operation } from './namespace/linearizable.ts';
import { ATTACKS, type AttackName } from './namespace/scenario.ts';
import { coresWithout, RULES, type RuleName } from './namespace/variants.ts';
import type { Faults, FindingKind } from './namespace/world.ts';

const IS_LONG = process.env.HOLDFAST_LONG === '1';
const SEEDS = IS_LONG ? 100 : 3;
/** Histories tried until one shows that a rule is missed. */
const SEEDS_MAX = 15;
const TIMEOUT_MS = IS_LONG ? 3_600_000 : 120_000;

const attacks = Object.keys(ATTACKS) as AttackName[];
const sums = { changes: 0, complete: 0, incomplete: 0, reads: 0, peerPledges: 0 };

describe('with all rules', { timeout: TIMEOUT_MS }, () => {
  it.each(attacks)('%s breaks nothing', async (name) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { findings, counts, lines } = await runHistory(ATTACKS[name](seed));
      // Told from the start only where there is something to tell.
      const text = findings.length === 0 ? '' : `${name}, seed ${seed}\n${await storyOf(name, seed)}`;
      expect(findings, text).toEqual([]);
      expect(lines).toEqual([]);
      for (const kind of Object.keys(sums) as (keyof typeof sums)[]) sums[kind] += counts[kind];
      expect(counts.complete, `seed ${seed}`).toBeGreaterThan(10);
    }
  });

  it('so much happens that this means something', () => {
    expect(sums.changes).toBeGreaterThan(SEEDS * 12_000);
    expect(sums.complete).toBeGreaterThan(10_000);
    expect(sums.reads).toBeGreaterThan(SEEDS * 1_500);
    expect(sums.incomplete).toBeGreaterThan(0);
    expect(sums.peerPledges).toBeGreaterThan(SEEDS * 500);
  });
});

async function storyOf(name: AttackName, seed: number): Promise<string> {
  return (await runHistory(ATTACKS[name](seed), { isTraced: true })).lines.slice(-60).join('\n');
}

const MISSED: Readonly<Record<RuleName, readonly [AttackName, FindingKind]>> = {
  waitsForAcknowledgements: ['calm', 'stale'],
  waitsUntilStopped: ['cuts', 'stale'],
  acknowledgesWhatIsKept: ['slowDisks', 'stale'],
  waitsForPledges: ['peersAndOperators', 'stale'],
  leavesUnpledged: ['peersAndOperators', 'stale'],
  comesInWithTheNewest: ['lags', 'stale'],
  joinsWhenAllKnow: ['peers', 'stale'],
  isOverWhenUnpledged: ['cuts', 'stale'],
  onlyServingNodesVote: ['cuts', 'stale'],
  asksAMajority: ['cuts', 'stale'],
  countsFromSending: ['outages', 'stale'],
  waitsForTheLease: ['cuts', 'stale'],
  comesBack: ['cuts', 'stuck'],
  takesOffline: ['slow', 'late'],
};
const FAULTY: Readonly<Partial<Record<keyof Faults, readonly [AttackName, FindingKind]>>> = {
  ignoresRevision: ['lags', 'stale'],
  overwrites: ['calm', 'impossible'],
  ignoresDeadline: ['cuts', 'stale'],
  keepsLater: ['slowDisks', 'stale'],
  forgetsIds: ['cuts', 'impossible'],
};

describe('without the rule', { timeout: TIMEOUT_MS }, () => {
  const table = (Object.keys(RULES) as RuleName[]).map((rule) => [rule, ...MISSED[rule]] as const);

  it.each(table)('%s, %s ends in: %s', async (rule, name, kind) => {
    const cores = await coresWithout(rule);
    expect(await foundBy(name, kind, { cores })).toBe(true);
  });
});

describe('with a driver or a store that', { timeout: TIMEOUT_MS }, () => {
  const table = Object.entries(FAULTY).map(([fault, it]) => [fault, ...it] as const);

  it.each(table)('%s, %s ends in: %s', async (fault, name, kind) => {
    expect(await foundBy(name, kind, { faults: { [fault]: true } })).toBe(true);
  });
});

async function foundBy(
  name: AttackName,
  kind: FindingKind,
  options: Parameters<typeof runHistory>[1],
): Promise<boolean> {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const { findings } = await runHistory(ATTACKS[name](seed), options);
    if (findings.some((it) => it.kind === kind)) return true;
  }
  return false;
}

it('a seed leads to the same history twice, and another seed to another', async () => {
  const told: string[] = [];
  for (const seed of [7, 7, 8])
    told.push((await runHistory(ATTACKS.all(seed), { isTraced: true })).lines.join('\n'));
  expect(told[0]!.length).toBeGreaterThan(10_000);
  expect(told[1]).toBe(told[0]);
  expect(told[2]).not.toBe(told[0]);
});

describe('the checker', () => {
  const at = (op: 'mkdir' | 'rmdir', calledMs: number, answeredMs: number, answer: string): Operation => ({
    action: { op, path: '/a' },
    calledMs,
    answeredMs,
    answer,
  });
  const read = (calledMs: number, answeredMs: number, answer: string): Operation => ({
    action: { op: 'read' },
    calledMs,
    answeredMs,
    answer,
  });

  it.each<[string, boolean, Operation[]]>([
    [
      'what happened in order',
      true,
      [at('mkdir', 0, 1, 'ok'), read(2, 3, '/a folder'), at('rmdir', 4, 5, 'ok')],
    ],
    ['two of which one was first', true, [at('mkdir', 0, 3, 'conflict'), at('mkdir', 1, 4, 'ok')]],
    ['two that were both first', false, [at('mkdir', 0, 3, 'ok'), at('mkdir', 1, 4, 'ok')]],
    [
      'a read of before, while it changes',
      true,
      [at('mkdir', 0, 9, 'ok'), read(1, 2, ''), read(3, 4, '/a folder')],
    ],
    [
      'a read of before, after one of after',
      false,
      [at('mkdir', 0, 9, 'ok'), read(1, 2, '/a folder'), read(3, 4, '')],
    ],
    ['a read of before, when it is done', false, [at('mkdir', 0, 1, 'ok'), read(2, 3, '')]],
    [
      'what was never answered',
      true,
      [at('mkdir', 0, Number.POSITIVE_INFINITY, 'ok'), read(5, 6, ''), read(7, 8, '/a folder')],
    ],
  ])('knows %s', (_, is, history) => {
    expect(isLinearizable(history)).toBe(is);
  });
});
