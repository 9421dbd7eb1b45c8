// Owns the place that all simulations share: addresses, services, the hosts that backends run on, and the first
// configuration. What happens there is the scenario's.

import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import type { Backend, Service } from '../../../control/config/objects.ts';
import type { NextHop } from '../../../control/dataplane/backend_table.ts';
import { hashKeyFromSecret } from '../../../control/dataplane/hash.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import { type FlowRule, parseHashKey } from '../../bpf/lib/reference.ts';

export const HASH_KEY = hashKeyFromSecret(new TextEncoder().encode('holdfast simulation secret'));
export const REFERENCE_KEY = parseHashKey(HASH_KEY);

/** Machines that a backend may be on; all forms of tunnel. */
export const HOSTS = [
  { name: 'host1', address: '192.0.2.1', encap: 'ip' },
  { name: 'host2', address: '2001:db8:b::2', encap: 'ip' },
  { name: 'host3', address: '192.0.2.3', encap: 'gue' },
  { name: 'host4', address: '2001:db8:b::4', encap: 'gue' },
  { name: 'host5', address: '192.0.2.5', encap: 'ip' },
  { name: 'host6', address: '192.0.2.6', encap: 'ip' },
] as const satisfies readonly { name: string; address: string; encap: Backend['encap'] }[];

/** Few slots: changes then hit flows often, and are quick to write. */
export const POOLS = [
  { name: 'web', slots: 251, slotBase: 0 },
  { name: 'any', slots: 97, slotBase: 251 },
] as const;
export const SLOT_CAPACITY = 1_024;
export type PoolName = (typeof POOLS)[number]['name'];

const WEB = ['203.0.113.10', '2001:db8:5::10'];
const ANY = ['203.0.113.20', '2001:db8:5::20'];
export const SERVICE_ADDRESSES = [...WEB, ...ANY];
/** Of no service, behind the same router. */
export const STRANGERS = { 4: '203.0.113.99', 6: '2001:db8:5::99' } as const;
/** A router on the way of what the servers answer: it sends the errors. */
export const MIDDLEBOXES = { 4: '192.0.2.250', 6: '2001:db8:b::250' } as const;

export const SERVICES: readonly Service[] = [
  { name: 'http', addresses: WEB, protocol: 'tcp', port: 80, pool: 'web' },
  { name: 'dns', addresses: WEB, protocol: 'udp', port: 53, pool: 'web' },
  { name: 'sticky', addresses: ANY, pool: 'any', affinity: { prefixLength4: 24, prefixLength6: 64 } },
];

export const MUX_SOURCES = ['198.18.64.0/18', '2001:db8:100::/48'];
export const muxSource = (mux: number) => ({
  tunnelSource4: { address: `198.18.${64 + mux}.0`, prefixLength: 24 },
  tunnelSource6: { address: `2001:db8:100:${mux.toString(16)}::`, prefixLength: 112 },
});

export const MTU_BYTES = 1_500;

export function hopTo(host: number): NextHop {
  return { ifindex: 0, destinationMac: macOf(host), sourceMac: '02:00:00:00:00:02' };
}

/** Of a host's interface. */
export function macOf(host: number): string {
  return `02:00:00:00:b0:${(host + 1).toString(16).padStart(2, '0')}`;
}

export function hostAt(address: string): number {
  return HOSTS.findIndex((host) => host.address === address);
}

export function slotBaseOf(pool: string): number {
  return POOLS.find(({ name }) => name === pool)!.slotBase;
}

/** The service that a packet is for, as the reference model takes it; undefined where there is none. */
export function ruleOf(
  destination: string,
  protocol: number,
  port: number,
): (FlowRule & { pool: string }) | undefined {
  const number = { tcp: 6, udp: 17 };
  const service = SERVICES.find(
    (it) =>
      it.addresses.includes(destination) &&
      (it.port === undefined || (it.port === port && number[it.protocol!] === protocol)),
  );
  if (service === undefined) return undefined;
  const pool = POOLS.find(({ name }) => name === service.pool)!;
  return {
    address: destination,
    port: service.port ?? 0,
    protocol: service.port === undefined ? 0 : protocol,
    slotBase: pool.slotBase,
    slotCount: pool.slots,
    pool: pool.name,
    ...(service.affinity && { affinity: service.affinity }),
  };
}

/** A backend on a host, named after it. */
export function backendOn(pool: string, host: number, weight: number): Backend {
  const { name, address, encap } = HOSTS[host]!;
  return { pool, name, address, weight, encap };
}

/** What every mux has at the start: version 1. */
export function firstState(members: Readonly<Record<PoolName, readonly number[]>>): ClusterState {
  const edits: Edit[] = [
    ...POOLS.map(({ name, slots }): Edit => ({ kind: 'putPool', pool: { name, slots } })),
    ...POOLS.flatMap(({ name }) =>
      members[name].map((host): Edit => ({ kind: 'putBackend', backend: backendOn(name, host, 100) })),
    ),
    ...SERVICES.map((service): Edit => ({ kind: 'putService', service })),
  ];
  return { ...planEdits(EMPTY_STATE, edits, { force: false }).after, revision: 1 };
}
