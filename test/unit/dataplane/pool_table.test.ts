import { expect, it } from 'vitest';
import { PoolTable } from '../../../control/dataplane/pool_table.ts';

it('says where the slots of a pool are, in one word', () => {
  const words = new BigUint64Array(8);
  const table = new PoolTable(words);
  table.add(
    new Map([
      [3, { base: 10, count: 5 }],
      [4, { base: 100, count: 7 }],
    ]),
  );
  expect(words[3]).toBe((5n << 32n) | 10n);
  expect(table.get(3)).toEqual({ base: 10, count: 5 });
  expect(table.poolOf(14)).toEqual({ id: 3, base: 10, count: 5 });
  expect([15, 99, 107].map((slot) => table.poolOf(slot))).toEqual([undefined, undefined, undefined]);
  table.keepOnly(new Set([4]));
  expect(words[3]).toBe(0n);
  expect(table.get(3)).toBeUndefined();
  expect([...table.entries()]).toEqual([[4, { base: 100, count: 7 }]]);
});

it('is made to say what stands, whatever was left', () => {
  const words = new BigUint64Array(8);
  words[2] = 99n;
  words[5] = 98n;
  const table = new PoolTable(words);
  table.adopt(new Map([[2, { base: 1, count: 2 }]]));
  expect([words[2], words[5]]).toEqual([(2n << 32n) | 1n, 0n]);
});
