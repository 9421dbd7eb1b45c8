// Owns what the store says about the cluster at one revision, as data: the objects with what the cluster adds to them,
// and each pool's slot table. Keys in the store and reading it are control/cluster's; changing it is control/pool's.
import type { Role } from './node.ts';
import type { Backend, Pool, Service } from './objects.ts';

export type StoredService = Service & { readonly modRevision: number };

export type StoredPool = Pool & {
  /** 1-65535, never another pool's while both exist: `pool` in the data plane. */
  readonly id: number;
  readonly modRevision: number;
};

export type Observed = {
  /** Found dead by checks: it takes no flows, and is `isDead`. */
  readonly down?: { readonly sinceMs: number; readonly reason: string } | undefined;
  /** Its weight counts with this many of SLOW_START_STEPS; absent: whole. */
  readonly rampStep?: number | undefined;
  /** It is drained, and its flows are given up then. */
  readonly giveUpAtMs?: number | undefined;
  /** Its filter node is to leave: it takes no new clients, and is not dead. */
  readonly isLeaving?: boolean | undefined;
};
/** Each is a change of slots: few. */
export const SLOW_START_STEPS = 4;

export type StoredBackend = Backend & {
  /** 1-4095 in the data plane's table; another one when address or encapsulation change. */
  readonly index: number;
  /** Changes when an index is given to another backend, and when a dead one comes back: old flows do not point at it. */
  readonly generation: number;
  /** It takes no flows, and those that it has are given up at once: `--now`, or found dead. */
  readonly isDead?: boolean | undefined;
  /** What muxes have found out about it, and what time has: no document says it, and no edit but a new address ends it. */
  readonly observed?: Observed | undefined;
  readonly modRevision: number;
};

export type PoolTable = {
  /** Backend index of each slot; 0 where the pool has nobody to take it. */
  readonly slots: Uint16Array;
  readonly modRevision: number;
};

/** A registered node, for others to know its role and tunnel sources. */
export type StoredNode = {
  readonly name: string;
  readonly roles: readonly Role[];
  /** Prefixes that the mux sends tunnel packets from. */
  readonly tunnelSources: readonly string[];
  readonly version: string;
  readonly modRevision: number;
};

/**
 * What was removed and may still serve flows. Its numbers are nobody else's until the leader, once no version needs it,
 * takes it off.
 */
export type Retired = {
  readonly backends: readonly StoredBackend[];
  readonly pools: readonly Pick<StoredPool, 'id' | 'name'>[];
};

export type ClusterState = {
  readonly revision: number;
  readonly services: ReadonlyMap<string, StoredService>;
  readonly pools: ReadonlyMap<string, StoredPool>;
  /** By `pool/name`. */
  readonly backends: ReadonlyMap<string, StoredBackend>;
  /** By pool name; every pool has one. */
  readonly tables: ReadonlyMap<string, PoolTable>;
  readonly retired: Retired;
  readonly nodes: ReadonlyMap<string, StoredNode>;
};

export const EMPTY_STATE: ClusterState = {
  revision: 0,
  services: new Map(),
  pools: new Map(),
  backends: new Map(),
  tables: new Map(),
  retired: { backends: [], pools: [] },
  nodes: new Map(),
};

/** One change that a user asks for. */
export type Edit =
  | { readonly kind: 'putService'; readonly service: Service; readonly expect?: 'absent' | 'present' }
  | { readonly kind: 'deleteService'; readonly name: string }
  | { readonly kind: 'putPool'; readonly pool: Pool; readonly expect?: 'absent' | 'present' }
  | { readonly kind: 'deletePool'; readonly name: string }
  | { readonly kind: 'putBackend'; readonly backend: Backend; readonly expect?: 'absent' | 'present' }
  | { readonly kind: 'deleteBackend'; readonly pool: string; readonly name: string };

/** What edits come to, before anything is written: what `--dry-run` shows and what the store gets. */
export type EditPlan = {
  readonly changes: readonly {
    readonly action: 'add' | 'change' | 'remove';
    readonly kind: 'service' | 'pool' | 'backend';
    /** `pool/name` for backends. */
    readonly name: string;
    readonly before?: Service | Pool | Backend;
    readonly after?: Service | Pool | Backend;
  }[];
  /** Slots that get another backend, by pool. */
  readonly moved: readonly { readonly pool: string; readonly slots: number; readonly of: number }[];
  /** The whole state afterwards; unchanged parts are the same objects. Its modRevisions are not yet known. */
  readonly after: ClusterState;
};
