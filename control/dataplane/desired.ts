// Owns what a mux's tables shall say, as data, and making it from the cluster's state and the paths that this node
// knows. Pure. Bringing the tables there is mux_tables.ts.
import type { ClusterState, StoredBackend } from '../config/cluster_state.ts';
import { idleTimeoutOf } from '../config/objects.ts';
import { parseAddress, versionOf } from '../lib/address.ts';
import { type BackendConfig, INNER_MTU_MIN, outerBytes, type Path } from './backend_table.ts';
import type { ServerId } from './server_id_table.ts';

export type ServiceAddress = { address: string; protocol?: 'tcp' | 'udp'; port?: number };

export type FlowKeyOptions = {
  /** The flow key is the client under these prefixes, and the service. */
  affinity?: { prefixLength4: number; prefixLength6: number };
  ignoreSourcePort?: boolean;
  quic?: { configRotation: number; serverIdBytes: number };
  /** After which a silent flow has ended, milliseconds; only matters where slots are tracked. */
  idleTimeoutMs?: number;
};

/** One address of a service. */
export type DesiredService = ServiceAddress & FlowKeyOptions & { name: string; poolId: number };

export type DesiredMux = {
  revision: number;
  services: readonly DesiredService[];
  /** By id: the backend index of each slot. Only those that a service has are written. */
  pools: ReadonlyMap<number, Uint16Array>;
  /** By index. */
  backends: ReadonlyMap<number, BackendConfig>;
  serverIds: readonly ServerId[];
};

/** Where the path to a backend is not known, bytes. */
const MTU_DEFAULT = 1500;

/** `path` tells what this node knows of the way to an address; undefined where it has not looked yet. */
export function desiredMux(state: ClusterState, path: (address: string) => Path | undefined): DesiredMux {
  const poolIds = new Map([...state.pools].map(([name, { id }]) => [name, id]));
  const services = [...state.services.values()].flatMap((service) => {
    const { name, addresses, protocol, port, pool, affinity, ignoreSourcePort, quic } = service;
    const poolId = poolIds.get(pool);
    if (poolId === undefined) return [];
    return addresses.map(
      (address): DesiredService => ({
        name,
        address,
        poolId,
        idleTimeoutMs: idleTimeoutOf(service),
        ...(protocol !== undefined && { protocol }),
        ...(port !== undefined && { port }),
        ...(affinity !== undefined && { affinity }),
        ...(ignoreSourcePort !== undefined && { ignoreSourcePort }),
        ...(quic !== undefined && { quic }),
      }),
    );
  });
  const pools = new Map(
    [...state.tables].flatMap(([name, { slots }]) => {
      const id = poolIds.get(name);
      return id === undefined ? [] : [[id, slots] as const];
    }),
  );
  const stored = [...state.backends.values()];
  return {
    revision: state.revision,
    services,
    pools,
    backends: new Map(stored.map((it) => [it.index, backendConfig(it, path(it.address))])),
    serverIds: stored.flatMap(({ pool, serverId, index }) => {
      const poolId = poolIds.get(pool);
      return serverId === undefined || poolId === undefined ? [] : [{ poolId, serverId, backend: index }];
    }),
  };
}

/** A backend of the store as the data plane sees it, over `path`. */
export function backendConfig(backend: StoredBackend, path: Path | undefined): BackendConfig {
  const { address, encap, guePort, generation } = backend;
  // No tunnel can do with less: what a path claims beyond reason must not keep all else from being applied.
  const leastBytes = INNER_MTU_MIN + outerBytes(versionOf(parseAddress(address)), encap);
  const pathBytes = path?.mtuBytes ?? backend.mtuBytes ?? MTU_DEFAULT;
  return {
    address,
    encap,
    ...(guePort !== undefined && { guePort }),
    mtuBytes: Math.min(65_535, Math.max(leastBytes, Math.min(pathBytes, backend.mtuBytes ?? pathBytes))),
    generation: generation & 0xffff,
    ...(path?.nextHop && { nextHop: path.nextHop }),
  };
}
