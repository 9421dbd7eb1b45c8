// Owns what an operator does to file nodes: the roster that comes of it, or a Failure that says why not.
import { Failure } from '../../../lib/failure.ts';
import { type FileNode, isMember, isServing, offline, type Roster, withNodes } from './roster.ts';

/** New clients go elsewhere, those there are may finish; it stays away until it is brought back. */
export function drainNode(roster: Roster, name: string): Roster {
  const node = nodeCalled(roster, name);
  if (node.state === 'draining') return roster;
  if (node.state !== 'online') throw notServing(node);
  const { epoch: _, ...rest } = node;
  return withNodes(roster, { ...rest, state: 'draining' });
}

/**
 * It stops at once and stays away until it is brought back. `isCertain`: the operator knows that it answers nobody, so
 * that nothing has to wait until that is certain.
 */
export function takeOffline(
  roster: Roster,
  name: string,
  { isCertain, text = 'an operator took it offline' }: { isCertain: boolean; text?: string },
): Roster {
  const node = nodeCalled(roster, name);
  const isStopped = isCertain || !isMember(node);
  if (node.state === 'offline' && node.reason.code === 'operator' && node.isStopped === isStopped)
    return roster;
  return withNodes(roster, offline(node, { code: 'operator', text }, isStopped));
}

/** It joins as soon as it can, or stays after all. */
export function bringOnline(roster: Roster, name: string): Roster {
  const node = nodeCalled(roster, name);
  if (isServing(node)) {
    if (node.state === 'online') return roster;
    const { epoch: _, ...rest } = node;
    return withNodes(roster, { ...rest, state: 'online' });
  }
  if (node.state === 'joining') return roster;
  if (node.state === 'offline' && node.reason.code !== 'operator' && node.reason.code !== 'drained')
    return roster;
  const reason = { code: 'returning', text: 'an operator has called it back' } as const;
  return withNodes(roster, offline(node, reason, node.state === 'offline' && node.isStopped));
}

function nodeCalled({ nodes }: Roster, name: string): FileNode {
  const node = nodes.get(name);
  if (node !== undefined) return node;
  throw new Failure('not_found', `there is no file node ${name}`, {
    reason: nodes.size === 0 ? 'no node serves files' : `there are ${[...nodes.keys()].sort().join(', ')}`,
    remedy: 'see holdfast files nodes',
  });
}

function notServing({ name, state }: FileNode): Failure {
  return new Failure('conflict', `file node ${name} is ${state}`, {
    reason: 'only a node that is online can be drained',
    remedy: 'see holdfast files nodes',
  });
}
