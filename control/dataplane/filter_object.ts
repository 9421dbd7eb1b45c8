// Owns opening the filter's program with what is decided before it is loaded, and the tables of a loaded one.
import type { LoadedObject, OpenObject } from 'libbpf-ts';
import { possibleCpus } from 'libbpf-ts';
import { PORTS_DEFAULT } from '../config/node.ts';
import { networkOrder16 } from '../lib/address.ts';
import { BackendTable, SERVERS } from './backend_table.ts';
import { type CountedApart, Counters } from './counters.ts';
import { affinityBucketCodec, backendCodec, droppedCodec, Limit, type Observer } from './generated/layout.ts';
import { GracePeriods } from './grace.ts';
import { readHashKey } from './hash.ts';
import { HolderTable } from './holder_table.ts';
import type { StateMap } from './inheritance.ts';
import type { MuxTablesParts } from './mux_tables.ts';
import { mapSection, objectPath, openProgram } from './object.ts';
import { PoolTable } from './pool_table.ts';
import { SelfRecord } from './self.ts';
import { ServerIdTable } from './server_id_table.ts';
import { ServiceTable } from './service_table.ts';
import { SlotTable } from './slot_table.ts';
import { Traffic } from './traffic.ts';

export type FilterOptions = {
  /** 96 bytes, the same on all servers; hashKeyFromSecret(). */
  readonly hashKey: Uint8Array;
  /** Slots of all pools together. */
  readonly slotCapacity: number;
  /** Clients that this server can remember. */
  readonly affinities: number;
  /** UDP port that servers ask each other at. */
  readonly askPort?: number;
  readonly objectPath?: string;
};

/** What the next process takes over: as in mux_state.ts. */
export const FILTER_STATE: readonly StateMap[] = [
  { name: '.data.services', dependsOn: ['hash_key'], with: ['.data.address_filter'] },
  { name: '.data.address_filter', dependsOn: ['hash_key'], with: ['.data.services'] },
  { name: 'fragments', dependsOn: [], with: ['.data.services'] },
  { name: 'slots', dependsOn: [] },
  { name: 'holders', dependsOn: [] },
  { name: '.data.peers', dependsOn: [] },
  { name: '.data.peer_states', dependsOn: [] },
  { name: '.data.ask_keys', dependsOn: [] },
  { name: '.data.filter_link', dependsOn: [] },
  { name: '.data.unrecorded', dependsOn: [], with: ['affinities'] },
  { name: 'affinities', dependsOn: ['hash_key'] },
  { name: 'foreigns', dependsOn: ['hash_key'] },
  // Says which incarnation the affinities are of.
  { name: '.data.self', dependsOn: [], with: ['affinities'] },
  {
    name: 'counters',
    dependsOn: [],
    with: ['.data.services', '.data.dropped'],
    enumNames: ['reason', 'flow_event'],
  },
  { name: '.data.dropped', dependsOn: [], with: ['.data.services', 'counters'] },
];

const STRUCTS = [
  'service',
  'backend',
  'counters',
  'explanation',
  'filter_explanation',
  'hash_key',
  'bucket_holders',
  'affinity_bucket',
  'foreign_bucket',
  'mux_self',
  'clock_record',
  'ask_key',
  'peer_state',
  'dropped',
];
/** Of `affinities`: the program fills an eighth first. */
const BUCKETS_STEP = 16;
const DROPPED_WORDS = droppedCodec.sizeBytes / 8;
/** Foreign entries are few and short-lived. */
const FOREIGN_SHARE = 1 / 4;

export function affinityBuckets({ affinities }: Pick<FilterOptions, 'affinities'>): number {
  return Math.ceil(affinities / Limit.LIMIT_AFFINITY_PLACES / BUCKETS_STEP) * BUCKETS_STEP;
}

export function affinityBytes(options: Pick<FilterOptions, 'affinities'>): number {
  return affinityBuckets(options) * affinityBucketCodec.sizeBytes * (1 + FOREIGN_SHARE);
}

export function openFilter(options: FilterOptions, observer: Observer): OpenObject {
  const opened = openProgram(options.objectPath ?? objectPath('filter'), STRUCTS);
  const buckets = affinityBuckets(options);
  const foreign = Math.ceil(buckets * FOREIGN_SHARE);
  opened.setConstants({
    ...filterConstants(options),
    ask_port: networkOrder16(options.askPort ?? PORTS_DEFAULT.ask),
    affinity_buckets: buckets,
    foreign_buckets: foreign,
    observer,
    time_is_driven: false,
  });
  opened.maps.get('slots')?.setMaxEntries(options.slotCapacity);
  opened.maps.get('held_slots')?.setMaxEntries(Math.ceil(options.slotCapacity / 64));
  opened.maps.get('affinities')?.setMaxEntries(buckets);
  opened.maps.get('foreigns')?.setMaxEntries(foreign);
  opened.maps.get('counters')?.setMaxEntries(possibleCpus());
  return opened;
}

export function filterConstants({ hashKey }: FilterOptions): Record<'hash_key', Uint8Array> {
  return { hash_key: hashKey };
}

export function filterParts(
  options: FilterOptions,
  object: LoadedObject,
  stateFile: string | undefined,
): MuxTablesParts & { readonly chains: HolderTable } {
  const key = readHashKey(options.hashKey);
  const grace = new GracePeriods();
  const counters = object.map('counters');
  return {
    grace,
    services: new ServiceTable(
      new Uint8Array(mapSection(object, '.data.services')),
      new Uint8Array(mapSection(object, '.data.address_filter')),
      key,
      grace,
    ),
    // A filter sends nothing to backends: what muxes have of them stays empty.
    backends: new BackendTable(
      new ArrayBuffer(Limit.LIMIT_BACKENDS * backendCodec.sizeBytes),
      undefined,
      grace,
    ),
    serverIds: new ServerIdTable(new BigUint64Array(Limit.LIMIT_INDEX_BUCKET_WORDS), 1, key),
    pools: new PoolTable(new BigUint64Array(Limit.LIMIT_POOL_IDS)),
    chains: new HolderTable(object.map('holders').mmap(), grace),
    peers: new BackendTable(mapSection(object, '.data.peers'), undefined, grace, SERVERS),
    self: new SelfRecord(mapSection(object, '.data.self')),
    slots: new SlotTable(new BigUint64Array(object.map('slots').mmap(), 0, options.slotCapacity)),
    traffic: new Traffic(
      new Counters(counters.mmap(), possibleCpus(), droppedOf(mapSection(object, '.data.dropped'))),
      counters.info.id,
      stateFile,
    ),
  };
}

/** A cache line a CPU, of which the first word counts. */
function droppedOf(section: ArrayBuffer): CountedApart {
  const words = new BigUint64Array(section, 0, Limit.LIMIT_DROPPED_CPUS * DROPPED_WORDS);
  return {
    reason: 'DROP_NOT_MINE',
    count: () => {
      let sum = 0n;
      for (let at = 0; at < words.length; at += DROPPED_WORDS) sum += words[at]!;
      return sum;
    },
  };
}
