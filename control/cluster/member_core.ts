// Owns what a mux does to be a member: when it registers, renews its lease, acknowledges versions, and until when it may
// decide. Pure: events in, effects out. Not here: the store and the program (member.ts), who is heard (heartbeat_core.ts),
// and what the members make of it (leader.ts).
//
//   outside ──register──▶ registered ──a version with it is applied──▶ member ──a head without it──▶ removed
//      ▲                                                                                             │
//      └───────────────────────────── another incarnation, its tables emptied ───────────────────────┘
//
// A member whose lease has ended, by a restart that took long, registers again; as long as no head is without it,
// nothing has changed for anybody.
import type { FailureCode } from '../lib/failure.ts';
import {
  acknowledgeAtMs,
  Deadline,
  type DeadlineTimes,
  type Pledge,
  type Standing,
} from './deadline_core.ts';
import type { Candidate, Member } from './version.ts';

/** Of a lease: between renewals, and before something that failed is tried again. */
const RENEW_SHARE = 1 / 3;
const RETRY_SHARE = 1 / 10;

/** A version as far as membership goes. */
export type Roll = {
  readonly number: number;
  readonly digest: string;
  readonly members: readonly Pick<Member, 'name' | 'id' | 'incarnation'>[];
  /** No incarnation of theirs, or lower, is taken in again. */
  readonly gone: readonly Candidate[];
};

export type MemberEvent =
  /** The newest version in the store; undefined: the cluster has none yet. */
  | { readonly kind: 'head'; readonly head: Roll | undefined }
  /** In effect on each CPU; the pledges that the program gave until after that. */
  | { readonly kind: 'applied'; readonly version: Roll; readonly pledges: readonly Pledge[] }
  /** Whether the program is on an interface, so that it can be heard. */
  | { readonly kind: 'serving'; readonly isServing: boolean }
  /** An operator has it leave; false: it may come back. */
  | { readonly kind: 'draining'; readonly isDraining: boolean }
  /** Its flow tables are empty, and it is another incarnation; of another id where its own was given away. */
  | { readonly kind: 'reset'; readonly self: Candidate }
  | { readonly kind: 'resetFailed' }
  /** Of the request that was asked for last. `sentMs` is what the effect came with. */
  | { readonly kind: 'registered' | 'renewed'; readonly sentMs: number }
  /** registering: another version came first. renewing: the lease, or what stood under it, is gone. */
  | { readonly kind: 'refused' }
  /** Whether it happened is not known where the store did not answer; `code`: of the failure. undefined: a bug. */
  | { readonly kind: 'failed'; readonly code: FailureCode | undefined }
  /** The host slept, as others' time tells: what was proven before counts no more. */
  | { readonly kind: 'slept' }
  /** `probe`: number of the probes that are about to be sent; undefined: none are. `pledgeEchoes` by mux id. */
  | {
      readonly kind: 'tick';
      readonly probe: number | undefined;
      readonly pledgeEchoes: ReadonlyMap<number, number>;
    };

export type MemberEffect =
  /** Under a new lease, in a transaction that holds only while this is the head; undefined: while there is none. */
  | {
      readonly kind: 'register';
      readonly head: Roll | undefined;
      readonly isLeaving: boolean;
      readonly sentMs: number;
    }
  /** Renew the lease, then see that the registration is still this one; where `isLeaving` is another, write it. */
  | { readonly kind: 'renew'; readonly isLeaving: boolean; readonly sentMs: number }
  /** Empty the flow tables and become another incarnation: this one was removed. */
  | { readonly kind: 'reset' }
  /** End the lease: this mux gives itself up. */
  | { readonly kind: 'withdraw' }
  | { readonly kind: 'acknowledge'; readonly version: number; readonly digest: string }
  /** To the program; -Infinity: it may not decide; Infinity: for ever. */
  | { readonly kind: 'deadline'; readonly atMs: number }
  /** The probes of this tick ask for pledges. */
  | { readonly kind: 'askPledges' }
  /** Whom to probe from now on: incarnations by mux id. */
  | { readonly kind: 'peers'; readonly incarnations: ReadonlyMap<number, number> };

export type Phase = 'outside' | 'registered' | 'member';

export type MembershipOptions = DeadlineTimes & {
  /** The program was running before, with the deadline that a daemon before this one gave it. */
  readonly isAdopted: boolean;
  /** That deadline, where the mux begins as the member that it was. */
  readonly provenMs?: number;
};

export class Membership {
  readonly #times: MembershipOptions;
  readonly #deadline: Deadline;
  #self: Candidate;
  #head: Roll | undefined;
  #isHeadKnown = false;
  #applied: Roll | undefined;
  #isServing = false;
  #isDraining = false;
  #isRegistered = false;
  #wasIn = false;
  /** Has registered, or is in a version: what it acknowledges is of the mux that its name means. */
  #isItself = false;
  #keepsDeadline: boolean;
  #isResetting = false;
  #resetMs = Number.NEGATIVE_INFINITY;
  /** One at a time: answers then need no names. */
  #request: 'register' | 'renew' | undefined;
  #nextRequestMs = Number.NEGATIVE_INFINITY;
  #acknowledgement: { version: number; digest: string; atMs: number } | undefined;
  #acknowledged = 0;
  #writtenDeadlineMs: number | undefined;
  #storeAwaySinceMs: number | undefined;
  #outsideSinceMs: number | undefined;

  constructor(self: Candidate, times: MembershipOptions) {
    this.#self = self;
    this.#times = times;
    this.#deadline = new Deadline(times);
    this.#keepsDeadline = times.isAdopted;
    // One that has passed says nothing: a version may have been made without this mux since.
    if (times.provenMs !== undefined) this.#deadline.renewed(times.provenMs - times.leaseMs);
  }

  step(event: MemberEvent, nowMs: number): MemberEffect[] {
    const effects = this.#take(event, nowMs);
    effects.push(...this.#go(nowMs));
    if (this.phase === 'member') this.#outsideSinceMs = undefined;
    else this.#outsideSinceMs ??= nowMs;
    return effects;
  }

  /** Of this mux; changes when it was removed. */
  get self(): Candidate {
    return this.#self;
  }

  get phase(): Phase {
    if (this.#standing().kind !== 'outside') return 'member';
    return this.#isRegistered ? 'registered' : 'outside';
  }

  get deadlineMs(): number {
    return this.#deadline.atMs;
  }

  /** Since when the store has not answered; undefined: it does. */
  get storeAwaySinceMs(): number | undefined {
    return this.#storeAwaySinceMs;
  }

  /** Since when it has not been a member; undefined: it is one. */
  get outsideSinceMs(): number | undefined {
    return this.#outsideSinceMs;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The version that has its pledges out before it may be acknowledged. */
  get heldBack(): { readonly version: number; readonly atMs: number } | undefined {
    return this.#acknowledgement;
  }

  #take(event: MemberEvent, nowMs: number): MemberEffect[] {
    switch (event.kind) {
      case 'head':
        this.#head = event.head;
        this.#isHeadKnown = true;
        this.#stand(nowMs);
        return [];
      case 'applied':
        return this.#apply(event.version, event.pledges, nowMs);
      case 'serving':
        this.#isServing = event.isServing;
        return [];
      case 'draining':
        // Others are to know soon.
        if (this.#isDraining !== event.isDraining) this.#nextRequestMs = nowMs;
        this.#isDraining = event.isDraining;
        return [];
      case 'resetFailed':
        this.#resetMs = nowMs + this.#times.leaseMs * RETRY_SHARE;
        this.#isResetting = false;
        return [];
      case 'reset':
        this.#self = event.self;
        this.#isResetting = false;
        this.#isItself = false;
        this.#stand(nowMs);
        return [{ kind: 'peers', incarnations: this.#peers() }];
      case 'registered':
      case 'renewed':
        this.#isRegistered = true;
        this.#isItself = true;
        // Before a version is in effect by this daemon, its own proof is worth nothing, and that of the one before counts.
        if (this.#applied !== undefined) this.#keepsDeadline = false;
        this.#answered(
          this.#deadline.renewed(event.sentMs) ? nowMs + this.#times.leaseMs * RENEW_SHARE : nowMs,
        );
        return [];
      case 'refused':
        // A registration that another version overtook is tried again with that one; a lost one at once.
        this.#answered(this.#isRegistered ? nowMs : nowMs + this.#times.leaseMs * RETRY_SHARE);
        this.#isRegistered = false;
        return [];
      case 'failed':
        this.#request = undefined;
        this.#storeAwaySinceMs = isAway(event.code) ? (this.#storeAwaySinceMs ?? nowMs) : undefined;
        this.#nextRequestMs = nowMs + this.#times.leaseMs * RETRY_SHARE;
        return [];
      case 'slept':
        this.#keepsDeadline = false;
        this.#deadline.void(nowMs);
        this.#nextRequestMs = nowMs;
        return [];
      case 'tick':
        if (this.#deadline.pledged(event.pledgeEchoes)) this.#keepsDeadline = false;
        // A round counts from now, so an answer to probes that were sent before is none to it.
        if (event.probe === undefined || !this.#deadline.askPledges(event.probe, nowMs)) return [];
        return [{ kind: 'askPledges' }];
    }
  }

  #answered(nextRequestMs: number): void {
    this.#request = undefined;
    this.#storeAwaySinceMs = undefined;
    this.#nextRequestMs = nextRequestMs;
  }

  #apply(version: Roll, pledges: readonly Pledge[], nowMs: number): MemberEffect[] {
    this.#applied = version;
    if (this.#isRegistered) this.#keepsDeadline = false;
    const { number, digest } = version;
    const atMs = Math.max(nowMs, acknowledgeAtMs(number, pledges, this.#times.marginMs));
    this.#acknowledgement = { version: number, digest, atMs };
    this.#stand(nowMs);
    return [{ kind: 'peers', incarnations: this.#peers() }];
  }

  /** Nobody answers a mux that is not in the version: it must not suspect them for that. */
  #peers(): Map<number, number> {
    const version = this.#applied;
    if (version === undefined || !this.#isIn(version)) return new Map();
    const peers = version.members.filter(({ id }) => id !== this.#self.id);
    return new Map(peers.map(({ id, incarnation }) => [id, incarnation]));
  }

  #stand(nowMs: number): void {
    const standing = this.#standing();
    // What a mux that was removed had proven must not count when it is back.
    if (this.#wasIn && standing.kind === 'outside') this.#deadline.void(nowMs);
    this.#wasIn = standing.kind !== 'outside';
    this.#isItself ||= this.#wasIn;
    this.#deadline.stand(standing);
  }

  #standing(): Standing {
    const version = this.#applied;
    if (version === undefined || !this.#isIn(version) || this.#isRemoved()) return { kind: 'outside' };
    const peers = version.members.map(({ id }) => id).filter((id) => id !== this.#self.id);
    return peers.length === 0 ? { kind: 'alone' } : { kind: 'member', peers };
  }

  #isIn({ members }: Roll): boolean {
    const { id, incarnation } = this.#self;
    return members.some((it) => it.id === id && it.incarnation === incarnation);
  }

  /** By a version that is not in effect here yet. */
  #isRemoved(): boolean {
    return this.#head !== undefined && !this.#isIn(this.#head);
  }

  /** What the state asks for, whichever event brought it there. */
  #go(nowMs: number): MemberEffect[] {
    const effects: MemberEffect[] = [];
    if (!this.#isResetting && nowMs >= this.#resetMs && this.#isGone()) {
      this.#isResetting = true;
      effects.push({ kind: 'reset' });
    }
    if (this.#isRegistered && this.#isGivingUp()) {
      this.#isRegistered = false;
      // Others take its deadline for passed as soon as the lease is gone.
      this.#deadline.void(nowMs);
      effects.push({ kind: 'withdraw' });
    }
    const request = this.#nextRequest(nowMs);
    if (request !== undefined) effects.push(request);
    // First the deadline: who acknowledges membership must be bound by it.
    const atMs = this.#deadline.atMs;
    if (atMs !== this.#writtenDeadlineMs && this.#isStandingKnown()) {
      this.#writtenDeadlineMs = atMs;
      effects.push({ kind: 'deadline', atMs });
    }
    const due = this.#acknowledgement;
    if (due !== undefined && this.#isItself && nowMs >= due.atMs) {
      this.#acknowledgement = undefined;
      this.#acknowledged = due.version;
      effects.push({ kind: 'acknowledge', version: due.version, digest: due.digest });
    }
    return effects;
  }

  #nextRequest(nowMs: number): MemberEffect | undefined {
    if (this.#request !== undefined || nowMs < this.#nextRequestMs) return undefined;
    if (this.#isRegistered) {
      this.#request = 'renew';
      return { kind: 'renew', isLeaving: this.#isDraining, sentMs: nowMs };
    }
    if (!this.#mayRegister()) return undefined;
    this.#request = 'register';
    return {
      kind: 'register',
      head: this.#head,
      isLeaving: this.#isDraining,
      sentMs: nowMs,
    };
  }

  #mayRegister(): boolean {
    if (!this.#isHeadKnown || !this.#isServing || this.#isResetting || this.#isGone()) return false;
    const last = this.#lastRoll();
    if (last !== undefined && this.#isIn(last)) return true;
    return !this.#isDraining && (this.#head === undefined || this.#applied?.number === this.#head.number);
  }

  /** A mux that leaves says still that it has the version without it: the others wait for that. */
  #isGivingUp(): boolean {
    if (!this.#isServing) return true;
    const last = this.#lastRoll();
    if (!this.#isDraining || (last !== undefined && this.#isIn(last))) return false;
    return last === undefined || this.#acknowledged >= last.number;
  }

  /** A store that has lost the cluster has no head; then it is what is in effect that counts. */
  #lastRoll(): Roll | undefined {
    return this.#head ?? this.#applied;
  }

  #isGone(): boolean {
    const { id, incarnation } = this.#self;
    const head = this.#head;
    if (head === undefined || this.#isIn(head)) return false;
    return head.gone.some((it) => it.id === id && it.incarnation >= incarnation);
  }

  /** A program that runs on keeps the deadline that a daemon before has earned, until this one has earned another. */
  #isStandingKnown(): boolean {
    if (!this.#keepsDeadline) return true;
    const kind = this.#standing().kind;
    return kind === 'alone' || (kind === 'outside' && (this.#applied !== undefined || this.#isRemoved()));
  }
}

/** Others are what a store says that answers. */
function isAway(code: FailureCode | undefined): boolean {
  return code === 'unavailable' || code === 'timeout';
}
