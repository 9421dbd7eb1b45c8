// Owns what a file node does about the others: it takes offline who does not apply in time, and says of who is offline that
// it has stopped once that is certain. Every node does; the later in the alphabet the later, so that mostly one does. Pure.
import { MARGIN_SHARE } from '../../../cluster/deadline_core.ts';
import type { ClusterView, FileNodeEffect } from './events.ts';
import { type FileNode, isServing, isUnpledged, type OfflineReason, offline, withNodes } from './roster.ts';

export type WatchTimes = {
  /** A change waits for a node so long. */
  readonly applyLimitMs: number;
  /** A daemon that was started anew has so long to say so. */
  readonly silenceLimitMs: number;
  /** Between one node that does it and the next. */
  readonly staggerMs: number;
};
type Write = FileNodeEffect & { kind: 'writeRoster' };
/** Since when something holds of a node, as long as `what` is the same. */
type Since = { readonly what: string | number; readonly sinceMs: number };

export class Watch {
  readonly #name: string;
  readonly #times: WatchTimes;
  /** When each revision that not everybody has was seen first. */
  #revisions: { readonly revision: number; readonly seenMs: number }[] = [];
  readonly #silent = new Map<string, Since>();
  readonly #offline = new Map<string, Since>();
  #rank = 0;

  constructor(name: string, times: WatchTimes) {
    this.#name = name;
    this.#times = times;
  }

  saw({ namespace, roster, acknowledgements }: ClusterView, nowMs: number): void {
    const { revision } = namespace;
    if (revision > (this.#revisions.at(-1)?.revision ?? 0)) this.#revisions.push({ revision, seenMs: nowMs });
    const nodes = [...roster.nodes.values()];
    const had = nodes.filter(isServing).map(({ name }) => acknowledgements.get(name)?.revision ?? 0);
    this.#revisions = this.#revisions.filter(
      (it) => it.revision === revision || had.some((own) => own < it.revision),
    );
    for (const { name, incarnation, epoch, state } of nodes) {
      const known = acknowledgements.get(name);
      note(this.#offline, name, state === 'offline' ? epoch : undefined, nowMs);
      // Of who is offline all its daemons must be silent, of others the one that the roster has.
      const isSilent = state === 'offline' ? known === undefined : known?.incarnation !== incarnation;
      note(this.#silent, name, isSilent ? state : undefined, nowMs);
    }
    const names = [...acknowledgements.keys()].sort();
    this.#rank = Math.max(0, names.indexOf(this.#name));
  }

  /** One node at a time: the change of another is decided by the roster that comes of it. */
  write(view: ClusterView, nowMs: number): Write | undefined {
    const { roster, acknowledgements } = view;
    const lateMs = nowMs - this.#rank * this.#times.staggerMs;
    for (const node of roster.nodes.values()) {
      if (node.name === this.#name) continue;
      const next = this.#next(node, view, lateMs);
      if (next === undefined) continue;
      return {
        kind: 'writeRoster',
        roster: withNodes(roster, next),
        ifEpoch: roster.epoch,
        ifAcknowledged: { name: node.name, acknowledgement: acknowledgements.get(node.name) },
      };
    }
    return undefined;
  }

  #next(node: FileNode, view: ClusterView, nowMs: number): ReturnType<typeof offline> | undefined {
    if (node.state === 'offline') {
      return !node.isStopped && this.#isOver(node, view, nowMs)
        ? offline(node, node.reason, true)
        : undefined;
    }
    const silent = this.#silent.get(node.name);
    const isSilent = silent !== undefined && nowMs - silent.sinceMs >= this.#times.silenceLimitMs;
    // Who has not come in yet has answered nobody.
    if (node.state === 'joining') return isSilent ? offline(node, SILENT, true) : undefined;
    if (isSilent) return offline(node, SILENT, false);
    const had = view.acknowledgements.get(node.name)?.revision ?? 0;
    const missed = this.#revisions.find(({ revision }) => revision > had);
    if (silent !== undefined || missed === undefined || nowMs - missed.seenMs < this.#times.applyLimitMs)
      return undefined;
    const text = `it had revision ${had} when ${this.#name} waited ${this.#times.applyLimitMs} ms for ${missed.revision}`;
    return offline(node, { code: 'late', text }, false);
  }

  /** Its lease has ended, or no renewal has counted for as long; and no pledges can help it. */
  #isOver(node: FileNode, { roster, acknowledgements }: ClusterView, nowMs: number): boolean {
    if (!isUnpledged(roster, acknowledgements, node)) return false;
    const marginMs = node.leaseMs * MARGIN_SHARE;
    const silent = this.#silent.get(node.name);
    if (silent !== undefined && nowMs - silent.sinceMs >= marginMs) return true;
    const said = this.#offline.get(node.name);
    return said !== undefined && nowMs - said.sinceMs >= node.leaseMs + marginMs;
  }
}

const SILENT: OfflineReason = { code: 'silent', text: 'its lease in the store has ended' };

function note(notes: Map<string, Since>, name: string, what: Since['what'] | undefined, nowMs: number): void {
  if (what === undefined) notes.delete(name);
  else if (notes.get(name)?.what !== what) notes.set(name, { what, sinceMs: nowMs });
}
