// Owns writing pcapng (draft-ietf-opsawg-pcapng): a section, a description of each interface before its first packet,
// and the packets, each with the reason that it left the program for as its comment.
import type { CapturedPacket } from './node_port.ts';

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
const UNLIMITED = 0;
const UNKNOWN_LENGTH = -1n;

const OPT_END = 0;
const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_DROPCOUNT = 4;
/** 10 to the power of -9: nanoseconds. */
const NANOSECONDS = 9;

type Option = readonly [code: number, value: Uint8Array];

export class PcapngWriter {
  readonly #nameOf: (ifindex: number) => string | undefined;
  /** Interfaces are numbered in the order of their descriptions. */
  readonly #interfaces = new Map<number, number>();

  constructor(nameOf: (ifindex: number) => string | undefined) {
    this.#nameOf = nameOf;
  }

  header(application: string): Uint8Array {
    const body = new Uint8Array(16);
    const view = new DataView(body.buffer);
    view.setUint32(0, BYTE_ORDER_MAGIC, true);
    view.setUint16(4, 1, true);
    view.setUint16(6, 0, true);
    view.setBigInt64(8, UNKNOWN_LENGTH, true);
    return block(SECTION_HEADER, body, [[SHB_USERAPPL, utf8(application)]]);
  }

  /** The packets, after descriptions of the interfaces that come up for the first time. */
  packets(packets: readonly CapturedPacket[]): Uint8Array {
    const blocks: Uint8Array[] = [];
    for (const packet of packets) {
      if (!this.#interfaces.has(packet.ifindex)) {
        this.#interfaces.set(packet.ifindex, this.#interfaces.size);
        blocks.push(this.#description(packet.ifindex));
      }
      blocks.push(this.#packet(packet));
    }
    return Buffer.concat(blocks);
  }

  #description(ifindex: number): Uint8Array {
    const body = new Uint8Array(8);
    const view = new DataView(body.buffer);
    view.setUint16(0, LINKTYPE_ETHERNET, true);
    view.setUint32(4, UNLIMITED, true);
    return block(INTERFACE_DESCRIPTION, body, [
      [IF_NAME, utf8(this.#nameOf(ifindex) ?? `ifindex ${ifindex}`)],
      [IF_DESCRIPTION, utf8('frames as they leave the XDP program')],
      [IF_TSRESOL, Uint8Array.of(NANOSECONDS)],
    ]);
  }

  #packet({ ifindex, atNs, reason, lengthBytes, bytes, lost = 0 }: CapturedPacket): Uint8Array {
    const body = new Uint8Array(20 + padded(bytes.length));
    const view = new DataView(body.buffer);
    view.setUint32(0, this.#interfaces.get(ifindex)!, true);
    view.setUint32(4, Number(BigInt.asUintN(32, atNs >> 32n)), true);
    view.setUint32(8, Number(BigInt.asUintN(32, atNs)), true);
    view.setUint32(12, bytes.length, true);
    view.setUint32(16, Math.max(lengthBytes, bytes.length), true);
    body.set(bytes, 20);
    return block(ENHANCED_PACKET, body, [
      [OPT_COMMENT, utf8(reason)],
      ...(lost === 0 ? [] : [[EPB_DROPCOUNT, u64(lost)] as const]),
    ]);
  }
}

/** Type and length, body, options, and the length again, so that a reader can go backwards. */
function block(type: number, body: Uint8Array, options: readonly Option[]): Uint8Array {
  const optionsBytes = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
  const lengthBytes = 12 + body.length + optionsBytes;
  const bytes = new Uint8Array(lengthBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, lengthBytes, true);
  bytes.set(body, 8);
  let offset = 8 + body.length;
  for (const [code, value] of options) {
    view.setUint16(offset, code, true);
    view.setUint16(offset + 2, value.length, true);
    bytes.set(value, offset + 4);
    offset += 4 + padded(value.length);
  }
  view.setUint32(offset, OPT_END, true);
  view.setUint32(offset + 4, lengthBytes, true);
  return bytes;
}

function padded(lengthBytes: number): number {
  return (lengthBytes + 3) & ~3;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
