import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Btf, BtfError, type Codec, describeLayout, generateCodecs, openObject } from 'libbpf-ts';
import { beforeAll, describe, expect, it } from 'vitest';
import { compiled, outFolder } from './support.ts';

let everything: Btf;
let layouts: Btf;
let source: string;
let generated: Record<string, unknown>;

beforeAll(async () => {
  using one = openObject(compiled('everything'));
  using two = openObject(compiled('layouts'));
  everything = one.btf;
  layouts = two.btf;
  source = generateCodecs(everything, {
    structs: ['flow_key', 'flow_value', 'counters'],
    enums: ['verdict'],
  });
  const file = join(outFolder(), 'generated.ts');
  writeFileSync(file, source);
  generated = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
});

describe('generated codecs', () => {
  it('say that they are generated and import nothing but a type', () => {
    expect(source).toMatch(/^\/\/ Generated .* do not edit\.\n/);
    expect(source.match(/^import .*/gm)).toEqual(["import type { Codec } from 'libbpf-ts';"]);
  });

  it('pass the strict compiler', () => {
    const file = join(outFolder(), 'compile-check.ts');
    writeFileSync(file, source);
    const flags = ['--noEmit', '--strict', '--noUnusedLocals', '--target', 'es2024', '--module', 'nodenext'];
    const more = [
      '--customConditions',
      'source',
      '--allowImportingTsExtensions',
      '--skipLibCheck',
      '--types',
      'node',
    ];
    const extra = ['--verbatimModuleSyntax', '--erasableSyntaxOnly', '--ignoreConfig'];
    expect(() =>
      execFileSync('npx', ['tsc', ...flags, ...more, ...extra, file], { encoding: 'utf8' }),
    ).not.toThrow();
  });

  it('encode as the C declaration says', () => {
    const codec = generated.flowKeyCodec as Codec<unknown>;
    const bytes = new Uint8Array(14).fill(0xee);
    codec.write(new DataView(bytes.buffer), 1, {
      source: 0x04030201,
      target: 5,
      port: 0x1234,
      protocol: 6,
      zone: 255,
    });
    expect([...bytes]).toEqual([0xee, 1, 2, 3, 4, 5, 0, 0, 0, 0x34, 0x12, 6, 255, 0xee]);
  });

  it('agree with those built at run time', () => {
    const value = {
      packets: 2n ** 64n - 1n,
      balance: -5n,
      mac: Uint8Array.of(1, 2, 3, 4, 5, 6),
      delta: -7,
      verdict: 7,
      ports: [1, 2, 3],
    };
    const compiledCodec = generated.flowValueCodec as Codec<typeof value>;
    const built = everything.codec<typeof value>('flow_value');
    const bytes = [compiledCodec, built].map((codec) => {
      const view = new DataView(new ArrayBuffer(codec.sizeBytes));
      codec.write(view, 0, value);
      expect(codec.read(view, 0)).toEqual(value);
      return new Uint8Array(view.buffer);
    });
    expect(bytes[0]).toEqual(bytes[1]);
    const view = new DataView(new ArrayBuffer(40));
    for (const wrong of [{ delta: 40000 }, { packets: -1n }, { mac: new Uint8Array(5) }, { ports: [1] }]) {
      const member = Object.keys(wrong)[0]!;
      expect(() => compiledCodec.write(view, 0, { ...value, ...wrong })).toThrow(
        new RegExp(`flow_value\\.${member}`),
      );
      expect(() => built.write(view, 0, { ...value, ...wrong })).toThrow(
        new RegExp(`flow_value\\.${member}`),
      );
    }
  });

  it('have enums both ways', () => {
    expect(generated.Verdict).toEqual({ VERDICT_PASS: 0, VERDICT_DROP: 1, VERDICT_TX: 7 });
    expect(generated.VERDICT_NAMES).toEqual({ 0: 'VERDICT_PASS', 1: 'VERDICT_DROP', 7: 'VERDICT_TX' });
  });
});

describe('layout lines', () => {
  it('describe the struct as declared', () => {
    const line = 'flow_key:12:source@0:u32,target@4:u32,port@8:u16,protocol@10:u8,zone@11:u8';
    expect(generated.FLOW_KEY_LAYOUT).toBe(line);
    expect(describeLayout(everything, 'flow_key')).toBe(line);
    expect(describeLayout(layouts, 'nested')).toBe(
      'nested:24:one@0:struct 4{x@0:u16,y@2:u16},many@4:struct 4{x@0:u16,y@2:u16}[2],total@16:u64',
    );
  });

  it('tell a loaded object of another layout apart', () => {
    using loaded = openObject(compiled('everything')).load();
    expect(describeLayout(loaded.btf, 'flow_value')).toBe(generated.FLOW_VALUE_LAYOUT);
    expect(describeLayout(loaded.btf, 'counters')).not.toBe(generated.FLOW_KEY_LAYOUT);
  });
});

describe('the generator refuses', () => {
  it.each([
    ['with_hole', 'with_hole.second: has a hole of 3 bytes in front of it'],
    ['with_tail', 'with_tail.second: has a hole of 3 bytes behind it'],
    ['with_bits', 'with_bits.low: is a bit-field'],
    ['with_pointer', 'with_pointer.target: a ptr cannot be generated'],
    ['anonymous', 'anonymous: has an anonymous member at byte 4'],
    ['nested', 'nested.total: has a hole of 4 bytes in front of it'],
    ['missing', 'no struct is named "missing"'],
  ])('%s, naming struct and member', (name, message) => {
    expect(() => generateCodecs(layouts, { structs: [name], enums: [] })).toThrow(BtfError);
    expect(() => generateCodecs(layouts, { structs: [name], enums: [] })).toThrow(message);
  });

  it('an enum that is not there', () => {
    expect(() => generateCodecs(layouts, { structs: [], enums: ['none'] })).toThrow(
      'no enum is named "none"',
    );
  });
});
