// Owns a loaded mux program: its tables, counters, captures and the interfaces it is attached to. Not here: which
// backend a slot has (control/pool) and how a backend is reached (control/route).
import { membarrierGlobalSync } from '@holdfast/linux';
import type { BpfMap, LoadedObject, Program } from 'libbpf-ts';
import { possibleCpus } from 'libbpf-ts';
import type { AddressBytes } from '../lib/address.ts';
import { addressOfWords, formatAddress, maskOf, parseAddress, versionOf, wordsOf } from '../lib/address.ts';

import type { AttachOptions } from './attachment.ts';
import { Attachments } from './attachment.ts';
import type { BackendConfig } from './backend_table.ts';
import { BackendTable } from './backend_table.ts';
import type { CaptureFilter, CaptureRecord } from './capture.ts';
import { CaptureReader, writeCaptureFilter } from './capture.ts';
import type { ReasonName, TrafficCount } from './counters.ts';
import { Counters } from './counters.ts';
import { Limit, ServiceFlag } from './generated/layout.ts';
import { readHashKey } from './hash.ts';
import { mapSection, objectPath, openProgram } from './object.ts';
import { ServerIdTable } from './server_id_table.ts';
import type { ServiceFields, ServiceKey } from './service_table.ts';
import { nameOf, ServiceTable } from './service_table.ts';
import { TrafficLedger } from './traffic_ledger.ts';

/** Outer source addresses. The bits below the prefix length vary with the flow, so that receive queues share it. */
export type TunnelSource = { address: string; prefixLength: number };

export type ServiceAddress = { address: string; protocol?: 'tcp' | 'udp'; port?: number };

export type ServiceConfig = ServiceAddress & {
  /** First slot and number of slots of the pool; absent on an address that balances nothing by itself. */
  slotBase?: number;
  slotCount?: number;
  pool?: number;
  /** The flow key is the client under these prefixes, and the service. */
  affinity?: { prefixLength4: number; prefixLength6: number };
  ignoreSourcePort?: boolean;
  quic?: { configRotation: number; serverIdBytes: number };
};

export type MuxOptions = {
  /** 96 bytes, the same on all muxes; hashKeyFromSecret(). */
  hashKey: Uint8Array;
  tunnelSource4?: TunnelSource;
  tunnelSource6?: TunnelSource;
  /** Slots of all pools together. */
  slotCapacity?: number;
  objectPath?: string;
  /** Compiles copying in from the start; startCapture() does it on demand. */
  capture?: boolean;
  /** Time is what is written to mapClock(), for simulation. */
  drivenTime?: boolean;
};

export type MuxCounters = {
  reasons: Record<ReasonName, bigint>;
  services: (TrafficCount & { key: ServiceAddress })[];
  backends: (TrafficCount & { index: number })[];
};

export const SLOT_COUNT = 65537;
const POOLS_DEFAULT = 16;
const PROTOCOLS = { tcp: 6, udp: 17 } as const;
const STRUCTS = ['service', 'backend', 'counters', 'capture_filter', 'hash_key', 'tunnel_source'];

export class MuxProgram {
  readonly #options: MuxOptions;
  readonly #object: LoadedObject;
  readonly #attachments = new Attachments();
  readonly #services: ServiceTable;
  readonly #backends: BackendTable;
  readonly #serverIds: ServerIdTable;
  readonly #slots: BigUint64Array;
  readonly #counters: Counters;
  readonly #serviceTraffic: TrafficLedger<string>;
  readonly #backendTraffic: TrafficLedger<number>;
  #capturing: { object: LoadedObject; reader: CaptureReader } | undefined;

  private constructor(options: MuxOptions, object: LoadedObject, slotCapacity: number) {
    const key = readHashKey(options.hashKey);
    const grace = membarrierGlobalSync;
    this.#options = options;
    this.#object = object;
    this.#services = new ServiceTable(
      new Uint8Array(mapSection(object, '.data.services')),
      new Uint8Array(mapSection(object, '.data.address_filter')),
      key,
      grace,
    );
    const sources = {
      source4: options.tunnelSource4 && parseAddress(options.tunnelSource4.address),
      source6: options.tunnelSource6 && parseAddress(options.tunnelSource6.address),
    };
    this.#backends = new BackendTable(mapSection(object, '.data.backends'), sources, grace);
    const serverIds = object.map('server_id_index');
    this.#serverIds = new ServerIdTable(new BigUint64Array(serverIds.mmap()), serverIds.info.maxEntries, key);
    this.#slots = new BigUint64Array(object.map('slots').mmap(), 0, slotCapacity);
    const counters = new Counters(object.map('counters').mmap(), possibleCpus());
    this.#counters = counters;
    this.#serviceTraffic = new TrafficLedger((place) => counters.service(place));
    this.#backendTraffic = new TrafficLedger((index) => counters.backend(index));
  }

  /** @throws BpfError with the verifier's log where the kernel refuses the program. */
  static load(options: MuxOptions): MuxProgram {
    return new MuxProgram(options, open(options, options.capture ?? false).load(), slotCapacityOf(options));
  }

  get program(): Program {
    return this.#object.program('mux');
  }

  /** With `drivenTime`: the one word that the program takes for the time, in nanoseconds. Maps it anew each time. */
  mapClock(): BigUint64Array {
    return new BigUint64Array(mapSection(this.#object, '.data.clock'), 0, 1);
  }

  /** The slots of all pools, for reading. */
  get slotMap(): BpfMap {
    return this.#object.map('slots');
  }

  attach(options: AttachOptions): void {
    this.#attachments.attach(this.#capturing?.object.program('mux') ?? this.program, options);
  }

  pin(directory: string): void {
    this.#attachments.pin(this.#object, directory);
  }

  /** Adds or replaces a service. Its address is answered for (echo, errors) from its first service on. */
  setService(config: ServiceConfig): void {
    const key = keyOf(config);
    const fields = this.#fieldsOf(config);
    const address: ServiceKey = { ...key, protocol: 0, port: 0 };
    if (key.protocol !== 0 && this.#services.find(address) === undefined) this.#set(address, plainFields());
    this.#set(key, fields);
  }

  /** Removes a service, and its address with the last one of it. False where there is none. */
  removeService(service: ServiceAddress): boolean {
    const key = keyOf(service);
    if (!this.#delete(key)) return false;
    const rest = [...this.#services.entries()].filter((it) => sameAddress(it.key, key));
    const only = rest.length === 1 ? rest[0] : undefined;
    if (only !== undefined && only.key.protocol === 0 && only.fields.slot_count === 0) this.#delete(only.key);
    return true;
  }

  /** Writes backend `index` (1-4095); undefined removes it. */
  setBackend(index: number, config: BackendConfig | undefined): void {
    this.#backends.set(index, config);
    if (config === undefined) this.#backendTraffic.closed(index);
    else this.#backendTraffic.moved(index, index);
  }

  /** Installs a whole table of clean slots (current = base) from slot `base` on. */
  setSlots(base: number, backends: Uint16Array): void {
    if (!Number.isInteger(base) || base < 0 || base + backends.length > this.#slots.length) {
      throw new RangeError(
        `slots ${base}-${base + backends.length - 1} do not fit the ${this.#slots.length} there are`,
      );
    }
    for (let slot = 0; slot < backends.length; slot++) {
      const backend = BigInt(backends[slot]!);
      // One aligned store a slot: a packet sees the old word or the new one.
      Atomics.store(this.#slots, base + slot, (backend << 16n) | backend);
    }
  }

  /** Routes connection IDs with `serverId` in services of `pool` to a backend; undefined removes. */
  setServerId(pool: number, serverId: number, backend: number | undefined): void {
    this.#serverIds.set(pool, serverId, backend);
  }

  counters(): MuxCounters {
    return {
      reasons: this.#counters.reasons(),
      services: [...this.#services.entries()].map(({ key }) => ({
        key: serviceOf(key),
        ...this.#serviceTraffic.count(nameOf(key)),
      })),
      backends: this.#backends.indexes().map((index) => ({ index, ...this.#backendTraffic.count(index) })),
    };
  }

  /** Replaces the attached program by one that copies what matches; forwarding goes on without a gap. */
  startCapture(filter: CaptureFilter): void {
    writeCaptureFilter(mapSection(this.#object, '.data.capture_filter'), filter);
    if (this.#capturing !== undefined) return;
    const opened = open(this.#options, true);
    for (const [name, map] of opened.maps) {
      if (!name.startsWith('.rodata')) map.reuse(this.#object.map(name));
    }
    const object = opened.load();
    this.#capturing = { object, reader: new CaptureReader(this.#object.map('captures')) };
    this.#attachments.replace(object.program('mux'));
  }

  /** The program that copies, for test runs; undefined while nobody captures. */
  get capturingProgram(): Program | undefined {
    return this.#capturing?.object.program('mux');
  }

  drainCapture(): CaptureRecord[] {
    if (this.#capturing === undefined && this.#options.capture) {
      this.#capturing = { object: this.#object, reader: new CaptureReader(this.#object.map('captures')) };
    }
    return this.#capturing?.reader.drain() ?? [];
  }

  stopCapture(): void {
    if (this.#capturing === undefined) return;
    const { object, reader } = this.#capturing;
    this.#capturing = undefined;
    this.#attachments.replace(this.program);
    reader.close();
    if (object !== this.#object) object.close();
  }

  /** Detaches what is not pinned and lets go of everything. */
  close(): void {
    this.stopCapture();
    this.#attachments.close();
    this.#object.close();
  }

  #set(key: ServiceKey, fields: ServiceFields): void {
    this.#serviceTraffic.moved(nameOf(key), this.#services.set(key, fields));
  }

  #delete(key: ServiceKey): boolean {
    this.#serviceTraffic.closed(nameOf(key));
    return this.#services.delete(key);
  }

  #fieldsOf(config: ServiceConfig): ServiceFields {
    const fields = plainFields();
    const balances = config.slotCount !== undefined;
    if (balances) {
      const base = config.slotBase ?? 0;
      if (config.slotCount! < 1 || base < 0 || base + config.slotCount! > this.#slots.length) {
        throw new RangeError(
          `the slots of service ${config.address} are beyond the ${this.#slots.length} there are`,
        );
      }
      fields.slot_base = base;
      fields.slot_count = config.slotCount!;
      if (config.protocol === undefined) fields.flags |= ServiceFlag.SERVICE_ANY_PORT;
    } else if (config.protocol !== undefined) {
      throw new TypeError(`service ${config.address} port ${config.port} has no slots`);
    }
    fields.pool = config.pool ?? 0;
    if (config.ignoreSourcePort) fields.flags |= ServiceFlag.SERVICE_NO_SOURCE_PORT;
    if (config.affinity !== undefined) {
      const version = versionOf(parseAddress(config.address));
      const length = version === 4 ? config.affinity.prefixLength4 : config.affinity.prefixLength6;
      fields.flags |= ServiceFlag.SERVICE_CLIENT_AFFINITY;
      fields.client_mask = wordsOf(maskOf(version, length));
    }
    if (config.quic !== undefined) {
      const { configRotation, serverIdBytes } = config.quic;
      if (!(configRotation >= 0 && configRotation <= 6)) throw new RangeError('configRotation must be 0-6');
      if (!(serverIdBytes >= 1 && serverIdBytes <= 4)) throw new RangeError('serverIdBytes must be 1-4');
      fields.flags |= ServiceFlag.SERVICE_QUIC;
      fields.quic_config_rotation = configRotation;
      fields.quic_server_id_bytes = serverIdBytes;
    }
    return fields;
  }
}

function open(options: MuxOptions, capture: boolean) {
  const opened = openProgram(options.objectPath ?? objectPath('mux'), STRUCTS);
  opened.setConstants({
    hash_key: options.hashKey,
    tunnel_source4: sourceRecord(options.tunnelSource4, 4, 16),
    tunnel_source6: sourceRecord(options.tunnelSource6, 6, 96),
    server_id_bucket_mask: opened.maps.get('server_id_index')!.maxEntries - 1,
    capture_enabled: capture,
    time_is_driven: options.drivenTime ?? false,
  });
  opened.maps.get('slots')?.setMaxEntries(slotCapacityOf(options));
  opened.maps.get('counters')?.setMaxEntries(possibleCpus());
  return opened;
}

function slotCapacityOf(options: MuxOptions): number {
  return options.slotCapacity ?? SLOT_COUNT * POOLS_DEFAULT;
}

/** struct tunnel_source. The spread of IPv4 stays within the last word of its checksum. */
function sourceRecord(source: TunnelSource | undefined, version: 4 | 6, prefixMin: number): Uint8Array {
  const record = new Uint8Array(20);
  if (source === undefined) return record;
  const address = parseAddress(source.address);
  if (versionOf(address) !== version)
    throw new TypeError(`tunnel source ${source.address} is not IPv${version}`);
  if (source.prefixLength < prefixMin) {
    throw new RangeError(`the prefix length of tunnel source ${source.address} must be ${prefixMin} or more`);
  }
  const mask = maskOf(version, source.prefixLength);
  if (address.some((byte, index) => (byte & ~mask[index]! & 0xff) !== 0)) {
    throw new TypeError(
      `tunnel source ${source.address} has bits beyond its prefix length ${source.prefixLength}`,
    );
  }
  record.set(address);
  for (let at = 12; at < 16; at++) record[at + 4] = ~mask[at]! & 0xff;
  return record;
}

function keyOf(service: ServiceAddress): ServiceKey {
  if ((service.protocol === undefined) !== (service.port === undefined)) {
    throw new TypeError(`service ${service.address} needs both protocol and port, or neither`);
  }
  if (
    service.port !== undefined &&
    !(Number.isInteger(service.port) && service.port > 0 && service.port < 65536)
  ) {
    throw new RangeError(`port must be 1-65535, got ${service.port}`);
  }
  const address: AddressBytes = parseAddress(service.address);
  return {
    words: wordsOf(address),
    version: versionOf(address),
    protocol: service.protocol === undefined ? 0 : PROTOCOLS[service.protocol],
    port: service.port ?? 0,
  };
}

function serviceOf(key: ServiceKey): ServiceAddress {
  const address = formatAddress(addressOfWords(key.words));
  if (key.protocol === 0) return { address };
  return { address, protocol: key.protocol === PROTOCOLS.tcp ? 'tcp' : 'udp', port: key.port };
}

function sameAddress(a: ServiceKey, b: ServiceKey): boolean {
  return a.words.every((word, index) => word === b.words[index]);
}

function plainFields(): ServiceFields {
  return {
    client_mask: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    flags: 0,
    slot_base: 0,
    slot_count: 0,
    pool: 0,
    quic_config_rotation: 0,
    quic_server_id_bytes: 0,
  };
}

// The limits of the tables, for messages and configuration.
export const SERVICES_MAX = Limit.LIMIT_SERVICES;
export const BACKENDS_MAX = Limit.LIMIT_BACKENDS;
