// Owns the handle of a BPF map and calls on it with raw bytes. Typed access is typed_map.ts's.
import { Btf, BtfError } from './btf.ts';
import type { Codec } from './btf_codec.ts';
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSize,
  checkString,
  describe,
  U32_MAX,
} from './check.ts';
import { BpfError, during, ENOENT, must } from './errors.ts';
import { Handle, openPin } from './handle.ts';
import { MAP_TYPES, type MapType, mapTypeName, PER_CPU_TYPES } from './kernel_types.ts';
import { walkEntries, walkKeys } from './map_walk.ts';
import { type NativeMap, type NativeMapInfo, native } from './native.ts';
import { PerCpuMap, TypedMap } from './typed_map.ts';

export interface MapInfo {
  readonly type: MapType | `type ${number}`;
  readonly name: string;
  readonly id: number;
  readonly keySize: number;
  /** As declared. What a lookup returns is `valueBytes`. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** One value in user space: for per-CPU maps, all possible CPUs' copies, each rounded up to 8 bytes. */
  readonly valueBytes: number;
  readonly perCpu: boolean;
}

/** What a map's keys and values are. */
export interface MapTypes {
  readonly btf: Btf;
  /** Ids in `btf`; 0: no type, as the keys of .data, .bss and .rodata. */
  readonly key: number;
  readonly value: number;
}

export interface MapCreateOptions {
  type: MapType;
  name?: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** BPF_F_* bits. */
  flags?: number;
  /** For array_of_maps and hash_of_maps: a map like those it will hold. */
  innerMap?: BpfMap;
  numaNode?: number;
}

/** 'any' creates or replaces, 'create' fails with EEXIST, 'exist' fails with ENOENT. */
export type UpdateMode = 'any' | 'create' | 'exist';

/** Where a batched read goes on. Opaque, and bound to the map it came from. */
export type BatchCursor = Uint8Array & { readonly __cursor?: never };

export interface BatchRead {
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
  /** `undefined` at the end of the map. */
  readonly cursor: BatchCursor | undefined;
}

/** linux/bpf.h: the map's memory can be mapped into a process. */
export const BPF_F_MMAPABLE = 1 << 10;

const MODES = ['any', 'create', 'exist'] as const;
const MODE_FLAGS: Readonly<Record<UpdateMode, number>> = { any: 0, create: 1, exist: 2 };
const DEFAULT_BATCH = 256;
const MAX_BATCH_BYTES = 1 << 30;

export class BpfMap extends Handle<NativeMap> {
  readonly info: MapInfo;
  readonly #kernel: NativeMapInfo;
  readonly #keyBytes: number;
  readonly #valueBytes: number;

  /** @internal */
  constructor(resource: NativeMap, name?: string) {
    super(resource, native.Map, `map ${name ?? ''}`);
    const kernel = during('read the information of', 'map', () => resource.info());
    const type = mapTypeName(kernel.type);
    this.#kernel = kernel;
    this.#keyBytes = kernel.keySize;
    this.#valueBytes = kernel.valueBytes;
    this.info = Object.freeze({
      type,
      name: name ?? kernel.name,
      id: kernel.id,
      keySize: kernel.keySize,
      valueSize: kernel.valueSize,
      maxEntries: kernel.maxEntries,
      flags: kernel.flags,
      valueBytes: kernel.valueBytes,
      perCpu: PER_CPU_TYPES.has(type),
    });
  }

  static create(options: MapCreateOptions): BpfMap {
    const given = checkOptions(options, 'options');
    const type = checkOneOf(given.type, 'type', MAP_TYPES);
    const name = given.name === undefined ? '' : checkString(given.name, 'name');
    if (!/^[\w.]{0,15}$/.test(name)) {
      throw new TypeError(`name must be at most 15 letters, digits, '_' and '.', got ${describe(name)}`);
    }
    const inner = given.innerMap;
    if (inner !== undefined && !(inner instanceof BpfMap)) {
      throw new TypeError(`innerMap must be a BpfMap, got ${describe(inner)}`);
    }
    const fd = native.createMap(
      MAP_TYPES.indexOf(type),
      name,
      checkInteger(given.keySize, 'keySize', 0, U32_MAX),
      checkInteger(given.valueSize, 'valueSize', 0, U32_MAX),
      checkInteger(given.maxEntries, 'maxEntries', 0, U32_MAX),
      checkInteger(given.flags ?? 0, 'flags', 0, U32_MAX),
      inner?.fd,
      given.numaNode === undefined ? undefined : checkInteger(given.numaNode, 'numaNode', 0, U32_MAX),
    );
    return new BpfMap(new native.Map(must(fd, `create ${type} map`, name === '' ? '(unnamed)' : name)));
  }

  /** Opens a map that was pinned to a BPF file system. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(new native.Map(openPin(checkString(path, 'path'), 'map')));
  }

  /** Opens a map by its id in the kernel; ENOENT where there is none. */
  static openById(id: number): BpfMap {
    const fd = must(native.openById(checkInteger(id, 'id', 1, U32_MAX), 'map'), 'open', `map ${id}`);
    return new BpfMap(new native.Map(fd));
  }

  /** Stays this handle's: do not close it. */
  get fd(): number {
    return this.native.fd();
  }

  protected override get subject(): string {
    return `map ${this.info?.name ?? ''}`;
  }

  /** A copy of the value; `undefined` if the key is absent. */
  lookup(key: ArrayBufferView): Uint8Array | undefined {
    const value = new Uint8Array(this.#valueBytes);
    return this.lookupInto(key, value) ? value : undefined;
  }

  /** Like lookup, without an allocation: `value` must have `info.valueBytes`. False if the key is absent. */
  lookupInto(key: ArrayBufferView, value: ArrayBufferView): boolean {
    const map = this.native;
    const keyBytes = checkSize(key, 'key', this.#keyBytes);
    const status = map.lookup(keyBytes, checkSize(value, 'value', this.#valueBytes), 0);
    return this.#found(status, 'look up in');
  }

  update(key: ArrayBufferView, value: ArrayBufferView, mode: UpdateMode = 'any'): void {
    const map = this.native;
    const flags = MODE_FLAGS[checkOneOf(mode, 'mode', MODES)];
    const keyBytes = checkSize(key, 'key', this.#keyBytes);
    must(map.update(keyBytes, checkSize(value, 'value', this.#valueBytes), flags), 'update', this.subject);
  }

  /** True if the key was there. */
  delete(key: ArrayBufferView): boolean {
    return this.#found(this.native.delete(checkSize(key, 'key', this.#keyBytes)), 'delete from');
  }

  /** Removes the key and returns its value, in one step. For queues and stacks, pops: the key is empty. */
  lookupAndDelete(key: ArrayBufferView): Uint8Array | undefined {
    const value = new Uint8Array(this.#valueBytes);
    const status = this.native.take(checkSize(key, 'key', this.#keyBytes), value);
    return this.#found(status, 'look up and delete in') ? value : undefined;
  }

  #found(status: number, operation: string): boolean {
    if (status >= 0) return true;
    if (status === -ENOENT) return false;
    throw new BpfError(operation, this.subject, -status);
  }

  /** Keys, each a copy. While others change the map a key can be missed or come twice; never more than maxEntries. */
  keys(): Generator<Uint8Array, void, undefined> {
    return walkKeys(() => this.native, this.#kernel, this.subject);
  }

  /** Keys with their values; same promise as keys(). Reads in batches where the kernel can. */
  entries(): Generator<[Uint8Array, Uint8Array], void, undefined> {
    return walkEntries(() => this.native, this.#kernel, this.subject);
  }

  [Symbol.iterator](): Generator<[Uint8Array, Uint8Array], void, undefined> {
    return this.entries();
  }

  /**
   * Reads up to `count` entries into flat arrays. Start without a cursor and hand each result's cursor to the next
   * call. ENOSPC: a hash bucket holds more than `count` entries; ask for more. `remove` deletes what is read.
   */
  lookupBatch(options: { count?: number; cursor?: BatchCursor; remove?: boolean } = {}): BatchRead {
    const given = checkOptions(options, 'options');
    const map = this.native;
    const count = this.#checkCount(given.count ?? DEFAULT_BATCH);
    const cursorBytes = Math.max(this.#keyBytes, 4);
    const from = given.cursor === undefined ? undefined : checkSize(given.cursor, 'cursor', cursorBytes);
    const next = new Uint8Array(cursorBytes);
    const keys = new Uint8Array(count * this.#keyBytes);
    const values = new Uint8Array(count * this.#valueBytes);
    const read = given.remove === true ? map.takeBatch : map.lookupBatch;
    const result = read.call(map, from, next, keys, values, count);
    const ended = result.status === -ENOENT;
    if (!ended) must(result.status, 'read a batch of', this.subject);
    return {
      keys: keys.subarray(0, result.count * this.#keyBytes),
      values: values.subarray(0, result.count * this.#valueBytes),
      count: result.count,
      cursor: ended ? undefined : next,
    };
  }

  /** Writes `count` entries from flat arrays. On failure the error says how many were written. */
  updateBatch(keys: ArrayBufferView, values: ArrayBufferView, count: number, mode: UpdateMode = 'any'): void {
    const map = this.native;
    this.#checkCount(count);
    const flags = MODE_FLAGS[checkOneOf(mode, 'mode', MODES)];
    const keyBytes = checkSize(keys, 'keys', count * this.#keyBytes);
    const result = map.updateBatch(
      keyBytes,
      checkSize(values, 'values', count * this.#valueBytes),
      count,
      flags,
    );
    must(result.status, 'update a batch of', this.subject, `${result.count} of ${count} were written`);
  }

  /** Deletes `count` keys from a flat array. ENOENT if one is absent; the error says how many were deleted. */
  deleteBatch(keys: ArrayBufferView, count: number): void {
    const map = this.native;
    this.#checkCount(count);
    const result = map.deleteBatch(checkSize(keys, 'keys', count * this.#keyBytes), count);
    must(result.status, 'delete a batch of', this.subject, `${result.count} of ${count} were deleted`);
  }

  #checkCount(count: number): number {
    const most = Math.floor(MAX_BATCH_BYTES / Math.max(1, this.#keyBytes + this.#valueBytes));
    return checkInteger(count, 'count', 1, Math.min(U32_MAX, most));
  }

  /** Splits what a per-CPU map returned into one view a possible CPU, in CPU order. */
  splitPerCpu(value: Uint8Array): Uint8Array[] {
    this.#checkPerCpu();
    const bytes = checkSize(value, 'value', this.#valueBytes);
    const stride = Math.ceil(this.info.valueSize / 8) * 8;
    return Array.from({ length: this.#valueBytes / stride }, (_, cpu) =>
      bytes.subarray(cpu * stride, cpu * stride + this.info.valueSize),
    );
  }

  /** The values of one key on all possible CPUs. */
  lookupPerCpu(key: ArrayBufferView): Uint8Array[] | undefined {
    this.#checkPerCpu();
    const value = this.lookup(key);
    return value && this.splitPerCpu(value);
  }

  updatePerCpu(key: ArrayBufferView, values: readonly ArrayBufferView[], mode: UpdateMode = 'any'): void {
    this.#checkPerCpu();
    const whole = new Uint8Array(this.#valueBytes);
    const parts = this.splitPerCpu(whole);
    if (!Array.isArray(values) || values.length !== parts.length) {
      throw new TypeError(`values must be an array of ${parts.length}, one a possible CPU`);
    }
    parts.forEach((part, cpu) => {
      part.set(checkSize(values[cpu], `values[${cpu}]`, this.info.valueSize));
    });
    this.update(key, whole, mode);
  }

  #checkPerCpu(): void {
    if (!this.info.perCpu)
      throw new TypeError(`${this.subject} is of type ${this.info.type}, not a per-CPU map`);
  }

  /**
   * The map's memory itself, shared with the kernel: loads and stores are seen at once by programs, without calls.
   * For arrays created with BPF_F_MMAPABLE, with `round_up(valueSize, 8)` bytes an element, and for .data and .bss.
   * Stays valid after the map is closed. It cannot be moved to another thread.
   */
  mmap(): ArrayBuffer {
    const map = this.native;
    const { type, valueSize, maxEntries, flags } = this.info;
    if (type !== 'array' || (flags & BPF_F_MMAPABLE) === 0) {
      throw new TypeError(
        `${this.subject} is of type ${type}; only arrays created with BPF_F_MMAPABLE can be mapped`,
      );
    }
    const length = Math.ceil(valueSize / 8) * 8 * maxEntries;
    const memory = map.mmap(length);
    if (typeof memory === 'number') {
      throw new BpfError('map the memory of', this.subject, -memory, {
        reason: memory === -1 ? 'frozen and read-only maps cannot be mapped; use lookup' : undefined,
      });
    }
    return pinToThread(memory);
  }

  /** No update from user space any more, for good. EBUSY while the memory is mapped. */
  freeze(): void {
    must(this.native.freeze(), 'freeze', this.subject);
  }

  /** Pins to a path on a BPF file system; the map then outlives this process. */
  pin(path: string): void {
    must(this.native.pin(checkString(path, 'path')), `pin to ${path}`, this.subject);
  }

  /** Access by codecs. For per-CPU maps see perCpu(). */
  typed<K, V>(keyCodec: Codec<K>, valueCodec: Codec<V>): TypedMap<K, V> {
    return new TypedMap(this, keyCodec, valueCodec);
  }

  /** Access by codecs to the values of all possible CPUs. */
  perCpu<K, V>(keyCodec: Codec<K>, valueCodec: Codec<V>): PerCpuMap<K, V> {
    this.#checkPerCpu();
    return new PerCpuMap(this, keyCodec, valueCodec);
  }

  /** Like typed(), with codecs built from the types the map was declared with. The caller vouches for K and V. */
  typedByBtf<K = unknown, V = unknown>(): TypedMap<K, V> {
    const { key, value } = this.#btfCodecs<K, V>();
    return this.typed(key, value);
  }

  perCpuByBtf<K = unknown, V = unknown>(): PerCpuMap<K, V> {
    this.#checkPerCpu();
    const { key, value } = this.#btfCodecs<K, V>();
    return this.perCpu(key, value);
  }

  /** The types that the map was declared with, as the kernel keeps them; `undefined` if it was without. */
  types(): MapTypes | undefined {
    void this.native; // throws when closed
    const { btfId, btfKeyTypeId, btfValueTypeId } = this.#kernel;
    if (btfId === 0 || btfValueTypeId === 0) return undefined;
    const bytes = native.btfById(btfId);
    if (typeof bytes === 'number') throw new BpfError('read the BTF of', this.subject, -bytes);
    return { btf: Btf.parse(bytes), key: btfKeyTypeId, value: btfValueTypeId };
  }

  #btfCodecs<K, V>(): { key: Codec<K>; value: Codec<V> } {
    const types = this.types();
    if (types === undefined) {
      throw new BtfError(`${this.subject} was declared without BTF types; use typed() with codecs`);
    }
    // libbpf declares no key type for .data, .bss and .rodata: their one key is an index.
    return {
      key: types.key === 0 ? (INDEX as Codec<K>) : types.btf.codec<K>(types.key),
      value: types.btf.codec<V>(types.value),
    };
  }
}

const HOST_LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const INDEX: Codec<unknown> = {
  sizeBytes: 4,
  read: (view, offset) => view.getUint32(offset, HOST_LITTLE),
  write: (view, offset, value) => view.setUint32(offset, checkInteger(value, 'key', 0, U32_MAX), HOST_LITTLE),
};

/** transfer() would free mapped memory from under another owner when this thread ends. */
function pinToThread(memory: ArrayBuffer): ArrayBuffer {
  const refuse = (): never => {
    throw new TypeError('the memory of a map cannot be transferred');
  };
  return Object.defineProperties(memory, {
    transfer: { value: refuse },
    transferToFixedLength: { value: refuse },
  });
}

/** How many CPUs the kernel keeps per-CPU values for, whether they are present or not. */
export function possibleCpus(): number {
  return must(native.possibleCpus(), 'count', 'the possible CPUs');
}
