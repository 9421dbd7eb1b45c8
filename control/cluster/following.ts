// Owns following a prefix of the store for as long as somebody wants it: read it whole, watch what changes from there,
// begin again after a compaction or a trouble. Every trouble is told, with its cause. What the entries mean is the
// follower's.
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../lib/failure.ts';
import type { Entry, Revision, Store, WatchEvent } from '../store/contract.ts';

/** Pauses before the store is asked again grow from the one to the other; each is shortened by up to half, by chance. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;

/** The pause after `failures` attempts in a row have failed. `chance`: 0 to 1. */
export function pauseMs(
  failures: number,
  { minMs, maxMs }: { readonly minMs: number; readonly maxMs: number },
  chance: number = Math.random(),
): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures, 10)) * (0.5 + chance / 2);
}

export type Changes = WatchEvent & { readonly kind: 'changes' };

export type Follower = {
  readonly prefix: string;
  /** Changes are told of under this one, where there is more that comes together with what is read; else of `prefix`. */
  readonly watched?: string;
  /** Of what, for a trouble that is no Failure: "versions in the store". */
  readonly what: string;
  /** All there is at `revision`; changes of later revisions come next. What it throws begins again, after a pause. */
  readonly whole: (entries: readonly Entry[], revision: Revision) => void | Promise<void>;
  /** Of one revision; in order, and none is left out. */
  readonly changed: (event: Changes) => void | Promise<void>;
};

export class Following {
  readonly #store: Pick<Store, 'list' | 'watch'>;
  readonly #follower: Follower;
  readonly #listeners = new Set<(problem: Failure | undefined) => void>();
  readonly #closed = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #connected = false;
  #problem: Failure | undefined;

  constructor(store: Pick<Store, 'list' | 'watch'>, follower: Follower) {
    this.#store = store;
    this.#follower = follower;
  }

  /** Resolves once all was read, however long the store is away; at once where this is closed before. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#ready.promise;
  }

  /** There is something to go on with: nobody has to wait for the store. */
  begun(): void {
    this.#ready.resolve();
  }

  /** Whether changes are seen as they happen. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Why not. */
  get problem(): Failure | undefined {
    return this.#problem;
  }

  /** Called when the connection is lost, with the problem, and when it is back; returns how to end it. */
  onConnection(listener: (problem: Failure | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows no more; the store stays open. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
    this.#connected = false;
    this.#ready.resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted; failures++) {
      const startedMs = performance.now();
      try {
        await this.#once(signal);
      } catch (error) {
        if (!signal.aborted) this.#disconnected(error);
      }
      // It worked for a while: this is another trouble than the last.
      if (performance.now() - startedMs > PAUSE_MS_MAX) failures = 0;
      const waitMs = pauseMs(failures, { minMs: PAUSE_MS_MIN, maxMs: PAUSE_MS_MAX });
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until it is closed, or history was forgotten before it was read here. */
  async #once(signal: AbortSignal): Promise<void> {
    const { prefix, watched = prefix, whole, changed } = this.#follower;
    const { entries, revision } = await this.#store.list(prefix);
    if (signal.aborted) return;
    await whole(entries, revision);
    this.#connection(true, undefined);
    this.#ready.resolve();
    for await (const event of this.#store.watch(watched, revision + 1, signal)) {
      if (event.kind === 'compacted') return;
      await changed(event);
    }
  }

  #disconnected(error: unknown): void {
    const problem =
      error instanceof Failure
        ? error
        : new Failure('internal', `following ${this.#follower.what} failed`, { cause: error });
    this.#connection(false, problem);
  }

  #connection(connected: boolean, problem: Failure | undefined): void {
    const changed = this.#connected !== connected || this.#problem?.message !== problem?.message;
    this.#connected = connected;
    this.#problem = problem;
    if (changed) tell(this.#listeners, problem);
  }
}

/** Calls each. What one throws is its bug: no trouble of the store, and no reason to keep it from the next. */
export function tell<T extends readonly unknown[]>(
  listeners: Iterable<(...told: T) => void>,
  ...told: T
): void {
  for (const listener of listeners) {
    try {
      listener(...told);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
