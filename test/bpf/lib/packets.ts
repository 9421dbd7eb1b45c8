// Builds the bytes of packets for tests, from the RFCs alone: nothing here knows the program under test.
// Owns headers and their checksums. Not here: what a packet should turn into (reference.ts).

export const PROTOCOL = {
  hopByHop: 0,
  icmp: 1,
  ipip: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  routing: 43,
  fragment: 44,
  esp: 50,
  ah: 51,
  icmp6: 58,
  none: 59,
  destinationOptions: 60,
} as const;

export const ETHER_TYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8 } as const;

export const CLIENT_MAC = mac('02:00:00:00:00:01');
export const MUX_MAC = mac('02:00:00:00:00:02');

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (digits) => Number.parseInt(digits, 16));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Big-endian bytes of `value`. */
export function be(value: number, bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let at = bytes - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) made[at] = rest % 256;
  return made;
}

/** A recognisable payload: no two neighbouring 16-bit words are equal. */
export function payload(bytes: number, seed = 0x61): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) made[i] = seed + i * 7 + (i >> 5);
  return made;
}

export function isIpv4(text: string): boolean {
  return !text.includes(':');
}

/** 4 or 16 bytes. */
export function address(text: string): Uint8Array {
  let bytes = addresses.get(text);
  if (bytes === undefined) {
    bytes = parsed(text);
    if (addresses.size < ADDRESSES_MAX) addresses.set(text, bytes);
  }
  return bytes;
}

/** Simulations send millions of packets from a few thousand. */
const ADDRESSES_MAX = 65_536;
const addresses = new Map<string, Uint8Array>();

function parsed(text: string): Uint8Array {
  if (isIpv4(text)) return Uint8Array.from(text.split('.'), Number);
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((it) => Number.parseInt(it, 16));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const middle = new Array<number>(tail === undefined ? 0 : 8 - front.length - back.length).fill(0);
  return concat(...[...front, ...middle, ...back].map((group) => be(group, 2)));
}

/** RFC 1071, word by word: the complement of the one's complement sum. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

function withChecksum(bytes: Uint8Array, at: number, ...before: readonly Uint8Array[]): Uint8Array {
  const out = Uint8Array.from(bytes);
  out.set(be(internetChecksum(concat(...before, bytes)), 2), at);
  return out;
}

/** The two addresses that a transport checksum covers. */
export interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** What an IP header can carry. */
export interface Layer {
  readonly protocol: number;
  build(ends: Ends): Uint8Array;
}

function pseudoHeader(ends: Ends, protocol: number, length: number): Uint8Array {
  return ends.source.length === 4
    ? concat(ends.source, ends.destination, be(protocol, 2), be(length, 2))
    : concat(ends.source, ends.destination, be(length, 4), be(protocol, 4));
}

export function raw(protocol: number, bytes: Uint8Array): Layer {
  return { protocol, build: () => bytes };
}

export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

export interface TcpFields {
  sourcePort: number;
  destinationPort: number;
  flags?: number;
  options?: Uint8Array;
  data?: Uint8Array;
}

export function tcp(fields: TcpFields): Layer {
  return {
    protocol: PROTOCOL.tcp,
    build(ends) {
      const options = fields.options ?? new Uint8Array(0);
      const segment = concat(
        be(fields.sourcePort, 2),
        be(fields.destinationPort, 2),
        be(0x01020304, 4),
        be(0x0a0b0c0d, 4),
        be(((20 + options.length) / 4) * 16, 1),
        be(fields.flags ?? TCP_FLAG.ack, 1),
        be(0xfaf0, 2),
        be(0, 4),
        options,
        fields.data ?? new Uint8Array(0),
      );
      return withChecksum(segment, 16, pseudoHeader(ends, PROTOCOL.tcp, segment.length));
    },
  };
}

export interface UdpFields {
  sourcePort: number;
  destinationPort: number;
  data?: Uint8Array;
  /** RFC 768, RFC 6935: no checksum. */
  zeroChecksum?: boolean;
  /** The length field, where it is to differ from the truth. */
  length?: number;
}

export function udp(fields: UdpFields): Layer {
  return {
    protocol: PROTOCOL.udp,
    build(ends) {
      const data = fields.data ?? new Uint8Array(0);
      const length = be(fields.length ?? 8 + data.length, 2);
      const datagram = concat(
        be(fields.sourcePort, 2),
        be(fields.destinationPort, 2),
        length,
        be(0, 2),
        data,
      );
      if (fields.zeroChecksum) return datagram;
      const out = withChecksum(datagram, 6, pseudoHeader(ends, PROTOCOL.udp, datagram.length));
      if (out[6] === 0 && out[7] === 0) out.fill(0xff, 6, 8);
      return out;
    },
  };
}

export interface IcmpFields {
  type: number;
  code?: number;
  /** The second word: identifier and sequence number, MTU, pointer. */
  rest?: number;
  data?: Uint8Array;
}

function icmpMessage(fields: IcmpFields): Uint8Array {
  return concat(
    be(fields.type, 1),
    be(fields.code ?? 0, 1),
    be(0, 2),
    be(fields.rest ?? 0, 4),
    fields.data ?? new Uint8Array(0),
  );
}

export function icmp4(fields: IcmpFields): Layer {
  return { protocol: PROTOCOL.icmp, build: () => withChecksum(icmpMessage(fields), 2) };
}

export function icmp6(fields: IcmpFields): Layer {
  return {
    protocol: PROTOCOL.icmp6,
    build(ends) {
      const message = icmpMessage(fields);
      return withChecksum(message, 2, pseudoHeader(ends, PROTOCOL.icmp6, message.length));
    },
  };
}

/** An IP packet; `length` is what its own header says. */
export interface Datagram {
  readonly version: 4 | 6;
  readonly bytes: Uint8Array;
  readonly length: number;
}

export interface IpFields {
  source: string;
  destination: string;
  /** TOS or traffic class: DSCP and ECN. */
  trafficClass?: number;
  ttl?: number;
}

export interface Ipv4Fields extends IpFields {
  options?: Uint8Array;
  identification?: number;
  dontFragment?: boolean;
  moreFragments?: boolean;
  /** Bytes, a multiple of 8. */
  fragmentOffset?: number;
  /** Where it is to differ from the truth. */
  totalLength?: number;
  headerWords?: number;
  versionField?: number;
}

export function ipv4(fields: Ipv4Fields, layer: Layer): Datagram {
  const ends = { source: address(fields.source), destination: address(fields.destination) };
  const options = fields.options ?? new Uint8Array(0);
  const body = layer.build(ends);
  const length = fields.totalLength ?? 20 + options.length + body.length;
  const fragment =
    (fields.dontFragment ? 0x4000 : 0) +
    (fields.moreFragments ? 0x2000 : 0) +
    (fields.fragmentOffset ?? 0) / 8;
  const header = concat(
    be((fields.versionField ?? 4) * 16 + (fields.headerWords ?? 5 + options.length / 4), 1),
    be(fields.trafficClass ?? 0, 1),
    be(length, 2),
    be(fields.identification ?? 0x1d1d, 2),
    be(fragment, 2),
    be(fields.ttl ?? 57, 1),
    be(layer.protocol, 1),
    be(0, 2),
    ends.source,
    ends.destination,
    options,
  );
  return { version: 4, bytes: concat(withChecksum(header, 10), body), length };
}

/** An IPv6 extension header; the next header field is filled in by ipv6(). */
export interface Extension {
  readonly protocol: number;
  /** All of it; byte 0 is overwritten. */
  readonly bytes: Uint8Array;
}

/** Hop-by-hop or destination options of `units` × 8 bytes, filled by one PadN (RFC 8200 section 4.2). */
function options(protocol: number, units: number): Extension {
  const bytes = new Uint8Array(units * 8);
  bytes.set([0, units - 1, 1, units * 8 - 4]);
  return { protocol, bytes };
}

export const hopByHop = (units = 1): Extension => options(PROTOCOL.hopByHop, units);
export const destinationOptions = (units = 1): Extension => options(PROTOCOL.destinationOptions, units);

/** A routing header with no segments left (RFC 8200 section 4.4). */
export function routing(units = 3): Extension {
  const bytes = payload(units * 8, 0x20);
  bytes.set([0, units - 1, 2, 0]);
  return { protocol: PROTOCOL.routing, bytes };
}

/** AH counts its length in 4-byte units, minus 2 (RFC 4302 section 2.2). */
export function authentication(bytes = 24): Extension {
  const header = payload(bytes, 0x40);
  header.set([0, bytes / 4 - 2, 0, 0]);
  return { protocol: PROTOCOL.ah, bytes: header };
}

/** `offset` in bytes, a multiple of 8 (RFC 8200 section 4.5). */
export function fragmentHeader(fields: {
  identification: number;
  offset?: number;
  more?: boolean;
}): Extension {
  const offset = (fields.offset ?? 0) + (fields.more ? 1 : 0);
  return {
    protocol: PROTOCOL.fragment,
    bytes: concat(be(0, 2), be(offset, 2), be(fields.identification, 4)),
  };
}

export interface Ipv6Fields extends IpFields {
  extensions?: readonly Extension[];
  flowLabel?: number;
  /** Where it is to differ from the truth. */
  payloadLength?: number;
  versionField?: number;
}

export function ipv6(fields: Ipv6Fields, layer: Layer): Datagram {
  const ends = { source: address(fields.source), destination: address(fields.destination) };
  const extensions = fields.extensions ?? [];
  const chain = extensions.map(({ bytes }, i) => {
    const out = Uint8Array.from(bytes);
    out[0] = extensions[i + 1]?.protocol ?? layer.protocol;
    return out;
  });
  const body = concat(...chain, layer.build(ends));
  const payloadLength = fields.payloadLength ?? body.length;
  const trafficClass = fields.trafficClass ?? 0;
  const header = concat(
    be((fields.versionField ?? 6) * 2 ** 28 + trafficClass * 2 ** 20 + (fields.flowLabel ?? 0x5a5a5), 4),
    be(payloadLength, 2),
    be(extensions[0]?.protocol ?? layer.protocol, 1),
    be(fields.ttl ?? 57, 1),
    ends.source,
    ends.destination,
  );
  return { version: 6, bytes: concat(header, body), length: 40 + payloadLength };
}

/** IPv4 or IPv6, by the addresses. */
export function ip(fields: IpFields, layer: Layer): Datagram {
  return isIpv4(fields.destination) ? ipv4(fields, layer) : ipv6(fields, layer);
}

/** A whole IP packet as the payload of another: protocol 4 or 41. */
export function inner(datagram: Datagram): Layer {
  return raw(datagram.version === 4 ? PROTOCOL.ipip : PROTOCOL.ipv6, datagram.bytes);
}

/** GUE variant 1: the inner packet right behind UDP, no checksum. */
export function gue(ports: { sourcePort: number; destinationPort: number }, datagram: Datagram): Layer {
  return udp({ ...ports, data: datagram.bytes, zeroChecksum: true });
}

export interface Tag {
  tpid?: number;
  tci: number;
}

export interface LinkFields {
  destination?: Uint8Array;
  source?: Uint8Array;
  tags?: readonly Tag[];
}

export function link(fields: LinkFields, etherType: number, body: Uint8Array): Uint8Array {
  const tags = fields.tags ?? [];
  return concat(
    fields.destination ?? MUX_MAC,
    fields.source ?? CLIENT_MAC,
    ...tags.map((tag) => concat(be(tag.tpid ?? ETHER_TYPE.vlan, 2), be(tag.tci, 2))),
    be(etherType, 2),
    body,
  );
}

/** An Ethernet frame; `padding` follows the IP packet. */
export function frame(
  datagram: Datagram,
  fields: LinkFields = {},
  padding: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const type = datagram.version === 4 ? ETHER_TYPE.ipv4 : ETHER_TYPE.ipv6;
  return link(fields, type, concat(datagram.bytes, padding));
}

/** Zeros up to the smallest Ethernet frame, 60 bytes without FCS. */
export function padded(bytes: Uint8Array): Uint8Array {
  return bytes.length >= 60 ? bytes : concat(bytes, new Uint8Array(60 - bytes.length));
}
