// Owns that what did not change stays the same object when a whole state was read anew. After a time without the store
// modRevisions prove nothing: it may have been put back from a copy, and given the same numbers to other changes.
import { isDeepStrictEqual } from 'node:util';
import type { ClusterState } from '../config/cluster_state.ts';

/** `fresh`, with the objects of `known` wherever they say the same. */
export function withSameParts(fresh: ClusterState, known: ClusterState): ClusterState {
  return {
    revision: fresh.revision,
    services: same(fresh.services, known.services),
    pools: same(fresh.pools, known.pools),
    backends: same(fresh.backends, known.backends),
    tables: same(fresh.tables, known.tables),
    nodes: same(fresh.nodes, known.nodes),
    retired: isDeepStrictEqual(fresh.retired, known.retired) ? known.retired : fresh.retired,
  };
}

/** Whether they are of one revision, and every part of one is the other's. */
export function isSameState(a: ClusterState, b: ClusterState): boolean {
  return (
    a.revision === b.revision &&
    isSame(a.services, b.services) &&
    isSame(a.pools, b.pools) &&
    isSame(a.backends, b.backends) &&
    isSame(a.tables, b.tables) &&
    isSame(a.nodes, b.nodes) &&
    a.retired === b.retired
  );
}

function isSame<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  return a.size === b.size && [...a].every(([name, part]) => b.get(name) === part);
}

function same<T>(fresh: ReadonlyMap<string, T>, known: ReadonlyMap<string, T>): Map<string, T> {
  const kept = Array.from(fresh, ([name, part]): [string, T] => {
    const before = known.get(name);
    return [name, before !== undefined && isDeepStrictEqual(before, part) ? before : part];
  });
  return new Map(kept);
}
