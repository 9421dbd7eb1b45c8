// Owns reading what the program has heard of other muxes, and the one member that user space writes. What follows from
// it is control/cluster's.
import {
  copiesTakenCodec,
  Limit,
  PEER_STATE_LAYOUT,
  PeerFlag,
  peerStateCodec,
  type PeerState as Record,
} from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';

export type PeerState = {
  /** When its last answer came, in the program's time; 0n: never. */
  readonly heardNs: bigint;
  /** When the program pledged to it last; 0n: never. */
  readonly pledgedNs: bigint;
  readonly pledgedVersion: number;
  /** What it last said of itself. */
  readonly version: number;
  readonly incarnation: number;
  /** Its cluster time, ticks, when it answered. */
  readonly time: number;
  readonly isPastDeadline: boolean;
  /** Number of our probe that it answered last. */
  readonly echo: number;
  /** Number of our last probe that it pledged to; 0n: none. */
  readonly pledgeEcho: bigint;
  readonly copyRound: number;
};

const { sizeBytes: RECORD_BYTES } = peerStateCodec;
const offset = (member: keyof Record): number => memberOffset(PEER_STATE_LAYOUT, member);
const COPY_ROUND = offset('copy_round');
const TAKEN_WORDS = copiesTakenCodec.sizeBytes / 4;

export class PeerStates {
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly #taken: Uint32Array;
  readonly #grace: GracePeriods;

  readonly #count: number;

  /** `records` and `taken` are the mapped sections, of `count` peers and nobody. */
  constructor(
    records: ArrayBuffer,
    taken: ArrayBuffer,
    grace: GracePeriods,
    count: number = Limit.LIMIT_MUXES,
  ) {
    this.#count = count;
    this.#grace = grace;
    this.#view = new DataView(records);
    this.#words = new Uint32Array(records);
    this.#taken = new Uint32Array(taken);
  }

  /** Each member is whole; they need not be of the same answer. */
  state(id: number): PeerState {
    this.#checkId(id);
    const it = peerStateCodec.read(this.#view, id * RECORD_BYTES);
    return {
      heardNs: it.heard_ns,
      pledgedNs: it.pledged_ns,
      pledgedVersion: it.pledged_version,
      version: it.version,
      incarnation: it.incarnation,
      time: it.time,
      isPastDeadline: (it.flags & PeerFlag.PEER_PAST_DEADLINE) !== 0,
      echo: it.echo,
      pledgeEcho: it.pledge_echo,
      copyRound: it.copy_round,
    };
  }

  /** Begins a round of messages of flows to a peer: answers of other rounds count no more. */
  async beginCopyRound(id: number, round: number): Promise<void> {
    this.#checkId(id);
    Atomics.store(this.#words, (id * RECORD_BYTES + COPY_ROUND) / 4, round);
    // A program that has compared the round before with an answer is about to note it.
    await this.#grace.wait();
    for (let at = id * TAKEN_WORDS; at < (id + 1) * TAKEN_WORDS; at++) Atomics.store(this.#taken, at, 0);
  }

  /** Bit n % 32 of word n / 32: the peer has taken message n of its round. What is marked stays so in the round. */
  copiesTaken(id: number): Uint32Array {
    this.#checkId(id);
    return this.#taken.slice(id * TAKEN_WORDS, (id + 1) * TAKEN_WORDS);
  }

  #checkId(id: number): void {
    if (!Number.isInteger(id) || id < 1 || id >= this.#count)
      throw new RangeError(`the id of a member is 1-${this.#count - 1}, got ${id}`);
  }
}
