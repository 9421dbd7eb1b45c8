// Owns the bytes that go out on a connection until they are written: PDUs one behind the other in slabs, with padding
// and digests, so that the answers to one chunk of requests are one write. Knows no opcode.
import { BHS_BYTES, DIGEST_BYTES } from '../codec/constants.ts';
import { CRC32C_START, crc32c, finishCrc32c, padCrc32c, updateCrc32c } from '../codec/crc32c.ts';
import { padded } from '../codec/pdu.ts';
import { HeaderWriter } from '../codec/response.ts';
import { OUTPUT_BYTES_MAX } from './limits.ts';

/** Holds the answers to 30 READs of 4 KiB. What is longer goes over several. */
export const SLAB_BYTES = 128 << 10;
const SPARE_MAX = 64;
/** No header is split. */
const HEADER_BYTES = BHS_BYTES + DIGEST_BYTES;

/** Slabs of all connections of a process. Connections are bounded by what they may have promised and not sent. */
export class OutputSlabs {
  readonly #spare: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(SLAB_BYTES);
  }

  give(slab: Uint8Array): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(slab);
  }
}

/** Bytes to be written. Whoever wrote them says so (`TargetConnection.sent`), and only then is their slab used again. */
export interface Flush {
  readonly bytes: Uint8Array;
  readonly slab: Uint8Array;
}

const NO_DATA = new Uint8Array(0);

export class PduOutput {
  headerDigest = false;
  dataDigest = false;
  readonly header = new HeaderWriter();
  /** In slabs that are being filled or written. */
  unsentBytes = 0;
  readonly #slabs: OutputSlabs;
  #slab: Uint8Array | undefined;
  #offset = 0;
  #full: Flush[] = [];

  constructor(slabs: OutputSlabs) {
    this.#slabs = slabs;
  }

  /** The header of the next PDU, to be filled; `end` must follow. */
  begin(opcode: number, flags: number, ITT: number): HeaderWriter {
    const slab = this.#room(HEADER_BYTES);
    this.header.begin(slab, this.#offset, opcode, flags, ITT);
    return this.header;
  }

  /** The header is filled; its data segment are these bytes, which are copied. */
  end(data: Uint8Array = NO_DATA, start = 0, end = data.length): void {
    const { header } = this;
    const { bytes: slab } = header;
    header.dataBytes(end - start);
    this.#offset = header.start + BHS_BYTES;
    if (this.headerDigest) this.#digest(slab, crc32c(slab, header.start, this.#offset));
    if (end === start) return;
    this.#copy(data, start, end);
    const padding = padded(end - start) - (end - start);
    const tail = this.#room(padding + DIGEST_BYTES);
    tail.fill(0, this.#offset, this.#offset + padding);
    this.#offset += padding;
    if (!this.dataDigest) return;
    const crc = updateCrc32c(CRC32C_START, data, start, end);
    this.#digest(tail, finishCrc32c(padCrc32c(crc, padding)));
  }

  /** All that was written since the last time. */
  flush(): readonly Flush[] {
    this.#finish();
    const flushes = this.#full;
    if (flushes.length > 0) this.#full = [];
    return flushes;
  }

  sent(flush: Flush): void {
    this.unsentBytes -= flush.slab.length;
    this.#slabs.give(flush.slab);
  }

  /** What was not flushed is not sent; what was flushed is given back by `sent`. */
  close(): void {
    for (const flush of this.flush()) this.sent(flush);
  }

  #copy(data: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const slab = this.#room(1);
      const count = Math.min(end - at, slab.length - this.#offset);
      slab.set(count === data.length ? data : data.subarray(at, at + count), this.#offset);
      this.#offset += count;
      at += count;
    }
  }

  #digest(slab: Uint8Array, digest: number): void {
    for (let shift = 0; shift < 32; shift += 8) slab[this.#offset++] = digest >>> shift;
  }

  #room(bytes: number): Uint8Array {
    if (this.#slab !== undefined) {
      if (this.#offset + bytes <= this.#slab.length) return this.#slab;
      this.#finish();
    }
    if (this.unsentBytes >= OUTPUT_BYTES_MAX) throw new Error('more is said than may be asked for');
    this.#slab = this.#slabs.take();
    this.#offset = 0;
    this.unsentBytes += this.#slab.length;
    return this.#slab;
  }

  #finish(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    this.#slab = undefined;
    this.#full.push({ bytes: slab.subarray(0, this.#offset), slab });
  }
}
