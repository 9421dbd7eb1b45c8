// Owns the slots of all pools in one array: which range is a pool's, and writing them. Which backend a slot has is
// control/pool's.

export type SlotRange = { base: number; count: number };

const HALVES = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? { low: 0, high: 1 } : { low: 1, high: 0 };

export class SlotTable {
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;

  constructor(words: BigUint64Array) {
    this.#words = words;
    this.#halves = new Uint32Array(words.buffer, words.byteOffset, words.length * 2);
  }

  get capacity(): number {
    return this.#words.length;
  }

  /** Current backends of a range. */
  read({ base, count }: SlotRange): Uint16Array {
    return Uint16Array.from(
      { length: count },
      (_, slot) => this.#halves[(base + slot) * 2 + HALVES.low]! & 0xffff,
    );
  }

  /**
   * Writes clean slots (current = base) from slot `base` on, those that differ and whose backend `isWanted`. Returns how
   * many that were.
   */
  write(base: number, backends: Uint16Array, isWanted: (backend: number) => boolean = () => true): number {
    if (!Number.isInteger(base) || base < 0 || base + backends.length > this.capacity) {
      throw new RangeError(
        `slots ${base}-${base + backends.length - 1} do not fit the ${this.capacity} there are`,
      );
    }
    let written = 0;
    for (let slot = 0; slot < backends.length; slot++) {
      const at = base + slot;
      const backend = backends[slot]!;
      const low = ((backend << 16) | backend) >>> 0;
      const current = this.#halves[at * 2 + HALVES.low]!;
      if (current === low && this.#halves[at * 2 + HALVES.high] === 0) continue;
      if (!isWanted(backend)) continue;
      // One aligned store a slot: a packet sees the old word or the new one.
      Atomics.store(this.#words, at, BigInt(low));
      written++;
    }
    return written;
  }
}

/**
 * A range for each of `wanted` (pool → slots): the one it has, if its size is right, or the first that is free beside
 * `held`. Undefined where there is no room.
 */
export function placeRanges(
  held: ReadonlyMap<number, readonly SlotRange[]>,
  wanted: ReadonlyMap<number, number>,
  capacity: number,
): Map<number, SlotRange> | undefined {
  const ranges = new Map<number, SlotRange>();
  const taken = [...held.values()].flat();
  for (const [pool, count] of wanted) {
    const own = held.get(pool)?.find((it) => it.count === count);
    if (own !== undefined) ranges.set(pool, own);
  }
  for (const [pool, count] of wanted) {
    if (ranges.has(pool)) continue;
    const range = firstFit(taken, count, capacity);
    if (range === undefined) return undefined;
    taken.push(range);
    ranges.set(pool, range);
  }
  return ranges;
}

function firstFit(taken: SlotRange[], count: number, capacity: number): SlotRange | undefined {
  let base = 0;
  for (const it of taken.toSorted((a, b) => a.base - b.base)) {
    if (it.base - base >= count) break;
    base = Math.max(base, it.base + it.count);
  }
  return base + count <= capacity ? { base, count } : undefined;
}
