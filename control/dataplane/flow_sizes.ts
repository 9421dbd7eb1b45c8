// Owns how large the tables of flows are: what was asked for, or what the host has the memory for. Pure.
import { cacheBucketCodec, flowBucketCodec, Limit } from './generated/layout.ts';

export type FlowTableSizes = {
  /** Flows of tracked slots that this mux can keep for others. */
  readonly entries: number;
  /** Flows of tracked slots whose backend it can remember for its own packets. */
  readonly cacheEntries: number;
};

/** Of a mux that is in no cluster, and so tracks nothing for others. */
export const FLOW_TABLE_SMALL: FlowTableSizes = { entries: 65_536, cacheEntries: 65_536 };
/** Of a mux of a cluster, where memory allows it. */
export const FLOW_TABLE_LARGE: FlowTableSizes = { entries: 1_048_576, cacheEntries: 1_048_576 };

/** Part of the host's memory that tables may take by default. */
const MEMORY_PART = 1 / 64;

/** What to make of `wanted`: where it does not say, by whether the node is in a cluster and by the memory it has. */
export function flowTableSizes(
  wanted: { readonly [size in keyof FlowTableSizes]?: number | undefined },
  { isMember, memoryBytes }: { isMember: boolean; memoryBytes: number },
): FlowTableSizes {
  const large = isMember ? FLOW_TABLE_LARGE : FLOW_TABLE_SMALL;
  const part = Math.min(1, (memoryBytes * MEMORY_PART) / bytesOf(large));
  const scaled = (of: keyof FlowTableSizes): number =>
    Math.max(FLOW_TABLE_SMALL[of], Math.floor(large[of] * part));
  return {
    entries: wanted.entries ?? scaled('entries'),
    cacheEntries: wanted.cacheEntries ?? scaled('cacheEntries'),
  };
}

export function flowBuckets({ entries }: FlowTableSizes): number {
  return Math.ceil(entries / Limit.LIMIT_FLOW_PLACES);
}

export function cacheBuckets({ cacheEntries }: FlowTableSizes): number {
  return Math.ceil(cacheEntries / Limit.LIMIT_CACHE_PLACES);
}

/** Memory that the kernel takes for them. */
export function bytesOf(sizes: FlowTableSizes): number {
  return flowBuckets(sizes) * flowBucketCodec.sizeBytes + cacheBuckets(sizes) * cacheBucketCodec.sizeBytes;
}
