// Owns the bytes that come in on a connection until they are whole PDUs: where the next bytes are to be read to, PDUs in
// any chunking, digests (RFC 7143, sections 7.8 and 11.2.3), and limits before memory. Knows no opcode.
import { BHS_BYTES, DIGEST_BYTES } from '../codec/constants.ts';
import { CRC32C_START, crc32c, finishCrc32c, updateCrc32c } from '../codec/crc32c.ts';
import { ahsBytesAt, dataBytesAt, type PduView, padded } from '../codec/pdu.ts';
import { LOGIN_DATA_SEGMENT_BYTES_MAX, PDU_BYTES_MAX } from './limits.ts';

/** What a connection reads into while no PDU is longer. */
export const INPUT_BYTES = 64 << 10;
/** Holds any PDU, and what came behind it with the same read. */
export const LARGE_INPUT_BYTES = PDU_BYTES_MAX + INPUT_BYTES;
const SPARE_SMALL_MAX = 64;
const SPARE_LARGE_MAX = 16;

export type InputFailure = 'data segment too long' | 'header digest error' | 'no memory for PDUs';

/** Buffers of all connections of a process: small ones for all, large ones for PDUs that do not fit. */
export class InputBuffers {
  readonly largeMax: number;
  /** Large ones that connections have: memory that strangers can hold. */
  largeInUse = 0;
  readonly #small: Uint8Array[] = [];
  readonly #large: Uint8Array[] = [];

  constructor({ largeMax }: { readonly largeMax: number }) {
    this.largeMax = largeMax;
  }

  takeSmall(): Uint8Array {
    return this.#small.pop() ?? new Uint8Array(INPUT_BYTES);
  }

  /** Undefined: too many are in use. */
  takeLarge(): Uint8Array | undefined {
    if (this.largeInUse >= this.largeMax) return undefined;
    this.largeInUse += 1;
    return this.#large.pop() ?? new Uint8Array(LARGE_INPUT_BYTES);
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

export class PduInput {
  failure: InputFailure | undefined;
  /** Negotiated; what comes behind the PDU that ended the login has them. */
  headerDigest = false;
  dataDigest = false;
  dataBytesMax = LOGIN_DATA_SEGMENT_BYTES_MAX;
  /** Of the PDU that `next` found: its data are not what was sent. */
  dataDigestError = false;
  readonly #buffers: InputBuffers;
  #bytes: Uint8Array;
  /** Bytes in front of it have come; from `#scan` on no PDU was found. */
  #fill = 0;
  #scan = 0;
  /** The header at `#scan` was looked at: bytes of its whole PDU; 0: it was not. */
  #pduBytes = 0;
  #closed = false;

  constructor(buffers: InputBuffers) {
    this.#buffers = buffers;
    this.#bytes = buffers.takeSmall();
  }

  /** Some of a PDU has come, but not all. */
  get partial(): boolean {
    return this.#scan < this.#fill;
  }

  /**
   * Where the next bytes are to go; `filled` says how many came. Empty only after a failure. PDUs given before are gone:
   * the space is theirs.
   */
  space(): Uint8Array {
    if (this.failure !== undefined || this.#closed) return NO_BUFFER;
    if (this.#scan === this.#fill) {
      this.#fill = 0;
      this.#shrink();
    } else if (this.#scan > 0) {
      this.#bytes.copyWithin(0, this.#scan, this.#fill);
      this.#fill -= this.#scan;
    }
    this.#scan = 0;
    if (Math.max(this.#pduBytes, this.#fill + 1) > this.#bytes.length && !this.#grow()) return NO_BUFFER;
    return this.#bytes.subarray(this.#fill);
  }

  filled(count: number): void {
    if (count > this.#bytes.length - this.#fill) throw new RangeError('more bytes than there was space for');
    this.#fill += count;
  }

  /** Whether there is another whole PDU, which `pdu` then shows. */
  next(pdu: PduView): boolean {
    if (this.failure !== undefined) return false;
    const start = this.#scan;
    if (this.#pduBytes === 0 && !this.#measure()) return false;
    if (this.#fill - start < this.#pduBytes) return false;
    const bytes = this.#bytes;
    const dataStart = start + BHS_BYTES + ahsBytesAt(bytes, start) + (this.headerDigest ? DIGEST_BYTES : 0);
    pdu.read(bytes, start, dataStart);
    this.dataDigestError = this.dataDigest && pdu.dataBytes > 0 && !this.#dataIsSound(pdu);
    this.#scan = start + this.#pduBytes;
    this.#pduBytes = 0;
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#buffers.give(this.#bytes);
    this.#bytes = NO_BUFFER;
    this.#fill = 0;
    this.#scan = 0;
  }

  /** Looks at the header as soon as it is there: no length is believed before its digest is right. */
  #measure(): boolean {
    const bytes = this.#bytes;
    const start = this.#scan;
    const here = this.#fill - start;
    if (here < BHS_BYTES) return false;
    const headerBytes = BHS_BYTES + ahsBytesAt(bytes, start);
    const digestBytes = this.headerDigest ? DIGEST_BYTES : 0;
    if (here < headerBytes + digestBytes) return false;
    const end = start + headerBytes;
    if (digestBytes > 0 && crc32c(bytes, start, end) !== digestAt(bytes, end)) {
      return this.#fail('header digest error');
    }
    const dataBytes = dataBytesAt(bytes, start);
    if (dataBytes > this.dataBytesMax) return this.#fail('data segment too long');
    const dataDigestBytes = this.dataDigest && dataBytes > 0 ? DIGEST_BYTES : 0;
    this.#pduBytes = headerBytes + digestBytes + padded(dataBytes) + dataDigestBytes;
    return true;
  }

  #dataIsSound({ bytes, dataStart, dataBytes }: PduView): boolean {
    const end = dataStart + padded(dataBytes);
    return finishCrc32c(updateCrc32c(CRC32C_START, bytes, dataStart, end)) === digestAt(bytes, end);
  }

  /** Whoever sends long PDUs from time to time does not keep the memory for them. */
  #shrink(): void {
    if (this.#bytes.length === INPUT_BYTES) return;
    this.#buffers.give(this.#bytes);
    this.#bytes = this.#buffers.takeSmall();
  }

  #grow(): boolean {
    const large = this.#bytes.length === INPUT_BYTES ? this.#buffers.takeLarge() : undefined;
    if (large === undefined) return this.#fail('no memory for PDUs');
    large.set(this.#bytes.subarray(0, this.#fill));
    this.#buffers.give(this.#bytes);
    this.#bytes = large;
    return true;
  }

  #fail(failure: InputFailure): false {
    this.failure = failure;
    return false;
  }
}

function digestAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
