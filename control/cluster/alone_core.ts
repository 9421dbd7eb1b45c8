// Owns when a mux that is past its deadline may forward by what it knows: only where its daemon has listened for others
// in vain. A program that hears nobody may simply have slept, and what it knows be old. Pure.
import { LATE_INTERVALS } from './heartbeat_core.ts';

export type ListenTimes = {
  /** Between two ticks. */
  readonly intervalMs: number;
};

/** Of ticks in time, without a sign of any peer. */
const LISTEN_MS = 1_000;
/** A peer is heard when its last answer is younger: the program relays to no other. */
export const HEARD_MS = 500;

export class Listening {
  readonly #times: ListenTimes;
  #tickedMs = Number.NEGATIVE_INFINITY;
  #listenedMs = 0;

  constructor(times: ListenTimes) {
    this.#times = times;
  }

  /**
   * A tick. `isPastDeadline`: a member by all it knows, that may not decide. `heardAgoMs`: since each peer's last answer;
   * undefined: it never answered. True where the mux may go alone.
   */
  step(
    { isPastDeadline, heardAgoMs }: { isPastDeadline: boolean; heardAgoMs: Iterable<number | undefined> },
    nowMs: number,
  ): boolean {
    const { intervalMs } = this.#times;
    // This mux did not run, and heard nobody for that.
    const isLate = nowMs - this.#tickedMs > LATE_INTERVALS * intervalMs;
    this.#tickedMs = nowMs;
    const isHeard = [...heardAgoMs].some((agoMs) => agoMs !== undefined && agoMs < HEARD_MS);
    this.#listenedMs = isPastDeadline && !isLate && !isHeard ? this.#listenedMs + intervalMs : 0;
    return this.#listenedMs > LISTEN_MS;
  }
}
