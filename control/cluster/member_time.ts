// Owns the cluster's time at a mux: taken from the store by who comes new, told there for who comes next, moved on by what
// others say; and that a mux has slept when everybody's has gone on without it. Not here: hearing others
// (heartbeat_core.ts), running what waits for the store (member.ts).
import { ahead } from './heartbeat_core.ts';
import type { MemberStore } from './member_store.ts';
import type { Muxes } from './member_view.ts';
import type { Candidate, Version } from './version.ts';

/** Ticks of 2^20 ns, modulo 2^32. */
export interface TimedProgram {
  clusterTime(): number;
  advanceTime(ticks: number): void;
}

type TimeStore = Pick<MemberStore, 'clusterTime' | 'writeClusterTime'>;

/** The moment of the cluster's time in the store must be less than half of 2^32 ticks (26 days) ago. */
const WRITE_INTERVAL_MS = 3_600_000;
const TICK_MS = 2 ** 20 / 1e6;

export class MemberTime {
  readonly #program: TimedProgram;
  readonly #store: TimeStore;
  #isKnown = false;
  #isTold = false;
  #writtenMs = Number.NEGATIVE_INFINITY;

  constructor(program: TimedProgram, store: TimeStore) {
    this.#program = program;
    this.#store = store;
  }

  /** A difference from another's time means something. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /**
   * A mux that comes new begins at a moment of the cluster that has passed, so that its time moves nobody else's. `isAdopted`:
   * its program has been a mux of the cluster.
   */
  async take(isAdopted: boolean): Promise<void> {
    const ticks = isAdopted ? undefined : await this.#store.clusterTime();
    // Where nobody has written any the time is this mux's own.
    this.#isKnown = ticks === undefined;
    if (ticks !== undefined) this.#program.advanceTime(ticks - this.#program.clusterTime());
  }

  /** A new member is not behind by more than it takes to read this: its asks are taken before it has heard anybody. */
  async read(): Promise<void> {
    const ticks = await this.#store.clusterTime();
    const behind = ticks === undefined ? 0 : ahead(ticks, this.#program.clusterTime());
    if (behind > 0 && !this.#isKnown) this.#program.advanceTime(behind);
    this.#isKnown = true;
  }

  /** Others are ahead by so much. True where this mux did not run for so long that what it has proven is over. */
  advance(ticks: number, leaseMs: number): boolean {
    this.#program.advanceTime(ticks);
    const hasSlept = this.#isKnown && ticks * TICK_MS > leaseMs;
    this.#isKnown = true;
    return hasSlept;
  }

  /** One member tells those that come new what time it is: true where it is this one's turn, and it has not yet. */
  isAsked({ registrations }: Muxes, { members }: Pick<Version, 'members'>, self: Candidate): boolean {
    if (members[0]?.id !== self.id) return false;
    const isNew = [...registrations.values()].some(
      ({ id, incarnation }) => !members.some((it) => it.id === id && it.incarnation === incarnation),
    );
    const isAsked = isNew && !this.#isTold;
    this.#isTold = isNew;
    if (isAsked) this.#writtenMs = Number.NEGATIVE_INFINITY;
    return isAsked;
  }

  isDue(atMs: number): boolean {
    return atMs - this.#writtenMs >= WRITE_INTERVAL_MS;
  }

  async write(atMs: number): Promise<void> {
    await this.#store.writeClusterTime(this.#program.clusterTime());
    this.#writtenMs = atMs;
  }
}
