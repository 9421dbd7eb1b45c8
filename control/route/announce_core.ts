// Owns what a mux announces to routers: which service addresses, and whether as one of those that serve, as the last
// resort, or not at all. Pure: what is known goes in, what is to be announced comes out. Not here: telling BIRD
// (announcer.ts), and what makes a mux a member (control/cluster).
//
//   not attached, no member, past the deadline       withdrawn
//   a member that may decide                         normal
//   past the deadline, and nobody is heard           last resort: whoever else announces is preferred
//   the only mux, and the store is away              last resort
//   it is to leave                                   last resort, and after a while withdrawn; only then it leaves
import type { Announcement, Level } from './bird/include_codec.ts';

/** What a mux stands on; times are of the clock that `nowMs` comes with. */
export type Standing = {
  /** In the version that is in effect here, and in the newest. */
  readonly isMember: boolean;
  /** Of the program: until when it may decide; Infinity: for ever. */
  readonly deadlineMs: number;
  /** The program forwards by what it knows, because nobody is heard. */
  readonly isAlone: boolean;
  /** Nobody else is a member. */
  readonly isOnly: boolean;
  /** What the store's last renewal is worth. */
  readonly leaseEndsMs: number;
  /** An operator has it leave. */
  readonly isLeaving: boolean;
  /** The program is on an interface. */
  readonly isServing: boolean;
  /** Service addresses whose packets this mux can bring to a backend, by the version in effect. */
  readonly addresses: readonly string[];
};

export type AnnounceTimes = {
  /** A mux that leaves is the last resort for so long. */
  readonly leaveMs: number;
};

/** What was withdrawn is announced again after so long: a mux that comes and goes is not to move flows each time. */
export const RETURN_MS = 1_000;
/** Routers that were told that nothing leads here any more have heard it after so long. */
export const MOVE_MS = 500;
/** A mux that cannot withdraw its routes leaves nevertheless: what still comes, it relays. */
export const LEAVE_LIMIT_MS = 30_000;

export const WITHDRAWN: Announcement = { level: 'withdrawn', addresses: [] };

export class Announce {
  readonly #times: AnnounceTimes;
  #current: Announcement;
  /** What its addresses were made of. */
  #given: readonly string[] | undefined;
  /** Announced by a daemon before this one, until its program's deadline. */
  #keptUntilMs: number | undefined;
  #withdrawnMs = Number.NEGATIVE_INFINITY;
  #leavingMs: number | undefined;
  /** Since when routers have nothing of it, as far as BIRD says. */
  #goneMs: number | undefined;

  /** `kept`: what a daemon before this one has announced, and may still. */
  constructor(times: AnnounceTimes, kept?: { announcement: Announcement; untilMs: number }) {
    this.#times = times;
    this.#current = kept?.announcement ?? WITHDRAWN;
    this.#keptUntilMs = kept?.untilMs;
  }

  get current(): Announcement {
    return this.#current;
  }

  /** `standing` is undefined until this daemon knows its version: what is kept goes on, until it may not. */
  step(standing: Standing | undefined, nowMs: number): Announcement {
    if (standing === undefined) {
      if (this.#keptUntilMs === undefined || nowMs >= this.#keptUntilMs) this.#become('withdrawn', [], nowMs);
      return this.#current;
    }
    this.#keptUntilMs = undefined;
    if (standing.isLeaving) this.#leavingMs ??= nowMs;
    else this.#leavingMs = this.#goneMs = undefined;
    this.#become(this.#levelOf(standing, nowMs), standing.addresses, nowMs);
    return this.#current;
  }

  /** `isDone`: BIRD has what was asked for last, or is not there at all. True where a mux that is to leave may go. */
  mayLeave(isDone: boolean, nowMs: number): boolean {
    if (this.#leavingMs === undefined) return false;
    if (nowMs - this.#leavingMs >= this.#times.leaveMs + LEAVE_LIMIT_MS) return true;
    if (!isDone || this.#current.level !== 'withdrawn') {
      this.#goneMs = undefined;
      return false;
    }
    this.#goneMs ??= nowMs;
    return nowMs - this.#goneMs >= MOVE_MS;
  }

  #levelOf(it: Standing, nowMs: number): Level {
    if (!it.isServing || !it.isMember) return 'withdrawn';
    const mayDecide = it.deadlineMs > nowMs;
    if (!mayDecide && !it.isAlone) return 'withdrawn';
    if (this.#leavingMs !== undefined) {
      const wasThere = this.#current.level !== 'withdrawn';
      return wasThere && nowMs - this.#leavingMs < this.#times.leaveMs ? 'lastResort' : 'withdrawn';
    }
    if (!mayDecide || (it.isOnly && it.leaseEndsMs <= nowMs)) return 'lastResort';
    return 'normal';
  }

  #become(level: Level, addresses: readonly string[], nowMs: number): void {
    const was = this.#current.level;
    if (level === 'withdrawn') {
      if (was !== 'withdrawn') this.#withdrawnMs = nowMs;
      this.#current = WITHDRAWN;
      return;
    }
    if (was === 'withdrawn' && nowMs - this.#withdrawnMs < RETURN_MS) return;
    // There may be thousands, many times a second.
    if (was === level && addresses === this.#given) return;
    this.#given = addresses;
    this.#current = { level, addresses: [...addresses].sort() };
  }
}

export function isSame(one: Announcement, other: Announcement): boolean {
  return (
    one.level === other.level &&
    (one.addresses === other.addresses ||
      (one.addresses.length === other.addresses.length &&
        one.addresses.every((address, index) => address === other.addresses[index])))
  );
}
