import { BpfMap, type LoadedObject, openObject, RingBuffer } from 'libbpf-ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compiled, runChild, words } from './support.ts';

let object: LoadedObject;
let ring: RingBuffer;
beforeEach(() => {
  object = openObject(compiled('everything')).load();
  ring = new RingBuffer(object.map('events'));
});
afterEach(() => {
  ring.close();
  object.close();
});

const emit = (count: number): void => {
  const data = new Uint8Array(64);
  data[0] = count;
  object.program('emit').testRun({ data, dataOutSize: 0 });
};
/** What `emit` writes as record n, from its source text. */
const record = (index: number): Uint8Array =>
  words(index, 0x11111111, 0x22222222).subarray(0, 4 + (index & 7));

describe('draining', () => {
  it('returns the records in order, packed', () => {
    emit(10);
    const { data, offsets, count } = ring.drain();
    expect(count).toBe(10);
    expect(offsets.length).toBe(11);
    for (let index = 0; index < 10; index++) {
      expect(data.subarray(offsets[index], offsets[index + 1])).toEqual(record(index));
    }
    expect(ring.drain()).toEqual({ data: new Uint8Array(0), offsets: Uint32Array.of(0), count: 0 });
  });

  it('stops at the limit and goes on from there', () => {
    emit(10);
    expect(ring.drain(4).count).toBe(4);
    const rest = ring.drain();
    expect(rest.count).toBe(6);
    expect(rest.data.subarray(0, rest.offsets[1])).toEqual(record(4));
  });

  it('keeps up over many turns of the ring', () => {
    const seen = new BigUint64Array(object.map('.bss').mmap());
    const program = object.program('emit_quietly');
    let next = 0n;
    for (let round = 0; round < 30; round++) {
      program.testRun({ data: new Uint8Array(64), dataOutSize: 0, repeat: 1000 });
      const { data, count } = ring.drain();
      const values = new BigUint64Array(data.buffer, 0, count);
      for (const value of values) expect(value).toBe(next++);
    }
    expect(next).toBe(seen[0]);
    expect(next).toBeGreaterThanOrEqual(30_000n);
  });

  it('refuses other maps and used-up handles', () => {
    using array = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
    expect(() => new RingBuffer(array)).toThrow('map must be of type ringbuf, got array');
    expect(() => new RingBuffer({} as never)).toThrow('map must be a BpfMap, got Object');
    ring.close();
    ring.close();
    expect(() => ring.drain()).toThrow('ring buffer events is closed');
    expect(() => ring.onRecord(() => {})).toThrow('ring buffer events is closed');
  });
});

describe('watching', () => {
  it('delivers each record as it comes', async () => {
    const records: Uint8Array[] = [];
    const arrived = new Promise<void>((resolve) => {
      ring.onRecord((bytes) => {
        records.push(bytes);
        if (records.length === 7) resolve();
      });
    });
    emit(3);
    setTimeout(() => emit(4), 5);
    await arrived;
    expect(records).toEqual([0, 1, 2, 0, 1, 2, 3].map(record));
    expect(() => ring.onRecord(() => {})).toThrow(/already has a callback/);
  });

  it('survives the map’s and the object’s close', async () => {
    const arrived = new Promise<Uint8Array>((resolve) => ring.onRecord(resolve));
    const program = object.program('emit');
    object.map('events').close();
    object.close();
    program.testRun({ data: Uint8Array.of(1, ...new Array(63).fill(0)) });
    expect(await arrived).toEqual(record(0));
  });

  it('may be ended from within', async () => {
    let calls = 0;
    ring.onRecord(() => {
      calls++;
      ring.close();
    });
    emit(5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(1);
  });

  it.each([
    ['throwing', 'uncaught: boom 0, uncaught: boom 1'],
    ['collected', 'collected 200'],
    ['watched-unreachable', 'still delivered'],
    ['unref', 'ended by itself'],
    ['worker', 'worker gone, 5 times'],
    ['exit', 'leaving'],
  ])('does not crash when %s', (scenario, expected) => {
    const child = runChild('ring_child.ts', [scenario, compiled('everything')]);
    expect(child).toMatchObject({ signal: null, status: 0 });
    expect(child.stdout.trim()).toBe(expected);
  });
});
