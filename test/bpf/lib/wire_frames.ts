// Builds what muxes send each other byte by byte: headers right and wrong, any outer version, probes and messages of
// flows. From the design alone; the signature is wire_reference.ts.
import {
  type Datagram,
  ETHER_TYPE,
  type Ipv4Fields,
  ip,
  link,
  type Tag,
  type UdpFields,
  udp,
} from './packets.ts';
import { headerTag, sipHash } from './wire_reference.ts';

export type Key = readonly [bigint, bigint];

export const OP = {
  ask: 1,
  record: 2,
  answer: 3,
  relay: 4,
  probe: 5,
  probeAnswer: 6,
  flows: 7,
  flowsTaken: 8,
} as const;

export const FLAGS = {
  newFlow: 1,
  unrecorded: 2,
  lookUp: 4,
  pledge: 8,
  pastDeadline: 16,
  refresh: 32,
} as const;

export const HEADER_BYTES = 56;
const TAG_AT = 48;

export type WireHeader = {
  format?: number;
  keyId?: number;
  asker: number;
  reserved?: number;
  unsignedByte?: number;
  askerIncarnation?: number;
  slot?: number;
  pool?: number;
  owner?: number;
  backup?: number;
  time: number;
  version?: number;
  trackEpoch?: number;
  chainEpoch?: number;
  ownerIncarnation?: number;
  backupIncarnation?: number;
  operation: number;
  hops?: number;
  flags?: number;
  backend?: number;
  generation?: number;
};

function littleWords(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}

/** 56 bytes; the tag is over 55: five words, `hash`, and the next word but for its last byte. */
export function signedHeader(it: WireHeader, key: Key, hash: bigint): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number | undefined): void => view.setUint32(at, value ?? 0, true);
  const u16 = (at: number, value: number | undefined): void => view.setUint16(at, value ?? 0, true);
  bytes.set([it.format ?? 1, it.keyId ?? 0, it.asker, it.reserved ?? 0]);
  u32(4, it.askerIncarnation);
  u32(8, it.slot);
  u16(12, it.pool);
  bytes.set([it.owner ?? 0, it.backup ?? 0], 14);
  u32(16, it.time);
  u32(20, it.version);
  u32(24, it.trackEpoch);
  u32(28, it.chainEpoch);
  u32(32, it.ownerIncarnation);
  u32(36, it.backupIncarnation);
  bytes.set([it.operation, it.hops ?? 0], 40);
  u16(42, it.backend);
  u16(44, it.generation);
  bytes.set([it.flags ?? 0, it.unsignedByte ?? 0], 46);
  view.setBigUint64(TAG_AT, headerTag(bytes, key, hash), true);
  return bytes;
}

export type MessageEntry = {
  fingerprint: bigint;
  slot: number;
  trackEpoch: number;
  backend: number;
  generation: number;
  ageUnits: number;
  idleTime: number;
  state: number;
  chainEpoch?: number;
};

export const ENTRY_BYTES = 32;

export function entryBytes(it: MessageEntry): Uint8Array {
  const bytes = new Uint8Array(ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, it.fingerprint, true);
  view.setUint32(8, it.slot, true);
  view.setUint32(12, it.trackEpoch, true);
  view.setUint16(20, it.chainEpoch ?? 0, true);
  view.setUint16(22, it.backend, true);
  view.setUint16(24, it.generation, true);
  view.setUint16(26, it.ageUnits, true);
  view.setUint16(28, it.idleTime, true);
  bytes.set([it.state, 6], 30);
  return bytes;
}

/** Header and entries; signed over the hash of these. */
export function flowsMessage(header: WireHeader, key: Key, entries: readonly MessageEntry[]): Uint8Array {
  const body = Buffer.concat(entries.map(entryBytes));
  const filled = { ...header, backend: header.backend ?? entries.length };
  return Buffer.concat([signedHeader(filled, key, sipHash(key, littleWords(Uint8Array.from(body)))), body]);
}

export type Outer = {
  from: string;
  to: string;
  fromMac: Uint8Array;
  toMac: Uint8Array;
  port: number;
  sourcePort?: number;
  trafficClass?: number;
  flowLabel?: number;
  tags?: readonly Tag[];
  /** What is to differ from how a mux writes it. */
  ip?: Partial<Ipv4Fields>;
  udp?: Partial<UdpFields>;
};

export function wireFrame(outer: Outer, data: Uint8Array): Uint8Array {
  const datagram = ip(
    {
      source: outer.from,
      destination: outer.to,
      ttl: 64,
      trafficClass: outer.trafficClass ?? 0,
      ...(outer.to.includes(':')
        ? { flowLabel: outer.flowLabel ?? 0 }
        : { identification: 0, dontFragment: true }),
      ...outer.ip,
    },
    udp({
      sourcePort: outer.sourcePort ?? 0xc000,
      destinationPort: outer.port,
      data,
      zeroChecksum: true,
      ...outer.udp,
    }),
  );
  return link(
    { destination: outer.toMac, source: outer.fromMac, tags: outer.tags ?? [] },
    datagram.version === 4 ? ETHER_TYPE.ipv4 : ETHER_TYPE.ipv6,
    datagram.bytes,
  );
}

/** Source port and flow label vary with the flow. */
export const queueOf = (hash: bigint): Pick<Outer, 'sourcePort' | 'flowLabel'> => ({
  sourcePort: 0xc000 + Number((hash >> 12n) % 0x4000n),
  flowLabel: Number((hash >> 12n) % (1n << 20n)),
});

export function carrying(header: Uint8Array, datagram: Pick<Datagram, 'bytes'>): Uint8Array {
  return Buffer.concat([header, datagram.bytes]);
}
