// Owns what a user's edits come to: the whole state afterwards, what changed, and how many slots move. Not here: which
// states are allowed (rules.ts), how slots are shared (assignment.ts), writing anything to a store (control/cluster).
import type { z } from 'zod';
import type {
  ClusterState,
  Edit,
  EditPlan,
  PoolTable,
  Retired,
  StoredBackend,
  StoredPool,
  StoredService,
} from '../config/cluster_state.ts';
import { PORTS_DEFAULT } from '../config/node.ts';
import type { Backend, Document, Pool, Service } from '../config/objects.ts';
import { BACKENDS_MAX, backendSchema, poolSchema, serviceSchema } from '../config/objects.ts';
import { canonicalAddress } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import { effectiveWeight, nextGeneration, observedAfter, settleTables } from './observed.ts';
import { checkRules, type Objects } from './rules.ts';

const POOL_ID_MAX = 65_535;
/** Of what a plan makes: the store says which when it is written. */
const NOT_STORED = 0;

/** The key of a backend in `ClusterState.backends`. */
export function backendKey({ pool, name }: { readonly pool: string; readonly name: string }): string {
  return `${pool}/${name}`;
}

export type PlanOptions = {
  /** Also what stops traffic. A pool that is left without a weight goes on with what it had last. */
  readonly force: boolean;
  /**
   * Backends that the edits remove or give no weight are as dead: their flows are given up at once. Otherwise they serve
   * those until these have ended.
   */
  readonly now?: boolean;
  /** Of backends that the edits give no weight: their flows are given up then, on any host's clock. */
  readonly giveUpAtMs?: number | undefined;
};

type GivenUp = {
  readonly dead: ReadonlySet<string>;
  readonly drained: ReadonlySet<string>;
  readonly giveUpAtMs: number | undefined;
};

/**
 * What the edits come to, in order, as one change: only what is there in the end must follow the rules (rules.ts), and
 * what is the same in the end has not changed. `moved` counts, in pools that are there before and afterwards, the slots
 * that had a backend and have another index or none: flows that are open in them lose their server, or reach it by
 * another address. Slots that nobody had are not counted.
 *
 * The plan follows from its arguments alone. `state.revision` must have grown since the last plan that was carried out.
 * @throws Failure: not_found, conflict, in_use, invalid, limit, unsafe.
 */
export function planEdits(
  state: ClusterState,
  edits: readonly Edit[],
  { force, now = false, giveUpAtMs }: PlanOptions,
): EditPlan {
  const wanted: Wanted = {
    services: new Map(state.services),
    pools: new Map(state.pools),
    backends: new Map(state.backends),
  };
  const drained = givenUp(edits);
  const dead = now ? drained : new Set<string>();
  const again = new Set(state.retired.backends.map(backendKey).filter((key) => dead.has(key)));
  for (const edit of edits) {
    // What was removed already, and is now to be given up.
    const isLeft = edit.kind === 'deleteBackend' && !wanted.backends.has(backendKey(edit));
    if (!(isLeft && again.has(backendKey(edit)))) perform(wanted, edit);
  }
  checkRules(state, wanted, { force });

  const services = settle(state.services, wanted.services, plainService, (service) => ({
    ...service,
    modRevision: NOT_STORED,
  }));
  const pools = settlePools(state, wanted.pools);
  const backends = settleBackends(state, wanted.backends, pools, { dead, drained, giveUpAtMs });
  const tables = settleTables(state, pools, backends);
  const retired = settleRetired(state, pools, backends, dead);
  const kept =
    services === state.services &&
    pools === state.pools &&
    backends === state.backends &&
    tables === state.tables &&
    retired === state.retired;
  return {
    changes: [
      ...changesOf('pool', state.pools, pools, plainPool),
      ...changesOf('backend', state.backends, backends, plainBackend),
      ...changesOf('service', state.services, services, plainService),
    ],
    moved: movedSlots(state.tables, tables),
    after: kept ? state : { ...state, services, pools, backends, tables, retired },
  };
}

/** The cluster as `apply` takes it, by name. */
export function documentOf(state: ClusterState): Document {
  return {
    services: [...state.services.values()].map(plainService).sort(byName),
    pools: [...state.pools.values()].map(plainPool).sort(byName),
    backends: [...state.backends.values()].map(plainBackend).sort((a, b) => byPool(a, b) || byName(a, b)),
  };
}

/**
 * The edits that make the cluster be `document`: none for what is so already.
 * @throws Failure invalid where the document names something twice.
 */
export function editsTowards(state: ClusterState, document: Document): Edit[] {
  const services = byKey('services', document.services, ({ name }) => name);
  const pools = byKey('pools', document.pools, ({ name }) => name);
  const backends = byKey('backends', document.backends, backendKey);
  return [
    ...missing(state.services, services).map(({ name }): Edit => ({ kind: 'deleteService', name })),
    ...missing(state.backends, backends).map(
      ({ pool, name }): Edit => ({ kind: 'deleteBackend', pool, name }),
    ),
    ...missing(state.pools, pools).map(({ name }): Edit => ({ kind: 'deletePool', name })),
    ...different(state.pools, pools, plainPool).map((pool): Edit => ({ kind: 'putPool', pool })),
    ...different(state.backends, backends, plainBackend).map(
      (backend): Edit => ({ kind: 'putBackend', backend }),
    ),
    ...different(state.services, services, plainService).map(
      (service): Edit => ({ kind: 'putService', service }),
    ),
  ];
}

type Patch = Readonly<Record<string, unknown>>;

/**
 * The object with the patch's fields in place of its own (JSON merge patch, RFC 7396, of the outermost object alone);
 * null takes a field away, so that it is absent or has its default.
 * @throws Failure invalid where that is no service or backend, or another one.
 */
export function applyPatch(object: Service, patch: Patch): Service;
export function applyPatch(object: Backend, patch: Patch): Backend;
export function applyPatch(object: Pool, patch: Patch): Pool;
export function applyPatch(object: Service | Pool | Backend, patch: Patch): Service | Pool | Backend {
  if ('addresses' in object) {
    const service = plainService(object as StoredService);
    return patched(`service ${service.name}`, serviceSchema, service, patch, ['name']);
  }
  if ('slots' in object) {
    const pool = plainPool(object as StoredPool);
    return patched(`pool ${pool.name}`, poolSchema, pool, patch, ['name', 'slots']);
  }
  const backend = plainBackend(object as StoredBackend);
  return patched(`backend ${backendKey(backend)}`, backendSchema, backend, patch, ['pool', 'name']);
}

// --- edits, one after the other ---

type Wanted = {
  readonly services: Map<string, Service>;
  readonly pools: Map<string, Pool>;
  readonly backends: Map<string, Backend>;
} & Objects;

function perform(wanted: Wanted, edit: Edit): void {
  switch (edit.kind) {
    case 'putService':
      put(wanted.services, 'service', edit.service.name, edit.service, edit.expect);
      break;
    case 'deleteService':
      remove(wanted.services, 'service', edit.name);
      break;
    case 'putPool':
      put(wanted.pools, 'pool', edit.pool.name, edit.pool, edit.expect);
      break;
    case 'deletePool':
      remove(wanted.pools, 'pool', edit.name);
      break;
    case 'putBackend':
      put(wanted.backends, 'backend', backendKey(edit.backend), edit.backend, edit.expect);
      break;
    case 'deleteBackend':
      remove(wanted.backends, 'backend', backendKey(edit));
      break;
  }
}

type Kind = 'service' | 'pool' | 'backend';

function put<T>(
  map: Map<string, T>,
  kind: Kind,
  key: string,
  object: T,
  expect: 'absent' | 'present' | undefined,
): void {
  if (expect === 'absent' && map.has(key)) {
    throw new Failure('conflict', `There is a ${kind} ${key} already.`, {
      remedy: 'Choose another name, or change the one that is there.',
    });
  }
  if (expect === 'present' && !map.has(key)) throw notFound(kind, key);
  map.set(key, object);
}

function remove<T>(map: Map<string, T>, kind: Kind, key: string): void {
  if (!map.delete(key)) throw notFound(kind, key);
}

function notFound(kind: Kind, key: string): Failure {
  return new Failure('not_found', `There is no ${kind} ${key}.`, {
    remedy: `See those there are: holdfast ${kind}s list`,
  });
}

// --- the state afterwards ---

/** Objects that are the same as before stay the same in memory, and so does the map if all do. */
function settle<Stored extends Plain, Plain extends object>(
  before: ReadonlyMap<string, Stored>,
  wanted: ReadonlyMap<string, Plain>,
  plain: (stored: Stored) => Plain,
  store: (object: Plain, old: Stored | undefined) => Stored,
): ReadonlyMap<string, Stored> {
  const after = new Map<string, Stored>();
  // In order of key, so that what new objects are given does not depend on the order of edits.
  for (const key of [...wanted.keys()].sort()) {
    const object = wanted.get(key)!;
    const old = before.get(key);
    const kept = old !== undefined && (object === old || sameValue(plain(old), object));
    after.set(key, kept ? old : store(object, old));
  }
  const unchanged = after.size === before.size && [...after].every(([key, it]) => before.get(key) === it);
  return unchanged ? before : after;
}

function settlePools(
  state: ClusterState,
  wanted: ReadonlyMap<string, Pool>,
): ReadonlyMap<string, StoredPool> {
  const nextId = lowestFree(
    [...state.pools.values(), ...state.retired.pools].map(({ id }) => id),
    POOL_ID_MAX,
  );
  return settle(state.pools, wanted, plainPool, (pool, old) => ({
    ...pool,
    id: old?.id ?? nextId() ?? fail('there are more pools than ids'),
    modRevision: NOT_STORED,
  }));
}

/** Keys of the backends that the edits are about. */
function givenUp(edits: readonly Edit[]): Set<string> {
  return new Set(
    edits.flatMap((edit) => {
      if (edit.kind === 'putBackend' && edit.backend.weight === 0) return [backendKey(edit.backend)];
      return edit.kind === 'deleteBackend' ? [backendKey(edit)] : [];
    }),
  );
}

/**
 * A backend keeps its index as long as its tunnel has the same end, and one that comes back before the leader took its
 * index off what is retired has it again. Other indexes that were given up are nobody's until then: flows may be open
 * that reach the old occupant by it.
 *
 * The generation is the revision that the index was given at, or that a dead backend came back at: old flows, also those
 * that began at muxes which did not know yet that it was dead, do not point at who has it now. Of 65,536 revisions two have the same number, but what compares it is forgotten long before
 * that many.
 */
function settleBackends(
  state: ClusterState,
  wanted: ReadonlyMap<string, Backend>,
  pools: ReadonlyMap<string, Pool>,
  { dead, drained, giveUpAtMs }: GivenUp,
): ReadonlyMap<string, StoredBackend> {
  const generation = nextGeneration(state);
  const serving = new Set(
    [...state.backends.values()].filter((it) => effectiveWeight(it) > 0).map(({ pool }) => pool),
  );
  const nextIndex = lowestFree(
    [...state.backends.values(), ...state.retired.backends].map(({ index }) => index),
    BACKENDS_MAX,
  );
  const store = (backend: Backend, old: StoredBackend | undefined): StoredBackend => {
    const last = occupant(backend, old, state.retired);
    if (last !== undefined) {
      const { index, isDead = false } = last;
      const observed = observedAfter(last.observed, backend.weight);
      const kept = { ...backend, index, modRevision: NOT_STORED, ...(observed && { observed }) };
      if (!isDead) return { ...kept, generation: last.generation };
      const isBack = backend.weight > 0 && observed?.down === undefined;
      return isBack ? { ...kept, generation } : { ...kept, generation: last.generation, isDead };
    }
    const index = nextIndex();
    if (index === undefined) {
      throw new Failure('limit', `There is no index left for backend ${backendKey(backend)}.`, {
        reason: `All ${BACKENDS_MAX} (BACKENDS_MAX) are taken, also those of removed backends that still serve flows.`,
        remedy: 'Remove backends first, and add the others once their flows have ended.',
      });
    }
    // Where nobody else would take the flows meanwhile it has all of them at once.
    const isRamped = pools.get(backend.pool)?.slowStartMs !== undefined && serving.has(backend.pool);
    const isNew = isRamped && backend.weight > 0;
    return {
      ...backend,
      index,
      generation,
      modRevision: NOT_STORED,
      ...(isNew && { observed: { rampStep: 1 } }),
    };
  };
  const settled = settle(state.backends, wanted, plainBackend, store);
  return markGivenUp(markDead(settled, dead), drained, giveUpAtMs);
}

/** Who had the index that the backend may have: itself, or itself before it was removed. */
function occupant(
  backend: Backend,
  old: StoredBackend | undefined,
  { backends }: Retired,
): StoredBackend | undefined {
  const isSame = (it: StoredBackend) => destinationOf(it) === destinationOf(backend);
  if (old !== undefined && isSame(old)) return old;
  return backends.find((it) => it.isDead !== true && backendKey(it) === backendKey(backend) && isSame(it));
}

/** Dead: those that were given up, for as long as they have no weight. */
function markDead(
  backends: ReadonlyMap<string, StoredBackend>,
  dead: ReadonlySet<string>,
): ReadonlyMap<string, StoredBackend> {
  const alive = [...backends].filter(
    ([key, { weight, isDead }]) => dead.has(key) && weight === 0 && isDead !== true,
  );
  if (alive.length === 0) return backends;
  const next = new Map(backends);
  for (const [key, backend] of alive) next.set(key, { ...backend, isDead: true, modRevision: NOT_STORED });
  return next;
}

/** Those that are drained have until then; one that was drained before has another time. */
function markGivenUp(
  backends: ReadonlyMap<string, StoredBackend>,
  drained: ReadonlySet<string>,
  giveUpAtMs: number | undefined,
): ReadonlyMap<string, StoredBackend> {
  if (giveUpAtMs === undefined) return backends;
  return new Map(
    [...backends].map(([key, it]) => {
      const isMeant = drained.has(key) && it.weight === 0 && it.isDead !== true;
      return [
        key,
        isMeant ? { ...it, observed: { ...it.observed, giveUpAtMs }, modRevision: NOT_STORED } : it,
      ];
    }),
  );
}

/** What was removed joins what was before; what came back leaves it. */
function settleRetired(
  state: ClusterState,
  pools: ReadonlyMap<string, StoredPool>,
  backends: ReadonlyMap<string, StoredBackend>,
  dead: ReadonlySet<string>,
): Retired {
  if (pools === state.pools && backends === state.backends && dead.size === 0) return state.retired;
  const indexes = new Set([...backends.values()].map(({ index }) => index));
  const ids = new Set([...pools.values()].map(({ id }) => id));
  const buried = (it: StoredBackend): StoredBackend =>
    dead.has(backendKey(it)) && it.isDead !== true ? { ...it, isDead: true } : it;
  const left = [...state.backends.values()].filter(({ index }) => !indexes.has(index));
  const retired = [...state.retired.backends, ...left].filter(({ index }) => !indexes.has(index)).map(buried);
  const gonePools = [...state.pools.values()]
    .filter(({ id }) => !ids.has(id))
    .map(({ id, name }) => ({ id, name }));
  const isSame =
    gonePools.length === 0 &&
    retired.length === state.retired.backends.length &&
    retired.every((it, at) => it === state.retired.backends[at]);
  return isSame ? state.retired : { backends: retired, pools: [...state.retired.pools, ...gonePools] };
}

/** What a backend's index stands for. The data plane rewrites a whole record when this changes. */
function destinationOf({ address, encap, guePort }: Backend): string {
  return `${canonicalAddress(address)} ${encap} ${guePort ?? PORTS_DEFAULT.gue}`;
}

/** Numbers from 1 to `max` that are not taken, lowest first; undefined when there are no more. */
function lowestFree(taken: readonly number[], max: number): () => number | undefined {
  const used = new Set(taken);
  let next = 1;
  return () => {
    while (used.has(next)) next++;
    return next > max ? undefined : next++;
  };
}

// --- what is different ---

function* changesOf<Stored extends Plain, Plain extends Service | Pool | Backend>(
  kind: Kind,
  before: ReadonlyMap<string, Stored>,
  after: ReadonlyMap<string, Stored>,
  plain: (stored: Stored) => Plain,
): Generator<EditPlan['changes'][number]> {
  if (before === after) return;
  for (const name of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, now] = [before.get(name), after.get(name)];
    if (old === now) continue;
    yield {
      action: old === undefined ? 'add' : now === undefined ? 'remove' : 'change',
      kind,
      name,
      ...(old && { before: plain(old) }),
      ...(now && { after: plain(now) }),
    };
  }
}

function movedSlots(
  before: ReadonlyMap<string, PoolTable>,
  after: ReadonlyMap<string, PoolTable>,
): EditPlan['moved'] {
  const moved: { pool: string; slots: number; of: number }[] = [];
  for (const [pool, { slots: now }] of after) {
    const old = before.get(pool)?.slots;
    if (old === undefined || old === now) continue;
    let slots = 0;
    for (let slot = 0; slot < now.length; slot++) if (old[slot] !== 0 && old[slot] !== now[slot]) slots++;
    if (slots > 0) moved.push({ pool, slots, of: now.length });
  }
  return moved;
}

function missing<T>(before: ReadonlyMap<string, T>, wanted: ReadonlyMap<string, unknown>): T[] {
  return [...before].filter(([key]) => !wanted.has(key)).map(([, object]) => object);
}

function different<Stored, Plain>(
  before: ReadonlyMap<string, Stored>,
  wanted: ReadonlyMap<string, Plain>,
  plain: (stored: Stored) => Plain,
): Plain[] {
  return [...wanted]
    .filter(([key, object]) => !before.has(key) || !sameValue(plain(before.get(key)!), object))
    .map(([, object]) => object);
}

function byKey<T>(kind: string, objects: readonly T[], keyOf: (object: T) => string): Map<string, T> {
  const map = new Map<string, T>();
  for (const object of objects) {
    const key = keyOf(object);
    if (map.has(key)) throw new Failure('invalid', `The document has two ${kind} with the name ${key}.`);
    map.set(key, object);
  }
  return map;
}

// --- objects ---

function plainService({ modRevision: _, ...service }: StoredService): Service {
  return service;
}

function plainPool({ id: _, modRevision: __, ...pool }: StoredPool): Pool {
  return pool;
}

function plainBackend({
  index: _,
  generation: __,
  isDead: ___,
  observed: ____,
  modRevision: _____,
  ...backend
}: StoredBackend): Backend {
  return backend;
}

/** Of what JSON can say; a field that is undefined is absent. */
function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const fields = (object: object): [string, unknown][] =>
    Object.entries(object).filter(([, value]) => value !== undefined);
  const left = fields(a);
  const right = new Map(fields(b));
  return left.length === right.size && left.every(([key, value]) => sameValue(value, right.get(key)));
}

function patched<T extends object>(
  what: string,
  schema: z.ZodType<T>,
  object: T,
  patch: Patch,
  fixed: readonly (keyof T & string)[],
): T {
  for (const field of fixed) {
    if (field in patch && patch[field] !== object[field]) {
      throw new Failure('invalid', `The ${field} of ${what} cannot be changed.`, {
        remedy: 'Add another one, and remove this one.',
      });
    }
  }
  const merged = Object.entries({ ...object, ...patch }).filter(([, value]) => value !== null);
  const result = schema.safeParse(Object.fromEntries(merged));
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => [...path.map(String), message].join(': '));
  throw new Failure('invalid', `This change of ${what} is not valid: ${issues.join('; ')}`);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return order(a.name, b.name);
}

function byPool(a: { readonly pool: string }, b: { readonly pool: string }): number {
  return order(a.pool, b.pool);
}

/** As the store orders keys, whatever the locale. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function fail(bug: string): never {
  throw new Error(bug);
}
