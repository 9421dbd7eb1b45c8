// Owns BPF objects, before and after load. They are two types: what can be set on one cannot be set on the other.
// Loading hands every descriptor out and lets libbpf's object go, so no handle depends on another's life.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Btf } from './btf.ts';
import {
  checkBoolean,
  checkInteger,
  checkOptions,
  checkString,
  checkView,
  describe,
  U32_MAX,
} from './check.ts';
import { type ConstantValue, encodeConstants } from './constants.ts';
import { checkElf } from './elf.ts';
import { BpfError, ClosedError, during, must } from './errors.ts';
import { type MapType, mapTypeName, type ProgramType, programTypeName } from './kernel_types.ts';
import { LoadedObject } from './loaded.ts';
import { BpfMap, type MapTypes } from './map.ts';
import { type NativeObject, native } from './native.ts';

/** A BPF object file larger than this is a mistake. */
const MAX_OBJECT_BYTES = 64 << 20;

/** Opens a BPF object file, given as a path or as its bytes. Nothing reaches the kernel before load(). */
export function openObject(source: string | Uint8Array, options: { name?: string } = {}): OpenObject {
  const given = checkOptions(options, 'options');
  const bytes =
    typeof source === 'string' ? readFileSync(checkString(source, 'source')) : checkView(source, 'source');
  if (bytes.byteLength > MAX_OBJECT_BYTES) {
    throw new TypeError(`source must be at most ${MAX_OBJECT_BYTES} bytes, got ${bytes.byteLength}`);
  }
  const fallback = typeof source === 'string' ? basename(source).replace(/(\.bpf)?\.o$/, '') : 'object';
  const name = given.name === undefined ? fallback : checkString(given.name, 'name');
  // A copy: what is checked is what libbpf reads, whatever another thread does to the source.
  const image = Uint8Array.from(bytes);
  checkElf(image);
  return new OpenObject(
    during('open', name, () => new native.Object(image, name)),
    name,
  );
}

interface Shared {
  readonly native: NativeObject;
  readonly name: string;
  readonly reused: Set<number>;
  readonly btf: () => Btf;
  closed: boolean;
}

function openedOf(shared: Shared): NativeObject {
  if (shared.closed) throw new ClosedError(`object ${shared.name} is closed, or was consumed by load()`);
  return shared.native;
}

/** A map as the object file declares it. */
export class OpenMap {
  readonly name: string;
  readonly type: MapType | `type ${number}`;
  readonly keySize: number;
  readonly valueSize: number;
  readonly flags: number;
  /** True for .data, .bss, .rodata and .kconfig. */
  readonly internal: boolean;
  readonly #shared: Shared;
  readonly #index: number;
  readonly #keyType: number;
  readonly #valueType: number;
  #maxEntries: number;

  /** @internal */
  constructor(shared: Shared, index: number, declared: ReturnType<NativeObject['maps']>[number]) {
    this.name = mapName(declared);
    this.type = mapTypeName(declared.type);
    this.keySize = declared.keySize;
    this.valueSize = declared.valueSize;
    this.flags = declared.flags;
    this.internal = declared.internal;
    this.#shared = shared;
    this.#index = index;
    this.#keyType = declared.btfKeyTypeId;
    this.#valueType = declared.btfValueTypeId;
    this.#maxEntries = declared.maxEntries;
  }

  /** The types that the map is declared with; `undefined` if it is without. */
  types(): MapTypes | undefined {
    openedOf(this.#shared);
    if (this.#valueType === 0) return undefined;
    return { btf: this.#shared.btf(), key: this.#keyType, value: this.#valueType };
  }

  get maxEntries(): number {
    return this.#maxEntries;
  }

  setMaxEntries(count: number): void {
    const object = openedOf(this.#shared);
    checkInteger(count, 'count', 1, U32_MAX);
    if (this.internal) throw new TypeError(`map ${this.name} holds variables; its size cannot be set`);
    must(object.setMaxEntries(this.#index, count), 'set the size of', `map ${this.name}`);
    this.#maxEntries = count;
  }

  /** At load: use the compatible map pinned there, or else pin the new one there. */
  setPinPath(path: string): void {
    const object = openedOf(this.#shared);
    must(
      object.setPinPath(this.#index, checkString(path, 'path')),
      'set the pin path of',
      `map ${this.name}`,
    );
  }

  /** At load: use this map instead of creating one. */
  reuse(map: BpfMap): void {
    const object = openedOf(this.#shared);
    if (!(map instanceof BpfMap)) throw new TypeError(`map must be a BpfMap, got ${describe(map)}`);
    const fields = ['type', 'keySize', 'valueSize', 'maxEntries', 'flags'] as const;
    // The kernel adds a flag of its own to device maps.
    const lax = this.type === 'devmap' || this.type === 'devmap_hash';
    const differing = fields.filter(
      (field) => this[field] !== map.info[field] && !(lax && field === 'flags'),
    );
    if (differing.length > 0) {
      const list = differing
        .map((field) => `${field} is ${map.info[field]}, declared ${this[field]}`)
        .join('; ');
      throw new TypeError(`map ${map.info.name} cannot stand in for map ${this.name}: ${list}`);
    }
    must(object.reuse(this.#index, map.fd), 'reuse', `map ${map.info.name}`);
    this.#shared.reused.add(this.#index);
  }
}

/** A program as the object file declares it. */
export class OpenProgram {
  readonly name: string;
  readonly section: string;
  readonly type: ProgramType | `type ${number}`;
  readonly #shared: Shared;
  readonly #index: number;
  #autoload: boolean;

  /** @internal */
  constructor(shared: Shared, index: number, declared: ReturnType<NativeObject['programs']>[number]) {
    this.name = declared.name;
    this.section = declared.section;
    this.type = programTypeName(declared.type);
    this.#shared = shared;
    this.#index = index;
    this.#autoload = declared.autoload;
  }

  get autoload(): boolean {
    return this.#autoload;
  }

  /** Whether load() loads this program. */
  setAutoload(load: boolean): void {
    const object = openedOf(this.#shared);
    must(
      object.setAutoload(this.#index, checkBoolean(load, 'load')),
      'set autoload of',
      `program ${this.name}`,
    );
    this.#autoload = load;
  }
}

/** libbpf puts a part of the object's name before .data and the like; here they are called as their section. */
function mapName(declared: { name: string; internal: boolean }): string {
  const dot = declared.name.indexOf('.');
  return declared.internal && dot > 0 ? declared.name.slice(dot) : declared.name;
}

/** An object file that was read, before it is loaded into the kernel. */
export class OpenObject {
  readonly name: string;
  readonly programs: ReadonlyMap<string, OpenProgram>;
  readonly maps: ReadonlyMap<string, OpenMap>;
  readonly #shared: Shared;
  #btf: Btf | undefined;

  /** @internal */
  constructor(object: NativeObject, name: string) {
    if (!(object instanceof native.Object)) throw new TypeError('use openObject() to open an object');
    this.name = name;
    this.#shared = { native: object, name, reused: new Set(), btf: () => this.btf, closed: false };
    this.programs = new Map(
      object.programs().map((it, index) => [it.name, new OpenProgram(this.#shared, index, it)]),
    );
    this.maps = new Map(
      object.maps().map((it, index) => [mapName(it), new OpenMap(this.#shared, index, it)]),
    );
  }

  /** The types of the object; a BtfError if it was compiled without -g. */
  get btf(): Btf {
    this.#btf ??= parseBtf(openedOf(this.#shared), this.name);
    return this.#btf;
  }

  /**
   * Sets variables before load: `const volatile` ones, which are then constants to the verifier, and the initial
   * values of others. Bigint for 64-bit integers; a Uint8Array of the variable's size is taken as it is.
   */
  setConstants(values: Record<string, ConstantValue>): void {
    const object = openedOf(this.#shared);
    const sections = object.maps().flatMap((it, index) => {
      const usable = it.internal && it.btfValueTypeId !== 0 && mapName(it) !== '.kconfig';
      return usable ? [{ index, name: mapName(it), typeId: it.btfValueTypeId }] : [];
    });
    const changed = encodeConstants(this.btf, sections, values, (index) => object.initialValue(index));
    for (const [index, bytes] of changed) {
      if (this.#shared.reused.has(index))
        throw new TypeError('the variables of a reused map cannot be set before load');
      must(object.setInitialValue(index, bytes), 'set variables of', `object ${this.name}`);
    }
  }

  /** Loads maps and programs into the kernel. Consumes this object, also when it fails. */
  load(): LoadedObject {
    const object = openedOf(this.#shared);
    const programs = object.programs();
    const maps = object.maps();
    const btfBytes = object.btf();
    this.#shared.closed = true;
    const fds = during('load', `object ${this.name}`, () => object.load());
    // Owned before anything else can fail: a number alone would leak its descriptor.
    const ownMaps = fds.maps.map((fd) => (fd < 0 ? undefined : new native.Map(fd)));
    const ownPrograms = fds.programs.map((fd) => (fd < 0 ? undefined : new native.Program(fd)));
    return new LoadedObject(
      this.name,
      byName(ownPrograms, (index) => programs[index]!.name),
      byName(ownMaps, (index) => mapName(maps[index]!)),
      btfBytes,
    );
  }

  close(): void {
    this.#shared.closed = true;
    this.#shared.native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function byName<N>(natives: readonly (N | undefined)[], nameOf: (index: number) => string): Map<string, N> {
  return new Map(natives.flatMap((it, index) => (it === undefined ? [] : [[nameOf(index), it] as const])));
}

function parseBtf(object: NativeObject, name: string): Btf {
  const bytes = object.btf();
  if (bytes === undefined)
    throw new BpfError('read the BTF of', `object ${name}`, 2, { reason: 'compile it with -g' });
  return Btf.parse(bytes);
}
