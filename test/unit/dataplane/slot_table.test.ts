import { describe, expect, it } from 'vitest';
import { placeRanges, SlotTable } from '../../../control/dataplane/slot_table.ts';

describe('slots', () => {
  it('are written as clean words, and only those that differ', () => {
    const words = new BigUint64Array(8);
    const table = new SlotTable(words);
    expect(table.write(2, Uint16Array.of(1, 2, 4095))).toBe(3);
    expect([...words]).toEqual([0n, 0n, 0x10001n, 0x20002n, 0xfff0fffn, 0n, 0n, 0n]);
    words[3] = 0x1_0002_0002n;
    expect(table.write(2, Uint16Array.of(1, 2, 5))).toBe(2);
    expect(table.read({ base: 2, count: 3 })).toEqual(Uint16Array.of(1, 2, 5));
    expect(table.write(2, Uint16Array.of(7, 8, 9), (backend) => backend !== 8)).toBe(2);
    expect(() => table.write(6, new Uint16Array(3))).toThrow(/do not fit/);
  });
});

describe('ranges of pools', () => {
  const range = (base: number, count: number) => ({ base, count });

  it('stay where they are, and new ones take the first gap', () => {
    const held = new Map([
      [1, [range(0, 10)]],
      [2, [range(20, 10)]],
    ]);
    const wanted = new Map([
      [1, 10],
      [3, 10],
      [4, 11],
    ]);
    expect(placeRanges(held, wanted, 41)).toEqual(
      new Map([
        [1, range(0, 10)],
        [3, range(10, 10)],
        [4, range(30, 11)],
      ]),
    );
    expect(placeRanges(held, wanted, 40)).toBeUndefined();
  });

  it('change when a pool has another size', () => {
    const held = new Map([[1, [range(0, 10)]]]);
    expect(placeRanges(held, new Map([[1, 5]]), 20)).toEqual(new Map([[1, range(10, 5)]]));
  });
});
