// Owns emptying the tables of flows of a program that runs.
import { setImmediate } from 'node:timers/promises';
import type { LoadedObject } from 'libbpf-ts';

/** Buckets between which others have a turn: half a millisecond. */
const BUCKETS_AT_ONCE = 512;

/** What is inserted meanwhile may stay or not. */
export async function emptyFlows(object: LoadedObject): Promise<void> {
  const table = object.map('flow_table');
  const { maxEntries, valueSize } = table.info;
  const values = new Uint8Array(BUCKETS_AT_ONCE * valueSize);
  for (let first = 0; first < maxEntries; first += BUCKETS_AT_ONCE) {
    const count = Math.min(BUCKETS_AT_ONCE, maxEntries - first);
    const keys = Uint32Array.from({ length: count }, (_, at) => first + at);
    table.updateBatch(keys, values.subarray(0, count * valueSize), count);
    await setImmediate();
  }
  const cache = object.map('flow_cache');
  new Uint8Array(cache.mmap(), 0, cache.info.maxEntries * cache.info.valueSize).fill(0);
}
