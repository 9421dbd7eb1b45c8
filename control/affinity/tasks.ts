// Owns what a filter's daemon does for clients beside its program: takes out affinities that have ended, gives up those of
// pools that this server is dead in, and reports to the leader in which moved slots it has clients still. Bounded work a
// tick; the caller ticks, with the time. What each step does to the tables is the program's.
import { type Candidate, type PeriodReport, REPORT_INTERVAL_MS, type Version } from '../cluster/version.ts';

/** Runs of the program in one tick. */
export const STEPS_PER_TICK = 64;
/** Where no slot has moved: places of clients that are gone are to be others'. */
const IDLE_SWEEP_MS = 30_000;

export interface AffinityEngine {
  /** Forgets what the sweep before found. */
  beginSweep(): void;
  /** Takes out what has ended, and marks where the rest is; `next`: where to go on, undefined: that was all. */
  sweep(at: number): { readonly next: number | undefined; readonly live: number };
  /** After a sweep: slots with a client here whose current server is another, a bit each; undefined: no such pool here. */
  heldSlots(poolId: number): Uint8Array | undefined;
  /** When a session of the tracking, or of clean slots, began unrecorded last, on the clock of ticks; undefined: never. */
  unrecordedMs(poolId: number, trackEpoch: number): number | undefined;
  /** Pools whose clients this server gives up, in the version in effect. */
  givenUp(): ReadonlySet<number>;
  /** Takes out clients of these pools, as sweep(). */
  giveUp(pools: ReadonlySet<number>, at: number): { readonly next: number | undefined };
}

export type AffinityTasksOptions = {
  readonly engine: AffinityEngine;
  readonly self: () => Candidate | undefined;
  /** The reports have changed, or are to be written again. */
  readonly onReports: () => void;
};

type Census = { readonly live: number; readonly held: ReadonlyMap<number, Uint8Array> };
type Step = 'giveUp' | 'sweep';

export class AffinityTasks {
  readonly #options: AffinityTasksOptions;
  #version: Version | undefined;
  #poolIds: readonly number[] = [];
  /** Of the last whole pass at the version in effect. */
  #census: Census | undefined;
  /** The pass that runs. */
  #pass: { step: Step; at: number; live: number } | undefined;
  #dueMs = Number.NEGATIVE_INFINITY;
  #live = 0;
  /** Nothing is copied from server to server: what one has it keeps until it ends. */
  readonly copying = undefined;

  constructor(options: AffinityTasksOptions) {
    this.#options = options;
  }

  /** In effect on each CPU. */
  apply(version: Version): void {
    this.#version = version;
    this.#poolIds = [...version.placements.values()]
      .filter(({ periods }) => periods.length > 0)
      .map(({ poolId }) => poolId);
    // What was counted was of another `current`.
    this.#census = undefined;
    this.#pass = undefined;
    if (this.#poolIds.length > 0 || this.#options.engine.givenUp().size > 0)
      this.#dueMs = Number.NEGATIVE_INFINITY;
  }

  acknowledged(): void {}

  /** Clients here, as counted last. */
  get live(): number {
    return this.#live;
  }

  tick(nowMs: number): void {
    if (this.#version === undefined || this.#options.self() === undefined) return;
    if (this.#pass === undefined && nowMs >= this.#dueMs) this.#begin(nowMs);
    for (let steps = STEPS_PER_TICK; steps > 0 && this.#pass !== undefined; steps--) this.#step();
  }

  tickCopies(): undefined {
    return undefined;
  }

  /** Of `version`, where that is in effect here. */
  reports(version: number, nowMs: number): PeriodReport[] {
    const { engine } = this.#options;
    if (this.#version?.number !== version) return [];
    return [...this.#version.placements.values()].flatMap(({ poolId, periods }) =>
      [...new Map(periods.map((it) => [it.trackEpoch, it])).values()].map(
        ({ trackEpoch, chainEpoch }): PeriodReport => {
          const heldSlots = this.#census?.held.get(poolId);
          const unrecordedMs = engine.unrecordedMs(poolId, trackEpoch);
          return {
            poolId,
            trackEpoch,
            copiedChainEpoch: chainEpoch,
            isHandedOver: false,
            unrecordedAgoMs: unrecordedMs === undefined ? -1 : Math.max(0, Math.round(nowMs - unrecordedMs)),
            ...(heldSlots !== undefined && { heldSlots }),
            flows: this.#census?.live ?? 0,
            oldFlows: heldSlots === undefined ? 0 : bitsOf(heldSlots),
          };
        },
      ),
    );
  }

  #begin(nowMs: number): void {
    const { engine } = this.#options;
    this.#dueMs = nowMs + (this.#poolIds.length > 0 ? REPORT_INTERVAL_MS : IDLE_SWEEP_MS);
    engine.beginSweep();
    // What is given up is not to be counted.
    this.#pass = { step: engine.givenUp().size > 0 ? 'giveUp' : 'sweep', at: 0, live: 0 };
  }

  #step(): void {
    const { engine, onReports } = this.#options;
    const pass = this.#pass!;
    if (pass.step === 'giveUp') {
      const { next } = engine.giveUp(engine.givenUp(), pass.at);
      this.#pass = next === undefined ? { ...pass, step: 'sweep', at: 0 } : { ...pass, at: next };
      return;
    }
    const { next, live } = engine.sweep(pass.at);
    pass.live += live;
    if (next !== undefined) {
      pass.at = next;
      return;
    }
    this.#pass = undefined;
    this.#live = pass.live;
    const held = this.#poolIds.flatMap((id): [number, Uint8Array][] => {
      const slots = engine.heldSlots(id);
      return slots === undefined ? [] : [[id, slots]];
    });
    this.#census = { live: pass.live, held: new Map(held) };
    if (this.#poolIds.length > 0) onReports();
  }
}

function bitsOf(bitmap: Uint8Array): number {
  let count = 0;
  for (let byte of bitmap) for (; byte !== 0; byte &= byte - 1) count++;
  return count;
}
