// Owns who waits for a revision of a store: all are woken by one poll, which runs only while somebody waits, at an
// interval and when it is asked for.
import type { Revision } from './contract.ts';

type Waiter = {
  readonly revision: Revision;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

export class RevisionSignal {
  readonly #poll: () => Revision | undefined;
  readonly #intervalMs: number;
  readonly #waiters = new Set<Waiter>();
  #timer: NodeJS.Timeout | undefined;

  /** `poll` tells the newest revision; where it throws, all who wait do. */
  constructor(poll: () => Revision | undefined, intervalMs: number) {
    this.#poll = poll;
    this.#intervalMs = intervalMs;
  }

  /** Until the store has come to `revision`, or `signal` is aborted. */
  async reached(revision: Revision, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    const { promise, resolve: settle, reject } = Promise.withResolvers<void>();
    const resolve = () => settle();
    const waiter = { revision, resolve, reject };
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', resolve, { once: true });
    this.#timer ??= setInterval(() => this.look(), this.#intervalMs);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', resolve);
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0) this.#rest();
    }
  }

  announce(revision: Revision): void {
    for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.resolve();
  }

  fail(error: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  /** There may be a new revision. */
  look(): void {
    if (this.#waiters.size === 0) return;
    try {
      const revision = this.#poll();
      if (revision !== undefined) this.announce(revision);
    } catch (error) {
      this.fail(error);
    }
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
