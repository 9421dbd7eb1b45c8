// A model of the load balancer, written from its documentation in BigInt: which slot a flow has, and how the packet
// leaves. Slow and obvious on purpose. It shares no code with the program or with what configures it.
import {
  address,
  be,
  concat,
  type Datagram,
  ETHER_TYPE,
  gue,
  inner,
  ipv4,
  ipv6,
  isIpv4,
  link,
} from './packets.ts';

const U64 = (1n << 64n) - 1n;
const TTL = 64;

export interface HashKey {
  readonly flow: bigint;
  readonly place: bigint;
  readonly servicePort: bigint;
  readonly clientPort: bigint;
  readonly service: readonly bigint[];
  readonly client: readonly bigint[];
}

/** 96 bytes: twelve little-endian words, in the order of the fields. */
export function parseHashKey(bytes: Uint8Array): HashKey {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = Array.from({ length: 12 }, (_, i) => view.getBigUint64(i * 8, true));
  return {
    flow: word[0]!,
    place: word[1]!,
    servicePort: word[2]!,
    clientPort: word[3]!,
    service: word.slice(4, 8),
    client: word.slice(8, 12),
  };
}

/** Bytes as the integer that a little-endian machine loads. */
function little(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** The multilinear part over an address: four 32-bit words, of which IPv4 has only the last. */
function addressDigest(bytes: Uint8Array, key: readonly bigint[]): bigint {
  const words = bytes.length / 4;
  let sum = 0n;
  for (let i = 0; i < words; i++) sum += little(bytes.subarray(i * 4, i * 4 + 4)) * key[4 - words + i]!;
  return sum & U64;
}

const storedPort = (port: number): bigint => little(be(port, 2));

export function serviceDigest(key: HashKey, destination: Uint8Array, port: number, protocol: number): bigint {
  const rest = storedPort(port) * 256n + BigInt(protocol);
  return (addressDigest(destination, key.service) + rest * key.servicePort) & U64;
}

/** Where in the table of services (4096 places) a service begins to be looked for. */
export function servicePlace(
  key: HashKey,
  where: { address: string; port: number; protocol: number },
): number {
  const digest = serviceDigest(key, address(where.address), where.port, where.protocol);
  return Number(((digest * key.place) & U64) >> 40n) % 4096;
}

/** What distinguishes flows of a service. */
export interface FlowRule {
  readonly address: string;
  /** 0 with protocol 0 for the entry of an address. */
  readonly port: number;
  readonly protocol: number;
  readonly slotBase: number;
  readonly slotCount: number;
  readonly affinity?: { prefixLength4: number; prefixLength6: number };
  readonly ignoreSourcePort?: boolean;
}

export interface Flow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
}

function masked(bytes: Uint8Array, prefixLength: number): Uint8Array {
  return bytes.map((byte, i) => {
    const kept = Math.min(8, Math.max(0, prefixLength - i * 8));
    return byte & ((0xff00 >> kept) & 0xff);
  });
}

/** The 64-bit hash of a flow under the rule of its service. */
export function flowHash(key: HashKey, rule: FlowRule, flow: Flow): bigint {
  let client = address(flow.source);
  let clientPort = flow.sourcePort;
  let digest = serviceDigest(key, address(flow.destination), flow.destinationPort, flow.protocol);
  if (rule.affinity) {
    client = masked(client, isIpv4(flow.source) ? rule.affinity.prefixLength4 : rule.affinity.prefixLength6);
    clientPort = 0;
    digest = serviceDigest(key, address(rule.address), rule.port, rule.protocol);
  } else if (rule.ignoreSourcePort) {
    clientPort = 0;
  }
  const clientDigest = addressDigest(client, key.client) + storedPort(clientPort) * key.clientPort;
  return mixed(key, digest + clientDigest);
}

function mixed(key: HashKey, sum: bigint): bigint {
  const whole = sum & U64;
  return ((whole ^ (whole >> 32n)) * key.flow) & U64;
}

/** Later fragments have no ports; the outer header varies with their identification. */
export function laterFragmentHash(key: HashKey, identification: Uint8Array, source: string): bigint {
  const bytes = address(source);
  return mixed(key, little(identification) + little(bytes.subarray(bytes.length - 4)));
}

export function slotOf(rule: FlowRule, hash: bigint): number {
  return rule.slotBase + Number(((hash >> 32n) * BigInt(rule.slotCount)) >> 32n);
}

/** A backend as far as the bytes on the wire depend on it. */
export interface Way {
  readonly address: string;
  readonly encap: 'ip' | 'gue';
  readonly guePort?: number;
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  readonly vlanTci?: number;
}

export interface Sources {
  readonly address4: string;
  readonly prefixLength4: number;
  readonly address6: string;
  readonly prefixLength6: number;
}

/** The tunnel source: bits below the prefix are the stored bits of (hash >> 12) at the same place. */
function spreadSource(base: string, prefixLength: number, hash: bigint): string {
  const bytes = address(base);
  const varied = Number((hash >> 12n) & 0xffff_ffffn);
  const out = bytes.map((byte, i) => {
    const word = bytes.length - 4;
    if (i < word) return byte;
    const kept = Math.min(8, Math.max(0, prefixLength - i * 8));
    const mask = 0xff >> kept;
    return (byte & ~mask) | (Math.floor(varied / 256 ** (i - word)) & mask);
  });
  return text(out);
}

function text(bytes: Uint8Array): string {
  if (bytes.length === 4) return [...bytes].join('.');
  return Array.from({ length: 8 }, (_, i) => (bytes[i * 2]! * 256 + bytes[i * 2 + 1]!).toString(16)).join(
    ':',
  );
}

/** The frame that a packet of a flow becomes. `rest` is what follows the packet in the frame. */
export function encapsulated(
  datagram: Datagram,
  way: Way,
  hash: bigint,
  sources: Sources,
  trafficClass: number,
  rest: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const queue = hash >> 12n;
  // The lengths of the outer headers follow the inner packet's own length.
  const packet = { ...datagram, bytes: datagram.bytes.subarray(0, datagram.length) };
  const layer =
    way.encap === 'gue'
      ? gue({ sourcePort: 0xc000 + Number(queue % 0x4000n), destinationPort: way.guePort ?? 6080 }, packet)
      : inner(packet);
  const common = { destination: way.address, trafficClass, ttl: TTL };
  const outer = isIpv4(way.address)
    ? ipv4(
        {
          ...common,
          source: spreadSource(sources.address4, sources.prefixLength4, hash),
          identification: 0,
          dontFragment: true,
        },
        layer,
      )
    : ipv6(
        {
          ...common,
          source: spreadSource(sources.address6, sources.prefixLength6, hash),
          flowLabel: Number(queue % (1n << 20n)),
        },
        layer,
      );
  return link(
    {
      destination: way.destinationMac,
      source: way.sourceMac,
      tags: way.vlanTci === undefined ? [] : [{ tci: way.vlanTci }],
    },
    outer.version === 4 ? ETHER_TYPE.ipv4 : ETHER_TYPE.ipv6,
    concat(outer.bytes, datagram.bytes.subarray(datagram.length), rest),
  );
}

/** Bytes that encapsulation adds to the IP packet. */
export function overheadBytes(way: Way): number {
  return (isIpv4(way.address) ? 20 : 40) + (way.encap === 'gue' ? 8 : 0);
}

/** The inner packet's ECN field after decapsulation: RFC 6040, figure 4. Undefined: drop. Rows: inner, columns: outer. */
export const ECN_AFTER_DECAPSULATION: readonly (readonly (number | undefined)[])[] = (() => {
  const [notEct, ect1, ect0, ce] = [0, 1, 2, 3];
  const table: (number | undefined)[][] = [];
  //              outer:    Not-ECT  ECT(1)  ECT(0)  CE
  table[notEct] = [notEct, notEct, notEct, undefined];
  table[ect0] = [ect0, ect1, ect0, ce];
  table[ect1] = [ect1, ect1, ect1, ce];
  table[ce] = [ce, ce, ce, ce];
  return table;
})();
