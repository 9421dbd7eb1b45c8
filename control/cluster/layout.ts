// Owns how the cluster is laid out in the store: keys, the form of values, and what may stand in them. Not here: when to
// read or write (view.ts, commit.ts, registry.ts), what edits come to (control/pool).
//
//   cluster/objects       every service, pool and backend: JSON, deflated, base64
//   cluster/tables/N      slot tables of the pools whose id is N modulo 64: JSON, each table deflated
//   cluster/nodes/NAME    a registered node: JSON
//   cluster/secrets/hash  the hash key's secret, base64
//
// One transaction must change all that an edit changes, has room for 128 operations, and a value for 1 MiB. An `apply`
// may change a thousand pools. With a key for each object it would not fit; with these keys it takes 65 operations at
// most. Every edit writes `cluster/objects` and compares its modRevision, so edits are in one order and readers need
// no other. 1,000 services and 4,000 backends take 90 KB; a table of 65,537 slots among 255 backends 112 KB, among 4,095 150 KB.
//
// An object or table that a write changes is written without `modRevision`, as no writer knows it yet: it is that of
// its entry. The next write that leaves it as it is fills it in.
import { isDeepStrictEqual } from 'node:util';
import { constants, deflateRawSync } from 'node:zlib';
import { z } from 'zod';
import type {
  ClusterState,
  PoolTable,
  Retired,
  StoredBackend,
  StoredNode,
  StoredPool,
  StoredService,
} from '../config/cluster_state.ts';
import { ROLES } from '../config/node.ts';
import { BACKENDS_MAX, backendSchema, nameSchema, poolSchema, serviceSchema } from '../config/objects.ts';
import { Failure } from '../lib/failure.ts';
import type { Entry, Operation } from '../store/contract.ts';
import { inconsistency } from './consistency.ts';
import { checkFits, damaged, deflated, inflated, parseStored } from './stored_value.ts';

export { damaged };

export const CLUSTER_PREFIX = 'cluster/';
export const OBJECTS_KEY = 'cluster/objects';
export const HASH_SECRET_KEY = 'cluster/secrets/hash';
const TABLES_PREFIX = 'cluster/tables/';
const NODES_PREFIX = 'cluster/nodes/';
/** More packs, fewer neighbours that are written along; fewer packs, fewer operations. */
const TABLE_PACKS = 64;

/** Grows where older versions of Holdfast could not do what the objects say. */
const FORMAT = 1;
/** Inflated; a value of the store cannot make a daemon take more memory than this. */
const OBJECTS_BYTES_MAX = 32 << 20;

export const nodeKey = (name: string): string => NODES_PREFIX + name;
const packKey = (id: number): string => TABLES_PREFIX + String(id % TABLE_PACKS).padStart(2, '0');

const modRevision = z.int().min(1).optional();

const poolId = z.int().min(1).max(65_535);

const storedBackendSchema = backendSchema.extend({
  index: z.int().min(1).max(BACKENDS_MAX),
  generation: z.int().min(0),
  isDead: z.boolean().optional(),
  observed: z
    .strictObject({
      down: z.strictObject({ sinceMs: z.number(), reason: z.string() }).optional(),
      rampStep: z.int().min(1).optional(),
      giveUpAtMs: z.number().optional(),
      isLeaving: z.boolean().optional(),
    })
    .optional(),
  modRevision,
});

const objectsSchema = z.strictObject({
  format: z.literal(FORMAT),
  services: z.array(serviceSchema.extend({ modRevision })),
  pools: z.array(poolSchema.extend({ id: poolId, modRevision })),
  backends: z.array(storedBackendSchema),
  // Absent where there is nothing, so that what knew nothing of it can read the rest.
  retired: z
    .strictObject({
      backends: z.array(storedBackendSchema),
      pools: z.array(z.strictObject({ id: poolId, name: nameSchema })),
    })
    .optional(),
});

const packSchema = z.record(
  nameSchema,
  z.strictObject({ slots: poolSchema.shape.slots.unwrap(), deflated: z.base64(), modRevision }),
);
type Pack = z.infer<typeof packSchema>;

/** Nodes of other versions must not keep anybody from reading: what is not known here is left out. */
const nodeSchema = z.object({
  name: nameSchema,
  roles: z.array(z.string()).transform((roles) => ROLES.filter((role) => roles.includes(role))),
  tunnelSources: z.array(z.string()),
  version: z.string(),
});

/** The entries under CLUSTER_PREFIX, by key. */
export type ClusterEntries = ReadonlyMap<string, Entry>;

/**
 * What the entries say at `revision`. Parts that `known` has at the same modRevision are the same objects. Throws a
 * Failure that names the key: `unsupported` where a newer Holdfast wrote it, `internal` where it is damaged.
 */
export function decodeState(entries: ClusterEntries, revision: number, known: ClusterState): ClusterState {
  const state = {
    revision,
    ...decodeObjects(entries.get(OBJECTS_KEY), known),
    tables: new Map<string, PoolTable>(),
    nodes: new Map<string, StoredNode>(),
  };
  for (const entry of entries.values()) {
    if (entry.key.startsWith(TABLES_PREFIX)) decodePack(entry, known, state.tables);
    if (entry.key.startsWith(NODES_PREFIX)) {
      const node = decodeNode(entry, known);
      state.nodes.set(node.name, node);
    }
  }
  const wrong = inconsistency(state);
  if (wrong !== undefined) throw damaged(OBJECTS_KEY, wrong);
  return state;
}

/** What makes the entries of `before` say `after`; nothing where they do already. */
export function encodeChange(before: ClusterState, after: ClusterState): Operation[] {
  const services = carry(before.services, after.services);
  const pools = carry(before.pools, after.pools);
  const backends = carry(before.backends, after.backends);
  const packs = new Set([...before.pools.values(), ...after.pools.values()].map(({ id }) => packKey(id)));
  const operations = [...packs].flatMap((key) => encodePack(key, before, after));
  const retired = sameRetired(before.retired, after.retired);
  if (services.same && pools.same && backends.same && retired && operations.length === 0) return [];
  const value = deflated(
    JSON.stringify({
      format: FORMAT,
      services: services.objects,
      pools: pools.objects,
      backends: backends.objects,
      ...(isEmpty(after.retired) ? {} : { retired: after.retired }),
    }),
  );
  checkFits(value, 'the services, pools and backends of the cluster', 'have fewer, or with fewer addresses');
  return [{ put: OBJECTS_KEY, value }, ...operations];
}

export function encodeNode(node: Omit<StoredNode, 'modRevision'>): string {
  const { name, roles, tunnelSources, version } = node;
  return JSON.stringify({ name, roles, tunnelSources, version });
}

// --- objects

type Objects = Pick<ClusterState, 'services' | 'pools' | 'backends' | 'retired'>;
type Stored = { readonly modRevision: number };
/** Without modRevision: changed by the write that made the entry. */
type Written<T extends Stored> = Omit<T, 'modRevision'> & { modRevision?: number | undefined };

function decodeObjects(entry: Entry | undefined, known: ClusterState): Objects {
  if (entry === undefined) {
    const retired: Retired = { backends: [], pools: [] };
    return { services: new Map(), pools: new Map(), backends: new Map(), retired };
  }
  const text = inflated(entry.key, entry.value, OBJECTS_BYTES_MAX).toString();
  const { services, pools, backends, retired } = parse(entry.key, text, objectsSchema);
  return {
    services: keyed<StoredService>(entry, services, ({ name }) => name, known.services),
    pools: keyed<StoredPool>(entry, pools, ({ name }) => name, known.pools),
    backends: keyed<StoredBackend>(entry, backends, ({ pool, name }) => `${pool}/${name}`, known.backends),
    retired: {
      backends: (retired?.backends ?? []).map((it) => ({
        ...it,
        modRevision: it.modRevision ?? entry.modRevision,
      })),
      pools: retired?.pools ?? [],
    },
  };
}

function isEmpty({ backends, pools }: Retired): boolean {
  return backends.length === 0 && pools.length === 0;
}

function sameRetired(a: Retired, b: Retired): boolean {
  return a === b || isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}

function keyed<T extends Stored>(
  entry: Entry,
  objects: readonly Written<T>[],
  nameOf: (object: Written<T>) => string,
  known: ReadonlyMap<string, T>,
): Map<string, T> {
  const result = new Map<string, T>();
  for (const object of objects) {
    const name = nameOf(object);
    if (result.has(name)) throw damaged(entry.key, `two objects are named ${name}`);
    const modRevision = object.modRevision ?? entry.modRevision;
    const before = known.get(name);
    result.set(name, before?.modRevision === modRevision ? before : ({ ...object, modRevision } as T));
  }
  return result;
}

/** The objects as they are to be written, and whether they are the same as before. */
function carry<T extends Stored>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
): { objects: object[]; same: boolean } {
  let same = before.size === after.size;
  const objects = Array.from(after, ([name, object]) => {
    const previous = before.get(name);
    if (previous !== undefined && sameObject(previous, object)) return previous;
    same = false;
    const { modRevision: _, ...changed } = object;
    return changed;
  });
  return { objects, same };
}

function sameObject(a: Stored, b: Stored): boolean {
  return a === b || isDeepStrictEqual(plainOf(a), plainOf(b));
}

/** Without its modRevision, and without fields that are there but undefined, which JSON does not keep. */
function plainOf(object: Stored): unknown {
  return JSON.parse(JSON.stringify({ ...object, modRevision: undefined }));
}

// --- slot tables

function decodePack(entry: Entry, known: ClusterState, tables: Map<string, PoolTable>): void {
  const pack = parse(entry.key, entry.value, packSchema);
  for (const [pool, table] of Object.entries(pack)) {
    const revision = table.modRevision ?? entry.modRevision;
    const before = known.tables.get(pool);
    if (before?.modRevision === revision) {
      tables.set(pool, before);
      continue;
    }
    const bytes = inflated(entry.key, table.deflated, 2 * table.slots);
    if (bytes.length !== 2 * table.slots) throw damaged(entry.key, `the table of ${pool} is cut short`);
    tables.set(pool, { slots: slotsOf(bytes), modRevision: revision });
  }
}

function encodePack(key: string, before: ClusterState, after: ClusterState): Operation[] {
  const inPack = (state: ClusterState) => [...state.pools.values()].filter(({ id }) => packKey(id) === key);
  const [old, now] = [inPack(before), inPack(after)];
  const kept = now.filter(
    ({ name, id }) =>
      before.pools.get(name)?.id === id && sameTable(tableOf(before, name), tableOf(after, name)),
  );
  if (kept.length === now.length && old.length === now.length) return [];
  if (now.length === 0) return [{ delete: key }];
  const pack: Pack = {};
  for (const pool of now) {
    const { slots } = tableOf(after, pool.name);
    const table = { slots: slots.length, deflated: deflateSlots(bytesOf(slots)) };
    pack[pool.name] = kept.includes(pool)
      ? { ...table, modRevision: tableOf(before, pool.name).modRevision }
      : table;
  }
  const value = JSON.stringify(pack);
  const names = now.map(({ name }) => name).join(', ');
  checkFits(value, `the slot tables of pools ${names}`, 'use fewer slots in these pools');
  return [{ put: key, value }];
}

function tableOf({ tables }: ClusterState, pool: string): PoolTable {
  const table = tables.get(pool);
  if (table === undefined) throw new Error(`pool ${pool} has no slot table`);
  return table;
}

function sameTable(a: PoolTable, b: PoolTable): boolean {
  return a.slots === b.slots || Buffer.compare(bytesOf(a.slots), bytesOf(b.slots)) === 0;
}

/** Little-endian, as all machines are that Holdfast runs on: ARCHITECTURE.md, the hash. */
function bytesOf(slots: Uint16Array): Buffer {
  return Buffer.from(slots.buffer, slots.byteOffset, slots.byteLength);
}

function slotsOf(bytes: Buffer): Uint16Array {
  return new Uint16Array(new Uint8Array(bytes).buffer);
}

// --- nodes

function decodeNode(entry: Entry, known: ClusterState): StoredNode {
  const node = parse(entry.key, entry.value, nodeSchema);
  if (entry.key !== nodeKey(node.name)) throw damaged(entry.key, `it is about node ${node.name}`);
  const before = known.nodes.get(node.name);
  return before?.modRevision === entry.modRevision ? before : { ...node, modRevision: entry.modRevision };
}

// --- values

function parse<T>(key: string, text: string, schema: z.ZodType<T>): T {
  return parseStored(key, text, schema, { format: FORMAT });
}

/**
 * Of slots, which are drawn by a hash: there are no repeats to look for, and a heartbeat waits for this. 1 ms instead of 16
 * for a pool of 65,537 slots and three backends, in a third more bytes; no more bytes with a hundred.
 */
export function deflateSlots(bytes: Buffer): string {
  return deflateRawSync(bytes, { strategy: constants.Z_RLE }).toString('base64');
}

/** Nothing of ours deletes the objects: without them it is another store, or one that has lost everything. */
export function lostCluster(
  reason = `There is no ${OBJECTS_KEY} in it, which this node has seen there. It keeps what it has.`,
): Failure {
  return new Failure('unavailable', 'the store has lost the cluster', {
    reason,
    remedy:
      'put back a copy of the store, or holdfast apply what was exported last, at a node that was a member',
  });
}
