// Owns copying flows to a mux that has become the backup of their slots: in rounds of messages, each of which the peer
// acknowledges, again where one was lost. What is copied and how it is taken in is the program's.
import { COPY_ROUND_MESSAGES, type FlowEngine, PAGE_MESSAGES, type Task } from './engine.ts';

/** A message that is not acknowledged is sent again after this. */
const RESEND_MS = 100;
/**
 * Headers are not accepted for longer than 4 s. So a round is made in so long at most, with the messages that there are by
 * then, for a large table with few flows takes longer to go through; and made anew where it is not taken in so long.
 */
const COMPOSE_MS_MAX = 1_000;
const ROUND_MS_MAX = 2_000;

export type CopyRequest = {
  readonly peer: number;
  readonly poolId: number;
  readonly chainEpoch: number;
  /** 26 bits; the caller gives each round another. */
  readonly nextRound: () => number;
  readonly send: (message: Uint8Array) => void;
};

export type CopyProgress = {
  /** Messages that the peer has taken. */
  taken: number;
  resent: number;
  /** Rounds that were begun anew because the peer did not take them in time. */
  restarted: number;
};

export function* copyFlows(engine: FlowEngine, request: CopyRequest, progress: CopyProgress): Task {
  let at: number | undefined = 0;
  while (at !== undefined) {
    const round = request.nextRound();
    const made: Made = yield* compose(engine, request, round, at);
    if (made.messages.length > 0) yield* ended(engine.beginCopyRound(request.peer, round));
    const isTaken: boolean = yield* deliver(engine, request, round, made.messages, progress);
    if (isTaken) at = made.next;
    else progress.restarted++;
  }
}

function* ended(promise: Promise<void>): Task {
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
  while (!state.isDone) yield 'wait';
  if (state.error !== undefined) throw state.error;
}

type Made = { readonly messages: readonly Uint8Array[]; readonly next: number | undefined };

function* compose(
  engine: FlowEngine,
  { peer, poolId, chainEpoch }: CopyRequest,
  round: number,
  from: number,
): Generator<'more' | 'wait', Made, number> {
  const messages: Uint8Array[] = [];
  let next: number | undefined = from;
  // Of the first message; the time is that of the tick, so it may be a tick older.
  let madeMs: number | undefined;
  while (next !== undefined && messages.length + PAGE_MESSAGES <= COPY_ROUND_MESSAGES) {
    const page = engine.copy({ peer, poolId, chainEpoch, round, number: messages.length, at: next });
    messages.push(...page.messages);
    next = page.next;
    const nowMs = yield 'more';
    if (messages.length > 0) madeMs ??= nowMs;
    if (madeMs !== undefined && nowMs - madeMs >= COMPOSE_MS_MAX) break;
  }
  return { messages, next };
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
  for (const message of messages) send(message);
  const beganMs = yield 'wait';
  for (let sentMs = beganMs, nowMs = beganMs; nowMs - beganMs < ROUND_MS_MAX; nowMs = yield 'wait') {
    const missing = missingOf(engine.copyAcked(peer), round, messages);
    if (missing.length === 0) {
      progress.taken += messages.length;
      return true;
    }
    if (nowMs - sentMs < RESEND_MS) continue;
    sentMs = nowMs;
    progress.resent += missing.length;
    for (const message of missing) send(message);
  }
  return false;
}

function missingOf(
  heard: { round: number; acked: bigint },
  round: number,
  messages: readonly Uint8Array[],
): readonly Uint8Array[] {
  if (heard.round !== round) return messages;
  return messages.filter((_, index) => ((heard.acked >> BigInt(index)) & 1n) === 0n);
}
