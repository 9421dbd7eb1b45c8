// Owns what the lab's daemons are told: each node's file, and the cluster's objects. Pure.
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import type { NodeConfig, nodeConfigSchema } from '../../control/config/node.ts';
import type { Document } from '../../control/config/objects.ts';
import { birdSocketOf, routesDirectoryOf } from './bird.ts';
import { etcdUrl } from './etcd.ts';
import { ECHO_PORT, GUE_PORT, HTTP_PORT, type LabNode, type LabPlan, type MuxNode } from './plan.ts';
import { labDirectory, pinDirectory } from './state.ts';

/** All backends of a lab are in one pool. */
export const POOL = 'lab';
export const SLOTS = 65_537;
export const WEIGHT = 100;
/** Twenty daemons may share two cores here: to start one again takes seconds. */
export const LEASE_MS = 10_000;
/** BGP of the lab takes milliseconds. */
export const LEAVE_MS = 1_000;

export type DaemonPlace = {
  readonly name: string;
  readonly netns: string;
  /** Has the configuration, the log and what the daemon keeps. */
  readonly directory: string;
  readonly socket: string;
};

export function placeOf(plan: LabPlan, { name, netns }: LabNode): DaemonPlace {
  const directory = join(labDirectory(plan.name), name);
  return { name, netns, directory, socket: join(directory, 'holdfast.sock') };
}

/** The file of a mux or a backend. */
export function nodeFileOf(plan: LabPlan, node: LabNode): string {
  const { name, directory, socket } = placeOf(plan, node);
  const config: z.input<typeof nodeConfigSchema> = {
    node: name,
    roles: [node.kind === 'mux' ? 'mux' : 'backend'] satisfies NodeConfig['roles'],
    interface: 'eth0',
    xdpMode: 'native',
    ...(node.kind === 'mux' && { tunnel: tunnelOf(node as MuxNode) }),
    guePort: GUE_PORT,
    cluster: { leaseMs: LEASE_MS },
    ...(node.kind === 'mux' && { flowTable: { entries: plan.flowEntries } }),
    ...(node.kind === 'mux' && plan.routes === 'bird' && { routes: routesOf(plan, node as MuxNode) }),
    ...storeOf(plan),
    stateDirectory: directory,
    bpfDirectory: join(pinDirectory(plan.name), name),
    api: { socket },
  };
  return stringify(config);
}

function routesOf(plan: LabPlan, node: MuxNode): z.input<typeof nodeConfigSchema>['routes'] {
  return {
    mode: 'bird',
    birdSocket: birdSocketOf(plan, node.name),
    directory: routesDirectoryOf(plan, node),
    leaveMs: LEAVE_MS,
  };
}

function storeOf({ name, etcd }: LabPlan): Pick<z.input<typeof nodeConfigSchema>, 'store' | 'etcd'> {
  if (etcd === undefined) return { store: `sqlite=${join(labDirectory(name), 'store.db')}` };
  return { store: `etcd=${etcdUrl(etcd)}`, etcd: { insecure: true } };
}

/** The services in both forms: the first address of a family has its ports listed, the other balances every port. */
export function documentOf(plan: LabPlan, mtuBytes?: number): Document {
  const { services4, services6 } = plan;
  const listed = { addresses: [services4[0]!, services6[0]!], pool: POOL };
  return {
    services: [
      { name: 'http', ...listed, protocol: 'tcp', port: HTTP_PORT },
      { name: 'echo-tcp', ...listed, protocol: 'tcp', port: ECHO_PORT },
      { name: 'echo-udp', ...listed, protocol: 'udp', port: ECHO_PORT },
      { name: 'whole', addresses: [services4[1]!, services6[1]!], pool: POOL },
    ],
    pools: [{ name: POOL, slots: SLOTS }],
    backends: plan.backends.map(({ name, tunnelAddress, encap }) => ({
      pool: POOL,
      name,
      address: tunnelAddress,
      weight: WEIGHT,
      encap,
      ...(encap === 'gue' && { guePort: GUE_PORT }),
      ...(mtuBytes !== undefined && { mtuBytes }),
    })),
  };
}

function tunnelOf({ tunnelSource4, tunnelSource6 }: MuxNode): NodeConfig['tunnel'] {
  const text = ({ address, prefixLength }: MuxNode['tunnelSource4']) => `${address}/${prefixLength}`;
  return { source4: text(tunnelSource4), source6: text(tunnelSource6) };
}
