// Records from bytes in any chunking, fragments joined, limits before memory.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAGMENTS_MAX,
  INPUT_BYTES,
  InputBuffers,
  RecordInput,
} from '../../../control/file/core/record_input.ts';
import { buildRecord, concatenated } from '../../lib/nfs/rpc.ts';
import { hex } from './fixtures/hex.ts';

const RECORD_BYTES_MAX = 200_000;

function made(largeMax = 4) {
  const buffers = new InputBuffers({ recordBytesMax: RECORD_BYTES_MAX, largeMax });
  return { buffers, input: new RecordInput(buffers) };
}

/** All records of the stream, fed in pieces of these lengths, again and again. */
function records(input: RecordInput, stream: Uint8Array, pieces: readonly number[]): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0, i = 0; at < stream.length; i++) {
    const space = input.space();
    const count = Math.min(pieces[i % pieces.length]!, space.length, stream.length - at);
    if (count === 0) break;
    space.set(stream.subarray(at, at + count));
    input.filled(count);
    at += count;
    while (input.next()) found.push(input.bytes.slice(input.start, input.end));
  }
  return found;
}

const sequence = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255);

describe('records', () => {
  it('are what RFC 5531 marks', () => {
    const stream = hex('80000004 01020304 00000002 0506 80000001 07 80000000 80000001 ff');
    for (const piece of [1, 2, 3, 5, 100])
      expect(records(made().input, stream, [piece])).toEqual([
        hex('01020304'),
        hex('050607'),
        hex(''),
        hex('ff'),
      ]);
  });

  it('come whole from any fragments in any chunks', () => {
    const message = fc.record({
      bytes: fc.nat(300).map((length) => sequence(length, length)),
      fragments: fc.array(fc.nat(60), { maxLength: 8, size: 'max' }),
    });
    const chunks = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20, size: 'max' });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 12, size: 'max' }), chunks, (messages, pieces) => {
        const stream = concatenated(messages.map(({ bytes, fragments }) => buildRecord(bytes, fragments)));
        const { input } = made();
        expect(records(input, stream, pieces)).toEqual(messages.map(({ bytes }) => bytes));
        expect(input.partial).toBe(false);
        expect(input.failure).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  it('may be larger than what is read at once, and do not keep the memory', () => {
    const { buffers, input } = made();
    const large = [RECORD_BYTES_MAX, INPUT_BYTES, 150_000].map((length) => sequence(length, length));
    const small = sequence(100);
    const stream = concatenated([small, ...large, small].map((one) => buildRecord(one, [7, 70_000])));
    for (const pieces of [[65_536], [1448], [100_000, 3]]) {
      expect(records(input, stream, pieces)).toEqual([small, ...large, small]);
      input.space();
      expect(buffers.largeInUse).toBe(0);
    }
  });

  it('need no more memory for what a mark announces, only for what came', () => {
    const { buffers, input } = made();
    records(input, hex('80030d40 0102'), [100]);
    expect(input.space().length).toBeLessThanOrEqual(INPUT_BYTES);
    expect(buffers.largeInUse).toBe(0);
    expect(input.partial).toBe(true);
  });

  it.each([
    ['one fragment', '80030d41'],
    ['the largest mark', 'ffffffff'],
    ['a fragment that is not the last', '7fffffff'],
    ['the sum of fragments', '00000004 01020304 80030d3d'],
  ])('too long by %s are refused by the mark alone', (_, text) => {
    const { buffers, input } = made();
    expect(records(input, hex(text), [1000])).toEqual([]);
    expect(input.failure).toBe('record too long');
    expect(input.space()).toHaveLength(0);
    expect(buffers.largeInUse).toBe(0);
  });

  it('of too many fragments are refused', () => {
    const empty = (count: number) => new Uint8Array(4 * count);
    const last = hex('80000001 05');
    expect(records(made().input, concatenated([empty(FRAGMENTS_MAX - 1), last]), [1000])).toEqual([
      hex('05'),
    ]);
    const { input } = made();
    expect(records(input, concatenated([empty(FRAGMENTS_MAX), last]), [1000])).toEqual([]);
    expect(input.failure).toBe('too many fragments');
  });

  it('of the largest size in the most fragments have room', () => {
    const message = sequence(RECORD_BYTES_MAX);
    const fragments = Array.from({ length: FRAGMENTS_MAX - 1 }, () => 1);
    expect(records(made().input, buildRecord(message, fragments), [1000])).toEqual([message]);
  });

  it('wait their turn where they are held, whatever comes behind', () => {
    const { input } = made();
    const stream = concatenated([sequence(10), sequence(20), sequence(30)].map((one) => buildRecord(one)));
    input.space().set(stream);
    input.filled(stream.length);
    expect(input.next()).toBe(true);
    expect(input.next()).toBe(true);
    input.hold();
    input.space().set(buildRecord(sequence(40)));
    input.filled(44);
    expect(input.next()).toBe(true);
    expect(input.bytes.slice(input.start, input.end)).toEqual(sequence(20));
    expect(input.next()).toBe(true);
    expect(input.next()).toBe(true);
    expect(input.bytes.slice(input.start, input.end)).toEqual(sequence(40));
  });

  it('that are large are refused while others have all large buffers', () => {
    const buffers = new InputBuffers({ recordBytesMax: RECORD_BYTES_MAX, largeMax: 1 });
    const [one, other] = [new RecordInput(buffers), new RecordInput(buffers)];
    const record = buildRecord(sequence(150_000));
    records(one, record.subarray(0, 100_000), [65_536]);
    records(other, record.subarray(0, 100_000), [65_536]);
    expect([one.failure, other.failure]).toEqual([undefined, 'no memory for records']);
    one.close();
    expect(buffers.largeInUse).toBe(0);
    expect(records(new RecordInput(buffers), record, [65_536])).toHaveLength(1);
  });
});
