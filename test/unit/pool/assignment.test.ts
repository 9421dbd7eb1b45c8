import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignSlots } from '../../../control/pool/assignment.ts';
import { maglevTable } from '../../bench/lib/maglev.ts';

type Weights = ReadonlyMap<number, number>;

const SLOTS = 65_537;
const none = (slots = SLOTS): Uint16Array => new Uint16Array(slots);
const equal = (count: number, weight = 100): Map<number, number> =>
  new Map(Array.from({ length: count }, (_, at) => [at + 1, weight]));

function countsOf(table: Uint16Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const backend of table) counts.set(backend, (counts.get(backend) ?? 0) + 1);
  return counts;
}

/** The exact share as a fraction, rounded both ways. */
function boundsOf(weights: Weights, slots: number): Map<number, { floor: number; ceil: number }> {
  const total = [...weights.values()].reduce((sum, weight) => sum + BigInt(weight), 0n);
  return new Map(
    [...weights]
      .filter(([, weight]) => weight > 0)
      .map(([backend, weight]) => {
        const product = BigInt(slots) * BigInt(weight);
        return [
          backend,
          { floor: Number(product / total), ceil: Number((product + total - 1n) / total) },
        ] as const;
      }),
  );
}

function isLegal(table: Uint16Array, weights: Weights): boolean {
  const bounds = boundsOf(weights, table.length);
  const counts = countsOf(table);
  if (bounds.size === 0) return table.every((backend) => backend === 0);
  for (const backend of counts.keys()) if (!bounds.has(backend)) return false;
  return [...bounds].every(([backend, { floor, ceil }]) => {
    const count = counts.get(backend) ?? 0;
    return count === floor || count === ceil;
  });
}

/** Slots that had a backend and have another one, or none. */
function movedSlots(before: Uint16Array, after: Uint16Array): number[] {
  return [...before.keys()].filter((slot) => before[slot] !== 0 && before[slot] !== after[slot]);
}

/**
 * What any legal table must move: slots of those that are gone, and what is beyond the rounded-up share; of the slots
 * between floor and ceiling only as many can stay as there are shares to round up.
 */
function movedAtLeast(before: Uint16Array, weights: Weights): number {
  const bounds = boundsOf(weights, before.length);
  if (bounds.size === 0) return before.filter((backend) => backend !== 0).length;
  let roundedUp = before.length - [...bounds.values()].reduce((sum, { floor }) => sum + floor, 0);
  let least = 0;
  for (const [backend, count] of countsOf(before)) {
    const bound = bounds.get(backend);
    if (backend === 0) continue;
    if (bound === undefined) {
      least += count;
    } else if (count > bound.floor) {
      const keeps = bound.ceil > bound.floor && roundedUp > 0 ? 1 : 0;
      roundedUp -= keeps;
      least += count - bound.floor - keeps;
    }
  }
  return least;
}

const weightsOf = (backends: number, weight: fc.Arbitrary<number>): fc.Arbitrary<Weights> =>
  fc
    .uniqueArray(fc.tuple(fc.integer({ min: 1, max: backends }), weight), {
      selector: ([backend]) => backend,
      maxLength: backends,
    })
    .map((entries) => new Map(entries));

const anyWeight = fc.oneof(
  fc.constantFrom(0, 1, 100, 65_535),
  fc.integer({ min: 0, max: 65_535 }),
  fc.constant(100),
);

describe('shares', () => {
  it('are exact, rounded down or up: at 100 backends within 1 % of the share', () => {
    const table = assignSlots(none(), equal(100));
    const counts = countsOf(table);
    expect(counts.size).toBe(100);
    for (const count of counts.values()) expect(Math.abs(count / (SLOTS / 100) - 1)).toBeLessThan(0.01);
    expect(isLegal(table, equal(100))).toBe(true);
  });

  it('follow weights, whatever the table was before', () => {
    const setting = fc.record({
      slots: fc.constantFrom(1, 2, 7, 97, 1_009),
      before: weightsOf(12, anyWeight),
      after: weightsOf(12, anyWeight),
    });
    fc.assert(
      fc.property(setting, ({ slots, before, after }) => {
        const first = assignSlots(none(slots), before);
        expect(isLegal(first, before)).toBe(true);
        expect(isLegal(assignSlots(first, after), after)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('of an empty table are those of the largest remainders', () => {
    fc.assert(
      fc.property(weightsOf(40, fc.integer({ min: 1, max: 65_535 })), (weights) => {
        fc.pre(weights.size > 0);
        const bounds = boundsOf(weights, 1_009);
        const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
        const remainder = (backend: number): number => (1_009 * weights.get(backend)!) % total;
        const counts = countsOf(assignSlots(none(1_009), weights));
        const up = [...bounds.keys()].filter((it) => (counts.get(it) ?? 0) > bounds.get(it)!.floor);
        const down = [...bounds.keys()].filter((it) => !up.includes(it));
        const least = Math.min(...up.map(remainder));
        for (const backend of down) expect(remainder(backend)).toBeLessThanOrEqual(least);
      }),
    );
  });

  it('of a backend without weight are nothing', () => {
    const drained = assignSlots(assignSlots(none(97), equal(3)), new Map([...equal(3), [2, 0]]));
    expect(countsOf(drained).get(2)).toBeUndefined();
    expect(isLegal(drained, new Map([...equal(3), [2, 0]]))).toBe(true);
  });

  it('are nobody’s where there is no backend or no weight', () => {
    const table = assignSlots(none(97), equal(3));
    expect(assignSlots(table, new Map())).toEqual(none(97));
    expect(assignSlots(table, equal(3, 0))).toEqual(none(97));
    expect(assignSlots(none(0), equal(3))).toEqual(none(0));
    // The argument is not written to.
    expect(table).toEqual(assignSlots(none(97), equal(3)));
  });

  it.each([
    [0, 1],
    [65_536, 1],
    [1.5, 1],
    [1, -1],
    [1, 65_536],
    [1, 0.5],
  ])('of backend %d with weight %d are refused', (backend, weight) => {
    expect(() => assignSlots(none(7), new Map([[backend, weight]]))).toThrow(RangeError);
  });
});

describe('a change', () => {
  it('moves no more slots than any legal table must: every table tried', () => {
    const setting = fc.record({
      slots: fc.integer({ min: 1, max: 6 }),
      seed: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 6, maxLength: 6 }),
      weights: weightsOf(3, fc.integer({ min: 0, max: 5 })),
    });
    fc.assert(
      fc.property(setting, ({ slots, seed, weights }) => {
        const before = Uint16Array.from(seed.slice(0, slots));
        let least = Number.POSITIVE_INFINITY;
        for (let number = 0; number < 4 ** slots; number++) {
          const candidate = Uint16Array.from({ length: slots }, (_, slot) => (number >> (2 * slot)) & 3);
          if (isLegal(candidate, weights)) least = Math.min(least, movedSlots(before, candidate).length);
        }
        expect(movedSlots(before, assignSlots(before, weights))).toHaveLength(least);
      }),
      { numRuns: 150 },
    );
  });

  it('moves as many slots as the shares ask for, through long histories', () => {
    const history = fc.array(weightsOf(60, anyWeight), { minLength: 2, maxLength: 25 });
    fc.assert(
      fc.property(fc.constantFrom(97, 1_009), history, (slots, steps) => {
        let table = none(slots);
        for (const weights of steps) {
          const next = assignSlots(table, weights);
          expect(isLegal(next, weights)).toBe(true);
          expect(movedSlots(table, next)).toHaveLength(movedAtLeast(table, weights));
          // Nothing is asked for twice.
          expect(assignSlots(next, weights)).toEqual(next);
          table = next;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('never moves a slot from one backend that stays to another when some leave, where Maglev does', () => {
    let maglevMoved = 0;
    const setting = fc.record({
      weights: weightsOf(80, fc.integer({ min: 1, max: 1_000 })),
      leaving: fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 }),
    });
    fc.assert(
      fc.property(setting, ({ weights, leaving }) => {
        const staying = new Map([...weights].filter(([backend]) => !leaving.includes(backend)));
        fc.pre(staying.size > 0 && staying.size < weights.size);
        const before = assignSlots(none(1_009), weights);
        const after = assignSlots(before, staying);
        for (const slot of movedSlots(before, after)) expect(staying.has(before[slot]!)).toBe(false);

        const order = [...weights.keys()].sort((a, b) => a - b);
        const old = maglevTable(order, 1_009);
        const rebuilt = maglevTable(
          order.filter((backend) => staying.has(backend)),
          1_009,
        );
        maglevMoved += movedSlots(old, rebuilt).filter((slot) => staying.has(old[slot]!)).length;
      }),
    );
    expect(maglevMoved).toBeGreaterThan(0);
  });

  it('gives slots to nobody but who joins or gains weight', () => {
    fc.assert(
      fc.property(weightsOf(30, fc.integer({ min: 1, max: 1_000 })), fc.boolean(), (weights, joins) => {
        fc.pre(weights.size > 1);
        const gainer = joins ? 99 : weights.keys().next().value!;
        const more = new Map([...weights, [gainer, (weights.get(gainer) ?? 0) + 400]]);
        const before = assignSlots(none(1_009), weights);
        const after = assignSlots(before, more);
        for (const slot of movedSlots(before, after)) expect(after[slot]).toBe(gainer);
      }),
    );
  });

  it('does not depend on the order in which backends are named', () => {
    fc.assert(
      fc.property(weightsOf(20, anyWeight), weightsOf(20, anyWeight), (first, second) => {
        const reversed = (weights: Weights): Weights => new Map([...weights].reverse());
        const before = assignSlots(none(97), first);
        expect(assignSlots(none(97), reversed(first))).toEqual(before);
        expect(assignSlots(before, reversed(second))).toEqual(assignSlots(before, second));
      }),
    );
  });

  it('is the same as when this was written', () => {
    const weights = new Map(Array.from({ length: 100 }, (_, at) => [at + 1, 1 + ((at * 37) % 200)]));
    const table = assignSlots(none(), weights);
    const changed = assignSlots(table, new Map([...weights, [7, 0], [8, 500], [200, 77]]));
    const digest = (it: Uint16Array): string => createHash('sha256').update(it).digest('hex').slice(0, 16);
    expect([digest(table), digest(changed)]).toEqual(['05431a55208ac171', 'e3c1201be1cdb2e8']);
  });
});

describe('a new table', () => {
  it('has other backends at neighbouring slots', () => {
    for (const backends of [2, 3, 10, 100, 1_000]) {
      const table = assignSlots(none(), equal(backends));
      const alike = table.filter((backend, slot) => slot > 0 && backend === table[slot - 1]).length;
      // One in n would be alike by chance.
      expect(alike / SLOTS, `${backends} backends`).toBeLessThan(0.6 / backends);
    }
  });

  it('gives each part of it to all backends by their weights, without a period', () => {
    const weights = new Map([...equal(8), [9, 400]]);
    const table = assignSlots(none(), weights);
    for (let begin = 0; begin + 1_200 <= SLOTS; begin += 1_200) {
      const counts = countsOf(table.subarray(begin, begin + 1_200));
      for (const [backend, weight] of weights) {
        expect(Math.abs(counts.get(backend)! - weight)).toBeLessThanOrEqual(12);
      }
    }
    for (let period = 1; period <= 60; period++) {
      const again = table.filter((backend, slot) => slot >= period && backend === table[slot - period]);
      expect(again.length / SLOTS, `period ${period}`).toBeLessThan(0.35);
    }
  });
});

describe('slots that move', () => {
  const before = assignSlots(none(), equal(50));
  const after = assignSlots(before, new Map([...equal(50), [51, 100], [52, 200], [53, 50]]));
  const moved = movedSlots(before, after);

  it('come from every part of what their backend had, one from each', () => {
    for (const [donor, count] of countsOf(before)) {
      const own = [...before.keys()].filter((slot) => before[slot] === donor);
      const given = [...own.keys()].filter((ordinal) => after[own[ordinal]!] !== donor);
      const parts = given.map((ordinal) => Math.floor(((ordinal + 1) * given.length - 1) / count));
      expect(new Set(parts).size, `backend ${donor}`).toBe(given.length);
    }
  });

  it('are not at regular distances', () => {
    const distances = moved.slice(1).map((slot, at) => slot - moved[at]!);
    const mean = SLOTS / moved.length;
    expect(new Set(distances).size).toBeGreaterThan(4 * mean);
    // Of a Poisson process the deviation is the mean.
    const variance = distances.reduce((sum, it) => sum + (it - mean) ** 2, 0) / distances.length;
    expect(Math.sqrt(variance) / mean).toBeGreaterThan(0.7);
    expect(Math.sqrt(variance) / mean).toBeLessThan(1.3);
  });

  it('go to those who receive in equal parts, from every donor and every part of the table', () => {
    const receivers = [51, 52, 53];
    const total = countsOf(after);
    const seen = new Map<number, number>();
    moved.forEach((slot, at) => {
      const receiver = after[slot]!;
      seen.set(receiver, (seen.get(receiver) ?? 0) + 1);
      for (const it of receivers) {
        const expected = ((at + 1) * total.get(it)!) / moved.length;
        expect(Math.abs((seen.get(it) ?? 0) - expected)).toBeLessThanOrEqual(1 + receivers.length);
      }
    });
    for (const donor of countsOf(before).keys()) {
      const given = moved.filter((slot) => before[slot] === donor);
      const toLargest = given.filter((slot) => after[slot] === 52).length;
      // 4 of 7 on average, of about 85; five standard deviations.
      expect(Math.abs(toLargest / given.length - 4 / 7)).toBeLessThan(
        5 * Math.sqrt(((4 / 7) * (3 / 7)) / 80),
      );
    }
  });

  it('stay spread when backends leave and return again and again', () => {
    let table = assignSlots(none(), equal(20));
    for (let round = 0; round < 30; round++) {
      const without = new Map([...equal(20)].filter(([backend]) => backend !== 1 + (round % 20)));
      table = assignSlots(assignSlots(table, without), equal(20));
    }
    expect(isLegal(table, equal(20))).toBe(true);
    // Of 1,000 slots each backend has 50; what a hash would give deviates by 7.
    for (let begin = 0; begin + 1_000 <= SLOTS; begin += 1_000) {
      for (const count of countsOf(table.subarray(begin, begin + 1_000)).values()) {
        expect(Math.abs(count - 50)).toBeLessThan(30);
      }
    }
  });
});
