// Owns the bits by which a filter tells at a glance that a slot is clean and another server's, or clean and its own. A bit
// is cleared before its slot becomes anything else, and set after: a bit that is not set only costs a look at the slot.
import type { Placement } from '../cluster/version.ts';
import type { SlotRange } from './slot_table.ts';

type Slots = Pick<Placement, 'current' | 'base' | 'period'>;

/** What a bit says of a slot, to the server `self`. */
export type SlotSense = (slots: Slots, slot: number, self: number) => boolean;

export class SlotBits {
  readonly #sense: SlotSense;
  readonly #words: Uint32Array;
  readonly #count: number;
  /** Where bits may be set, by pool. */
  #ranges: ReadonlyMap<number, SlotRange> = new Map();

  /** `bits` is the mapped section, all zero. */
  constructor(bits: ArrayBuffer, sense: SlotSense) {
    this.#sense = sense;
    this.#words = new Uint32Array(bits);
    this.#count = this.#words.length * 32;
  }

  has(place: number): boolean {
    return place < this.#count && ((this.#words[place >>> 5]! >>> (place & 31)) & 1) === 1;
  }

  /** Before slots are written: what will not be so any more. */
  withdraw(pools: ReadonlyMap<number, Slots>, self: number): void {
    for (const [id, range] of this.#ranges) {
      const slots = pools.get(id);
      for (let slot = 0; slot < range.count; slot++) {
        if (slots === undefined || !this.#sense(slots, slot, self)) this.#put(range.base + slot, false);
      }
    }
  }

  /** After slots were written, where pools stand now. */
  publish(pools: ReadonlyMap<number, Slots>, ranges: ReadonlyMap<number, SlotRange>, self: number): void {
    for (const [id, { base, count }] of this.#ranges) {
      const now = ranges.get(id);
      if (now?.base === base && now.count === count) continue;
      for (let slot = 0; slot < count; slot++) this.#put(base + slot, false);
    }
    for (const [id, { base, count }] of ranges) {
      const slots = pools.get(id);
      for (let slot = 0; slots !== undefined && slot < count; slot++)
        if (this.#sense(slots, slot, self)) this.#put(base + slot, true);
    }
    this.#ranges = new Map(ranges);
  }

  #put(place: number, isSet: boolean): void {
    if (place >= this.#count) return;
    const mask = 1 << (place & 31);
    if (isSet) Atomics.or(this.#words, place >>> 5, mask);
    else Atomics.and(this.#words, place >>> 5, ~mask);
  }
}

/** A server that is alone answers for all, and nobody has no slots to be left to. */
export const isOthers: SlotSense = ({ current, base, period }, slot, self) => {
  const server = current[slot]!;
  return self !== 0 && server !== 0 && server !== self && base[slot] === server && period[slot] === 0;
};

/** Whom this server knows there, nobody else has. */
export const isSettled: SlotSense = ({ current, base, period }, slot, self) =>
  self !== 0 && current[slot] === self && base[slot] === self && period[slot] === 0;
