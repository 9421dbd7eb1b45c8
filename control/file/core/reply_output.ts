// Owns the bytes that go out on a connection until they are written: replies one behind the other in slabs, so that
// those of one chunk of requests are one write. Knows no message.
import { XdrWriter } from '../codec/xdr.ts';

/** Holds the answers to 16 READs of 4 KiB. */
export const SMALL_SLAB_BYTES = 128 << 10;
const SPARE_SMALL_MAX = 64;
const SPARE_LARGE_MAX = 16;

/** Slabs of all connections of a process. Connections are bounded by what their clients may have in flight. */
export class ReplySlabs {
  readonly largeBytes: number;
  readonly #small: Uint8Array[] = [];
  readonly #large: Uint8Array[] = [];

  /** `replyBytesMax`: no reply is longer. */
  constructor(replyBytesMax: number) {
    this.largeBytes = Math.max(replyBytesMax, 2 * SMALL_SLAB_BYTES);
  }

  take(bytes: number): Uint8Array {
    if (bytes <= SMALL_SLAB_BYTES) return this.#small.pop() ?? new Uint8Array(SMALL_SLAB_BYTES);
    if (bytes > this.largeBytes) throw new RangeError(`no reply may take ${bytes} bytes`);
    return this.#large.pop() ?? new Uint8Array(this.largeBytes);
  }

  give(slab: Uint8Array): void {
    const [spare, max] =
      slab.length === SMALL_SLAB_BYTES ? [this.#small, SPARE_SMALL_MAX] : [this.#large, SPARE_LARGE_MAX];
    if (spare.length < max) spare.push(slab);
  }
}

/** Bytes to be written. Whoever wrote them says so (`Connection.sent`), and only then is their slab used again. */
export interface Flush {
  readonly bytes: Uint8Array;
  readonly slab: Uint8Array;
}

export class ReplyOutput {
  /** Stands where the next reply begins. */
  readonly writer = new XdrWriter();
  /** Slabs that are being filled or written. */
  slabBytes = 0;
  readonly #slabs: ReplySlabs;
  #slab: Uint8Array | undefined;
  #full: Flush[] = [];

  constructor(slabs: ReplySlabs) {
    this.#slabs = slabs;
  }

  /** The writer, with room for a reply of so many bytes. */
  room(bytes: number): XdrWriter {
    const { writer } = this;
    if (this.#slab !== undefined) {
      if (writer.offset + bytes <= this.#slab.length) return writer;
      this.#finish();
    }
    this.#slab = this.#slabs.take(bytes);
    this.slabBytes += this.#slab.length;
    writer.write(this.#slab);
    return writer;
  }

  /** All that was written since the last time. */
  flush(): readonly Flush[] {
    this.#finish();
    const flushes = this.#full;
    if (flushes.length > 0) this.#full = [];
    return flushes;
  }

  sent(flush: Flush): void {
    this.slabBytes -= flush.slab.length;
    this.#slabs.give(flush.slab);
  }

  /** What was not flushed is not sent; what was flushed is given back by `sent`. */
  close(): void {
    for (const flush of this.flush()) this.sent(flush);
  }

  #finish(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    this.#slab = undefined;
    this.#full.push({ bytes: slab.subarray(0, this.writer.offset), slab });
  }
}
