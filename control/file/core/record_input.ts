// Owns the bytes that come in on a connection until they are whole records (RFC 5531, section 11): where the next bytes
// are to be read to, records in any chunking, fragments joined in place, and limits before memory. Knows no message.
import { FRAGMENT_LENGTH, LAST_FRAGMENT, MARK_BYTES } from '../codec/record.ts';

/** What a connection reads into while no record is longer. */
export const INPUT_BYTES = 64 << 10;
/** Fragments of one record: clients that split at 4,000 bytes need 263 for a megabyte. */
export const FRAGMENTS_MAX = 4096;
/** Large buffers that are kept for the next large record when nobody needs them. */
const SPARE_LARGE_MAX = 16;
const SPARE_SMALL_MAX = 64;

export type InputFailure = 'record too long' | 'too many fragments' | 'no memory for records';

/** Buffers of all connections of a process: small ones for all, large ones for records that do not fit. */
export class InputBuffers {
  readonly recordBytesMax: number;
  readonly largeMax: number;
  /** Large ones that connections have: memory that strangers can hold. */
  largeInUse = 0;
  readonly #small: Uint8Array[] = [];
  readonly #large: Uint8Array[] = [];

  constructor(limits: { readonly recordBytesMax: number; readonly largeMax: number }) {
    this.recordBytesMax = limits.recordBytesMax;
    this.largeMax = limits.largeMax;
  }

  takeSmall(): Uint8Array {
    return this.#small.pop() ?? new Uint8Array(INPUT_BYTES);
  }

  /** Undefined: too many are in use. */
  takeLarge(): Uint8Array | undefined {
    if (this.largeInUse >= this.largeMax) return undefined;
    this.largeInUse += 1;
    return this.#large.pop() ?? new Uint8Array(this.recordBytesMax + MARK_BYTES * FRAGMENTS_MAX);
  }

  give(buffer: Uint8Array): void {
    if (buffer.length === INPUT_BYTES) {
      if (this.#small.length < SPARE_SMALL_MAX) this.#small.push(buffer);
      return;
    }
    this.largeInUse -= 1;
    if (this.#large.length < SPARE_LARGE_MAX) this.#large.push(buffer);
  }
}

const NO_BUFFER = new Uint8Array(0);

export class RecordInput {
  failure: InputFailure | undefined;
  /** The record that `next` found: it stays where it is until `space` is called. */
  start = 0;
  end = 0;
  readonly #buffers: InputBuffers;
  #bytes: Uint8Array;
  /** Bytes in front of it have come; from `#scan` on they were not looked at. */
  #fill = 0;
  #scan = 0;
  /** Of the record whose last fragment has not come: where it begins, and how far it is joined. */
  #record = 0;
  #joined = 0;
  #fragments = 0;
  #held = false;

  constructor(buffers: InputBuffers) {
    this.#buffers = buffers;
    this.#bytes = buffers.takeSmall();
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Some of a record has come, but not all. */
  get partial(): boolean {
    return this.#fragments > 0 || this.#scan < this.#fill;
  }

  /**
   * Where the next bytes are to go; `filled` says how many came. Empty only after a failure. Records given before are
   * gone: the space is theirs.
   */
  space(): Uint8Array {
    if (this.failure !== undefined) return NO_BUFFER;
    const kept = this.#held ? this.start : this.#fragments > 0 ? this.#record : this.#scan;
    if (kept === this.#fill) this.#shrink();
    else if (kept > 0) this.#bytes.copyWithin(0, kept, this.#fill);
    this.#moved(kept);
    if (this.#fill === this.#bytes.length && !this.#grow()) return NO_BUFFER;
    return this.#bytes.subarray(this.#fill);
  }

  filled(count: number): void {
    if (count > this.#bytes.length - this.#fill) throw new RangeError('more bytes than there was space for');
    this.#fill += count;
  }

  /** Whether a record is whole: from `start` to `end` of `bytes`. */
  next(): boolean {
    if (this.#held) {
      this.#held = false;
      return true;
    }
    while (this.failure === undefined && this.#fill - this.#scan >= MARK_BYTES) {
      const mark = this.#markAt(this.#scan);
      const length = mark & FRAGMENT_LENGTH;
      const joined = this.#fragments === 0 ? 0 : this.#joined - this.#record;
      // Refused by what the mark says, before there is memory for it.
      if (joined + length > this.#buffers.recordBytesMax) return this.#fail('record too long');
      if (this.#fragments >= FRAGMENTS_MAX) return this.#fail('too many fragments');
      const from = this.#scan + MARK_BYTES;
      if (this.#fill - from < length) return false;
      this.#join(from, length);
      if (mark < LAST_FRAGMENT) continue;
      this.#fragments = 0;
      this.start = this.#record;
      this.end = this.#joined;
      return true;
    }
    return false;
  }

  /** The record is not taken now: `next` gives it again. */
  hold(): void {
    this.#held = true;
  }

  /** Gives the memory back; nothing may be called after it. */
  close(): void {
    if (this.#bytes !== NO_BUFFER) this.#buffers.give(this.#bytes);
    this.#bytes = NO_BUFFER;
    this.#fill = 0;
    this.#scan = 0;
    this.#fragments = 0;
    this.#held = false;
  }

  #join(from: number, length: number): void {
    if (this.#fragments === 0) {
      this.#record = from;
      this.#joined = from + length;
    } else {
      this.#bytes.copyWithin(this.#joined, from, from + length);
      this.#joined += length;
    }
    this.#fragments += 1;
    this.#scan = from + length;
  }

  #markAt(at: number): number {
    const bytes = this.#bytes;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  #moved(by: number): void {
    this.#fill -= by;
    this.#scan -= by;
    this.#record -= by;
    this.#joined -= by;
    this.start -= by;
    this.end -= by;
  }

  /** Whoever sends large records from time to time does not keep the memory for them. */
  #shrink(): void {
    if (this.#bytes.length === INPUT_BYTES) return;
    this.#buffers.give(this.#bytes);
    this.#bytes = this.#buffers.takeSmall();
  }

  /** Only what has come counts, not what a mark announces. A large buffer holds any record that is allowed. */
  #grow(): boolean {
    const large = this.#bytes.length === INPUT_BYTES ? this.#buffers.takeLarge() : undefined;
    if (large === undefined) return this.#fail('no memory for records');
    large.set(this.#bytes);
    this.#buffers.give(this.#bytes);
    this.#bytes = large;
    return true;
  }

  #fail(failure: InputFailure): false {
    this.failure = failure;
    return false;
  }
}
