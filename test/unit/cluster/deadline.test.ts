import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acknowledgeAtMs, Deadline, fencedAtMs, isMajority } from '../../../control/cluster/deadline_core.ts';

const TIMES = { leaseMs: 3_000, marginMs: 300 };

function member(peers: number[]): Deadline {
  const deadline = new Deadline(TIMES);
  deadline.stand({ kind: 'member', peers });
  return deadline;
}

describe('a deadline', () => {
  it('has never been for who is no member, and never comes for who is alone', () => {
    const deadline = new Deadline(TIMES);
    deadline.renewed(1_000);
    expect(deadline.atMs).toBe(Number.NEGATIVE_INFINITY);
    deadline.stand({ kind: 'alone' });
    expect(deadline.atMs).toBe(Number.POSITIVE_INFINITY);
    deadline.stand({ kind: 'member', peers: [2] });
    expect(deadline.atMs).toBe(4_000);
  });

  it('counts from sending, and an answer that was overtaken does not shorten it', () => {
    const deadline = member([2, 3]);
    deadline.renewed(5_000);
    deadline.renewed(4_000);
    expect(deadline.atMs).toBe(8_000);
  });

  it('is over where proofs count no more, until the next one', () => {
    const deadline = member([2, 3]);
    deadline.renewed(5_000);
    deadline.void(5_500);
    expect(deadline.atMs).toBe(Number.NEGATIVE_INFINITY);
    deadline.renewed(6_000);
    expect(deadline.atMs).toBe(9_000);
  });

  it('asks for pledges once half the lease has gone by without a renewal, and not too often', () => {
    const deadline = member([2, 3]);
    deadline.renewed(0);
    expect(deadline.askPledges(10, 1_499)).toBe(false);
    expect(deadline.askPledges(11, 1_500)).toBe(true);
    expect(deadline.askPledges(12, 1_550)).toBe(false);
    expect(deadline.askPledges(13, 1_875)).toBe(true);
  });

  it('asks nobody once it has passed: a version that removed this mux may have been missed', () => {
    const deadline = member([2, 3]);
    deadline.renewed(0);
    expect(deadline.askPledges(10, 3_000)).toBe(false);
  });

  it.each([
    { peers: [2], pledges: [], extends: false },
    { peers: [2], pledges: [2], extends: true },
    { peers: [2, 3], pledges: [3], extends: true },
    { peers: [2, 3, 4], pledges: [3], extends: false },
    { peers: [2, 3, 4], pledges: [3, 4], extends: true },
    { peers: [2, 3, 4, 5], pledges: [3, 9], extends: false },
  ])('with peers $peers and pledges of $pledges goes on: $extends', ({ peers, pledges, extends: goesOn }) => {
    const deadline = member(peers);
    deadline.renewed(0);
    deadline.askPledges(7, 2_000);
    expect(deadline.pledged(new Map(pledges.map((peer) => [peer, 7])))).toBe(goesOn);
    expect(deadline.atMs).toBe(goesOn ? 5_000 : 3_000);
  });

  it('takes no pledge to another round', () => {
    const deadline = member([2, 3]);
    deadline.renewed(0);
    deadline.askPledges(7, 2_000);
    deadline.askPledges(8, 2_500);
    expect(deadline.pledged(new Map([[2, 7]]))).toBe(false);
    expect(deadline.pledged(new Map([[2, 8]]))).toBe(true);
    expect(deadline.atMs).toBe(5_500);
  });

  it('takes no pledge that was asked of others than those it stands with now', () => {
    const deadline = member([2, 3]);
    deadline.renewed(0);
    deadline.askPledges(7, 2_000);
    deadline.stand({ kind: 'member', peers: [2, 4] });
    expect(deadline.pledged(new Map([[2, 7]]))).toBe(false);
  });
});

it('counts a removed mux as fenced a margin after its lease, however the lease came to its end', () => {
  expect(fencedAtMs({ removedAtMs: 1_000, leaseIsGone: true, leaseMs: 3_000 }, 300)).toBe(1_300);
  expect(fencedAtMs({ removedAtMs: 1_000, leaseIsGone: false, leaseMs: 3_000 }, 300)).toBe(4_300);
});

it('acknowledges a version only when every mux that it pledged an older one to has come to its deadline', () => {
  const pledges = [
    { atMs: 1_000, version: 7, leaseMs: 3_000 },
    { atMs: 2_000, version: 8, leaseMs: 3_000 },
  ];
  expect(acknowledgeAtMs(8, pledges, 300)).toBe(4_300);
  expect(acknowledgeAtMs(9, pledges, 300)).toBe(5_300);
  expect(acknowledgeAtMs(7, pledges, 300)).toBe(Number.NEGATIVE_INFINITY);
});

it('never lets a removed mux decide after it counts as fenced, nor a pledge outlast the barrier of its pledger', () => {
  // One renewal is answered somewhere between sending and the removal; one pledge is given before the version.
  fc.assert(
    fc.property(
      fc.record({
        sentMs: fc.nat(10_000),
        answerMs: fc.nat(10_000),
        removedAfterMs: fc.nat(10_000),
        leaseMs: fc.integer({ min: 100, max: 10_000 }),
        marginMs: fc.integer({ min: 1, max: 1_000 }),
      }),
      ({ sentMs, answerMs, removedAfterMs, leaseMs, marginMs }) => {
        const deadline = new Deadline({ leaseMs, marginMs });
        deadline.stand({ kind: 'member', peers: [2, 3] });
        deadline.renewed(sentMs);
        const removedAtMs = sentMs + answerMs + removedAfterMs;
        expect(deadline.atMs).toBeLessThan(
          fencedAtMs({ removedAtMs, leaseIsGone: false, leaseMs }, marginMs),
        );
        // The pledger's stamp is never before the round was sent.
        deadline.askPledges(1, sentMs + leaseMs - 1);
        deadline.pledged(new Map([[2, 1]]));
        const stamp = { atMs: sentMs + leaseMs - 1 + answerMs, version: 1, leaseMs };
        expect(deadline.atMs).toBeLessThan(acknowledgeAtMs(2, [stamp], marginMs));
      },
    ),
  );
});

it('takes half of a cluster for no majority of it', () => {
  expect([isMajority(1, 2), isMajority(2, 3), isMajority(2, 4), isMajority(1, 1)]).toEqual([
    false,
    true,
    false,
    true,
  ]);
});
