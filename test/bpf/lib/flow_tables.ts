// Owns what a test reads and writes of a mux's flow table and cache, as bpf/flow.h describes them. What time it is, and what
// an entry is like of which nothing is said, the mux says.
import type { BpfMap } from 'libbpf-ts';
import { type FlowEntry, flowBucketCodec, Limit } from '../../../control/dataplane/generated/layout.ts';

export type CachedFlow = {
  backend: number;
  syn: boolean;
  generation: number;
  slot: number;
  trackEpoch: number;
  seen: number;
};
const CACHE_SYN = 1n << 60n;
const CACHE_VALID = 1n << 61n;
const CACHE_BOUND = CACHE_SYN | ((1n << 44n) - 1n);
const CACHE_EPOCH_FACTOR = 0x9e3779b97f4a7c15n;

export type StandingFlow = { fingerprint: bigint; entry: FlowEntry };

export abstract class FlowTables {
  abstract readonly options: { readonly flowBuckets: number; readonly cacheBuckets: number };
  abstract map(name: string): BpfMap;
  abstract freshEntry(): FlowEntry;

  /** Every entry of the flow table, by fingerprint. */
  entries(): Map<bigint, FlowEntry> {
    const found = new Map<bigint, FlowEntry>();
    for (const { fingerprint, entry } of this.allEntries()) {
      if (found.has(fingerprint)) throw new Error(`two entries of flow ${fingerprint.toString(16)}`);
      found.set(fingerprint, entry);
    }
    return found;
  }

  /** Whose entries there are, read while the program runs: of an entry being written some of it may be missing. */
  fingerprints(): bigint[] {
    return Array.from({ length: this.options.flowBuckets }, (_, index) => {
      const bytes = this.map('flow_table').lookup(Uint32Array.of(index))!;
      const bucket = flowBucketCodec.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
      return bucket.place.filter(({ entry }) => entry.state !== 0).map(({ fingerprint }) => fingerprint);
    }).flat();
  }

  allEntries(): StandingFlow[] {
    const records: StandingFlow[] = [];
    for (let index = 0; index < this.options.flowBuckets; index++) {
      const bytes = this.map('flow_table').lookup(Uint32Array.of(index))!;
      const bucket = flowBucketCodec.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
      bucket.place.forEach(({ fingerprint, entry }, place) => {
        const state = (bucket.states >> (place * 2)) & 3;
        if (state !== entry.state)
          throw new Error(`bucket ${index} says ${state} of place ${place}: ${entry.state}`);
        if (entry.state !== 0) records.push({ fingerprint, entry });
      });
    }
    return records;
  }

  /** Puts an entry into the first free place of its bucket. */
  putEntry(fingerprint: bigint, entry: Partial<FlowEntry>): void {
    const { index, bytes, view, bucket } = this.#bucketOf(fingerprint);
    const place = bucket.place.findIndex((it) => it.entry.state === 0);
    const whole = { ...this.freshEntry(), ...entry };
    bucket.place[place] = { fingerprint, entry: whole };
    bucket.states |= whole.state << (place * 2);
    flowBucketCodec.write(view, 0, bucket);
    this.map('flow_table').update(index, bytes);
  }

  /** When a new flow last found no place in the bucket of a flow; 0: never. */
  refusedAt(fingerprint: bigint): number {
    return this.#bucketOf(fingerprint).bucket.refused;
  }

  setRefusedAt(fingerprint: bigint, refused: number): void {
    const { index, bytes, view, bucket } = this.#bucketOf(fingerprint);
    flowBucketCodec.write(view, 0, { ...bucket, refused });
    this.map('flow_table').update(index, bytes);
  }

  #bucketOf(fingerprint: bigint) {
    const index = Uint32Array.of(
      Number(((fingerprint & 0xffffffffn) * BigInt(this.options.flowBuckets)) >> 32n),
    );
    const bytes = this.map('flow_table').lookup(index)!;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { index, bytes, view, bucket: flowBucketCodec.read(view, 0) };
  }

  /** As sweeping does. */
  removeEntry(fingerprint: bigint): void {
    const { index, bytes, view, bucket } = this.#bucketOf(fingerprint);
    const at = bucket.place.findIndex((it) => it.entry.state !== 0 && it.fingerprint === fingerprint);
    if (at < 0) return;
    bucket.place[at]!.entry.state = 0;
    bucket.states &= ~(3 << (at * 2));
    flowBucketCodec.write(view, 0, bucket);
    this.map('flow_table').update(index, bytes);
  }

  clearTables(): void {
    const count = Math.min(4096, this.options.flowBuckets);
    const empty = new Uint8Array(flowBucketCodec.sizeBytes * count);
    for (let from = 0; from < this.options.flowBuckets; from += count) {
      const some = Math.min(count, this.options.flowBuckets - from);
      const keys = Uint32Array.from({ length: some }, (_, i) => from + i);
      this.map('flow_table').updateBatch(keys, empty.subarray(0, some * flowBucketCodec.sizeBytes), some);
    }
    new Uint8Array(this.map('flow_cache').mmap()).fill(0);
  }

  /** Puts an entry into the first place of its bucket, encoded as bpf/flow.h describes it. */
  putCached(hash: bigint, { backend, syn, generation, slot, trackEpoch, seen }: CachedFlow): void {
    const state =
      BigInt(backend) |
      (BigInt(generation & 0xff) << 12n) |
      (BigInt(slot) << 20n) |
      (BigInt(seen) << 44n) |
      (syn ? CACHE_SYN : 0n) |
      CACHE_VALID;
    const words = this.#cacheWords(hash);
    words[0] = BigInt.asUintN(64, hash + BigInt(trackEpoch) * CACHE_EPOCH_FACTOR) ^ (state & CACHE_BOUND);
    words[Limit.LIMIT_CACHE_PLACES] = state;
  }

  findCached(hash: bigint, trackEpoch: number): CachedFlow | undefined {
    const words = this.#cacheWords(hash);
    const wanted = BigInt.asUintN(64, hash + BigInt(trackEpoch) * CACHE_EPOCH_FACTOR);
    for (let place = 0; place < Limit.LIMIT_CACHE_PLACES; place++) {
      const state = words[Limit.LIMIT_CACHE_PLACES + place]!;
      if (!(state & CACHE_VALID) || (words[place]! ^ (state & CACHE_BOUND)) !== wanted) continue;
      return {
        backend: Number(state & 0xfffn),
        generation: Number((state >> 12n) & 0xffn),
        slot: Number((state >> 20n) & 0xffffffn),
        seen: Number((state >> 44n) & 0xffffn),
        syn: (state & CACHE_SYN) !== 0n,
        trackEpoch,
      };
    }
    return undefined;
  }

  #cacheWords(hash: bigint): BigUint64Array {
    const bucket = Number(((hash & 0xffffffffn) * BigInt(this.options.cacheBuckets)) >> 32n);
    return new BigUint64Array(this.map('flow_cache').mmap(), bucket * 64, 8);
  }

  /** State words of the cache that are valid. */
  cached(): bigint[] {
    const words = new BigUint64Array(this.map('flow_cache').mmap(), 0, this.options.cacheBuckets * 8);
    return [...words].filter((word, i) => i % 8 >= Limit.LIMIT_CACHE_PLACES && word & CACHE_VALID);
  }
}
