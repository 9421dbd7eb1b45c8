// Owns which file nodes there are and what state each is in, as all of them agree in the store: one value, whose epoch
// grows with each change. What a node does about it is node.ts; what a change of the namespace waits for, completion.ts.
//
//   nobody ──▶ joining ──▶ online ──▶ draining
//                ▲            │           │
//                └─ offline ◀─┴───────────┘
//
// Offline comes in two steps: said, and certain (`isStopped`). In between the node may still answer clients, so changes
// wait, and it counts as a member.
//
// Without the store, a node goes on serving by pledges of a majority of the members it knows. That nobody does so by an
// old roster while others go on without it rests on three rules. A node acknowledges an epoch only when no pledge of its,
// given at an earlier one, runs any more. A node becomes a member when all members have acknowledged that it joins, and
// counted it. It is no member any more when it said itself that it has stopped, or when its lease has ended and so many
// have acknowledged that it is offline that the others are no majority.
export const NODES_MAX = 64;

export const OFFLINE_CODES = {
  /** It found that it cannot serve the newest revision. */
  invalid: 'cannot apply the namespace',
  unhealthy: 'does not serve',
  /** Others waited for it in vain. */
  late: 'did not apply a change in time',
  silent: 'its lease has ended',
  drained: 'drained',
  operator: 'taken offline by an operator',
  returning: 'called back by an operator',
} as const;
export type OfflineCode = keyof typeof OFFLINE_CODES;
/** Nobody but an operator brings it back. */
const HELD: ReadonlySet<OfflineCode> = new Set(['drained', 'operator']);

export type OfflineReason = { readonly code: OfflineCode /** A sentence. */; readonly text: string };

type Common = {
  readonly name: string;
  /** Of the daemon that the state is of: another one after each start. */
  readonly incarnation: string;
  /** Of the roster that brought it to this state. */
  readonly epoch: number;
  readonly leaseMs: number;
};
export type FileNode =
  | (Common & { readonly state: 'joining' | 'online' | 'draining' })
  | (Common & { readonly state: 'offline'; readonly reason: OfflineReason; readonly isStopped: boolean });

export type Roster = { readonly epoch: number; readonly nodes: ReadonlyMap<string, FileNode> };
export const EMPTY_ROSTER: Roster = { epoch: 0, nodes: new Map() };

/** What a node has, under its lease: all of it is in its durable copy, too. */
export type Acknowledgement = {
  readonly incarnation: string;
  /** Of the namespace, applied. */
  readonly revision: number;
  /** Of the roster; no pledge given at an earlier one runs any more. */
  readonly epoch: number;
};
export type Acknowledgements = ReadonlyMap<string, Acknowledgement>;

/** It may answer clients. */
export function isServing({ state }: FileNode): boolean {
  return state === 'online' || state === 'draining';
}

/** It may answer clients, or may still do so. */
export function isMember(node: FileNode): boolean {
  return node.state === 'offline' ? !node.isStopped : node.state !== 'joining';
}

export function isHeld(node: FileNode): boolean {
  return node.state === 'offline' && HELD.has(node.reason.code);
}

export function membersOf({ nodes }: Roster): FileNode[] {
  return [...nodes.values()].filter(isMember);
}

/**
 * Whom a node without the store asks, and of how many that must be a majority. Who joins, or is offline and perhaps has not
 * stopped, has no say but counts: others may have gone on by a roster in which it has one, or none.
 */
export function votersOf(
  { nodes }: Roster,
  name: string,
): { readonly voters: readonly string[]; readonly of: number } {
  const others = [...nodes.values()].filter((it) => it.name !== name);
  return {
    voters: others.filter(isServing).map((it) => it.name),
    of: 1 + others.filter((it) => isMember(it) || it.state === 'joining').length,
  };
}

type Without<T> = T extends unknown ? Omit<T, 'epoch'> : never;
/** The roster with these nodes in other states. */
export function withNodes(roster: Roster, ...changed: readonly Without<FileNode>[]): Roster {
  const epoch = roster.epoch + 1;
  const nodes = new Map(roster.nodes);
  for (const node of changed) nodes.set(node.name, { ...node, epoch } as FileNode);
  return { epoch, nodes };
}

export function offline(node: FileNode, reason: OfflineReason, isStopped: boolean): Without<FileNode> {
  const { name, incarnation, leaseMs } = node;
  return { name, incarnation, leaseMs, state: 'offline', reason, isStopped };
}

/** All members know that the node joins. */
export function mayEnter(roster: Roster, acknowledgements: Acknowledgements, node: FileNode): boolean {
  return membersOf(roster).every((it) => hasEpoch(it, acknowledgements, node.epoch));
}

/** Nobody can have a majority that pledges to it by a roster of before it was offline. */
export function isUnpledged(roster: Roster, acknowledgements: Acknowledgements, node: FileNode): boolean {
  const members = membersOf(roster);
  // A node that knows of no other needs the store.
  if (members.length === 1) return true;
  const knowing = members.filter(
    (it) => it.name !== node.name && hasEpoch(it, acknowledgements, node.epoch),
  ).length;
  return 2 * knowing >= members.length;
}

function hasEpoch(
  { name, incarnation }: FileNode,
  acknowledgements: Acknowledgements,
  epoch: number,
): boolean {
  const known = acknowledgements.get(name);
  return known?.incarnation === incarnation && known.epoch >= epoch;
}
