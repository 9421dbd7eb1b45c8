// Owns when each backend is checked by this mux and what its results come to: due times, time limits, how many run at
// once, rise and fall. Without IO: time, chance and results are told, starts and aborts are answered. Not here: asking a
// backend (probe/), who counts the opinions of muxes (judgement_core.ts).
import type { Health } from '../config/health.ts';

/** Others wait for their turn, the longest due first. */
export const RUNNING_MAX = 256;
export const REASON_MAX = 120;
/** A tick that is later than that tells that this mux stood still. */
const STALL_MS = 50;
/** For answers that came meanwhile to be read, and asked on. */
const READ_MS = 20;
/** Of one check: a mux that stands still again and again finds silent backends nevertheless. */
const EXCUSES_MAX = 3;
/** Checks that are due within it start together: a step looks at every target. */
const GATHER_MS = 4;

export type Timing = Pick<Health, 'intervalMs' | 'timeoutMs' | 'rise' | 'fall' | 'jitter'>;
export type Target = { readonly key: string; readonly timing: Timing };

export type Result = {
  /** Undefined: this mux could not ask, which says nothing about the backend. */
  readonly isGood: boolean | undefined;
  readonly reason: string;
};

export type Opinion = {
  /** Undefined: there were not enough results in a row yet. */
  readonly isUp: boolean | undefined;
  /** Of the host's clock, as told with the result that made it; undefined with `isUp`. */
  readonly sinceMs: number | undefined;
  /** This mux cannot ask: it has no part in what others find. */
  readonly isUnable?: boolean;
  /** Of the result that it came of; without an opinion, of the last one. */
  readonly reason: string;
};

export type Effect =
  | { readonly kind: 'start'; readonly key: string; readonly run: number; readonly timeoutMs: number }
  | { readonly kind: 'abort'; readonly key: string; readonly run: number }
  /** A check has ended; `durationMs` of its time limit where it did not end by itself. */
  | {
      readonly kind: 'ended';
      readonly key: string;
      readonly result: Result;
      readonly isTimeout: boolean;
      readonly durationMs: number;
    }
  | { readonly kind: 'opinion'; readonly key: string; readonly opinion: Opinion };

type Check = {
  readonly key: string;
  timing: Timing;
  dueMs: number;
  startedMs: number;
  /** It is given up then. */
  deadlineMs: number;
  excuses: number;
  /** Undefined: none runs. */
  run: number | undefined;
  isGood: boolean;
  inARow: number;
  opinion: Opinion;
};

const NO_OPINION: Opinion = { isUp: undefined, sinceMs: undefined, reason: 'no result yet' };

export class Checks {
  readonly #checks = new Map<string, Check>();
  #runs = 0;
  #running = 0;
  /** What was said last of when to tick. */
  #awaitedMs: number | undefined;
  #tickedMs = -Infinity;

  /** What is to be checked from now on. One whose timing changed goes on with its opinion, and counts anew. */
  aim(targets: readonly Target[], nowMs: number, chance: () => number): Effect[] {
    const effects: Effect[] = [];
    const wanted = new Set(targets.map(({ key }) => key));
    for (const [key, check] of this.#checks) {
      if (wanted.has(key)) continue;
      this.#stop(check, effects);
      this.#checks.delete(key);
    }
    for (const { key, timing } of targets) {
      const known = this.#checks.get(key);
      if (known === undefined) {
        // Spread from the beginning: a mux that starts does not ask all at once.
        const dueMs = nowMs + timing.intervalMs * chance();
        const fresh = {
          startedMs: 0,
          deadlineMs: 0,
          excuses: 0,
          run: undefined,
          isGood: false,
          inARow: 0,
          opinion: NO_OPINION,
        };
        this.#checks.set(key, { key, timing, dueMs, ...fresh });
      } else if (!sameTiming(known.timing, timing)) {
        known.timing = timing;
        known.inARow = 0;
        known.dueMs = Math.min(known.dueMs, nowMs + timing.intervalMs * chance());
      }
    }
    return effects;
  }

  /** Something else is asked of this backend than before: what runs does not count. */
  restart(key: string, nowMs: number): Effect[] {
    const effects: Effect[] = [];
    const check = this.#checks.get(key);
    if (check === undefined) return effects;
    this.#stop(check, effects);
    check.inARow = 0;
    check.dueMs = nowMs;
    return effects;
  }

  /** It is `nowMs`: ends what has had its time, starts what is due. `wallMs`: what opinions are dated with. */
  tick(nowMs: number, wallMs: number): Effect[] {
    const effects: Effect[] = [];
    const due: Check[] = [];
    this.#excuse(nowMs);
    for (const check of this.#checks.values()) {
      if (check.run !== undefined && nowMs >= check.deadlineMs) {
        const { timeoutMs } = check.timing;
        effects.push({ kind: 'abort', key: check.key, run: check.run });
        const result = { isGood: false, reason: `timeout: no answer within ${timeoutMs} ms` };
        this.#end(check, result, timeoutMs, true, wallMs, effects);
      }
      if (check.run === undefined && check.dueMs <= nowMs + GATHER_MS) due.push(check);
    }
    due.sort((a, b) => a.dueMs - b.dueMs);
    for (const check of due.slice(0, RUNNING_MAX - this.#running)) {
      check.run = ++this.#runs;
      check.startedMs = nowMs;
      check.deadlineMs = nowMs + check.timing.timeoutMs;
      check.excuses = 0;
      this.#running++;
      const { timeoutMs } = check.timing;
      effects.push({ kind: 'start', key: check.key, run: check.run, timeoutMs });
    }
    return effects;
  }

  /** What the run has come to; of one that was aborted, or is not known, nothing follows. */
  ended(key: string, run: number, result: Result, nowMs: number, wallMs: number): Effect[] {
    const effects: Effect[] = [];
    const check = this.#checks.get(key);
    if (check === undefined || check.run !== run) return effects;
    this.#end(check, result, nowMs - check.startedMs, false, wallMs, effects);
    return effects;
  }

  /** When to tick next; undefined: there is nothing to do. */
  wakeAtMs(): number | undefined {
    let wakeMs: number | undefined;
    const isFull = this.#running >= RUNNING_MAX;
    for (const { run, deadlineMs, dueMs } of this.#checks.values()) {
      if (run === undefined && isFull) continue;
      const atMs = run === undefined ? dueMs : deadlineMs;
      if (wakeMs === undefined || atMs < wakeMs) wakeMs = atMs;
    }
    this.#awaitedMs = wakeMs;
    return wakeMs;
  }

  /** By chance the next interval is shorter, never longer: what a user set is how long it takes at most. */
  schedule(key: string, chance: number): void {
    const check = this.#checks.get(key);
    if (check === undefined) return;
    const { intervalMs, jitter } = check.timing;
    check.dueMs = check.startedMs + intervalMs * (1 - jitter * chance);
  }

  opinion(key: string): Opinion | undefined {
    return this.#checks.get(key)?.opinion;
  }

  opinions(): ReadonlyMap<string, Opinion> {
    return new Map([...this.#checks.values()].map(({ key, opinion }) => [key, opinion]));
  }

  /** A mux that stood still has not read what came meanwhile: what it asks then has as much longer. */
  #excuse(nowMs: number): void {
    const lateMs = nowMs - Math.max(this.#awaitedMs ?? nowMs, this.#tickedMs);
    this.#tickedMs = nowMs;
    if (lateMs <= STALL_MS) return;
    for (const check of this.#checks.values()) {
      if (check.run === undefined || ++check.excuses > EXCUSES_MAX) continue;
      check.deadlineMs = Math.max(check.deadlineMs + lateMs, nowMs + READ_MS);
    }
  }

  #stop(check: Check, effects: Effect[]): void {
    if (check.run === undefined) return;
    effects.push({ kind: 'abort', key: check.key, run: check.run });
    check.run = undefined;
    this.#running--;
  }

  #end(
    check: Check,
    given: Result,
    durationMs: number,
    isTimeout: boolean,
    wallMs: number,
    effects: Effect[],
  ): void {
    const { timing, key } = check;
    const result = { isGood: given.isGood, reason: given.reason.slice(0, REASON_MAX) };
    check.run = undefined;
    this.#running--;
    check.dueMs = check.startedMs + timing.intervalMs;
    if (result.isGood === undefined) {
      check.inARow = 0;
      const isNew = check.opinion.isUnable !== true;
      check.opinion = { isUp: undefined, sinceMs: undefined, isUnable: true, reason: result.reason };
      effects.push({ kind: 'ended', key, result, isTimeout, durationMs });
      if (isNew) effects.push({ kind: 'opinion', key, opinion: check.opinion });
      return;
    }
    check.inARow = check.inARow > 0 && check.isGood === result.isGood ? check.inARow + 1 : 1;
    check.isGood = result.isGood;
    effects.push({ kind: 'ended', key, result, isTimeout, durationMs });
    const enough = result.isGood ? timing.rise : timing.fall;
    if (check.inARow < enough || check.opinion.isUp === result.isGood) {
      // While it stays what it is, nobody is told each reason: only what a state came of counts.
      if (check.opinion.isUp !== undefined) return;
      const wasUnable = check.opinion.isUnable === true;
      check.opinion = { ...NO_OPINION, reason: result.reason };
      if (wasUnable) effects.push({ kind: 'opinion', key, opinion: check.opinion });
      return;
    }
    check.opinion = { isUp: result.isGood, sinceMs: wallMs, reason: result.reason };
    effects.push({ kind: 'opinion', key, opinion: check.opinion });
  }
}

function sameTiming(a: Timing, b: Timing): boolean {
  return (
    a.intervalMs === b.intervalMs &&
    a.timeoutMs === b.timeoutMs &&
    a.rise === b.rise &&
    a.fall === b.fall &&
    a.jitter === b.jitter
  );
}
