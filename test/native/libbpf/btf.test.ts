import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Btf, BtfError, openObject } from 'libbpf-ts';
import { beforeAll, describe, expect, it } from 'vitest';
import { MAP_TYPES, PROGRAM_TYPES } from '../../../native/libbpf-ts/lib/kernel_types.ts';
import { compiled } from './support.ts';

// Raw BTF, assembled here from the format's description (Documentation/bpf/btf.rst), for a little-endian host.
const KIND = { int: 1, ptr: 2, array: 3, struct: 4, union: 5, enum: 6, typedef: 8, const: 10, enum64: 19 };

class Assembler {
  readonly words: number[] = [];
  strings = '\0';

  name(text: string): number {
    const at = this.strings.length;
    this.strings += `${text}\0`;
    return at;
  }
  type(name: number, kind: number, elements: number, sizeOrType: number, ...rest: number[]): this {
    this.words.push(name, (kind << 24) | elements, sizeOrType, ...rest);
    return this;
  }
  bytes(): Uint8Array {
    const strings = new TextEncoder().encode(this.strings);
    const result = new Uint8Array(24 + this.words.length * 4 + strings.length);
    const view = new DataView(result.buffer);
    view.setUint16(0, 0xeb9f, true);
    view.setUint8(2, 1);
    view.setUint32(4, 24, true);
    view.setUint32(12, this.words.length * 4, true);
    view.setUint32(16, this.words.length * 4, true);
    view.setUint32(20, strings.length, true);
    this.words.forEach((word, index) => {
      view.setUint32(24 + index * 4, word >>> 0, true);
    });
    result.set(strings, 24 + this.words.length * 4);
    return result;
  }
}

function int(assembler: Assembler, name: string, sizeBytes: number, encoding = 0): Assembler {
  return assembler.type(assembler.name(name), KIND.int, 0, sizeBytes, (encoding << 24) | (sizeBytes * 8));
}

describe('parsing BTF', () => {
  it('finds types by name and kind', () => {
    const it = new Assembler();
    int(it, 'unsigned int', 4).type(it.name('u32'), KIND.typedef, 0, 1).type(0, KIND.const, 0, 2);
    it.type(it.name('point'), KIND.struct, 2, 8, it.name('x'), 2, 0, it.name('y'), 3, 32);
    const btf = Btf.parse(it.bytes());
    expect(btf.count).toBe(5);
    expect(btf.get('point', 'struct')).toMatchObject({
      id: 4,
      sizeBytes: 8,
      members: [
        { name: 'x', type: 2, bitOffset: 0, bitSize: 0 },
        { name: 'y', type: 3, bitOffset: 32, bitSize: 0 },
      ],
    });
    expect(btf.resolve(3)).toMatchObject({ kind: 'int', name: 'unsigned int', sizeBytes: 4 });
    expect(btf.find('point', 'union')).toBeUndefined();
    expect(() => btf.get('nothing')).toThrow('no type is named "nothing"');
    expect(() => btf.type(5)).toThrow(BtfError);
  });

  it('reads the running kernel’s', () => {
    const btf = Btf.kernel();
    expect(btf.count).toBeGreaterThan(10_000);
    // struct iphdr is 20 bytes and begins with bit-fields; struct ethhdr is 14 bytes.
    expect(btf.get('ethhdr', 'struct').sizeBytes).toBe(14);
    expect(btf.codec('ethhdr').sizeBytes).toBe(14);
    expect(() => btf.codec('iphdr')).toThrow(/iphdr\.ihl: is a bit-field/);
    expect(() => btf.codec('sk_buff')).toThrow(BtfError);
  });

  it('agrees with the kernel on the numbers of map and program types', () => {
    const btf = Btf.kernel();
    const numbers = (name: string) =>
      new Map(btf.get(name, 'enum').values!.map((entry) => [entry.name, Number(entry.value)]));
    const maps = numbers('bpf_map_type');
    MAP_TYPES.forEach((type, index) => {
      expect(maps.get(`BPF_MAP_TYPE_${type.toUpperCase()}`), type).toBe(index);
    });
    const programs = numbers('bpf_prog_type');
    PROGRAM_TYPES.forEach((type, index) => {
      expect(programs.get(`BPF_PROG_TYPE_${type.toUpperCase()}`), type).toBe(index);
    });
  });
});

describe('hostile BTF', () => {
  const refuse = (bytes: Uint8Array, message: RegExp): void => {
    expect(() => Btf.parse(bytes)).toThrow(BtfError);
    expect(() => Btf.parse(bytes)).toThrow(message);
  };
  const broken = (change: (view: DataView) => void): Uint8Array => {
    const bytes = int(new Assembler(), 'int', 4).bytes();
    change(new DataView(bytes.buffer));
    return bytes;
  };

  it('is refused with the reason', () => {
    refuse(new Uint8Array(5), /too few/);
    refuse(
      broken((view) => view.setUint16(0, 0x9feb, true)),
      /other byte order/,
    );
    refuse(
      broken((view) => view.setUint8(2, 2)),
      /version 2/,
    );
    refuse(
      broken((view) => view.setUint32(4, 0xffffffff, true)),
      /header of 4294967295/,
    );
    refuse(
      broken((view) => view.setUint32(12, 0xfffffff0, true)),
      /type section ends/,
    );
    refuse(
      broken((view) => view.setUint32(20, 0xfffffff0, true)),
      /string section ends/,
    );
    refuse(
      broken((view) => view.setUint32(28, 31 << 24, true)),
      /unknown kind 31/,
    );
    refuse(
      broken((view) => view.setUint32(24, 1000, true)),
      /outside of the string section/,
    );
    refuse(
      broken((view) => view.setUint32(28, (KIND.struct << 24) | 0xffff, true)),
      /cut off/,
    );
    const it = new Assembler();
    refuse(it.type(it.name('wild'), KIND.ptr, 0, 99).bytes(), /refers to type 99/);
  });

  it('never hangs: cycles and towers end in an error', () => {
    const cycle = new Assembler().type(1, KIND.typedef, 0, 2).type(1, KIND.typedef, 0, 1);
    cycle.name('a');
    expect(() => Btf.parse(cycle.bytes()).codec(1)).toThrow(/chain of more than/);

    const self = new Assembler();
    self.type(self.name('self'), KIND.struct, 1, 4, self.name('me'), 1, 0);
    expect(() => Btf.parse(self.bytes()).codec('self')).toThrow(/nest deeper/);

    const huge = int(new Assembler(), 'u8', 1);
    huge.type(0, KIND.array, 0, 0, 1, 1, 0xffffffff);
    expect(() => Btf.parse(huge.bytes()).codec(2)).toThrow(/larger than/);

    // Each union holds the one before twice: 2^30 scalars in four bytes.
    const tower = int(new Assembler(), 'u32', 4);
    const [left, right] = [tower.name('l'), tower.name('r')];
    for (let id = 2; id <= 31; id++)
      tower.type(tower.name(`u${id}`), KIND.union, 2, 4, left, id - 1, 0, right, id - 1, 0);
    expect(() => Btf.parse(tower.bytes()).codec('u31')).toThrow(/has more than/);

    // Arrays of nothing: no bytes, endless elements.
    const nothing = new Assembler();
    nothing.type(nothing.name('empty'), KIND.struct, 0, 0).type(0, KIND.array, 0, 0, 1, 1, 0xffffffff);
    expect(() => Btf.parse(nothing.bytes()).codec(2)).toThrow(/has more than/);
  });

  it('as random bytes or mutations gives a typed error or a parse', () => {
    const good = int(new Assembler(), 'int', 4).bytes();
    const attempt = (bytes: Uint8Array): void => {
      try {
        const btf = Btf.parse(bytes);
        for (let id = 0; id < btf.count; id++) {
          try {
            btf.codec(id);
          } catch (error) {
            expect(error).toBeInstanceOf(BtfError);
          }
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BtfError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 500 });
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = Uint8Array.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        attempt(bytes);
      }),
      { numRuns: 2000 },
    );
    const real = openObject(compiled('everything'));
    real.close();
    const file = readFileSync(compiled('layouts'));
    for (let at = 0; at + 24 < file.length; at += 97) attempt(file.subarray(at));
  });
});

describe('codecs built from BTF', () => {
  let everything: Btf;
  let layouts: Btf;
  beforeAll(() => {
    using one = openObject(compiled('everything'));
    using two = openObject(compiled('layouts'));
    everything = one.btf;
    layouts = two.btf;
  });
  const encode = (btf: Btf, type: string, value: unknown): number[] => {
    const codec = btf.codec(type);
    const bytes = new Uint8Array(codec.sizeBytes + 2).fill(0xee);
    codec.write(new DataView(bytes.buffer), 1, value);
    expect([bytes[0], bytes.at(-1)]).toEqual([0xee, 0xee]); // nothing beyond its own bytes
    return [...bytes.subarray(1, -1)];
  };
  const decode = (btf: Btf, type: string, ...bytes: number[]): unknown =>
    btf.codec(type).read(new DataView(Uint8Array.from(bytes).buffer), 0);

  it('read and write unions: one member, several that agree, or bytes', () => {
    const tail = new Array(12).fill(0);
    expect(encode(everything, 'address', { v4: 0x04030201 })).toEqual([1, 2, 3, 4, ...tail]);
    expect(encode(everything, 'address', { bytes: Uint8Array.of(1, 2, 3, 4, ...tail) })).toEqual([
      1,
      2,
      3,
      4,
      ...tail,
    ]);
    const read = decode(everything, 'address', 1, 2, 3, 4, ...tail) as { v4: number; v6: Uint8Array };
    expect(read.v4).toBe(0x04030201);
    expect(encode(everything, 'address', read)).toEqual([1, 2, 3, 4, ...tail]);
    expect(() => encode(everything, 'address', { ...read, v4: 9 })).toThrow(/members that disagree/);
    expect(() => encode(everything, 'address', {})).toThrow(/address must be an object with one of v4, v6/);
  });

  it('put members of anonymous structs and unions into the enclosing value', () => {
    const value = { kind: 1, v4: 0x0100007f, first: 2, second: 3 };
    const bytes = [1, 0, 0, 0, 127, 0, 0, 1, ...new Array(12).fill(0), 2, 0, 3, 0];
    expect(encode(layouts, 'anonymous', value)).toEqual(bytes);
    expect(decode(layouts, 'anonymous', ...bytes)).toEqual({
      ...value,
      v6: Uint8Array.of(127, 0, 0, 1, ...new Array(12).fill(0)),
    });
  });

  it('write zeros into holes', () => {
    expect(encode(layouts, 'with_hole', { first: 1, second: 2 })).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
    expect(encode(layouts, 'with_tail', { first: 1, second: 2 })).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  });

  it('nest, and name the place of what does not fit', () => {
    const value = {
      one: { x: 1, y: 2 },
      many: [
        { x: 3, y: 4 },
        { x: 5, y: 6 },
      ],
      total: 7n,
    };
    const bytes = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    expect(encode(layouts, 'nested', value)).toEqual(bytes);
    expect(decode(layouts, 'nested', ...bytes)).toEqual(value);
    const wrong = {
      ...value,
      many: [
        { x: 3, y: 4 },
        { x: 5, y: -6 },
      ],
    };
    expect(() => encode(layouts, 'nested', wrong)).toThrow(
      'nested.many[1].y must be an integer from 0 to 65535, got -6',
    );
    expect(() => encode(layouts, 'nested', { ...value, one: 3 })).toThrow(
      'nested.one must be an object, got 3',
    );
  });

  it('have booleans and 64-bit enums', () => {
    expect(decode(layouts, 'big', 255, 255, 255, 255, 255, 255, 255, 255)).toBe(2n ** 64n - 1n);
    const settings = { vip: { v4: 1 }, enabled: true, level: 2, limits: [3, 4], last: 5 };
    expect(encode(everything, 'settings', settings)).toEqual([
      1,
      ...new Array(15).fill(0),
      1,
      2,
      3,
      0,
      4,
      0,
      5,
      0,
      ...new Array(0),
    ]);
  });

  it('refuse pointers and bit-fields by name', () => {
    expect(() => layouts.codec('with_pointer')).toThrow('with_pointer.target: is a pointer');
    expect(() => layouts.codec('with_bits')).toThrow('with_bits.low: is a bit-field');
  });

  it('round-trip every value of a struct', () => {
    const codec = everything.codec<Record<string, unknown>>('flow_value');
    const value = fc.record({
      packets: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      balance: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      mac: fc.uint8Array({ minLength: 6, maxLength: 6 }),
      delta: fc.integer({ min: -32768, max: 32767 }),
      verdict: fc.constantFrom(0, 1, 7),
      ports: fc.array(fc.nat(0xffffffff), { minLength: 3, maxLength: 3 }),
    });
    fc.assert(
      fc.property(value, (it) => {
        const view = new DataView(new ArrayBuffer(codec.sizeBytes));
        codec.write(view, 0, it);
        expect(codec.read(view, 0)).toEqual(it);
      }),
    );
  });
});
