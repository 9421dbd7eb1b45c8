// Owns what is told where a node is not what it was to be in its cluster: causes, and what to do.
import { Failure } from '../lib/failure.ts';
import type { AuthorityState } from './authority_core.ts';

export function wasRemoved(node: string): Failure {
  return new Failure('forbidden', `${node} is no node of the cluster any more`, {
    reason: 'It was removed, or another node has joined under its name.',
    remedy: 'on a mux of the cluster: holdfast cluster token; then there: holdfast cluster join TOKEN',
  });
}

export function hasNotJoined(name: string, isTaken: boolean): Failure {
  if (isTaken) {
    return new Failure('conflict', `another node has joined the cluster as ${name}`, {
      reason: 'This one has not joined, and has the same name.',
      remedy: `give this one another name (node in its configuration); or, if that node is gone: holdfast nodes remove ${name}`,
    });
  }
  return new Failure('configuration', 'this node has not joined the cluster', {
    reason: 'The cluster has an authority, and this node no certificate of it.',
    remedy: 'on a mux of the cluster: holdfast cluster token; then here: holdfast cluster join TOKEN',
  });
}

export function mayHaveBegun(cause: unknown): Failure {
  return new Failure('unavailable', 'it is not known whether the cluster has begun', {
    cause,
    remedy:
      'see holdfast cluster members once the store answers: this node is of a cluster then, or holdfast cluster init can be repeated',
  });
}

export function isAnotherCluster(own: string, authority: AuthorityState | undefined): Failure {
  return new Failure('conflict', `the store does not have cluster ${own}, which this node is of`, {
    reason:
      authority === undefined
        ? 'It has no authority.'
        : `It has ${authority.cluster}; both may not be in one.`,
    remedy:
      'check store in the configuration, or put back a copy of the store; or begin anew: holdfast cluster init, and have the others join',
  });
}

export function anotherStore(cluster: string | undefined): Failure {
  return new Failure('conflict', 'the node that wants to join has another store than the cluster', {
    reason:
      cluster === undefined
        ? 'There is no authority in its store. The token was not used up.'
        : `Its store has cluster ${cluster}. The token was not used up.`,
    remedy: 'give it the same store (and etcd.prefix) as the nodes of the cluster have',
  });
}
