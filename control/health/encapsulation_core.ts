// Owns the outer headers of packets that health checks send through the tunnel, as the data plane writes them for clients'
// (bpf/encap.h): IP in IP and GUE variant 1, over both versions of IP. Pure.

import { PORTS_DEFAULT } from '../config/node.ts';
import type { Backend } from '../config/objects.ts';
import { parseAddress, versionOf } from '../lib/address.ts';

const IPPROTO_IPIP = 4;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_IPV6 = 41;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;
const OUTER_TTL = 64;
const DONT_FRAGMENT = 0x4000;
/** Source ports of GUE: the dynamic range, 49152-65535 (RFC 6335). */
const GUE_SOURCE_BASE = 0xc000;
const GUE_SOURCE_MASK = 0x3fff;

/** An inner packet, as far as is needed to know whose it is. */
export type Inner = { readonly protocol: 'tcp' | 'udp'; readonly sourcePort: number };

/** Undefined for what no check sends: another protocol, a fragment, a packet that is cut. */
export function innerOf(packet: Uint8Array): Inner | undefined {
  const version = (packet[0] ?? 0) >> 4;
  const at = version === 4 ? ((packet[0] ?? 0) & 0xf) * 4 : IPV6_BYTES;
  if (packet.length < Math.max(at + UDP_BYTES, IPV4_BYTES)) return undefined;
  if (version !== 4 && version !== 6) return undefined;
  const isFragment = version === 4 && (((packet[6]! & 0x3f) << 8) | packet[7]!) !== 0;
  const number = version === 4 ? packet[9] : packet[6];
  if (isFragment || (number !== IPPROTO_TCP && number !== IPPROTO_UDP)) return undefined;
  const sourcePort = (packet[at]! << 8) | packet[at + 1]!;
  return { protocol: number === IPPROTO_TCP ? 'tcp' : 'udp', sourcePort };
}

export type Outer = {
  readonly version: 4 | 6;
  readonly packet: Uint8Array;
  /** The address it goes to: 4 or 16 bytes. */
  readonly destination: Uint8Array;
};

/** Addresses that this mux sends tunnels from. */
export type Sources = { readonly 4?: string | undefined; readonly 6?: string | undefined };

/** Undefined where this mux has no source for the backend's version of IP. Of IPv4 the checksum is the kernel's to fill in. */
export function encapsulated(
  inner: Uint8Array,
  { address, encap, guePort = PORTS_DEFAULT.gue }: Pick<Backend, 'address' | 'encap' | 'guePort'>,
  sources: Sources,
): Outer | undefined {
  const version = versionOf(parseAddress(address));
  const from = sources[version];
  if (from === undefined) return undefined;
  const [source, destination] = [bytesOf(from, version), bytesOf(address, version)];
  const udpBytes = encap === 'gue' ? UDP_BYTES : 0;
  const ipBytes = version === 4 ? IPV4_BYTES : IPV6_BYTES;
  const packet = new Uint8Array(ipBytes + udpBytes + inner.length);
  const view = new DataView(packet.buffer);
  const innerProtocol = (inner[0] ?? 0) >> 4 === 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
  const protocol = encap === 'gue' ? IPPROTO_UDP : innerProtocol;
  if (version === 4) {
    view.setUint8(0, 0x45);
    view.setUint16(2, packet.length);
    view.setUint16(6, DONT_FRAGMENT);
    view.setUint8(8, OUTER_TTL);
    view.setUint8(9, protocol);
    packet.set(source, 12);
    packet.set(destination, 16);
  } else {
    view.setUint32(0, 0x6000_0000);
    view.setUint16(4, packet.length - IPV6_BYTES);
    view.setUint8(6, protocol);
    view.setUint8(7, OUTER_TTL);
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  if (encap === 'gue') {
    // The checksum stays zero, which tunnels may (RFC 6935, RFC 6936).
    const { sourcePort = 0 } = innerOf(inner) ?? {};
    view.setUint16(ipBytes, GUE_SOURCE_BASE | (sourcePort & GUE_SOURCE_MASK));
    view.setUint16(ipBytes + 2, guePort);
    view.setUint16(ipBytes + 4, UDP_BYTES + inner.length);
  }
  packet.set(inner, ipBytes + udpBytes);
  return { version, packet, destination };
}

function bytesOf(address: string, version: 4 | 6): Uint8Array {
  const bytes = parseAddress(address);
  return version === 4 ? bytes.slice(12) : bytes;
}
