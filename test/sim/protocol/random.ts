// Owns the simulation's chance: numbers that follow from words alone. Whatever is decided draws from a stream of its own,
// named after it, so that leaving one event out of a history does not change what happens to the others.

/** FNV-1a, from a starting value. */
function hashWord(text: string, start: number): number {
  let hash = start;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

const STARTS = [0x811c9dc5, 0x2b1e9f47, 0x6d3a51c3] as const;
/** Rounds until the words of a short name have mixed. */
const WARM_UP = 12;

/** Small fast counter (sfc32 of PractRand): 96 bits of state and a counter. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(...name: readonly (string | number)[]) {
    const text = name.join('/');
    [this.#a, this.#b, this.#c] = [
      hashWord(text, STARTS[0]),
      hashWord(text, STARTS[1]),
      hashWord(text, STARTS[2]),
    ];
    for (let round = 0; round < WARM_UP; round++) this.word();
  }

  /** 32 bits. */
  word(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** In [0, 1). */
  unit(): number {
    return this.word() / 2 ** 32;
  }

  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.between(0, list.length - 1)]!;
  }
}
