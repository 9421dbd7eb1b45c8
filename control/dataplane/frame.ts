// Owns building the frame of a flow that somebody describes, with right checksums: what explain runs the program on.
import { type AddressBytes, isAddress, parseAddress, versionOf } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

export type FlowDescription = {
  /** icmp: an echo request, ICMPv6 over IPv6. */
  protocol: 'tcp' | 'udp' | 'icmp';
  source: string;
  sourcePort?: number;
  destination: string;
  /** Of TCP and UDP. */
  destinationPort?: number;
  /** TCP: the first packet of a connection. */
  syn?: boolean;
  /** Of the IP packet; without it there is no payload. */
  lengthBytes?: number;
};

/** In the dynamic range (RFC 6335): any is as good. */
const SOURCE_PORT_DEFAULT = 50_000;
const ETHERNET_BYTES = 14;
const TTL = 64;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;
const PROTOCOL = { tcp: 6, udp: 17, icmp: 1, icmp6: 58 } as const;
const CHECKSUM_OFFSET = { tcp: 16, udp: 6, icmp: 2 } as const;
const TRANSPORT_BYTES = { tcp: 20, udp: 8, icmp: 8 } as const;
const MAC_ADDRESSES = [0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];

/** An Ethernet frame. @throws Failure where the description is not one of a packet. */
export function frameOf(flow: FlowDescription): Uint8Array {
  const source = addressOf(flow.source, 'source');
  const destination = addressOf(flow.destination, 'destination');
  const version = versionOf(source);
  if (version !== versionOf(destination)) {
    throw new Failure('invalid', `${flow.source} and ${flow.destination} are of different IP versions`);
  }
  const ipBytes = version === 4 ? 20 : 40;
  const least = ipBytes + TRANSPORT_BYTES[flow.protocol];
  const length = flow.lengthBytes ?? least;
  if (!Number.isInteger(length) || length < least || length > 65_535) {
    throw new Failure(
      'invalid',
      `a packet of ${flow.protocol} over IPv${version} has ${least} to 65535 bytes, not ${length}`,
    );
  }
  const frame = new Uint8Array(ETHERNET_BYTES + length);
  const view = new DataView(frame.buffer);
  frame.set(MAC_ADDRESSES);
  view.setUint16(12, version === 4 ? 0x0800 : 0x86dd);
  const ip = new DataView(frame.buffer, ETHERNET_BYTES, ipBytes);
  const transport = new DataView(frame.buffer, ETHERNET_BYTES + ipBytes);
  const protocol = flow.protocol === 'icmp' && version === 6 ? PROTOCOL.icmp6 : PROTOCOL[flow.protocol];
  if (version === 4) writeIpv4(ip, source, destination, protocol, length);
  else writeIpv6(ip, source, destination, protocol, length - ipBytes);
  writeTransport(transport, flow, version);
  const pseudo =
    version === 4 && flow.protocol === 'icmp' ? 0 : pseudoSum(source, destination, protocol, transport);
  const sum = checksum(transport, pseudo);
  // Zero would mean "none" (RFC 768).
  view.setUint16(
    transport.byteOffset + CHECKSUM_OFFSET[flow.protocol],
    flow.protocol === 'udp' && sum === 0 ? 0xffff : sum,
  );
  return frame;
}

function addressOf(text: string, what: string): AddressBytes {
  if (!isAddress(text)) throw new Failure('invalid', `${what} ${text} is no IP address`);
  return parseAddress(text);
}

function writeIpv4(
  ip: DataView,
  source: AddressBytes,
  destination: AddressBytes,
  protocol: number,
  length: number,
) {
  ip.setUint8(0, 0x45);
  ip.setUint16(2, length);
  ip.setUint16(6, 0x4000); // don't fragment
  ip.setUint8(8, TTL);
  ip.setUint8(9, protocol);
  writeBytes(ip, 12, source.subarray(12));
  writeBytes(ip, 16, destination.subarray(12));
  ip.setUint16(10, checksum(ip, 0));
}

function writeIpv6(
  ip: DataView,
  source: AddressBytes,
  destination: AddressBytes,
  next: number,
  length: number,
) {
  ip.setUint8(0, 0x60);
  ip.setUint16(4, length);
  ip.setUint8(6, next);
  ip.setUint8(7, TTL);
  writeBytes(ip, 8, source);
  writeBytes(ip, 24, destination);
}

function writeTransport(transport: DataView, flow: FlowDescription, version: 4 | 6): void {
  if (flow.protocol === 'icmp') {
    transport.setUint8(0, version === 4 ? 8 : 128);
    transport.setUint16(4, 1);
    transport.setUint16(6, 1);
    return;
  }
  if (flow.destinationPort === undefined) {
    throw new Failure('invalid', `a packet of ${flow.protocol} needs a destination port`);
  }
  transport.setUint16(0, flow.sourcePort ?? SOURCE_PORT_DEFAULT);
  transport.setUint16(2, flow.destinationPort);
  if (flow.protocol === 'udp') {
    transport.setUint16(4, transport.byteLength);
    return;
  }
  transport.setUint32(4, 1);
  if (!flow.syn) transport.setUint32(8, 1);
  transport.setUint8(12, (TRANSPORT_BYTES.tcp / 4) << 4);
  transport.setUint8(13, flow.syn ? TCP_SYN : TCP_ACK);
  transport.setUint16(14, 0xffff);
}

function writeBytes(view: DataView, at: number, bytes: Uint8Array): void {
  new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
}

/** Of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1). */
function pseudoSum(
  source: AddressBytes,
  destination: AddressBytes,
  protocol: number,
  transport: DataView,
): number {
  const from = versionOf(source) === 4 ? 12 : 0;
  const words = [source, destination].flatMap((address) => {
    const view = new DataView(address.buffer, address.byteOffset + from, 16 - from);
    return Array.from({ length: view.byteLength / 2 }, (_, index) => view.getUint16(index * 2));
  });
  return words.reduce((sum, word) => sum + word, protocol + transport.byteLength);
}

/** RFC 1071. The checksum field is zero meanwhile. */
function checksum(view: DataView, start: number): number {
  let sum = start;
  for (let at = 0; at < view.byteLength; at += 2)
    sum += at + 1 < view.byteLength ? view.getUint16(at) : view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
