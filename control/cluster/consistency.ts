// Owns what must hold between the parts of a cluster's state, whoever wrote them: nothing else may reach the data plane,
// nor the store.

import type { ClusterState, StoredPool } from '../config/cluster_state.ts';
import { BACKENDS_MAX } from '../config/objects.ts';

/** The first thing that does not hold, as a sentence; undefined where all does. */
export function inconsistency(state: ClusterState): string | undefined {
  return firstOf([
    () => duplicate('pool id', [...state.pools.values(), ...state.retired.pools], ({ id }) => id),
    () =>
      duplicate(
        'backend index',
        [...state.backends.values(), ...state.retired.backends],
        ({ index }) => index,
      ),
    () => absentPool('service', state.services, state),
    () => absentPool('backend', state.backends, state),
    () => tableWithoutPool(state),
    ...Array.from(state.pools.values(), (pool) => () => wrongTable(pool, state)),
  ]);
}

function firstOf(checks: readonly (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const wrong = check();
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function duplicate<T extends { name: string }>(
  what: string,
  objects: Iterable<T>,
  numberOf: (object: T) => number,
): string | undefined {
  const owners = new Map<number, string>();
  for (const object of objects) {
    const number = numberOf(object);
    const owner = owners.get(number);
    if (owner !== undefined) return `${what} ${number} is of ${owner} and of ${object.name}`;
    owners.set(number, object.name);
  }
  return undefined;
}

function absentPool(
  kind: string,
  objects: ReadonlyMap<string, { readonly pool: string }>,
  { pools }: ClusterState,
): string | undefined {
  for (const [name, { pool }] of objects) {
    if (!pools.has(pool)) return `${kind} ${name} names pool ${pool}, which does not exist`;
  }
  return undefined;
}

function tableWithoutPool({ tables, pools }: ClusterState): string | undefined {
  for (const name of tables.keys()) {
    if (!pools.has(name)) return `there is a slot table of pool ${name}, which does not exist`;
  }
  return undefined;
}

function wrongTable({ name, slots: count }: StoredPool, state: ClusterState): string | undefined {
  const slots = state.tables.get(name)?.slots;
  if (slots === undefined) return `pool ${name} has no slot table`;
  if (slots.length !== count) return `pool ${name} has ${count} slots, and a table of ${slots.length}`;
  // 0: nobody.
  const members = new Uint8Array(BACKENDS_MAX + 1);
  members[0] = 1;
  for (const { pool, index } of state.backends.values()) if (pool === name) members[index] = 1;
  const stray = slots.find((index) => members[index] !== 1);
  return stray === undefined ? undefined : `slots of pool ${name} name backend ${stray}, which is not in it`;
}
