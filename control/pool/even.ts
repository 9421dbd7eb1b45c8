// Owns the first slot table of a pool whose backends weigh the same.

/**
 * Slots spread over `backends` (their indexes) in equal shares; the first `slotCount % backends.length` have one more.
 * Neighbouring slots have different backends, which changes nothing for flows (the hash spreads them) and makes a dump
 * of the table readable.
 */
export function evenSlots(backends: readonly number[], slotCount = 65537): Uint16Array {
  if (backends.length === 0) return new Uint16Array(slotCount);
  return Uint16Array.from({ length: slotCount }, (_, slot) => backends[slot % backends.length]!);
}
