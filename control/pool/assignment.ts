// Owns which backend each slot of a pool has: the next table from the last one and the weights. Not here: which
// weights there are (edits.ts), and when a mux puts a table to use.
//
// A slot that gets another backend breaks the connections in it, or costs state to keep them. So the table is changed
// rather than computed anew: a backend gives slots away only where it has more than its share, and as few as that
// takes. Only quotas decide how many; hashes only decide which.
import { WEIGHT_MAX } from '../config/objects.ts';

/** A backend's share of a table, exactly: `floor`, and whether a fraction of a slot is left. */
type Share = { readonly backend: number; readonly floor: number; readonly remainder: number };

const INDEX_MAX = 0xffff;

/** A place in the new order is a fraction of this and, below it, the backend: together an exact double. */
const PLACES = 2 ** 37;

/**
 * The table that follows `previous` when the backends (by index, 1-65535) have these weights (0-65535). 0 in a table
 * stands for no backend; all slots have it where no backend has a weight.
 *
 * - Every backend has its exact share of the slots, rounded down or up.
 * - No table with that property is nearer to `previous`. So a backend that leaves moves its own slots and no others, one
 *   that joins receives slots and no other backend does, and where all shares are right already nothing moves. Among
 *   equally near tables the larger fractions of a slot are rounded up (Hamilton's method, which an empty table gets).
 * - What a backend gives up, and what a backend receives, is spread evenly, without a period, over the slots it had and
 *   over the slots there are to receive.
 * - The same arguments give the same table, on every machine.
 */
export function assignSlots(previous: Uint16Array, weights: ReadonlyMap<number, number>): Uint16Array {
  const shares = sharesOf(weights, previous.length);
  if (shares.length === 0) return new Uint16Array(previous.length);
  const held = countSlots(previous);
  const quota = quotasOf(shares, held, previous.length);
  const next = previous.slice();
  const free = releaseSlots(next, held, quota);
  const receivers = receiversOf(held, quota, free.length);
  for (let at = 0; at < free.length; at++) next[free[at]!] = receivers[at]!;
  return next;
}

/** In order of index, so that the order of the map does not matter; without those that have no weight. */
function sharesOf(weights: ReadonlyMap<number, number>, slotCount: number): Share[] {
  let total = 0;
  for (const [backend, weight] of weights) {
    if (!Number.isInteger(backend) || backend < 1 || backend > INDEX_MAX) {
      throw new RangeError(`a backend index is 1-${INDEX_MAX}, got ${backend}`);
    }
    if (!Number.isInteger(weight) || weight < 0 || weight > WEIGHT_MAX) {
      throw new RangeError(`the weight of backend ${backend} must be 0-${WEIGHT_MAX}, got ${weight}`);
    }
    total += weight;
  }
  // slots × weight stays below 2^49 for any table of a pool: no rounding.
  return [...weights]
    .filter(([, weight]) => weight > 0)
    .map(([backend, weight]) => ({
      backend,
      floor: Math.floor((slotCount * weight) / total),
      remainder: (slotCount * weight) % total,
    }))
    .sort((a, b) => a.backend - b.backend);
}

function countSlots(table: Uint16Array): Uint32Array {
  const counts = new Uint32Array(INDEX_MAX + 1);
  for (let slot = 0; slot < table.length; slot++) counts[table[slot]!]!++;
  return counts;
}

/** Slots that each backend is to have, by index; 0 for all others. They add up to `slotCount`. */
function quotasOf(shares: readonly Share[], held: Uint32Array, slotCount: number): Uint32Array {
  const quota = new Uint32Array(INDEX_MAX + 1);
  let left = slotCount;
  for (const { backend, floor } of shares) {
    quota[backend] = floor;
    left -= floor;
  }
  // Rounding up a backend that has more than its floor leaves one slot where it is; anybody else's costs nothing.
  const keeps = ({ backend, floor }: Share): number => (held[backend]! > floor ? 1 : 0);
  const roundable = shares.filter(({ remainder }) => remainder > 0);
  roundable.sort((a, b) => keeps(b) - keeps(a) || b.remainder - a.remainder || a.backend - b.backend);
  for (const { backend } of roundable.slice(0, left)) quota[backend]!++;
  return quota;
}

/**
 * Slots, in order, that no backend has or that their backend gives up. A backend that gives up n of its slots gives
 * one of each n-th part of them, at a hashed place within the part.
 */
function releaseSlots(table: Uint16Array, held: Uint32Array, quota: Uint32Array): Uint32Array {
  const free = new Uint32Array(table.length);
  const seen = new Uint32Array(INDEX_MAX + 1);
  const given = new Uint32Array(INDEX_MAX + 1);
  let count = 0;
  for (let slot = 0; slot < table.length; slot++) {
    const backend = table[slot]!;
    const surplus = held[backend]! - quota[backend]!;
    if (surplus <= 0) continue;
    const ordinal = seen[backend]!++;
    const part = given[backend]!;
    if (part === surplus || ordinal !== pickWithin(backend, part, surplus, held[backend]!)) continue;
    given[backend] = part + 1;
    free[count++] = slot;
  }
  return free.subarray(0, count);
}

/** The ordinal to give up in part `part` of `parts` of `count` slots. */
function pickWithin(backend: number, part: number, parts: number, count: number): number {
  const begin = Math.floor((part * count) / parts);
  const end = Math.floor(((part + 1) * count) / parts);
  return begin + Math.floor(fraction(backend, part) * (end - begin));
}

/**
 * Who gets the free slots, in their order. Backends that receive n get one of each n-th part of them, as near to a
 * hashed place within the part as the others allow.
 */
function receiversOf(held: Uint32Array, quota: Uint32Array, freeCount: number): Uint16Array {
  const order = new Float64Array(freeCount);
  let count = 0;
  for (let backend = 1; backend <= INDEX_MAX; backend++) {
    const deficit = quota[backend]! - held[backend]!;
    for (let part = 0; part < deficit; part++) {
      const place = Math.floor(((part + fraction(backend, part + freeCount)) / deficit) * PLACES);
      order[count++] = place * (INDEX_MAX + 1) + backend;
    }
  }
  order.sort();
  const receivers = new Uint16Array(freeCount);
  // Storing keeps the low 16 bits: the backend.
  for (let at = 0; at < freeCount; at++) receivers[at] = order[at]!;
  return receivers;
}

/** In [0, 1), by hash: the finalizer of MurmurHash3 over both numbers. */
function fraction(backend: number, part: number): number {
  let hash = Math.imul(backend, 0x9e3779b1) ^ Math.imul(part + 1, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
