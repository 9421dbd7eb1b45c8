import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressOfWords,
  formatAddress,
  maskOf,
  networkOrder16,
  parseAddress,
  parseMac,
  parsePrefix,
  versionOf,
  wordsOf,
} from '../../../control/lib/address.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('addresses', () => {
  it('maps IPv4 into IPv6', () => {
    expect(hex(parseAddress('198.18.0.10'))).toBe('00000000000000000000ffffc612000a');
    expect(versionOf(parseAddress('198.18.0.10'))).toBe(4);
    expect(hex(parseAddress('2001:db8::10'))).toBe('20010db8000000000000000000000010');
    expect(versionOf(parseAddress('::1'))).toBe(6);
  });

  it.each([
    '',
    '198.18.0',
    '198.18.0.256',
    '1',
    '0x7f.1',
    '2001:db8::g',
    'fe80::1%eth0',
    '::ffff:1.2.3.4',
    ' ::1',
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(TypeError);
  });

  it('comes back from words and text as it was', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        let bytes: Uint8Array;
        try {
          bytes = parseAddress(text);
        } catch {
          return; // an IPv4-mapped one
        }
        expect(hex(addressOfWords(wordsOf(bytes)))).toBe(hex(bytes));
        expect(hex(parseAddress(formatAddress(bytes)))).toBe(hex(bytes));
      }),
    );
  });

  it('takes words as a little-endian machine loads them', () => {
    expect(wordsOf(parseAddress('1.2.3.4'))).toEqual([0, 0, 0xffff0000, 0x04030201]);
    expect(networkOrder16(0x1234)).toBe(0x3412);
  });
});

describe('prefixes', () => {
  it('masks whole and partial bytes', () => {
    expect(hex(maskOf(4, 24))).toBe(`${'ff'.repeat(15)}00`);
    expect(hex(maskOf(4, 20))).toBe(`${'ff'.repeat(14)}f000`);
    expect(hex(maskOf(6, 65))).toBe(`${'ff'.repeat(8)}80${'00'.repeat(7)}`);
    expect(hex(maskOf(6, 0))).toBe('00'.repeat(16));
  });

  it.each([
    [4, 33],
    [6, 129],
    [4, -1],
    [6, 1.5],
  ] as const)('refuses a mask of IPv%d of %d bits', (version, length) => {
    expect(() => maskOf(version, length)).toThrow(RangeError);
  });

  it('takes a lone address as one of full length', () => {
    expect(hex(parsePrefix('198.18.0.1').mask)).toBe('ff'.repeat(16));
  });

  it.each(['198.18.0.1/24', '2001:db8::1/64', '198.18.0.0/x', '198.18.0.0/', '/24'])('refuses %j', (text) => {
    expect(() => parsePrefix(text)).toThrow();
  });
});

it('reads MAC addresses of one form only', () => {
  expect(hex(parseMac('02:00:00:aB:cd:ef'))).toBe('020000abcdef');
  for (const text of ['02-00-00-ab-cd-ef', '2:0:0:0:0:1', '02:00:00:ab:cd', '02:00:00:ab:cd:eg']) {
    expect(() => parseMac(text)).toThrow(TypeError);
  }
});
