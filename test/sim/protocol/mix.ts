// Owns the chance of what happens to single packets: numbers that follow from numbers alone, a few nanoseconds each. What
// happens to one packet does not depend on what else happens, so that a history can be shortened.

/** 32 bits of two words (finaliser of MurmurHash3). */
export function mix(a: number, b: number): number {
  let word = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 15), 0xc2b2ae35);
  word = Math.imul(word ^ (word >>> 13) ^ b, 0x27d4eb2f);
  return (word ^ (word >>> 16)) >>> 0;
}

/** In [0, 1). */
export function unitOf(word: number): number {
  return word / 4_294_967_296;
}
