// Owns the parsing of raw BTF (Documentation/bpf/btf.rst): a bounds-checked index over the bytes, and lookups in
// it. What values of a type look like is btf_codec.ts's; this file reads no value.
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { type Codec, codecOf } from './btf_codec.ts';
import { checkString, describe } from './check.ts';

/** The bytes are not well-formed BTF, or do not hold what was asked for. */
export class BtfError extends Error {
  override readonly name = 'BtfError';
  readonly code = 'ERR_BTF';
}

/** Kinds by their number in the format. */
export const BTF_KINDS = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
] as const;

export type BtfKind = (typeof BTF_KINDS)[number];

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 unless the member is a bit-field. */
  readonly bitSize: number;
}

export interface BtfVariable {
  readonly type: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface BtfEnumValue {
  readonly name: string;
  readonly value: bigint;
}

/** One type, decoded on demand. `target` is what a pointer, typedef, qualifier, array or variable refers to. */
export interface BtfType {
  readonly id: number;
  readonly kind: BtfKind;
  readonly name: string;
  readonly sizeBytes: number;
  readonly target: number;
  readonly int?: { signed: boolean; char: boolean; bool: boolean; bits: number; bitOffset: number };
  readonly length?: number;
  readonly members?: readonly BtfMember[];
  readonly values?: readonly BtfEnumValue[];
  readonly variables?: readonly BtfVariable[];
}

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
const TYPE_BYTES = 12;
/** The kernel's BTF has some 150,000 types; the format allows 2^20. */
const MAX_TYPES = 1 << 20;
/** A chain of typedefs and qualifiers longer than this is a cycle or an attack. */
const MAX_CHAIN = 64;
const LITTLE = endianness() === 'LE';

/** Bytes after the common twelve, for kinds where that is fixed, and per element where it is not. */
const EXTRA_BYTES: Readonly<Record<BtfKind, readonly [fixed: number, each: number]>> = {
  void: [0, 0],
  int: [4, 0],
  ptr: [0, 0],
  array: [12, 0],
  struct: [0, 12],
  union: [0, 12],
  enum: [0, 8],
  fwd: [0, 0],
  typedef: [0, 0],
  volatile: [0, 0],
  const: [0, 0],
  restrict: [0, 0],
  func: [0, 0],
  func_proto: [0, 8],
  var: [4, 0],
  datasec: [0, 12],
  float: [0, 0],
  decl_tag: [4, 0],
  type_tag: [0, 0],
  enum64: [0, 12],
};

/** The kinds whose third word is a type id, not a size. */
const REFERRING: ReadonlySet<BtfKind> = new Set<BtfKind>([
  'ptr',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'decl_tag',
  'type_tag',
]);

const TRANSPARENT: ReadonlySet<BtfKind> = new Set<BtfKind>([
  'typedef',
  'volatile',
  'const',
  'restrict',
  'type_tag',
]);

const VOID: BtfType = { id: 0, kind: 'void', name: 'void', sizeBytes: 0, target: 0 };

export class Btf {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #strings: { from: number; to: number };
  /** Byte offset of each type; index 0 (void) is unused. */
  readonly #offsets: Uint32Array;
  #names: Map<string, number[]> | undefined;
  readonly #codecs = new Map<number, Codec<unknown>>();

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { types, strings } = readHeader(this.#view);
    this.#strings = strings;
    this.#offsets = this.#index(types.from, types.to);
    this.#checkReferences();
  }

  /** Parses raw BTF, as in an ELF file's .BTF section or /sys/kernel/btf. Throws BtfError on anything malformed. */
  static parse(bytes: Uint8Array): Btf {
    if (!(bytes instanceof Uint8Array))
      throw new TypeError(`bytes must be a Uint8Array, got ${describe(bytes)}`);
    // A copy: the checks below must hold for as long as the object lives.
    return new Btf(Uint8Array.from(bytes));
  }

  /** The running kernel's own types. Takes some milliseconds: keep the result. */
  static kernel(): Btf {
    return new Btf(readFileSync('/sys/kernel/btf/vmlinux'));
  }

  /** How many types there are, void included: ids run from 0 to count - 1. */
  get count(): number {
    return this.#offsets.length;
  }

  /** The type with this id. */
  type(id: number): BtfType {
    if (!Number.isInteger(id) || id < 0 || id >= this.count) {
      throw new BtfError(`no type has id ${describe(id)}; there are ${this.count}`);
    }
    return id === 0 ? VOID : this.#decode(id);
  }

  /** All ids of types with this name, of one kind or of any. */
  ids(name: string, kind?: BtfKind): readonly number[] {
    this.#names ??= this.#indexNames();
    const ids = this.#names.get(name) ?? [];
    return kind === undefined ? ids : ids.filter((id) => this.#kind(id) === kind);
  }

  /** The type with this name; `undefined` if there is none. Several kinds: struct and union win over typedef. */
  find(name: string, kind?: BtfKind): BtfType | undefined {
    const found = this.ids(name, kind).map((id) => this.type(id));
    const complete = found.filter((type) => type.kind !== 'fwd' && type.kind !== 'func');
    return complete.find((type) => type.kind !== 'typedef') ?? complete[0] ?? found[0];
  }

  /** Like find, but throws a BtfError that names the missing type. */
  get(name: string, kind?: BtfKind): BtfType {
    const type = this.find(name, kind);
    if (type === undefined) throw new BtfError(`no ${kind ?? 'type'} is named ${describe(name)}`);
    return type;
  }

  /** Follows typedefs and qualifiers to the type that has a layout. */
  resolve(id: number): BtfType {
    let type = this.type(id);
    for (let hops = 0; TRANSPARENT.has(type.kind); hops++) {
      if (hops === MAX_CHAIN) throw new BtfError(`type ${id} is a chain of more than ${MAX_CHAIN} typedefs`);
      type = this.type(type.target);
    }
    return type;
  }

  /**
   * Encodes and decodes values of a type, given by name or id. The caller vouches for T. `label` is what errors call
   * the value; by default the type's name.
   */
  codec<T>(type: string | number, label?: string): Codec<T> {
    const id = typeof type === 'number' ? this.type(type).id : this.get(checkString(type, 'type')).id;
    if (label !== undefined) checkString(label, 'label');
    return codecOf(this, id, this.#codecs, label) as Codec<T>;
  }

  #index(from: number, to: number): Uint32Array {
    const offsets: number[] = [0];
    let at = from;
    while (at < to) {
      if (to - at < TYPE_BYTES) throw new BtfError(`type ${offsets.length} is cut off`);
      if (offsets.length >= MAX_TYPES) throw new BtfError(`more than ${MAX_TYPES} types`);
      const info = this.#view.getUint32(at + 4, LITTLE);
      const kind = BTF_KINDS[(info >>> 24) & 0x1f];
      if (kind === undefined || kind === 'void') {
        throw new BtfError(`type ${offsets.length} has unknown kind ${(info >>> 24) & 0x1f}`);
      }
      const [fixed, each] = EXTRA_BYTES[kind];
      const size = TYPE_BYTES + fixed + each * (info & 0xffff);
      if (size > to - at) throw new BtfError(`type ${offsets.length} (${kind}) is cut off`);
      offsets.push(at);
      at += size;
    }
    return Uint32Array.from(offsets);
  }

  /** Every reference and name is checked once, here, so that later reads need no doubt. */
  #checkReferences(): void {
    for (let id = 1; id < this.count; id++) {
      const at = this.#offsets[id]!;
      const kind = this.#kind(id);
      const check = (offset: number): void => {
        const target = this.#view.getUint32(offset, LITTLE);
        if (target >= this.count)
          throw new BtfError(`type ${id} (${kind}) refers to type ${target}, which is not there`);
      };
      this.#checkName(at, id);
      if (REFERRING.has(kind)) check(at + 8);
      const elements = this.#view.getUint32(at + 4, LITTLE) & 0xffff;
      const extra = at + TYPE_BYTES;
      if (kind === 'array') check(extra);
      if (kind === 'array') check(extra + 4);
      for (let index = 0; index < elements; index++) {
        const [, each] = EXTRA_BYTES[kind];
        const element = extra + index * each;
        if (kind === 'struct' || kind === 'union' || kind === 'func_proto') check(element + 4);
        if (kind === 'datasec') check(element);
        else if (each > 0) this.#checkName(element, id);
      }
    }
  }

  #checkName(at: number, id: number): void {
    const offset = this.#view.getUint32(at, LITTLE);
    if (offset >= Math.max(1, this.#strings.to - this.#strings.from)) {
      throw new BtfError(`type ${id} has a name outside of the string section`);
    }
  }

  #kind(id: number): BtfKind {
    return BTF_KINDS[(this.#view.getUint32(this.#offsets[id]! + 4, LITTLE) >>> 24) & 0x1f]!;
  }

  #name(at: number): string {
    const from = this.#strings.from + this.#view.getUint32(at, LITTLE);
    if (from >= this.#strings.to) return '';
    // readHeader made sure that the section ends in a NUL.
    const to = this.#bytes.indexOf(0, from);
    return new TextDecoder().decode(this.#bytes.subarray(from, to));
  }

  #indexNames(): Map<string, number[]> {
    const names = new Map<string, number[]>();
    for (let id = 1; id < this.count; id++) {
      const name = this.#name(this.#offsets[id]!);
      if (name === '') continue;
      const ids = names.get(name);
      if (ids === undefined) names.set(name, [id]);
      else ids.push(id);
    }
    return names;
  }

  #decode(id: number): BtfType {
    const at = this.#offsets[id]!;
    const u32 = (offset: number): number => this.#view.getUint32(offset, LITTLE);
    const info = u32(at + 4);
    const elements = info & 0xffff;
    const flag = info >>> 31 === 1;
    const kind = this.#kind(id);
    const extra = at + TYPE_BYTES;
    const refers = REFERRING.has(kind);
    const base = {
      id,
      kind,
      name: this.#name(at),
      sizeBytes: refers || kind === 'array' || kind === 'fwd' ? 0 : u32(at + 8),
      target: refers ? u32(at + 8) : 0,
    };
    const each = <T>(size: number, read: (offset: number) => T): T[] =>
      Array.from({ length: elements }, (_, index) => read(extra + index * size));

    switch (kind) {
      case 'int': {
        const encoding = u32(extra);
        const flags = (encoding >>> 24) & 0xf;
        return {
          ...base,
          int: {
            signed: (flags & 1) !== 0,
            char: (flags & 2) !== 0,
            bool: (flags & 4) !== 0,
            bits: encoding & 0xff,
            bitOffset: (encoding >>> 16) & 0xff,
          },
        };
      }
      case 'array':
        return { ...base, target: u32(extra), length: u32(extra + 8) };
      case 'struct':
      case 'union':
        return {
          ...base,
          members: each(12, (offset) => {
            const position = u32(offset + 8);
            return {
              name: this.#name(offset),
              type: u32(offset + 4),
              bitOffset: flag ? position & 0xff_ffff : position,
              bitSize: flag ? position >>> 24 : 0,
            };
          }),
        };
      case 'enum':
        return {
          ...base,
          int: { signed: flag, char: false, bool: false, bits: base.sizeBytes * 8, bitOffset: 0 },
          values: each(8, (offset) => ({
            name: this.#name(offset),
            value: BigInt(flag ? this.#view.getInt32(offset + 4, LITTLE) : u32(offset + 4)),
          })),
        };
      case 'enum64':
        return {
          ...base,
          int: { signed: flag, char: false, bool: false, bits: base.sizeBytes * 8, bitOffset: 0 },
          values: each(12, (offset) => {
            const value = BigInt(u32(offset + 4)) | (BigInt(u32(offset + 8)) << 32n);
            return { name: this.#name(offset), value: flag ? BigInt.asIntN(64, value) : value };
          }),
        };
      case 'datasec':
        return {
          ...base,
          variables: each(12, (offset) => ({
            type: u32(offset),
            offset: u32(offset + 4),
            sizeBytes: u32(offset + 8),
          })),
        };
      default:
        return base;
    }
  }
}

interface Span {
  from: number;
  to: number;
}

function readHeader(view: DataView): { types: Span; strings: Span } {
  if (view.byteLength < HEADER_BYTES)
    throw new BtfError(`${view.byteLength} bytes are too few for a BTF header`);
  const magic = view.getUint16(0, LITTLE);
  if (magic !== MAGIC) {
    const swapped = view.getUint16(0, !LITTLE) === MAGIC;
    throw new BtfError(
      swapped ? 'BTF of the other byte order' : `not BTF: it starts with 0x${magic.toString(16)}`,
    );
  }
  if (view.getUint8(2) !== 1) throw new BtfError(`BTF version ${view.getUint8(2)} is not known`);
  const headerBytes = view.getUint32(4, LITTLE);
  if (headerBytes < HEADER_BYTES || headerBytes > view.byteLength) {
    throw new BtfError(`a BTF header of ${headerBytes} bytes does not fit`);
  }
  const section = (name: string, at: number): Span => {
    const from = headerBytes + view.getUint32(at, LITTLE);
    const to = from + view.getUint32(at + 4, LITTLE);
    if (to > view.byteLength)
      throw new BtfError(`the ${name} section ends at ${to}, beyond ${view.byteLength} bytes`);
    return { from, to };
  };
  const types = section('type', 8);
  const strings = section('string', 16);
  if (types.from % 4 !== 0) throw new BtfError('the type section is not aligned');
  if (
    strings.to > strings.from &&
    (view.getUint8(strings.from) !== 0 || view.getUint8(strings.to - 1) !== 0)
  ) {
    throw new BtfError('the string section does not start and end with a NUL');
  }
  return { types, strings };
}
