// Owns a frame in words, as tcpdump would put it: enough to recognise a packet, tunnels and quoted packets included.
// What is cut off or odd is said to be so; nothing here fails.
import { formatAddress } from '../lib/address.ts';

const ETHERNET_BYTES = 14;
const VLAN_TYPES = new Set([0x8100, 0x88a8]);
const VLAN_TAGS_MAX = 2;
const EXTENSIONS_MAX = 8;
/** Packets in packets: a tunnel, and what an ICMP error in it quotes. */
const DEPTH_MAX = 4;

const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;

export type WordOptions = {
  /** UDP port that GUE goes to. */
  readonly guePort: number;
};

export function describeFrame(frame: Uint8Array, options: WordOptions): string {
  if (frame.length < ETHERNET_BYTES) return `${frame.length} bytes, less than an Ethernet header`;
  let offset = 12;
  let words = '';
  for (let tags = 0; tags < VLAN_TAGS_MAX && VLAN_TYPES.has(u16(frame, offset)); tags++) {
    words += `vlan ${u16(frame, offset + 2) & 0xfff}, `;
    offset += 4;
  }
  const type = u16(frame, offset);
  const packet = frame.subarray(offset + 2);
  if (type === TYPE_IPV4 || type === TYPE_IPV6) return words + describePacket(packet, options, 0);
  if (type === 0x0806) return `${words}ARP`;
  return `${words}EtherType 0x${type.toString(16).padStart(4, '0')}, length ${packet.length}`;
}

/** An IP packet, by its first four bits. */
function describePacket(packet: Uint8Array, options: WordOptions, depth: number): string {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) return describeIpv4(packet, options, depth);
  if (version === 6) return describeIpv6(packet, options, depth);
  return `[no IP packet, ${packet.length} bytes]`;
}

type Carried = {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Of the payload as the header says; less may be there. */
  readonly payloadBytes: number;
  /** After the first fragment there is no header of the transport. */
  readonly fragment: string | undefined;
  readonly isLaterFragment: boolean;
};

function describeIpv4(packet: Uint8Array, options: WordOptions, depth: number): string {
  const headerBytes = ((packet[0] ?? 0) & 0xf) * 4;
  if (packet.length < 20 || headerBytes < 20 || packet.length < headerBytes) return '[truncated IPv4 header]';
  const offset = u16(packet, 6);
  const at = (offset & 0x1fff) * 8;
  const isFragment = at > 0 || (offset & 0x2000) !== 0;
  return describeCarried(
    {
      source: [...packet.subarray(12, 16)].join('.'),
      destination: [...packet.subarray(16, 20)].join('.'),
      protocol: packet[9]!,
      payload: packet.subarray(headerBytes),
      payloadBytes: Math.max(0, u16(packet, 2) - headerBytes),
      fragment: isFragment ? `fragment ${u16(packet, 4)}@${at}` : undefined,
      isLaterFragment: at > 0,
    },
    options,
    depth,
  );
}

const EXTENSIONS = new Set([0, 43, 60, 135]);
const FRAGMENT = 44;

function describeIpv6(packet: Uint8Array, options: WordOptions, depth: number): string {
  if (packet.length < 40) return '[truncated IPv6 header]';
  let protocol = packet[6]!;
  let offset = 40;
  let fragment: string | undefined;
  let isLaterFragment = false;
  for (let headers = 0; headers < EXTENSIONS_MAX && offset + 8 <= packet.length; headers++) {
    if (protocol === FRAGMENT) {
      const field = u16(packet, offset + 2);
      fragment = `fragment ${u32(packet, offset + 4)}@${field & 0xfff8}`;
      isLaterFragment = (field & 0xfff8) > 0;
      protocol = packet[offset]!;
      offset += 8;
      if (isLaterFragment) break;
    } else if (EXTENSIONS.has(protocol)) {
      protocol = packet[offset]!;
      offset += (packet[offset + 1]! + 1) * 8;
    } else break;
  }
  return describeCarried(
    {
      source: formatAddress(packet.subarray(8, 24)),
      destination: formatAddress(packet.subarray(24, 40)),
      protocol,
      payload: packet.subarray(offset),
      payloadBytes: Math.max(0, u16(packet, 4) + 40 - offset),
      fragment,
      isLaterFragment,
    },
    options,
    depth,
  );
}

function describeCarried(it: Carried, options: WordOptions, depth: number): string {
  const more = it.fragment === undefined ? '' : `, ${it.fragment}`;
  const plain = `${it.source} > ${it.destination}`;
  if (it.isLaterFragment) return `${plain}: ${protocolName(it.protocol)}${more}, length ${it.payloadBytes}`;
  switch (it.protocol) {
    case 4:
    case 41:
      return `${plain}: ${inner(it.payload, options, depth)}${more}`;
    case 6:
      return `${withPorts(it)}: ${describeTcp(it)}${more}`;
    case 17:
      return `${withPorts(it)}: ${describeUdp(it, options, depth)}${more}`;
    case 1:
      return `${plain}: ICMP ${describeIcmp(it, ICMP, options, depth)}${more}`;
    case 58:
      return `${plain}: ICMP6 ${describeIcmp(it, ICMP6, options, depth)}${more}`;
    default:
      return `${plain}: ${protocolName(it.protocol)}${more}, length ${it.payloadBytes}`;
  }
}

function inner(packet: Uint8Array, options: WordOptions, depth: number): string {
  return depth + 1 >= DEPTH_MAX
    ? `[${packet.length} bytes more]`
    : describePacket(packet, options, depth + 1);
}

/** tcpdump's way: a dot before the port. */
function withPorts({ source, destination, payload }: Carried): string {
  if (payload.length < 4) return `${source} > ${destination}`;
  return `${source}.${u16(payload, 0)} > ${destination}.${u16(payload, 2)}`;
}

const TCP_FLAGS = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'] as const;

function describeTcp({ payload, payloadBytes }: Carried): string {
  if (payload.length < 20) return 'TCP [truncated header]';
  const flags = TCP_FLAGS.filter((_, bit) => (payload[13]! & (1 << bit)) !== 0).join('') || 'none';
  const headerBytes = (payload[12]! >> 4) * 4;
  const length = Math.max(0, payloadBytes - headerBytes);
  const ack = (payload[13]! & 0x10) === 0 ? '' : `, ack ${u32(payload, 8)}`;
  return `Flags [${flags}], seq ${u32(payload, 4)}${ack}, win ${u16(payload, 14)}, length ${length}`;
}

const GUE_HEADER_BYTES = 4;

function describeUdp({ payload, payloadBytes }: Carried, options: WordOptions, depth: number): string {
  if (payload.length < 8) return 'UDP [truncated header]';
  const data = payload.subarray(8);
  if (u16(payload, 2) === options.guePort && data.length >= GUE_HEADER_BYTES) {
    const gue = describeGue(data, options, depth);
    if (gue !== undefined) return gue;
  }
  return `UDP, length ${Math.max(0, payloadBytes - 8)}`;
}

/**
 * A packet in GUE (draft-ietf-intarea-gue section 3): variant 1 is the packet itself, variant 0 has a header before it.
 * Undefined for what is something else.
 */
function describeGue(data: Uint8Array, options: WordOptions, depth: number): string | undefined {
  if (data[0]! >> 6 === 1) return `GUE, ${inner(data, options, depth)}`;
  const isControl = (data[0]! & 0x20) !== 0;
  const headerBytes = GUE_HEADER_BYTES + (data[0]! & 0x1f) * 4;
  const carriesIp = data[1] === 4 || data[1] === 41;
  if (data[0]! >> 6 !== 0 || isControl || !carriesIp || data.length < headerBytes) return undefined;
  return `GUE, ${inner(data.subarray(headerBytes), options, depth)}`;
}

type IcmpTable = {
  readonly names: Readonly<Record<number, string>>;
  readonly echoes: readonly number[];
  /** Types whose body quotes the packet that they are about. */
  readonly quotes: readonly number[];
  /** Type and code that say which packet fits, and where. */
  readonly tooBig: { readonly type: number; readonly code: number; readonly at: number };
};

const ICMP: IcmpTable = {
  names: {
    0: 'echo reply',
    3: 'unreachable',
    5: 'redirect',
    8: 'echo request',
    11: 'time exceeded',
    12: 'parameter problem',
  },
  echoes: [0, 8],
  quotes: [3, 5, 11, 12],
  tooBig: { type: 3, code: 4, at: 6 },
};

const ICMP6: IcmpTable = {
  names: {
    1: 'unreachable',
    2: 'packet too big',
    3: 'time exceeded',
    4: 'parameter problem',
    128: 'echo request',
    129: 'echo reply',
    133: 'router solicitation',
    134: 'router advertisement',
    135: 'neighbour solicitation',
    136: 'neighbour advertisement',
  },
  echoes: [128, 129],
  quotes: [1, 2, 3, 4],
  tooBig: { type: 2, code: 0, at: 6 },
};

function describeIcmp(
  { payload, payloadBytes }: Carried,
  table: IcmpTable,
  options: WordOptions,
  depth: number,
): string {
  if (payload.length < 8) return '[truncated header]';
  const [type = 0, code = 0] = payload;
  const name = table.names[type] ?? `type ${type}`;
  if (table.echoes.includes(type)) {
    return `${name}, id ${u16(payload, 4)}, seq ${u16(payload, 6)}, length ${payloadBytes}`;
  }
  const isTooBig = type === table.tooBig.type && code === table.tooBig.code;
  const what = isTooBig ? `packet too big, mtu ${u16(payload, table.tooBig.at)}` : `${name}, code ${code}`;
  if (!table.quotes.includes(type)) return `${what}, length ${payloadBytes}`;
  return `${what}, about: ${inner(payload.subarray(8), options, depth)}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  4: 'IP in IP',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6 in IP',
  47: 'GRE',
  50: 'ESP',
  58: 'ICMP6',
  132: 'SCTP',
};

function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? `protocol ${protocol}`;
}

function u16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}

function u32(bytes: Uint8Array, offset: number): number {
  return u16(bytes, offset) * 0x1_0000 + u16(bytes, offset + 2);
}
