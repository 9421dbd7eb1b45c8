// Owns what one file node does to be one of several: it validates and applies each revision, says so under its lease, comes
// and goes by the roster, and answers clients only as long as nobody can have gone on without it. Pure: events in,
// effects out. Not here: what it sees of the others' faults (watch.ts), and when a change is complete (completion.ts).

import { MARGIN_SHARE } from '../../../cluster/deadline_core.ts';
import type { Namespace } from '../document.ts';
import type { ClusterView, Copy, FileNodeEffect, FileNodeEvent } from './events.ts';
import { Proof } from './proof.ts';
import {
  type Acknowledgement,
  EMPTY_ROSTER,
  type FileNode,
  isHeld,
  isMember,
  isServing,
  mayEnter,
  type OfflineReason,
  offline,
  type Roster,
  votersOf,
  withNodes,
} from './roster.ts';
import { Watch, type WatchTimes } from './watch.ts';

/** Of a lease: between renewals, and before something that failed is tried again. */
const RENEW_SHARE = 1 / 3;
const RETRY_SHARE = 1 / 10;
/** Before what could not be applied is validated again. */
const VALIDATE_RETRY_MS = 1_000;

export type FileNodeOptions = WatchTimes & {
  readonly name: string;
  readonly incarnation: string;
  readonly leaseMs: number;
  /** What the daemon before kept. */
  readonly copy?: Copy | undefined;
};

type Effects = FileNodeEffect[];

export class FileNodeCore {
  readonly #options: FileNodeOptions;
  readonly #proof: Proof;
  readonly #watch: Watch;
  /** Pledges of a daemon before this one have ended by then. */
  #quietUntilMs: number | undefined;
  #view: ClusterView | undefined;
  /** It goes on as the member that the daemon before was, until the roster has this one. */
  #isOfCopy: boolean;
  #applied: Namespace | undefined;
  #validating: Namespace | undefined;
  #problem: string | undefined;
  #validateAtMs = Number.NEGATIVE_INFINITY;
  #health: string | undefined;
  #kept: Copy | undefined;
  #keeping: Copy | undefined;
  #keepAtMs = Number.NEGATIVE_INFINITY;
  #lease: 'none' | 'held' = 'none';
  #leaseRequest = false;
  #leaseAtMs = Number.NEGATIVE_INFINITY;
  #said: Acknowledgement | undefined;
  #saying: Acknowledgement | undefined;
  #sayAtMs = Number.NEGATIVE_INFINITY;
  #stop: 'no' | 'asked' | 'done' = 'no';
  #isDraining = false;
  #isDrained = false;
  #isWriting = false;
  #writtenEpoch = 0;
  #writeAtMs = Number.NEGATIVE_INFINITY;
  #deadlineMs = Number.NEGATIVE_INFINITY;

  constructor(options: FileNodeOptions) {
    this.#options = options;
    this.#proof = new Proof(options.leaseMs);
    this.#watch = new Watch(options.name, options);
    this.#kept = options.copy;
    this.#isOfCopy = options.copy?.isMember ?? false;
  }

  step(event: FileNodeEvent, nowMs: number): FileNodeEffect[] {
    this.#quietUntilMs ??= nowMs + this.#options.leaseMs * (1 + MARGIN_SHARE);
    const effects: Effects = [];
    this.#take(event, effects, nowMs);
    this.#go(effects, nowMs);
    return effects;
  }

  /** What clients see. */
  get applied(): Namespace | undefined {
    return this.#applied;
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Why this node cannot serve. */
  get trouble(): OfflineReason | undefined {
    if (this.#health !== undefined) return { code: 'unhealthy', text: this.#health };
    if (this.#problem !== undefined) return { code: 'invalid', text: this.#problem };
    return undefined;
  }

  #take(event: FileNodeEvent, effects: Effects, nowMs: number): void {
    switch (event.kind) {
      case 'saw':
        // It may be what was wrong that has changed.
        if (event.view.namespace.revision !== this.#view?.namespace.revision)
          this.#validateAtMs = Number.NEGATIVE_INFINITY;
        this.#view = event.view;
        this.#watch.saw(event.view, nowMs);
        this.#see();
        break;
      case 'validated':
        this.#validated(event.revision, event.problem, effects, nowMs);
        break;
      case 'kept':
        this.#kept = event.copy;
        this.#keeping = undefined;
        break;
      case 'keepFailed':
        this.#keeping = undefined;
        this.#problem = event.problem;
        this.#keepAtMs = nowMs + VALIDATE_RETRY_MS;
        this.#validateAtMs = this.#keepAtMs;
        break;
      case 'leased':
        this.#leaseRequest = false;
        this.#lease = 'held';
        this.#said = event.acknowledgement;
        this.#leaseAtMs = nowMs;
        break;
      case 'renewed':
        this.#leaseRequest = false;
        this.#leaseAtMs = nowMs + this.#options.leaseMs * RENEW_SHARE;
        if (event.node !== undefined && this.#isMine(event.node)) this.#proof.renewed(event.sentMs);
        break;
      case 'leaseLost':
        this.#leaseRequest = false;
        this.#lease = 'none';
        this.#said = undefined;
        this.#leaseAtMs = nowMs;
        break;
      case 'leaseFailed':
        this.#leaseRequest = false;
        this.#leaseAtMs = nowMs + this.#options.leaseMs * RETRY_SHARE;
        break;
      case 'acknowledged':
        if (this.#lease === 'held') this.#said = event.acknowledgement;
        this.#saying = undefined;
        break;
      case 'acknowledgeFailed':
        this.#saying = undefined;
        this.#sayAtMs = nowMs + this.#options.leaseMs * RETRY_SHARE;
        break;
      case 'rosterWritten':
        this.#isWriting = false;
        if (!event.succeeded) {
          this.#writtenEpoch = 0;
          this.#writeAtMs = nowMs + this.#options.leaseMs * RETRY_SHARE;
        }
        break;
      case 'health':
        this.#health = event.problem;
        break;
      case 'stopped':
        if (this.#stop === 'asked') this.#stop = 'done';
        break;
      case 'drained':
        this.#isDrained = true;
        break;
      case 'asked':
        this.#answer(event, effects, nowMs);
        break;
      case 'answered':
        if (this.#standing() !== undefined) this.#proof.answered(event, this.#voters());
        break;
      case 'tick':
        break;
    }
  }

  #go(effects: Effects, nowMs: number): void {
    this.#validate(effects, nowMs);
    this.#leave(effects);
    this.#keep(effects, nowMs);
    this.#useLease(effects, nowMs);
    this.#say(effects, nowMs);
    this.#writeRoster(effects, nowMs);
    this.#askPeers(effects, nowMs);
    const atMs = this.#standing() === undefined ? Number.NEGATIVE_INFINITY : this.#proof.untilMs;
    if (atMs === this.#deadlineMs) return;
    this.#deadlineMs = atMs;
    effects.push({ kind: 'deadline', atMs });
  }

  // What this node is.

  get #roster(): Roster {
    return this.#view?.roster ?? this.#kept?.roster ?? EMPTY_ROSTER;
  }

  get #own(): FileNode | undefined {
    return this.#roster.nodes.get(this.#options.name);
  }

  #isMine(node: FileNode): boolean {
    return isServing(node) && node.incarnation === this.#options.incarnation;
  }

  /** As whom it answers clients; undefined: it does not. */
  #standing(): FileNode | undefined {
    const own = this.#own;
    if (own === undefined || !isServing(own) || this.#applied === undefined || this.#stop !== 'no')
      return undefined;
    if (this.#isMine(own)) return own;
    const kept = this.#kept?.roster.nodes.get(own.name);
    return this.#isOfCopy && kept?.incarnation === own.incarnation ? own : undefined;
  }

  #voters(): ReturnType<typeof votersOf> {
    return votersOf(this.#roster, this.#options.name);
  }

  #see(): void {
    const own = this.#own;
    if (own?.incarnation === this.#options.incarnation) this.#isOfCopy = false;
    if (own?.state !== 'draining') {
      this.#isDraining = false;
      this.#isDrained = false;
    }
  }

  // Applying.

  #validate(effects: Effects, nowMs: number): void {
    if (this.#validating !== undefined || nowMs < this.#validateAtMs) return;
    const after = this.#view?.namespace ?? this.#kept?.namespace;
    if (after === undefined) return;
    const isNew = this.#applied === undefined || after.revision > this.#applied.revision;
    if (!isNew && this.#problem === undefined) return;
    this.#validating = after;
    // A node that does not serve looks at all of it: something may have gone in the meantime.
    const before = this.#standing() === undefined ? undefined : this.#applied;
    effects.push({ kind: 'validate', before, after });
  }

  #validated(revision: number, problem: string | undefined, effects: Effects, nowMs: number): void {
    const namespace = this.#validating;
    if (namespace?.revision !== revision) return;
    this.#validating = undefined;
    this.#problem = problem;
    if (problem !== undefined) {
      this.#validateAtMs = nowMs + VALIDATE_RETRY_MS;
      return;
    }
    if (this.#applied !== undefined && revision <= this.#applied.revision) return;
    this.#applied = namespace;
    effects.push({ kind: 'apply', namespace });
  }

  /** One copy at a time; the newest is next. */
  #keep(effects: Effects, nowMs: number): void {
    if (this.#keeping !== undefined || nowMs < this.#keepAtMs) return;
    if (this.#view === undefined || this.#applied === undefined) return;
    const { roster } = this.#view;
    const isMine = this.#stop !== 'done' && this.#own !== undefined && isMember(this.#own);
    const copy: Copy = { namespace: this.#applied, roster, isMember: isMine };
    const kept = this.#kept;
    if (
      kept?.namespace.revision === copy.namespace.revision &&
      kept.roster.epoch === roster.epoch &&
      kept.isMember === copy.isMember
    )
      return;
    this.#keeping = copy;
    effects.push({ kind: 'keep', copy });
  }

  // What it says of itself.

  /** All that others rely on is in the durable copy first. */
  #acknowledgement(nowMs: number): Acknowledgement {
    const { incarnation } = this.#options;
    const kept = this.#kept;
    const epoch = kept?.roster.epoch ?? 0;
    const isFree = nowMs >= (this.#quietUntilMs ?? nowMs) && nowMs >= this.#proof.mayAcknowledgeAtMs(epoch);
    const revision = this.#applied === undefined ? 0 : (kept?.namespace.revision ?? 0);
    return { incarnation, revision, epoch: isFree ? epoch : (this.#said?.epoch ?? 0) };
  }

  #useLease(effects: Effects, nowMs: number): void {
    if (this.#leaseRequest || nowMs < this.#leaseAtMs || this.#view === undefined) return;
    if (this.#saying !== undefined) return;
    this.#leaseRequest = true;
    if (this.#lease === 'none')
      effects.push({ kind: 'lease', acknowledgement: this.#acknowledgement(nowMs) });
    else effects.push({ kind: 'renew', sentMs: nowMs });
  }

  #say(effects: Effects, nowMs: number): void {
    const said = this.#said;
    if (said === undefined || this.#saying !== undefined || nowMs < this.#sayAtMs) return;
    const next = this.#acknowledgement(nowMs);
    if (next.revision === said.revision && next.epoch === said.epoch) return;
    this.#saying = next;
    effects.push({ kind: 'acknowledge', acknowledgement: next });
  }

  // Coming and going.

  /** Stops answering where the roster has it offline, or it cannot go on. */
  #leave(effects: Effects): void {
    const own = this.#own;
    if (own === undefined) return;
    if (own.state === 'draining' && this.#isMine(own) && !this.#isDraining) {
      this.#isDraining = true;
      effects.push({ kind: 'drain' });
    }
    if (this.#stop !== 'no' || !this.#isLeaving(own)) return;
    this.#stop = 'asked';
    effects.push({ kind: 'stop' });
  }

  #isLeaving(own: FileNode): boolean {
    if (own.state === 'offline') return !own.isStopped;
    if (!isServing(own)) return false;
    // Once it has stopped it comes back as a node that joins, whatever has changed meanwhile.
    return this.#stop !== 'no' || this.trouble !== undefined || (own.state === 'draining' && this.#isDrained);
  }

  /** It could serve the newest revision, and others know that it has it. */
  #isReady(): boolean {
    const revision = this.#view?.namespace.revision;
    return (
      this.#lease === 'held' &&
      this.trouble === undefined &&
      this.#applied?.revision === revision &&
      this.#said?.revision === revision
    );
  }

  #writeRoster(effects: Effects, nowMs: number): void {
    const view = this.#view;
    if (view === undefined || this.#isWriting || this.#lease !== 'held' || nowMs < this.#writeAtMs) return;
    // It is not seen yet what was written last.
    if (view.roster.epoch < this.#writtenEpoch) return;
    const write = this.#ownWrite(view, nowMs) ?? this.#watch.write(view, nowMs);
    if (write === undefined) return;
    this.#isWriting = true;
    this.#writtenEpoch = write.roster.epoch;
    effects.push(write);
  }

  #ownWrite(view: ClusterView, nowMs: number): (FileNodeEffect & { kind: 'writeRoster' }) | undefined {
    const { roster, namespace } = view;
    const next = this.#nextState(view, nowMs);
    if (next === undefined) return undefined;
    return {
      kind: 'writeRoster',
      roster: withNodes(roster, next),
      ifEpoch: roster.epoch,
      ...(next.state !== 'offline' && { ifRevision: namespace.revision }),
    };
  }

  #nextState(
    { roster, acknowledgements }: ClusterView,
    nowMs: number,
  ): Parameters<typeof withNodes>[1] | undefined {
    const own = this.#own;
    const { name, incarnation, leaseMs } = this.#options;
    const self = { name, incarnation, leaseMs };
    if (own !== undefined && this.#isLeaving(own)) {
      return this.#hasStopped(nowMs) ? offline(own, this.#reason(own), true) : undefined;
    }
    if (!this.#isReady()) return undefined;
    if (own === undefined || own.state === 'offline') {
      if (own !== undefined && isHeld(own)) return undefined;
      this.#stop = 'no';
      return { ...self, state: 'joining' };
    }
    if (own.incarnation !== incarnation) return { ...self, state: own.state };
    if (own.state === 'joining' && mayEnter(roster, acknowledgements, own))
      return { ...self, state: 'online' };
    return undefined;
  }

  /** No reply is due, no pledge runs, and after a restart it would know that it does not serve. */
  #hasStopped(nowMs: number): boolean {
    return (
      this.#stop === 'done' &&
      this.#kept?.isMember === false &&
      nowMs >= (this.#quietUntilMs ?? nowMs) &&
      nowMs >= this.#proof.mayAcknowledgeAtMs(Number.POSITIVE_INFINITY)
    );
  }

  #reason(own: FileNode): OfflineReason {
    if (own.state === 'offline') return own.reason;
    if (own.state === 'draining' && this.#isDrained) return { code: 'drained', text: 'it was drained' };
    return this.trouble ?? { code: 'returning', text: 'it had stopped for a moment' };
  }

  // Without the store.

  #askPeers(effects: Effects, nowMs: number): void {
    const { voters: peers } = this.#voters();
    const { leaseMs } = this.#options;
    if (peers.length === 0 || this.#standing() === undefined || this.trouble !== undefined) return;
    const round = this.#proof.ask(nowMs, this.#isOfCopy);
    if (round === undefined) return;
    const { epoch } = this.#roster;
    effects.push({ kind: 'ask', peers, round, epoch, revision: this.#applied!.revision, leaseMs });
  }

  #answer(event: FileNodeEvent & { kind: 'asked' }, effects: Effects, nowMs: number): void {
    const { from, round, epoch, revision, leaseMs } = event;
    const roster = this.#roster;
    const known = this.#view?.namespace.revision ?? this.#applied?.revision ?? 0;
    const isNewer = roster.epoch > epoch || known > revision;
    const asker = roster.nodes.get(from);
    const isPledge = !isNewer && asker !== undefined && isServing(asker) && this.#standing() !== undefined;
    if (isPledge) this.#proof.pledge({ atMs: nowMs, version: epoch, leaseMs });
    effects.push({ kind: 'answer', to: from, round, isPledge, isNewer });
  }
}
