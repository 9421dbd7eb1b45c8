// Owns the translation between bytes and values of a BTF type, built at run time. generate.ts writes the same
// translation as source text; a test holds the two together.
import { endianness } from 'node:os';
import { type Btf, BtfError, type BtfType } from './btf.ts';
import { describe } from './check.ts';

/** Reads and writes one fixed-size value in host byte order. */
export interface Codec<T> {
  readonly sizeBytes: number;
  read(view: DataView, offset: number): T;
  write(view: DataView, offset: number, value: T): void;
}

const LITTLE = endianness() === 'LE';

/** One value must not take longer to read than a person waits: hostile BTF can nest unions to 2^32 members. */
const MAX_LEAVES = 1 << 20;
const MAX_SIZE_BYTES = 64 << 20;
const MAX_DEPTH = 32;

interface Built extends Codec<unknown> {
  /** How many scalars one read visits. */
  readonly leaves: number;
}

/**
 * A value that does not fit. Codecs are shared by all places where a type is used, so a codec cannot know the name
 * of its value: each level adds its own on the way out.
 */
class Mismatch extends Error {
  path = '';
}

function mismatch(expected: string, value: unknown): Mismatch {
  return new Mismatch(`must be ${expected}, got ${describe(value)}`);
}

/** Runs the write of one part of a value under that part's name. */
function writePart(name: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (error instanceof Mismatch) error.path = name + error.path;
    throw error;
  }
}

/** Builds (or finds in `cache`) the codec of a type. Errors call the value `label`. */
export function codecOf(
  btf: Btf,
  id: number,
  cache: Map<number, Codec<unknown>>,
  label = typeLabel(btf.resolve(id)),
): Codec<unknown> {
  const built = build(btf, id, cache as Map<number, Built>, label, 0);
  return {
    sizeBytes: built.sizeBytes,
    read: (view, offset) => {
      checkView(view);
      return built.read(view, offset);
    },
    write: (view, offset, value) => {
      checkView(view);
      try {
        built.write(view, offset, value);
      } catch (error) {
        if (error instanceof Mismatch) throw new TypeError(`${label}${error.path} ${error.message}`);
        throw error;
      }
    },
  };
}

function checkView(view: unknown): void {
  if (!(view instanceof DataView)) throw new TypeError(`view must be a DataView, got ${describe(view)}`);
}

export function typeLabel(type: BtfType): string {
  return type.name === '' ? `unnamed ${type.kind} (type ${type.id})` : type.name;
}

function build(
  btf: Btf,
  id: number,
  cache: Map<number, Built>,
  path: string,
  depth: number,
  anonymous = false,
): Built {
  // An anonymous union differs from a named one of the same type, so the two are kept apart.
  const key = anonymous ? ~id : id;
  const cached = cache.get(key);
  if (cached !== undefined) return cached;
  if (depth > MAX_DEPTH) throw new BtfError(`${path}: types nest deeper than ${MAX_DEPTH}`);
  const built = buildResolved(btf, btf.resolve(id), cache, path, depth, anonymous);
  if (built.leaves > MAX_LEAVES) throw new BtfError(`${path}: has more than ${MAX_LEAVES} members`);
  if (built.sizeBytes > MAX_SIZE_BYTES) throw new BtfError(`${path}: is larger than ${MAX_SIZE_BYTES} bytes`);
  cache.set(key, built);
  return built;
}

function buildResolved(
  btf: Btf,
  type: BtfType,
  cache: Map<number, Built>,
  path: string,
  depth: number,
  anonymous: boolean,
): Built {
  switch (type.kind) {
    case 'int':
    case 'enum':
    case 'enum64':
      return scalar(type, path);
    case 'float':
      return float(type, path);
    case 'array':
      return array(btf, type, cache, path, depth);
    case 'struct':
    case 'datasec':
      return struct(fieldsOf(btf, type, cache, path, depth), type.sizeBytes);
    case 'union':
      return union(fieldsOf(btf, type, cache, path, depth), type.sizeBytes, anonymous);
    case 'ptr':
      throw new BtfError(`${path}: is a pointer, which has no meaning outside of its program`);
    default:
      throw new BtfError(`${path}: a ${type.kind} has no value`);
  }
}

function scalar(type: BtfType, path: string): Built {
  const { sizeBytes } = type;
  const { signed, bool, bits, bitOffset } = type.int!;
  const known = sizeBytes === 1 || sizeBytes === 2 || sizeBytes === 4 || sizeBytes === 8;
  if (!known || bits !== sizeBytes * 8 || bitOffset !== 0) {
    throw new BtfError(`${path}: an integer of ${bits} bits in ${sizeBytes} bytes is not supported`);
  }
  if (bool && sizeBytes === 1) {
    return {
      sizeBytes,
      leaves: 1,
      read: (view, offset) => view.getUint8(offset) !== 0,
      write: (view, offset, value) => {
        if (typeof value !== 'boolean') throw mismatch('a boolean', value);
        view.setUint8(offset, value ? 1 : 0);
      },
    };
  }
  if (sizeBytes === 8) return bigScalar(signed);
  const { min, max } = integerRange(sizeBytes, signed);
  const check = (value: unknown): number => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw mismatch(`an integer from ${min} to ${max}`, value);
  };
  return { sizeBytes, leaves: 1, ...accessors(sizeBytes, signed, check) };
}

/** For sizes up to four bytes. */
export function integerRange(sizeBytes: number, signed: boolean): { min: number; max: number } {
  const bits = sizeBytes * 8;
  return signed ? { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 } : { min: 0, max: 2 ** bits - 1 };
}

function accessors(
  sizeBytes: 1 | 2 | 4,
  signed: boolean,
  check: (value: unknown) => number,
): Omit<Codec<unknown>, 'sizeBytes'> {
  if (sizeBytes === 1) {
    return {
      read: signed ? (view, offset) => view.getInt8(offset) : (view, offset) => view.getUint8(offset),
      write: (view, offset, value) => view.setUint8(offset, check(value)),
    };
  }
  if (sizeBytes === 2) {
    return {
      read: signed
        ? (view, offset) => view.getInt16(offset, LITTLE)
        : (view, offset) => view.getUint16(offset, LITTLE),
      write: (view, offset, value) => view.setUint16(offset, check(value), LITTLE),
    };
  }
  return {
    read: signed
      ? (view, offset) => view.getInt32(offset, LITTLE)
      : (view, offset) => view.getUint32(offset, LITTLE),
    write: (view, offset, value) => view.setUint32(offset, check(value), LITTLE),
  };
}

function bigScalar(signed: boolean): Built {
  const min = signed ? -(1n << 63n) : 0n;
  const max = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n;
  return {
    sizeBytes: 8,
    leaves: 1,
    read: signed
      ? (view, offset) => view.getBigInt64(offset, LITTLE)
      : (view, offset) => view.getBigUint64(offset, LITTLE),
    write: (view, offset, value) => {
      if (typeof value !== 'bigint' || value < min || value > max) {
        throw mismatch(`a bigint from ${min} to ${max}`, value);
      }
      view.setBigUint64(offset, BigInt.asUintN(64, value), LITTLE);
    },
  };
}

function float(type: BtfType, path: string): Built {
  const { sizeBytes } = type;
  if (sizeBytes !== 4 && sizeBytes !== 8)
    throw new BtfError(`${path}: a float of ${sizeBytes} bytes is not supported`);
  const check = (value: unknown): number => {
    if (typeof value !== 'number') throw mismatch('a number', value);
    return value;
  };
  if (sizeBytes === 4) {
    return {
      sizeBytes,
      leaves: 1,
      read: (view, offset) => view.getFloat32(offset, LITTLE),
      write: (view, offset, value) => view.setFloat32(offset, check(value), LITTLE),
    };
  }
  return {
    sizeBytes,
    leaves: 1,
    read: (view, offset) => view.getFloat64(offset, LITTLE),
    write: (view, offset, value) => view.setFloat64(offset, check(value), LITTLE),
  };
}

/** char and unsigned 8-bit elements: text and addresses are bytes, not lists of numbers. */
export function isByte(type: BtfType): boolean {
  if (type.kind !== 'int' || type.sizeBytes !== 1 || type.int!.bool) return false;
  return !type.int!.signed || type.int!.char || type.name === 'char';
}

function array(btf: Btf, type: BtfType, cache: Map<number, Built>, path: string, depth: number): Built {
  const length = type.length!;
  const element = build(btf, type.target, cache, `${path}[]`, depth + 1);
  const sizeBytes = length * element.sizeBytes;
  if (isByte(btf.resolve(type.target))) {
    return {
      sizeBytes,
      leaves: 1,
      read: (view, offset) => copyOut(view, offset, sizeBytes),
      write: (view, offset, value) => copyIn(view, offset, value, sizeBytes),
    };
  }
  return {
    sizeBytes,
    leaves: length * element.leaves,
    read: (view, offset) => {
      const values: unknown[] = [];
      for (let index = 0; index < length; index++)
        values.push(element.read(view, offset + index * element.sizeBytes));
      return values;
    },
    write: (view, offset, value) => {
      if (!(Array.isArray(value) || ArrayBuffer.isView(value)) || (value as unknown[]).length !== length) {
        throw mismatch(`an array of ${length}`, value);
      }
      for (let index = 0; index < length; index++) {
        const at = offset + index * element.sizeBytes;
        writePart(`[${index}]`, () => element.write(view, at, (value as unknown[])[index]));
      }
    },
  };
}

function copyOut(view: DataView, offset: number, sizeBytes: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes).slice();
}

function copyIn(view: DataView, offset: number, value: unknown, sizeBytes: number): void {
  const bytes = value instanceof Uint8Array ? value : undefined;
  if (bytes?.byteLength !== sizeBytes) {
    throw mismatch(`a Uint8Array of ${sizeBytes} bytes`, bytes === undefined ? value : bytes.byteLength);
  }
  new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes).set(bytes);
}

interface Field {
  /** Empty for an anonymous struct or union: its members appear in the enclosing value. */
  readonly name: string;
  readonly offset: number;
  readonly codec: Built;
}

function fieldsOf(btf: Btf, type: BtfType, cache: Map<number, Built>, path: string, depth: number): Field[] {
  const members =
    type.members ??
    type.variables!.map((variable) => {
      const declared = btf.type(variable.type);
      return { name: declared.name, type: declared.target, bitOffset: variable.offset * 8, bitSize: 0 };
    });
  return members.map((member) => {
    const memberPath = member.name === '' ? path : `${path}.${member.name}`;
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) {
      throw new BtfError(`${memberPath}: is a bit-field, which is not supported`);
    }
    if (member.name === '__proto__') throw new BtfError(`${memberPath}: cannot be the name of a property`);
    const codec = build(btf, member.type, cache, memberPath, depth + 1, member.name === '');
    const offset = member.bitOffset / 8;
    if (offset + codec.sizeBytes > type.sizeBytes) {
      throw new BtfError(`${memberPath}: ends beyond the ${type.sizeBytes} bytes of ${path}`);
    }
    return { name: member.name, offset, codec };
  });
}

type Members = Record<string, unknown>;

function checkMembers(value: unknown): Members {
  if (typeof value === 'object' && value !== null) return value as Members;
  throw mismatch('an object', value);
}

function readFields(fields: readonly Field[], view: DataView, offset: number): Members {
  const value: Members = {};
  for (const { name, codec, offset: at } of fields) {
    const member = codec.read(view, offset + at);
    if (name === '') Object.assign(value, member);
    else value[name] = member;
  }
  return value;
}

function writeField(field: Field, view: DataView, offset: number, members: Members): void {
  if (field.name === '') field.codec.write(view, offset + field.offset, members);
  else writePart(`.${field.name}`, () => field.codec.write(view, offset + field.offset, members[field.name]));
}

function countLeaves(fields: readonly Field[]): number {
  return fields.reduce((sum, field) => sum + field.codec.leaves, 1);
}

function struct(fields: readonly Field[], sizeBytes: number): Built {
  return {
    sizeBytes,
    leaves: countLeaves(fields),
    read: (view, offset) => readFields(fields, view, offset),
    write: (view, offset, value) => {
      const members = checkMembers(value);
      // Holes go to the kernel as zeros: a key with stale bytes in a hole would be another key.
      new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes).fill(0);
      for (const field of fields) writeField(field, view, offset, members);
    },
  };
}

/**
 * A union reads as all its members and, unless it is anonymous, `bytes`. To write one, give `bytes` or one member;
 * several only if they agree, so that a value that was read can be written back as it is, and a half-changed one
 * is refused rather than half lost.
 */
function union(fields: readonly Field[], sizeBytes: number, anonymous: boolean): Built {
  const raw = !anonymous && !fields.some((field) => field.name === 'bytes');
  const bySize = fields.toSorted((left, right) => right.codec.sizeBytes - left.codec.sizeBytes);
  const encode = (field: Field, members: Members): Uint8Array => {
    const bytes = new Uint8Array(sizeBytes);
    writeField(field, new DataView(bytes.buffer), 0, members);
    return bytes;
  };
  return {
    sizeBytes,
    leaves: countLeaves(fields),
    read: (view, offset) => {
      const value = readFields(fields, view, offset);
      if (raw) value.bytes = copyOut(view, offset, sizeBytes);
      return value;
    },
    write: (view, offset, value) => {
      const members = checkMembers(value);
      const target = new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
      const given = bySize.filter((field) => field.name === '' || members[field.name] !== undefined);
      let whole: Uint8Array | undefined;
      if (raw && members.bytes !== undefined) {
        whole = new Uint8Array(sizeBytes);
        copyIn(new DataView(whole.buffer), 0, members.bytes, sizeBytes);
      }
      for (const field of given) {
        const bytes = encode(field, members);
        if (whole === undefined) whole = bytes;
        else if (!sameStart(bytes, whole, field.codec.sizeBytes)) {
          throw new Mismatch(`has members that disagree, ${field.name} among them: give only one`);
        }
      }
      if (whole === undefined)
        throw mismatch(`an object with one of ${fields.map(({ name }) => name).join(', ')}`, value);
      target.set(whole);
    },
  };
}

function sameStart(left: Uint8Array, right: Uint8Array, length: number): boolean {
  for (let index = 0; index < length; index++) if (left[index] !== right[index]) return false;
  return true;
}
