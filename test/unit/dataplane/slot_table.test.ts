import { describe, expect, it } from 'vitest';
import { placeRanges, SlotTable } from '../../../control/dataplane/slot_table.ts';

const clean = (...backends: number[]) => {
  const current = Uint16Array.from(backends);
  return { current, base: current };
};

describe('slots', () => {
  it('are written as clean words, and only those that differ', () => {
    const words = new BigUint64Array(8);
    const table = new SlotTable(words);
    expect(table.write(2, clean(1, 2, 4095))).toBe(3);
    expect([...words]).toEqual([0n, 0n, 0x10001n, 0x20002n, 0xfff0fffn, 0n, 0n, 0n]);
    words[3] = 0x1_0002_0002n;
    expect(table.write(2, clean(1, 2, 5))).toBe(2);
    expect(table.read({ base: 2, count: 3 })).toEqual(Uint16Array.of(1, 2, 5));
    expect(table.write(2, clean(7, 8, 9), (backend) => backend !== 8)).toBe(2);
    expect(() => table.write(6, clean(0, 0, 0))).toThrow(/do not fit/);
  });
});

describe('tracked slots', () => {
  const words = new BigUint64Array(4);
  const table = new SlotTable(words);
  const current = Uint16Array.of(7, 8, 0xffff);
  const base = Uint16Array.of(7, 9, 1);
  const chains = Uint32Array.of(0, 65_535, 1);

  it('name their backends and their chain in one word', () => {
    expect(table.write(1, { current, base, chains })).toBe(3);
    expect([...words]).toEqual([
      0n,
      0x0000_0000_0007_0007n,
      (65_535n << 33n) | (1n << 32n) | 0x9_0008n,
      0x0000_0003_0001_ffffn,
    ]);
    expect(table.write(1, { current, base, chains })).toBe(0);
    expect(table.at(2)).toEqual({ current: 8, base: 9, isTracked: true, chain: 65_535 });
    expect(table.at(1)).toEqual({ current: 7, base: 7, isTracked: false, chain: 0 });
    expect(table.chainsOf({ base: 0, count: 4 })).toEqual(new Set([65_535, 1]));
  });

  it('wait for both backends, and become clean in one store', () => {
    expect(table.write(1, { current: base, base, chains }, (backend) => backend !== 9)).toBe(1);
    expect(table.at(2)).toMatchObject({ current: 8, base: 9 });
    expect(table.write(1, { current: base, base })).toBe(2);
    expect([...words]).toEqual([0n, 0x7_0007n, 0x9_0009n, 0x1_0001n]);
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
    expect(placeRanges(held, [...held.values()].flat(), wanted, 41)).toEqual(
      new Map([
        [1, range(0, 10)],
        [3, range(10, 10)],
        [4, range(30, 11)],
      ]),
    );
    expect(placeRanges(held, [...held.values()].flat(), wanted, 40)).toBeUndefined();
  });

  it('change when a pool has another size', () => {
    const held = new Map([[1, [range(0, 10)]]]);
    expect(placeRanges(held, [range(0, 10)], new Map([[1, 5]]), 20)).toEqual(new Map([[1, range(10, 5)]]));
  });
});
