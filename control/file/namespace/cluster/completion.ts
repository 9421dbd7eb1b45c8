// Owns when a change is complete: every node that may answer clients has it, and who cannot have it has stopped and is out
// of the service's pool. Not here: who takes nodes offline (node.ts), and committing.
import { type Acknowledgements, isServing, type Roster } from './roster.ts';

/** What completes a change, as one revision of the store has it. */
export type ClusterState = {
  /** Of the store. */
  readonly at: number;
  readonly roster: Roster;
  readonly acknowledgements: Acknowledgements;
};

/** Whom a change to this revision waits for, in words, by node; none: it is complete. `pool`: nodes that muxes send to. */
export function waitsFor(
  revision: number,
  { roster, acknowledgements }: Omit<ClusterState, 'at'>,
  pool: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const waits = new Map<string, string>();
  for (const node of roster.nodes.values()) {
    const { name, incarnation } = node;
    const known = acknowledgements.get(name);
    if (isServing(node)) {
      // What a daemon before had says nothing of this one.
      const has = known?.incarnation === incarnation ? known.revision : undefined;
      if (has === undefined) waits.set(name, 'has said nothing since its lease ended');
      else if (has < revision) waits.set(name, `has revision ${has}`);
    } else if (node.state === 'offline') {
      if (!node.isStopped) waits.set(name, 'is to be offline, and it is not certain yet that it has stopped');
      else if (pool.has(name)) waits.set(name, 'is offline, and muxes still send clients to it');
    }
  }
  return waits;
}

type Open = { readonly revision: number; readonly at: number; readonly untilMs: number };

export type Outcome =
  | { readonly kind: 'complete'; readonly id: string; readonly revision: number }
  /** It is committed and comes to be everywhere, but not within the limit. */
  | {
      readonly kind: 'incomplete';
      readonly id: string;
      readonly revision: number;
      readonly waits: ReadonlyMap<string, string>;
    };

/** Changes that were committed at this node and are not everywhere yet. */
export class Completions {
  readonly #open = new Map<string, Open>();
  #state: ClusterState | undefined;
  #pool: ReadonlySet<string> = new Set();

  /** As `revision`, at the store's revision `at`. */
  committed(id: string, change: Open): void {
    this.#open.set(id, change);
  }

  saw(state: ClusterState): void {
    this.#state = state;
  }

  pool(members: ReadonlySet<string>): void {
    this.#pool = members;
  }

  /** Those that are over. */
  step(nowMs: number): Outcome[] {
    const outcomes: Outcome[] = [];
    const state = this.#state;
    for (const [id, { revision, at, untilMs }] of this.#open) {
      // A state of before the commit may not show a node that came in between.
      const isSeen = state !== undefined && state.at >= at;
      const waits = isSeen ? waitsFor(revision, state, this.#pool) : UNSEEN;
      if (waits.size === 0) outcomes.push({ kind: 'complete', id, revision });
      else if (nowMs >= untilMs) outcomes.push({ kind: 'incomplete', id, revision, waits });
      else continue;
      this.#open.delete(id);
    }
    return outcomes;
  }
}

const UNSEEN: ReadonlyMap<string, string> = new Map([['this node', 'does not see the store']]);
