// Owns SipHash-2-4 (Aumasson, Bernstein): a short MAC of short messages under a key of 16 bytes, where a cryptographic
// hash of the platform would cost more than what it protects.

export const SIPHASH_KEY_BYTES = 16;
export const SIPHASH_BYTES = 8;

/** Gives its result in `low` and `high`, so that nothing is allocated. 64-bit words are two halves of 32 bits. */
export class SipHash {
  /** The first four bytes of the hash, as a little-endian machine loads them. */
  low = 0;
  high = 0;
  readonly #k0Low: number;
  readonly #k0High: number;
  readonly #k1Low: number;
  readonly #k1High: number;

  constructor(key: Uint8Array) {
    if (key.length !== SIPHASH_KEY_BYTES) throw new RangeError(`a key has ${SIPHASH_KEY_BYTES} bytes`);
    this.#k0Low = wordAt(key, 0);
    this.#k0High = wordAt(key, 4);
    this.#k1Low = wordAt(key, 8);
    this.#k1High = wordAt(key, 12);
  }

  /** Of `bytes` from `start` to `end`. */
  hash(bytes: Uint8Array, start: number, end: number): void {
    let v0l = this.#k0Low ^ 0x70736575;
    let v0h = this.#k0High ^ 0x736f6d65;
    let v1l = this.#k1Low ^ 0x6e646f6d;
    let v1h = this.#k1High ^ 0x646f7261;
    let v2l = this.#k0Low ^ 0x6e657261;
    let v2h = this.#k0High ^ 0x6c796765;
    let v3l = this.#k1Low ^ 0x79746573;
    let v3h = this.#k1High ^ 0x74656462;
    const length = end - start;
    const words = length >>> 3;
    // One step a word, one for the rest with the length, and one that ends it, which has four rounds and no word.
    for (let step = 0; step <= words + 1; step++) {
      let low = 0;
      let high = 0;
      let rounds = 2;
      const at = start + step * 8;
      if (step < words) {
        low = wordAt(bytes, at);
        high = wordAt(bytes, at + 4);
      } else if (step === words) {
        for (let i = 0; i < (length & 7); i++) {
          if (i < 4) low |= bytes[at + i]! << (8 * i);
          else high |= bytes[at + i]! << (8 * (i - 4));
        }
        high |= (length & 0xff) << 24;
      } else {
        v2l ^= 0xff;
        rounds = 4;
      }
      v3l ^= low;
      v3h ^= high;
      for (; rounds > 0; rounds--) {
        let sum = (v0l >>> 0) + (v1l >>> 0);
        v0h = (v0h + v1h + (sum > 0xffff_ffff ? 1 : 0)) | 0;
        v0l = sum | 0;
        let turned = (v1l << 13) | (v1h >>> 19);
        v1h = (v1h << 13) | (v1l >>> 19);
        v1l = turned ^ v0l;
        v1h ^= v0h;
        turned = v0l;
        v0l = v0h;
        v0h = turned;

        sum = (v2l >>> 0) + (v3l >>> 0);
        v2h = (v2h + v3h + (sum > 0xffff_ffff ? 1 : 0)) | 0;
        v2l = sum | 0;
        turned = (v3l << 16) | (v3h >>> 16);
        v3h = (v3h << 16) | (v3l >>> 16);
        v3l = turned ^ v2l;
        v3h ^= v2h;

        sum = (v0l >>> 0) + (v3l >>> 0);
        v0h = (v0h + v3h + (sum > 0xffff_ffff ? 1 : 0)) | 0;
        v0l = sum | 0;
        turned = (v3l << 21) | (v3h >>> 11);
        v3h = (v3h << 21) | (v3l >>> 11);
        v3l = turned ^ v0l;
        v3h ^= v0h;

        sum = (v2l >>> 0) + (v1l >>> 0);
        v2h = (v2h + v1h + (sum > 0xffff_ffff ? 1 : 0)) | 0;
        v2l = sum | 0;
        turned = (v1l << 17) | (v1h >>> 15);
        v1h = (v1h << 17) | (v1l >>> 15);
        v1l = turned ^ v2l;
        v1h ^= v2h;
        turned = v2l;
        v2l = v2h;
        v2h = turned;
      }
      v0l ^= low;
      v0h ^= high;
    }
    this.low = v0l ^ v1l ^ v2l ^ v3l;
    this.high = v0h ^ v1h ^ v2h ^ v3h;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
