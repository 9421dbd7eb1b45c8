// Owns what a node has to look at before it applies a revision, and in which words it says that it cannot. Looking is the
// port's: a driver with the node's storages.

import type { Link, Namespace, Storage } from '../document.ts';
import { pathOf } from '../lookup.ts';

/** What can be wrong with a link here. */
export type LinkProblem =
  | { readonly kind: 'noStorage' }
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'otherStorage'; readonly id: number }
  | { readonly kind: 'noHandles'; readonly reason: string }
  | { readonly kind: 'noTarget'; readonly reason: string };

/** Undefined: this node can serve it. An answer is due within the time that a change waits, or the node is late. */
export interface ValidationPort {
  check(link: Link, storage: Storage): Promise<LinkProblem | undefined>;
}

/** Links that are new, or lead into a storage that is another one now. `before`: what this node serves; undefined: nothing. */
export function linksToCheck(before: Namespace | undefined, after: Namespace): Link[] {
  return [...after.entries.values()].filter((entry): entry is Link => {
    if (entry.kind !== 'link') return false;
    const known = before?.entries.get(entry.id);
    if (known?.kind !== 'link' || known.storage !== entry.storage || known.target !== entry.target)
      return true;
    return before?.storages.get(entry.storage)?.id !== after.storages.get(entry.storage)?.id;
  });
}

/** A sentence for whoever sees the node offline. `others`: links with problems beside this one. */
export function problemText(namespace: Namespace, link: Link, problem: LinkProblem, others = 0): string {
  const { storage, target } = link;
  const more = others === 0 ? '' : `; so it is with ${others} more`;
  return `link ${pathOf(namespace, link.id)} to ${storage}:${target}: ${WORDS[problem.kind](problem as never, storage)}${more}`;
}

const WORDS: {
  readonly [Kind in LinkProblem['kind']]: (
    problem: Extract<LinkProblem, { kind: Kind }>,
    storage: string,
  ) => string;
} = {
  noStorage: (_, storage) => `this node has no storage ${storage} in its file`,
  unreachable: ({ reason }, storage) => `storage ${storage} does not answer (${reason})`,
  otherStorage: ({ id }, storage) =>
    `what is mounted for storage ${storage} here is the storage with id ${id}`,
  noHandles: ({ reason }, storage) => `handles of storage ${storage} do not work here (${reason})`,
  noTarget: ({ reason }) => `the directory cannot be opened here (${reason})`,
};
