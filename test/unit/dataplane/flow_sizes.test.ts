import { expect, it } from 'vitest';
import {
  bytesOf,
  cacheBuckets,
  FLOW_TABLE_LARGE,
  FLOW_TABLE_SMALL,
  flowBuckets,
  flowTableSizes,
} from '../../../control/dataplane/flow_sizes.ts';

const GIB = 2 ** 30;

it('are what was asked for, and the rest by cluster and memory', () => {
  const shared = { isShared: true, memoryBytes: 64 * GIB };
  expect(flowTableSizes({}, shared)).toEqual(FLOW_TABLE_LARGE);
  expect(flowTableSizes({ entries: 5_000 }, shared)).toEqual({ ...FLOW_TABLE_LARGE, entries: 5_000 });
  expect(flowTableSizes({}, { ...shared, isShared: false })).toEqual(FLOW_TABLE_SMALL);
});

it('take a 64th of a small memory, and never less than a node alone has', () => {
  const sizes = flowTableSizes({}, { isShared: true, memoryBytes: GIB });
  expect(bytesOf(sizes)).toBeLessThanOrEqual(GIB / 64 + 1_000);
  expect(bytesOf(sizes)).toBeGreaterThan(GIB / 70);
  expect(flowTableSizes({}, { isShared: true, memoryBytes: 2 ** 20 })).toEqual(FLOW_TABLE_SMALL);
});

it('are whole buckets', () => {
  expect(flowBuckets({ entries: 8, cacheEntries: 5 })).toBe(2);
  expect(cacheBuckets({ entries: 8, cacheEntries: 5 })).toBe(2);
});
