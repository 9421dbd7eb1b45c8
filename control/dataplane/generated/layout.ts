// Generated from BTF by libbpf-ts; do not edit.
import type { Codec } from 'libbpf-ts';

// Byte order of the host, which is that of the kernel.
const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function integer(value: number, min: number, max: number, path: string): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new TypeError(`${path} must be an integer from ${min} to ${max}, got ${value}`);
}

function big(value: bigint, min: bigint, max: bigint, path: string): bigint {
  if (typeof value === 'bigint' && value >= min && value <= max) return value;
  throw new TypeError(`${path} must be a bigint from ${min} to ${max}, got ${value}`);
}

function bytes(view: DataView, offset: number, sizeBytes: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
}

function setBytes(view: DataView, offset: number, value: Uint8Array, sizeBytes: number, path: string): void {
  if (value.byteLength !== sizeBytes) {
    throw new TypeError(`${path} must be ${sizeBytes} bytes, got ${value.byteLength}`);
  }
  bytes(view, offset, sizeBytes).set(value);
}

function list<T>(length: number, read: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => read(index));
}

function setList<T>(values: readonly T[], length: number, path: string, write: (value: T, index: number) => void): void {
  if (values.length !== length) throw new TypeError(`${path} must have ${length} elements, got ${values.length}`);
  values.forEach(write);
}

export interface IpAddress {
  word: number[];
}

export const ipAddressCodec: Codec<IpAddress> = {
  sizeBytes: 16,
  read: (view, offset) => ({
    word: list(4, (index) => view.getUint32(offset + index * 4, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.word, 4, 'ip_address.word', (item, index) => view.setUint32(offset + index * 4, integer(item, 0, 4294967295, 'ip_address.word[]'), LITTLE));
  },
};

export const IP_ADDRESS_LAYOUT =
  "ip_address:16:word@0:u32[4]";

export interface IndexBucket {
  word: bigint[];
}

export const indexBucketCodec: Codec<IndexBucket> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    word: list(8, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.word, 8, 'index_bucket.word', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'index_bucket.word[]'), LITTLE));
  },
};

export const INDEX_BUCKET_LAYOUT =
  "index_bucket:64:word@0:u64[8]";

export interface Service {
  address: IpAddress;
  client_mask: number[];
  port: number;
  protocol: number;
  flags: number;
  slot_base: number;
  slot_count: number;
  pool: number;
  quic_config_rotation: number;
  quic_server_id_bytes: number;
  reserved: Uint8Array;
}

export const serviceCodec: Codec<Service> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    address: ipAddressCodec.read(view, offset),
    client_mask: list(4, (index) => view.getUint32(offset + 16 + index * 4, LITTLE)),
    port: view.getUint16(offset + 32, LITTLE),
    protocol: view.getUint8(offset + 34),
    flags: view.getUint8(offset + 35),
    slot_base: view.getUint32(offset + 36, LITTLE),
    slot_count: view.getUint32(offset + 40, LITTLE),
    pool: view.getUint32(offset + 44, LITTLE),
    quic_config_rotation: view.getUint8(offset + 48),
    quic_server_id_bytes: view.getUint8(offset + 49),
    reserved: bytes(view, offset + 50, 14).slice(),
  }),
  write: (view, offset, value) => {
    ipAddressCodec.write(view, offset, value.address);
    setList(value.client_mask, 4, 'service.client_mask', (item, index) => view.setUint32(offset + 16 + index * 4, integer(item, 0, 4294967295, 'service.client_mask[]'), LITTLE));
    view.setUint16(offset + 32, integer(value.port, 0, 65535, 'service.port'), LITTLE);
    view.setUint8(offset + 34, integer(value.protocol, 0, 255, 'service.protocol'));
    view.setUint8(offset + 35, integer(value.flags, 0, 255, 'service.flags'));
    view.setUint32(offset + 36, integer(value.slot_base, 0, 4294967295, 'service.slot_base'), LITTLE);
    view.setUint32(offset + 40, integer(value.slot_count, 0, 4294967295, 'service.slot_count'), LITTLE);
    view.setUint32(offset + 44, integer(value.pool, 0, 4294967295, 'service.pool'), LITTLE);
    view.setUint8(offset + 48, integer(value.quic_config_rotation, 0, 255, 'service.quic_config_rotation'));
    view.setUint8(offset + 49, integer(value.quic_server_id_bytes, 0, 255, 'service.quic_server_id_bytes'));
    setBytes(view, offset + 50, value.reserved, 14, 'service.reserved');
  },
};

export const SERVICE_LAYOUT =
  "service:64:address@0:struct 16{word@0:u32[4]},client_mask@16:u32[4],port@32:u16,protocol@34:u8,flags@35:u8,slot_base@36:u32,slot_count@40:u32,pool@44:u32,quic_config_rotation@48:u8,quic_server_id_bytes@49:u8,reserved@50:u8[14]";

export interface Backend {
  address: IpAddress;
  flags: number;
  encap: number;
  ip_version: number;
  gue_port: number;
  inner_mtu: number;
  ifindex: number;
  address_sum: number;
  destination_mac: Uint8Array;
  source_mac: Uint8Array;
  ether_type: number;
  vlan_tci: number;
  generation: number;
  reserved: Uint8Array;
}

export const backendCodec: Codec<Backend> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    address: ipAddressCodec.read(view, offset),
    flags: view.getUint16(offset + 16, LITTLE),
    encap: view.getUint8(offset + 18),
    ip_version: view.getUint8(offset + 19),
    gue_port: view.getUint16(offset + 20, LITTLE),
    inner_mtu: view.getUint16(offset + 22, LITTLE),
    ifindex: view.getUint32(offset + 24, LITTLE),
    address_sum: view.getUint32(offset + 28, LITTLE),
    destination_mac: bytes(view, offset + 32, 6).slice(),
    source_mac: bytes(view, offset + 38, 6).slice(),
    ether_type: view.getUint16(offset + 44, LITTLE),
    vlan_tci: view.getUint16(offset + 46, LITTLE),
    generation: view.getUint16(offset + 48, LITTLE),
    reserved: bytes(view, offset + 50, 14).slice(),
  }),
  write: (view, offset, value) => {
    ipAddressCodec.write(view, offset, value.address);
    view.setUint16(offset + 16, integer(value.flags, 0, 65535, 'backend.flags'), LITTLE);
    view.setUint8(offset + 18, integer(value.encap, 0, 255, 'backend.encap'));
    view.setUint8(offset + 19, integer(value.ip_version, 0, 255, 'backend.ip_version'));
    view.setUint16(offset + 20, integer(value.gue_port, 0, 65535, 'backend.gue_port'), LITTLE);
    view.setUint16(offset + 22, integer(value.inner_mtu, 0, 65535, 'backend.inner_mtu'), LITTLE);
    view.setUint32(offset + 24, integer(value.ifindex, 0, 4294967295, 'backend.ifindex'), LITTLE);
    view.setUint32(offset + 28, integer(value.address_sum, 0, 4294967295, 'backend.address_sum'), LITTLE);
    setBytes(view, offset + 32, value.destination_mac, 6, 'backend.destination_mac');
    setBytes(view, offset + 38, value.source_mac, 6, 'backend.source_mac');
    view.setUint16(offset + 44, integer(value.ether_type, 0, 65535, 'backend.ether_type'), LITTLE);
    view.setUint16(offset + 46, integer(value.vlan_tci, 0, 65535, 'backend.vlan_tci'), LITTLE);
    view.setUint16(offset + 48, integer(value.generation, 0, 65535, 'backend.generation'), LITTLE);
    setBytes(view, offset + 50, value.reserved, 14, 'backend.reserved');
  },
};

export const BACKEND_LAYOUT =
  "backend:64:address@0:struct 16{word@0:u32[4]},flags@16:u16,encap@18:u8,ip_version@19:u8,gue_port@20:u16,inner_mtu@22:u16,ifindex@24:u32,address_sum@28:u32,destination_mac@32:u8[6],source_mac@38:u8[6],ether_type@44:u16,vlan_tci@46:u16,generation@48:u16,reserved@50:u8[14]";

export interface Traffic {
  packets: bigint;
  bytes: bigint;
  new_flows: bigint;
}

export const trafficCodec: Codec<Traffic> = {
  sizeBytes: 24,
  read: (view, offset) => ({
    packets: view.getBigUint64(offset, LITTLE),
    bytes: view.getBigUint64(offset + 8, LITTLE),
    new_flows: view.getBigUint64(offset + 16, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.packets, 0n, 18446744073709551615n, 'traffic.packets'), LITTLE);
    view.setBigUint64(offset + 8, big(value.bytes, 0n, 18446744073709551615n, 'traffic.bytes'), LITTLE);
    view.setBigUint64(offset + 16, big(value.new_flows, 0n, 18446744073709551615n, 'traffic.new_flows'), LITTLE);
  },
};

export const TRAFFIC_LAYOUT =
  "traffic:24:packets@0:u64,bytes@8:u64,new_flows@16:u64";

export interface Counters {
  reasons: bigint[];
  services: Traffic[];
  backends: Traffic[];
}

export const countersCodec: Codec<Counters> = {
  sizeBytes: 197120,
  read: (view, offset) => ({
    reasons: list(64, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    services: list(4096, (index) => trafficCodec.read(view, offset + 512 + index * 24)),
    backends: list(4096, (index) => trafficCodec.read(view, offset + 98816 + index * 24)),
  }),
  write: (view, offset, value) => {
    setList(value.reasons, 64, 'counters.reasons', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'counters.reasons[]'), LITTLE));
    setList(value.services, 4096, 'counters.services', (item, index) => trafficCodec.write(view, offset + 512 + index * 24, item));
    setList(value.backends, 4096, 'counters.backends', (item, index) => trafficCodec.write(view, offset + 98816 + index * 24, item));
  },
};

export const COUNTERS_LAYOUT =
  "counters:197120:reasons@0:u64[64],services@512:struct 24{packets@0:u64,bytes@8:u64,new_flows@16:u64}[4096],backends@98816:struct 24{packets@0:u64,bytes@8:u64,new_flows@16:u64}[4096]";

export interface FragmentKey {
  source: IpAddress;
  destination: IpAddress;
  identification: number;
  protocol: number;
}

export const fragmentKeyCodec: Codec<FragmentKey> = {
  sizeBytes: 40,
  read: (view, offset) => ({
    source: ipAddressCodec.read(view, offset),
    destination: ipAddressCodec.read(view, offset + 16),
    identification: view.getUint32(offset + 32, LITTLE),
    protocol: view.getUint32(offset + 36, LITTLE),
  }),
  write: (view, offset, value) => {
    ipAddressCodec.write(view, offset, value.source);
    ipAddressCodec.write(view, offset + 16, value.destination);
    view.setUint32(offset + 32, integer(value.identification, 0, 4294967295, 'fragment_key.identification'), LITTLE);
    view.setUint32(offset + 36, integer(value.protocol, 0, 4294967295, 'fragment_key.protocol'), LITTLE);
  },
};

export const FRAGMENT_KEY_LAYOUT =
  "fragment_key:40:source@0:struct 16{word@0:u32[4]},destination@16:struct 16{word@0:u32[4]},identification@32:u32,protocol@36:u32";

export interface FragmentEntry {
  seen_ns: bigint;
  service: number;
  backend: number;
  generation: number;
}

export const fragmentEntryCodec: Codec<FragmentEntry> = {
  sizeBytes: 16,
  read: (view, offset) => ({
    seen_ns: view.getBigUint64(offset, LITTLE),
    service: view.getUint32(offset + 8, LITTLE),
    backend: view.getUint16(offset + 12, LITTLE),
    generation: view.getUint16(offset + 14, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.seen_ns, 0n, 18446744073709551615n, 'fragment_entry.seen_ns'), LITTLE);
    view.setUint32(offset + 8, integer(value.service, 0, 4294967295, 'fragment_entry.service'), LITTLE);
    view.setUint16(offset + 12, integer(value.backend, 0, 65535, 'fragment_entry.backend'), LITTLE);
    view.setUint16(offset + 14, integer(value.generation, 0, 65535, 'fragment_entry.generation'), LITTLE);
  },
};

export const FRAGMENT_ENTRY_LAYOUT =
  "fragment_entry:16:seen_ns@0:u64,service@8:u32,backend@12:u16,generation@14:u16";

export interface CaptureFilter {
  reasons: bigint;
  client: IpAddress;
  address: IpAddress;
  client_port: number;
  port: number;
  protocol: number;
}

export const captureFilterCodec: Codec<CaptureFilter> = {
  sizeBytes: 48,
  read: (view, offset) => ({
    reasons: view.getBigUint64(offset, LITTLE),
    client: ipAddressCodec.read(view, offset + 8),
    address: ipAddressCodec.read(view, offset + 24),
    client_port: view.getUint16(offset + 40, LITTLE),
    port: view.getUint16(offset + 42, LITTLE),
    protocol: view.getUint32(offset + 44, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.reasons, 0n, 18446744073709551615n, 'capture_filter.reasons'), LITTLE);
    ipAddressCodec.write(view, offset + 8, value.client);
    ipAddressCodec.write(view, offset + 24, value.address);
    view.setUint16(offset + 40, integer(value.client_port, 0, 65535, 'capture_filter.client_port'), LITTLE);
    view.setUint16(offset + 42, integer(value.port, 0, 65535, 'capture_filter.port'), LITTLE);
    view.setUint32(offset + 44, integer(value.protocol, 0, 4294967295, 'capture_filter.protocol'), LITTLE);
  },
};

export const CAPTURE_FILTER_LAYOUT =
  "capture_filter:48:reasons@0:u64,client@8:struct 16{word@0:u32[4]},address@24:struct 16{word@0:u32[4]},client_port@40:u16,port@42:u16,protocol@44:u32";

export interface CaptureRecord {
  time_ns: bigint;
  reason: number;
  ifindex: number;
  length: number;
  captured: number;
  bytes: Uint8Array;
}

export const captureRecordCodec: Codec<CaptureRecord> = {
  sizeBytes: 2008,
  read: (view, offset) => ({
    time_ns: view.getBigUint64(offset, LITTLE),
    reason: view.getUint32(offset + 8, LITTLE),
    ifindex: view.getUint32(offset + 12, LITTLE),
    length: view.getUint32(offset + 16, LITTLE),
    captured: view.getUint32(offset + 20, LITTLE),
    bytes: bytes(view, offset + 24, 1984).slice(),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.time_ns, 0n, 18446744073709551615n, 'capture_record.time_ns'), LITTLE);
    view.setUint32(offset + 8, integer(value.reason, 0, 4294967295, 'capture_record.reason'), LITTLE);
    view.setUint32(offset + 12, integer(value.ifindex, 0, 4294967295, 'capture_record.ifindex'), LITTLE);
    view.setUint32(offset + 16, integer(value.length, 0, 4294967295, 'capture_record.length'), LITTLE);
    view.setUint32(offset + 20, integer(value.captured, 0, 4294967295, 'capture_record.captured'), LITTLE);
    setBytes(view, offset + 24, value.bytes, 1984, 'capture_record.bytes');
  },
};

export const CAPTURE_RECORD_LAYOUT =
  "capture_record:2008:time_ns@0:u64,reason@8:u32,ifindex@12:u32,length@16:u32,captured@20:u32,bytes@24:u8[1984]";

export interface Decision {
  hash: bigint;
  slot_word: bigint;
  service: number;
  slot: number;
  backend: number;
  reason: number;
}

export const decisionCodec: Codec<Decision> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    hash: view.getBigUint64(offset, LITTLE),
    slot_word: view.getBigUint64(offset + 8, LITTLE),
    service: view.getUint32(offset + 16, LITTLE),
    slot: view.getUint32(offset + 20, LITTLE),
    backend: view.getUint32(offset + 24, LITTLE),
    reason: view.getUint32(offset + 28, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.hash, 0n, 18446744073709551615n, 'decision.hash'), LITTLE);
    view.setBigUint64(offset + 8, big(value.slot_word, 0n, 18446744073709551615n, 'decision.slot_word'), LITTLE);
    view.setUint32(offset + 16, integer(value.service, 0, 4294967295, 'decision.service'), LITTLE);
    view.setUint32(offset + 20, integer(value.slot, 0, 4294967295, 'decision.slot'), LITTLE);
    view.setUint32(offset + 24, integer(value.backend, 0, 4294967295, 'decision.backend'), LITTLE);
    view.setUint32(offset + 28, integer(value.reason, 0, 4294967295, 'decision.reason'), LITTLE);
  },
};

export const DECISION_LAYOUT =
  "decision:32:hash@0:u64,slot_word@8:u64,service@16:u32,slot@20:u32,backend@24:u32,reason@28:u32";

export interface Explanation {
  decision: Decision;
  reason: number;
  ifindex: number;
  fragment: FragmentKey;
  fragment_wanted: number;
  reserved: number;
}

export const explanationCodec: Codec<Explanation> = {
  sizeBytes: 88,
  read: (view, offset) => ({
    decision: decisionCodec.read(view, offset),
    reason: view.getUint32(offset + 32, LITTLE),
    ifindex: view.getUint32(offset + 36, LITTLE),
    fragment: fragmentKeyCodec.read(view, offset + 40),
    fragment_wanted: view.getUint32(offset + 80, LITTLE),
    reserved: view.getUint32(offset + 84, LITTLE),
  }),
  write: (view, offset, value) => {
    decisionCodec.write(view, offset, value.decision);
    view.setUint32(offset + 32, integer(value.reason, 0, 4294967295, 'explanation.reason'), LITTLE);
    view.setUint32(offset + 36, integer(value.ifindex, 0, 4294967295, 'explanation.ifindex'), LITTLE);
    fragmentKeyCodec.write(view, offset + 40, value.fragment);
    view.setUint32(offset + 80, integer(value.fragment_wanted, 0, 4294967295, 'explanation.fragment_wanted'), LITTLE);
    view.setUint32(offset + 84, integer(value.reserved, 0, 4294967295, 'explanation.reserved'), LITTLE);
  },
};

export const EXPLANATION_LAYOUT =
  "explanation:88:decision@0:struct 32{hash@0:u64,slot_word@8:u64,service@16:u32,slot@20:u32,backend@24:u32,reason@28:u32},reason@32:enum reason u32,ifindex@36:u32,fragment@40:struct 40{source@0:struct 16{word@0:u32[4]},destination@16:struct 16{word@0:u32[4]},identification@32:u32,protocol@36:u32},fragment_wanted@80:u32,reserved@84:u32";

export interface HashKey {
  flow: bigint;
  place: bigint;
  service_port: bigint;
  client_port: bigint;
  service: bigint[];
  client: bigint[];
}

export const hashKeyCodec: Codec<HashKey> = {
  sizeBytes: 96,
  read: (view, offset) => ({
    flow: view.getBigUint64(offset, LITTLE),
    place: view.getBigUint64(offset + 8, LITTLE),
    service_port: view.getBigUint64(offset + 16, LITTLE),
    client_port: view.getBigUint64(offset + 24, LITTLE),
    service: list(4, (index) => view.getBigUint64(offset + 32 + index * 8, LITTLE)),
    client: list(4, (index) => view.getBigUint64(offset + 64 + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.flow, 0n, 18446744073709551615n, 'hash_key.flow'), LITTLE);
    view.setBigUint64(offset + 8, big(value.place, 0n, 18446744073709551615n, 'hash_key.place'), LITTLE);
    view.setBigUint64(offset + 16, big(value.service_port, 0n, 18446744073709551615n, 'hash_key.service_port'), LITTLE);
    view.setBigUint64(offset + 24, big(value.client_port, 0n, 18446744073709551615n, 'hash_key.client_port'), LITTLE);
    setList(value.service, 4, 'hash_key.service', (item, index) => view.setBigUint64(offset + 32 + index * 8, big(item, 0n, 18446744073709551615n, 'hash_key.service[]'), LITTLE));
    setList(value.client, 4, 'hash_key.client', (item, index) => view.setBigUint64(offset + 64 + index * 8, big(item, 0n, 18446744073709551615n, 'hash_key.client[]'), LITTLE));
  },
};

export const HASH_KEY_LAYOUT =
  "hash_key:96:flow@0:u64,place@8:u64,service_port@16:u64,client_port@24:u64,service@32:u64[4],client@64:u64[4]";

export interface TunnelSource {
  address: IpAddress;
  spread: number;
}

export const tunnelSourceCodec: Codec<TunnelSource> = {
  sizeBytes: 20,
  read: (view, offset) => ({
    address: ipAddressCodec.read(view, offset),
    spread: view.getUint32(offset + 16, LITTLE),
  }),
  write: (view, offset, value) => {
    ipAddressCodec.write(view, offset, value.address);
    view.setUint32(offset + 16, integer(value.spread, 0, 4294967295, 'tunnel_source.spread'), LITTLE);
  },
};

export const TUNNEL_SOURCE_LAYOUT =
  "tunnel_source:20:address@0:struct 16{word@0:u32[4]},spread@16:u32";

export interface MuxSource {
  address: IpAddress;
  mask: IpAddress;
}

export const muxSourceCodec: Codec<MuxSource> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    address: ipAddressCodec.read(view, offset),
    mask: ipAddressCodec.read(view, offset + 16),
  }),
  write: (view, offset, value) => {
    ipAddressCodec.write(view, offset, value.address);
    ipAddressCodec.write(view, offset + 16, value.mask);
  },
};

export const MUX_SOURCE_LAYOUT =
  "mux_source:32:address@0:struct 16{word@0:u32[4]},mask@16:struct 16{word@0:u32[4]}";

export const Limit = {
  LIMIT_SERVICES: 4096,
  LIMIT_SERVICE_PROBES: 8,
  LIMIT_BACKENDS: 4096,
  LIMIT_REASONS: 64,
  LIMIT_ADDRESS_FILTER_BYTES: 4096,
  LIMIT_INDEX_BUCKET_WORDS: 8,
  LIMIT_CAPTURE_BYTES: 1984,
  LIMIT_MUX_SOURCES: 64,
  LIMIT_SLOT_NONE: 4294967295,
} as const;

export type Limit = (typeof Limit)[keyof typeof Limit];

export const LIMIT_NAMES: Readonly<Record<number, string>> = {
  4096: 'LIMIT_SERVICES',
  8: 'LIMIT_SERVICE_PROBES',
  1984: 'LIMIT_CAPTURE_BYTES',
  64: 'LIMIT_REASONS',
  4294967295: 'LIMIT_SLOT_NONE',
};

export const ServiceFlag = {
  SERVICE_PRESENT: 128,
  SERVICE_CONTINUED: 64,
  SERVICE_ANY_PORT: 1,
  SERVICE_CLIENT_AFFINITY: 2,
  SERVICE_NO_SOURCE_PORT: 4,
  SERVICE_QUIC: 8,
} as const;

export type ServiceFlag = (typeof ServiceFlag)[keyof typeof ServiceFlag];

export const SERVICE_FLAG_NAMES: Readonly<Record<number, string>> = {
  128: 'SERVICE_PRESENT',
  64: 'SERVICE_CONTINUED',
  1: 'SERVICE_ANY_PORT',
  2: 'SERVICE_CLIENT_AFFINITY',
  4: 'SERVICE_NO_SOURCE_PORT',
  8: 'SERVICE_QUIC',
};

export const EncapKind = {
  ENCAP_IP: 0,
  ENCAP_GUE: 1,
} as const;

export type EncapKind = (typeof EncapKind)[keyof typeof EncapKind];

export const ENCAP_KIND_NAMES: Readonly<Record<number, string>> = {
  0: 'ENCAP_IP',
  1: 'ENCAP_GUE',
};

export const BackendFlag = {
  BACKEND_PRESENT: 1,
  BACKEND_NEXT_HOP: 2,
  BACKEND_VLAN: 4,
} as const;

export type BackendFlag = (typeof BackendFlag)[keyof typeof BackendFlag];

export const BACKEND_FLAG_NAMES: Readonly<Record<number, string>> = {
  1: 'BACKEND_PRESENT',
  2: 'BACKEND_NEXT_HOP',
  4: 'BACKEND_VLAN',
};

export const Reason = {
  REASON_NONE: 0,
  PASS_NOT_IP: 1,
  PASS_MALFORMED: 2,
  PASS_NOT_A_SERVICE: 3,
  PASS_NO_SUCH_PORT: 4,
  PASS_ICMP_OTHER: 5,
  PASS_NOT_TUNNELLED: 6,
  DECAP: 7,
  FORWARD: 8,
  FORWARD_QUIC: 9,
  FORWARD_ICMP_ERROR: 10,
  FORWARD_FIRST_FRAGMENT: 11,
  FORWARD_LATER_FRAGMENT: 12,
  REPLY_ECHO: 13,
  REPLY_TOO_BIG: 14,
  DROP_TRUNCATED: 15,
  DROP_BAD_HEADER: 16,
  DROP_EXTENSION_HEADERS: 17,
  DROP_NO_BACKEND: 18,
  DROP_FRAGMENT_UNKNOWN: 19,
  DROP_NO_ROUTE: 20,
  DROP_FORWARDING_OFF: 21,
  DROP_NO_NEIGHBOUR: 22,
  DROP_TOO_BIG: 23,
  DROP_NO_HEADROOM: 24,
  DROP_FOREIGN_TUNNEL: 25,
  DROP_NOT_FOR_SERVICE: 26,
  DROP_ECN: 27,
  DROP_INTERNAL: 28,
  REASON_COUNT: 29,
} as const;

export type Reason = (typeof Reason)[keyof typeof Reason];

export const REASON_NAMES: Readonly<Record<number, string>> = {
  0: 'REASON_NONE',
  1: 'PASS_NOT_IP',
  2: 'PASS_MALFORMED',
  3: 'PASS_NOT_A_SERVICE',
  4: 'PASS_NO_SUCH_PORT',
  5: 'PASS_ICMP_OTHER',
  6: 'PASS_NOT_TUNNELLED',
  7: 'DECAP',
  8: 'FORWARD',
  9: 'FORWARD_QUIC',
  10: 'FORWARD_ICMP_ERROR',
  11: 'FORWARD_FIRST_FRAGMENT',
  12: 'FORWARD_LATER_FRAGMENT',
  13: 'REPLY_ECHO',
  14: 'REPLY_TOO_BIG',
  15: 'DROP_TRUNCATED',
  16: 'DROP_BAD_HEADER',
  17: 'DROP_EXTENSION_HEADERS',
  18: 'DROP_NO_BACKEND',
  19: 'DROP_FRAGMENT_UNKNOWN',
  20: 'DROP_NO_ROUTE',
  21: 'DROP_FORWARDING_OFF',
  22: 'DROP_NO_NEIGHBOUR',
  23: 'DROP_TOO_BIG',
  24: 'DROP_NO_HEADROOM',
  25: 'DROP_FOREIGN_TUNNEL',
  26: 'DROP_NOT_FOR_SERVICE',
  27: 'DROP_ECN',
  28: 'DROP_INTERNAL',
  29: 'REASON_COUNT',
};

export const Observer = {
  OBSERVER_NONE: 0,
  OBSERVER_CAPTURE: 1,
  OBSERVER_EXPLAIN: 2,
} as const;

export type Observer = (typeof Observer)[keyof typeof Observer];

export const OBSERVER_NAMES: Readonly<Record<number, string>> = {
  0: 'OBSERVER_NONE',
  1: 'OBSERVER_CAPTURE',
  2: 'OBSERVER_EXPLAIN',
};
