// Owns the layout of a type as one line of text. A program compiled elsewhere and a generated file agree if and
// only if their lines do.
import { type Btf, BtfError, type BtfType } from './btf.ts';
import { isByte, typeLabel } from './btf_codec.ts';

const MAX_DEPTH = 32;
const MAX_LENGTH = 1 << 20;

/**
 * The fingerprint of a struct: `name:size:member@offset:type,…`. Types are u8…u64, s8…s64, bool, enum names with
 * their size, `type[count]`, and `{…}` around the members of nested structs and unions.
 */
export function describeLayout(btf: Btf, structName: string): string {
  const type = btf.get(structName, 'struct');
  return `${structName}:${type.sizeBytes}:${membersText(btf, type, structName, 0)}`;
}

/** The same of any type that has a layout, and of sections of variables; two that agree hold the same bytes. */
export function describeType(btf: Btf, id: number): string {
  return typeText(btf, id, `type ${id}`, 0);
}

function membersText(btf: Btf, type: BtfType, path: string, depth: number): string {
  const text = type
    .members!.map((member) => {
      const memberPath = member.name === '' ? path : `${path}.${member.name}`;
      if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) {
        throw new BtfError(`${memberPath}: is a bit-field, which is not supported`);
      }
      return `${member.name}@${member.bitOffset / 8}:${typeText(btf, member.type, memberPath, depth + 1)}`;
    })
    .join(',');
  // Types that contain each other by turns could make the text as long as 2^depth.
  if (text.length > MAX_LENGTH)
    throw new BtfError(`${path}: its layout is longer than ${MAX_LENGTH} characters`);
  return text;
}

function typeText(btf: Btf, id: number, path: string, depth: number): string {
  if (depth > MAX_DEPTH) throw new BtfError(`${path}: types nest deeper than ${MAX_DEPTH}`);
  const type = btf.resolve(id);
  switch (type.kind) {
    case 'int':
      return isByte(type)
        ? 'u8'
        : type.int!.bool
          ? 'bool'
          : `${type.int!.signed ? 's' : 'u'}${type.sizeBytes * 8}`;
    case 'enum':
    case 'enum64':
      return `enum ${typeLabel(type)} ${type.int!.signed ? 's' : 'u'}${type.sizeBytes * 8}`;
    case 'float':
      return `f${type.sizeBytes * 8}`;
    case 'array':
      return `${typeText(btf, type.target, path, depth + 1)}[${type.length}]`;
    case 'struct':
    case 'union':
      return `${type.kind} ${type.sizeBytes}{${membersText(btf, type, path, depth)}}`;
    case 'datasec':
      return `${type.name} ${type.sizeBytes}{${variablesText(btf, type, path, depth)}}`;
    default:
      throw new BtfError(`${path}: a ${type.kind} has no layout that could be shared`);
  }
}

function variablesText(btf: Btf, type: BtfType, path: string, depth: number): string {
  return type
    .variables!.map((variable) => {
      const { name, target } = btf.type(variable.type);
      return `${name}@${variable.offset}:${typeText(btf, target, `${path}.${name}`, depth + 1)}`;
    })
    .join(',');
}
