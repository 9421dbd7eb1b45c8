// Owns memory that data of one read or write lies in while the storage has it: fresh memory costs a page fault every 4 KiB.

const SIZES = [8 << 10, 64 << 10, 1 << 20] as const;
/** Kept of each size when nobody needs them. */
const SPARE_MAX = [256, 64, 32] as const;

export class TransferBuffers {
  readonly #spare: readonly Uint8Array[][] = SIZES.map(() => []);

  /** Of at least `bytes`, which are at most the largest size. */
  take(bytes: number): Uint8Array {
    const index = bytes <= SIZES[0] ? 0 : bytes <= SIZES[1] ? 1 : 2;
    return this.#spare[index]!.pop() ?? new Uint8Array(SIZES[index]!);
  }

  /** Not what a storage may still write to. */
  give(buffer: Uint8Array): void {
    const index = buffer.length === SIZES[0] ? 0 : buffer.length === SIZES[1] ? 1 : 2;
    const spare = this.#spare[index]!;
    if (spare.length < SPARE_MAX[index]!) spare.push(buffer);
  }
}
