// Takes each protection away, one a test, and sees a packet reach the wrong server: histories in which a rule is not needed
// would prove nothing of it.
import { afterAll, describe, expect, it } from 'vitest';
import { type AttackName, attackOf } from './protocol/attacks.ts';
import type { DirectorFaults } from './protocol/director.ts';
import type { HistoryOptions, HistoryResult } from './protocol/history.ts';
import { compileWithout, type ProgramFaultName } from './protocol/variants.ts';
import { Workers } from './protocol/workers.ts';

/** Histories tried until one shows it. */
const SEEDS_MAX = 5;
const TIMEOUT_MS = 180_000;
const workers = new Workers();
afterAll(() => workers.close());

const run = async (attack: AttackName, seed: number, options: HistoryOptions): Promise<HistoryResult> =>
  (await workers.run({ scenario: attackOf(attack, seed), options })).result;

async function isMissed(attack: AttackName, options: HistoryOptions): Promise<boolean> {
  for (let seed = 1; seed <= SEEDS_MAX; seed += workers.count) {
    const seeds = Array.from({ length: Math.min(workers.count, SEEDS_MAX - seed + 1) }, (_, at) => seed + at);
    const results = await Promise.all(seeds.map((it) => run(attack, it, options)));
    if (results.some(({ findings }) => findings.some(({ kind }) => kind === 'misdirected'))) return true;
  }
  return false;
}

const CONTROL: readonly [string, AttackName, DirectorFaults][] = [
  ['the barrier', 'lag', { noBarrier: true }],
  ['the handshake hold', 'handshake', { noHandshakeHold: true }],
  ['base', 'nearlyIdle', { ignoresBase: true }],
  ['the settle window', 'nearlyIdle', { noSettleWindow: true }],
  ['the window that unrecorded packets hold', 'flood', { noUnrecorded: true }],
  ['live flows that hold their slot', 'lag', { noHeld: true }],
  ['the track epoch', 'reuse', { ignoresEpoch: true }],
  ['the incarnation', 'amnesia', { sameIncarnation: true }],
  ['the deadline', 'stale', { noDeadline: true }],
  ['the refresh', 'deaths', { noRefresh: true }],
  ['the generation of a server', 'returning', { ignoresGeneration: true }],
  ['the barrier of keys', 'keys', { noKeyBarrier: true }],
  ['waiting with the announcement', 'earlyJoin', { announcesEarly: true }],
  // Refreshes would make up for it, a little later.
  ['the copy to a new backup', 'deathsSoon', { noCopy: true, noRefresh: true }],
  ['the copy before a mux leaves', 'leaveAndDeath', { noCopyAhead: true }],
];

const PROGRAM: readonly [string, AttackName, readonly ProgramFaultName[]][] = [
  ['clients with affinity go to base', 'affinity', ['affinityAsNew']],
  ['a refresh is for the backup, too', 'deaths', ['refreshesOwnerOnly']],
  ['what finds no place is at base', 'flood', ['fullAnswersCurrent']],
  // Either would do for as long as the clients of these histories wait.
  ['SYNs are known for as long as clients wait', 'longHandshake', ['servesSynAlways', 'forgetsSynSoon']],
  ['a mux that is alone sends new flows to base', 'alone', ['aloneAsNew']],
  // The table would do for the cache, and the cache for the table.
  ['flows live on at a mux that is alone', 'alone', ['aloneIsNoLifeToTable', 'aloneIsNoLifeToCache']],
  ['a mux that slept does not go alone', 'hang', ['alonesAtOnce']],
];

describe('without', { timeout: TIMEOUT_MS }, () => {
  it.each(CONTROL)('%s a packet is misdirected', async (_, attack, faults) => {
    expect(await isMissed(attack, { faults })).toBe(true);
  });

  it.each(PROGRAM)('the rule that %s a packet is misdirected', async (_, attack, faults) => {
    expect(await isMissed(attack, { objectPath: compileWithout(...faults) })).toBe(true);
  });
});

it('without a copy alone, flows that are quiet between two deaths are lost', {
  timeout: TIMEOUT_MS,
}, async () => {
  const seeds = [1, 2];
  const lost = async (faults: DirectorFaults) =>
    (await Promise.all(seeds.map((seed) => run('deathsQuiet', seed, { faults })))).map(
      ({ counts, findings }) => counts.lostFlows! + findings.length,
    );
  expect(await lost({})).toEqual([0, 0]);
  // Who waits in vain for its copies has no second death to spare: that they are lost is counted, and no finding.
  expect(Math.max(...(await lost({ noCopy: true })))).toBeGreaterThan(0);
});

it('with a copy, and without refreshes, nothing is lost so soon', { timeout: TIMEOUT_MS }, async () => {
  expect((await run('deathsSoon', 1, { faults: { noRefresh: true } })).findings).toEqual([]);
});

describe('a program that', { timeout: TIMEOUT_MS }, () => {
  it.each([
    ['counts no reason', 'countsNothing'],
    ['counts two', 'countsTwice'],
  ] as const)('%s is found out', async (_, fault) => {
    const { findings } = await run('lag', 1, { objectPath: compileWithout(fault) });
    expect(findings[0]?.kind).toBe('accounting');
  });

  it('is given slots of others is found out', async () => {
    const { findings } = await run('lag', 1, { faults: { turnsSlots: true } });
    expect(findings[0]?.kind).toBe('backend');
  });
});
