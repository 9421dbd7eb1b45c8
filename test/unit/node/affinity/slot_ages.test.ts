// Since when a slot has its backend: as this node saw it happen, and no more.
import { expect, it } from 'vitest';
import { SlotAges } from '../../../../control/node/affinity/slot_ages.ts';
import { PERIOD, placement, version } from '../tracking/support.ts';

const of = (number: number, moved: boolean, poolId = 7) =>
  version(number, {
    placements: new Map([[poolId, { ...placement(...(moved ? [PERIOD] : [])), poolId }]]),
  });

it('is when a version gave it another one, for the slots that it moved', () => {
  const ages = new SlotAges();
  ages.observe(of(5, false), 10_000);
  expect(ages.sinceMs(7, 3)).toBeUndefined();
  ages.observe(of(6, true), 14_600);
  ages.observe(of(7, true), 99_000);
  expect(ages.sinceMs(7, 3)).toBe(14_000);
  expect(ages.sinceMs(7, 20), 'did not move').toBeUndefined();
  expect(ages.sinceMs(8, 3), 'another pool').toBeUndefined();
  expect(ages.beganMs).toBe(10_000);
});

it('is not known of what has moved between two looks at the same version, nor of a pool that is new', () => {
  const ages = new SlotAges();
  ages.observe(of(5, false), 10_000);
  ages.observe(of(5, true), 11_000);
  expect(ages.sinceMs(7, 3)).toBeUndefined();
  ages.observe(of(6, true, 8), 12_000);
  expect(ages.sinceMs(8, 3)).toBeUndefined();
});

it('is kept of so many pools, those that moved last', () => {
  const ages = new SlotAges();
  const pools = Array.from({ length: 33 }, (_, index) => index + 1);
  let number = 1;
  for (const pool of pools) {
    ages.observe(of(++number, false, pool), 10_000);
    ages.observe(of(++number, true, pool), 20_000);
  }
  expect(ages.sinceMs(1, 3)).toBeUndefined();
  for (const pool of pools.slice(1)) expect(ages.sinceMs(pool, 3), `pool ${pool}`).toBe(20_000);
});
