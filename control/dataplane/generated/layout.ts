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
  idle_time: number;
  link_address: Uint8Array;
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
    idle_time: view.getUint16(offset + 50, LITTLE),
    link_address: bytes(view, offset + 52, 6).slice(),
    reserved: bytes(view, offset + 58, 6).slice(),
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
    view.setUint16(offset + 50, integer(value.idle_time, 0, 65535, 'service.idle_time'), LITTLE);
    setBytes(view, offset + 52, value.link_address, 6, 'service.link_address');
    setBytes(view, offset + 58, value.reserved, 6, 'service.reserved');
  },
};

export const SERVICE_LAYOUT =
  "service:64:address@0:struct 16{word@0:u32[4]},client_mask@16:u32[4],port@32:u16,protocol@34:u8,flags@35:u8,slot_base@36:u32,slot_count@40:u32,pool@44:u32,quic_config_rotation@48:u8,quic_server_id_bytes@49:u8,idle_time@50:u16,link_address@52:u8[6],reserved@58:u8[6]";

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
  flow_events: bigint[];
  services: Traffic[];
  backends: Traffic[];
}

export const countersCodec: Codec<Counters> = {
  sizeBytes: 197888,
  read: (view, offset) => ({
    reasons: list(128, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    flow_events: list(32, (index) => view.getBigUint64(offset + 1024 + index * 8, LITTLE)),
    services: list(4096, (index) => trafficCodec.read(view, offset + 1280 + index * 24)),
    backends: list(4096, (index) => trafficCodec.read(view, offset + 99584 + index * 24)),
  }),
  write: (view, offset, value) => {
    setList(value.reasons, 128, 'counters.reasons', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'counters.reasons[]'), LITTLE));
    setList(value.flow_events, 32, 'counters.flow_events', (item, index) => view.setBigUint64(offset + 1024 + index * 8, big(item, 0n, 18446744073709551615n, 'counters.flow_events[]'), LITTLE));
    setList(value.services, 4096, 'counters.services', (item, index) => trafficCodec.write(view, offset + 1280 + index * 24, item));
    setList(value.backends, 4096, 'counters.backends', (item, index) => trafficCodec.write(view, offset + 99584 + index * 24, item));
  },
};

export const COUNTERS_LAYOUT =
  "counters:197888:reasons@0:u64[128],flow_events@1024:u64[32],services@1280:struct 24{packets@0:u64,bytes@8:u64,new_flows@16:u64}[4096],backends@99584:struct 24{packets@0:u64,bytes@8:u64,new_flows@16:u64}[4096]";

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
  reasons: bigint[];
  client: IpAddress;
  address: IpAddress;
  client_port: number;
  port: number;
  protocol: number;
}

export const captureFilterCodec: Codec<CaptureFilter> = {
  sizeBytes: 56,
  read: (view, offset) => ({
    reasons: list(2, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    client: ipAddressCodec.read(view, offset + 16),
    address: ipAddressCodec.read(view, offset + 32),
    client_port: view.getUint16(offset + 48, LITTLE),
    port: view.getUint16(offset + 50, LITTLE),
    protocol: view.getUint32(offset + 52, LITTLE),
  }),
  write: (view, offset, value) => {
    setList(value.reasons, 2, 'capture_filter.reasons', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'capture_filter.reasons[]'), LITTLE));
    ipAddressCodec.write(view, offset + 16, value.client);
    ipAddressCodec.write(view, offset + 32, value.address);
    view.setUint16(offset + 48, integer(value.client_port, 0, 65535, 'capture_filter.client_port'), LITTLE);
    view.setUint16(offset + 50, integer(value.port, 0, 65535, 'capture_filter.port'), LITTLE);
    view.setUint32(offset + 52, integer(value.protocol, 0, 4294967295, 'capture_filter.protocol'), LITTLE);
  },
};

export const CAPTURE_FILTER_LAYOUT =
  "capture_filter:56:reasons@0:u64[2],client@16:struct 16{word@0:u32[4]},address@32:struct 16{word@0:u32[4]},client_port@48:u16,port@50:u16,protocol@52:u32";

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
  chain: number;
  track_epoch: number;
  chain_epoch: number;
  owner: number;
  backup: number;
  tracked: number;
  answer_source: number;
  answer: number;
}

export const explanationCodec: Codec<Explanation> = {
  sizeBytes: 104,
  read: (view, offset) => ({
    decision: decisionCodec.read(view, offset),
    reason: view.getUint32(offset + 32, LITTLE),
    ifindex: view.getUint32(offset + 36, LITTLE),
    fragment: fragmentKeyCodec.read(view, offset + 40),
    fragment_wanted: view.getUint32(offset + 80, LITTLE),
    chain: view.getUint32(offset + 84, LITTLE),
    track_epoch: view.getUint32(offset + 88, LITTLE),
    chain_epoch: view.getUint32(offset + 92, LITTLE),
    owner: view.getUint16(offset + 96, LITTLE),
    backup: view.getUint16(offset + 98, LITTLE),
    tracked: view.getUint8(offset + 100),
    answer_source: view.getUint8(offset + 101),
    answer: view.getUint16(offset + 102, LITTLE),
  }),
  write: (view, offset, value) => {
    decisionCodec.write(view, offset, value.decision);
    view.setUint32(offset + 32, integer(value.reason, 0, 4294967295, 'explanation.reason'), LITTLE);
    view.setUint32(offset + 36, integer(value.ifindex, 0, 4294967295, 'explanation.ifindex'), LITTLE);
    fragmentKeyCodec.write(view, offset + 40, value.fragment);
    view.setUint32(offset + 80, integer(value.fragment_wanted, 0, 4294967295, 'explanation.fragment_wanted'), LITTLE);
    view.setUint32(offset + 84, integer(value.chain, 0, 4294967295, 'explanation.chain'), LITTLE);
    view.setUint32(offset + 88, integer(value.track_epoch, 0, 4294967295, 'explanation.track_epoch'), LITTLE);
    view.setUint32(offset + 92, integer(value.chain_epoch, 0, 4294967295, 'explanation.chain_epoch'), LITTLE);
    view.setUint16(offset + 96, integer(value.owner, 0, 65535, 'explanation.owner'), LITTLE);
    view.setUint16(offset + 98, integer(value.backup, 0, 65535, 'explanation.backup'), LITTLE);
    view.setUint8(offset + 100, integer(value.tracked, 0, 255, 'explanation.tracked'));
    view.setUint8(offset + 101, integer(value.answer_source, 0, 255, 'explanation.answer_source'));
    view.setUint16(offset + 102, integer(value.answer, 0, 65535, 'explanation.answer'), LITTLE);
  },
};

export const EXPLANATION_LAYOUT =
  "explanation:104:decision@0:struct 32{hash@0:u64,slot_word@8:u64,service@16:u32,slot@20:u32,backend@24:u32,reason@28:u32},reason@32:enum reason u32,ifindex@36:u32,fragment@40:struct 40{source@0:struct 16{word@0:u32[4]},destination@16:struct 16{word@0:u32[4]},identification@32:u32,protocol@36:u32},fragment_wanted@80:u32,chain@84:u32,track_epoch@88:u32,chain_epoch@92:u32,owner@96:u16,backup@98:u16,tracked@100:u8,answer_source@101:u8,answer@102:u16";

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

export interface Chain {
  track_epoch: number;
  chain_epoch: number;
  owner: number;
  backup: number;
  owner_incarnation: number;
  backup_incarnation: number;
  reserved: number;
  unrecorded_ns: bigint;
}

export const chainCodec: Codec<Chain> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    track_epoch: view.getUint32(offset, LITTLE),
    chain_epoch: view.getUint32(offset + 4, LITTLE),
    owner: view.getUint16(offset + 8, LITTLE),
    backup: view.getUint16(offset + 10, LITTLE),
    owner_incarnation: view.getUint32(offset + 12, LITTLE),
    backup_incarnation: view.getUint32(offset + 16, LITTLE),
    reserved: view.getUint32(offset + 20, LITTLE),
    unrecorded_ns: view.getBigUint64(offset + 24, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.track_epoch, 0, 4294967295, 'chain.track_epoch'), LITTLE);
    view.setUint32(offset + 4, integer(value.chain_epoch, 0, 4294967295, 'chain.chain_epoch'), LITTLE);
    view.setUint16(offset + 8, integer(value.owner, 0, 65535, 'chain.owner'), LITTLE);
    view.setUint16(offset + 10, integer(value.backup, 0, 65535, 'chain.backup'), LITTLE);
    view.setUint32(offset + 12, integer(value.owner_incarnation, 0, 4294967295, 'chain.owner_incarnation'), LITTLE);
    view.setUint32(offset + 16, integer(value.backup_incarnation, 0, 4294967295, 'chain.backup_incarnation'), LITTLE);
    view.setUint32(offset + 20, integer(value.reserved, 0, 4294967295, 'chain.reserved'), LITTLE);
    view.setBigUint64(offset + 24, big(value.unrecorded_ns, 0n, 18446744073709551615n, 'chain.unrecorded_ns'), LITTLE);
  },
};

export const CHAIN_LAYOUT =
  "chain:32:track_epoch@0:u32,chain_epoch@4:u32,owner@8:u16,backup@10:u16,owner_incarnation@12:u32,backup_incarnation@16:u32,reserved@20:u32,unrecorded_ns@24:u64";

export interface FlowEntry {
  slot: number;
  track_epoch: number;
  client: number;
  chain_epoch: number;
  backend: number;
  generation: number;
  seen: number;
  idle_time: number;
  state: number;
  protocol: number;
}

export const flowEntryCodec: Codec<FlowEntry> = {
  sizeBytes: 24,
  read: (view, offset) => ({
    slot: view.getUint32(offset, LITTLE),
    track_epoch: view.getUint32(offset + 4, LITTLE),
    client: view.getUint32(offset + 8, LITTLE),
    chain_epoch: view.getUint16(offset + 12, LITTLE),
    backend: view.getUint16(offset + 14, LITTLE),
    generation: view.getUint16(offset + 16, LITTLE),
    seen: view.getUint16(offset + 18, LITTLE),
    idle_time: view.getUint16(offset + 20, LITTLE),
    state: view.getUint8(offset + 22),
    protocol: view.getUint8(offset + 23),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.slot, 0, 4294967295, 'flow_entry.slot'), LITTLE);
    view.setUint32(offset + 4, integer(value.track_epoch, 0, 4294967295, 'flow_entry.track_epoch'), LITTLE);
    view.setUint32(offset + 8, integer(value.client, 0, 4294967295, 'flow_entry.client'), LITTLE);
    view.setUint16(offset + 12, integer(value.chain_epoch, 0, 65535, 'flow_entry.chain_epoch'), LITTLE);
    view.setUint16(offset + 14, integer(value.backend, 0, 65535, 'flow_entry.backend'), LITTLE);
    view.setUint16(offset + 16, integer(value.generation, 0, 65535, 'flow_entry.generation'), LITTLE);
    view.setUint16(offset + 18, integer(value.seen, 0, 65535, 'flow_entry.seen'), LITTLE);
    view.setUint16(offset + 20, integer(value.idle_time, 0, 65535, 'flow_entry.idle_time'), LITTLE);
    view.setUint8(offset + 22, integer(value.state, 0, 255, 'flow_entry.state'));
    view.setUint8(offset + 23, integer(value.protocol, 0, 255, 'flow_entry.protocol'));
  },
};

export const FLOW_ENTRY_LAYOUT =
  "flow_entry:24:slot@0:u32,track_epoch@4:u32,client@8:u32,chain_epoch@12:u16,backend@14:u16,generation@16:u16,seen@18:u16,idle_time@20:u16,state@22:u8,protocol@23:u8";

export interface FlowMessageEntry {
  fingerprint: bigint;
  entry: FlowEntry;
}

export const flowMessageEntryCodec: Codec<FlowMessageEntry> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    fingerprint: view.getBigUint64(offset, LITTLE),
    entry: flowEntryCodec.read(view, offset + 8),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.fingerprint, 0n, 18446744073709551615n, 'flow_message_entry.fingerprint'), LITTLE);
    flowEntryCodec.write(view, offset + 8, value.entry);
  },
};

export const FLOW_MESSAGE_ENTRY_LAYOUT =
  "flow_message_entry:32:fingerprint@0:u64,entry@8:struct 24{slot@0:u32,track_epoch@4:u32,client@8:u32,chain_epoch@12:u16,backend@14:u16,generation@16:u16,seen@18:u16,idle_time@20:u16,state@22:u8,protocol@23:u8}";

export interface FlowBucket {
  lock: number;
  states: number;
  touched: number;
  refused: number;
  reserved: Uint8Array;
  place: FlowMessageEntry[];
}

export const flowBucketCodec: Codec<FlowBucket> = {
  sizeBytes: 256,
  read: (view, offset) => ({
    lock: view.getUint32(offset, LITTLE),
    states: view.getUint16(offset + 4, LITTLE),
    touched: view.getUint16(offset + 6, LITTLE),
    refused: view.getUint16(offset + 8, LITTLE),
    reserved: bytes(view, offset + 10, 22).slice(),
    place: list(7, (index) => flowMessageEntryCodec.read(view, offset + 32 + index * 32)),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.lock, 0, 4294967295, 'flow_bucket.lock'), LITTLE);
    view.setUint16(offset + 4, integer(value.states, 0, 65535, 'flow_bucket.states'), LITTLE);
    view.setUint16(offset + 6, integer(value.touched, 0, 65535, 'flow_bucket.touched'), LITTLE);
    view.setUint16(offset + 8, integer(value.refused, 0, 65535, 'flow_bucket.refused'), LITTLE);
    setBytes(view, offset + 10, value.reserved, 22, 'flow_bucket.reserved');
    setList(value.place, 7, 'flow_bucket.place', (item, index) => flowMessageEntryCodec.write(view, offset + 32 + index * 32, item));
  },
};

export const FLOW_BUCKET_LAYOUT =
  "flow_bucket:256:lock@0:u32,states@4:u16,touched@6:u16,refused@8:u16,reserved@10:u8[22],place@32:struct 32{fingerprint@0:u64,entry@8:struct 24{slot@0:u32,track_epoch@4:u32,client@8:u32,chain_epoch@12:u16,backend@14:u16,generation@16:u16,seen@18:u16,idle_time@20:u16,state@22:u8,protocol@23:u8}}[7]";

export interface CacheBucket {
  fingerprint: bigint[];
  state: bigint[];
}

export const cacheBucketCodec: Codec<CacheBucket> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    fingerprint: list(4, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    state: list(4, (index) => view.getBigUint64(offset + 32 + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.fingerprint, 4, 'cache_bucket.fingerprint', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'cache_bucket.fingerprint[]'), LITTLE));
    setList(value.state, 4, 'cache_bucket.state', (item, index) => view.setBigUint64(offset + 32 + index * 8, big(item, 0n, 18446744073709551615n, 'cache_bucket.state[]'), LITTLE));
  },
};

export const CACHE_BUCKET_LAYOUT =
  "cache_bucket:64:fingerprint@0:u64[4],state@32:u64[4]";

export interface MuxSelf {
  deadline: bigint;
  id: number;
  incarnation: number;
  version: number;
  time_offset: number;
  key_id: number;
  reserved: Uint8Array;
}

export const muxSelfCodec: Codec<MuxSelf> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    deadline: view.getBigUint64(offset, LITTLE),
    id: view.getUint32(offset + 8, LITTLE),
    incarnation: view.getUint32(offset + 12, LITTLE),
    version: view.getUint32(offset + 16, LITTLE),
    time_offset: view.getUint32(offset + 20, LITTLE),
    key_id: view.getUint8(offset + 24),
    reserved: bytes(view, offset + 25, 7).slice(),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.deadline, 0n, 18446744073709551615n, 'mux_self.deadline'), LITTLE);
    view.setUint32(offset + 8, integer(value.id, 0, 4294967295, 'mux_self.id'), LITTLE);
    view.setUint32(offset + 12, integer(value.incarnation, 0, 4294967295, 'mux_self.incarnation'), LITTLE);
    view.setUint32(offset + 16, integer(value.version, 0, 4294967295, 'mux_self.version'), LITTLE);
    view.setUint32(offset + 20, integer(value.time_offset, 0, 4294967295, 'mux_self.time_offset'), LITTLE);
    view.setUint8(offset + 24, integer(value.key_id, 0, 255, 'mux_self.key_id'));
    setBytes(view, offset + 25, value.reserved, 7, 'mux_self.reserved');
  },
};

export const MUX_SELF_LAYOUT =
  "mux_self:32:deadline@0:u64,id@8:u32,incarnation@12:u32,version@16:u32,time_offset@20:u32,key_id@24:u8,reserved@25:u8[7]";

export interface ClockRecord {
  driven_ns: bigint;
  jiffies_offset_ns: bigint;
  jiffy_ns: bigint;
}

export const clockRecordCodec: Codec<ClockRecord> = {
  sizeBytes: 24,
  read: (view, offset) => ({
    driven_ns: view.getBigUint64(offset, LITTLE),
    jiffies_offset_ns: view.getBigUint64(offset + 8, LITTLE),
    jiffy_ns: view.getBigUint64(offset + 16, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.driven_ns, 0n, 18446744073709551615n, 'clock_record.driven_ns'), LITTLE);
    view.setBigUint64(offset + 8, big(value.jiffies_offset_ns, 0n, 18446744073709551615n, 'clock_record.jiffies_offset_ns'), LITTLE);
    view.setBigUint64(offset + 16, big(value.jiffy_ns, 0n, 18446744073709551615n, 'clock_record.jiffy_ns'), LITTLE);
  },
};

export const CLOCK_RECORD_LAYOUT =
  "clock_record:24:driven_ns@0:u64,jiffies_offset_ns@8:u64,jiffy_ns@16:u64";

export interface AskKey {
  key: bigint[];
  present: number;
  reserved: Uint8Array;
}

export const askKeyCodec: Codec<AskKey> = {
  sizeBytes: 24,
  read: (view, offset) => ({
    key: list(2, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    present: view.getUint8(offset + 16),
    reserved: bytes(view, offset + 17, 7).slice(),
  }),
  write: (view, offset, value) => {
    setList(value.key, 2, 'ask_key.key', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'ask_key.key[]'), LITTLE));
    view.setUint8(offset + 16, integer(value.present, 0, 255, 'ask_key.present'));
    setBytes(view, offset + 17, value.reserved, 7, 'ask_key.reserved');
  },
};

export const ASK_KEY_LAYOUT =
  "ask_key:24:key@0:u64[2],present@16:u8,reserved@17:u8[7]";

export interface PeerState {
  heard_ns: bigint;
  pledged_ns: bigint;
  copy_round: number;
  version: number;
  incarnation: number;
  time: number;
  echo: number;
  flags: number;
  pledge_echo: bigint;
  pledged_version: number;
  reserved: number[];
}

export const peerStateCodec: Codec<PeerState> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    heard_ns: view.getBigUint64(offset, LITTLE),
    pledged_ns: view.getBigUint64(offset + 8, LITTLE),
    copy_round: view.getUint32(offset + 16, LITTLE),
    version: view.getUint32(offset + 20, LITTLE),
    incarnation: view.getUint32(offset + 24, LITTLE),
    time: view.getUint32(offset + 28, LITTLE),
    echo: view.getUint32(offset + 32, LITTLE),
    flags: view.getUint32(offset + 36, LITTLE),
    pledge_echo: view.getBigUint64(offset + 40, LITTLE),
    pledged_version: view.getUint32(offset + 48, LITTLE),
    reserved: list(3, (index) => view.getUint32(offset + 52 + index * 4, LITTLE)),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.heard_ns, 0n, 18446744073709551615n, 'peer_state.heard_ns'), LITTLE);
    view.setBigUint64(offset + 8, big(value.pledged_ns, 0n, 18446744073709551615n, 'peer_state.pledged_ns'), LITTLE);
    view.setUint32(offset + 16, integer(value.copy_round, 0, 4294967295, 'peer_state.copy_round'), LITTLE);
    view.setUint32(offset + 20, integer(value.version, 0, 4294967295, 'peer_state.version'), LITTLE);
    view.setUint32(offset + 24, integer(value.incarnation, 0, 4294967295, 'peer_state.incarnation'), LITTLE);
    view.setUint32(offset + 28, integer(value.time, 0, 4294967295, 'peer_state.time'), LITTLE);
    view.setUint32(offset + 32, integer(value.echo, 0, 4294967295, 'peer_state.echo'), LITTLE);
    view.setUint32(offset + 36, integer(value.flags, 0, 4294967295, 'peer_state.flags'), LITTLE);
    view.setBigUint64(offset + 40, big(value.pledge_echo, 0n, 18446744073709551615n, 'peer_state.pledge_echo'), LITTLE);
    view.setUint32(offset + 48, integer(value.pledged_version, 0, 4294967295, 'peer_state.pledged_version'), LITTLE);
    setList(value.reserved, 3, 'peer_state.reserved', (item, index) => view.setUint32(offset + 52 + index * 4, integer(item, 0, 4294967295, 'peer_state.reserved[]'), LITTLE));
  },
};

export const PEER_STATE_LAYOUT =
  "peer_state:64:heard_ns@0:u64,pledged_ns@8:u64,copy_round@16:u32,version@20:u32,incarnation@24:u32,time@28:u32,echo@32:u32,flags@36:u32,pledge_echo@40:u64,pledged_version@48:u32,reserved@52:u32[3]";

export interface CopiesTaken {
  word: number[];
}

export const copiesTakenCodec: Codec<CopiesTaken> = {
  sizeBytes: 256,
  read: (view, offset) => ({
    word: list(64, (index) => view.getUint32(offset + index * 4, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.word, 64, 'copies_taken.word', (item, index) => view.setUint32(offset + index * 4, integer(item, 0, 4294967295, 'copies_taken.word[]'), LITTLE));
  },
};

export const COPIES_TAKEN_LAYOUT =
  "copies_taken:256:word@0:u32[64]";

export interface AskHeader {
  format: number;
  key_id: number;
  asker: number;
  reserved: number;
  asker_incarnation: number;
  slot: number;
  pool: number;
  owner: number;
  backup: number;
  time: number;
  version: number;
  track_epoch: number;
  chain_epoch: number;
  owner_incarnation: number;
  backup_incarnation: number;
  operation: number;
  hops: number;
  backend: number;
  generation: number;
  flags: number;
  unsigned_byte: number;
  tag: bigint;
}

export const askHeaderCodec: Codec<AskHeader> = {
  sizeBytes: 56,
  read: (view, offset) => ({
    format: view.getUint8(offset),
    key_id: view.getUint8(offset + 1),
    asker: view.getUint8(offset + 2),
    reserved: view.getUint8(offset + 3),
    asker_incarnation: view.getUint32(offset + 4, LITTLE),
    slot: view.getUint32(offset + 8, LITTLE),
    pool: view.getUint16(offset + 12, LITTLE),
    owner: view.getUint8(offset + 14),
    backup: view.getUint8(offset + 15),
    time: view.getUint32(offset + 16, LITTLE),
    version: view.getUint32(offset + 20, LITTLE),
    track_epoch: view.getUint32(offset + 24, LITTLE),
    chain_epoch: view.getUint32(offset + 28, LITTLE),
    owner_incarnation: view.getUint32(offset + 32, LITTLE),
    backup_incarnation: view.getUint32(offset + 36, LITTLE),
    operation: view.getUint8(offset + 40),
    hops: view.getUint8(offset + 41),
    backend: view.getUint16(offset + 42, LITTLE),
    generation: view.getUint16(offset + 44, LITTLE),
    flags: view.getUint8(offset + 46),
    unsigned_byte: view.getUint8(offset + 47),
    tag: view.getBigUint64(offset + 48, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint8(offset, integer(value.format, 0, 255, 'ask_header.format'));
    view.setUint8(offset + 1, integer(value.key_id, 0, 255, 'ask_header.key_id'));
    view.setUint8(offset + 2, integer(value.asker, 0, 255, 'ask_header.asker'));
    view.setUint8(offset + 3, integer(value.reserved, 0, 255, 'ask_header.reserved'));
    view.setUint32(offset + 4, integer(value.asker_incarnation, 0, 4294967295, 'ask_header.asker_incarnation'), LITTLE);
    view.setUint32(offset + 8, integer(value.slot, 0, 4294967295, 'ask_header.slot'), LITTLE);
    view.setUint16(offset + 12, integer(value.pool, 0, 65535, 'ask_header.pool'), LITTLE);
    view.setUint8(offset + 14, integer(value.owner, 0, 255, 'ask_header.owner'));
    view.setUint8(offset + 15, integer(value.backup, 0, 255, 'ask_header.backup'));
    view.setUint32(offset + 16, integer(value.time, 0, 4294967295, 'ask_header.time'), LITTLE);
    view.setUint32(offset + 20, integer(value.version, 0, 4294967295, 'ask_header.version'), LITTLE);
    view.setUint32(offset + 24, integer(value.track_epoch, 0, 4294967295, 'ask_header.track_epoch'), LITTLE);
    view.setUint32(offset + 28, integer(value.chain_epoch, 0, 4294967295, 'ask_header.chain_epoch'), LITTLE);
    view.setUint32(offset + 32, integer(value.owner_incarnation, 0, 4294967295, 'ask_header.owner_incarnation'), LITTLE);
    view.setUint32(offset + 36, integer(value.backup_incarnation, 0, 4294967295, 'ask_header.backup_incarnation'), LITTLE);
    view.setUint8(offset + 40, integer(value.operation, 0, 255, 'ask_header.operation'));
    view.setUint8(offset + 41, integer(value.hops, 0, 255, 'ask_header.hops'));
    view.setUint16(offset + 42, integer(value.backend, 0, 65535, 'ask_header.backend'), LITTLE);
    view.setUint16(offset + 44, integer(value.generation, 0, 65535, 'ask_header.generation'), LITTLE);
    view.setUint8(offset + 46, integer(value.flags, 0, 255, 'ask_header.flags'));
    view.setUint8(offset + 47, integer(value.unsigned_byte, 0, 255, 'ask_header.unsigned_byte'));
    view.setBigUint64(offset + 48, big(value.tag, 0n, 18446744073709551615n, 'ask_header.tag'), LITTLE);
  },
};

export const ASK_HEADER_LAYOUT =
  "ask_header:56:format@0:u8,key_id@1:u8,asker@2:u8,reserved@3:u8,asker_incarnation@4:u32,slot@8:u32,pool@12:u16,owner@14:u8,backup@15:u8,time@16:u32,version@20:u32,track_epoch@24:u32,chain_epoch@28:u32,owner_incarnation@32:u32,backup_incarnation@36:u32,operation@40:u8,hops@41:u8,backend@42:u16,generation@44:u16,flags@46:u8,unsigned_byte@47:u8,tag@48:u64";

export interface PoolSlots {
  slot_base: number;
  slot_count: number;
}

export const poolSlotsCodec: Codec<PoolSlots> = {
  sizeBytes: 8,
  read: (view, offset) => ({
    slot_base: view.getUint32(offset, LITTLE),
    slot_count: view.getUint32(offset + 4, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.slot_base, 0, 4294967295, 'pool_slots.slot_base'), LITTLE);
    view.setUint32(offset + 4, integer(value.slot_count, 0, 4294967295, 'pool_slots.slot_count'), LITTLE);
  },
};

export const POOL_SLOTS_LAYOUT =
  "pool_slots:8:slot_base@0:u32,slot_count@4:u32";

export interface ChainFlows {
  live: number;
  old: number;
}

export const chainFlowsCodec: Codec<ChainFlows> = {
  sizeBytes: 8,
  read: (view, offset) => ({
    live: view.getUint32(offset, LITTLE),
    old: view.getUint32(offset + 4, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.live, 0, 4294967295, 'chain_flows.live'), LITTLE);
    view.setUint32(offset + 4, integer(value.old, 0, 4294967295, 'chain_flows.old'), LITTLE);
  },
};

export const CHAIN_FLOWS_LAYOUT =
  "chain_flows:8:live@0:u32,old@4:u32";

export interface FlowsRequest {
  command: number;
  done: number;
  bucket: number;
  buckets: number;
  slot_base: number;
  slot_count: number;
  peer: number;
  chain_epoch: number;
  number: number;
  entries: number;
  pool: number;
  flags: number;
  age_max: number;
  idle_time: number;
  fingerprint: bigint;
  now_ns: bigint;
  jiffies: bigint;
}

export const flowsRequestCodec: Codec<FlowsRequest> = {
  sizeBytes: 72,
  read: (view, offset) => ({
    command: view.getUint32(offset, LITTLE),
    done: view.getUint32(offset + 4, LITTLE),
    bucket: view.getUint32(offset + 8, LITTLE),
    buckets: view.getUint32(offset + 12, LITTLE),
    slot_base: view.getUint32(offset + 16, LITTLE),
    slot_count: view.getUint32(offset + 20, LITTLE),
    peer: view.getUint32(offset + 24, LITTLE),
    chain_epoch: view.getUint32(offset + 28, LITTLE),
    number: view.getUint32(offset + 32, LITTLE),
    entries: view.getUint32(offset + 36, LITTLE),
    pool: view.getUint16(offset + 40, LITTLE),
    flags: view.getUint16(offset + 42, LITTLE),
    age_max: view.getUint16(offset + 44, LITTLE),
    idle_time: view.getUint16(offset + 46, LITTLE),
    fingerprint: view.getBigUint64(offset + 48, LITTLE),
    now_ns: view.getBigUint64(offset + 56, LITTLE),
    jiffies: view.getBigUint64(offset + 64, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.command, 0, 4294967295, 'flows_request.command'), LITTLE);
    view.setUint32(offset + 4, integer(value.done, 0, 4294967295, 'flows_request.done'), LITTLE);
    view.setUint32(offset + 8, integer(value.bucket, 0, 4294967295, 'flows_request.bucket'), LITTLE);
    view.setUint32(offset + 12, integer(value.buckets, 0, 4294967295, 'flows_request.buckets'), LITTLE);
    view.setUint32(offset + 16, integer(value.slot_base, 0, 4294967295, 'flows_request.slot_base'), LITTLE);
    view.setUint32(offset + 20, integer(value.slot_count, 0, 4294967295, 'flows_request.slot_count'), LITTLE);
    view.setUint32(offset + 24, integer(value.peer, 0, 4294967295, 'flows_request.peer'), LITTLE);
    view.setUint32(offset + 28, integer(value.chain_epoch, 0, 4294967295, 'flows_request.chain_epoch'), LITTLE);
    view.setUint32(offset + 32, integer(value.number, 0, 4294967295, 'flows_request.number'), LITTLE);
    view.setUint32(offset + 36, integer(value.entries, 0, 4294967295, 'flows_request.entries'), LITTLE);
    view.setUint16(offset + 40, integer(value.pool, 0, 65535, 'flows_request.pool'), LITTLE);
    view.setUint16(offset + 42, integer(value.flags, 0, 65535, 'flows_request.flags'), LITTLE);
    view.setUint16(offset + 44, integer(value.age_max, 0, 65535, 'flows_request.age_max'), LITTLE);
    view.setUint16(offset + 46, integer(value.idle_time, 0, 65535, 'flows_request.idle_time'), LITTLE);
    view.setBigUint64(offset + 48, big(value.fingerprint, 0n, 18446744073709551615n, 'flows_request.fingerprint'), LITTLE);
    view.setBigUint64(offset + 56, big(value.now_ns, 0n, 18446744073709551615n, 'flows_request.now_ns'), LITTLE);
    view.setBigUint64(offset + 64, big(value.jiffies, 0n, 18446744073709551615n, 'flows_request.jiffies'), LITTLE);
  },
};

export const FLOWS_REQUEST_LAYOUT =
  "flows_request:72:command@0:u32,done@4:u32,bucket@8:u32,buckets@12:u32,slot_base@16:u32,slot_count@20:u32,peer@24:u32,chain_epoch@28:u32,number@32:u32,entries@36:u32,pool@40:u16,flags@42:u16,age_max@44:u16,idle_time@46:u16,fingerprint@48:u64,now_ns@56:u64,jiffies@64:u64";

export interface FlowsMessage {
  header: AskHeader;
  entry: FlowMessageEntry[];
}

export const flowsMessageCodec: Codec<FlowsMessage> = {
  sizeBytes: 1336,
  read: (view, offset) => ({
    header: askHeaderCodec.read(view, offset),
    entry: list(40, (index) => flowMessageEntryCodec.read(view, offset + 56 + index * 32)),
  }),
  write: (view, offset, value) => {
    askHeaderCodec.write(view, offset, value.header);
    setList(value.entry, 40, 'flows_message.entry', (item, index) => flowMessageEntryCodec.write(view, offset + 56 + index * 32, item));
  },
};

export const FLOWS_MESSAGE_LAYOUT =
  "flows_message:1336:header@0:struct 56{format@0:u8,key_id@1:u8,asker@2:u8,reserved@3:u8,asker_incarnation@4:u32,slot@8:u32,pool@12:u16,owner@14:u8,backup@15:u8,time@16:u32,version@20:u32,track_epoch@24:u32,chain_epoch@28:u32,owner_incarnation@32:u32,backup_incarnation@36:u32,operation@40:u8,hops@41:u8,backend@42:u16,generation@44:u16,flags@46:u8,unsigned_byte@47:u8,tag@48:u64},entry@56:struct 32{fingerprint@0:u64,entry@8:struct 24{slot@0:u32,track_epoch@4:u32,client@8:u32,chain_epoch@12:u16,backend@14:u16,generation@16:u16,seen@18:u16,idle_time@20:u16,state@22:u8,protocol@23:u8}}[40]";

export interface FlowsPage {
  request: FlowsRequest;
  message: FlowsMessage[];
}

export const flowsPageCodec: Codec<FlowsPage> = {
  sizeBytes: 2744,
  read: (view, offset) => ({
    request: flowsRequestCodec.read(view, offset),
    message: list(2, (index) => flowsMessageCodec.read(view, offset + 72 + index * 1336)),
  }),
  write: (view, offset, value) => {
    flowsRequestCodec.write(view, offset, value.request);
    setList(value.message, 2, 'flows_page.message', (item, index) => flowsMessageCodec.write(view, offset + 72 + index * 1336, item));
  },
};

export const FLOWS_PAGE_LAYOUT =
  "flows_page:2744:request@0:struct 72{command@0:u32,done@4:u32,bucket@8:u32,buckets@12:u32,slot_base@16:u32,slot_count@20:u32,peer@24:u32,chain_epoch@28:u32,number@32:u32,entries@36:u32,pool@40:u16,flags@42:u16,age_max@44:u16,idle_time@46:u16,fingerprint@48:u64,now_ns@56:u64,jiffies@64:u64},message@72:struct 1336{header@0:struct 56{format@0:u8,key_id@1:u8,asker@2:u8,reserved@3:u8,asker_incarnation@4:u32,slot@8:u32,pool@12:u16,owner@14:u8,backup@15:u8,time@16:u32,version@20:u32,track_epoch@24:u32,chain_epoch@28:u32,owner_incarnation@32:u32,backup_incarnation@36:u32,operation@40:u8,hops@41:u8,backend@42:u16,generation@44:u16,flags@46:u8,unsigned_byte@47:u8,tag@48:u64},entry@56:struct 32{fingerprint@0:u64,entry@8:struct 24{slot@0:u32,track_epoch@4:u32,client@8:u32,chain_epoch@12:u16,backend@14:u16,generation@16:u16,seen@18:u16,idle_time@20:u16,state@22:u8,protocol@23:u8}}[40]}[2]";

export interface QueryHeader {
  format: number;
  key_id: number;
  operation: number;
  flags: number;
  asker: number;
  pool: number;
  asker_incarnation: number;
  slot: number;
  time: number;
  version: number;
  record: number;
  answer_incarnation: number;
  holder: number[];
  answer: number;
  sender: number;
  count: number;
  position: number;
  hops: number;
  reserved: number;
  tag: bigint;
}

export const queryHeaderCodec: Codec<QueryHeader> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    format: view.getUint8(offset),
    key_id: view.getUint8(offset + 1),
    operation: view.getUint8(offset + 2),
    flags: view.getUint8(offset + 3),
    asker: view.getUint16(offset + 4, LITTLE),
    pool: view.getUint16(offset + 6, LITTLE),
    asker_incarnation: view.getUint32(offset + 8, LITTLE),
    slot: view.getUint32(offset + 12, LITTLE),
    time: view.getUint32(offset + 16, LITTLE),
    version: view.getUint32(offset + 20, LITTLE),
    record: view.getUint32(offset + 24, LITTLE),
    answer_incarnation: view.getUint32(offset + 28, LITTLE),
    holder: list(8, (index) => view.getUint16(offset + 32 + index * 2, LITTLE)),
    answer: view.getUint16(offset + 48, LITTLE),
    sender: view.getUint16(offset + 50, LITTLE),
    count: view.getUint8(offset + 52),
    position: view.getUint8(offset + 53),
    hops: view.getUint8(offset + 54),
    reserved: view.getUint8(offset + 55),
    tag: view.getBigUint64(offset + 56, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint8(offset, integer(value.format, 0, 255, 'query_header.format'));
    view.setUint8(offset + 1, integer(value.key_id, 0, 255, 'query_header.key_id'));
    view.setUint8(offset + 2, integer(value.operation, 0, 255, 'query_header.operation'));
    view.setUint8(offset + 3, integer(value.flags, 0, 255, 'query_header.flags'));
    view.setUint16(offset + 4, integer(value.asker, 0, 65535, 'query_header.asker'), LITTLE);
    view.setUint16(offset + 6, integer(value.pool, 0, 65535, 'query_header.pool'), LITTLE);
    view.setUint32(offset + 8, integer(value.asker_incarnation, 0, 4294967295, 'query_header.asker_incarnation'), LITTLE);
    view.setUint32(offset + 12, integer(value.slot, 0, 4294967295, 'query_header.slot'), LITTLE);
    view.setUint32(offset + 16, integer(value.time, 0, 4294967295, 'query_header.time'), LITTLE);
    view.setUint32(offset + 20, integer(value.version, 0, 4294967295, 'query_header.version'), LITTLE);
    view.setUint32(offset + 24, integer(value.record, 0, 4294967295, 'query_header.record'), LITTLE);
    view.setUint32(offset + 28, integer(value.answer_incarnation, 0, 4294967295, 'query_header.answer_incarnation'), LITTLE);
    setList(value.holder, 8, 'query_header.holder', (item, index) => view.setUint16(offset + 32 + index * 2, integer(item, 0, 65535, 'query_header.holder[]'), LITTLE));
    view.setUint16(offset + 48, integer(value.answer, 0, 65535, 'query_header.answer'), LITTLE);
    view.setUint16(offset + 50, integer(value.sender, 0, 65535, 'query_header.sender'), LITTLE);
    view.setUint8(offset + 52, integer(value.count, 0, 255, 'query_header.count'));
    view.setUint8(offset + 53, integer(value.position, 0, 255, 'query_header.position'));
    view.setUint8(offset + 54, integer(value.hops, 0, 255, 'query_header.hops'));
    view.setUint8(offset + 55, integer(value.reserved, 0, 255, 'query_header.reserved'));
    view.setBigUint64(offset + 56, big(value.tag, 0n, 18446744073709551615n, 'query_header.tag'), LITTLE);
  },
};

export const QUERY_HEADER_LAYOUT =
  "query_header:64:format@0:u8,key_id@1:u8,operation@2:u8,flags@3:u8,asker@4:u16,pool@6:u16,asker_incarnation@8:u32,slot@12:u32,time@16:u32,version@20:u32,record@24:u32,answer_incarnation@28:u32,holder@32:u16[8],answer@48:u16,sender@50:u16,count@52:u8,position@53:u8,hops@54:u8,reserved@55:u8,tag@56:u64";

export interface Holder {
  incarnation: number;
  server: number;
  reserved: number;
}

export const holderCodec: Codec<Holder> = {
  sizeBytes: 8,
  read: (view, offset) => ({
    incarnation: view.getUint32(offset, LITTLE),
    server: view.getUint16(offset + 4, LITTLE),
    reserved: view.getUint16(offset + 6, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.incarnation, 0, 4294967295, 'holder.incarnation'), LITTLE);
    view.setUint16(offset + 4, integer(value.server, 0, 65535, 'holder.server'), LITTLE);
    view.setUint16(offset + 6, integer(value.reserved, 0, 65535, 'holder.reserved'), LITTLE);
  },
};

export const HOLDER_LAYOUT =
  "holder:8:incarnation@0:u32,server@4:u16,reserved@6:u16";

export interface BucketHolders {
  track_epoch: number;
  count: number;
  unrecorded_ns: bigint;
  holder: Holder[];
}

export const bucketHoldersCodec: Codec<BucketHolders> = {
  sizeBytes: 80,
  read: (view, offset) => ({
    track_epoch: view.getUint32(offset, LITTLE),
    count: view.getUint32(offset + 4, LITTLE),
    unrecorded_ns: view.getBigUint64(offset + 8, LITTLE),
    holder: list(8, (index) => holderCodec.read(view, offset + 16 + index * 8)),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.track_epoch, 0, 4294967295, 'bucket_holders.track_epoch'), LITTLE);
    view.setUint32(offset + 4, integer(value.count, 0, 4294967295, 'bucket_holders.count'), LITTLE);
    view.setBigUint64(offset + 8, big(value.unrecorded_ns, 0n, 18446744073709551615n, 'bucket_holders.unrecorded_ns'), LITTLE);
    setList(value.holder, 8, 'bucket_holders.holder', (item, index) => holderCodec.write(view, offset + 16 + index * 8, item));
  },
};

export const BUCKET_HOLDERS_LAYOUT =
  "bucket_holders:80:track_epoch@0:u32,count@4:u32,unrecorded_ns@8:u64,holder@16:struct 8{incarnation@0:u32,server@4:u16,reserved@6:u16}[8]";

export interface Dropped {
  not_mine: bigint;
  unused: bigint[];
}

export const droppedCodec: Codec<Dropped> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    not_mine: view.getBigUint64(offset, LITTLE),
    unused: list(7, (index) => view.getBigUint64(offset + 8 + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.not_mine, 0n, 18446744073709551615n, 'dropped.not_mine'), LITTLE);
    setList(value.unused, 7, 'dropped.unused', (item, index) => view.setBigUint64(offset + 8 + index * 8, big(item, 0n, 18446744073709551615n, 'dropped.unused[]'), LITTLE));
  },
};

export const DROPPED_LAYOUT =
  "dropped:64:not_mine@0:u64,unused@8:u64[7]";

export interface AffinityBucket {
  fingerprint: bigint[];
  state: bigint[];
}

export const affinityBucketCodec: Codec<AffinityBucket> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    fingerprint: list(4, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    state: list(4, (index) => view.getBigUint64(offset + 32 + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.fingerprint, 4, 'affinity_bucket.fingerprint', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'affinity_bucket.fingerprint[]'), LITTLE));
    setList(value.state, 4, 'affinity_bucket.state', (item, index) => view.setBigUint64(offset + 32 + index * 8, big(item, 0n, 18446744073709551615n, 'affinity_bucket.state[]'), LITTLE));
  },
};

export const AFFINITY_BUCKET_LAYOUT =
  "affinity_bucket:64:fingerprint@0:u64[4],state@32:u64[4]";

export interface ForeignBucket {
  fingerprint: bigint[];
  state: bigint[];
}

export const foreignBucketCodec: Codec<ForeignBucket> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    fingerprint: list(4, (index) => view.getBigUint64(offset + index * 8, LITTLE)),
    state: list(4, (index) => view.getBigUint64(offset + 32 + index * 8, LITTLE)),
  }),
  write: (view, offset, value) => {
    setList(value.fingerprint, 4, 'foreign_bucket.fingerprint', (item, index) => view.setBigUint64(offset + index * 8, big(item, 0n, 18446744073709551615n, 'foreign_bucket.fingerprint[]'), LITTLE));
    setList(value.state, 4, 'foreign_bucket.state', (item, index) => view.setBigUint64(offset + 32 + index * 8, big(item, 0n, 18446744073709551615n, 'foreign_bucket.state[]'), LITTLE));
  },
};

export const FOREIGN_BUCKET_LAYOUT =
  "foreign_bucket:64:fingerprint@0:u64[4],state@32:u64[4]";

export interface FilterLink {
  address: Uint8Array;
  reserved: Uint8Array;
}

export const filterLinkCodec: Codec<FilterLink> = {
  sizeBytes: 8,
  read: (view, offset) => ({
    address: bytes(view, offset, 6).slice(),
    reserved: bytes(view, offset + 6, 2).slice(),
  }),
  write: (view, offset, value) => {
    setBytes(view, offset, value.address, 6, 'filter_link.address');
    setBytes(view, offset + 6, value.reserved, 2, 'filter_link.reserved');
  },
};

export const FILTER_LINK_LAYOUT =
  "filter_link:8:address@0:u8[6],reserved@6:u8[2]";

export interface AffinityEntry {
  hash: bigint;
  slot: number;
  incarnation: number;
  server: number;
  lifetime: number;
  age: number;
  is_proven: number;
  reserved: number;
}

export const affinityEntryCodec: Codec<AffinityEntry> = {
  sizeBytes: 24,
  read: (view, offset) => ({
    hash: view.getBigUint64(offset, LITTLE),
    slot: view.getUint32(offset + 8, LITTLE),
    incarnation: view.getUint32(offset + 12, LITTLE),
    server: view.getUint16(offset + 16, LITTLE),
    lifetime: view.getUint16(offset + 18, LITTLE),
    age: view.getUint16(offset + 20, LITTLE),
    is_proven: view.getUint8(offset + 22),
    reserved: view.getUint8(offset + 23),
  }),
  write: (view, offset, value) => {
    view.setBigUint64(offset, big(value.hash, 0n, 18446744073709551615n, 'affinity_entry.hash'), LITTLE);
    view.setUint32(offset + 8, integer(value.slot, 0, 4294967295, 'affinity_entry.slot'), LITTLE);
    view.setUint32(offset + 12, integer(value.incarnation, 0, 4294967295, 'affinity_entry.incarnation'), LITTLE);
    view.setUint16(offset + 16, integer(value.server, 0, 65535, 'affinity_entry.server'), LITTLE);
    view.setUint16(offset + 18, integer(value.lifetime, 0, 65535, 'affinity_entry.lifetime'), LITTLE);
    view.setUint16(offset + 20, integer(value.age, 0, 65535, 'affinity_entry.age'), LITTLE);
    view.setUint8(offset + 22, integer(value.is_proven, 0, 255, 'affinity_entry.is_proven'));
    view.setUint8(offset + 23, integer(value.reserved, 0, 255, 'affinity_entry.reserved'));
  },
};

export const AFFINITY_ENTRY_LAYOUT =
  "affinity_entry:24:hash@0:u64,slot@8:u32,incarnation@12:u32,server@16:u16,lifetime@18:u16,age@20:u16,is_proven@22:u8,reserved@23:u8";

export interface AffinityRequest {
  command: number;
  done: number;
  bucket: number;
  buckets: number;
  number: number;
  flags: number;
  count: number;
  live: number;
  nascent: number;
  reserved: number;
  hash: bigint;
  now_ns: bigint;
  jiffies: bigint;
}

export const affinityRequestCodec: Codec<AffinityRequest> = {
  sizeBytes: 64,
  read: (view, offset) => ({
    command: view.getUint32(offset, LITTLE),
    done: view.getUint32(offset + 4, LITTLE),
    bucket: view.getUint32(offset + 8, LITTLE),
    buckets: view.getUint32(offset + 12, LITTLE),
    number: view.getUint32(offset + 16, LITTLE),
    flags: view.getUint32(offset + 20, LITTLE),
    count: view.getUint32(offset + 24, LITTLE),
    live: view.getUint32(offset + 28, LITTLE),
    nascent: view.getUint32(offset + 32, LITTLE),
    reserved: view.getUint32(offset + 36, LITTLE),
    hash: view.getBigUint64(offset + 40, LITTLE),
    now_ns: view.getBigUint64(offset + 48, LITTLE),
    jiffies: view.getBigUint64(offset + 56, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.command, 0, 4294967295, 'affinity_request.command'), LITTLE);
    view.setUint32(offset + 4, integer(value.done, 0, 4294967295, 'affinity_request.done'), LITTLE);
    view.setUint32(offset + 8, integer(value.bucket, 0, 4294967295, 'affinity_request.bucket'), LITTLE);
    view.setUint32(offset + 12, integer(value.buckets, 0, 4294967295, 'affinity_request.buckets'), LITTLE);
    view.setUint32(offset + 16, integer(value.number, 0, 4294967295, 'affinity_request.number'), LITTLE);
    view.setUint32(offset + 20, integer(value.flags, 0, 4294967295, 'affinity_request.flags'), LITTLE);
    view.setUint32(offset + 24, integer(value.count, 0, 4294967295, 'affinity_request.count'), LITTLE);
    view.setUint32(offset + 28, integer(value.live, 0, 4294967295, 'affinity_request.live'), LITTLE);
    view.setUint32(offset + 32, integer(value.nascent, 0, 4294967295, 'affinity_request.nascent'), LITTLE);
    view.setUint32(offset + 36, integer(value.reserved, 0, 4294967295, 'affinity_request.reserved'), LITTLE);
    view.setBigUint64(offset + 40, big(value.hash, 0n, 18446744073709551615n, 'affinity_request.hash'), LITTLE);
    view.setBigUint64(offset + 48, big(value.now_ns, 0n, 18446744073709551615n, 'affinity_request.now_ns'), LITTLE);
    view.setBigUint64(offset + 56, big(value.jiffies, 0n, 18446744073709551615n, 'affinity_request.jiffies'), LITTLE);
  },
};

export const AFFINITY_REQUEST_LAYOUT =
  "affinity_request:64:command@0:u32,done@4:u32,bucket@8:u32,buckets@12:u32,number@16:u32,flags@20:u32,count@24:u32,live@28:u32,nascent@32:u32,reserved@36:u32,hash@40:u64,now_ns@48:u64,jiffies@56:u64";

export interface AffinityPage {
  request: AffinityRequest;
  header: QueryHeader;
  entry: AffinityEntry[];
}

export const affinityPageCodec: Codec<AffinityPage> = {
  sizeBytes: 1664,
  read: (view, offset) => ({
    request: affinityRequestCodec.read(view, offset),
    header: queryHeaderCodec.read(view, offset + 64),
    entry: list(64, (index) => affinityEntryCodec.read(view, offset + 128 + index * 24)),
  }),
  write: (view, offset, value) => {
    affinityRequestCodec.write(view, offset, value.request);
    queryHeaderCodec.write(view, offset + 64, value.header);
    setList(value.entry, 64, 'affinity_page.entry', (item, index) => affinityEntryCodec.write(view, offset + 128 + index * 24, item));
  },
};

export const AFFINITY_PAGE_LAYOUT =
  "affinity_page:1664:request@0:struct 64{command@0:u32,done@4:u32,bucket@8:u32,buckets@12:u32,number@16:u32,flags@20:u32,count@24:u32,live@28:u32,nascent@32:u32,reserved@36:u32,hash@40:u64,now_ns@48:u64,jiffies@56:u64},header@64:struct 64{format@0:u8,key_id@1:u8,operation@2:u8,flags@3:u8,asker@4:u16,pool@6:u16,asker_incarnation@8:u32,slot@12:u32,time@16:u32,version@20:u32,record@24:u32,answer_incarnation@28:u32,holder@32:u16[8],answer@48:u16,sender@50:u16,count@52:u8,position@53:u8,hops@54:u8,reserved@55:u8,tag@56:u64},entry@128:struct 24{hash@0:u64,slot@8:u32,incarnation@12:u32,server@16:u16,lifetime@18:u16,age@20:u16,is_proven@22:u8,reserved@23:u8}[64]";

export interface FilterExplanation {
  rule: number;
  holders: number;
  affinity: bigint;
  foreign: bigint;
  answer: number;
  asked: number;
  reserved: number;
}

export const filterExplanationCodec: Codec<FilterExplanation> = {
  sizeBytes: 32,
  read: (view, offset) => ({
    rule: view.getUint32(offset, LITTLE),
    holders: view.getUint32(offset + 4, LITTLE),
    affinity: view.getBigUint64(offset + 8, LITTLE),
    foreign: view.getBigUint64(offset + 16, LITTLE),
    answer: view.getUint16(offset + 24, LITTLE),
    asked: view.getUint16(offset + 26, LITTLE),
    reserved: view.getUint32(offset + 28, LITTLE),
  }),
  write: (view, offset, value) => {
    view.setUint32(offset, integer(value.rule, 0, 4294967295, 'filter_explanation.rule'), LITTLE);
    view.setUint32(offset + 4, integer(value.holders, 0, 4294967295, 'filter_explanation.holders'), LITTLE);
    view.setBigUint64(offset + 8, big(value.affinity, 0n, 18446744073709551615n, 'filter_explanation.affinity'), LITTLE);
    view.setBigUint64(offset + 16, big(value.foreign, 0n, 18446744073709551615n, 'filter_explanation.foreign'), LITTLE);
    view.setUint16(offset + 24, integer(value.answer, 0, 65535, 'filter_explanation.answer'), LITTLE);
    view.setUint16(offset + 26, integer(value.asked, 0, 65535, 'filter_explanation.asked'), LITTLE);
    view.setUint32(offset + 28, integer(value.reserved, 0, 4294967295, 'filter_explanation.reserved'), LITTLE);
  },
};

export const FILTER_EXPLANATION_LAYOUT =
  "filter_explanation:32:rule@0:u32,holders@4:u32,affinity@8:u64,foreign@16:u64,answer@24:u16,asked@26:u16,reserved@28:u32";

export const Limit = {
  LIMIT_SERVICES: 4096,
  LIMIT_SERVICE_PROBES: 8,
  LIMIT_BACKENDS: 4096,
  LIMIT_REASONS: 128,
  LIMIT_ADDRESS_FILTER_BYTES: 4096,
  LIMIT_INDEX_BUCKET_WORDS: 8,
  LIMIT_CAPTURE_BYTES: 1984,
  LIMIT_MUX_SOURCES: 64,
  LIMIT_MUXES: 64,
  LIMIT_CHAINS: 65536,
  LIMIT_FLOW_PLACES: 7,
  LIMIT_FLOW_NASCENT_PLACES: 3,
  LIMIT_FLOW_UNPROVEN_PLACES: 5,
  LIMIT_CACHE_PLACES: 4,
  LIMIT_FLOW_MESSAGE_ENTRIES: 40,
  LIMIT_ASK_HOPS: 4,
  LIMIT_ASK_KEYS: 4,
  LIMIT_FLOW_TIME_SHIFT: 28,
  LIMIT_FLOW_PROTOCOL_MASK: 63,
  LIMIT_FLOW_KEY_CLIENT: 64,
  LIMIT_FLOW_IS_IPV6: 128,
  LIMIT_TICK_SHIFT: 20,
  LIMIT_NASCENT_TIME: 250,
  LIMIT_FLOW_EVENTS: 32,
  LIMIT_ASK_FORMAT: 1,
  LIMIT_POOL_IDS: 65536,
  LIMIT_FLOWS_MESSAGES: 2,
  LIMIT_FLOWS_BUCKETS: 256,
  LIMIT_MESSAGE_NUMBER_BITS: 11,
  LIMIT_SLOT_BASE_SHIFT: 16,
  LIMIT_SLOT_TRACKED_SHIFT: 32,
  LIMIT_SLOT_CHAIN_SHIFT: 33,
  LIMIT_CACHE_GENERATION_SHIFT: 12,
  LIMIT_CACHE_SLOT_SHIFT: 20,
  LIMIT_CACHE_SEEN_SHIFT: 44,
  LIMIT_SLOT_NONE: 4294967295,
  LIMIT_SERVERS: 1024,
  LIMIT_HOLDERS: 8,
  LIMIT_HOLDERS_RECORDS: 65536,
  LIMIT_AFFINITY_PLACES: 4,
  LIMIT_AFFINITY_NASCENT_PLACES: 2,
  LIMIT_OTHERS_WORDS: 32768,
  LIMIT_DROPPED_CPUS: 512,
  LIMIT_AFFINITY_NEAR_SHIFT: 3,
  LIMIT_AFFINITY_LIFETIME_SHIFT: 24,
  LIMIT_AFFINITY_SEEN_SHIFT: 40,
  LIMIT_FOREIGN_TIME_MIN: 8,
  LIMIT_QUERY_TIME_WINDOW: 1024,
  LIMIT_FOREIGN_VERSION_SHIFT: 46,
  LIMIT_FOREIGN_TIME_MAX: 223,
  LIMIT_FOREIGN_INCARNATION_SHIFT: 10,
  LIMIT_FOREIGN_LIFETIME_SHIFT: 22,
  LIMIT_FOREIGN_SEEN_SHIFT: 30,
  LIMIT_QUERY_FORMAT: 2,
  LIMIT_QUERY_HOPS: 9,
  LIMIT_QUERY_CUT_BYTES: 256,
  LIMIT_AFFINITY_BUCKETS: 256,
  LIMIT_AFFINITY_ENTRIES: 64,
} as const;

export type Limit = (typeof Limit)[keyof typeof Limit];

export const LIMIT_NAMES: Readonly<Record<number, string>> = {
  4096: 'LIMIT_SERVICES',
  1984: 'LIMIT_CAPTURE_BYTES',
  7: 'LIMIT_FLOW_PLACES',
  5: 'LIMIT_FLOW_UNPROVEN_PLACES',
  28: 'LIMIT_FLOW_TIME_SHIFT',
  63: 'LIMIT_FLOW_PROTOCOL_MASK',
  128: 'LIMIT_REASONS',
  250: 'LIMIT_NASCENT_TIME',
  1: 'LIMIT_ASK_FORMAT',
  11: 'LIMIT_MESSAGE_NUMBER_BITS',
  16: 'LIMIT_SLOT_BASE_SHIFT',
  32: 'LIMIT_FLOW_EVENTS',
  33: 'LIMIT_SLOT_CHAIN_SHIFT',
  12: 'LIMIT_CACHE_GENERATION_SHIFT',
  20: 'LIMIT_TICK_SHIFT',
  44: 'LIMIT_CACHE_SEEN_SHIFT',
  4294967295: 'LIMIT_SLOT_NONE',
  65536: 'LIMIT_CHAINS',
  4: 'LIMIT_CACHE_PLACES',
  32768: 'LIMIT_OTHERS_WORDS',
  512: 'LIMIT_DROPPED_CPUS',
  3: 'LIMIT_FLOW_NASCENT_PLACES',
  24: 'LIMIT_AFFINITY_LIFETIME_SHIFT',
  40: 'LIMIT_FLOW_MESSAGE_ENTRIES',
  8: 'LIMIT_SERVICE_PROBES',
  1024: 'LIMIT_SERVERS',
  46: 'LIMIT_FOREIGN_VERSION_SHIFT',
  223: 'LIMIT_FOREIGN_TIME_MAX',
  10: 'LIMIT_FOREIGN_INCARNATION_SHIFT',
  22: 'LIMIT_FOREIGN_LIFETIME_SHIFT',
  30: 'LIMIT_FOREIGN_SEEN_SHIFT',
  2: 'LIMIT_FLOWS_MESSAGES',
  9: 'LIMIT_QUERY_HOPS',
  256: 'LIMIT_FLOWS_BUCKETS',
  64: 'LIMIT_MUX_SOURCES',
};

export const ServiceFlag = {
  SERVICE_PRESENT: 128,
  SERVICE_CONTINUED: 64,
  SERVICE_ANY_PORT: 1,
  SERVICE_CLIENT_AFFINITY: 2,
  SERVICE_NO_SOURCE_PORT: 4,
  SERVICE_QUIC: 8,
  SERVICE_NEIGHBOUR: 16,
} as const;

export type ServiceFlag = (typeof ServiceFlag)[keyof typeof ServiceFlag];

export const SERVICE_FLAG_NAMES: Readonly<Record<number, string>> = {
  128: 'SERVICE_PRESENT',
  64: 'SERVICE_CONTINUED',
  1: 'SERVICE_ANY_PORT',
  2: 'SERVICE_CLIENT_AFFINITY',
  4: 'SERVICE_NO_SOURCE_PORT',
  8: 'SERVICE_QUIC',
  16: 'SERVICE_NEIGHBOUR',
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
  PEER_GONE: 8,
} as const;

export type BackendFlag = (typeof BackendFlag)[keyof typeof BackendFlag];

export const BACKEND_FLAG_NAMES: Readonly<Record<number, string>> = {
  1: 'BACKEND_PRESENT',
  2: 'BACKEND_NEXT_HOP',
  4: 'BACKEND_VLAN',
  8: 'PEER_GONE',
};

export const Reason = {
  REASON_NONE: 0,
  PASS_NOT_IP: 1,
  PASS_MALFORMED: 2,
  PASS_NOT_A_SERVICE: 3,
  PASS_NO_SUCH_PORT: 4,
  PASS_ICMP_OTHER: 5,
  PASS_NOT_TUNNELLED: 6,
  ACCEPT_AFFINITY: 7,
  ACCEPT_CONNECTION: 8,
  ACCEPT_OWN: 9,
  ACCEPT_NOBODY: 10,
  ACCEPT_ADDRESS: 11,
  ACCEPT_FRAGMENT: 12,
  DECAP: 13,
  FORWARD: 14,
  FORWARD_QUIC: 15,
  FORWARD_ICMP_ERROR: 16,
  FORWARD_FIRST_FRAGMENT: 17,
  FORWARD_LATER_FRAGMENT: 18,
  FORWARD_CACHED: 19,
  FORWARD_ANSWERED: 20,
  FORWARD_UNRECORDED: 21,
  FORWARD_ALONE: 22,
  ASK: 23,
  ASK_PASSED_ON: 24,
  ASK_RECORD: 25,
  ASK_RETURNED: 26,
  ASK_ANSWER: 27,
  RELAY_DEADLINE: 28,
  RELAY_FRAGMENT: 29,
  QUERY: 30,
  QUERY_PASSED_ON: 31,
  QUERY_HAD: 32,
  QUERY_RETURNED: 33,
  REPLY_NEIGHBOUR: 34,
  REPLY_PROBE: 35,
  REPLY_FLOWS: 36,
  REPLY_ECHO: 37,
  REPLY_TOO_BIG: 38,
  DROP_TRUNCATED: 39,
  DROP_BAD_HEADER: 40,
  DROP_EXTENSION_HEADERS: 41,
  DROP_NO_BACKEND: 42,
  DROP_FRAGMENT_UNKNOWN: 43,
  DROP_NO_ROUTE: 44,
  DROP_FORWARDING_OFF: 45,
  DROP_NO_NEIGHBOUR: 46,
  DROP_TOO_BIG: 47,
  DROP_NO_HEADROOM: 48,
  DROP_FOREIGN_TUNNEL: 49,
  DROP_NOT_FOR_SERVICE: 50,
  DROP_ECN: 51,
  NOTED_PROBE: 52,
  NOTED_FLOWS: 53,
  NOTED_LATE: 54,
  DROP_ASK_SOURCE: 55,
  DROP_ASK_SIZE: 56,
  DROP_ASK_FORMAT: 57,
  DROP_ASK_TAG: 58,
  DROP_ASK_TIME: 59,
  DROP_ASK_SERVICE: 60,
  DROP_ASK_SLOT: 61,
  DROP_ASK_EPOCH: 62,
  DROP_ASK_INCARNATION: 63,
  DROP_ASK_HOPS: 64,
  DROP_ASK_FENCED: 65,
  DROP_ASK_PEER: 66,
  DROP_NOT_MINE: 67,
  DROP_FOREIGN: 68,
  DROP_ANSWERED: 69,
  DROP_NO_BUCKET: 70,
  DROP_FENCED: 71,
  DROP_NEIGHBOUR: 72,
  DROP_CUT: 73,
  DROP_INTERNAL: 74,
  REASON_COUNT: 75,
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
  7: 'ACCEPT_AFFINITY',
  8: 'ACCEPT_CONNECTION',
  9: 'ACCEPT_OWN',
  10: 'ACCEPT_NOBODY',
  11: 'ACCEPT_ADDRESS',
  12: 'ACCEPT_FRAGMENT',
  13: 'DECAP',
  14: 'FORWARD',
  15: 'FORWARD_QUIC',
  16: 'FORWARD_ICMP_ERROR',
  17: 'FORWARD_FIRST_FRAGMENT',
  18: 'FORWARD_LATER_FRAGMENT',
  19: 'FORWARD_CACHED',
  20: 'FORWARD_ANSWERED',
  21: 'FORWARD_UNRECORDED',
  22: 'FORWARD_ALONE',
  23: 'ASK',
  24: 'ASK_PASSED_ON',
  25: 'ASK_RECORD',
  26: 'ASK_RETURNED',
  27: 'ASK_ANSWER',
  28: 'RELAY_DEADLINE',
  29: 'RELAY_FRAGMENT',
  30: 'QUERY',
  31: 'QUERY_PASSED_ON',
  32: 'QUERY_HAD',
  33: 'QUERY_RETURNED',
  34: 'REPLY_NEIGHBOUR',
  35: 'REPLY_PROBE',
  36: 'REPLY_FLOWS',
  37: 'REPLY_ECHO',
  38: 'REPLY_TOO_BIG',
  39: 'DROP_TRUNCATED',
  40: 'DROP_BAD_HEADER',
  41: 'DROP_EXTENSION_HEADERS',
  42: 'DROP_NO_BACKEND',
  43: 'DROP_FRAGMENT_UNKNOWN',
  44: 'DROP_NO_ROUTE',
  45: 'DROP_FORWARDING_OFF',
  46: 'DROP_NO_NEIGHBOUR',
  47: 'DROP_TOO_BIG',
  48: 'DROP_NO_HEADROOM',
  49: 'DROP_FOREIGN_TUNNEL',
  50: 'DROP_NOT_FOR_SERVICE',
  51: 'DROP_ECN',
  52: 'NOTED_PROBE',
  53: 'NOTED_FLOWS',
  54: 'NOTED_LATE',
  55: 'DROP_ASK_SOURCE',
  56: 'DROP_ASK_SIZE',
  57: 'DROP_ASK_FORMAT',
  58: 'DROP_ASK_TAG',
  59: 'DROP_ASK_TIME',
  60: 'DROP_ASK_SERVICE',
  61: 'DROP_ASK_SLOT',
  62: 'DROP_ASK_EPOCH',
  63: 'DROP_ASK_INCARNATION',
  64: 'DROP_ASK_HOPS',
  65: 'DROP_ASK_FENCED',
  66: 'DROP_ASK_PEER',
  67: 'DROP_NOT_MINE',
  68: 'DROP_FOREIGN',
  69: 'DROP_ANSWERED',
  70: 'DROP_NO_BUCKET',
  71: 'DROP_FENCED',
  72: 'DROP_NEIGHBOUR',
  73: 'DROP_CUT',
  74: 'DROP_INTERNAL',
  75: 'REASON_COUNT',
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

export const AnswerSource = {
  ANSWER_BY_NOBODY: 0,
  ANSWER_BY_CACHE: 1,
  ANSWER_BY_TABLE: 2,
  ANSWER_BY_CURRENT: 3,
  ANSWER_BY_BASE: 4,
  ANSWER_BY_OWNER: 5,
} as const;

export type AnswerSource = (typeof AnswerSource)[keyof typeof AnswerSource];

export const ANSWER_SOURCE_NAMES: Readonly<Record<number, string>> = {
  0: 'ANSWER_BY_NOBODY',
  1: 'ANSWER_BY_CACHE',
  2: 'ANSWER_BY_TABLE',
  3: 'ANSWER_BY_CURRENT',
  4: 'ANSWER_BY_BASE',
  5: 'ANSWER_BY_OWNER',
};

export const FlowState = {
  FLOW_STATE_NONE: 0,
  FLOW_STATE_NASCENT: 1,
  FLOW_STATE_UNPROVEN: 2,
  FLOW_STATE_TRUSTED: 3,
} as const;

export type FlowState = (typeof FlowState)[keyof typeof FlowState];

export const FLOW_STATE_NAMES: Readonly<Record<number, string>> = {
  0: 'FLOW_STATE_NONE',
  1: 'FLOW_STATE_NASCENT',
  2: 'FLOW_STATE_UNPROVEN',
  3: 'FLOW_STATE_TRUSTED',
};

export const FlowEvent = {
  FLOW_KNOWN: 0,
  FLOW_NEW: 1,
  FLOW_BASE: 2,
  FLOW_PROMOTED: 3,
  FLOW_TABLE_FULL: 4,
  FLOW_REDECIDED: 5,
  FLOW_RECORDED: 6,
  FLOW_RECORD_KEPT: 7,
  FLOW_RECORD_FULL: 8,
  FLOW_CACHED: 9,
  FLOW_CACHE_FULL: 10,
  FLOW_CACHE_STALE: 11,
  FLOW_CACHE_SYN: 12,
  FLOW_LOOKED_UP: 13,
  FLOW_CHAIN_NEWER_HERE: 14,
  FLOW_CHAIN_NEWER_THERE: 15,
  FLOW_LONELY: 16,
  FLOW_REFRESHED: 17,
  FLOW_COPIED: 18,
  FLOW_COPY_KEPT: 19,
  FLOW_COPY_FULL: 20,
  FLOW_EXPIRED: 21,
  FLOW_ENTRY_REFUSED: 22,
  FLOW_TAKEN_BACK: 23,
  FLOW_TOO_BIG: 24,
  AFFINITY_RECORDED: 25,
  AFFINITY_PROVEN_NOW: 26,
  AFFINITY_FULL: 27,
  FOREIGN_LEARNT: 28,
  FOREIGN_REMEMBERED: 29,
  FOREIGN_FULL: 30,
  QUERY_CUT: 31,
  FLOW_EVENT_COUNT: 32,
} as const;

export type FlowEvent = (typeof FlowEvent)[keyof typeof FlowEvent];

export const FLOW_EVENT_NAMES: Readonly<Record<number, string>> = {
  0: 'FLOW_KNOWN',
  1: 'FLOW_NEW',
  2: 'FLOW_BASE',
  3: 'FLOW_PROMOTED',
  4: 'FLOW_TABLE_FULL',
  5: 'FLOW_REDECIDED',
  6: 'FLOW_RECORDED',
  7: 'FLOW_RECORD_KEPT',
  8: 'FLOW_RECORD_FULL',
  9: 'FLOW_CACHED',
  10: 'FLOW_CACHE_FULL',
  11: 'FLOW_CACHE_STALE',
  12: 'FLOW_CACHE_SYN',
  13: 'FLOW_LOOKED_UP',
  14: 'FLOW_CHAIN_NEWER_HERE',
  15: 'FLOW_CHAIN_NEWER_THERE',
  16: 'FLOW_LONELY',
  17: 'FLOW_REFRESHED',
  18: 'FLOW_COPIED',
  19: 'FLOW_COPY_KEPT',
  20: 'FLOW_COPY_FULL',
  21: 'FLOW_EXPIRED',
  22: 'FLOW_ENTRY_REFUSED',
  23: 'FLOW_TAKEN_BACK',
  24: 'FLOW_TOO_BIG',
  25: 'AFFINITY_RECORDED',
  26: 'AFFINITY_PROVEN_NOW',
  27: 'AFFINITY_FULL',
  28: 'FOREIGN_LEARNT',
  29: 'FOREIGN_REMEMBERED',
  30: 'FOREIGN_FULL',
  31: 'QUERY_CUT',
  32: 'FLOW_EVENT_COUNT',
};

export const PeerFlag = {
  PEER_PAST_DEADLINE: 1,
  PEER_PLEDGED: 2,
} as const;

export type PeerFlag = (typeof PeerFlag)[keyof typeof PeerFlag];

export const PEER_FLAG_NAMES: Readonly<Record<number, string>> = {
  1: 'PEER_PAST_DEADLINE',
  2: 'PEER_PLEDGED',
};

export const AskOperation = {
  ASK_OPERATION_NONE: 0,
  ASK_OPERATION_ASK: 1,
  ASK_OPERATION_RECORD: 2,
  ASK_OPERATION_ANSWER: 3,
  ASK_OPERATION_RELAY: 4,
  ASK_OPERATION_PROBE: 5,
  ASK_OPERATION_PROBE_ANSWER: 6,
  ASK_OPERATION_FLOWS: 7,
  ASK_OPERATION_FLOWS_TAKEN: 8,
} as const;

export type AskOperation = (typeof AskOperation)[keyof typeof AskOperation];

export const ASK_OPERATION_NAMES: Readonly<Record<number, string>> = {
  0: 'ASK_OPERATION_NONE',
  1: 'ASK_OPERATION_ASK',
  2: 'ASK_OPERATION_RECORD',
  3: 'ASK_OPERATION_ANSWER',
  4: 'ASK_OPERATION_RELAY',
  5: 'ASK_OPERATION_PROBE',
  6: 'ASK_OPERATION_PROBE_ANSWER',
  7: 'ASK_OPERATION_FLOWS',
  8: 'ASK_OPERATION_FLOWS_TAKEN',
};

export const AskFlag = {
  ASK_NEW_FLOW: 1,
  ASK_UNRECORDED: 2,
  ASK_LOOK_UP: 4,
  ASK_PLEDGE: 8,
  ASK_PAST_DEADLINE: 16,
  ASK_REFRESH: 32,
  ASK_CUT: 64,
  ASK_CONNECTION: 128,
} as const;

export type AskFlag = (typeof AskFlag)[keyof typeof AskFlag];

export const ASK_FLAG_NAMES: Readonly<Record<number, string>> = {
  1: 'ASK_NEW_FLOW',
  2: 'ASK_UNRECORDED',
  4: 'ASK_LOOK_UP',
  8: 'ASK_PLEDGE',
  16: 'ASK_PAST_DEADLINE',
  32: 'ASK_REFRESH',
  64: 'ASK_CUT',
  128: 'ASK_CONNECTION',
};

export const FlowsCommand = {
  FLOWS_COMMAND_NONE: 0,
  FLOWS_COMMAND_CLOCK: 1,
  FLOWS_COMMAND_PROBE: 2,
  FLOWS_COMMAND_SWEEP: 3,
  FLOWS_COMMAND_SWEEP_CACHE: 4,
  FLOWS_COMMAND_LIST: 5,
  FLOWS_COMMAND_LOOK_UP: 6,
  FLOWS_COMMAND_COPY: 7,
  FLOWS_COMMAND_REFRESH: 8,
  FLOWS_COMMAND_RELEASE: 9,
  FLOWS_COMMAND_COPY_AHEAD: 10,
} as const;

export type FlowsCommand = (typeof FlowsCommand)[keyof typeof FlowsCommand];

export const FLOWS_COMMAND_NAMES: Readonly<Record<number, string>> = {
  0: 'FLOWS_COMMAND_NONE',
  1: 'FLOWS_COMMAND_CLOCK',
  2: 'FLOWS_COMMAND_PROBE',
  3: 'FLOWS_COMMAND_SWEEP',
  4: 'FLOWS_COMMAND_SWEEP_CACHE',
  5: 'FLOWS_COMMAND_LIST',
  6: 'FLOWS_COMMAND_LOOK_UP',
  7: 'FLOWS_COMMAND_COPY',
  8: 'FLOWS_COMMAND_REFRESH',
  9: 'FLOWS_COMMAND_RELEASE',
  10: 'FLOWS_COMMAND_COPY_AHEAD',
};

export const QueryOperation = {
  QUERY_OPERATION_NONE: 0,
  QUERY_OPERATION_ASK: 1,
  QUERY_OPERATION_HOME: 2,
  QUERY_OPERATION_PROBE: 3,
  QUERY_OPERATION_PROBE_ANSWER: 4,
} as const;

export type QueryOperation = (typeof QueryOperation)[keyof typeof QueryOperation];

export const QUERY_OPERATION_NAMES: Readonly<Record<number, string>> = {
  0: 'QUERY_OPERATION_NONE',
  1: 'QUERY_OPERATION_ASK',
  2: 'QUERY_OPERATION_HOME',
  3: 'QUERY_OPERATION_PROBE',
  4: 'QUERY_OPERATION_PROBE_ANSWER',
};

export const AffinityCommand = {
  AFFINITY_COMMAND_NONE: 0,
  AFFINITY_COMMAND_CLOCK: 1,
  AFFINITY_COMMAND_PROBE: 2,
  AFFINITY_COMMAND_SWEEP: 3,
  AFFINITY_COMMAND_LIST: 4,
  AFFINITY_COMMAND_LOOK_UP: 5,
  AFFINITY_COMMAND_RELEASE: 6,
  AFFINITY_COMMAND_LEARN: 7,
} as const;

export type AffinityCommand = (typeof AffinityCommand)[keyof typeof AffinityCommand];

export const AFFINITY_COMMAND_NAMES: Readonly<Record<number, string>> = {
  0: 'AFFINITY_COMMAND_NONE',
  1: 'AFFINITY_COMMAND_CLOCK',
  2: 'AFFINITY_COMMAND_PROBE',
  3: 'AFFINITY_COMMAND_SWEEP',
  4: 'AFFINITY_COMMAND_LIST',
  5: 'AFFINITY_COMMAND_LOOK_UP',
  6: 'AFFINITY_COMMAND_RELEASE',
  7: 'AFFINITY_COMMAND_LEARN',
};

export const FilterRule = {
  FILTER_RULE_NONE: 0,
  FILTER_RULE_CLEAN: 1,
  FILTER_RULE_AFFINITY: 2,
  FILTER_RULE_CONNECTION: 3,
  FILTER_RULE_FOREIGN: 4,
  FILTER_RULE_NOT_MINE: 5,
  FILTER_RULE_OWN: 6,
  FILTER_RULE_QUERY: 7,
  FILTER_RULE_NOBODY: 8,
  FILTER_RULE_ADDRESS: 9,
  FILTER_RULE_FRAGMENT: 10,
} as const;

export type FilterRule = (typeof FilterRule)[keyof typeof FilterRule];

export const FILTER_RULE_NAMES: Readonly<Record<number, string>> = {
  0: 'FILTER_RULE_NONE',
  1: 'FILTER_RULE_CLEAN',
  2: 'FILTER_RULE_AFFINITY',
  3: 'FILTER_RULE_CONNECTION',
  4: 'FILTER_RULE_FOREIGN',
  5: 'FILTER_RULE_NOT_MINE',
  6: 'FILTER_RULE_OWN',
  7: 'FILTER_RULE_QUERY',
  8: 'FILTER_RULE_NOBODY',
  9: 'FILTER_RULE_ADDRESS',
  10: 'FILTER_RULE_FRAGMENT',
};

export const DrivenConnection = {
  DRIVEN_CONNECTION_KERNEL: 0,
  DRIVEN_CONNECTION_NONE: 1,
  DRIVEN_CONNECTION_HERE: 2,
} as const;

export type DrivenConnection = (typeof DrivenConnection)[keyof typeof DrivenConnection];

export const DRIVEN_CONNECTION_NAMES: Readonly<Record<number, string>> = {
  0: 'DRIVEN_CONNECTION_KERNEL',
  1: 'DRIVEN_CONNECTION_NONE',
  2: 'DRIVEN_CONNECTION_HERE',
};
