// One mux of a cluster of four, whose slots are tracked, with every table in the test's hands: the program and the maps
// alone, without the control plane that fills them. Time is driven.
import { type BpfMap, type LoadedObject, openObject } from 'libbpf-ts';
import {
  backendCodec,
  chainCodec,
  type FlowEntry,
  FlowEvent,
  FlowsCommand,
  flowEntryCodec,
  flowsPageCodec,
  flowsRequestCodec,
  Limit,
  muxSelfCodec,
  REASON_NAMES,
} from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import { readHashKey } from '../../../control/dataplane/hash.ts';
import { objectPath } from '../../../control/dataplane/object.ts';
import { plainFields, serviceFields, serviceKey } from '../../../control/dataplane/service_record.ts';
import { ServiceTable } from '../../../control/dataplane/service_table.ts';
import { FlowTables } from './flow_tables.ts';
import { address, be, mac } from './packets.ts';
import {
  type Flow,
  type FlowRule,
  flowHash,
  parseHashKey,
  type Sources,
  slotOf,
  type Way,
} from './reference.ts';
import { type Run, runOn } from './rig.ts';
import { testKey } from './site.ts';
import { addressWords, type Header, type Hop } from './wire_reference.ts';

export const SERVICE = '203.0.113.10';
export const SERVICE6 = '2001:db8:5::10';
export const CLIENT = '198.51.100.77';
export const CLIENT6 = '2001:db8:c::77';
export const SELF = 2;
export const KEY_BYTES = testKey('tracked');
export const ASK_KEY: readonly [bigint, bigint] = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n];
export const ASK_PORT = 7445;
export const SOURCES: Sources = {
  address4: '198.18.64.0',
  prefixLength4: 24,
  address6: '2001:db8:100::',
  prefixLength6: 112,
};
/** Flow time of the services: 40 units. */
export const IDLE = 40;
const IDLE_MS = (IDLE * 2 ** Limit.LIMIT_FLOW_TIME_SHIFT) / 1e6 - 1;
const START_NS = 1_000_000n << BigInt(Limit.LIMIT_FLOW_TIME_SHIFT);
const CPUS = 64;

export type ServiceName = 'tcp' | 'udp' | 'sticky' | 'quic' | 'tcp6';
export type SiteService = FlowRule & {
  pool: number;
  quic?: { configRotation: number; serverIdBytes: number };
};
const SLOT_COUNT = 5;
export const SITE: Readonly<Record<ServiceName, SiteService>> = {
  tcp: { address: SERVICE, port: 443, protocol: 6, slotBase: 100, slotCount: SLOT_COUNT, pool: 5 },
  udp: { address: SERVICE, port: 443, protocol: 17, slotBase: 200, slotCount: SLOT_COUNT, pool: 6 },
  sticky: {
    address: SERVICE,
    port: 8080,
    protocol: 6,
    slotBase: 300,
    slotCount: SLOT_COUNT,
    pool: 7,
    affinity: { prefixLength4: 24, prefixLength6: 64 },
  },
  quic: {
    address: SERVICE,
    port: 4433,
    protocol: 17,
    slotBase: 400,
    slotCount: SLOT_COUNT,
    pool: 8,
    quic: { configRotation: 0, serverIdBytes: 1 },
  },
  tcp6: { address: SERVICE6, port: 443, protocol: 6, slotBase: 500, slotCount: SLOT_COUNT, pool: 9 },
};

export const INCARNATION = (mux: number): number => 1000 + mux;
export const MUX_ADDRESS = (mux: number): string => `192.0.2.${200 + mux}`;
export const MUX_MACS = (mux: number) => ({
  toMac: mac(`02:00:00:00:d0:0${mux}`),
  fromMac: mac(`02:00:00:00:c0:0${mux}`),
});
export const MUXES = [1, 2, 3, 4] as const;
export const BACKENDS = [1, 2, 3] as const;
export const GENERATION = 7;

/** From this mux to another, as the program writes it. */
export function hopTo(mux: number): Hop {
  return { from: MUX_ADDRESS(SELF), to: MUX_ADDRESS(mux), ...MUX_MACS(mux), port: ASK_PORT };
}

/** From another mux to this one: link addresses do not matter. */
export function hopFrom(mux: number): Hop {
  return { from: MUX_ADDRESS(mux), to: MUX_ADDRESS(SELF), ...MUX_MACS(mux), port: ASK_PORT };
}

export function wayTo(backend: number): Way {
  return {
    address: `192.0.2.${backend}`,
    encap: 'ip',
    destinationMac: mac(`02:00:00:00:b0:${backend.toString(16).padStart(2, '0')}`),
    sourceMac: mac(`02:00:00:00:a0:${backend.toString(16).padStart(2, '0')}`),
  };
}

export type Chain = {
  owner: number;
  backup: number;
  trackEpoch: number;
  chainEpoch: number;
  ownerIncarnation?: number;
  backupIncarnation?: number;
};

export type TrackedMuxOptions = {
  /** 0: alone. */
  id?: number;
  flowBuckets?: number;
  cacheBuckets?: number;
  drivenTime?: boolean;
  objectPath?: string;
  observer?: number;
  /** Other services, slots and backends than SITE's, for measurements. */
  site?: Readonly<Record<string, SiteService>>;
  slotCapacity?: number;
  backends?: readonly number[];
};

const hashKey = parseHashKey(KEY_BYTES);
export const hashOf = (service: ServiceName, flow: Flow): bigint => flowHash(hashKey, SITE[service], flow);

/** As headers count slots: from the first one of the pool. */
export const slotInPool = (service: ServiceName, hash: bigint): number =>
  slotOf(SITE[service], hash) - SITE[service].slotBase;

export class TrackedMux extends FlowTables {
  readonly object: LoadedObject;
  readonly options: Required<Pick<TrackedMuxOptions, 'id' | 'flowBuckets' | 'cacheBuckets'>>;
  readonly #site: Readonly<Record<string, SiteService>>;
  readonly #clock: BigUint64Array;
  readonly #slots: BigUint64Array;
  readonly #counters: BigUint64Array;
  readonly #sections = new Map<string, DataView>();
  #chains = 0;

  constructor(options: TrackedMuxOptions = {}) {
    super();
    const { slotCapacity = 1024, backends = BACKENDS, site = SITE } = options;
    const { id = SELF, flowBuckets = 16, cacheBuckets = 16, drivenTime = true, observer = 0 } = options;
    this.options = { id, flowBuckets, cacheBuckets };
    const opened = openObject(options.objectPath ?? process.env.HOLDFAST_TEST_MUX ?? objectPath('mux'));
    opened.setConstants({
      hash_key: KEY_BYTES,
      tunnel_source4: sourceRecord(SOURCES.address4, 0xff),
      server_id_bucket_mask: 4095,
      observer,
      time_is_driven: drivenTime,
      ask_port: new DataView(be(ASK_PORT, 2).buffer).getUint16(0, true),
      flow_buckets: flowBuckets,
      cache_buckets: cacheBuckets,
    });
    opened.maps.get('slots')!.setMaxEntries(slotCapacity);
    opened.maps.get('counters')!.setMaxEntries(CPUS);
    opened.maps.get('flow_table')!.setMaxEntries(flowBuckets);
    opened.maps.get('flow_cache')!.setMaxEntries(cacheBuckets);
    this.object = opened.load();
    this.#clock = new BigUint64Array(this.#map('.data.clock'), 0, 1);
    this.#slots = new BigUint64Array(this.#map('slots'), 0, slotCapacity);
    this.#counters = new BigUint64Array(this.#map('counters'));
    this.#site = site;
    this.#clock[0] = START_NS;
    this.#configure(id, backends);
  }

  close(): void {
    this.object.close();
  }

  run(frame: Uint8Array): Run {
    return runOn(this.object.program('mux'), frame);
  }

  map(name: string): BpfMap {
    return this.object.map(name);
  }

  get nowNs(): bigint {
    return this.#clock[0]!;
  }

  /** Flow time, 16 bits. */
  get now(): number {
    return Number((this.nowNs >> BigInt(Limit.LIMIT_FLOW_TIME_SHIFT)) & 0xffffn);
  }

  /** Cluster time, of headers. */
  get ticks(): number {
    return Number((this.nowNs >> BigInt(Limit.LIMIT_TICK_SHIFT)) & 0xffffffffn);
  }

  /** By units of flow time. */
  advance(units: number): void {
    this.advanceNs(BigInt(units) << BigInt(Limit.LIMIT_FLOW_TIME_SHIFT));
  }

  advanceNs(ns: bigint): void {
    this.#clock[0] = this.nowNs + ns;
  }

  /** Every slot of a service: tracked with a chain, or clean. Returns the chain's index. */
  setSlots(service: ServiceName, current: number, base: number, chain?: Chain | 'none'): number {
    let word = BigInt(current) | (BigInt(base) << 16n);
    if (chain !== undefined) word |= 1n << 32n;
    const index = chain === undefined || chain === 'none' ? 0 : this.setChain(chain);
    word |= BigInt(index) << 33n;
    const { slotBase, slotCount } = this.#site[service]!;
    for (let slot = 0; slot < slotCount; slot++) this.#slots[slotBase + slot] = word;
    return index;
  }

  /** One slot by its index. */
  setSlot(slot: number, current: number, base: number, chain: number): void {
    this.#slots[slot] = BigInt(current) | (BigInt(base) << 16n) | (1n << 32n) | (BigInt(chain) << 33n);
  }

  setCleanSlot(slot: number, backend: number): void {
    this.#slots[slot] = BigInt(backend) | (BigInt(backend) << 16n);
  }

  setTimeOffset(offset: number): void {
    const view = this.view('.data.self');
    muxSelfCodec.write(view, 0, { ...muxSelfCodec.read(view, 0), time_offset: offset >>> 0 });
  }

  setChain(chain: Chain): number {
    this.#chains = (this.#chains % 60000) + 1;
    chainCodec.write(this.view('chains'), this.#chains * chainCodec.sizeBytes, {
      track_epoch: chain.trackEpoch,
      chain_epoch: chain.chainEpoch,
      owner: chain.owner,
      backup: chain.backup,
      owner_incarnation: chain.ownerIncarnation ?? (chain.owner === 0 ? 0 : INCARNATION(chain.owner)),
      backup_incarnation: chain.backupIncarnation ?? (chain.backup === 0 ? 0 : INCARNATION(chain.backup)),
      reserved: 0,
      unrecorded_ns: 0n,
    });
    return this.#chains;
  }

  unrecordedNs(chain: number): bigint {
    return chainCodec.read(this.view('chains'), chain * chainCodec.sizeBytes).unrecorded_ns;
  }

  setBackend(index: number, state: { present?: boolean; generation?: number }): void {
    const view = this.view('.data.backends');
    const record = backendCodec.read(view, index * backendCodec.sizeBytes);
    const flags = state.present === undefined ? record.flags : state.present ? 3 : 0;
    const generation = state.generation ?? record.generation;
    backendCodec.write(view, index * backendCodec.sizeBytes, { ...record, flags, generation });
  }

  setPeer(mux: number, state: { present?: boolean; innerMtu?: number }): void {
    const view = this.view('.data.peers');
    const record = backendCodec.read(view, mux * backendCodec.sizeBytes);
    const flags = state.present === undefined ? record.flags : state.present ? 3 : 0;
    backendCodec.write(view, mux * backendCodec.sizeBytes, {
      ...record,
      flags,
      inner_mtu: state.innerMtu ?? record.inner_mtu,
    });
  }

  /** undefined: for ever. */
  setDeadline(ticks: number | undefined): void {
    const view = this.view('.data.self');
    const record = muxSelfCodec.read(view, 0);
    muxSelfCodec.write(view, 0, {
      ...record,
      deadline: ticks === undefined ? (1n << 64n) - 1n : this.nowTicks() + BigInt(ticks),
    });
  }

  nowTicks(): bigint {
    return this.nowNs >> BigInt(Limit.LIMIT_TICK_SHIFT);
  }

  freshEntry(): FlowEntry {
    const empty = flowEntryCodec.read(new DataView(new ArrayBuffer(flowEntryCodec.sizeBytes)), 0);
    return { ...empty, generation: GENERATION, seen: this.now, idle_time: IDLE, state: 3, protocol: 6 };
  }

  /** What was counted: reasons and events, by name. */
  counts(): Record<string, bigint> {
    const perCpu = this.#counters.length / CPUS;
    const sum = (word: number): bigint => {
      let total = 0n;
      for (let cpu = 0; cpu < CPUS; cpu++) total += this.#counters[cpu * perCpu + word]!;
      return total;
    };
    const all: Record<string, bigint> = {};
    Object.entries(REASON_NAMES).forEach(([value, name]) => {
      all[name as string] = sum(Number(value));
    });
    for (const [name, value] of Object.entries(FlowEvent))
      if (name !== 'FLOW_EVENT_COUNT') all[name] = sum(Limit.LIMIT_REASONS + value);
    return all;
  }

  /** Forwarded to a backend. */
  packetsOf(backend: number): number {
    const perCpu = this.#counters.length / CPUS;
    const word = Limit.LIMIT_REASONS + Limit.LIMIT_FLOW_EVENTS + (Limit.LIMIT_SERVICES + backend) * 3;
    return Array.from({ length: CPUS }, (_, cpu) => Number(this.#counters[cpu * perCpu + word]!)).reduce(
      (sum, it) => sum + it,
    );
  }

  /** Has the program `flows` take out of table and cache what is no more. */
  sweep(): void {
    for (const command of [FlowsCommand.FLOWS_COMMAND_SWEEP, FlowsCommand.FLOWS_COMMAND_SWEEP_CACHE]) {
      const page = new Uint8Array(flowsPageCodec.sizeBytes);
      const view = new DataView(page.buffer);
      const request = flowsRequestCodec.read(view, 0);
      flowsRequestCodec.write(view, 0, { ...request, command, buckets: 64, idle_time: IDLE });
      this.object.program('flows').testRun({ data: page });
    }
  }

  /** A header as this mux begins it. */
  header(more: Partial<Header> & Pick<Header, 'operation'>): Header {
    return {
      keyId: 0,
      asker: SELF,
      askerIncarnation: INCARNATION(SELF),
      slot: 0,
      pool: SITE.tcp.pool,
      owner: 0,
      backup: 0,
      time: this.ticks,
      version: 9,
      trackEpoch: 0,
      chainEpoch: 0,
      ownerIncarnation: 0,
      backupIncarnation: 0,
      hops: 1,
      flags: 0,
      backend: 0,
      generation: 0,
      ...more,
    };
  }

  view(name: string): DataView {
    const known = this.#sections.get(name);
    if (known !== undefined) return known;
    const view = new DataView(this.#map(name));
    this.#sections.set(name, view);
    return view;
  }

  #map(name: string): ArrayBuffer {
    return this.object.map(name).mmap();
  }

  #configure(id: number, backends: readonly number[]): void {
    const services = new ServiceTable(
      new Uint8Array(this.#map('.data.services')),
      new Uint8Array(this.#map('.data.address_filter')),
      readHashKey(KEY_BYTES),
      new GracePeriods(),
    );
    for (const address of new Set(Object.values(this.#site).map((it) => it.address)))
      services.set(serviceKey({ address }), plainFields());
    for (const it of Object.values(this.#site)) {
      const config = {
        address: it.address,
        protocol: it.protocol === 6 ? ('tcp' as const) : ('udp' as const),
        port: it.port,
        idleTimeoutMs: IDLE_MS,
        ...(it.affinity === undefined ? {} : { affinity: it.affinity }),
        ...(it.quic === undefined ? {} : { quic: it.quic }),
      };
      const fields = serviceFields(config, it.pool, { base: it.slotBase, count: it.slotCount });
      services.set(serviceKey(config), fields);
    }
    for (const backend of backends)
      this.#putWay('.data.backends', backend, wayTo(backend), { innerMtu: 1480, generation: GENERATION });
    for (const mux of MUXES) {
      const { toMac, fromMac } = MUX_MACS(mux);
      const way: Way = { address: MUX_ADDRESS(mux), encap: 'gue', destinationMac: toMac, sourceMac: fromMac };
      this.#putWay('.data.peers', mux, way, { innerMtu: 1500, generation: 0, port: ASK_PORT });
    }
    const self = muxSelfCodec.read(this.view('.data.self'), 0);
    muxSelfCodec.write(this.view('.data.self'), 0, {
      ...self,
      deadline: (1n << 64n) - 1n,
      id,
      incarnation: id === 0 ? 0 : INCARNATION(id),
      version: 9,
    });
    const keys = this.view('.data.ask_keys');
    keys.setBigUint64(0, ASK_KEY[0], true);
    keys.setBigUint64(8, ASK_KEY[1], true);
    keys.setUint8(16, 1);
  }

  #putWay(
    section: string,
    index: number,
    way: Way,
    { innerMtu, generation, port = 0 }: { innerMtu: number; generation: number; port?: number },
  ): void {
    const halves = (text: string) => {
      const bytes = address(text);
      return [0, 2].map((at) => bytes[at]! + bytes[at + 1]! * 256);
    };
    const sum = [...halves(SOURCES.address4), ...halves(way.address)].reduce((a, b) => a + b, 0);
    backendCodec.write(this.view(section), index * backendCodec.sizeBytes, {
      ...backendCodec.read(new DataView(new ArrayBuffer(backendCodec.sizeBytes)), 0),
      address: { word: addressWords(way.address) },
      flags: 3,
      encap: way.encap === 'gue' ? 1 : 0,
      ip_version: 4,
      gue_port: new DataView(be(port, 2).buffer).getUint16(0, true),
      inner_mtu: innerMtu,
      address_sum: (sum & 0xffff) + (sum >>> 16),
      destination_mac: way.destinationMac,
      source_mac: way.sourceMac,
      ether_type: 0x0008,
      generation,
    });
  }
}

function sourceRecord(text: string, spread: number): Uint8Array {
  const record = new Uint8Array(20);
  const view = new DataView(record.buffer);
  addressWords(text).forEach((word, i) => void view.setUint32(i * 4, word, true));
  record[19] = spread;
  return record;
}
