// Owns the list of all commands, in the order in which help shows them.
import type { Command } from './command.ts';
import { AFFINITY_COMMANDS } from './commands/affinity.ts';
import { CLUSTER_COMMANDS } from './commands/cluster.ts';
import { FILES_COMMANDS } from './commands/files.ts';
import { FLOW_COMMANDS } from './commands/flows.ts';
import { NAMESPACE_COMMANDS } from './commands/namespace.ts';
import { NODE_COMMANDS } from './commands/node.ts';
import { NODES_COMMANDS } from './commands/nodes.ts';
import { OBJECT_COMMANDS } from './commands/objects.ts';
import { OBSERVE_COMMANDS } from './commands/observe.ts';
import { TRUST_COMMANDS } from './commands/trust.ts';

/** Commands of two words, by the first. */
export const GROUPS: Readonly<Record<string, string>> = {
  services: 'Services: addresses that clients talk to',
  pools: 'Pools: backends that serve the same',
  backends: 'Backends: servers that a pool sends flows to',
  namespace: 'The namespace: folders and links that clients of the file service see',
  storages: 'Storages: what links of the namespace lead into',
  files: 'Serving files at this node: who is served, and how fast',
  nodes: 'Nodes of the cluster: who takes part, and who hears whom',
  cluster: 'The cluster itself: its authority, who joins and leaves, certificates',
  users: 'Users of the API: who may ask from other hosts, and what',
  flows: 'Flows of slots that are being moved: who keeps them, and where they go',
  affinity: 'Clients that keep one backend for all their connections: who answers them, and why',
  config: 'The configuration file of this node',
};

export const COMMANDS: readonly Command[] = [
  ...OBSERVE_COMMANDS,
  ...CLUSTER_COMMANDS,
  ...OBJECT_COMMANDS,
  ...NAMESPACE_COMMANDS,
  ...FILES_COMMANDS,
  ...NODES_COMMANDS,
  ...TRUST_COMMANDS,
  ...FLOW_COMMANDS,
  ...AFFINITY_COMMANDS,
  ...NODE_COMMANDS,
];
