// Owns having BIRD announce what a mux is to announce: steps the core (announce_core.ts), writes the files and asks BIRD
// (bird/), tries again with growing pauses, and leaves a will for when this daemon is dead. Decides nothing itself.
import { setTimeout as sleep } from 'node:timers/promises';
import type { RoutesConfig } from '../config/routes.ts';
import { Failure } from '../lib/failure.ts';
import { Announce, isSame, type Standing, WITHDRAWN } from './announce_core.ts';
import {
  type BirdState,
  CONFIGURE_COMMANDS,
  configure,
  disable,
  isOther,
  lookAtBird,
  mismatch,
  WITHDRAW_COMMANDS,
} from './bird/announcing.ts';
import { BirdAbsent } from './bird/client.ts';
import { type Announcement, composeInclude } from './bird/include_codec.ts';
import { RoutesDirectory } from './routes_directory.ts';
import type { Will } from './will_codec.ts';

const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 10_000;
const LOOK_INTERVAL_MS = 1_000;
/** Of a lease: less than that is left of a will before it is written again where nothing else limits it. */
const WILL_LEFT_SHARE = 2 / 3;

/** What may be wrong, each by itself. */
export type RouteTask = 'routes' | 'will';

export type AnnouncerOptions = {
  readonly config: RoutesConfig;
  readonly leaseMs: number;
  readonly directory: RoutesDirectory;
  /** Of a daemon before this one, which this one goes on with. */
  readonly kept: { readonly announcement: Announcement; readonly untilMs: number } | undefined;
  /** CLOCK_MONOTONIC. */
  readonly nowMs: () => number;
  readonly onFailure: (what: RouteTask, error: unknown) => void;
  readonly onSuccess: (what: RouteTask) => void;
  readonly tell: (message: string) => void;
};

/** What is known of BIRD when it was looked at last. */
export type Sight = { readonly state: BirdState } | { readonly failure: Failure };

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #core: Announce;
  /** What BIRD has, and its files. */
  #done: Announcement | undefined;
  /** Nothing is announced: BIRD has said so, or is not there. */
  #isGone = false;
  #sight: Sight | undefined;
  #isWatched: boolean | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #standing: Standing | undefined;
  #willDue: WillDue | undefined;
  #writtenHeir: string | undefined;
  #writtenWill: WillDue | undefined;
  #working: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #willing: Promise<boolean> = Promise.resolve(true);
  #isWillQueued = false;
  readonly #closed = new AbortController();
  /** What is wanted has changed: no pause is worth waiting for. */
  #changed = new AbortController();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#core = new Announce(options.config, options.kept);
  }

  /** Goes on with what an earlier daemon announced, where `mayKeep` and its will has not come due. */
  static async open(
    options: Omit<AnnouncerOptions, 'directory' | 'kept'> & { readonly mayKeep: boolean },
  ): Promise<Announcer> {
    const directory = new RoutesDirectory(options.config.directory);
    await directory.make();
    const kept = options.mayKeep ? await directory.kept(options.nowMs()) : undefined;
    return new Announcer({ ...options, directory, kept });
  }

  /** To be called every few dozen milliseconds. Undefined: this daemon does not know yet. */
  tick(standing: Standing | undefined): void {
    if (this.#closed.signal.aborted) return;
    const nowMs = this.#options.nowMs();
    const before = this.#core.current;
    this.#standing = standing;
    const wanted = this.#core.step(standing, nowMs);
    if (!isSame(before, wanted)) {
      this.#isGone = false;
      this.#changed.abort();
      this.#changed = new AbortController();
      this.#options.tell(describe(wanted));
    }
    this.#considerWill(nowMs);
    if (!this.isDone) this.#work();
    if (nowMs - this.#lookedMs >= LOOK_INTERVAL_MS) this.#look(nowMs);
  }

  get announcement(): Announcement {
    return this.#core.current;
  }

  /** BIRD has what is to be announced. */
  get isDone(): boolean {
    return this.#done !== undefined && isSame(this.#done, this.#core.current);
  }

  get sight(): Sight | undefined {
    return this.#sight;
  }

  /** Whether a supervisor is there; undefined: not known yet. */
  get isWatched(): boolean | undefined {
    return this.#isWatched;
  }

  /** True where a mux that is to leave may: its routes are gone, or cannot be taken away. */
  mayLeave(): boolean {
    return this.#core.mayLeave(this.#isGone, this.#options.nowMs());
  }

  /** Resolves when BIRD has what is wanted, or after so long. */
  async settled(limitMs: number): Promise<void> {
    const working = this.#working ?? Promise.resolve();
    const limit = new AbortController();
    const late = sleep(limitMs, undefined, { signal: limit.signal }).catch(() => undefined);
    await Promise.race([working, late]);
    limit.abort();
  }

  /** Leaves the routes as they are, and the will, which comes due if nobody follows. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#working, this.#looking, this.#willing]);
  }

  #work(): void {
    this.#working ??= this.#bring().finally(() => {
      this.#working = undefined;
    });
  }

  async #bring(): Promise<void> {
    const { signal } = this.#closed;
    let tried: Announcement | undefined;
    let pauseMs = RETRY_FIRST_MS;
    while (!signal.aborted && !this.isDone) {
      const wanted = this.#core.current;
      pauseMs =
        tried !== undefined && isSame(tried, wanted) ? Math.min(2 * pauseMs, RETRY_LAST_MS) : RETRY_FIRST_MS;
      tried = wanted;
      const changed = AbortSignal.any([signal, this.#changed.signal]);
      try {
        await this.#attempt(wanted);
        this.#options.onSuccess('routes');
      } catch (error) {
        this.#options.onFailure('routes', error);
        await sleep(pauseMs, undefined, { signal: changed }).catch(() => undefined);
      }
    }
  }

  async #attempt(wanted: Announcement): Promise<void> {
    const { config, directory } = this.#options;
    const { birdSocket } = config;
    // Whoever carries the will out takes what is put there with it.
    this.#writtenHeir = undefined;
    const isWillWritten = await this.#writeWill();
    // Nothing is announced that nobody would withdraw.
    if (!isWillWritten && wanted.level !== 'withdrawn') throw withoutWill();
    const include = composeInclude(wanted, config.communities);
    try {
      if (wanted.level === 'withdrawn') await this.#withdraw(include);
      else await directory.writeInclude(include);
      await configure(birdSocket);
      const state = await lookAtBird(birdSocket);
      this.#see({ state });
      const wrong = mismatch(state, wanted, directory.includePattern);
      // Nothing of ours is there, which is as it should be.
      if (wrong !== undefined && !(wanted.level === 'withdrawn' && state.imported.size === 0)) throw wrong;
    } catch (error) {
      if (error instanceof BirdAbsent) this.#isGone = true;
      if (error instanceof Failure) this.#see({ failure: error });
      throw error;
    }
    this.#done = wanted;
  }

  /** Where one of the two cannot be done, the other is. */
  async #withdraw(include: string): Promise<void> {
    const { config, directory } = this.#options;
    const [written, disabled] = await Promise.allSettled([
      directory.writeInclude(include),
      disable(config.birdSocket),
    ]);
    this.#isGone = disabled.status === 'fulfilled';
    for (const outcome of [disabled, written]) if (outcome.status === 'rejected') throw outcome.reason;
  }

  #look(nowMs: number): void {
    this.#lookedMs = nowMs;
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
  }

  async #lookNow(): Promise<void> {
    const { config, directory, onFailure, onSuccess } = this.#options;
    try {
      this.#isWatched = await directory.isWatched(this.#options.nowMs());
      // An attempt looks by itself.
      if (this.#working !== undefined) return;
      const wanted = this.#done ?? WITHDRAWN;
      const state = await lookAtBird(config.birdSocket);
      this.#see({ state });
      const include = await directory.readInclude();
      // What was seen is of before an attempt that began meanwhile.
      if (this.#working !== undefined || wanted !== (this.#done ?? WITHDRAWN)) return;
      if (include !== composeInclude(wanted, config.communities)) {
        // The supervisor has carried out the will of a daemon that came back, or somebody has written into it.
        this.#done = undefined;
        return;
      }
      const wrong = mismatch(state, wanted, directory.includePattern);
      const isAgainstIt = isOther(state, wanted);
      // Where nothing is to be announced, nothing of ours needs to be there.
      if (wrong === undefined || (wanted.level === 'withdrawn' && !isAgainstIt)) onSuccess('routes');
      else onFailure('routes', wrong);
      if (!isAgainstIt) return;
      this.#isGone = false;
      this.#done = undefined;
    } catch (error) {
      if (error instanceof Failure) this.#see({ failure: error });
      onFailure('routes', error);
    }
  }

  #see(sight: Sight): void {
    this.#sight = sight;
  }

  // --- the will ---

  /** Written whenever the deadline has moved: it must not come due for a daemon that runs. */
  #considerWill(nowMs: number): void {
    if (this.#standing === undefined) return;
    this.#willDue = willDue(this.#standing, this.#core.current, {
      nowMs,
      leaseMs: this.#options.leaseMs,
      last: this.#willDue,
      isGone: this.#isGone,
    });
    if (isSameWill(this.#willDue, this.#writtenWill) || this.#isWillQueued) return;
    this.#isWillQueued = true;
    void this.#writeWill();
  }

  /** One at a time; each writes what is newest. Nothing of it waits for BIRD. False where it could not be written. */
  #writeWill(): Promise<boolean> {
    const writing = this.#willing.then(async () => {
      this.#isWillQueued = false;
      const due = this.#willDue;
      if (due === undefined) return true;
      try {
        await this.#writeWillNow(due);
        this.#options.onSuccess('will');
        return true;
      } catch (error) {
        this.#options.onFailure('will', error);
        return false;
      }
    });
    this.#willing = writing;
    return writing;
  }

  async #writeWillNow(due: WillDue): Promise<void> {
    const { config, directory } = this.#options;
    const heir = composeInclude(due.heir, config.communities);
    if (heir !== this.#writtenHeir) await directory.writeHeir(heir);
    this.#writtenHeir = heir;
    if (!isSameWill(due, this.#writtenWill)) await directory.writeWill(this.#will(due));
    this.#writtenWill = due;
  }

  #will(due: WillDue): Pick<Will, 'deadlineMs' | 'socket' | 'send'> {
    return {
      deadlineMs: due.atMs,
      socket: this.#options.config.birdSocket,
      send: due.heir.level === 'withdrawn' ? WITHDRAW_COMMANDS : CONFIGURE_COMMANDS,
    };
  }
}

type WillDue = {
  /** Undefined: nothing is to be done. */
  readonly atMs: number | undefined;
  /** What is announced from then on. */
  readonly heir: Announcement;
};

function isSameWill(one: WillDue | undefined, other: WillDue | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.atMs === other.atMs && isSame(one.heir, other.heir);
}

/**
 * A mux with a deadline withdraws when that has passed. The program of one that nobody else could take over from goes on
 * without its daemon: it becomes the last resort.
 */
function willDue(
  standing: Standing,
  { level, addresses }: Announcement,
  {
    nowMs,
    leaseMs,
    last,
    isGone,
  }: { nowMs: number; leaseMs: number; last: WillDue | undefined; isGone: boolean },
): WillDue {
  if (level === 'withdrawn' && isGone) return { atMs: undefined, heir: WITHDRAWN };
  if (Number.isFinite(standing.deadlineMs) && !standing.isAlone) {
    return { atMs: Math.ceil(standing.deadlineMs), heir: WITHDRAWN };
  }
  const heir: Announcement = level === 'withdrawn' ? WITHDRAWN : { level: 'lastResort', addresses };
  if (level === 'lastResort') return { atMs: undefined, heir };
  const leftMs = (last?.atMs ?? Number.NEGATIVE_INFINITY) - nowMs;
  const isFresh = leftMs > leaseMs * WILL_LEFT_SHARE && leftMs <= leaseMs;
  return { atMs: isFresh ? last!.atMs : Math.ceil(nowMs + leaseMs), heir };
}

function withoutWill(): Failure {
  return new Failure('unavailable', 'the service addresses are not announced', {
    reason: 'What is to become of them when this daemon is dead cannot be written down.',
    remedy: 'see whether the file system of routes.directory is full or read-only',
  });
}

function describe({ level, addresses }: Announcement): string {
  if (level === 'withdrawn') return 'this mux withdraws the service addresses';
  const how = level === 'normal' ? 'announces' : 'announces as the last resort';
  return `this mux ${how} ${addresses.length} service ${addresses.length === 1 ? 'address' : 'addresses'}`;
}
