// Owns the edits of histories as planEdits() takes them.
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import type { HostEdit } from './actions.ts';
import { backendOn, HOSTS, POOL_NAMES } from './place.ts';

/** Without the removal of what is not there: histories are drawn, and shortened, without knowing the state. */
export function editsOf(state: ClusterState, edits: readonly HostEdit[]): Edit[] {
  return edits.flatMap(({ host, weight, pool }) =>
    (pool === undefined ? POOL_NAMES : [pool]).flatMap((name): Edit[] => {
      if (weight !== undefined) return [{ kind: 'putBackend', backend: backendOn(name, host, weight) }];
      const backend = HOSTS[host]!.name;
      return state.backends.has(`${name}/${backend}`)
        ? [{ kind: 'deleteBackend', pool: name, name: backend }]
        : [];
    }),
  );
}
