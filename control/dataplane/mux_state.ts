// Owns what of a mux outlives its program, and carrying it over to a program of another layout, key or tunnel source.
// Nothing here touches what the old program reads: until the links change hands it goes on as before.
import type { BpfMap, LoadedObject } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';
import { type BackendTable, readBackend } from './backend_table.ts';
import {
  askKeyCodec,
  backendCodec,
  bucketHoldersCodec,
  chainCodec,
  fragmentEntryCodec,
  muxSelfCodec,
  serviceCodec,
} from './generated/layout.ts';
import { elementsOf, entriesOf, type Inheritance, type StateMap } from './inheritance.ts';
import type { MuxTablesParts } from './mux_tables.ts';
import { serverIdOf } from './server_id_table.ts';
import { readRecord, type ServiceTable } from './service_table.ts';
import type { SlotRange } from './slot_table.ts';

export const MUX_STATE: readonly StateMap[] = [
  { name: '.data.services', dependsOn: ['hash_key'], with: ['.data.address_filter'] },
  { name: '.data.address_filter', dependsOn: ['hash_key'], with: ['.data.services'] },
  // Their entries name places of services.
  { name: 'fragments', dependsOn: [], with: ['.data.services'] },
  { name: '.data.backends', dependsOn: ['tunnel_source4'] },
  { name: 'server_id_index', dependsOn: ['hash_key'] },
  { name: 'slots', dependsOn: [] },
  // Copied to the same places where they are not the same: slots go on naming them.
  { name: 'chains', dependsOn: [] },
  { name: 'pools', dependsOn: [] },
  { name: '.data.peers', dependsOn: [] },
  { name: '.data.peer_states', dependsOn: [] },
  { name: '.data.ask_keys', dependsOn: [] },
  // By the hash of flows. The same bytes mean nothing to a program that counts buckets otherwise.
  { name: 'flow_table', dependsOn: ['hash_key'] },
  // Its entries name slots, which stay where they are.
  { name: 'flow_cache', dependsOn: ['hash_key'] },
  // Says which incarnation the tables of flows are of: another one once they are empty, and not before the swap.
  { name: '.data.self', dependsOn: [], with: ['flow_table'] },
  // By places of services as well: until the swap the old program counts at places that are others' in a new table.
  { name: 'counters', dependsOn: [], with: ['.data.services'], enumNames: ['reason', 'flow_event'] },
];

type Target = Pick<MuxTablesParts, 'services' | 'backends' | 'peers' | 'serverIds' | 'slots'>;

/** Fills those tables that are not `inherited` from the maps of `from`. Returns the rest of it, for after the swap. */
export function migrateMux(
  from: Inheritance,
  object: LoadedObject,
  target: Target,
  inherited: ReadonlySet<string>,
): () => void {
  const copy = (name: string, fill: (old: BpfMap, now: BpfMap) => void): void => {
    const old = from.maps.get(name);
    if (old !== undefined && !inherited.has(name)) fill(old, object.map(name));
  };
  const places = new Map<number, number>();
  copy('.data.services', (old, now) => {
    for (const [place, to] of copyServices(old, now, target.services)) places.set(place, to);
  });
  copy('.data.backends', (old, now) => copyBackends(old, now, target.backends));
  copy('.data.peers', (old, now) => copyBackends(old, now, target.peers));
  copy('.data.self', (old, now) => copyPlaces(old, now, muxSelfCodec.sizeBytes));
  copy('.data.ask_keys', (old, now) => copyPlaces(old, now, askKeyCodec.sizeBytes));
  copy('chains', (old, now) => copyPlaces(old, now, chainCodec.sizeBytes));
  copy('holders', (old, now) => copyPlaces(old, now, bucketHoldersCodec.sizeBytes));
  copy('server_id_index', (old) => copyServerIds(old, target));
  copy('slots', (old, now) => copySlots(old, now, target));
  const copyNewFragments = (): void => copy('fragments', (old, now) => copyFragments(old, now, places));
  copyNewFragments();
  return copyNewFragments;
}

/** Records at places of their own in `table`; returns where each came to stand. */
export function copyServices(old: BpfMap, now: BpfMap, table: ServiceTable): Map<number, number> {
  const elements = elementsOf(old, now);
  const scratch = new DataView(new ArrayBuffer(serviceCodec.sizeBytes));
  const places = new Map<number, number>();
  for (let place = 0; place < elements.count; place++) {
    elements.read(place, scratch, 0);
    const record = readRecord(scratch, 0);
    // The other one of two with the same key was about to go.
    if (record === undefined || table.find(record.key) !== undefined) continue;
    places.set(place, table.set(record.key, record.fields));
  }
  return places;
}

function copyBackends(old: BpfMap, now: BpfMap, table: BackendTable): void {
  const elements = elementsOf(old, now);
  const scratch = new DataView(new ArrayBuffer(backendCodec.sizeBytes));
  for (let index = 0; index < elements.count; index++) {
    elements.read(index, scratch, 0);
    const config = readBackend(scratch, 0, table.shape);
    if (config === undefined) continue;
    const { what, count } = table.shape;
    if (index >= count)
      throw new Failure('limit', `${what} ${index} does not fit the ${count} of this version`);
    try {
      table.set(index, config);
    } catch (error) {
      // Without a tunnel source of its IP version any more: apply() says so as long as it is wanted.
      if (!(error instanceof Failure && error.code === 'configuration')) throw error;
    }
  }
}

function copyServerIds(old: BpfMap, { serverIds }: Target): void {
  const words = new BigUint64Array(old.mmap());
  for (const word of words) {
    const it = serverIdOf(word);
    if (it.backend !== 0) serverIds.set(it);
  }
}

/** The ranges that services have; what stands between them is nobody's. */
function copySlots(old: BpfMap, now: BpfMap, { services, slots }: Target): void {
  const elements = elementsOf(old, now);
  const scratch = new DataView(new ArrayBuffer(8));
  const done = new Set<number>();
  for (const { fields } of services.entries()) {
    const { slot_base: base, slot_count: count } = fields;
    if (count === 0 || done.has(base)) continue;
    done.add(base);
    if (base + count > Math.min(slots.capacity, elements.count)) {
      throw new Failure('configuration', `${slots.capacity} slots are fewer than the running program uses`, {
        reason: `a pool has slots ${base} to ${base + count - 1}`,
        remedy: 'raise slotCapacity again, or remove pools first',
      });
    }
    const words = BigUint64Array.from({ length: count }, (_, slot) => {
      elements.read(base + slot, scratch, 0);
      return scratch.getBigUint64(0, true);
    });
    slots.writeWords(base, words);
  }
}

/** To the same places. */
function copyPlaces(old: BpfMap, now: BpfMap, sizeBytes: number): void {
  const elements = elementsOf(old, now);
  const target = new DataView(now.mmap());
  const count = Math.min(elements.count, Math.floor(target.byteLength / sizeBytes));
  for (let place = 0; place < count; place++) elements.read(place, target, place * sizeBytes);
}

/** Finds out from services and slots, which stand, what chains are in use and where pools are. */
export function adoptPlaces({ services, slots, chains, pools }: MuxTablesParts): void {
  const ranges = new Map<number, SlotRange>();
  const uses: { index: number; poolId: number }[] = [];
  for (const { fields } of services.entries()) {
    const { pool: poolId, slot_base: base, slot_count: count } = fields;
    if (count === 0 || ranges.get(poolId)?.base === base) continue;
    ranges.set(poolId, { base, count });
    for (const index of slots.chainsOf({ base, count })) uses.push({ index, poolId });
  }
  chains.adopt(uses);
  pools.adopt(ranges);
}

/** Those that are not there yet. */
function copyFragments(old: BpfMap, now: BpfMap, places: ReadonlyMap<number, number>): void {
  for (const [key, value] of entriesOf(old, now)) {
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const entry = fragmentEntryCodec.read(view, 0);
    const service = places.get(entry.service);
    if (service === undefined || now.lookup(key) !== undefined) continue;
    fragmentEntryCodec.write(view, 0, { ...entry, service });
    now.update(key, value);
  }
}
