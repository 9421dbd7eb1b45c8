// Owns the flows of a history and the packets that their clients send. Bytes are built by the packet library of test/bpf,
// which knows nothing of the programs, and only where a real program is to read them.

import { hashKeyFromSecret } from '../../../control/dataplane/hash.ts';
import {
  address,
  concat,
  type Datagram,
  fragmentHeader,
  frame,
  icmp4,
  icmp6,
  ip,
  ipv4,
  ipv6,
  PROTOCOL,
  payload,
  raw,
  TCP_FLAG,
  tcp,
  udp,
} from '../../bpf/lib/packets.ts';
import { flowHash, parseHashKey } from '../../bpf/lib/reference.ts';
import { mix } from './mix.ts';
import { POOL_SLOTS, type PoolName, SERVICES, type ServiceName } from './place.ts';

export const HASH_KEY = hashKeyFromSecret(new TextEncoder().encode('holdfast simulation secret'));
const REFERENCE_KEY = parseHashKey(HASH_KEY);

export type PacketKind =
  | 'syn'
  | 'data'
  | 'fin'
  | 'initial'
  | 'short'
  | 'datagram'
  | 'firstFragment'
  | 'laterFragment'
  | 'icmpError';

/** What begins a flow, as a mux can see it. */
export const isOpening = (kind: PacketKind): boolean => kind === 'syn' || kind === 'initial';

/** Addresses and what follows from them: which slot the flow has, by the reference model. */
export type Identity = {
  readonly service: ServiceName;
  readonly pool: PoolName;
  readonly version: 4 | 6;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** Flow key: 5-tuple, or client with affinity. */
  readonly key: string;
  readonly slot: number;
  /** 32 bits of the flow's hash, for those who place flows otherwise; and what routers hash. */
  readonly hash: number;
  readonly routerHash: number;
};

export type Packet = {
  readonly kind: PacketKind;
  readonly identity: Identity;
  /** Who sent it; absent for floods and forgeries. */
  readonly flow: FlowState | undefined;
  /** Frame as the first mux gets it; empty where no program reads it. */
  readonly bytes: Uint8Array;
  /** Of the flow, with what is drawn for this packet. */
  readonly number: number;
  readonly trail: number;
};

/** What the world and the oracle know of a flow. Its life is client.ts. */
export type FlowState = {
  readonly id: number;
  readonly identity: Identity;
  /** Host that serves it; -1: not settled. */
  server: number;
  isClosed: boolean;
  readonly begunNs: number;
  /** When a mux last sent a packet of it to a host. */
  forwardedNs: number;
};

/** `client` names a client address, `tuple` a port of it. */
export function identify(service: ServiceName, version: 4 | 6, client: number, tuple: number): Identity {
  const rule = SERVICES.find(({ name }) => name === service)!;
  const { pool, protocol, port } = rule;
  const [address4, address6 = address4] = rule.addresses as unknown as readonly [string, string?];
  const destination = version === 4 ? address4 : address6;
  const isIpv4 = !destination.includes(':');
  // Subnets of 256: with affinity they are one client.
  const source = isIpv4
    ? `10.${(client >> 16) & 255}.${(client >> 8) & 255}.${client & 255}`
    : `2001:db8:c:${((client >> 16) & 0xffff).toString(16)}::${(client & 0xffff).toString(16)}`;
  const sourcePort = 1_024 + (tuple % 60_000);
  const affinity = 'affinity' in rule ? rule.affinity : undefined;
  const hash = flowHash(
    REFERENCE_KEY,
    {
      address: destination,
      port,
      protocol: PROTOCOL[protocol],
      slotBase: 0,
      slotCount: POOL_SLOTS[pool],
      ...(affinity && { affinity }),
    },
    { source, destination, sourcePort, destinationPort: port, protocol: PROTOCOL[protocol] },
  );
  const key = affinity ? `${service} ${client >> 8}` : `${service} ${isIpv4 ? 4 : 6} ${client} ${sourcePort}`;
  return {
    service,
    pool,
    version: isIpv4 ? 4 : 6,
    source,
    sourcePort,
    destination,
    destinationPort: port,
    protocol,
    key,
    slot: Number(((hash >> 32n) * BigInt(POOL_SLOTS[pool])) >> 32n),
    hash: Number((hash >> 32n) & 0xffff_ffffn),
    routerHash: mix(client, mix(sourcePort, port)),
  };
}

const DATA_BYTES = 40;
const FRAGMENT_BYTES = 64;
/** Long header, version 1, type Initial; then a destination connection ID that names no server. */
const QUIC_INITIAL = [0xc0, 0, 0, 0, 1, 8, 0xe0, 1, 2, 3, 4, 5, 6, 7, 0];
const QUIC_SHORT = [0x40, 0xe0, 1, 2, 3, 4, 5, 6, 7];

/** The frame of a packet; `number` is the identification of fragments. */
export function frameOf(kind: PacketKind, identity: Identity, number = 0): Uint8Array {
  return frame(datagramOf(kind, identity, number));
}

function datagramOf(kind: PacketKind, identity: Identity, number: number): Datagram {
  const { source, destination, sourcePort, destinationPort } = identity;
  const ends = { source, destination };
  const ports = { sourcePort, destinationPort };
  const data = payload(DATA_BYTES, number);
  switch (kind) {
    case 'syn':
      return ip(ends, tcp({ ...ports, flags: TCP_FLAG.syn }));
    case 'data':
      return ip(ends, tcp({ ...ports, flags: TCP_FLAG.ack | TCP_FLAG.psh, data }));
    case 'fin':
      return ip(ends, tcp({ ...ports, flags: TCP_FLAG.ack | TCP_FLAG.fin }));
    case 'initial':
      return ip(ends, udp({ ...ports, data: concat(Uint8Array.from(QUIC_INITIAL), data) }));
    case 'short':
      return ip(ends, udp({ ...ports, data: concat(Uint8Array.from(QUIC_SHORT), data) }));
    case 'datagram':
      return ip(ends, udp({ ...ports, data }));
    case 'firstFragment':
    case 'laterFragment':
      return fragmentOf(kind, identity, number);
    case 'icmpError':
      return errorAbout(identity);
  }
}

function fragmentOf(kind: 'firstFragment' | 'laterFragment', identity: Identity, number: number): Datagram {
  const { source, destination, sourcePort, destinationPort } = identity;
  const ends = { source, destination };
  const layer = udp({ sourcePort, destinationPort, data: payload(FRAGMENT_BYTES + DATA_BYTES, number) });
  const whole = layer.build({ source: address(source), destination: address(destination) });
  const offset = kind === 'firstFragment' ? 0 : FRAGMENT_BYTES;
  const more = kind === 'firstFragment';
  const piece = raw(PROTOCOL.udp, more ? whole.slice(0, FRAGMENT_BYTES) : whole.slice(FRAGMENT_BYTES));
  return identity.version === 4
    ? ipv4({ ...ends, identification: number, moreFragments: more, fragmentOffset: offset }, piece)
    : ipv6({ ...ends, extensions: [fragmentHeader({ identification: number, offset, more })] }, piece);
}

/** Host unreachable (RFC 792, RFC 4443) from a router on the way of what the server answers. */
function errorAbout({
  version,
  source,
  destination,
  sourcePort,
  destinationPort,
  protocol,
}: Identity): Datagram {
  const ports = { sourcePort: destinationPort, destinationPort: sourcePort, data: payload(16) };
  const answer = ip(
    { source: destination, destination: source },
    protocol === 'tcp' ? tcp(ports) : udp(ports),
  );
  const router = version === 4 ? '192.0.2.250' : '2001:db8:b::250';
  const error =
    version === 4 ? icmp4({ type: 3, code: 1, data: answer.bytes }) : icmp6({ type: 1, data: answer.bytes });
  return ip({ source: router, destination }, error);
}
