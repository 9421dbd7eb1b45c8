// Owns what a mux checks, from the cluster's state: which backends, where each is asked, and what has to be known for it. Pure.
import type { ClusterState, StoredBackend, StoredService } from '../config/cluster_state.ts';
import { deliveryOf } from '../config/filter.ts';
import type { Health } from '../config/health.ts';
import type { Pool } from '../config/objects.ts';
import { canonicalAddress, parseAddress, versionOf } from '../lib/address.ts';
import { subjectOf } from './verdicts_codec.ts';

export type HealthTarget = {
  /** `pool/name` */
  readonly key: string;
  readonly subject: number;
  readonly backend: StoredBackend;
  readonly health: Health;
  /** Where to ask; undefined: `missing` says why that cannot be known. */
  readonly place: { readonly address: string; readonly port: number } | undefined;
  readonly missing: string | undefined;
  /** It is this very host, asked at the service's address without a tunnel. */
  readonly isOwn: boolean;
};

export type Abilities = {
  /** Versions of IP by which answers through the tunnel can come to this mux. */
  readonly versions: ReadonlySet<4 | 6>;
  readonly runsCommands: boolean;
  /** Of a filter node: its own address. */
  readonly server?: string | undefined;
};

export function targetsOf(
  state: Pick<ClusterState, 'pools' | 'backends' | 'services'>,
  abilities: Abilities,
): HealthTarget[] {
  const services = Map.groupBy(
    [...state.services.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    ({ pool }) => pool,
  );
  return [...state.backends].flatMap(([key, backend]) => {
    const pool = state.pools.get(backend.pool);
    if (pool?.health === undefined || !isChecked(pool, backend, abilities)) return [];
    const { health } = pool;
    const isOwn = abilities.server !== undefined;
    const found = placeOf(pool, health, backend, services.get(pool.name) ?? [], abilities);
    const [place, missing] = typeof found === 'string' ? [undefined, found] : [found, undefined];
    return [{ key, subject: subjectOf(backend), backend, health, place, missing, isOwn }];
  });
}

/** Muxes check backends of theirs; a filter node is asked by nobody but itself. */
function isChecked(pool: Pool, { address }: StoredBackend, { server }: Abilities): boolean {
  if (deliveryOf(pool) === 'mux') return server === undefined;
  return server !== undefined && canonicalAddress(address) === canonicalAddress(server);
}

/** What is asked is the same: running checks go on. */
export function isSameQuestion(a: HealthTarget, b: HealthTarget): boolean {
  return (
    a.subject === b.subject &&
    a.place?.address === b.place?.address &&
    a.place?.port === b.place?.port &&
    JSON.stringify(a.health) === JSON.stringify(b.health)
  );
}

function placeOf(
  { name }: Pool,
  health: Health,
  { address }: StoredBackend,
  services: readonly StoredService[],
  { versions, runsCommands, server }: Abilities,
): { address: string; port: number } | string {
  const { type, via } = health;
  const protocol = type === 'udp' ? 'udp' : 'tcp';
  const ofType = services.filter((it) => it.protocol === undefined || it.protocol === protocol);
  const port = health.port ?? (ofType.find((it) => it.port !== undefined) ?? services[0])?.port;
  if (type === 'command') {
    return runsCommands
      ? { address, port: port ?? 0 }
      : 'this mux runs no commands: its configuration file does not have health.commands';
  }
  if (port === undefined) {
    return `no port is known: set health.port of pool ${name}, or have a service with a port use it`;
  }
  if (via === 'direct') return { address, port };
  const wanted = [...ofType, ...services].flatMap(({ addresses }) => addresses);
  if (server !== undefined && wanted[0] !== undefined) return { address: wanted[0], port };
  const reachable = wanted.find((it) => versions.has(versionOf(parseAddress(it))));
  if (reachable !== undefined) return { address: reachable, port };
  return wanted.length === 0
    ? `no service uses pool ${name}: there is no address to ask through the tunnel`
    : 'this mux cannot ask through the tunnel: it has no address of its own for the answer, or no tunnel device';
}
