// Owns carrying a value of one layout over to another, by the names of its members: for state that outlives the
// program that it was declared for. Which map becomes which is the caller's.
import { type Btf, BtfError, type BtfType } from './btf.ts';
import { describeType } from './layout.ts';

const MAX_DEPTH = 32;

/** Writes the value at `from` of `source` to `to` of `target`. */
export type Transcode = (source: DataView, from: number, target: DataView, to: number) => void;

type Step = Transcode;

/**
 * Members go by name; integers may change their width, arrays their length. What only the target has becomes zero, what
 * only the source has is dropped. The returned function throws a BtfError for a value that would be cut: a number that
 * does not fit, or elements other than zero beyond the end of a shorter array. Types that have nothing in common, such
 * as a struct and an integer, throw at once.
 */
export function transcoder(
  source: { readonly btf: Btf; readonly type: number },
  target: { readonly btf: Btf; readonly type: number },
): Transcode {
  const name = source.btf.resolve(source.type).name;
  const step = build(source.btf, source.type, target.btf, target.type, name === '' ? 'value' : name, 0);
  const sizeBytes = sizeOf(target.btf, target.type, 0);
  return (sourceView, from, targetView, to) => {
    new Uint8Array(targetView.buffer, targetView.byteOffset + to, sizeBytes).fill(0);
    step(sourceView, from, targetView, to);
  };
}

function build(oldBtf: Btf, oldId: number, newBtf: Btf, newId: number, path: string, depth: number): Step {
  if (depth > MAX_DEPTH) throw new BtfError(`${path}: types nest deeper than ${MAX_DEPTH}`);
  if (describeType(oldBtf, oldId) === describeType(newBtf, newId)) return copy(sizeOf(newBtf, newId, 0));
  const before = oldBtf.resolve(oldId);
  const after = newBtf.resolve(newId);
  if (isInteger(before) && isInteger(after)) return integer(before, after, path);
  if (before.kind === 'array' && after.kind === 'array')
    return array(oldBtf, before, newBtf, after, path, depth);
  if (isRecord(before) && isRecord(after)) return record(oldBtf, before, newBtf, after, path, depth);
  throw new BtfError(`${path}: ${before.kind} cannot become ${after.kind}`);
}

function copy(sizeBytes: number): Step {
  return (source, from, target, to) => {
    const bytes = new Uint8Array(source.buffer, source.byteOffset + from, sizeBytes);
    new Uint8Array(target.buffer, target.byteOffset + to, sizeBytes).set(bytes);
  };
}

const isInteger = (type: BtfType): boolean =>
  (type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64') &&
  type.int!.bits === type.sizeBytes * 8 &&
  [1, 2, 4, 8].includes(type.sizeBytes);

const isRecord = (type: BtfType): boolean => type.kind === 'struct' || type.kind === 'datasec';

const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function integer(before: BtfType, after: BtfType, path: string): Step {
  const read = reader(before);
  const { sizeBytes } = after;
  const bits = sizeBytes * 8;
  const fits = after.int!.signed ? BigInt.asIntN : BigInt.asUintN;
  return (source, from, target, to) => {
    const value = read(source, from);
    if (fits(bits, value) !== value) throw new BtfError(`${path}: ${value} does not fit ${bits} bits`);
    const raw = BigInt.asUintN(bits, value);
    if (sizeBytes === 8) target.setBigUint64(to, raw, LITTLE);
    else if (sizeBytes === 4) target.setUint32(to, Number(raw), LITTLE);
    else if (sizeBytes === 2) target.setUint16(to, Number(raw), LITTLE);
    else target.setUint8(to, Number(raw));
  };
}

function reader(type: BtfType): (view: DataView, offset: number) => bigint {
  const { sizeBytes } = type;
  const sign = type.int!.signed
    ? (value: bigint) => BigInt.asIntN(sizeBytes * 8, value)
    : (value: bigint) => value;
  return (view, offset) => {
    if (sizeBytes === 8) return sign(view.getBigUint64(offset, LITTLE));
    if (sizeBytes === 4) return sign(BigInt(view.getUint32(offset, LITTLE)));
    if (sizeBytes === 2) return sign(BigInt(view.getUint16(offset, LITTLE)));
    return sign(BigInt(view.getUint8(offset)));
  };
}

function array(oldBtf: Btf, before: BtfType, newBtf: Btf, after: BtfType, path: string, depth: number): Step {
  const element = build(oldBtf, before.target, newBtf, after.target, `${path}[]`, depth + 1);
  const oldBytes = sizeOf(oldBtf, before.target, depth + 1);
  const newBytes = sizeOf(newBtf, after.target, depth + 1);
  const [had, has] = [before.length!, after.length!];
  return (source, from, target, to) => {
    const count = Math.min(had, has);
    for (let index = 0; index < count; index++)
      element(source, from + index * oldBytes, target, to + index * newBytes);
    const beyond = new Uint8Array(
      source.buffer,
      source.byteOffset + from + count * oldBytes,
      (had - count) * oldBytes,
    );
    const used = beyond.findLastIndex((byte) => byte !== 0);
    if (used >= 0) {
      const index = count + Math.floor(used / oldBytes);
      throw new BtfError(`${path}: element ${index} is in use, and there will be ${has} elements`);
    }
  };
}

type Member = { readonly type: number; readonly offset: number };

function record(
  oldBtf: Btf,
  before: BtfType,
  newBtf: Btf,
  after: BtfType,
  path: string,
  depth: number,
): Step {
  const old = membersOf(oldBtf, before, path, depth);
  const steps = [...membersOf(newBtf, after, path, depth)].flatMap(([name, { type, offset }]) => {
    const had = old.get(name);
    if (had === undefined) return [];
    return [
      {
        from: had.offset,
        to: offset,
        step: build(oldBtf, had.type, newBtf, type, `${path}.${name}`, depth + 1),
      },
    ];
  });
  return (source, from, target, to) => {
    for (const it of steps) it.step(source, from + it.from, target, to + it.to);
  };
}

/** By name; those of anonymous structs are the enclosing struct's. */
function membersOf(btf: Btf, type: BtfType, path: string, depth: number): Map<string, Member> {
  if (depth > MAX_DEPTH) throw new BtfError(`${path}: types nest deeper than ${MAX_DEPTH}`);
  if (type.kind === 'datasec') {
    return new Map(
      type.variables!.map((variable) => {
        const { name, target } = btf.type(variable.type);
        return [name, { type: target, offset: variable.offset }];
      }),
    );
  }
  const all = new Map<string, Member>();
  for (const { name, type: id, bitOffset, bitSize } of type.members!) {
    if (bitSize !== 0 || bitOffset % 8 !== 0)
      throw new BtfError(`${path}.${name}: is a bit-field, which is not supported`);
    const offset = bitOffset / 8;
    const inner = btf.resolve(id);
    if (name !== '') {
      all.set(name, { type: id, offset });
    } else if (inner.kind === 'struct') {
      for (const [key, member] of membersOf(btf, inner, path, depth + 1))
        all.set(key, { type: member.type, offset: offset + member.offset });
    } else {
      throw new BtfError(`${path}: the layout of an anonymous ${inner.kind} changed, which is not supported`);
    }
  }
  return all;
}

function sizeOf(btf: Btf, id: number, depth: number): number {
  if (depth > MAX_DEPTH) throw new BtfError(`type ${id}: types nest deeper than ${MAX_DEPTH}`);
  const type = btf.resolve(id);
  return type.kind === 'array' ? type.length! * sizeOf(btf, type.target, depth + 1) : type.sizeBytes;
}
