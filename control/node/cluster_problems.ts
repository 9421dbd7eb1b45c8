// Owns what is wrong with the cluster's objects from where a mux stands: packets that it will drop, whatever its program
// and its paths are like. Pure.
import type { ClusterState } from '../config/cluster_state.ts';
import { type IpVersion, parseAddress, versionOf } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

/** Objects that a problem names before it only counts. */
const NAMED_MAX = 5;

/** `tunnelVersions`: IP versions that the mux has an address of to send tunnels from. */
export function clusterProblems(state: ClusterState, tunnelVersions: ReadonlySet<IpVersion>): Failure[] {
  return [servicesWithoutBackend(state), ...backendsWithoutSource(state, tunnelVersions)].filter(
    (problem) => problem !== undefined,
  );
}

function servicesWithoutBackend({ services, backends }: ClusterState): Failure | undefined {
  const serving = new Set([...backends.values()].filter(({ weight }) => weight > 0).map(({ pool }) => pool));
  const names = [...services.values()].filter(({ pool }) => !serving.has(pool)).map(({ name }) => name);
  if (names.length === 0) return undefined;
  const which = `${names.length === 1 ? 'service' : 'services'} ${listed(names)}`;
  return new Failure('unavailable', `packets of ${which} are dropped`, {
    reason: 'No backend of the pool has a weight.',
    remedy: 'see holdfast backends list; then holdfast backends set POOL/NAME --weight 100, or backends add',
  });
}

function backendsWithoutSource(
  { backends }: ClusterState,
  tunnelVersions: ReadonlySet<IpVersion>,
): Failure[] {
  const all = [...backends.values()];
  return ([4, 6] as const).flatMap((version) => {
    if (tunnelVersions.has(version)) return [];
    const without = all.filter(({ address }) => versionOf(parseAddress(address)) === version);
    if (without.length === 0) return [];
    const names = listed(without.map(({ pool, name }) => `${pool}/${name}`));
    return new Failure('configuration', `packets for ${names} are dropped`, {
      reason: `This node has no IPv${version} address to send tunnels from.`,
      remedy: `set tunnel.source${version} in its configuration, or give its interface an address`,
    });
  });
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  return `${names.slice(0, NAMED_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
