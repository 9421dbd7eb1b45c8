// Owns the generation of TypeScript source for structs and enums: the translation of btf_codec.ts, written out, so
// that it needs no BTF at run time and the compiler knows its types. Member names stay as they are in C.
import { type Btf, BtfError, type BtfMember, type BtfType } from './btf.ts';
import { integerRange, isByte } from './btf_codec.ts';
import { checkOptions, checkString } from './check.ts';
import { describeLayout } from './layout.ts';

export interface GenerateOptions {
  /** Structs to generate, with those nested in them. Holes, bit-fields, pointers and unions are refused. */
  structs: readonly string[];
  enums: readonly string[];
}

/** A TypeScript module with an interface, a codec and a layout line a struct, and a table an enum. */
export function generateCodecs(btf: Btf, options: GenerateOptions): string {
  const { structs = [], enums = [] } = checkOptions(options, 'options');
  const generator = new Generator(btf);
  for (const name of structs) generator.struct(btf.get(checkString(name, 'structs[]'), 'struct'), name);
  for (const name of enums) generator.enum(enumNamed(btf, checkString(name, 'enums[]')), name);
  return generator.text();
}

function enumNamed(btf: Btf, name: string): BtfType {
  const type = btf.find(name, 'enum') ?? btf.find(name, 'enum64');
  if (type === undefined) throw new BtfError(`no enum is named ${JSON.stringify(name)}`);
  return type;
}

/** What one member contributes to the source. `at` is an expression for its offset. */
interface Part {
  readonly type: string;
  readonly sizeBytes: number;
  read(at: string): string;
  write(at: string, value: string, path: string): string;
}

const HELPERS = {
  integer: `function integer(value: number, min: number, max: number, path: string): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new TypeError(\`\${path} must be an integer from \${min} to \${max}, got \${value}\`);
}`,
  big: `function big(value: bigint, min: bigint, max: bigint, path: string): bigint {
  if (typeof value === 'bigint' && value >= min && value <= max) return value;
  throw new TypeError(\`\${path} must be a bigint from \${min} to \${max}, got \${value}\`);
}`,
  truth: `function truth(value: boolean, path: string): number {
  if (typeof value === 'boolean') return value ? 1 : 0;
  throw new TypeError(\`\${path} must be a boolean, got \${value}\`);
}`,
  bytes: `function bytes(view: DataView, offset: number, sizeBytes: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
}`,
  setBytes: `function setBytes(view: DataView, offset: number, value: Uint8Array, sizeBytes: number, path: string): void {
  if (value.byteLength !== sizeBytes) {
    throw new TypeError(\`\${path} must be \${sizeBytes} bytes, got \${value.byteLength}\`);
  }
  bytes(view, offset, sizeBytes).set(value);
}`,
  list: `function list<T>(length: number, read: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => read(index));
}`,
  setList: `function setList<T>(values: readonly T[], length: number, path: string, write: (value: T, index: number) => void): void {
  if (values.length !== length) throw new TypeError(\`\${path} must have \${length} elements, got \${values.length}\`);
  values.forEach(write);
}`,
} as const;

class Generator {
  readonly #btf: Btf;
  readonly #helpers = new Set<keyof typeof HELPERS>();
  readonly #done = new Map<string, number>();
  readonly #blocks: string[] = [];

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  text(): string {
    const little = this.#blocks.some((block) => block.includes('LITTLE'));
    return [
      '// Generated from BTF by libbpf-ts; do not edit.',
      "import type { Codec } from 'libbpf-ts';",
      '',
      ...(little ? ['// Byte order of the host, which is that of the kernel.', HOST_ORDER, ''] : []),
      ...Object.entries(HELPERS).flatMap(([name, text]) =>
        this.#helpers.has(name as keyof typeof HELPERS) ? [text, ''] : [],
      ),
      this.#blocks.join('\n\n'),
      '',
    ].join('\n');
  }

  struct(type: BtfType, name: string): void {
    checkIdentifiers(name, type.members!);
    if (this.#once(name, type.id)) return;
    refuseHoles(this.#btf, type, name);
    const parts = type.members!.map((member) => ({
      member,
      part: this.#part(member.type, `${name}.${member.name}`, 0),
    }));
    const pascal = pascalCase(name);
    const at = (member: BtfMember) =>
      member.bitOffset === 0 ? 'offset' : `offset + ${member.bitOffset / 8}`;
    this.#blocks.push(
      [
        `export interface ${pascal} {`,
        ...parts.map(({ member, part }) => `  ${member.name}: ${part.type};`),
        '}',
        '',
        `export const ${camelCase(name)}Codec: Codec<${pascal}> = {`,
        `  sizeBytes: ${type.sizeBytes},`,
        '  read: (view, offset) => ({',
        ...parts.map(({ member, part }) => `    ${member.name}: ${part.read(at(member))},`),
        '  }),',
        '  write: (view, offset, value) => {',
        ...parts.map(
          ({ member, part }) =>
            `    ${part.write(at(member), `value.${member.name}`, `${name}.${member.name}`)};`,
        ),
        '  },',
        '};',
        '',
        `export const ${constantCase(name)}_LAYOUT =`,
        `  ${JSON.stringify(describeLayout(this.#btf, name))};`,
      ].join('\n'),
    );
  }

  enum(type: BtfType, name: string): void {
    checkIdentifiers(name, type.values!);
    if (this.#once(name, type.id)) return;
    const pascal = pascalCase(name);
    const suffix = type.sizeBytes === 8 ? 'n' : '';
    // A name that several values share would be lost from the table by value: the first one stays.
    const byValue = new Map(type.values!.toReversed().map((entry) => [entry.value, entry.name]));
    const key = (value: bigint) => (suffix === 'n' || value < 0n ? `'${value}'` : `${value}`);
    this.#blocks.push(
      [
        `export const ${pascal} = {`,
        ...type.values!.map((entry) => `  ${entry.name}: ${entry.value}${suffix},`),
        '} as const;',
        '',
        `export type ${pascal} = (typeof ${pascal})[keyof typeof ${pascal}];`,
        '',
        `export const ${constantCase(name)}_NAMES: Readonly<Record<${suffix === 'n' ? 'string' : 'number'}, string>> = {`,
        ...[...byValue].toReversed().map(([value, entry]) => `  ${key(value)}: '${entry}',`),
        '};',
      ].join('\n'),
    );
  }

  #once(name: string, id: number): boolean {
    const earlier = this.#done.get(name);
    if (earlier !== undefined && earlier !== id)
      throw new BtfError(`${name}: two different types have this name`);
    this.#done.set(name, id);
    return earlier !== undefined;
  }

  #use(...helpers: (keyof typeof HELPERS)[]): void {
    for (const helper of helpers) this.#helpers.add(helper);
  }

  #part(id: number, path: string, depth: number): Part {
    const type = this.#btf.resolve(id);
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'enum64':
        return this.#scalar(type, path);
      case 'array':
        return this.#array(type, path, depth);
      case 'struct':
        return this.#nested(type, path);
      default:
        throw new BtfError(`${path}: a ${type.kind} cannot be generated`);
    }
  }

  #scalar(type: BtfType, path: string): Part {
    const { sizeBytes } = type;
    const { signed, bool } = type.int!;
    if (![1, 2, 4, 8].includes(sizeBytes)) throw new BtfError(`${path}: an integer of ${sizeBytes} bytes`);
    if (bool) {
      this.#use('truth');
      return {
        type: 'boolean',
        sizeBytes,
        read: (at) => `view.getUint8(${at}) !== 0`,
        write: (at, value, name) => `view.setUint8(${at}, truth(${value}, '${name}'))`,
      };
    }
    const order = sizeBytes === 1 ? '' : ', LITTLE';
    if (sizeBytes === 8) {
      this.#use('big');
      const method = signed ? 'BigInt64' : 'BigUint64';
      const [min, max] = signed ? [-(1n << 63n), (1n << 63n) - 1n] : [0n, (1n << 64n) - 1n];
      return {
        type: 'bigint',
        sizeBytes,
        read: (at) => `view.get${method}(${at}${order})`,
        write: (at, value, name) =>
          `view.set${method}(${at}, big(${value}, ${min}n, ${max}n, '${name}')${order})`,
      };
    }
    this.#use('integer');
    const method = `${signed ? 'Int' : 'Uint'}${sizeBytes * 8}`;
    const { min, max } = integerRange(sizeBytes, signed);
    return {
      type: 'number',
      sizeBytes,
      read: (at) => `view.get${method}(${at}${order})`,
      write: (at, value, name) =>
        `view.set${method}(${at}, integer(${value}, ${min}, ${max}, '${name}')${order})`,
    };
  }

  #array(type: BtfType, path: string, depth: number): Part {
    const length = type.length!;
    const element = this.#part(type.target, path, depth + 1);
    const sizeBytes = length * element.sizeBytes;
    if (isByte(this.#btf.resolve(type.target))) {
      this.#use('bytes', 'setBytes');
      return {
        type: 'Uint8Array',
        sizeBytes,
        read: (at) => `bytes(view, ${at}, ${sizeBytes}).slice()`,
        write: (at, value, name) => `setBytes(view, ${at}, ${value}, ${sizeBytes}, '${name}')`,
      };
    }
    this.#use('list', 'setList');
    const index = `index${depth === 0 ? '' : depth}`;
    const item = `item${depth === 0 ? '' : depth}`;
    const place = (at: string) => `${at} + ${index} * ${element.sizeBytes}`;
    return {
      type: `${element.type}[]`,
      sizeBytes,
      read: (at) => `list(${length}, (${index}) => ${element.read(place(at))})`,
      write: (at, value, name) =>
        `setList(${value}, ${length}, '${name}', (${item}, ${index}) => ${element.write(place(at), item, `${name}[]`)})`,
    };
  }

  #nested(type: BtfType, path: string): Part {
    if (type.name === '') throw new BtfError(`${path}: a struct without a name cannot be generated`);
    this.struct(type, type.name);
    const codec = `${camelCase(type.name)}Codec`;
    return {
      type: pascalCase(type.name),
      sizeBytes: type.sizeBytes,
      read: (at) => `${codec}.read(view, ${at})`,
      write: (at, value) => `${codec}.write(view, ${at}, ${value})`,
    };
  }
}

const HOST_ORDER = 'const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;';

/** Every byte must belong to a member: a hole would carry stale bytes into keys and out of the kernel. */
function refuseHoles(btf: Btf, type: BtfType, name: string): void {
  let end = 0;
  for (const member of type.members!) {
    const path = `${name}.${member.name}`;
    if (member.name === '')
      throw new BtfError(`${name}: has an anonymous member at byte ${member.bitOffset / 8}`);
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) throw new BtfError(`${path}: is a bit-field`);
    const offset = member.bitOffset / 8;
    if (offset !== end) throw new BtfError(`${path}: has a hole of ${offset - end} bytes in front of it`);
    end = offset + sizeOf(btf, member.type);
  }
  if (end !== type.sizeBytes) {
    const last = type.members!.at(-1)?.name ?? '';
    throw new BtfError(`${name}.${last}: has a hole of ${type.sizeBytes - end} bytes behind it`);
  }
}

function sizeOf(btf: Btf, id: number): number {
  let count = 1;
  let type = btf.resolve(id);
  // Ends: a chain of arrays longer than the types there are would have to be a cycle.
  for (let hops = 0; type.kind === 'array'; hops++) {
    if (hops > 32) throw new BtfError(`type ${id}: arrays nest too deep`);
    count *= type.length!;
    type = btf.resolve(type.target);
  }
  if (type.kind === 'ptr') return 8 * count;
  return type.sizeBytes * count;
}

/** BTF can hold any text as a name; what is written into a program must be a name. */
function checkIdentifiers(name: string, parts: readonly { readonly name: string }[]): void {
  for (const it of [name, ...parts.map((part) => part.name)]) {
    const usable = /^[A-Za-z_]\w*$/.test(it) && /[A-Za-z]/.test(it) && it !== '__proto__';
    if (!usable && it !== '')
      throw new BtfError(`${JSON.stringify(it)} in ${name} cannot be a name in TypeScript`);
  }
}

function words(name: string): string[] {
  return name.split('_').filter((word) => word !== '');
}

function pascalCase(name: string): string {
  return words(name)
    .map((word) => word[0]!.toUpperCase() + word.slice(1))
    .join('');
}

function camelCase(name: string): string {
  const pascal = pascalCase(name);
  return pascal[0]!.toLowerCase() + pascal.slice(1);
}

function constantCase(name: string): string {
  return words(name).join('_').toUpperCase();
}
