// Owns until when a file node may answer clients: how renewals of its lease and pledges of its peers extend that, and until
// when its own pledges bind it. Not here: sending any of them (node.ts).
//
// Every extension counts from before its question was sent, so that whoever waits for the end of it never waits too short.
import { acknowledgeAtMs, isMajority, MARGIN_SHARE, type Pledge } from '../../../cluster/deadline_core.ts';

/** Of a lease: peers are asked after so long without a renewal, and again after so long. */
const ASK_AFTER_SHARE = 1 / 2;
const ASK_INTERVAL_SHARE = 1 / 8;

export type Answer = {
  readonly from: string;
  readonly round: number;
  /** False: the peer knows something newer, or is no member. */
  readonly isPledge: boolean;
  readonly isNewer: boolean;
};

type Round = { readonly number: number; readonly sentMs: number; readonly pledges: Set<string> };

export class Proof {
  readonly #leaseMs: number;
  #provenMs = Number.NEGATIVE_INFINITY;
  #renewedMs = Number.NEGATIVE_INFINITY;
  #rounds = 0;
  #round: Round | undefined;
  /** A peer knows something newer: none of them helps until the store has answered. */
  #isBehind = false;
  #given: Pledge[] = [];

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  get untilMs(): number {
    return this.#provenMs + this.#leaseMs;
  }

  /** The store has renewed the lease, and the roster has this node among those who serve. */
  renewed(sentMs: number): void {
    this.#renewedMs = Math.max(this.#renewedMs, sentMs);
    this.#provenMs = Math.max(this.#provenMs, sentMs);
    this.#isBehind = false;
    this.#round = undefined;
  }

  /** Number of the round that is to be asked now. `begins`: from its durable copy, it needs no proof of before. */
  ask(nowMs: number, begins: boolean): number | undefined {
    if (this.#isBehind || nowMs - this.#renewedMs < this.#leaseMs * ASK_AFTER_SHARE) return undefined;
    // Who let its time run out may have been given up by a roster that it has not seen.
    if (!begins && nowMs >= this.untilMs) return undefined;
    if (this.#round !== undefined && nowMs - this.#round.sentMs < this.#leaseMs * ASK_INTERVAL_SHARE)
      return undefined;
    this.#round = { number: ++this.#rounds, sentMs: nowMs, pledges: new Set() };
    return this.#round.number;
  }

  answered(
    { from, round, isPledge, isNewer }: Answer,
    { voters, of }: { readonly voters: readonly string[]; readonly of: number },
  ): void {
    if (isNewer) {
      this.#isBehind = true;
      this.#round = undefined;
    }
    const current = this.#round;
    if (current === undefined || current.number !== round || !isPledge || !voters.includes(from)) return;
    current.pledges.add(from);
    if (isMajority(current.pledges.size + 1, of)) this.#provenMs = Math.max(this.#provenMs, current.sentMs);
  }

  /** This node has pledged: another may serve by that for the other's lease. */
  pledge(pledge: Pledge): void {
    this.#given = [...this.#given.filter((it) => endOf(it) > pledge.atMs), pledge];
  }

  /** From when on this node may acknowledge the roster's epoch. */
  mayAcknowledgeAtMs(epoch: number): number {
    return this.#given.reduce(
      (atMs, it) => Math.max(atMs, acknowledgeAtMs(epoch, [it], it.leaseMs * MARGIN_SHARE)),
      Number.NEGATIVE_INFINITY,
    );
  }
}

function endOf({ atMs, leaseMs }: Pledge): number {
  return atMs + leaseMs * (1 + MARGIN_SHARE);
}
