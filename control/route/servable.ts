// Owns which service addresses a mux can serve: some service on the address has a backend that the mux could send to.
// Pure.
import type { ClusterState, StoredBackend } from '../config/cluster_state.ts';

/** Sorted. `canReach`: a way leads to the backend. */
export function servableAddresses(
  { services, backends }: Pick<ClusterState, 'services' | 'backends'>,
  canReach: (backend: StoredBackend) => boolean,
): string[] {
  const pools = new Set<string>();
  for (const backend of backends.values()) {
    if (backend.weight > 0 && !pools.has(backend.pool) && canReach(backend)) pools.add(backend.pool);
  }
  const served = [...services.values()].filter(({ pool }) => pools.has(pool));
  return [...new Set(served.flatMap(({ addresses }) => addresses))].sort();
}
