// One server of a filter cluster with every table in the test's hands: the program and the maps alone, without the control
// plane that fills them. Time is driven.
import { type BpfMap, type LoadedObject, openObject } from 'libbpf-ts';
import {
  AffinityCommand,
  type AffinityEntry,
  type AffinityRequest,
  affinityEntryCodec,
  affinityPageCodec,
  affinityRequestCodec,
  backendCodec,
  bucketHoldersCodec,
  DrivenConnection,
  type FilterExplanation,
  FlowEvent,
  filterExplanationCodec,
  Limit,
  muxSelfCodec,
  peerStateCodec,
  REASON_NAMES,
  ServiceFlag,
} from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import { readHashKey } from '../../../control/dataplane/hash.ts';
import { objectPath } from '../../../control/dataplane/object.ts';
import { plainFields, serviceFields, serviceKey } from '../../../control/dataplane/service_record.ts';
import { ServiceTable } from '../../../control/dataplane/service_table.ts';
import { be, mac } from './packets.ts';
import { type Flow, type FlowRule, flowHash, parseHashKey, slotOf } from './reference.ts';
import { moved, type Run, runOn } from './rig.ts';
import { testKey } from './site.ts';
import { tcpOf } from './stack.ts';
import { addressWords } from './wire_reference.ts';

export const SERVICE = '203.0.113.10';
export const SERVICE6 = '2001:db8:5::10';
/** Every port of it is one service. */
export const GROUP = '203.0.113.11';
export const CLIENT = '198.51.100.77';
export const CLIENT6 = '2001:db8:c::77';
export const SHARED_MAC = mac('03:bf:cb:00:71:0a');
export const OWN_MAC = (server: number): Uint8Array => mac(`02:00:00:00:f0:0${server}`);
export const ASK_PORT = 7445;
export const ASK_KEY: readonly [bigint, bigint] = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n];
export const INCARNATION = (server: number): number => 7000 + server;
export const SERVER_ADDRESS = (server: number): string => `192.0.2.${100 + server}`;
export const SERVER_ADDRESS6 = (server: number): string => `2001:db8:f::${server}`;
const KEY_BYTES = testKey('filter');
const START_NS = 1_000_000n << BigInt(Limit.LIMIT_FLOW_TIME_SHIFT);
const CPUS = 64;
const SLOT_COUNT = 5;
/** Flow time. */
export const TIMEOUT = 800;
export const TIMEOUT_MS = (TIMEOUT * 2 ** Limit.LIMIT_FLOW_TIME_SHIFT) / 1e6 - 1;
export const VERSION = 9;

export type ServiceName = keyof typeof SITE;
type SiteService = FlowRule & { pool: number };
const narrow = { prefixLength4: 24, prefixLength6: 64 };
const whole = { prefixLength4: 32, prefixLength6: 128 };
const at = (slotBase: number, pool: number) => ({ slotBase, slotCount: SLOT_COUNT, pool });
export const SITE = {
  tcp: { address: SERVICE, port: 443, protocol: 6, ...at(100, 5) },
  udp: { address: SERVICE, port: 443, protocol: 17, ...at(200, 6) },
  subnet: { address: SERVICE, port: 8080, protocol: 6, ...at(300, 7), affinity: narrow },
  host: { address: SERVICE, port: 8081, protocol: 6, ...at(400, 8), affinity: whole },
  hostUdp: { address: SERVICE, port: 8081, protocol: 17, ...at(450, 8), affinity: whole },
  group: { address: GROUP, port: 0, protocol: 0, ...at(500, 9), affinity: whole },
  tcp6: { address: SERVICE6, port: 443, protocol: 6, ...at(600, 10) },
  udp6: { address: SERVICE6, port: 443, protocol: 17, ...at(650, 10) },
  subnet6: { address: SERVICE6, port: 8080, protocol: 6, ...at(700, 11), affinity: narrow },
  host6: { address: SERVICE6, port: 8081, protocol: 6, ...at(800, 12), affinity: whole },
  /** What is for no port: echo requests, for one. */
  address: { address: SERVICE, port: 0, protocol: 0, ...at(900, 13) },
  address6: { address: SERVICE6, port: 0, protocol: 0, ...at(950, 14) },
} as const satisfies Record<string, SiteService>;
/** A service that no server answers. */
export const CLOSED_PORT = 9;

const hashKey = parseHashKey(KEY_BYTES);
export const ruleOf = (service: ServiceName): SiteService => SITE[service];
export const hashWith = (rule: FlowRule, flow: Flow): bigint => flowHash(hashKey, rule, flow);
export const hashOf = (service: ServiceName, flow: Flow): bigint => hashWith(ruleOf(service), flow);
/** As headers count buckets: from the first one of the pool. */
export const slotIn = (service: ServiceName, hash: bigint): number =>
  slotOf(ruleOf(service), hash) - SITE[service].slotBase;

export type Holders = { trackEpoch?: number; servers: readonly number[] };

export type FilterServerOptions = {
  id?: number;
  servers?: readonly number[];
  affinityBuckets?: number;
  foreignBuckets?: number;
  observer?: number;
  version?: 4 | 6;
  drivenTime?: boolean;
  /** Other services than SITE's, for measurements. */
  site?: Readonly<Record<string, SiteService>>;
  slotCapacity?: number;
  /** Of all services. */
  timeoutMs?: number;
  /** TCP connections are those that this host has; else those whose SYN the server passed. */
  hostConnections?: boolean;
};

export const OBSERVER_EXPLAIN = 2;

export class FilterServer {
  readonly id: number;
  readonly object: LoadedObject;
  readonly affinityBuckets: number;
  /** Without, no bit says what is another's: slots alone do. */
  glances = true;
  readonly #version: 4 | 6;
  readonly #site: Readonly<Record<string, SiteService>>;
  readonly #clock: BigUint64Array;
  readonly #slots: BigUint64Array;
  readonly #counters: BigUint64Array;
  /** A cache line a CPU, of which the first word counts. */
  readonly #dropped: BigUint64Array;
  readonly #sections = new Map<string, DataView>();
  /** Connections that began here; undefined: this host's own are looked at. */
  readonly #stack: Set<string> | undefined;
  readonly #explains: boolean;
  readonly #timeoutMs: number;
  #records = 0;

  constructor(options: FilterServerOptions = {}) {
    const { id = 2, servers = [1, 2, 3, 4], affinityBuckets = 64, foreignBuckets = 16 } = options;
    const { observer = 0, drivenTime = true, site = SITE, slotCapacity = 1024 } = options;
    this.id = id;
    this.affinityBuckets = affinityBuckets;
    this.#version = options.version ?? 4;
    this.#site = site;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#explains = observer === OBSERVER_EXPLAIN;
    this.#stack = options.hostConnections ? undefined : new Set();
    const opened = openObject(process.env.HOLDFAST_TEST_FILTER ?? objectPath('filter'));
    opened.setConstants({
      hash_key: KEY_BYTES,
      observer,
      time_is_driven: drivenTime,
      ask_port: new DataView(be(ASK_PORT, 2).buffer).getUint16(0, true),
      affinity_buckets: affinityBuckets,
      foreign_buckets: foreignBuckets,
    });
    opened.maps.get('slots')!.setMaxEntries(slotCapacity);
    opened.maps.get('counters')!.setMaxEntries(CPUS);
    opened.maps.get('affinities')!.setMaxEntries(affinityBuckets);
    opened.maps.get('foreigns')!.setMaxEntries(foreignBuckets);
    this.object = opened.load();
    this.#clock = new BigUint64Array(this.#mmap('.data.clock'), 0, 1);
    this.#slots = new BigUint64Array(this.#mmap('slots'), 0, slotCapacity);
    this.#counters = new BigUint64Array(this.#mmap('counters'));
    this.#dropped = new BigUint64Array(this.#mmap('.data.dropped'), 0, Limit.LIMIT_DROPPED_CPUS * 8);
    this.#clock[0] = START_NS;
    this.#configure(servers);
  }

  close(): void {
    this.object.close();
  }

  run(frame: Uint8Array): Run {
    const tcp = this.#stack === undefined ? undefined : tcpOf(frame);
    if (this.#stack !== undefined) {
      const isHere = tcp !== undefined && this.#stack.has(tcp.connection);
      const answer = DrivenConnection[isHere ? 'DRIVEN_CONNECTION_HERE' : 'DRIVEN_CONNECTION_NONE'];
      this.view('.data.driven_conn').setUint32(0, answer, true);
    }
    const done = runOn(this.object.program('filter'), frame);
    if (tcp?.begins && done.verdict === 'PASS' && !this.#explains) this.#stack?.add(tcp.connection);
    return done;
  }

  /** What running a frame did: verdict, bytes, and what was counted. */
  judge(frame: Uint8Array) {
    const before = this.counts();
    const { verdict, output } = this.run(frame);
    return { verdict, output, counted: moved(before, this.counts()) };
  }

  map(name: string): BpfMap {
    return this.object.map(name);
  }

  view(name: string): DataView {
    let view = this.#sections.get(name);
    if (view === undefined) {
      view = new DataView(this.#mmap(name));
      this.#sections.set(name, view);
    }
    return view;
  }

  #mmap(name: string): ArrayBuffer {
    return this.object.map(name).mmap();
  }

  get nowNs(): bigint {
    return this.#clock[0]!;
  }

  set nowNs(ns: bigint) {
    this.#clock[0] = ns;
  }

  /** Cluster time, of headers. */
  get ticks(): number {
    return Number((this.nowNs >> BigInt(Limit.LIMIT_TICK_SHIFT)) & 0xffffffffn);
  }

  /** By units of flow time. */
  advance(units: number): void {
    this.nowNs += BigInt(units) << BigInt(Limit.LIMIT_FLOW_TIME_SHIFT);
  }

  addressOf(server: number): string {
    return this.#version === 4 ? SERVER_ADDRESS(server) : SERVER_ADDRESS6(server);
  }

  /** Every bucket of a service; tracked where there are `holders`. Returns the record's index, 0: none. */
  setBuckets(service: string, current: number, base = current, holders?: Holders): number {
    let word = BigInt(current) | (BigInt(base) << 16n);
    const index = holders === undefined ? 0 : this.#putHolders(holders);
    if (holders !== undefined) word |= (1n << 32n) | (BigInt(index) << 33n);
    const { slotBase, slotCount } = this.#site[service]!;
    const isClean = holders === undefined && this.glances;
    for (let slot = slotBase; slot < slotBase + slotCount; slot++) {
      for (const bits of ['others', 'settled'] as const) this.#setBit(bits, slot, false);
      this.#slots[slot] = word;
      this.#setBit(current === this.id ? 'settled' : 'others', slot, isClean);
    }
    return index;
  }

  /** The bits by which the program knows at a glance what is clean, and another's or its own. */
  #setBit(bits: 'others' | 'settled', slot: number, isSet: boolean): void {
    const at = Math.floor(slot / 64) * 8;
    const view = this.view(`.data.${bits}`);
    const word = view.getBigUint64(at, true);
    const bit = 1n << BigInt(slot % 64);
    view.setBigUint64(at, isSet ? word | bit : word & ~bit, true);
  }

  #putHolders({ trackEpoch = 5, servers }: Holders): number {
    this.#records++;
    const empty = { incarnation: 0, server: 0, reserved: 0 };
    bucketHoldersCodec.write(this.view('holders'), this.#records * bucketHoldersCodec.sizeBytes, {
      track_epoch: trackEpoch,
      count: servers.length,
      unrecorded_ns: 0n,
      holder: Array.from({ length: Limit.LIMIT_HOLDERS }, (_, i) =>
        servers[i] === undefined
          ? empty
          : { ...empty, incarnation: INCARNATION(servers[i]), server: servers[i] },
      ),
    });
    return this.#records;
  }

  /** Of a holders record, or with 0 of all clean buckets. */
  unrecordedNs(record: number): bigint {
    if (record === 0) return this.view('.data.unrecorded').getBigUint64(0, true);
    return bucketHoldersCodec.read(this.view('holders'), record * bucketHoldersCodec.sizeBytes).unrecorded_ns;
  }

  setSelf(change: Partial<ReturnType<typeof muxSelfCodec.read>>): void {
    const view = this.view('.data.self');
    muxSelfCodec.write(view, 0, { ...muxSelfCodec.read(view, 0), ...change });
  }

  /** Ticks from now; undefined: for ever. */
  setDeadline(ticks: number | undefined): void {
    const now = this.nowNs >> BigInt(Limit.LIMIT_TICK_SHIFT);
    this.setSelf({ deadline: ticks === undefined ? (1n << 64n) - 1n : now + BigInt(ticks) });
  }

  changePeer(server: number, change: Partial<ReturnType<typeof backendCodec.read>>): void {
    const view = this.view('.data.peers');
    const offset = server * backendCodec.sizeBytes;
    backendCodec.write(view, offset, { ...backendCodec.read(view, offset), ...change });
  }

  peerState(server: number): ReturnType<typeof peerStateCodec.read> {
    return peerStateCodec.read(this.view('.data.peer_states'), server * peerStateCodec.sizeBytes);
  }

  /** As a probe's answer would have said. */
  setPeerIncarnation(server: number, incarnation: number): void {
    const state = { ...this.peerState(server), incarnation };
    peerStateCodec.write(this.view('.data.peer_states'), server * peerStateCodec.sizeBytes, state);
  }

  setLinkAddress(address: Uint8Array): void {
    const view = this.view('.data.filter_link');
    address.forEach((byte, i) => void view.setUint8(i, byte));
  }

  explanation(): FilterExplanation {
    return filterExplanationCodec.read(this.view('.data.filter_expl'), 0);
  }

  /** Runs a command of the program `affinity`. */
  command(
    request: Partial<AffinityRequest> & Pick<AffinityRequest, 'command'>,
    entries: readonly AffinityEntry[] = [],
  ) {
    const data = new Uint8Array(affinityPageCodec.sizeBytes);
    const view = new DataView(data.buffer);
    const empty = affinityRequestCodec.read(view, 0);
    affinityRequestCodec.write(view, 0, { ...empty, count: entries.length, ...request });
    entries.forEach((entry, i) => {
      affinityEntryCodec.write(view, 64 + 64 + i * affinityEntryCodec.sizeBytes, entry);
    });
    const { retval, dataOut } = this.object.program('affinity').testRun({ data });
    const page = affinityPageCodec.read(new DataView(dataOut!.buffer, dataOut!.byteOffset), 0);
    if (retval !== 2 || page.request.done !== 1) throw new Error(`the command was refused: ${retval}`);
    return { ...page, bytes: dataOut! };
  }

  /** Every live affinity, by the hash of its key. */
  affinities(): Map<bigint, AffinityEntry> {
    const found = new Map<bigint, AffinityEntry>();
    for (let bucket = 0; bucket < this.affinityBuckets; ) {
      const { request, entry } = this.command({
        command: AffinityCommand.AFFINITY_COMMAND_LIST,
        bucket,
        buckets: 256,
      });
      for (const it of entry.slice(0, request.count)) found.set(it.hash, it);
      bucket = request.bucket;
    }
    return found;
  }

  /** Who else is known to have a client. */
  foreign(hash: bigint): AffinityEntry | undefined {
    const { entry } = this.command({ command: AffinityCommand.AFFINITY_COMMAND_LOOK_UP, hash });
    return entry[1]!.server === 0 ? undefined : entry[1];
  }

  learn(entry: Partial<AffinityEntry> & Pick<AffinityEntry, 'hash' | 'server' | 'lifetime'>): number {
    const all = { slot: 0, age: 0, is_proven: 0, reserved: 0, incarnation: INCARNATION(entry.server) };
    return this.command({ command: AffinityCommand.AFFINITY_COMMAND_LEARN }, [{ ...all, ...entry }]).request
      .count;
  }

  /** Forgets every client, and every connection. */
  clear(): void {
    this.#stack?.clear();
    for (const name of ['affinities', 'foreigns']) new Uint8Array(this.#mmap(name)).fill(0);
  }

  /** Every byte that packets may change, to be compared. */
  tables(): string {
    const names = ['affinities', 'foreigns', 'holders', 'counters', '.data.peer_states', '.data.unrecorded'];
    return names.map((name) => Buffer.from(this.#mmap(name)).toString('base64')).join();
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
    for (const [value, name] of Object.entries(REASON_NAMES)) all[name] = sum(Number(value));
    for (let at = 0; at < this.#dropped.length; at += 8) all.DROP_NOT_MINE! += this.#dropped[at]!;
    for (const [name, value] of Object.entries(FlowEvent))
      if (name !== 'FLOW_EVENT_COUNT') all[name] = sum(Limit.LIMIT_REASONS + value);
    return all;
  }

  /** Packets, bytes and beginnings of sessions that were accepted, of all services. */
  accepted(): number[] {
    const perCpu = this.#counters.length / CPUS;
    const first = Limit.LIMIT_REASONS + Limit.LIMIT_FLOW_EVENTS;
    const sums = [0, 0, 0];
    for (let cpu = 0; cpu < CPUS; cpu++)
      for (let word = 0; word < Limit.LIMIT_SERVICES * 3; word++)
        sums[word % 3]! += Number(this.#counters[cpu * perCpu + first + word]!);
    return sums;
  }

  #configure(servers: readonly number[]): void {
    const table = new ServiceTable(
      new Uint8Array(this.#mmap('.data.services')),
      new Uint8Array(this.#mmap('.data.address_filter')),
      readHashKey(KEY_BYTES),
      new GracePeriods(),
    );
    const addresses = new Map(
      Object.values(this.#site)
        .filter((it) => it.port === 0)
        .map((it) => [it.address, it]),
    );
    for (const address of new Set(Object.values(this.#site).map((it) => it.address))) {
      const own = addresses.get(address);
      const range = { base: own?.slotBase ?? 0, count: own?.slotCount ?? 0 };
      const sticky = own?.affinity === undefined ? {} : { affinity: own.affinity };
      const fields = serviceFields(
        { address, idleTimeoutMs: this.#timeoutMs, ...sticky, protocol: 'tcp' },
        own?.pool ?? 0,
        range,
      );
      if (address === GROUP) fields.flags |= ServiceFlag.SERVICE_ANY_PORT;
      fields.flags |= ServiceFlag.SERVICE_NEIGHBOUR;
      fields.link_address = SHARED_MAC;
      table.set(serviceKey({ address }), fields);
    }
    for (const it of Object.values(this.#site).filter(({ port }) => port !== 0)) {
      const config = {
        address: it.address,
        protocol: it.protocol === 6 ? ('tcp' as const) : ('udp' as const),
        port: it.port,
        idleTimeoutMs: this.#timeoutMs,
        ...(it.affinity === undefined ? {} : { affinity: it.affinity }),
      };
      table.set(
        serviceKey(config),
        serviceFields(config, it.pool, { base: it.slotBase, count: it.slotCount }),
      );
    }
    table.set(serviceKey({ address: SERVICE, protocol: 'tcp', port: CLOSED_PORT }), plainFields());
    for (const server of servers) this.#putPeer(server);
    this.setSelf({
      deadline: (1n << 64n) - 1n,
      id: this.id,
      incarnation: this.id === 0 ? 0 : INCARNATION(this.id),
      version: VERSION,
    });
    this.setLinkAddress(OWN_MAC(this.id));
    const keys = this.view('.data.ask_keys');
    keys.setBigUint64(0, ASK_KEY[0], true);
    keys.setBigUint64(8, ASK_KEY[1], true);
    keys.setUint8(16, 1);
  }

  #putPeer(server: number): void {
    this.changePeer(server, {
      address: { word: addressWords(this.addressOf(server)) },
      flags: 3,
      encap: 1,
      ip_version: this.#version,
      gue_port: new DataView(be(ASK_PORT, 2).buffer).getUint16(0, true),
      inner_mtu: 1400,
      destination_mac: OWN_MAC(server),
      source_mac: OWN_MAC(this.id),
      ether_type: this.#version === 4 ? 0x0008 : 0xdd86,
      generation: 0,
    });
  }
}
