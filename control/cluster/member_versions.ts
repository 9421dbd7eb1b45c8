// Owns bringing versions to the program in order, one at a time, and again where one failed or the ways to backends
// changed. Which versions there are is version_view.ts's, what a version makes of the tables is control/dataplane's.
import { Failure } from '../lib/failure.ts';
import type { Version } from './version.ts';

/** Between attempts; grows from the one to the other. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 15_000;

export interface Versions {
  readonly head: Version | undefined;
  /** The one to apply after that; undefined: there is none. */
  next(applied: Pick<Version, 'number' | 'cluster'>): Version | undefined;
}

export type AppliedVersionsOptions = {
  readonly versions: Versions;
  /** Of the program: what a daemon before this one has applied. 0: nothing. */
  readonly startsAt: number;
  /** Resolves when it is in effect on each CPU. */
  readonly apply: (version: Version) => Promise<void>;
  readonly onApplied: (version: Version) => void;
  /** `version`: that could not be applied; undefined: it could not be said which is next. */
  readonly onFailure: (error: unknown, version: Version | undefined) => void;
};

export class AppliedVersions {
  readonly #options: AppliedVersionsOptions;
  #applied: Version | undefined;
  #isStale = false;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MS_MIN;
  #isClosed = false;

  constructor(options: AppliedVersionsOptions) {
    this.#options = options;
  }

  /** In effect; undefined: none by this daemon yet. */
  get applied(): Version | undefined {
    return this.#applied;
  }

  /** There may be something to apply. */
  look(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** The version in effect is to be applied again: something else that the tables follow from has changed. */
  again(): void {
    this.#isStale = true;
    this.look();
  }

  /** Resolves when nothing is on its way: all is applied, or something could not be. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** What is on its way is finished; nothing else begins. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await this.#running;
  }

  async #run(): Promise<void> {
    // Whoever calls look() several times in a row means one.
    await Promise.resolve();
    let version: Version | undefined;
    try {
      for (version = this.#next(); version !== undefined; version = this.#next()) {
        this.#isStale = false;
        await this.#options.apply(version);
        this.#applied = version;
        this.#retryMs = RETRY_MS_MIN;
        this.#options.onApplied(version);
      }
    } catch (error) {
      this.#isStale = true;
      this.#options.onFailure(error, version);
      this.#later();
    }
  }

  #next(): Version | undefined {
    if (this.#isClosed) return undefined;
    const { versions, startsAt } = this.#options;
    const { head } = versions;
    const applied = this.#applied;
    if (head === undefined) return this.#isStale ? applied : undefined;
    // Tables that a daemon before this one has written are at some version: never an older one again.
    if (applied === undefined) {
      if (head.number < startsAt) throw putBack(head, startsAt, PUT_BACK);
      return versions.next({ number: startsAt - 1, cluster: head.cluster }) ?? head;
    }
    if (head.cluster !== applied.cluster) return head;
    checkNotRestored(head, applied);
    const next = versions.next(applied);
    return next ?? (this.#isStale ? applied : undefined);
  }

  #later(): void {
    if (this.#isClosed) return;
    this.#retry = setTimeout(() => this.look(), this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
  }
}

/** A store that was put back would have muxes take a number for another content than others know by it. */
function checkNotRestored(head: Version, applied: Version): void {
  const isOlder = head.number < applied.number;
  if (!isOlder && (head.number > applied.number || head.digest === applied.digest)) return;
  throw putBack(
    head,
    applied.number,
    isOlder
      ? PUT_BACK
      : 'the store has another content under the number of this one: it was put back to an earlier state',
  );
}

const PUT_BACK = 'the store was put back to an earlier state';

/** The leader hears of it by what this node acknowledges: see member.ts. */
function putBack(head: Version, number: number, reason: string): Failure {
  return new Failure(
    'conflict',
    `the store says that version ${head.number} is the newest, and this node has version ${number}`,
    {
      reason,
      remedy: 'wait some seconds: the leader begins a new count; forwarding goes on with what this node has',
    },
  );
}
