// Owns where the slots of each pool stand, as the program has it: messages of flows name slots of a pool. A record is one
// word, written once the slots are; a pool that no service has any more is taken away.
import type { SlotRange } from './slot_table.ts';

const COUNT_SHIFT = 32n;
const BASE_MASK = 0xffff_ffffn;

export class PoolTable {
  readonly #words: BigUint64Array;
  readonly #known = new Set<number>();

  /** `words` is the mapped table, struct pool_slots by id. */
  constructor(words: BigUint64Array) {
    this.#words = words;
  }

  get(id: number): SlotRange | undefined {
    const word = this.#words[id] ?? 0n;
    return word === 0n ? undefined : { base: Number(word & BASE_MASK), count: Number(word >> COUNT_SHIFT) };
  }

  *entries(): Generator<[id: number, range: SlotRange]> {
    for (const id of this.#known) yield [id, this.get(id)!];
  }

  /** Which pool a slot of this mux is of. */
  poolOf(slot: number): (SlotRange & { id: number }) | undefined {
    for (const [id, range] of this.entries())
      if (slot >= range.base && slot < range.base + range.count) return { id, ...range };
    return undefined;
  }

  /** These are there from now on, beside those that were. */
  add(ranges: ReadonlyMap<number, SlotRange>): void {
    for (const [id, { base, count }] of ranges) {
      this.#known.add(id);
      this.#store(id, (BigInt(count) << COUNT_SHIFT) | BigInt(base));
    }
  }

  /** Only these are. */
  keepOnly(ids: ReadonlySet<number>): void {
    for (const id of this.#known) {
      if (ids.has(id)) continue;
      this.#known.delete(id);
      this.#store(id, 0n);
    }
  }

  /** Makes the table say `ranges`, whatever another process has left. */
  adopt(ranges: ReadonlyMap<number, SlotRange>): void {
    for (const [id, word] of this.#words.entries()) if (word !== 0n) this.#known.add(id);
    this.add(ranges);
    this.keepOnly(new Set(ranges.keys()));
  }

  #store(id: number, word: bigint): void {
    if (this.#words[id] !== word) Atomics.store(this.#words, id, word);
  }
}
