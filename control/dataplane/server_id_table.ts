// Owns the index of QUIC server IDs (bpf/quic.h): buckets of words, each tag << 16 | backend, a zero word ending the
// bucket. Every change is one store, and no word ever moves, so nothing here needs to wait: what is removed in the
// middle of a bucket stays as a word without a backend until another one takes its place.
import type { HashKey } from './generated/layout.ts';
import { Limit } from './generated/layout.ts';
import { servicePlace } from './hash.ts';

export type ServerId = { poolId: number; serverId: number; backend: number };

/** `backend` undefined removes. */
export type ServerIdChange = Omit<ServerId, 'backend'> & { backend: number | undefined };

const BUCKET_WORDS = Limit.LIMIT_INDEX_BUCKET_WORDS;
const BACKEND_MASK = 0xffffn;
const SHORTS_PER_WORD = 4;

export class ServerIdTableFullError extends Error {
  override readonly name = 'ServerIdTableFullError';
}

export class ServerIdTable {
  readonly #words: BigUint64Array;
  /** The same as shorts: the first of a word is its backend. Most words are empty, and a short costs no BigInt. */
  readonly #backends: Uint16Array;
  readonly #bucketMask: number;
  readonly #key: HashKey;

  constructor(words: BigUint64Array, buckets: number, key: HashKey) {
    this.#words = words;
    this.#backends = new Uint16Array(words.buffer, words.byteOffset, words.length * SHORTS_PER_WORD);
    this.#bucketMask = buckets - 1;
    this.#key = key;
  }

  get capacity(): number {
    return this.#words.length;
  }

  *entries(): Generator<ServerId> {
    for (let place = 0; place < this.#words.length; place++)
      if (this.#backends[place * SHORTS_PER_WORD] !== 0) yield serverIdOf(this.#words[place]!);
  }

  /**
   * What it takes for `wanted` to be all there is, removals first.
   * @throws ServerIdTableFullError where a bucket cannot hold what falls on it; nothing has changed then.
   */
  plan(wanted: readonly ServerId[]): ServerIdChange[] {
    const known = new Map([...this.entries()].map((it) => [tagOf(it.poolId, it.serverId), it]));
    const tags = new Set<bigint>();
    const loads = new Map<number, number>();
    const changes: ServerIdChange[] = [];
    for (const it of wanted) {
      checkId(it);
      const tag = tagOf(it.poolId, it.serverId);
      const bucket = this.#firstOf(tag);
      if (tags.has(tag)) throw new RangeError(`server ID ${it.serverId} of pool ${it.poolId} is given twice`);
      tags.add(tag);
      loads.set(bucket, (loads.get(bucket) ?? 0) + 1);
      if (loads.get(bucket)! > BUCKET_WORDS) throw fullBucket(it);
      if (known.get(tag)?.backend !== it.backend) changes.push(it);
    }
    const gone = [...known].filter(([tag]) => !tags.has(tag));
    return [...gone.map(([, it]) => ({ ...it, backend: undefined })), ...changes];
  }

  /** Points a server ID of a pool at a backend; undefined removes it. @throws ServerIdTableFullError where the bucket is full. */
  set(change: ServerIdChange): void {
    checkId(change);
    const tag = tagOf(change.poolId, change.serverId);
    const first = this.#firstOf(tag);
    const end = first + BUCKET_WORDS;
    let free: number | undefined;
    let place = first;
    for (; place < end && this.#words[place] !== 0n; place++) {
      if (this.#words[place]! >> 16n === tag) break;
      if ((this.#words[place]! & BACKEND_MASK) === 0n) free ??= place;
    }
    const isKnown = place < end && this.#words[place] !== 0n;
    if (change.backend === undefined) {
      const isLast = place + 1 === end || this.#words[place + 1] === 0n;
      if (isKnown) Atomics.store(this.#words, place, isLast ? 0n : tag << 16n);
      return;
    }
    if (!isKnown) place = free ?? place;
    if (place === end) throw fullBucket(change);
    Atomics.store(this.#words, place, (tag << 16n) | BigInt(change.backend));
  }

  #firstOf(tag: bigint): number {
    return (servicePlace(this.#key, tag) & this.#bucketMask) * BUCKET_WORDS;
  }
}

/** What a word of the index says. */
export function serverIdOf(word: bigint): ServerId {
  const tag = word >> 16n;
  return {
    poolId: Number(tag >> 32n),
    serverId: Number(tag & 0xffff_ffffn),
    backend: Number(word & 0xffffn),
  };
}

const tagOf = (pool: number, serverId: number): bigint => (BigInt(pool) << 32n) | BigInt(serverId);

function fullBucket({ poolId, serverId }: ServerIdChange): ServerIdTableFullError {
  return new ServerIdTableFullError(
    `no room for server ID ${serverId} of pool ${poolId}: its bucket is full`,
  );
}

function checkId({ poolId, serverId, backend }: ServerIdChange): void {
  if (!Number.isInteger(poolId) || poolId < 1 || poolId > 0xffff)
    throw new RangeError(`pool must be 1-65535, got ${poolId}`);
  if (!Number.isInteger(serverId) || serverId < 0 || serverId > 0xffff_ffff)
    throw new RangeError(`server ID must be 0-4294967295, got ${serverId}`);
  const isBackend = backend === undefined || (Number.isInteger(backend) && backend > 0);
  if (!isBackend || (backend ?? 0) >= Limit.LIMIT_BACKENDS)
    throw new RangeError(`backend index must be 1-${Limit.LIMIT_BACKENDS - 1}, got ${backend}`);
}
