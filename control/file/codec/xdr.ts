// Owns the primitives of XDR (RFC 4506): a cursor that reads from bytes where they lie, and one that writes into bytes
// which are there already. Knows no message. Neither allocates: what has a length is read as a span of the bytes.
//
// Reading never throws. What does not fit sets `malformed`, which stays, and gives zero; whoever reads a message looks
// at it once, at the end. Lengths and counts are checked against a limit where they are read.
//
// Numbers: `u64` is a number where only its size matters (offsets, sizes, bytes used): above 2^53 it is rounded, and
// stays above `EXACT_MAX`, so that it can be refused. Where all 64 bits matter and nobody calculates with them (file
// ids, cookies, verifiers) they are two halves of 32 bits: a bigint costs an allocation each.

/** Where a string or opaque lies in the bytes of the message. */
export interface Span {
  offset: number;
  length: number;
}

/** Numbers up to this are exact. */
export const EXACT_MAX = Number.MAX_SAFE_INTEGER;

const TWO_32 = 0x1_0000_0000;
const NO_BYTES = new Uint8Array(0);
/** Shorter than this, a loop is faster than making a view for `set`. */
const LOOP_BYTES_MAX = 48;

export function emptySpan(): Span {
  return { offset: 0, length: 0 };
}

/** Bytes that a string or opaque of `length` bytes takes, without its length. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}

export class XdrReader {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  offset = 0;
  end = 0;
  malformed = false;

  /** Reads `bytes` from `start` to `end` next. A view is made only when the bytes are others. */
  read(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.offset = start;
    this.end = end;
    this.malformed = false;
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.end - this.offset;
  }

  /** Reads no more of this message. */
  refuse(): 0 {
    this.malformed = true;
    this.offset = this.end;
    return 0;
  }

  u32(): number {
    const at = this.offset;
    if (at + 4 > this.end) return this.refuse();
    this.offset = at + 4;
    return this.view.getUint32(at);
  }

  u64(): number {
    const at = this.offset;
    if (at + 8 > this.end) return this.refuse();
    this.offset = at + 8;
    return this.view.getUint32(at) * TWO_32 + this.view.getUint32(at + 4);
  }

  /** A value of an enum whose values are 0 to `max`. */
  upTo(max: number): number {
    const value = this.u32();
    return value <= max ? value : this.refuse();
  }

  bool(): boolean {
    return this.upTo(1) === 1;
  }

  /** A string or opaque of at most `max` bytes. What pads it is not looked at, but must be there. */
  opaque(into: Span, max: number): void {
    const length = this.u32();
    const at = this.offset;
    // What is left first: near 2^31, what pads the length would make it negative.
    if (length > max || length > this.end - at || padded(length) > this.end - at) {
      this.refuse();
      into.offset = this.end;
      into.length = 0;
      return;
    }
    into.offset = at;
    into.length = length;
    this.offset = at + padded(length);
  }
}

/**
 * Whoever begins a message makes sure of its room, by what the table says that it can take at most; past the end of
 * the bytes a write throws, as it is a bug.
 */
export class XdrWriter {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  offset = 0;

  write(bytes: Uint8Array, offset = 0): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.offset = offset;
  }

  u32(value: number): void {
    this.view.setUint32(this.offset, value);
    this.offset += 4;
  }

  bool(value: boolean): void {
    this.u32(value ? 1 : 0);
  }

  u64(value: number): void {
    this.view.setUint32(this.offset, value / TWO_32);
    this.view.setUint32(this.offset + 4, value);
    this.offset += 8;
  }

  halves(high: number, low: number): void {
    this.view.setUint32(this.offset, high);
    this.view.setUint32(this.offset + 4, low);
    this.offset += 8;
  }

  /** A string or opaque: `length` bytes of `from`, with their length. */
  opaque(from: Uint8Array, start = 0, length = from.length - start): void {
    this.u32(length);
    const at = this.offset;
    const { bytes } = this;
    if (length <= LOOP_BYTES_MAX) for (let i = 0; i < length; i++) bytes[at + i] = from[start + i]!;
    else bytes.set(from.subarray(start, start + length), at);
    this.offset = at + length;
    this.pad(length);
  }

  /** Zeros behind an opaque of `length` bytes: the bytes held other messages before. */
  pad(length: number): void {
    for (let left = padded(length) - length; left > 0; left--) this.bytes[this.offset++] = 0;
  }
}
