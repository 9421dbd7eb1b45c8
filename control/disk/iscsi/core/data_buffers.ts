// Owns the memory that data of writes is collected in: recycled, in sizes that double. How much an initiator may have of
// it is said elsewhere (`Initiator`).
import { COMMAND_DATA_BYTES_MAX } from './limits.ts';

const SIZE_MIN_LOG2 = 12;
const SIZES = Math.log2(COMMAND_DATA_BYTES_MAX) - SIZE_MIN_LOG2 + 1;
/** Spare bytes that are kept of each size, and of small ones no more than so many. */
const SPARE_BYTES_MAX = 4 << 20;
const SPARE_MAX = 128;

/** Of all connections of a process. */
export class DataBuffers {
  readonly #spare: Uint8Array[][] = Array.from({ length: SIZES }, () => []);

  /** At least so many bytes. */
  take(bytes: number): Uint8Array {
    if (bytes > COMMAND_DATA_BYTES_MAX) throw new RangeError(`no command may have ${bytes} bytes`);
    const size = sizeOf(bytes);
    return this.#spare[size]?.pop() ?? new Uint8Array(2 ** (SIZE_MIN_LOG2 + size));
  }

  give(buffer: Uint8Array): void {
    const spare = this.#spare[sizeOf(buffer.length)]!;
    if (spare.length < Math.min(SPARE_MAX, SPARE_BYTES_MAX / buffer.length)) spare.push(buffer);
  }
}

function sizeOf(bytes: number): number {
  // Not for zero: 32 - clz32(-1) would be the largest size there is.
  return bytes <= 2 ** SIZE_MIN_LOG2 ? 0 : 32 - Math.clz32(bytes - 1) - SIZE_MIN_LOG2;
}
