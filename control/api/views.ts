// Owns what the API says of the cluster's objects: the stored object, and what became of it on this node. Pure.
import type {
  ClusterState,
  EditPlan,
  PoolTable,
  StoredBackend,
  StoredPool,
  StoredService,
} from '../config/cluster_state.ts';
import {
  type Backend,
  backendSchema,
  type Pool,
  poolSchema,
  type Service,
  serviceSchema,
} from '../config/objects.ts';
import { backendKey } from '../pool/edits.ts';
import type { HealthPort } from './node_port.ts';
import type { BackendView, Change, PoolView, ServiceView, Stats, Traffic } from './schema.ts';

const SERVICE_FIELDS = Object.keys(serviceSchema.shape);
const POOL_FIELDS = Object.keys(poolSchema.shape);
const BACKEND_FIELDS = Object.keys(backendSchema.shape);

/** Views of one state, made together: what they have in common is counted once. */
export class Views {
  readonly #state: ClusterState;
  readonly #path: (index: number) => BackendView['path'];
  readonly #health: HealthPort['backend'];
  readonly #serviceTraffic: ReadonlyMap<string, Traffic>;
  readonly #backendTraffic: ReadonlyMap<string, Traffic>;
  readonly #backendsOf: ReadonlyMap<string, readonly StoredBackend[]>;
  readonly #weighted: ReadonlyMap<string, number>;
  readonly #servicesOf: ReadonlyMap<string, readonly StoredService[]>;

  constructor(
    state: ClusterState,
    stats: Stats,
    path: (index: number) => BackendView['path'],
    health: HealthPort['backend'],
  ) {
    this.#state = state;
    this.#path = path;
    this.#health = health;
    this.#serviceTraffic = new Map(stats.services.map((it) => [it.name, it]));
    this.#backendTraffic = new Map(stats.backends.map((it) => [backendKey(it), it]));
    this.#backendsOf = Map.groupBy([...state.backends.values()].sort(byName), (it) => it.pool);
    this.#weighted = new Map(
      [...this.#backendsOf].map(([pool, backends]) => [pool, backends.filter((it) => it.weight > 0).length]),
    );
    this.#servicesOf = Map.groupBy([...state.services.values()].sort(byName), (it) => it.pool);
  }

  service(service: StoredService): ServiceView {
    return {
      ...pick<Service>(service, SERVICE_FIELDS),
      revision: service.modRevision,
      backends: this.#weighted.get(service.pool) ?? 0,
      ...trafficOf(this.#serviceTraffic.get(service.name)),
    };
  }

  pool(pool: StoredPool): PoolView {
    const slots = slotsByBackend(this.#state.tables.get(pool.name));
    return {
      ...pick<Pool>(pool, POOL_FIELDS),
      revision: pool.modRevision,
      id: pool.id,
      services: (this.#servicesOf.get(pool.name) ?? []).map((it) => it.name),
      backends: (this.#backendsOf.get(pool.name) ?? []).map((backend) => {
        const taken = slots.get(backend.index) ?? 0;
        const { health } = this.#health(backend);
        const { name, weight } = backend;
        const share = taken / pool.slots;
        return { name, weight, slots: taken, share, ...(health && { health: health.state }) };
      }),
      unassignedSlots: unassignedSlots(this.#state, pool),
    };
  }

  backend(backend: StoredBackend, flowsLeft?: ReadonlyMap<string, number>): BackendView {
    const slots = slotsByBackend(this.#state.tables.get(backend.pool)).get(backend.index) ?? 0;
    const poolSlots = this.#state.pools.get(backend.pool)?.slots ?? 0;
    const path = this.#path(backend.index);
    const left = flowsLeft?.get(backendKey(backend));
    return {
      ...pick<Backend>(backend, BACKEND_FIELDS),
      revision: backend.modRevision,
      index: backend.index,
      slots,
      share: poolSlots === 0 ? 0 : slots / poolSlots,
      ...trafficOf(this.#backendTraffic.get(backendKey(backend))),
      ...this.#health(backend),
      ...(left !== undefined && { flowsLeft: left }),
      ...(path === undefined ? {} : { path }),
    };
  }
}

/** Slots that no backend takes; all of them where the pool has no table yet. */
export function unassignedSlots(state: ClusterState, pool: StoredPool): number {
  const table = state.tables.get(pool.name);
  return table === undefined ? pool.slots : (slotsByBackend(table).get(0) ?? 0);
}

export function changeOf(plan: EditPlan, revision: number, dryRun: boolean): Change {
  return { dryRun, revision, changes: [...plan.changes], moved: [...plan.moved] };
}

export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

export function byPoolAndName(a: StoredBackend, b: StoredBackend): number {
  return a.pool === b.pool ? byName(a, b) : a.pool < b.pool ? -1 : 1;
}

// A table is never changed, only replaced, and counting 65,537 slots for each backend would be slow.
const counted = new WeakMap<PoolTable, ReadonlyMap<number, number>>();

/** Slots by backend index; index 0 has those that nobody takes. */
export function slotsByBackend(table: PoolTable | undefined): ReadonlyMap<number, number> {
  if (table === undefined) return new Map();
  const known = counted.get(table);
  if (known !== undefined) return known;
  const counts = new Map<number, number>();
  for (const index of table.slots) counts.set(index, (counts.get(index) ?? 0) + 1);
  counted.set(table, counts);
  return counts;
}

function trafficOf(traffic: Traffic | undefined): { traffic?: Traffic } {
  if (traffic === undefined) return {};
  const { packets, bytes, newFlows } = traffic;
  return { traffic: { packets, bytes, newFlows } };
}

/** An object without what the cluster adds to it: what its user wrote. */
function pick<T extends object>(object: T, fields: readonly string[]): T {
  const known = fields.filter((field) => object[field as keyof T] !== undefined);
  return Object.fromEntries(known.map((field) => [field, object[field as keyof T]])) as T;
}
