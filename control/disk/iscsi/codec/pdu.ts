// Owns where the fields of PDUs that initiators send lie (RFC 7143, section 11): a view on one PDU, in the bytes it came
// in. Nothing is copied and nothing is judged: a field means something only for the opcode it belongs to.
import { AHS_TYPES, BHS_BYTES, FLAGS } from './constants.ts';

const NO_BYTES = new Uint8Array(0);
/** A LUN that this view has no number for: no first-level address, or one below a first-level address. */
export const NO_LUN = -1;

/** One a connection, read again for every PDU. */
export class PduView {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  /** Where the basic header segment begins. */
  start = 0;
  ahsBytes = 0;
  /** The data segment, without its padding. */
  dataStart = 0;
  dataBytes = 0;

  read(bytes: Uint8Array, start: number, dataStart: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.start = start;
    this.ahsBytes = ahsBytesAt(bytes, start);
    this.dataStart = dataStart;
    this.dataBytes = dataBytesAt(bytes, start);
  }

  u8(offset: number): number {
    return this.bytes[this.start + offset]!;
  }

  u16(offset: number): number {
    return this.view.getUint16(this.start + offset);
  }

  u32(offset: number): number {
    return this.view.getUint32(this.start + offset);
  }

  get opcode(): number {
    return this.u8(0) & 0x3f;
  }

  get immediate(): boolean {
    return (this.u8(0) & FLAGS.IMMEDIATE) !== 0;
  }

  get flags(): number {
    return this.u8(1);
  }

  get final(): boolean {
    return (this.flags & FLAGS.FINAL) !== 0;
  }

  get lunHigh(): number {
    return this.u32(8);
  }

  get lunLow(): number {
    return this.u32(12);
  }

  get ITT(): number {
    return this.u32(16);
  }

  /** Of NOP-Out, Text, Data-Out; EDTL of a SCSI Command and the Referenced Task Tag lie there, too. */
  get TTT(): number {
    return this.u32(20);
  }

  get CmdSN(): number {
    return this.u32(24);
  }

  get ExpStatSN(): number {
    return this.u32(28);
  }

  /** Data-Out. */
  get DataSN(): number {
    return this.u32(36);
  }

  get bufferOffset(): number {
    return this.u32(40);
  }

  /** Login: qualifier, type and number of the initiator's part of the session's name. */
  isid(): Uint8Array {
    return this.bytes.slice(this.start + 8, this.start + 14);
  }

  data(): Uint8Array {
    return this.bytes.subarray(this.dataStart, this.dataStart + this.dataBytes);
  }

  header(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + BHS_BYTES);
  }

  /** Of the PDU's LUN field. */
  lun(): number {
    return lunNumber(this.lunHigh, this.lunLow);
  }

  /** The CDB of a SCSI Command, with what an AHS adds to its 16 bytes. Undefined: an AHS is not as it must be. */
  command(): { readonly cdb: Uint8Array; readonly bidirectionalReadBytes: number } | undefined {
    let cdb = this.bytes.slice(this.start + 32, this.start + BHS_BYTES);
    let bidirectionalReadBytes = 0;
    const end = this.start + BHS_BYTES + this.ahsBytes;
    for (let at = this.start + BHS_BYTES; at < end; ) {
      const length = this.view.getUint16(at);
      // AHSLength counts what is behind type and length; the first of these bytes is reserved in both types.
      if (length === 0 || at + 3 + length > end) return undefined;
      const type = this.bytes[at + 2]!;
      if (type === AHS_TYPES.EXTENDED_CDB && cdb.length === 16) {
        const longer = new Uint8Array(16 + length - 1);
        longer.set(cdb);
        longer.set(this.bytes.subarray(at + 4, at + 3 + length), 16);
        cdb = longer;
      } else if (type === AHS_TYPES.BIDIRECTIONAL_READ_LENGTH && length === 5) {
        bidirectionalReadBytes = this.view.getUint32(at + 4);
      } else return undefined;
      at += (3 + length + 3) & ~3;
    }
    return { cdb, bidirectionalReadBytes };
  }
}

export function ahsBytesAt(bytes: Uint8Array, start: number): number {
  return bytes[start + 4]! * 4;
}

export function dataBytesAt(bytes: Uint8Array, start: number): number {
  return (bytes[start + 5]! << 16) | (bytes[start + 6]! << 8) | bytes[start + 7]!;
}

/** SAM-5, 4.7: peripheral device addressing on bus 0, and flat space addressing. */
export function lunNumber(high: number, low: number): number {
  if (low !== 0 || (high & 0xffff) !== 0) return NO_LUN;
  const method = high >>> 30;
  if (method === 0) return high >>> 24 === 0 ? high >>> 16 : NO_LUN;
  return method === 1 ? (high >>> 16) & 0x3fff : NO_LUN;
}

export function padded(bytes: number): number {
  return (bytes + 3) & ~3;
}
