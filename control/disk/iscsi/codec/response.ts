// Owns where the fields of PDUs that a target sends lie (RFC 7143, section 11). A writer fills one basic header segment
// at a time, in bytes that are there already; the data segment is the output's.
import { BHS_BYTES, FLAGS } from './constants.ts';

const NO_BYTES = new Uint8Array(0);

export interface Sequence {
  StatSN: number;
  ExpCmdSN: number;
  MaxCmdSN: number;
}

export class HeaderWriter {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  start = 0;

  /** Fills 48 bytes at `start`: opcode, flags, ITT; all else is zero. */
  begin(bytes: Uint8Array, start: number, opcode: number, flags: number, ITT: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.start = start;
    bytes.fill(0, start, start + BHS_BYTES);
    bytes[start] = opcode;
    bytes[start + 1] = flags;
    this.view.setUint32(start + 16, ITT);
  }

  u8(offset: number, value: number): void {
    this.bytes[this.start + offset] = value;
  }

  u16(offset: number, value: number): void {
    this.view.setUint16(this.start + offset, value);
  }

  u32(offset: number, value: number): void {
    this.view.setUint32(this.start + offset, value);
  }

  lun(high: number, low: number): void {
    this.u32(8, high);
    this.u32(12, low);
  }

  sequence({ StatSN, ExpCmdSN, MaxCmdSN }: Sequence): void {
    this.u32(24, StatSN);
    this.u32(28, ExpCmdSN);
    this.u32(32, MaxCmdSN);
  }

  dataBytes(count: number): void {
    this.u8(5, count >>> 16);
    this.u16(6, count & 0xffff);
  }
}

/** Sections 11.4.1 and 11.7.3, of what was expected less what the command was about: above zero is underflow. */
export function residualFlags(residual: number): number {
  return residual > 0 ? FLAGS.UNDERFLOW : residual < 0 ? FLAGS.OVERFLOW : 0;
}

export function bidirectionalResidualFlags(residual: number): number {
  return residual > 0 ? FLAGS.BIDIRECTIONAL_UNDERFLOW : residual < 0 ? FLAGS.BIDIRECTIONAL_OVERFLOW : 0;
}
