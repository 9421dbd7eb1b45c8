// Owns what a mux's tables shall say, as data, and making it from a version of the configuration and the paths that this
// node knows. Pure. Bringing the tables there is mux_tables.ts.
import type { Candidate, Member, Placement, Version } from '../cluster/version.ts';
import type { StoredBackend } from '../config/cluster_state.ts';
import { idleTimeoutOf, type Service } from '../config/objects.ts';
import { parseAddress, versionOf } from '../lib/address.ts';
import {
  BACKEND_OVERHEAD_BYTES,
  type BackendConfig,
  INNER_MTU_MIN,
  ipHeaderBytes,
  type Path,
  PEER_OVERHEAD_BYTES,
} from './backend_table.ts';
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
export type DesiredService = ServiceAddress &
  FlowKeyOptions & {
    name: string;
    poolId: number;
    /** Of a filter: who asks for the address's neighbour is told this; absent: nobody is told anything. */
    linkAddress?: string;
    /** Of a filter: no server answers it. */
    isDisabled?: boolean;
  };

export type DesiredPool = Placement & { name: string };

export type DesiredMux = {
  revision: number;
  /** Of the configuration; 0: of none, and what the program says of its version stays. */
  version: number;
  /** Muxes that may be in chains. */
  members: readonly Candidate[];
  services: readonly DesiredService[];
  /** By id. Only those that a service has are written. */
  pools: ReadonlyMap<number, DesiredPool>;
  /** By index. */
  backends: ReadonlyMap<number, BackendConfig>;
  serverIds: readonly ServerId[];
  /** Muxes by id, this one included: its own record says where others reach it. */
  peers: ReadonlyMap<number, BackendConfig>;
};

/** Where the path to a backend is not known, bytes. */
const MTU_DEFAULT = 1500;

/** This mux as others reach it. */
export type SelfAddress = Pick<Member, 'id' | 'address' | 'askPort'>;

/**
 * `path` tells what this node knows of the way to an address; undefined where it has not looked yet. `self` is this
 * mux, a member or about to be one; without it the mux is alone and has no peers.
 */
export function desiredMux(
  version: Version,
  path: (address: string) => Path | undefined,
  self: SelfAddress | undefined,
): DesiredMux {
  const { revision, services, pools, backends } = version.objects;
  const poolIds = new Map([...pools].map(([name, { id }]) => [name, id]));
  const stored = [...backends.values()];
  const others = self === undefined ? [] : version.members.filter(({ id }) => id !== self.id);
  return {
    revision,
    version: version.number,
    members: version.members.map(({ id, incarnation }) => ({ id, incarnation })),
    services: [...services.values()].flatMap((service) => {
      const poolId = poolIds.get(service.pool);
      return poolId === undefined ? [] : desiredServices(service, poolId);
    }),
    pools: new Map(
      [...pools.values()].flatMap(({ name, id }) => {
        const placement = version.placements.get(id);
        return placement === undefined ? [] : [[id, { name, ...placement }] as const];
      }),
    ),
    backends: new Map(stored.map((it) => [it.index, backendConfig(it, path(it.address))])),
    serverIds: stored.flatMap(({ pool, serverId, index }) => {
      const poolId = poolIds.get(pool);
      return serverId === undefined || poolId === undefined ? [] : [{ poolId, serverId, backend: index }];
    }),
    peers: new Map([
      ...(self === undefined ? [] : [[self.id, peerConfig(self, undefined)] as const]),
      ...others.map((member) => [member.id, peerConfig(member, path(member.address))] as const),
    ]),
  };
}

/** One for each address of a service. */
export function desiredServices(service: Service, poolId: number): DesiredService[] {
  const { name, addresses, protocol, port, affinity, ignoreSourcePort, quic } = service;
  return addresses.map((address) => ({
    name,
    address,
    poolId,
    idleTimeoutMs: idleTimeoutOf(service),
    ...(protocol !== undefined && { protocol }),
    ...(port !== undefined && { port }),
    ...(affinity !== undefined && { affinity }),
    ...(ignoreSourcePort !== undefined && { ignoreSourcePort }),
    ...(quic !== undefined && { quic }),
  }));
}

/** Another mux as the data plane sees it, over `path`. */
export function peerConfig({ address, askPort }: SelfAddress, path: Path | undefined): BackendConfig {
  return {
    address,
    encap: 'gue',
    guePort: askPort,
    mtuBytes: boundedMtu(address, PEER_OVERHEAD_BYTES, path?.mtuBytes ?? MTU_DEFAULT),
    ...(path?.nextHop && { nextHop: path.nextHop }),
  };
}

/** A backend of the store as the data plane sees it, over `path`. */
export function backendConfig(backend: StoredBackend, path: Path | undefined): BackendConfig {
  const { address, encap, guePort, generation } = backend;
  const pathBytes = path?.mtuBytes ?? backend.mtuBytes ?? MTU_DEFAULT;
  return {
    address,
    encap,
    ...(guePort !== undefined && { guePort }),
    mtuBytes: boundedMtu(
      address,
      BACKEND_OVERHEAD_BYTES[encap],
      Math.min(pathBytes, backend.mtuBytes ?? pathBytes),
    ),
    generation: generation & 0xffff,
    ...(path?.nextHop && { nextHop: path.nextHop }),
  };
}

// No tunnel can do with less: what a path claims beyond reason must not keep all else from being applied.
function boundedMtu(address: string, overheadBytes: number, mtuBytes: number): number {
  const leastBytes = INNER_MTU_MIN + ipHeaderBytes(versionOf(parseAddress(address))) + overheadBytes;
  return Math.min(65_535, Math.max(leastBytes, mtuBytes));
}
