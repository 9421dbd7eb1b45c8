import fc from 'fast-check';
import { expect, it } from 'vitest';
import { evenSlots } from '../../../control/pool/even.ts';

it('gives every backend the same share, give or take one slot', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 4095 }), { minLength: 1, maxLength: 200 }),
      (backends) => {
        const counts = new Map<number, number>();
        for (const backend of evenSlots(backends, 65537)) counts.set(backend, (counts.get(backend) ?? 0) + 1);
        expect(new Set(counts.keys())).toEqual(new Set(backends));
        expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 20 },
  );
});

it('leaves the slots of an empty pool empty', () => {
  expect(evenSlots([], 7)).toEqual(new Uint16Array(7));
});
