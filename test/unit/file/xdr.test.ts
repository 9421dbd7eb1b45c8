// The primitives of XDR at their limits.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXACT_MAX, emptySpan, XdrReader, XdrWriter } from '../../../control/file/codec/xdr.ts';
import { hex } from './fixtures/hex.ts';

function reading(text: string): XdrReader {
  const reader = new XdrReader();
  reader.read(hex(text));
  return reader;
}

describe('reading', () => {
  it('moves on by what was read', () => {
    const reader = reading('00000001 ffffffff 00000002 00000003 00000001');
    expect([reader.u32(), reader.u32(), reader.u64(), reader.bool(), reader.left]).toEqual([
      1,
      0xffff_ffff,
      0x2_0000_0003,
      true,
      0,
    ]);
    expect(reader.malformed).toBe(false);
  });

  it('gives zero past the end, and stays malformed', () => {
    const reader = reading('00000001 000000');
    expect([reader.u32(), reader.u32(), reader.u32(), reader.u64()]).toEqual([1, 0, 0, 0]);
    expect(reader.malformed).toBe(true);
    reader.read(hex('00000005'));
    expect(reader.u32()).toBe(5);
    expect(reader.malformed).toBe(false);
  });

  it('stays within the window, not only within the bytes', () => {
    const reader = new XdrReader();
    reader.read(hex('11111111 00000004 61626364 22222222'), 4, 8);
    const span = emptySpan();
    reader.opaque(span, 100);
    expect(reader.malformed).toBe(true);
    expect(span.length).toBe(0);
  });

  it('reads bytes that do not begin their buffer', () => {
    const reader = new XdrReader();
    reader.read(hex('aaaaaa 00000007').subarray(3));
    expect(reader.u32()).toBe(7);
  });

  it.each([
    ['00000005 68656c6c 6f000000', 5, false],
    ['00000005 68656c6c 6f000000', 4, true],
    ['00000005 68656c6c 6f0000', 5, true],
    ['00000005 68656c6c 6fffffff', 5, false],
    ['00000000', 0, false],
    ['ffffffff', 0xffff_ffff, true],
    ['80000000', 0x7fff_ffff, true],
    ['7fffffff', 0x7fff_ffff, true],
    ['fffffffd 00000000', 0xffff_ffff, true],
  ])('takes an opaque %s of at most %i bytes: malformed %s', (text, max, malformed) => {
    const reader = reading(text);
    reader.opaque(emptySpan(), max);
    expect(reader.malformed).toBe(malformed);
  });

  it('takes for true and enums only what they are', () => {
    expect([reading('00000000').bool(), reading('00000001').bool()]).toEqual([false, true]);
    for (const text of ['00000002', 'ffffffff', '01000000']) {
      const reader = reading(text);
      expect(reader.bool()).toBe(false);
      expect(reader.malformed).toBe(true);
    }
  });
});

describe('writing', () => {
  it('is what is read again', () => {
    const writer = new XdrWriter();
    const reader = new XdrReader();
    const numbers = fc.bigInt({ min: 0n, max: BigInt(EXACT_MAX) }).map(Number);
    fc.assert(
      fc.property(
        fc.nat(0xffff_ffff),
        numbers,
        fc.uint8Array({ maxLength: 200, size: 'max' }),
        fc.boolean(),
        (a, b, c, d) => {
          writer.write(new Uint8Array(300).fill(0xee), 3);
          writer.u32(a);
          writer.u64(b);
          writer.opaque(c);
          writer.bool(d);
          reader.read(writer.bytes, 3, writer.offset);
          const span = emptySpan();
          expect([reader.u32(), reader.u64()]).toEqual([a, b]);
          reader.opaque(span, 200);
          expect(reader.bytes.slice(span.offset, span.offset + span.length)).toEqual(c);
          expect([reader.bool(), reader.left, reader.malformed]).toEqual([d, 0, false]);
        },
      ),
    );
  });

  it('pads with zeros where the bytes were others, and writes nothing behind', () => {
    const writer = new XdrWriter();
    for (const length of [0, 1, 2, 3, 4, 47, 48, 49, 50]) {
      writer.write(new Uint8Array(80).fill(0xee));
      writer.opaque(new Uint8Array(length).fill(0x11));
      const end = 4 + Math.ceil(length / 4) * 4;
      expect(writer.offset).toBe(end);
      expect(writer.bytes.subarray(4 + length, end).every((byte) => byte === 0)).toBe(true);
      expect(writer.bytes.subarray(end).every((byte) => byte === 0xee)).toBe(true);
    }
  });

  it('throws past the end of its bytes', () => {
    const writer = new XdrWriter();
    writer.write(new Uint8Array(6));
    writer.u32(1);
    expect(() => writer.u32(1)).toThrow(RangeError);
  });
});
