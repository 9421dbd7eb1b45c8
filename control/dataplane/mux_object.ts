// Owns opening the mux's program with what is decided before it is loaded, and the tables of a loaded one.
import type { LoadedObject, OpenObject } from 'libbpf-ts';
import { possibleCpus } from 'libbpf-ts';
import { PORTS_DEFAULT } from '../config/node.ts';
import { maskOf, networkOrder16, parseAddress, versionOf } from '../lib/address.ts';
import { BackendTable, PEERS } from './backend_table.ts';
import { ChainTable } from './chain_table.ts';
import { Counters } from './counters.ts';
import { FlowProgram } from './flow_program.ts';
import { cacheBuckets, FLOW_TABLE_SMALL, type FlowTableSizes, flowBuckets } from './flow_sizes.ts';
import { FlowTable } from './flow_table.ts';
import { Limit, type Observer } from './generated/layout.ts';
import { GracePeriods } from './grace.ts';
import { readHashKey } from './hash.ts';
import type { MuxTablesParts } from './mux_tables.ts';
import { mapSection, objectPath, openProgram } from './object.ts';
import { PoolTable } from './pool_table.ts';
import { SelfRecord } from './self.ts';
import { ServerIdTable } from './server_id_table.ts';
import { ServiceTable } from './service_table.ts';
import { SlotTable } from './slot_table.ts';
import { Traffic } from './traffic.ts';

/** Outer source addresses. The bits below the prefix length vary with the flow, so that receive queues share it. */
export type TunnelSource = { address: string; prefixLength: number };

export type MuxOptions = {
  /** 96 bytes, the same on all muxes; hashKeyFromSecret(). */
  hashKey: Uint8Array;
  tunnelSource4?: TunnelSource;
  tunnelSource6?: TunnelSource;
  /** Slots of all pools together. */
  slotCapacity?: number;
  /** What differs from FLOW_TABLE_SMALL. */
  flowTable?: Partial<FlowTableSizes>;
  /** UDP port that muxes ask each other at. */
  askPort?: number;
  /** Of this mux where its flow tables are empty; at random unless a simulation says. */
  incarnation?: number;
  objectPath?: string;
  /** Compiles copying in from the start; startCapture() does it on demand. */
  capture?: boolean;
  /** Time is what is written to mapClock(), for simulation. */
  drivenTime?: boolean;
  /** Resolves once no run of the program acts any more on what it read before; absent: the kernel says so. */
  gracePeriod?: () => Promise<void>;
};

export const SLOT_COUNT = 65537;
const POOLS_DEFAULT = 16;
const STRUCTS = [
  'service',
  'backend',
  'counters',
  'capture_filter',
  'explanation',
  'hash_key',
  'tunnel_source',
  'chain',
  'flow_entry',
  'cache_bucket',
  'mux_self',
  'clock_record',
  'ask_key',
  'peer_state',
];

export function tablesOf(
  options: MuxOptions,
  object: LoadedObject,
  stateFile: string | undefined,
): MuxTablesParts & { readonly chains: ChainTable } {
  const key = readHashKey(options.hashKey);
  const grace = new GracePeriods(options.gracePeriod);
  const sources = {
    source4: options.tunnelSource4 && parseAddress(options.tunnelSource4.address),
    source6: options.tunnelSource6 && parseAddress(options.tunnelSource6.address),
  };
  const serverIds = object.map('server_id_index');
  const counters = object.map('counters');
  return {
    grace,
    services: new ServiceTable(
      new Uint8Array(mapSection(object, '.data.services')),
      new Uint8Array(mapSection(object, '.data.address_filter')),
      key,
      grace,
    ),
    backends: new BackendTable(mapSection(object, '.data.backends'), sources, grace),
    serverIds: new ServerIdTable(new BigUint64Array(serverIds.mmap()), serverIds.info.maxEntries, key),
    chains: new ChainTable(object.map('chains').mmap(), grace),
    peers: new BackendTable(mapSection(object, '.data.peers'), undefined, grace, PEERS),
    pools: new PoolTable(new BigUint64Array(object.map('pools').mmap(), 0, Limit.LIMIT_POOL_IDS)),
    self: new SelfRecord(mapSection(object, '.data.self')),
    slots: new SlotTable(new BigUint64Array(object.map('slots').mmap(), 0, slotCapacityOf(options))),
    traffic: new Traffic(new Counters(counters.mmap(), possibleCpus()), counters.info.id, stateFile),
  };
}

export function openMux(options: MuxOptions, observer: Observer): OpenObject {
  const opened = openProgram(options.objectPath ?? objectPath('mux'), STRUCTS);
  const flowTable = { ...FLOW_TABLE_SMALL, ...options.flowTable };
  opened.setConstants({
    ...constantsOf(options),
    ask_port: networkOrder16(options.askPort ?? PORTS_DEFAULT.ask),
    flow_buckets: flowBuckets(flowTable),
    cache_buckets: cacheBuckets(flowTable),
    server_id_bucket_mask: opened.maps.get('server_id_index')!.maxEntries - 1,
    observer,
    time_is_driven: options.drivenTime ?? false,
  });
  opened.maps.get('slots')?.setMaxEntries(slotCapacityOf(options));
  opened.maps.get('flow_table')?.setMaxEntries(flowBuckets(flowTable));
  opened.maps.get('flow_cache')?.setMaxEntries(cacheBuckets(flowTable));
  for (const name of ['held_slots', 'ahead_slots'])
    opened.maps.get(name)?.setMaxEntries(slotBitWords(options));
  opened.maps.get('counters')?.setMaxEntries(possibleCpus());
  return opened;
}

/** What looks at flows of a loaded program. */
export function flowTableOf(
  options: MuxOptions,
  object: LoadedObject,
  parts: ReturnType<typeof tablesOf>,
): FlowTable {
  const { chains, pools, slots, self } = parts;
  return new FlowTable({
    program: new FlowProgram(object.program('flows')),
    chains,
    pools,
    slots,
    self,
    buckets: object.map('flow_table').info.maxEntries,
    cacheBuckets: object.map('flow_cache').info.maxEntries,
    chainFlows: new Uint32Array(object.map('chain_flows').mmap(), 0, Limit.LIMIT_CHAINS * 2),
    heldSlots: new BigUint64Array(object.map('held_slots').mmap(), 0, slotBitWords(options)),
    aheadSlots: new BigUint64Array(object.map('ahead_slots').mmap(), 0, slotBitWords(options)),
  });
}

function slotBitWords(options: MuxOptions): number {
  return Math.ceil(slotCapacityOf(options) / 64);
}

export function constantsOf(
  options: MuxOptions,
): Record<'hash_key' | 'tunnel_source4' | 'tunnel_source6', Uint8Array> {
  return {
    hash_key: options.hashKey,
    tunnel_source4: sourceRecord(options.tunnelSource4, 4, 16),
    tunnel_source6: sourceRecord(options.tunnelSource6, 6, 96),
  };
}

/** Has `opened` use every table of `object`. */
export function sharing(opened: OpenObject, object: LoadedObject): OpenObject {
  for (const [name, map] of opened.maps) if (!name.startsWith('.rodata')) map.reuse(object.map(name));
  return opened;
}

export function slotCapacityOf(options: MuxOptions): number {
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
