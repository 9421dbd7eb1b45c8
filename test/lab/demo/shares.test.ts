// What the demo calls fair and fewest, and what it does not.
import { describe, expect, it } from 'vitest';
import { areAsWeighted, furthest, sharesOf } from './shares.ts';
import { countSlots, fewestMoves, isSameTable, movedSlots } from './slots.ts';

const weights = new Map([
  ['a', 100],
  ['b', 300],
]);

describe('shares', () => {
  it('are compared with the weights', () => {
    expect(sharesOf({ a: 230, b: 770 }, weights)).toEqual([
      // √(1000 · 1/4 · 3/4) = 13.7
      { backend: 'a', connections: 230, ideal: 250, deviationPercent: -8, sigmas: 1.5 },
      { backend: 'b', connections: 770, ideal: 750, deviationPercent: 2.7, sigmas: 1.5 },
    ]);
  });

  it.each([
    ['as weighted', { a: 230, b: 770 }, true],
    ['further off than chance has it', { a: 170, b: 830 }, false],
    ['even where the weights are not', { a: 500, b: 500 }, false],
    ['of a backend that got nothing', { b: 1000 }, false],
    ['of too few connections', { a: 50, b: 150 }, false],
  ])('%s', (_, perBackend, expected) => {
    expect(areAsWeighted(sharesOf(perBackend, weights))).toBe(expected);
  });

  it('with weight 0 must be nothing', () => {
    const drained = new Map([...weights, ['c', 0]]);
    expect(areAsWeighted(sharesOf({ a: 250, b: 750 }, drained))).toBe(true);
    expect(areAsWeighted(sharesOf({ a: 250, b: 750, c: 1 }, drained))).toBe(false);
  });

  it('are led by the furthest', () => {
    const even = new Map(['a', 'b', 'c'].map((name) => [name, 1]));
    expect(furthest(sharesOf({ a: 300, b: 290, c: 340 }, even)).backend).toBe('c');
  });
});

describe('slots', () => {
  const before = Uint16Array.of(1, 1, 1, 2, 2, 2);

  it('that moved are those that differ', () => {
    expect([...movedSlots(before, Uint16Array.of(1, 1, 3, 2, 2, 3))]).toEqual([2, 5]);
    expect(isSameTable(before, before.slice())).toBe(true);
    expect(isSameTable(before, Uint16Array.of(1, 1, 1, 2, 2, 3))).toBe(false);
  });

  it.each([
    ['one that joins', [1, 1, 3, 2, 2, 3], 2],
    ['an exchange that gains nobody a slot', [2, 1, 1, 2, 2, 1], 0],
    ['one that leaves', [2, 2, 2, 2, 2, 2], 3],
  ])('must move at least as often as somebody gains: %s', (_, after, fewest) => {
    expect(fewestMoves(countSlots(before), countSlots(Uint16Array.from(after)))).toBe(fewest);
  });
});
