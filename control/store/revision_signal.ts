// Owns who waits for changes of a store, by prefix: all are woken by one look, which happens at an interval, only while
// somebody waits, and when it is asked for.
import type { Revision } from './contract.ts';

/** What has changed, up to `revision`. */
export type News = {
  readonly revision: Revision;
  /** In any order; undefined: it is not known any more, or is too much. */
  readonly keys: readonly { readonly key: string; readonly revision: Revision }[] | undefined;
};

type Waiter = {
  readonly prefix: string;
  /** Nothing has changed under the prefix since a watcher has read what was before. */
  from: Revision;
  readonly resolve: (from: Revision) => void;
  readonly reject: (error: unknown) => void;
};

export class RevisionSignal {
  readonly #poll: () => Revision | undefined;
  readonly #news: (from: Revision) => News | undefined;
  readonly #intervalMs: number;
  readonly #waiters = new Set<Waiter>();
  #timer: NodeJS.Timeout | undefined;
  /** That somebody was told of; who reads meanwhile, and waits then, may not have seen it. */
  #newest: Revision = 0;
  #isUnheard = false;

  /** `poll` tells the newest revision, `news` what has changed from one on; where they throw, all who wait do. */
  constructor(
    poll: () => Revision | undefined,
    news: (from: Revision) => News | undefined,
    intervalMs: number,
  ) {
    this.#poll = poll;
    this.#news = news;
    this.#intervalMs = intervalMs;
  }

  /**
   * Until something has changed under `prefix` at `from` or later, or `signal` is aborted. Resolves with the revision from
   * which on to read: what has changed elsewhere meanwhile need not be looked through again, and may be forgotten.
   */
  async reached(prefix: string, from: Revision, signal?: AbortSignal): Promise<Revision> {
    if (signal?.aborted) return from;
    const { promise, resolve, reject } = Promise.withResolvers<Revision>();
    const waiter: Waiter = { prefix, from, resolve, reject };
    const abort = () => resolve(waiter.from);
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', abort, { once: true });
    this.#timer ??= setInterval(() => this.look(), this.#intervalMs);
    if (this.#isUnheard) this.look();
    else if (from <= this.#newest) this.announce(this.#newest);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0) this.#rest();
    }
  }

  /** There may be a new revision. */
  look(): void {
    this.#tell(() => this.#poll());
  }

  /** There is this revision. */
  announce(revision: Revision): void {
    this.#tell(() => revision);
  }

  fail(error: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  #tell(newest: () => Revision | undefined): void {
    this.#isUnheard = this.#waiters.size === 0;
    if (this.#isUnheard) return;
    try {
      const revision = newest();
      if (revision === undefined) return;
      this.#newest = revision;
      const froms = Array.from(this.#waiters, ({ from }) => from);
      const from = Math.min(...froms);
      const news = from <= revision ? this.#news(from) : undefined;
      if (news !== undefined) this.#wake(news);
    } catch (error) {
      this.fail(error);
    }
  }

  #wake({ revision, keys }: News): void {
    for (const waiter of this.#waiters) {
      const { prefix, from } = waiter;
      if (from > revision) continue;
      const concerns = (it: { key: string; revision: Revision }) =>
        it.revision >= from && it.key.startsWith(prefix);
      if (keys === undefined || keys.some(concerns)) waiter.resolve(from);
      else waiter.from = revision + 1;
    }
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
