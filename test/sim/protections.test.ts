// Takes each protection away, one a test, and sees a packet reach the wrong server: histories in which a rule is not needed
// would prove nothing of it.
import { describe, expect, it } from 'vitest';
import { type AttackName, attackOf } from './protocol/attacks.ts';
import type { DirectorFaults } from './protocol/director.ts';
import { type HistoryOptions, runHistory } from './protocol/history.ts';
import { compileWithout, type ProgramFaultName } from './protocol/variants.ts';

/** Histories tried until one shows it. */
const SEEDS_MAX = 5;
const TIMEOUT_MS = 180_000;

async function isMissed(attack: AttackName, options: HistoryOptions): Promise<boolean> {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const { findings } = await runHistory(attackOf(attack, seed), options);
    if (findings.some(({ kind }) => kind === 'misdirected')) return true;
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
  // Refreshes would make up for it, a little later.
  ['the copy to a new backup', 'deathsSoon', { noCopy: true, noRefresh: true }],
];

const PROGRAM: readonly [string, AttackName, ProgramFaultName][] = [
  ['clients with affinity go to base', 'affinity', 'affinityAsNew'],
  ['a mux that slept does not go alone', 'hang', 'alonesAtOnce'],
];

describe('without', { timeout: TIMEOUT_MS }, () => {
  it.each(CONTROL)('%s a packet is misdirected', async (_, attack, faults) => {
    expect(await isMissed(attack, { faults })).toBe(true);
  });

  it.each(PROGRAM)('the rule that %s a packet is misdirected', async (_, attack, fault) => {
    expect(await isMissed(attack, { objectPath: compileWithout(fault) })).toBe(true);
  });
});

it('without a copy, and with refreshes, or the other way round, nothing is lost so soon', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { findings } = await runHistory(attackOf('deathsSoon', 1), { faults: { noRefresh: true } });
  expect(findings).toEqual([]);
});
