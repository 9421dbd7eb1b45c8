import { describe, expect, it } from 'vitest';
import { chainOf } from '../../../control/cluster/chain.ts';
import type { Candidate, Period } from '../../../control/cluster/version.ts';
import { chainIndexes } from '../../../control/dataplane/chain_plan.ts';
import { type ChainKey, ChainTable, ChainTableFullError } from '../../../control/dataplane/chain_table.ts';
import { chainCodec } from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';

const BYTES = chainCodec.sizeBytes;

const keyOf = (owner: number, change: Partial<ChainKey> = {}): ChainKey => ({
  poolId: 1,
  trackEpoch: 10,
  chainEpoch: 11,
  owner,
  ownerIncarnation: 100 + owner,
  backup: 0,
  backupIncarnation: 0,
  ...change,
});

function build(count = 5) {
  const memory = new ArrayBuffer(count * BYTES);
  const grace = new GracePeriods(async () => {});
  return { memory, grace, table: new ChainTable(memory, grace, count) };
}

describe('chain records', () => {
  it('are written whole, once a chain, and never at index 0', () => {
    const { memory, table } = build();
    const index = table.claim(keyOf(3, { backup: 4, backupIncarnation: 104 }));
    expect(index).toBe(1);
    expect(table.claim(keyOf(3, { backup: 4, backupIncarnation: 104 }))).toBe(1);
    expect([...new Uint32Array(memory, BYTES, 8)]).toEqual([10, 11, 3 | (4 << 16), 103, 104, 0, 0, 0]);
    expect([...new Uint32Array(memory, 0, 8)]).toEqual(new Array(8).fill(0));
    for (const change of [{ poolId: 2 }, { trackEpoch: 11 }, { chainEpoch: 12 }])
      expect(table.claim(keyOf(3, { backup: 4, backupIncarnation: 104, ...change }))).not.toBe(1);
  });

  it('keep their index until a grace period after they were released', async () => {
    const { memory, grace, table } = build(3);
    const [first, second] = [table.claim(keyOf(1)), table.claim(keyOf(2))];
    expect(() => table.claim(keyOf(3))).toThrow(ChainTableFullError);
    table.keepOnly(new Set([second]));
    table.settle();
    expect(() => table.claim(keyOf(3)), 'before a grace period').toThrow(ChainTableFullError);
    await grace.wait();
    table.settle();
    new BigUint64Array(memory)[(first * BYTES) / 8 + 3] = 77n;
    expect(table.claim(keyOf(3))).toBe(first);
    expect(new BigUint64Array(memory)[(first * BYTES) / 8 + 3], 'unrecorded of another chain').toBe(0n);
    expect(table.at(second)).toEqual(keyOf(2));
  });

  it('that were marked tell of their period as long as it lasts', () => {
    const { memory, table } = build();
    const mark = (index: number, atNs: bigint): void => {
      new BigUint64Array(memory)[(index * BYTES) / 8 + 3] = atNs;
    };
    const [first, second] = [table.claim(keyOf(1)), table.claim(keyOf(2))];
    mark(first, 500n);
    mark(second, 300n);
    expect(table.unrecordedNs(1, 10)).toBe(500n);
    expect(table.unrecordedNs(2, 10)).toBe(0n);
    table.keepOnly(new Set([second]));
    expect(table.unrecordedNs(1, 10), 'of a chain that was repaired').toBe(500n);
    mark(second, 600n);
    expect(table.unrecordedNs(1, 10)).toBe(600n);
    table.keepOnly(new Set());
    expect(table.unrecordedNs(1, 10)).toBe(0n);
  });

  it('are taken over where slots name them, and free where none does', () => {
    const { memory, grace, table } = build(6);
    for (const owner of [1, 2, 3]) table.claim(keyOf(owner));
    const next = new ChainTable(memory, grace, 6);
    next.adopt([
      { index: 3, poolId: 1 },
      { index: 1, poolId: 1 },
    ]);
    expect(next.claim(keyOf(3))).toBe(3);
    expect(next.claim(keyOf(1))).toBe(1);
    expect([next.claim(keyOf(7)), next.claim(keyOf(8)), next.claim(keyOf(9))].sort()).toEqual([2, 4, 5]);
    expect(() => next.claim(keyOf(10))).toThrow(ChainTableFullError);
  });
});

describe('chains of slots', () => {
  const muxes = (...ids: number[]): Candidate[] => ids.map((id) => ({ id, incarnation: 100 + id }));
  const period = (trackEpoch: number, candidates: Candidate[][]): Period => ({
    trackEpoch,
    chainEpoch: trackEpoch + 1,
    candidates,
    step: 'track',
    stepVersion: trackEpoch,
    idleTimeoutMs: 1,
    isUrgent: false,
    lostSlots: 0,
    reason: '',
  });
  const placement = (numbers: Uint8Array, periods: Period[]) => ({
    poolId: 1,
    current: new Uint16Array(numbers.length),
    base: new Uint16Array(numbers.length),
    period: numbers,
    periods,
  });

  it('are those of every node, at one index a pair', () => {
    const { table } = build(100);
    const members = muxes(1, 2, 3, 9);
    const periods = [period(5, [muxes(1, 2, 3, 4)]), period(7, [muxes(2), muxes(1, 3)])];
    const numbers = Uint8Array.from({ length: 600 }, (_, slot) => slot % 3);
    const { indexes, named } = chainIndexes(placement(numbers, periods), members, (key) => table.claim(key))!;
    expect(named).toEqual(table.indexes());
    numbers.forEach((number, slot) => {
      if (number === 0) expect(indexes[slot]).toBe(0);
      if (number === 0) return;
      const of = periods[number - 1]!;
      const chain = chainOf(of, members, slot)!;
      expect(table.at(indexes[slot]!)).toEqual({
        poolId: 1,
        trackEpoch: of.trackEpoch,
        chainEpoch: of.chainEpoch,
        owner: chain.owner.id,
        ownerIncarnation: chain.owner.incarnation,
        backup: chain.backup!.id,
        backupIncarnation: chain.backup!.incarnation,
      });
    });
    expect(new Set(indexes).size - 1, 'pairs').toBe(6 + 2);
  });

  it('are chains without owner where no candidate is left, and none where all slots are clean', () => {
    const { table } = build();
    const claim = (key: ChainKey): number => table.claim(key);
    const numbers = Uint8Array.of(1, 0);
    const { indexes } = chainIndexes(placement(numbers, [period(5, [muxes(1)])]), muxes(2), claim)!;
    expect(table.at(indexes[0]!)).toMatchObject({ owner: 0, backup: 0, trackEpoch: 5 });
    expect(chainIndexes(placement(new Uint8Array(3), []), muxes(2), claim)).toBeUndefined();
  });

  it('of a whole pool and many muxes take milliseconds', () => {
    const table = new ChainTable(new ArrayBuffer(65_536 * BYTES), new GracePeriods(async () => {}));
    const members = muxes(...Array.from({ length: 16 }, (_, at) => at + 1));
    const numbers = new Uint8Array(65_537).fill(1);
    const take = (): number => {
      const began = performance.now();
      chainIndexes(placement(numbers, [period(5, [members])]), members, (key) => table.claim(key));
      return performance.now() - began;
    };
    expect(Math.min(take(), take(), take())).toBeLessThan(60);
    expect(table.size).toBe(16 * 15);
  });
});
