// Owns the place of the histories: services, the hosts that backends run on, the addresses of muxes.
import type { Version } from '../../../control/cluster/version.ts';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import type { Backend, Service } from '../../../control/config/objects.ts';
import { planEdits } from '../../../control/pool/edits.ts';

export const MS = 1_000_000;
export const SECOND = 1_000 * MS;

/** What waits last here. Short, so that a minute holds whole changes; longer than flow time's grain by far. */
export const IDLE_MS = 4_000;
export const IDLE_NS = IDLE_MS * MS;

/** Few slots: changes then hit many flows. Primes. */
export const POOL_SLOTS = { web: 127, dgram: 61, sticky: 31 } as const;
export type PoolName = keyof typeof POOL_SLOTS;
export const POOL_NAMES = Object.keys(POOL_SLOTS) as PoolName[];

const WEB = ['203.0.113.10', '2001:db8:5::10'];
const STICKY = ['203.0.113.20'];
export const SERVICE_ADDRESSES = [...WEB, ...STICKY];

export const SERVICES = [
  { name: 'http', addresses: WEB, protocol: 'tcp', port: 80, pool: 'web' },
  { name: 'dns', addresses: WEB, protocol: 'udp', port: 53, pool: 'dgram' },
  {
    name: 'quic',
    addresses: WEB,
    protocol: 'udp',
    port: 443,
    pool: 'dgram',
    quic: { configRotation: 0, serverIdBytes: 2 },
  },
  {
    name: 'sticky',
    addresses: STICKY,
    protocol: 'tcp',
    port: 80,
    pool: 'sticky',
    affinity: { prefixLength4: 24, prefixLength6: 64 },
  },
] as const satisfies readonly Service[];
export type ServiceName = (typeof SERVICES)[number]['name'];

/** Machines that a backend may be on. */
export const HOSTS = [
  { name: 'host1', address: '192.0.2.1', encap: 'ip' },
  { name: 'host2', address: '2001:db8:b::b000:2', encap: 'ip' },
  { name: 'host3', address: '192.0.2.3', encap: 'gue' },
  { name: 'host4', address: '2001:db8:b::b000:4', encap: 'gue' },
  { name: 'host5', address: '192.0.2.5', encap: 'ip' },
  { name: 'host6', address: '192.0.2.6', encap: 'ip' },
] as const satisfies readonly { name: string; address: string; encap: Backend['encap'] }[];

export const ASK_PORT = 7_445;

/** All hosts and muxes are behind one router. */
export const NEXT_HOP = {
  ifindex: 0,
  destinationMac: '02:00:00:00:b0:01',
  sourceMac: '02:00:00:00:00:02',
} as const;

export function backendOn(pool: PoolName, host: number, weight = 100): Backend {
  const { name, address, encap } = HOSTS[host]!;
  return { pool, name, address, weight, encap };
}

/** Version 1, with these hosts in every pool, and this idle time of every service. */
export function firstState(hosts: readonly number[], idleTimeoutMs: number): ClusterState {
  const edits: Edit[] = [
    ...POOL_NAMES.map((name): Edit => ({ kind: 'putPool', pool: { name, slots: POOL_SLOTS[name] } })),
    ...POOL_NAMES.flatMap((pool) =>
      hosts.map((host): Edit => ({ kind: 'putBackend', backend: backendOn(pool, host) })),
    ),
    ...SERVICES.map(
      (service): Edit => ({
        kind: 'putService',
        service: { ...(structuredClone(service) as Service), idleTimeoutMs },
      }),
    ),
  ];
  return { ...planEdits(EMPTY_STATE, edits, { force: false }).after, revision: 1 };
}

/** Hosts of a version by the index of their backends. */
const hostsByIndex = new WeakMap<Version, ReadonlyMap<number, number>>();

/** Those that flows of a slot went to yesterday, and go to today. */
export function hostsOf(version: Version, pool: PoolName, slot: number): readonly (number | undefined)[] {
  let byIndex = hostsByIndex.get(version);
  if (byIndex === undefined) {
    byIndex = new Map(
      [...version.objects.backends.values()].map(({ index, address }) => [
        index,
        HOSTS.findIndex((it) => it.address === address),
      ]),
    );
    hostsByIndex.set(version, byIndex);
  }
  const placement = version.placements.get(version.objects.pools.get(pool)!.id);
  return placement === undefined
    ? []
    : [byIndex.get(placement.base[slot]!), byIndex.get(placement.current[slot]!)];
}
