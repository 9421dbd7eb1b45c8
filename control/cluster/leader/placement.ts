// Owns what the next version does with the slots of one pool: which become tracked, committed, settled, clean. Pure.
// Not here: whether a step's waits are over (progress.ts), who keeps the slots (chains.ts).
import {
  type Candidate,
  type Member,
  PERIODS_MAX,
  type Period,
  type Placement,
  type Step,
} from '../version.ts';
import { cleanWhole, Drawing, isFree, type Slot } from './drawing.ts';
import { PERIODS_RESERVED } from './inputs.ts';
import type { Progress } from './progress.ts';
import type { Servers } from './servers.ts';

export type PlacementInputs = {
  readonly number: number;
  /** With its periods as members are from this version on. */
  readonly before: Placement;
  /** As they are in the head, by index: progress is of them. */
  readonly progress: readonly Progress[];
  /** The intent's table: backend of each slot, 0: it has nobody for it. */
  readonly target: Uint16Array;
  /** Whether a backend is dead: flows on it are given up. */
  readonly isDead: (backend: number) => boolean;
  /** No flow of the pool is open at any mux: everything is done at once. */
  readonly isUnused: boolean;
  /** False: nobody waits for a partial cleaning; it happens with what else there is. */
  readonly mayCleanSome: boolean;
  /** Who keeps flows of what begins with this version. */
  readonly candidates: readonly (readonly Candidate[])[];
  /** Of this version. */
  readonly members: readonly Member[];
  /** Of a pool of filters. */
  readonly servers: Servers;
  readonly idleTimeoutMs: number;
  readonly reason: () => string;
};

export type PlacementChange = {
  readonly placement: Placement;
  /** There are too many periods: changes of the intent wait. */
  readonly isFull: boolean;
  /** Slots that wait, as too many servers may have affinities of them. */
  readonly crowded?: number;
};

export function nextPlacement(inputs: PlacementInputs): PlacementChange {
  const { before, target } = inputs;
  if (inputs.isUnused) return { placement: atOnce(before, target), isFull: false };
  return drawnWithRoom(before, (follows) => new Steps(inputs, follows).draw());
}

/** `draw`: what comes of the pool; `follows`: of the intent as well, otherwise only of what is open. */
export function drawnWithRoom(before: Placement, draw: (follows: boolean) => Placement): PlacementChange {
  const whole = draw(true);
  if (hasRoom(before.periods.length, whole.periods.length)) return { placement: whole, isFull: false };
  // Those that are open may have left no room: they go on, and what is new waits for them.
  const progress = draw(false);
  return { placement: progress.periods.length <= PERIODS_MAX ? progress : before, isFull: true };
}

/** Whether the periods of a pool may become so many for what is new: some are kept for those that are open to go on. */
export function hasRoom(before: number, after: number): boolean {
  return after <= Math.max(before, PERIODS_MAX - PERIODS_RESERVED);
}

/** A pool that no version had. */
export function newPlacement(poolId: number, target: Uint16Array): Placement {
  return {
    poolId,
    current: target,
    base: target,
    period: new Uint8Array(target.length),
    periods: [],
  };
}

/** Nothing of the pool is open anywhere: nobody waits. */
export function atOnce(before: Placement, target: Uint16Array): Placement {
  // A slot that the intent has nobody for stays where it was.
  const next = target.some((backend, slot) => backend === 0 && before.current[slot] !== 0)
    ? target.map((backend, slot) => backend || before.current[slot]!)
    : target;
  const isSame =
    before.periods.length === 0 && next.every((backend, slot) => backend === before.current[slot]);
  return isSame ? before : newPlacement(before.poolId, next);
}

class Steps {
  readonly #inputs: PlacementInputs;
  /** Whether the intent is followed; otherwise only what is open goes on. */
  readonly #follows: boolean;
  readonly #drawing: Drawing;
  readonly #some: readonly boolean[];

  constructor(inputs: PlacementInputs, follows: boolean) {
    this.#inputs = inputs;
    this.#follows = follows;
    this.#drawing = new Drawing(inputs.before);
    this.#some = cleanWhole(inputs.before, inputs.progress, inputs.mayCleanSome);
  }

  draw(): Placement {
    return this.#drawing.draw((slot, at) => this.#decide(slot, at));
  }

  #decide(slot: Slot, at: number): void {
    const { before, progress, target, isDead, number } = this.#inputs;
    // What the intent has nobody for stays where it is: better there than nowhere.
    const wanted = target[at] || slot.current;
    if (slot.period === 0) {
      if (wanted === slot.current || !this.#follows) return;
      if (slot.current === 0) {
        slot.current = wanted;
        slot.base = wanted;
      } else {
        slot.period = this.#beginning(isDead(slot.current));
      }
      return;
    }
    const index = slot.period - 1;
    const period = before.periods[index]!;
    const state = progress[index]!;
    // Chains that change with this very version are repaired first.
    const isWhole = state.isRepaired && period.chainEpoch !== number;
    if (period.step === 'track') this.#stepTracked(slot, period, state, wanted, isWhole);
    else if (period.step === 'commit') this.#stepCommitted(slot, period, state, wanted, isWhole);
    else this.#stepSettled(slot, period, state, wanted, isWhole, at);
  }

  #stepTracked(slot: Slot, period: Period, state: Progress, wanted: number, isWhole: boolean): void {
    const { isDead } = this.#inputs;
    if (isDead(slot.base) && wanted !== slot.base) {
      if (!state.hasBarrier) return;
      slot.current = wanted;
      slot.base = wanted;
      slot.period = this.#moved(period, 'settle');
    } else if (wanted === slot.base) {
      // All flows are where they would be without tracking.
      if (isWhole) slot.period = 0;
    } else if (state.isReady && isWhole) {
      slot.current = wanted;
      slot.period = this.#moved(period, 'commit');
    }
  }

  #stepCommitted(slot: Slot, period: Period, state: Progress, wanted: number, isWhole: boolean): void {
    const { isDead } = this.#inputs;
    const current = (isWhole && this.#follows) || isDead(slot.current) ? wanted : slot.current;
    const base = isDead(slot.base) ? current : slot.base;
    if (current !== slot.current || base !== slot.base) {
      slot.current = current;
      slot.base = base;
      slot.period = this.#moved(period, base === current ? 'settle' : 'commit');
    } else if (state.isReady && isWhole) {
      slot.base = slot.current;
      slot.period = this.#moved(period, 'settle');
    }
  }

  #stepSettled(
    slot: Slot,
    period: Period,
    state: Progress,
    wanted: number,
    isWhole: boolean,
    at: number,
  ): void {
    const { isDead } = this.#inputs;
    if (isDead(slot.current) && wanted !== slot.current) {
      slot.current = wanted;
      slot.base = wanted;
      slot.period = this.#moved(period, 'settle');
    } else if (wanted !== slot.current) {
      if (!isWhole || !this.#follows) return;
      slot.current = wanted;
      slot.period = this.#moved(period, 'commit');
    } else if (isWhole && isFree(state, at) && this.#some[slot.period - 1]) {
      slot.period = 0;
    }
  }

  /** The number of the period for slots that are tracked from this version on. */
  #beginning(isUrgent: boolean): number {
    const { number, candidates, idleTimeoutMs, reason } = this.#inputs;
    return this.#drawing.numberOf(`begin ${isUrgent}`, () => ({
      trackEpoch: number,
      chainEpoch: number,
      candidates,
      step: 'track',
      stepVersion: number,
      idleTimeoutMs,
      isUrgent,
      lostSlots: 0,
      reason: reason(),
    }));
  }

  /** The number of the period for slots of `from` that take this step with this version. */
  #moved(from: Period, step: Step): number {
    const { number, before, reason } = this.#inputs;
    const isOverlap = step === 'commit' && from.step !== 'track';
    const key = `${from.trackEpoch} ${step} ${from.isUrgent}`;
    const known = this.#drawing.known(key);
    if (known !== undefined) return known;
    // What was at this step before joins: it waits a little longer, and periods do not pile up.
    const made = this.#drawing.numberOf(key, () => ({
      ...from,
      step,
      stepVersion: number,
      reason: isOverlap ? reason() : from.reason,
    }));
    if (step === 'settle') this.#join(made, before, from);
    return made;
  }

  #join(made: number, before: Placement, from: Period): void {
    for (const [index, period] of before.periods.entries()) {
      const isAlike =
        period.step === 'settle' &&
        period.trackEpoch === from.trackEpoch &&
        period.isUrgent === from.isUrgent;
      if (isAlike) this.#drawing.join(index + 1, made);
    }
  }
}
