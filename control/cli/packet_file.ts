// Owns finding a packet in a capture file, pcap or pcapng, as an Ethernet frame. Blocks of pcapng are pcapng.ts.
import { Failure } from '../lib/failure.ts';
import { BlockReader, INTERFACE_DESCRIPTION, linkTypeOf, packetOf, SECTION_HEADER } from './pcapng.ts';

export const PACKET_FILE_BYTES_MAX = 256 << 20;

export type FilePacket = {
  readonly linkType: number;
  /** As it was on the wire; `bytes` may be less. */
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
};

/** Packets in the order of the file. @throws Failure where it is neither pcap nor pcapng, or damaged. */
export function* packetsOf(file: Uint8Array, name: string): Generator<FilePacket> {
  if (file.length < 4)
    throw new Failure('invalid', `${name} is no capture file.`, { reason: 'It is empty.' });
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const magic = view.getUint32(0);
  if (magic === SECTION_HEADER) yield* packetsOfPcapng(file, name);
  else if (PCAP_MAGICS.has(magic)) yield* packetsOfPcap(view, PCAP_MAGICS.get(magic)!, name);
  else {
    const compressed = magic >>> 16 === 0x1f8b;
    throw new Failure('invalid', `${name} is no capture file.`, {
      reason: compressed ? 'It is compressed.' : 'It begins neither as pcap nor as pcapng does.',
      ...(compressed ? { remedy: 'Unpack it with gunzip first.' } : {}),
    });
  }
}

/** Whether the file is little-endian, by its first four bytes; microseconds, and nanoseconds. */
const PCAP_MAGICS: ReadonlyMap<number, boolean> = new Map([
  [0xa1b2c3d4, false],
  [0xd4c3b2a1, true],
  [0xa1b23c4d, false],
  [0x4d3cb2a1, true],
]);

const PCAP_HEADER_BYTES = 24;
const PCAP_RECORD_BYTES = 16;

function* packetsOfPcap(view: DataView, littleEndian: boolean, name: string): Generator<FilePacket> {
  if (view.byteLength < PCAP_HEADER_BYTES) throw damaged(name, 0, 'the file ends within its header');
  // The upper bits say whether frames end with their check sequence.
  const linkType = view.getUint32(20, littleEndian) & 0xffff;
  let offset = PCAP_HEADER_BYTES;
  while (offset < view.byteLength) {
    if (offset + PCAP_RECORD_BYTES > view.byteLength)
      throw damaged(name, offset, 'the file ends within a packet');
    const captured = view.getUint32(offset + 8, littleEndian);
    const lengthBytes = view.getUint32(offset + 12, littleEndian);
    const start = offset + PCAP_RECORD_BYTES;
    if (start + captured > view.byteLength) throw damaged(name, offset, 'the file ends within a packet');
    yield { linkType, lengthBytes, bytes: new Uint8Array(view.buffer, view.byteOffset + start, captured) };
    offset = start + captured;
  }
}

function* packetsOfPcapng(file: Uint8Array, name: string): Generator<FilePacket> {
  const reader = new BlockReader(name);
  let linkTypes: number[] = [];
  let rest = file;
  while (rest.length > 0) {
    const block = reader.next(rest);
    if (block === undefined) throw damaged(name, file.length - rest.length, 'the file ends within a block');
    rest = rest.subarray(block.bytes.length);
    if (block.type === SECTION_HEADER) linkTypes = [];
    if (block.type === INTERFACE_DESCRIPTION) linkTypes.push(linkTypeOf(block));
    const packet = packetOf(block);
    if (packet === undefined) continue;
    const linkType = linkTypes[packet.interfaceIndex];
    if (linkType === undefined) {
      throw damaged(name, file.length - rest.length, `there is no interface ${packet.interfaceIndex}`);
    }
    yield { linkType, lengthBytes: packet.lengthBytes, bytes: packet.bytes };
  }
}

function damaged(name: string, offset: number, reason: string): Failure {
  return new Failure('invalid', `${name} is damaged.`, { reason: `At byte ${offset}: ${reason}.` });
}

/** The numbers of https://www.tcpdump.org/linktypes.html. */
const LINK_ETHERNET = 1;
const LINK_RAW = new Set([12, 14, 101, 228, 229]);
const LINK_LINUX_SLL = 113;
const LINK_LINUX_SLL2 = 276;

const ADDRESSES_BYTES = 12;
/** What the API takes, and more than a program sees at once. */
const FRAME_BYTES_MAX = 3_000;

export type Frame = {
  readonly bytes: Uint8Array;
  /** Bytes at the end that were not captured, and are zero here. */
  readonly missingBytes: number;
};

/**
 * The packet from an Ethernet header on, as long as it was: where the capture has another link layer, or none, with
 * MAC addresses of zeros.
 */
export function frameOf({ linkType, lengthBytes, bytes }: FilePacket): Frame {
  if (Math.max(lengthBytes, bytes.length) > FRAME_BYTES_MAX) {
    throw new Failure('limit', `The packet has ${lengthBytes} bytes, and can have ${FRAME_BYTES_MAX}.`, {
      reason: 'Longer ones are several packets, which the host put together before they were captured.',
      remedy: 'Capture with that switched off: ethtool -K INTERFACE gro off lro off',
    });
  }
  const missingBytes = Math.max(0, lengthBytes - bytes.length);
  const whole = new Uint8Array(bytes.length + missingBytes);
  whole.set(bytes);
  if (linkType === LINK_ETHERNET) return { bytes: whole, missingBytes };
  if (LINK_RAW.has(linkType)) {
    const isIpv6 = whole[0]! >> 4 === 6;
    return { bytes: withHeader(isIpv6 ? 0x86dd : 0x0800, whole), missingBytes };
  }
  const [typeOffset, headerBytes] =
    linkType === LINK_LINUX_SLL ? [14, 16] : linkType === LINK_LINUX_SLL2 ? [0, 20] : [0, 0];
  if (headerBytes === 0 || whole.length < headerBytes) {
    throw new Failure('invalid', 'The packet has no Ethernet header.', {
      reason: `Its link type is ${linkType}.`,
      remedy: 'Capture on one interface: tcpdump -i INTERFACE -w FILE',
    });
  }
  const type = (whole[typeOffset]! << 8) | whole[typeOffset + 1]!;
  return { bytes: withHeader(type, whole.subarray(headerBytes)), missingBytes };
}

function withHeader(etherType: number, packet: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ADDRESSES_BYTES + 2 + packet.length);
  frame[ADDRESSES_BYTES] = etherType >> 8;
  frame[ADDRESSES_BYTES + 1] = etherType & 0xff;
  frame.set(packet, ADDRESSES_BYTES + 2);
  return frame;
}
