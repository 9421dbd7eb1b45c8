import { expect, it } from 'vitest';
import { Membership } from '../../../control/cluster/member_core.ts';
import { membershipProblems } from '../../../control/node/mux_cluster_problems.ts';

const LEASE_MS = 3_000;
const SELF = { id: 1, incarnation: 1 };
const OTHER = { id: 2, incarnation: 1 };

/** A mux of a version with these, that registered at 0. */
function memberWith(...others: (typeof OTHER)[]): Membership {
  const membership = new Membership(SELF, { leaseMs: LEASE_MS, marginMs: 500, isAdopted: false });
  const members = [SELF, ...others].map((it) => ({ ...it, name: `m${it.id}` }));
  const version = { number: 1, digest: 'd1', members, gone: [] };
  membership.step({ kind: 'head', head: undefined }, 0);
  membership.step({ kind: 'serving', isServing: true }, 0);
  membership.step({ kind: 'registered', sentMs: 0 }, 0);
  membership.step({ kind: 'head', head: version }, 0);
  membership.step({ kind: 'applied', version, pledges: [] }, 0);
  return membership;
}

const told = (membership: Membership, nowMs: number) =>
  membershipProblems(
    {
      name: 'm1',
      hasAddress: true,
      membership,
      suspects: [],
      heardAgoMs: new Map(),
      leaseMs: LEASE_MS,
      isServing: true,
    },
    nowMs,
  );

it('a mux that its store refuses does not say that the store is away', () => {
  const pair = memberWith(OTHER);
  pair.step({ kind: 'failed', code: 'conflict' }, 1_000);
  expect(told(pair, 2_500)).toEqual([]);
  // It was, and has answered since.
  pair.step({ kind: 'failed', code: 'timeout' }, 2_600);
  pair.step({ kind: 'failed', code: undefined }, 2_700);
  expect(told(pair, 2_900)).toEqual([]);
});

it('a mux whose store is away goes on by pledges, or as long as it runs where it is the only one', () => {
  const pair = memberWith(OTHER);
  pair.step({ kind: 'failed', code: 'unavailable' }, 1_000);
  expect(told(pair, 2_500)).toMatchObject([
    {
      message: 'The store has not answered for 1.5 s.',
      cause: 'This mux goes on as long as a majority of the muxes pledges that nothing has changed.',
    },
  ]);
  const alone = memberWith();
  alone.step({ kind: 'failed', code: 'unavailable' }, 1_000);
  expect(told(alone, 100_000)).toMatchObject([
    { cause: 'This mux is the only one, and goes on as long as it runs.' },
  ]);
});
