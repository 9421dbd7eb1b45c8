// Owns reading what the program has heard of other muxes, and the one member that user space writes. What follows from
// it is control/cluster's.
import {
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
  /** Bit n: it has taken message n of the round. */
  readonly copyAcked: bigint;
};

const { sizeBytes: RECORD_BYTES } = peerStateCodec;
const offset = (member: keyof Record): number => memberOffset(PEER_STATE_LAYOUT, member);
const COPY_ACKED = offset('copy_acked');
const COPY_ROUND = offset('copy_round');

export class PeerStates {
  readonly #view: DataView;
  readonly #words64: BigUint64Array;
  readonly #words32: Uint32Array;
  readonly #grace: GracePeriods;

  /** `records` is the mapped section. */
  constructor(records: ArrayBuffer, grace: GracePeriods) {
    this.#grace = grace;
    this.#view = new DataView(records);
    this.#words64 = new BigUint64Array(records);
    this.#words32 = new Uint32Array(records);
  }

  /** Each member is whole; they need not be of the same answer. */
  state(id: number): PeerState {
    checkId(id);
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
      copyAcked: it.copy_acked,
    };
  }

  /** Begins a round of messages of flows to a peer: answers of other rounds count no more. */
  async beginCopyRound(id: number, round: number): Promise<void> {
    checkId(id);
    Atomics.store(this.#words32, (id * RECORD_BYTES + COPY_ROUND) / 4, round);
    // A program that has compared the round before with an answer is about to note it.
    await this.#grace.wait();
    Atomics.store(this.#words64, (id * RECORD_BYTES + COPY_ACKED) / 8, 0n);
  }
}

function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 1 || id >= Limit.LIMIT_MUXES)
    throw new RangeError(`the id of a mux is 1-${Limit.LIMIT_MUXES - 1}, got ${id}`);
}
