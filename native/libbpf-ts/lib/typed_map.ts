// Owns typed access to maps: a codec for the key, one for the value, and buffers that are reused between calls.

import type { Codec } from './btf_codec.ts';
import { describe } from './check.ts';
import type { BpfMap, UpdateMode } from './map.ts';

function checkCodec(codec: Codec<unknown>, name: string, sizeBytes: number, map: BpfMap): void {
  if (typeof codec?.read !== 'function' || typeof codec.write !== 'function') {
    throw new TypeError(`${name} must be a codec, got ${describe(codec)}`);
  }
  if (codec.sizeBytes !== sizeBytes) {
    throw new TypeError(`${name} is for ${codec.sizeBytes} bytes, but map ${map.info.name} has ${sizeBytes}`);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A map whose keys and values are values of TypeScript types. */
export class TypedMap<K, V> {
  readonly map: BpfMap;
  readonly #keyCodec: Codec<K>;
  readonly #valueCodec: Codec<V>;
  readonly #key: Uint8Array;
  readonly #value: Uint8Array;
  readonly #keyView: DataView;
  readonly #valueView: DataView;

  constructor(map: BpfMap, keyCodec: Codec<K>, valueCodec: Codec<V>) {
    if (map.info.perCpu)
      throw new TypeError(`map ${map.info.name} is per-CPU; use perCpu() instead of typed()`);
    checkCodec(keyCodec, 'keyCodec', map.info.keySize, map);
    checkCodec(valueCodec, 'valueCodec', map.info.valueSize, map);
    this.map = map;
    this.#keyCodec = keyCodec;
    this.#valueCodec = valueCodec;
    this.#key = new Uint8Array(map.info.keySize);
    this.#value = new Uint8Array(map.info.valueSize);
    this.#keyView = viewOf(this.#key);
    this.#valueView = viewOf(this.#value);
  }

  get(key: K): V | undefined {
    this.#keyCodec.write(this.#keyView, 0, key);
    return this.map.lookupInto(this.#key, this.#value)
      ? this.#valueCodec.read(this.#valueView, 0)
      : undefined;
  }

  has(key: K): boolean {
    this.#keyCodec.write(this.#keyView, 0, key);
    return this.map.lookupInto(this.#key, this.#value);
  }

  set(key: K, value: V, mode: UpdateMode = 'any'): void {
    this.#keyCodec.write(this.#keyView, 0, key);
    this.#valueCodec.write(this.#valueView, 0, value);
    this.map.update(this.#key, this.#value, mode);
  }

  /** Writes many entries in one system call, where the kernel can. */
  setMany(entries: readonly (readonly [K, V])[], mode: UpdateMode = 'any'): void {
    if (entries.length === 0) return;
    const { keySize, valueSize } = this.map.info;
    const keys = new Uint8Array(entries.length * keySize);
    const values = new Uint8Array(entries.length * valueSize);
    const keyView = viewOf(keys);
    const valueView = viewOf(values);
    entries.forEach(([key, value], index) => {
      this.#keyCodec.write(keyView, index * keySize, key);
      this.#valueCodec.write(valueView, index * valueSize, value);
    });
    this.map.updateBatch(keys, values, entries.length, mode);
  }

  /** True if the key was there. */
  delete(key: K): boolean {
    this.#keyCodec.write(this.#keyView, 0, key);
    return this.map.delete(this.#key);
  }

  /** Removes the key and returns its value, in one step. */
  take(key: K): V | undefined {
    this.#keyCodec.write(this.#keyView, 0, key);
    const value = this.map.lookupAndDelete(this.#key);
    return value && this.#valueCodec.read(viewOf(value), 0);
  }

  *keys(): Generator<K, void, undefined> {
    for (const key of this.map.keys()) yield this.#keyCodec.read(viewOf(key), 0);
  }

  *entries(): Generator<[K, V], void, undefined> {
    for (const [key, value] of this.map.entries()) {
      yield [this.#keyCodec.read(viewOf(key), 0), this.#valueCodec.read(viewOf(value), 0)];
    }
  }

  *values(): Generator<V, void, undefined> {
    for (const [, value] of this.map.entries()) yield this.#valueCodec.read(viewOf(value), 0);
  }

  [Symbol.iterator](): Generator<[K, V], void, undefined> {
    return this.entries();
  }
}

/** A map with one value a possible CPU under each key. */
export class PerCpuMap<K, V> {
  readonly map: BpfMap;
  readonly #keyCodec: Codec<K>;
  readonly #valueCodec: Codec<V>;
  readonly #key: Uint8Array;

  constructor(map: BpfMap, keyCodec: Codec<K>, valueCodec: Codec<V>) {
    if (!map.info.perCpu) throw new TypeError(`map ${map.info.name} is not per-CPU; use typed()`);
    checkCodec(keyCodec, 'keyCodec', map.info.keySize, map);
    checkCodec(valueCodec, 'valueCodec', map.info.valueSize, map);
    this.map = map;
    this.#keyCodec = keyCodec;
    this.#valueCodec = valueCodec;
    this.#key = new Uint8Array(map.info.keySize);
  }

  /** One value a possible CPU, in CPU order. */
  get(key: K): V[] | undefined {
    const raw = this.map.lookup(this.#encode(key));
    return raw && this.#decode(raw);
  }

  /** Adds up all CPUs' values: bigints, or objects whose members are all bigints. */
  sum(key: K): V | undefined {
    const values = this.get(key);
    return values && sumOf(values, this.map.info.name);
  }

  set(key: K, values: readonly V[], mode: UpdateMode = 'any'): void {
    if (!Array.isArray(values)) throw new TypeError(`values must be an array, got ${describe(values)}`);
    const encoded = values.map((value) => {
      const bytes = new Uint8Array(this.map.info.valueSize);
      this.#valueCodec.write(viewOf(bytes), 0, value);
      return bytes;
    });
    this.map.updatePerCpu(this.#encode(key), encoded, mode);
  }

  delete(key: K): boolean {
    return this.map.delete(this.#encode(key));
  }

  *entries(): Generator<[K, V[]], void, undefined> {
    for (const [key, raw] of this.map.entries())
      yield [this.#keyCodec.read(viewOf(key), 0), this.#decode(raw)];
  }

  /** Every key with the sum over all CPUs. */
  *sums(): Generator<[K, V], void, undefined> {
    for (const [key, values] of this.entries()) yield [key, sumOf(values, this.map.info.name)];
  }

  [Symbol.iterator](): Generator<[K, V[]], void, undefined> {
    return this.entries();
  }

  #encode(key: K): Uint8Array {
    this.#keyCodec.write(viewOf(this.#key), 0, key);
    return this.#key;
  }

  #decode(raw: Uint8Array): V[] {
    return this.map.splitPerCpu(raw).map((bytes) => this.#valueCodec.read(viewOf(bytes), 0));
  }
}

/** Wraps at 2^64, as the counters do. */
function sumOf<V>(values: readonly V[], name: string): V {
  const add = (left: unknown, right: unknown, member: string): bigint => {
    if (typeof left === 'bigint' && typeof right === 'bigint') return BigInt.asUintN(64, left + right);
    throw new TypeError(`the values of map ${name} cannot be added: ${member} is not a 64-bit integer`);
  };
  return values.reduce((total, value) => {
    if (typeof value !== 'object' || value === null) return add(total, value, 'the value') as V;
    const left = total as Record<string, unknown>;
    const sums = Object.entries(value).map(([member, right]) => [member, add(left[member], right, member)]);
    return Object.fromEntries(sums) as V;
  });
}
