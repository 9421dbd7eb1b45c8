// Owns what the leader tells everybody about changes that are under way: in the store, so that every node can say what
// they wait for. Nothing depends on it: a leader that does not write it, or writes it late, is only less well explained.
import { z } from 'zod';
import type { Store } from '../store/contract.ts';
import type { StepTimes } from './leader/inputs.ts';

export const PROGRESS_KEY = 'mux/progress';
/** Further ones are left out, and counted. */
export const PROGRESS_OPEN_MAX = 512;

const openSchema = z.object({
  poolId: z.int().min(1),
  trackEpoch: z.int().min(1),
  step: z.enum(['track', 'commit', 'settle']),
  stepVersion: z.int().min(1),
  /** Sentences. */
  waits: z.array(z.string()),
  /** Until the next step at the earliest, when it was written; absent: that depends on others. */
  leftMs: z.number().min(0).optional(),
});

const progressSchema = z.object({
  open: z.array(openSchema),
  /** Open ones that are left out. */
  more: z.int().min(0),
  /** Why edits are not in a version yet, and what else is not well; sentences. */
  problems: z.array(z.string()),
  /** Of the leader; absent: it is an older one. */
  times: z.object({ handshakeHoldMs: z.number().min(0), settleIdles: z.number().min(0) }).optional(),
});
export type Progress = z.infer<typeof progressSchema>;

type Open = Omit<Progress['open'][number], 'leftMs' | 'waits'> & {
  readonly waits: readonly string[];
  readonly earliestAtMs: number | undefined;
};

/** `nowMs` is of the clock that `earliestAtMs` is of. */
export function encodeProgress({ open, problems, times }: LeaderOutcome, nowMs: number): string {
  const progress: Progress = {
    open: open
      .slice(0, PROGRESS_OPEN_MAX)
      .map(({ poolId, trackEpoch, step, stepVersion, waits, earliestAtMs }) => ({
        poolId,
        trackEpoch,
        step,
        stepVersion,
        waits: [...waits],
        ...(earliestAtMs !== undefined && { leftMs: Math.max(0, earliestAtMs - nowMs) }),
      })),
    more: Math.max(0, open.length - PROGRESS_OPEN_MAX),
    problems: problems.map(({ message }) => message),
    times,
  };
  return JSON.stringify(progress);
}

/** Undefined where nobody has written any, or what was written is of another version of Holdfast. */
export async function readProgress(store: Pick<Store, 'get'>): Promise<Progress | undefined> {
  const entry = await store.get(PROGRESS_KEY);
  if (entry === undefined) return undefined;
  try {
    return progressSchema.safeParse(JSON.parse(entry.value)).data;
  } catch {
    return undefined;
  }
}

/** Between two writes. */
export const PROGRESS_PAUSE_MS = 1_000;

export type LeaderOutcome = {
  readonly open: readonly Open[];
  readonly problems: readonly { readonly message: string }[];
  readonly times: StepTimes;
};

/**
 * Writes what the leader says after its steps: at most one write a pause, the newest. A write that fails is let be: the
 * next outcome is written again.
 */
export class ProgressWriter {
  readonly #store: Pick<Store, 'txn'>;
  readonly #nowMs: () => number;
  #waiting: LeaderOutcome | undefined;
  #written: string | undefined;
  #busy: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `nowMs` is the leader's clock. */
  constructor(store: Pick<Store, 'txn'>, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** Undefined: this node does not lead any more; the next leader writes its own. */
  tell(outcome: LeaderOutcome | undefined): void {
    this.#waiting = outcome;
    if (outcome === undefined || this.#timer !== undefined || this.#busy !== undefined) return;
    this.#busy = this.#write().finally(() => {
      this.#busy = undefined;
    });
  }

  async close(): Promise<void> {
    this.#waiting = undefined;
    clearTimeout(this.#timer);
    await this.#busy;
    clearTimeout(this.#timer);
  }

  async #write(): Promise<void> {
    const outcome = this.#waiting;
    if (outcome === undefined) return;
    this.#waiting = undefined;
    const value = encodeProgress(outcome, this.#nowMs());
    // What only time changes is written as well, while something is open: others count down from it.
    if (value !== this.#written) {
      try {
        await this.#store.txn([], [{ put: PROGRESS_KEY, value }]);
        this.#written = value;
      } catch {
        this.#written = undefined;
      }
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting !== undefined) this.tell(this.#waiting);
    }, PROGRESS_PAUSE_MS);
    this.#timer.unref();
  }
}
