// Owns what tasks for flows need of the data plane: bounded steps over the flow table and the flow cache of this mux's
// program, and messages of flows, composed and signed. control/dataplane implements it.

/** A bounded part of a pass: `next` is where to go on; undefined: the pass is over. */
export type Page = { readonly next: number | undefined };
/** `messages`: datagrams for the peer's ask port; `flows`: how many are in them. */
export type MessagePage = Page & { readonly messages: readonly Uint8Array[]; readonly flows: number };

export type Census = {
  /** Live entries, and those of another backend than their slot's `current`. */
  readonly flows: number;
  readonly oldFlows: number;
  /** Slots that have entries of another backend: M bits. */
  readonly heldSlots: Uint8Array;
};

export interface FlowEngine {
  /** Takes out of the table what has ended, and counts the rest into the census that beginCensus() began. */
  sweep(at: number): Page;
  sweepCache(at: number, idleTimeMs: number): Page;
  beginCensus(): void;
  /** After a whole pass; undefined: there are no such slots here. */
  census(poolId: number, trackEpoch: number): Census | undefined;
  /**
   * Flows of the pool that this mux owns by chains of `chainEpoch` or newer whose backup is the peer; `ahead`: those that it
   * keeps of the slots that chooseAhead() named last.
   */
  copy(request: {
    readonly peer: number;
    readonly poolId: number;
    readonly chainEpoch: number | 'ahead';
    readonly round: number;
    /** Of the first message, 0 to COPY_ROUND_MESSAGES - 1. */
    readonly number: number;
    readonly at: number;
  }): MessagePage;
  /** A byte for each slot of the pool; zero: it is not to be copied. One choice at a time. */
  chooseAhead(poolId: number, slots: Uint8Array): void;
  /** Cached flows of the pool that were seen no longer than `ageMaxMs` ago and are the peer's to keep; to oneself: done. */
  refresh(request: {
    readonly peer: number;
    readonly poolId: number;
    readonly ageMaxMs: number;
    readonly idleTimeMs: number;
    readonly at: number;
  }): MessagePage;
  /** From now on answers to messages of this round count, and no others. */
  beginCopyRound(peer: number, round: number): Promise<void>;
  /** Bit n % 32 of word n / 32: the peer has taken message n of the round. */
  copyAcked(peer: number): { readonly round: number; readonly acked: Uint32Array };
  /** When some packet of the period was answered unrecorded here last; undefined: never. */
  unrecordedMs(poolId: number, trackEpoch: number): number | undefined;
}

/** Messages of one round of copies: the bits of what a peer has taken. */
export const COPY_ROUND_MESSAGES = 2_048;
/** Messages that one step of copy() makes at most. */
export const PAGE_MESSAGES = 2;

/**
 * A task: it yields after each bounded piece of work, and is resumed with the time. `wait`: nothing to do before the next
 * tick.
 */
export type Task = Generator<'more' | 'wait', void, number>;
