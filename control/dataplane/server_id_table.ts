// Owns the index of QUIC server IDs (bpf/quic.h): buckets of words, each tag << 16 | backend, a zero word ending the
// bucket.
import type { HashKey } from './generated/layout.ts';
import { Limit } from './generated/layout.ts';
import { servicePlace } from './hash.ts';

export class ServerIdTable {
  readonly #words: BigUint64Array;
  readonly #bucketMask: number;
  readonly #key: HashKey;

  constructor(words: BigUint64Array, buckets: number, key: HashKey) {
    this.#words = words;
    this.#bucketMask = buckets - 1;
    this.#key = key;
  }

  /** Points a server ID of a pool at a backend; undefined removes it. @throws RangeError where the bucket is full. */
  set(pool: number, serverId: number, backend: number | undefined): void {
    if (!Number.isInteger(pool) || pool < 0 || pool > 0xffff)
      throw new RangeError(`pool must be 0-65535, got ${pool}`);
    if (!Number.isInteger(serverId) || serverId < 0 || serverId > 0xffffffff) {
      throw new RangeError(`server ID must be 0-4294967295, got ${serverId}`);
    }
    if (
      backend !== undefined &&
      !(Number.isInteger(backend) && backend > 0 && backend < Limit.LIMIT_BACKENDS)
    ) {
      throw new RangeError(`backend index must be 1-${Limit.LIMIT_BACKENDS - 1}, got ${backend}`);
    }
    const tag = (BigInt(pool) << 32n) | BigInt(serverId);
    const first = (servicePlace(this.#key, tag) & this.#bucketMask) * Limit.LIMIT_INDEX_BUCKET_WORDS;
    let free = first;
    let found: number | undefined;
    while (free < first + Limit.LIMIT_INDEX_BUCKET_WORDS && this.#words[free] !== 0n) {
      if (this.#words[free]! >> 16n === tag) found = free;
      free++;
    }
    if (backend === undefined) {
      if (found !== undefined) this.#remove(found, free - 1);
      return;
    }
    const place = found ?? free;
    if (place === first + Limit.LIMIT_INDEX_BUCKET_WORDS) {
      throw new RangeError(`no room for server ID ${serverId} of pool ${pool}: its bucket is full`);
    }
    Atomics.store(this.#words, place, (tag << 16n) | BigInt(backend));
  }

  /** The last word takes the freed place before its own is cleared: at no moment is another word missing. */
  #remove(place: number, last: number): void {
    if (place !== last) Atomics.store(this.#words, place, this.#words[last]!);
    Atomics.store(this.#words, last, 0n);
  }
}
