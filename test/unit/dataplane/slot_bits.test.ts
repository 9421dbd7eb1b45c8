import { describe, expect, it } from 'vitest';
import { isOthers, isSettled, SlotBits } from '../../../control/dataplane/slot_bits.ts';

const slots = (
  current: readonly number[],
  more: { base?: readonly number[]; period?: readonly number[] } = {},
) => ({
  current: Uint16Array.from(current),
  base: Uint16Array.from(more.base ?? current),
  period: Uint8Array.from(more.period ?? current.map(() => 0)),
});
const SELF = 65;

function rig(sense = isOthers) {
  const table = new SlotBits(new ArrayBuffer(16), sense);
  const set = () => Array.from({ length: 128 }, (_, place) => place).filter((place) => table.has(place));
  return { table, set };
}

describe('bits of slots that are others’', () => {
  it('are of slots that are clean and another server’s, and of no others', () => {
    const { table, set } = rig();
    const all = slots([64, 65, 66, 66, 0], { base: [64, 65, 66, 64, 0], period: [0, 0, 1, 1, 0] });
    table.publish(new Map([[1, all]]), new Map([[1, { base: 40, count: 5 }]]), SELF);
    expect(set()).toEqual([40]);
  });

  it('are withdrawn before, and set after slots are written', () => {
    const { table, set } = rig();
    const ranges = new Map([[1, { base: 0, count: 3 }]]);
    table.publish(new Map([[1, slots([64, 64, 65])]]), ranges, SELF);
    expect(set()).toEqual([0, 1]);
    const next = new Map([[1, slots([64, 65, 64])]]);
    table.withdraw(next, SELF);
    expect(set()).toEqual([0]);
    table.publish(next, ranges, SELF);
    expect(set()).toEqual([0, 2]);
  });

  it('are none where a pool was, or of a server that is alone', () => {
    const { table, set } = rig();
    const pool = new Map([[1, slots([64, 64])]]);
    table.publish(pool, new Map([[1, { base: 0, count: 2 }]]), SELF);
    table.publish(pool, new Map([[1, { base: 64, count: 2 }]]), SELF);
    expect(set()).toEqual([64, 65]);
    table.withdraw(new Map(), SELF);
    expect(set()).toEqual([]);
    table.publish(pool, new Map([[1, { base: 0, count: 2 }]]), 0);
    expect(set()).toEqual([]);
  });

  it('that do not fit are looked at', () => {
    const { table, set } = rig();
    table.publish(new Map([[1, slots([64, 64])]]), new Map([[1, { base: 127, count: 2 }]]), SELF);
    expect(set()).toEqual([127]);
  });
});

describe('bits of slots that are this server’s alone', () => {
  const current = [65, 65, 65, 64, 0];

  it('are of slots that are clean and its own, and of no others', () => {
    const { table, set } = rig(isSettled);
    const all = slots(current, { base: [65, 64, 65, 64, 0], period: [0, 1, 1, 0, 0] });
    const ranges = new Map([[1, { base: 8, count: 5 }]]);
    table.publish(new Map([[1, all]]), ranges, SELF);
    expect(set()).toEqual([8]);
    table.withdraw(new Map([[1, slots(current, { period: [1, 0, 0, 0, 0] })]]), SELF);
    expect(set()).toEqual([]);
  });

  it('are none of a server that is alone', () => {
    const { table, set } = rig(isSettled);
    table.publish(new Map([[1, slots([0, 0])]]), new Map([[1, { base: 0, count: 2 }]]), 0);
    expect(set()).toEqual([]);
  });
});
