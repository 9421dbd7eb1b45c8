// Owns what is observed of backends (dead by checks, in slow start, at the end of a drain) as part of the cluster's state:
// what weight that leaves them, and the state in which some of it is otherwise. Not here: who observes and decides
// (control/health), what users want (edits.ts).
import {
  type ClusterState,
  type Observed,
  type PoolTable,
  SLOW_START_STEPS,
  type StoredBackend,
  type StoredPool,
} from '../config/cluster_state.ts';
import { PRIORITY_MAX } from '../config/filter.ts';
import { assignSlots } from './assignment.ts';

const GENERATIONS = 65_536;
/** Of what a plan makes: the store says which when it is written. */
const NOT_STORED = 0;

/** What its share of slots follows from: 0 while it is dead or leaves. */
export function effectiveWeight({ weight, observed }: Pick<StoredBackend, 'weight' | 'observed'>): number {
  if (observed === undefined || weight === 0) return weight;
  if (observed.down !== undefined || observed.isLeaving === true) return 0;
  const { rampStep = SLOW_START_STEPS } = observed;
  return Math.max(1, Math.round((weight * rampStep) / SLOW_START_STEPS));
}

/** The generation of a backend that old flows must not point at, in the next change of this state. */
export function nextGeneration({ revision }: Pick<ClusterState, 'revision'>): number {
  return (revision + 1) % GENERATIONS;
}

/** What an edit makes of what was observed. Without a weight there is nothing to ramp; with one it is not drained. */
export function observedAfter(observed: Observed | undefined, weight: number): Observed | undefined {
  if (observed === undefined) return undefined;
  const { down, rampStep, giveUpAtMs, isLeaving } = observed;
  return compact(weight > 0 ? { down, rampStep, isLeaving } : { down, giveUpAtMs, isLeaving });
}

/** What is observed now, by key of `ClusterState.backends`; of others it stays. */
export type Observations = ReadonlyMap<string, Observed | undefined>;

/**
 * The state with these observations: a backend that is found dead has its flows given up, one that is back a new
 * generation; slots follow, as few as that takes. The same state where nothing is new.
 */
export function withObservations(state: ClusterState, observations: Observations): ClusterState {
  const backends = new Map(state.backends);
  for (const [key, observed] of observations) {
    const before = backends.get(key);
    const after = before && observedAs(before, compact(observed ?? {}), state);
    if (after !== undefined && after !== before) backends.set(key, after);
  }
  if ([...backends].every(([key, it]) => state.backends.get(key) === it)) return state;
  return { ...state, backends, tables: settleTables(state, state.pools, backends) };
}

function observedAs(
  before: StoredBackend,
  observed: Observed | undefined,
  state: ClusterState,
): StoredBackend {
  const { isDead: wasDead = false, observed: last, ...rest } = before;
  if (sameObserved(last, observed)) return before;
  const isGivenUp = last?.giveUpAtMs !== undefined && observed?.giveUpAtMs === undefined;
  // An operator's order to give flows up outlives what checks say.
  const isOrdered = wasDead && last?.down === undefined;
  const isDead = observed?.down !== undefined || isOrdered || (isGivenUp && before.weight === 0);
  const isBack = wasDead && !isDead;
  return {
    ...rest,
    ...(isBack && { generation: nextGeneration(state) }),
    ...(isDead && { isDead }),
    ...(observed !== undefined && { observed }),
    modRevision: NOT_STORED,
  };
}

/** Slots of all pools as their backends' weights have them; tables that need no change stay the same objects. */
export function settleTables(
  state: ClusterState,
  pools: ReadonlyMap<string, StoredPool>,
  backends: ReadonlyMap<string, StoredBackend>,
): ReadonlyMap<string, PoolTable> {
  if (pools === state.pools && backends === state.backends) return state.tables;
  const before = membersOf(state.backends);
  const after = membersOf(backends);
  const tables = new Map<string, PoolTable>();
  for (const [name, pool] of pools) {
    const table = state.tables.get(name);
    const members = after.get(name) ?? [];
    const last = before.get(name) ?? [];
    const weights = weightsOf(pool, members);
    const lastWeights = weightsOf(state.pools.get(name) ?? pool, last);
    tables.set(name, table !== undefined && sameWeights(lastWeights, weights) ? table : rebuilt());

    function rebuilt(): PoolTable {
      const previous =
        table === undefined ? new Uint16Array(pool.slots) : renamed(table.slots, last, members);
      return { slots: assignSlots(previous, weights), modRevision: NOT_STORED };
    }
  }
  const unchanged =
    tables.size === state.tables.size && [...tables].every(([name, it]) => state.tables.get(name) === it);
  return unchanged ? state.tables : tables;
}

function membersOf(backends: ReadonlyMap<string, StoredBackend>): Map<string, StoredBackend[]> {
  return Map.groupBy(backends.values(), ({ pool }) => pool);
}

/** By index. Where one backend answers all it is the best of those that have a weight. */
export function weightsOf(
  { hosts = 'multiple' }: Pick<StoredPool, 'hosts'>,
  members: readonly StoredBackend[],
): ReadonlyMap<number, number> {
  const weights = new Map(members.map((it) => [it.index, effectiveWeight(it)]));
  if (hosts === 'multiple') return weights;
  const priorityOf = ({ priority = PRIORITY_MAX + 1 }: StoredBackend) => priority;
  const [best] = members
    .filter(({ index }) => weights.get(index)! > 0)
    .sort((a, b) => priorityOf(a) - priorityOf(b) || (a.name < b.name ? -1 : 1));
  return new Map(members.map(({ index }) => [index, index === best?.index ? 1 : 0]));
}

function sameWeights(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): boolean {
  return before.size === after.size && [...after].every(([index, weight]) => before.get(index) === weight);
}

/** A backend that has another index keeps its slots under it. */
function renamed(
  table: Uint16Array,
  before: readonly StoredBackend[],
  after: readonly StoredBackend[],
): Uint16Array {
  const newIndexes = new Map(after.map(({ name, index }) => [name, index]));
  const renames = new Map<number, number>();
  for (const { name, index } of before) {
    const now = newIndexes.get(name) ?? index;
    if (now !== index) renames.set(index, now);
  }
  return renames.size === 0 ? table : table.map((index) => renames.get(index) ?? index);
}

/** Without fields that say nothing; undefined where none is left. */
function compact(observed: Observed): Observed | undefined {
  const said = Object.entries(observed).filter(([, value]) => value !== undefined);
  return said.length === 0 ? undefined : Object.fromEntries(said);
}

function sameObserved(a: Observed | undefined, b: Observed | undefined): boolean {
  return (
    a?.rampStep === b?.rampStep &&
    a?.giveUpAtMs === b?.giveUpAtMs &&
    a?.isLeaving === b?.isLeaving &&
    a?.down?.sinceMs === b?.down?.sinceMs &&
    a?.down?.reason === b?.down?.reason
  );
}
