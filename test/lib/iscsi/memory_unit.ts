// Owns a logical unit of memory, as small as initiators accept: enough for tests of the iSCSI core, which knows no SCSI.
// The product's units are control/disk/scsi; nothing here is one.
import type { Command, CommandResult } from '../../../control/disk/iscsi/core/command.ts';

export const BLOCK_BYTES = 512;

const GOOD = 0x00;
const CHECK_CONDITION = 0x02;
const NO_BYTES = new Uint8Array(0);
type Sense = readonly [number, number, number];
const INVALID_OPCODE: Sense = [0x05, 0x20, 0x00];
const INVALID_FIELD: Sense = [0x05, 0x24, 0x00];
const OUT_OF_RANGE: Sense = [0x05, 0x21, 0x00];
const NO_UNIT: Sense = [0x05, 0x25, 0x00];

export class MemoryUnit {
  readonly bytes: Uint8Array;
  /** Commands that were executed. */
  executed = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
  }

  execute(command: Command): CommandResult {
    this.executed += 1;
    const { cdb } = command;
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.byteLength);
    // REPORT LUNS and INQUIRY are for every LUN.
    if (cdb[0] === 0xa0) return answer(command, reportLuns(), view.getUint32(6));
    if (command.lun !== 0) {
      const inquiry = new Uint8Array(36);
      inquiry[0] = 0x7f;
      return cdb[0] === 0x12 ? answer(command, inquiry, view.getUint16(3)) : fail(command, NO_UNIT);
    }
    switch (cdb[0]) {
      case 0x00:
      case 0x1b:
      case 0x35:
      case 0x91:
        return answer(command, NO_BYTES, 0);
      case 0x12:
        return this.#inquiry(command, view);
      case 0x1a:
        return answer(command, Uint8Array.of(3, 0, 0, 0), cdb[4]!);
      case 0x5a:
        return answer(command, Uint8Array.of(0, 6, 0, 0, 0, 0, 0, 0), view.getUint16(7));
      case 0x25:
        return answer(command, this.#capacity10(), 8);
      case 0x9e:
        return (cdb[1]! & 0x1f) === 0x10
          ? answer(command, this.#capacity16(), view.getUint32(10))
          : fail(command, INVALID_FIELD);
      case 0x28:
        return this.#read(command, view.getUint32(2), view.getUint16(7));
      case 0x88:
        return this.#read(command, Number(view.getBigUint64(2)), view.getUint32(10));
      case 0x2a:
        return this.#write(command, view.getUint32(2), view.getUint16(7));
      case 0x8a:
        return this.#write(command, Number(view.getBigUint64(2)), view.getUint32(10));
      default:
        return fail(command, INVALID_OPCODE);
    }
  }

  get #blocks(): number {
    return this.bytes.length / BLOCK_BYTES;
  }

  #read(command: Command, LBA: number, count: number): CommandResult {
    if (LBA + count > this.#blocks) return fail(command, OUT_OF_RANGE);
    const start = LBA * BLOCK_BYTES;
    return answer(command, this.bytes.subarray(start, start + count * BLOCK_BYTES), count * BLOCK_BYTES);
  }

  #write(command: Command, LBA: number, count: number): CommandResult {
    if (LBA + count > this.#blocks) return fail(command, OUT_OF_RANGE);
    const bytes = count * BLOCK_BYTES;
    this.bytes.set(command.dataOut.subarray(0, bytes), LBA * BLOCK_BYTES);
    return { status: GOOD, residual: command.dataOut.length - bytes };
  }

  #inquiry(command: Command, view: DataView): CommandResult {
    const allocation = view.getUint16(3);
    if ((view.getUint8(1) & 1) === 0) return answer(command, standardInquiry(), allocation);
    const page = PAGES[view.getUint8(2)];
    if (page === undefined) return fail(command, INVALID_FIELD);
    return answer(command, Uint8Array.of(0, view.getUint8(2), 0, page.length, ...page), allocation);
  }

  #capacity10(): Uint8Array {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, this.#blocks - 1);
    view.setUint32(4, BLOCK_BYTES);
    return new Uint8Array(view.buffer);
  }

  #capacity16(): Uint8Array {
    const view = new DataView(new ArrayBuffer(32));
    view.setBigUint64(0, BigInt(this.#blocks - 1));
    view.setUint32(8, BLOCK_BYTES);
    return new Uint8Array(view.buffer);
  }
}

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

const PAGES: Readonly<Record<number, readonly number[]>> = {
  0: [0x00, 0x80, 0x83],
  128: ascii('0001'),
  131: [0x02, 0x01, 0x00, 0x08, ...ascii('HOLDFAST')],
};

function standardInquiry(): Uint8Array {
  const bytes = new Uint8Array(36);
  bytes.set([0x00, 0x00, 0x06, 0x02, 31, 0, 0, 0x02]);
  bytes.set(ascii('HOLDFASTMEMORY UNIT     0001'), 8);
  return bytes;
}

function reportLuns(): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[3] = 8;
  return bytes;
}

function answer(command: Command, data: Uint8Array, allocation: number): CommandResult {
  const about = Math.min(data.length, allocation);
  const dataIn = data.subarray(0, Math.min(about, command.dataInMax));
  return { status: GOOD, dataIn, residual: command.dataInMax - about };
}

function fail(command: Command, [key, asc, ascq]: Sense): CommandResult {
  const sense = new Uint8Array(18);
  sense.set([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]);
  return { status: CHECK_CONDITION, sense, residual: command.dataInMax + command.dataOut.length };
}
