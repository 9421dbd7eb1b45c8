// Owns building what a node of role filter has: its program, its role, and what its part in the cluster is made of.
import { totalmem } from 'node:os';
import type { NodeConfig } from '../config/node.ts';
import { FilterProgram } from '../dataplane/filter.ts';
import { affinityBytes } from '../dataplane/filter_object.ts';
import type { PinnedOptions } from '../dataplane/pins.ts';
import { GroupMembership } from '../io/group_membership.ts';
import { tcpConnections } from '../io/tcp_connections.ts';
import { FilterRole, type FilterRoleOptions } from './filter_role.ts';
import type { MuxClusterOptions } from './mux_cluster.ts';
import { affinityTasksOf, filterProgramOf } from './mux_ports.ts';
import type { Problems } from './problems.ts';

/** Clients, unless flowTable.entries says otherwise; less where that is more than a 64th of the memory. */
const AFFINITIES_DEFAULT = 1_048_576;
const MEMORY_PART = 1 / 64;

/** What of a cluster's member follows from its role. */
export type ClusterPart = Pick<MuxClusterOptions, 'role' | 'program' | 'tasks' | 'apply' | 'isServing'>;

export type FilterPart = {
  readonly program: FilterProgram;
  readonly role: FilterRole;
  readonly part: ClusterPart;
};

export async function openFilterPart({
  config,
  hashKey,
  place,
  interfaces,
  problems,
  ...options
}: {
  readonly config: NodeConfig;
  readonly hashKey: Uint8Array;
  readonly place: PinnedOptions;
  readonly interfaces: readonly string[];
  /** There once anything is told. */
  readonly problems: () => Problems;
} & Pick<FilterRoleOptions, 'nextHops' | 'linkOf' | 'tell' | 'onFailure'>): Promise<FilterPart> {
  const program = await FilterProgram.open({
    hashKey,
    slotCapacity: config.slotCapacity,
    affinities: config.flowTable.entries ?? affinitiesFor(totalmem()),
    askPort: config.cluster.askPort,
    ...place,
  });
  const role = new FilterRole({
    ...options,
    program,
    groups: new GroupMembership(interfaces, (error) => {
      if (error === undefined) problems().solve('multicast groups');
      else problems().arise('multicast groups', error);
    }),
    connections: tcpConnections,
    onConnections: (error) => {
      if (error === undefined) problems().solve('connections');
      else problems().arise('connections', error);
    },
    nowMs: Date.now,
  });
  return {
    program,
    role,
    part: {
      role: 'filter',
      program: filterProgramOf(program),
      tasks: affinityTasksOf(role.engine()),
      apply: (version, self) => role.applyVersion(version, self),
      isServing: () => role.attachments().length > 0,
    },
  };
}

function affinitiesFor(memoryBytes: number): number {
  const part = Math.min(1, (memoryBytes * MEMORY_PART) / affinityBytes({ affinities: AFFINITIES_DEFAULT }));
  return Math.floor(AFFINITIES_DEFAULT * part);
}
