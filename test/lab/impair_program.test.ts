// The program that impairs links, run packet by packet: which packets it loses, and that what it held comes out as it
// went in.
import type { LoadedObject } from 'libbpf-ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DIRECTION_WORDS, DIRECTIONS, ImpairTable, REORDER_WAIT_MS, SLOTS } from './impairment.ts';
import { openTestObject } from './programs.ts';

const XDP_ABORTED = 0;
const XDP_DROP = 1;
const XDP_PASS = 2;
const XDP_REDIRECT = 4;
const PORT_IFINDEX = 1;
const FRAME_BYTES_MAX = 2_040;
const SLOT_FILLED = 1n;

let object: LoadedObject;
let table: ImpairTable;

beforeEach(() => {
  const open = openTestObject('impair');
  open.setConstants({ port_ifindex: PORT_IFINDEX });
  object = open.load();
  table = new ImpairTable(object.map('.data.directions').mmap());
});
afterEach(() => object.close());

const frameOf = (bytes: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + seed * 7 + 1) & 0xff);

function send(way: 'impair_from' | 'impair_to', frame = frameOf(64)): number {
  return object.program(way).testRun({ data: frame, dataOutSize: 4_096 }).retval;
}

function sendMany(count: number, way: 'impair_from' | 'impair_to' = 'impair_from'): number[] {
  return Array.from({ length: count }, () => send(way));
}

/** Has every slot's packet come out, one run each, in the order of slots. */
function releaseAll(): { slot: number; dueNs: bigint; verdict: number; bytes: Uint8Array }[] {
  const due = new BigUint64Array(object.map('.data.due').mmap(), 0, SLOTS);
  const releases = new BigUint64Array(object.map('.data.releases').mmap(), 0, 3);
  return [...due.entries()].flatMap(([slot, dueNs]) => {
    if (dueNs <= SLOT_FILLED) return [];
    releases.set([1n, 0n, BigInt(slot)]);
    const { retval, dataOut } = object
      .program('release')
      .testRun({ data: new Uint8Array(64), dataOutSize: 4_096 });
    return [{ slot, dueNs, verdict: retval, bytes: dataOut! }];
  });
}

// Written from the definition of SplitMix64, not from the program.
const MASK = (1n << 64n) - 1n;
function splitMix64(seed: bigint, index: bigint): bigint {
  let z = (seed + (index + 1n) * 0x9e3779b97f4a7c15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}
const DRAWS = 5n;

describe('losses', () => {
  it('are those that seed and number of the packet say, and no others', () => {
    table.set({ lossPercent: 25, seed: 42 });
    const lost = sendMany(500).map((verdict) => verdict === XDP_DROP);
    const expected = lost.map((_, n) => splitMix64(42n, BigInt(n) * DRAWS) >> 32n < 1n << 30n);
    expect(lost).toEqual(expected);
    expect(table.read().from).toMatchObject({ packets: 500, lost: expected.filter(Boolean).length });
  });

  it('are the same again for the same seed, others for another, and others the other way', () => {
    const losses = (seed: number, way: 'impair_from' | 'impair_to' = 'impair_from') => {
      table.set({ lossPercent: 30, seed });
      return sendMany(200, way).map((verdict) => verdict === XDP_DROP);
    };
    expect(losses(1)).toEqual(losses(1));
    expect(losses(1)).not.toEqual(losses(2));
    expect(losses(1)).not.toEqual(losses(1, 'impair_to'));
  });

  it.each([1, 5, 50])('are %i percent, within four standard deviations', (lossPercent) => {
    table.set({ lossPercent, seed: 7 });
    const packets = 4_000;
    // One run: the packet stays the same, its number does not.
    object.program('impair_from').testRun({ data: frameOf(64), repeat: packets });
    const { lost } = table.read().from;
    const share = lossPercent / 100;
    expect(Math.abs(lost - packets * share)).toBeLessThan(4 * Math.sqrt(packets * share * (1 - share)));
  });

  it('are all at 100 percent and none at 0', () => {
    table.set({ lossPercent: 100 });
    expect(new Set(sendMany(50))).toEqual(new Set([XDP_DROP]));
    table.set({});
    expect(new Set(sendMany(50))).toEqual(new Set([XDP_PASS]));
    expect(new Set(sendMany(50, 'impair_to'))).toEqual(new Set([XDP_REDIRECT]));
  });
});

describe('a packet that waits', () => {
  it.each([14, 15, 42, 60, 64, 1_514, 1_614, FRAME_BYTES_MAX])(
    'comes out byte for byte: %i bytes',
    (bytes) => {
      table.set({ delayMs: 5 });
      const frames = { impair_from: frameOf(bytes, 1), impair_to: frameOf(bytes, 2) } as const;
      expect(send('impair_from', frames.impair_from)).toBe(XDP_DROP);
      expect(send('impair_to', frames.impair_to)).toBe(XDP_DROP);
      const [from, to, ...more] = releaseAll();
      expect(more).toEqual([]);
      expect([from!.verdict, to!.verdict]).toEqual([XDP_PASS, XDP_REDIRECT]);
      expect(from!.bytes).toEqual(frames.impair_from);
      expect(to!.bytes).toEqual(frames.impair_to);
      expect(releaseAll()).toEqual([]);
    },
  );

  it('is due after the delay, and within the jitter of it', () => {
    const [delayMs, jitterMs] = [50, 20];
    table.set({ delayMs, jitterMs, seed: 3 });
    const startedNs = process.hrtime.bigint();
    sendMany(300);
    const tookMs = Number(process.hrtime.bigint() - startedNs) / 1e6;
    const waits = releaseAll().map(({ dueNs }) => Number(dueNs - startedNs) / 1e6);
    expect(waits).toHaveLength(300);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(delayMs - jitterMs);
    expect(Math.max(...waits)).toBeLessThanOrEqual(delayMs + jitterMs + tookMs);
    expect(Math.min(...waits)).toBeLessThan(delayMs - jitterMs / 2);
    expect(Math.max(...waits)).toBeGreaterThan(delayMs + jitterMs / 2);
  });

  it('longer than the others is one to be overtaken, also where nothing is delayed', () => {
    table.set({ reorderPercent: 25, seed: 9 });
    const startedNs = process.hrtime.bigint();
    const verdicts = sendMany(400);
    const held = releaseAll();
    expect(held).toHaveLength(verdicts.filter((verdict) => verdict === XDP_DROP).length);
    expect(held.length).toBeGreaterThan(60);
    expect(held.length).toBeLessThan(140);
    expect(Number(held[0]!.dueNs - startedNs) / 1e6).toBeGreaterThanOrEqual(REORDER_WAIT_MS);
    expect(table.read().from).toMatchObject({ reordered: held.length, delayed: held.length });
  });

  it('and does not find a slot is lost, and counted', () => {
    table.set({ delayMs: 5 });
    object.program('impair_from').testRun({ data: frameOf(64), repeat: SLOTS });
    expect(table.read().from).toMatchObject({ delayed: SLOTS, overflowed: 0 });
    expect(send('impair_from')).toBe(XDP_DROP);
    expect(table.read().from).toMatchObject({ delayed: SLOTS, overflowed: 1 });
    expect(releaseAll()).toHaveLength(SLOTS);
    expect(send('impair_from')).toBe(XDP_DROP);
    expect(table.read().from).toMatchObject({ delayed: SLOTS + 1, overflowed: 1 });
  });

  it('is never longer than a slot', () => {
    table.set({ delayMs: 5 });
    expect(send('impair_from', frameOf(FRAME_BYTES_MAX + 1))).toBe(XDP_DROP);
    expect(table.read().from).toMatchObject({ delayed: 0, overflowed: 1 });
    expect(releaseAll()).toEqual([]);
  });
});

describe('duplicates', () => {
  it('come beside the packet, which passes as it would alone', () => {
    table.set({ duplicatePercent: 50, seed: 5 });
    expect(new Set(sendMany(200))).toEqual(new Set([XDP_PASS]));
    const copies = releaseAll();
    expect(copies.length).toBeGreaterThan(60);
    expect(copies.length).toBeLessThan(140);
    for (const { bytes } of copies) expect(bytes).toEqual(frameOf(64));
    expect(table.read().from).toMatchObject({ duplicated: copies.length, delayed: 0 });
  });
});

describe('a release', () => {
  it('of nothing drops the frame that was to carry it', () => {
    expect(object.program('release').testRun({ data: frameOf(64) }).retval).toBe(XDP_DROP);
    new BigUint64Array(object.map('.data.releases').mmap(), 0, 3).set([1n, 0n, 0n]);
    expect(object.program('release').testRun({ data: frameOf(64) }).retval).toBe(XDP_ABORTED);
  });
});

describe('settings', () => {
  it('read back as they were given, a direction at a time', () => {
    const given = {
      lossPercent: 2.5,
      delayMs: 5,
      jitterMs: 3,
      reorderPercent: 1,
      duplicatePercent: 0.1,
      seed: 77,
    };
    table.set(given);
    table.set({ direction: 'to', delayMs: 1 });
    expect(table.read().from).toMatchObject(given);
    expect(table.read().to).toMatchObject({ lossPercent: 0, delayMs: 1, jitterMs: 0, seed: 0, packets: 0 });
  });

  it.each([
    { lossPercent: 101 },
    { lossPercent: -1 },
    { delayMs: 1_001 },
    { delayMs: Number.NaN },
    { jitterMs: -0.5 },
    { seed: 1.5 },
  ])('out of range are refused: %o', (options) => {
    expect(() => table.set(options)).toThrow(RangeError);
  });

  it('have the size that the program gives them', () => {
    expect(object.map('.data.directions').info.valueSize).toBe(DIRECTIONS.length * DIRECTION_WORDS * 8);
  });
});
