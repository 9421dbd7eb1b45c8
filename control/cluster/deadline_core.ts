// Owns until when a mux may decide: how renewals of its lease and pledges of its peers extend its deadline, and when
// others may take a removed mux for fenced. Pure. Not here: renewing and pledging (member_core.ts), and the program,
// which compares the deadline for every packet.
//
// Every extension counts from the moment before the request was sent, so that however long a request, an answer or a
// process was held up, the deadline passes no later than whoever granted it believes.

/** Of a lease: how far clocks of two hosts may run apart in one. */
export const MARGIN_SHARE = 1 / 6;

export type DeadlineTimes = {
  /** What one proof is worth. */
  readonly leaseMs: number;
  /** By how much clocks of two hosts may disagree over a lease, and then some. */
  readonly marginMs: number;
};

/** Of a lease: after so long without a renewal, peers are asked for their pledge. */
const PLEDGE_AFTER_SHARE = 1 / 2;
/** Of a lease: between two rounds of pledges. */
const PLEDGE_INTERVAL_SHARE = 1 / 8;

/** What a mux has to show for itself. */
export type Standing =
  /** Not in the version in effect here, or removed: it decides nothing. */
  | { readonly kind: 'outside' }
  /** The only member: nobody could be asked instead, so it decides as long as it runs. */
  | { readonly kind: 'alone' }
  | { readonly kind: 'member'; readonly peers: readonly number[] };

/** A round of pledges: probes number `echo`, sent at `sentMs`. */
export type PledgeRound = { readonly echo: number; readonly sentMs: number };

export class Deadline {
  readonly #times: DeadlineTimes;
  #standing: Standing = { kind: 'outside' };
  /** When the last proof was asked for. */
  #proofMs = Number.NEGATIVE_INFINITY;
  #renewedMs = Number.NEGATIVE_INFINITY;
  #round: PledgeRound | undefined;
  /** What was asked for before this proves nothing, whenever the answer comes. */
  #voidedMs = Number.NEGATIVE_INFINITY;

  constructor(times: DeadlineTimes) {
    this.#times = times;
  }

  /** On the clock that events come with; -Infinity: it never may; Infinity: for ever. */
  get atMs(): number {
    if (this.#standing.kind === 'outside') return Number.NEGATIVE_INFINITY;
    if (this.#standing.kind === 'alone') return Number.POSITIVE_INFINITY;
    return this.#proofMs + this.#times.leaseMs;
  }

  /** When the store renewed the lease last; counted from sending. */
  get renewedMs(): number {
    return this.#renewedMs;
  }

  stand(standing: Standing): void {
    this.#standing = standing;
    // Pledges of those who were members before say nothing.
    this.#round = undefined;
  }

  /** The store has renewed the lease, and the mux is registered still. False where that proves nothing any more. */
  renewed(sentMs: number): boolean {
    if (sentMs < this.#voidedMs) return false;
    this.#renewedMs = Math.max(this.#renewedMs, sentMs);
    this.#proofMs = Math.max(this.#proofMs, sentMs);
    this.#round = undefined;
    return true;
  }

  /**
   * What was proven before counts no more: the mux was removed, has given itself up or has slept, and whoever waited for
   * its deadline has gone on.
   */
  void(nowMs: number): void {
    this.#voidedMs = nowMs;
    this.#proofMs = Number.NEGATIVE_INFINITY;
    this.#renewedMs = Number.NEGATIVE_INFINITY;
    this.#round = undefined;
  }

  /** Whether peers are to be asked now; `echo` names the round's probes. */
  askPledges(echo: number, nowMs: number): boolean {
    const { leaseMs } = this.#times;
    if (this.#standing.kind !== 'member' || nowMs - this.#renewedMs < leaseMs * PLEDGE_AFTER_SHARE)
      return false;
    // Who has no proof at all may have missed a version that removed it.
    if (nowMs >= this.atMs) return false;
    if (this.#round !== undefined && nowMs - this.#round.sentMs < leaseMs * PLEDGE_INTERVAL_SHARE)
      return false;
    this.#round = { echo, sentMs: nowMs };
    return true;
  }

  /** `pledgeEchoes`: by peer, the last probe to which it pledged. True where the deadline moved. */
  pledged(pledgeEchoes: ReadonlyMap<number, number>): boolean {
    const round = this.#round;
    if (round === undefined || this.#standing.kind !== 'member') return false;
    const { peers } = this.#standing;
    const pledges = peers.filter((peer) => pledgeEchoes.get(peer) === round.echo).length;
    if (!isMajority(pledges + 1, peers.length + 1) || round.sentMs <= this.#proofMs) return false;
    this.#proofMs = round.sentMs;
    return true;
  }
}

export function isMajority(count: number, of: number): boolean {
  return 2 * count > of;
}

/**
 * When a removed mux is past its deadline for certain. With its lease gone, the store has counted the lease to its end;
 * otherwise its last renewal may have been answered right before it was removed. What it has by pledges, the pledgers
 * wait for: see acknowledgeAtMs().
 */
export function fencedAtMs(
  { removedAtMs, leaseIsGone, leaseMs }: { removedAtMs: number; leaseIsGone: boolean; leaseMs: number },
  marginMs: number,
): number {
  return removedAtMs + (leaseIsGone ? 0 : leaseMs) + marginMs;
}

export type Pledge = {
  readonly atMs: number;
  /** Of the mux that pledged, when it did. */
  readonly version: number;
  /** Of the mux it pledged to. */
  readonly leaseMs: number;
};

/**
 * From when on a mux may acknowledge `version`: a mux that it has told of nothing newer may decide by the version before
 * until its lease has passed.
 */
export function acknowledgeAtMs(version: number, pledges: readonly Pledge[], marginMs: number): number {
  return pledges
    .filter((pledge) => pledge.version < version)
    .reduce(
      (atMs, pledge) => Math.max(atMs, pledge.atMs + pledge.leaseMs + marginMs),
      Number.NEGATIVE_INFINITY,
    );
}
