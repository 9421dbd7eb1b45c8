// Owns copying flows to a mux that has become the backup of their slots: in rounds of messages, each of which the peer
// acknowledges, again where one was lost. What is copied and how it is taken in is the program's.
import { COPY_ROUND_MESSAGES, type FlowEngine, PAGE_MESSAGES, type Task } from './engine.ts';

/** Messages that the peer has not acknowledged yet: half of a short receive ring, which other packets come by, too. */
export const COPY_IN_FLIGHT = 128;
/**
 * A message that is not acknowledged is sent again when nothing was sent or acknowledged for so long, then for twice as
 * long: what a slow way holds up is not to be made longer.
 */
const RESEND_MS = 100;
/**
 * Headers are not accepted for longer than 4 s. So a round is made in so long at most, with the messages that there are by
 * then, for a large table with few flows takes longer to go through; and made anew where it is not taken in so long.
 */
const COMPOSE_MS_MAX = 1_000;
const ROUND_MS_MAX = 2_000;
/** Of rounds once one was not taken in time: what the way to the peer carries is not known. */
export const SHORT_ROUND_MESSAGES = 64;

export type CopyRequest = {
  readonly peer: number;
  readonly poolId: number;
  readonly chainEpoch: number | 'ahead';
  /** 21 bits; the caller gives each round another. */
  readonly nextRound: () => number;
  readonly send: (message: Uint8Array) => void;
};

export type CopyProgress = {
  /** Messages that the peer has taken, and the flows in them. */
  taken: number;
  flows: number;
  resent: number;
  /** Rounds that were begun anew because the peer did not take them in time. */
  restarted: number;
};

export function* copyFlows(engine: FlowEngine, request: CopyRequest, progress: CopyProgress): Task {
  let at: number | undefined = 0;
  while (at !== undefined) {
    const round = request.nextRound();
    const limit = progress.restarted === 0 ? COPY_ROUND_MESSAGES : SHORT_ROUND_MESSAGES;
    const made: Made = yield* compose(engine, request, { round, limit, at });
    if (made.begun !== undefined) yield* made.begun;
    const isTaken: boolean = yield* deliver(engine, request, round, made.messages, progress);
    if (isTaken) {
      at = made.next;
      progress.taken += made.messages.length;
      progress.flows += made.flows;
    } else progress.restarted++;
  }
}

type Made = {
  readonly messages: readonly Uint8Array[];
  readonly flows: number;
  readonly next: number | undefined;
  /** Ends when answers to the messages count; undefined: there are none. */
  readonly begun: Task | undefined;
};

/** The round begins with its first message, while others are made: that takes a grace period. */
function* compose(
  engine: FlowEngine,
  { peer, poolId, chainEpoch }: CopyRequest,
  { round, limit, at }: { round: number; limit: number; at: number },
): Generator<'more' | 'wait', Made, number> {
  const messages: Uint8Array[] = [];
  let flows = 0;
  let next: number | undefined = at;
  let begun: Task | undefined;
  // Of the first message; the time is that of the tick, so it may be a tick older.
  let madeMs: number | undefined;
  while (next !== undefined && messages.length + PAGE_MESSAGES <= limit) {
    const page = engine.copy({ peer, poolId, chainEpoch, round, number: messages.length, at: next });
    if (page.messages.length > 0) begun ??= ended(engine.beginCopyRound(peer, round));
    messages.push(...page.messages);
    flows += page.flows;
    next = page.next;
    const nowMs = yield 'more';
    if (messages.length > 0) madeMs ??= nowMs;
    if (madeMs !== undefined && nowMs - madeMs >= COMPOSE_MS_MAX) break;
  }
  return { messages, flows, next, begun };
}

/** Listens to the promise at once, so that one that fails before it is waited for is nobody's unhandled one. */
function ended(promise: Promise<void>): Task {
  const state: { isDone: boolean; error?: unknown } = { isDone: false };
  promise.then(
    () => {
      state.isDone = true;
    },
    (error: unknown) => {
      state.isDone = true;
      state.error = error;
    },
  );
  return waiting(state);
}

function* waiting(state: { isDone: boolean; error?: unknown }): Task {
  while (!state.isDone) yield 'wait';
  if (state.error !== undefined) throw state.error;
}

/** Until the peer has taken all; false: it has not in time. */
function* deliver(
  engine: FlowEngine,
  { peer, send }: CopyRequest,
  round: number,
  messages: readonly Uint8Array[],
  progress: CopyProgress,
): Generator<'more' | 'wait', boolean, number> {
  if (messages.length === 0) return true;
  /** Sent, and not known to be taken. */
  let flying: number[] = [];
  let sent = 0;
  let nowMs = yield 'more';
  const beganMs = nowMs;
  for (let [movedMs, resendMs] = [nowMs, RESEND_MS]; nowMs - beganMs < ROUND_MS_MAX; ) {
    const before = flying.length;
    const heard = engine.copyAcked(peer);
    if (heard.round === round) flying = flying.filter((number) => !isMarked(heard.acked, number));
    if (flying.length === 0 && sent === messages.length) return true;
    let isMoving = flying.length < before;
    for (; sent < messages.length && flying.length < COPY_IN_FLIGHT; isMoving = true) {
      send(messages[sent]!);
      flying.push(sent++);
    }
    if (!isMoving && nowMs - movedMs >= resendMs) {
      for (const number of flying) send(messages[number]!);
      progress.resent += flying.length;
      [movedMs, resendMs] = [nowMs, resendMs * 2];
    }
    if (isMoving) [movedMs, resendMs] = [nowMs, RESEND_MS];
    nowMs = yield isMoving ? 'more' : 'wait';
  }
  return false;
}

function isMarked(bits: Uint32Array, number: number): boolean {
  return ((bits[number >>> 5]! >>> (number & 31)) & 1) === 1;
}
