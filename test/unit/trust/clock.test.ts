// Clocks that are wrong for a while: what was made by one does not stay, and nothing is forgotten for good by it.
import { expect, it } from 'vitest';
import { type AuthorityState, holdersOfFormer } from '../../../control/trust/authority_core.ts';
import {
  CLOCK_MARGIN_MS,
  counts,
  type IssuedCertificate,
  isDue,
} from '../../../control/trust/identity_core.ts';

const NOW_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const WANTED: AuthorityState = { cluster: '00', issuing: 1, epoch: 1, authorities: [] };

function made(atMs: number, given: Partial<IssuedCertificate> = {}): IssuedCertificate {
  return { serial: 'AA', authority: 1, epoch: 1, madeAtMs: atMs, notAfterMs: atMs + 30 * DAY_MS, ...given };
}

it('a certificate from a clock that was ahead is made anew, once it is not valid by this one', () => {
  expect(isDue(made(NOW_MS + CLOCK_MARGIN_MS), WANTED, NOW_MS)).toBe(false);
  expect(isDue(made(NOW_MS + CLOCK_MARGIN_MS + 1), WANTED, NOW_MS)).toBe(true);
});

it('a superseded certificate does not count on and on for the clock that made the newest', () => {
  const after = (madeAtMs: number) => [made(NOW_MS - DAY_MS), made(madeAtMs, { serial: 'BB' })];
  expect(counts(after(NOW_MS - 1_000), 'AA', NOW_MS)).toBe(true);
  expect(counts(after(NOW_MS + CLOCK_MARGIN_MS), 'AA', NOW_MS)).toBe(true);
  expect(counts(after(NOW_MS + 400 * DAY_MS), 'AA', NOW_MS)).toBe(false);
  expect(counts(after(NOW_MS + 400 * DAY_MS), 'BB', NOW_MS)).toBe(true);
});

it('the former authority is not forgotten while anybody has a certificate of it, whatever time it is', () => {
  const wanted = { ...WANTED, issuing: 2 };
  const ended = { name: 'alice', certificates: [made(NOW_MS - 400 * DAY_MS)] };
  const renewed = { name: 'bob', certificates: [made(NOW_MS, { authority: 2 })] };
  expect(holdersOfFormer(wanted, [ended, renewed]).map(({ name }) => name)).toEqual(['alice']);
});
