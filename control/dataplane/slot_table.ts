// Owns the slots of all pools in one array: which range is a pool's, and writing them. Which backend a slot has is
// control/pool's.
import { Limit } from './generated/layout.ts';

export type SlotRange = { base: number; count: number };

/** What the slots of a pool shall say, by slot. */
export type SlotContent = {
  readonly current: Uint16Array;
  readonly base: Uint16Array;
  /** Index of the chain of a tracked slot; 0: clean. Absent: all are clean. */
  readonly chains?: Uint32Array;
};

export type SlotWord = { current: number; base: number; isTracked: boolean; chain: number };

const HALVES = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? { low: 0, high: 1 } : { low: 1, high: 0 };
/** Within the upper half of a word. */
const TRACKED = 1 << (Limit.LIMIT_SLOT_TRACKED_SHIFT - 32);
const CHAIN_SHIFT = Limit.LIMIT_SLOT_CHAIN_SHIFT - 32;

export class SlotTable {
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;
  /** A word in the making. */
  readonly #word = new BigUint64Array(1);
  readonly #wordHalves = new Uint32Array(this.#word.buffer);

  constructor(words: BigUint64Array) {
    this.#words = words;
    this.#halves = new Uint32Array(words.buffer, words.byteOffset, words.length * 2);
  }

  get capacity(): number {
    return this.#words.length;
  }

  at(place: number): SlotWord {
    const low = this.#halves[place * 2 + HALVES.low]!;
    const high = this.#halves[place * 2 + HALVES.high]!;
    return {
      current: low & 0xffff,
      base: low >>> 16,
      isTracked: (high & TRACKED) !== 0,
      chain: high >>> CHAIN_SHIFT,
    };
  }

  /** Current backends of a range. */
  read({ base, count }: SlotRange): Uint16Array {
    return Uint16Array.from(
      { length: count },
      (_, slot) => this.#halves[(base + slot) * 2 + HALVES.low]! & 0xffff,
    );
  }

  /** Chains that the slots of a range name. */
  chainsOf({ base, count }: SlotRange): Set<number> {
    const chains = new Set<number>();
    for (let place = base; place < base + count; place++) {
      const high = this.#halves[place * 2 + HALVES.high]!;
      if (high !== 0) chains.add(high >>> CHAIN_SHIFT);
    }
    chains.delete(0);
    return chains;
  }

  /**
   * Writes slots from `base` on, those that differ and whose backends are `isWanted`. Returns how many that were.
   */
  write(
    base: number,
    { current, base: before, chains }: SlotContent,
    isWanted: (backend: number) => boolean = () => true,
  ): number {
    this.#check(base, current.length);
    let written = 0;
    for (let slot = 0; slot < current.length; slot++) {
      const at = base + slot;
      const low = ((before[slot]! << 16) | current[slot]!) >>> 0;
      const chain = chains?.[slot] ?? 0;
      const high = chain === 0 ? 0 : ((chain << CHAIN_SHIFT) | TRACKED) >>> 0;
      if (this.#halves[at * 2 + HALVES.low] === low && this.#halves[at * 2 + HALVES.high] === high) continue;
      if (!isWanted(current[slot]!) || !isWanted(before[slot]!)) continue;
      this.#wordHalves[HALVES.low] = low;
      this.#wordHalves[HALVES.high] = high;
      // One aligned store a slot: a packet sees the old word or the new one.
      Atomics.store(this.#words, at, this.#word[0]!);
      written++;
    }
    return written;
  }

  /** Writes words as another table has them. */
  writeWords(base: number, words: BigUint64Array): void {
    this.#check(base, words.length);
    words.forEach((word, slot) => {
      if (this.#words[base + slot] !== word) Atomics.store(this.#words, base + slot, word);
    });
  }

  #check(base: number, count: number): void {
    if (!Number.isInteger(base) || base < 0 || base + count > this.capacity)
      throw new RangeError(`slots ${base}-${base + count - 1} do not fit the ${this.capacity} there are`);
  }
}

/**
 * A range for each of `wanted` (pool → slots): the one it has, if its size is right, or the first that is free beside
 * `taken`. Undefined where there is no room.
 */
export function placeRanges(
  held: ReadonlyMap<number, readonly SlotRange[]>,
  taken: readonly SlotRange[],
  wanted: ReadonlyMap<number, number>,
  capacity: number,
): Map<number, SlotRange> | undefined {
  const ranges = new Map<number, SlotRange>();
  const busy = [...taken];
  for (const [pool, count] of wanted) {
    const own = held.get(pool)?.find((it) => it.count === count);
    if (own !== undefined) ranges.set(pool, own);
  }
  for (const [pool, count] of wanted) {
    if (ranges.has(pool)) continue;
    const range = firstFit(busy, count, capacity);
    if (range === undefined) return undefined;
    busy.push(range);
    ranges.set(pool, range);
  }
  return ranges;
}

function firstFit(taken: readonly SlotRange[], count: number, capacity: number): SlotRange | undefined {
  let base = 0;
  for (const it of taken.toSorted((a, b) => a.base - b.base)) {
    if (it.base - base >= count) break;
    base = Math.max(base, it.base + it.count);
  }
  return base + count <= capacity ? { base, count } : undefined;
}
