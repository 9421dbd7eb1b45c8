// Owns what the next version does with the slots of one pool: which become tracked, committed, settled, clean. Pure.
// Not here: whether a step's waits are over (progress.ts), who keeps the slots (chains.ts).
import { type Candidate, PERIODS_MAX, type Period, type Placement, type Step } from '../version.ts';
import { PERIODS_RESERVED } from './inputs.ts';
import type { Progress } from './progress.ts';

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
  readonly candidates: readonly (readonly Candidate[])[];
  readonly idleTimeoutMs: number;
  readonly reason: () => string;
};

export type PlacementChange = {
  readonly placement: Placement;
  /** There are too many periods: changes of the intent wait. */
  readonly isFull: boolean;
};

export function nextPlacement(inputs: PlacementInputs): PlacementChange {
  const { before, target } = inputs;
  if (inputs.isUnused) return { placement: atOnce(before, target), isFull: false };
  const whole = new Drawing(inputs, true).draw();
  if (hasRoom(before.periods.length, whole.periods.length)) return { placement: whole, isFull: false };
  // Those that are open may have left no room: they go on, and what is new waits for them.
  const progress = new Drawing(inputs, false).draw();
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

function atOnce(before: Placement, target: Uint16Array): Placement {
  // A slot that the intent has nobody for stays where it was.
  const next = target.some((backend, slot) => backend === 0 && before.current[slot] !== 0)
    ? target.map((backend, slot) => backend || before.current[slot]!)
    : target;
  const isSame =
    before.periods.length === 0 && next.every((backend, slot) => backend === before.current[slot]);
  return isSame ? before : newPlacement(before.poolId, next);
}

/** What becomes of a slot: its backends, and the period it is in (0: clean). */
type Slot = { current: number; base: number; period: number };

class Drawing {
  readonly #inputs: PlacementInputs;
  /** Whether the intent is followed; otherwise only what is open goes on. */
  readonly #follows: boolean;
  readonly #periods: Period[];
  readonly #made = new Map<string, number>();
  readonly #slot: Slot = { current: 0, base: 0, period: 0 };
  #some: boolean[] = [];

  constructor(inputs: PlacementInputs, follows: boolean) {
    this.#inputs = inputs;
    this.#follows = follows;
    this.#periods = [...inputs.before.periods];
  }

  draw(): Placement {
    const { before } = this.#inputs;
    const { length } = before.current;
    this.#some = this.#cleanWhole();
    let current: Uint16Array | undefined;
    let base: Uint16Array | undefined;
    let period: Uint8Array | undefined;
    const slot = this.#slot;
    // Numbers of the drawing go beyond a byte; those that are left are numbered anew.
    const drawn = new Uint16Array(length);
    for (let at = 0; at < length; at++) {
      slot.current = before.current[at]!;
      slot.base = before.base[at]!;
      slot.period = before.period[at]!;
      this.#decide(at);
      drawn[at] = slot.period;
      if (slot.current !== before.current[at]) {
        current ??= before.current.slice();
        current[at] = slot.current;
      }
      if (slot.base !== before.base[at]) {
        base ??= before.base.slice();
        base[at] = slot.base;
      }
    }
    const numbers = this.#renumber(drawn);
    for (let at = 0; at < length; at++) {
      const number = numbers[drawn[at]!]!;
      if (number === before.period[at]) continue;
      period ??= before.period.slice();
      period[at] = number;
    }
    const periods = this.#kept(numbers);
    // Too many for a byte: the caller draws less.
    if (periods.length > PERIODS_MAX) return { ...before, periods };
    const isSame =
      current === undefined &&
      base === undefined &&
      period === undefined &&
      periods.length === before.periods.length &&
      periods.every((it, index) => it === before.periods[index]);
    if (isSame) return before;
    return {
      poolId: before.poolId,
      current: current ?? before.current,
      base: base ?? before.base,
      period: period ?? before.period,
      periods,
    };
  }

  #decide(at: number): void {
    const slot = this.#slot;
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
    if (period.step === 'track') this.#stepTracked(period, state, wanted, isWhole);
    else if (period.step === 'commit') this.#stepCommitted(period, state, wanted, isWhole);
    else this.#stepSettled(period, state, wanted, isWhole, at);
  }

  #stepTracked(period: Period, state: Progress, wanted: number, isWhole: boolean): void {
    const slot = this.#slot;
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

  #stepCommitted(period: Period, state: Progress, wanted: number, isWhole: boolean): void {
    const slot = this.#slot;
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

  #stepSettled(period: Period, state: Progress, wanted: number, isWhole: boolean, at: number): void {
    const slot = this.#slot;
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

  /** Of each period, whether its slots may become clean now: all of them can, or it is time for some. */
  #cleanWhole(): boolean[] {
    const { before, progress, mayCleanSome } = this.#inputs;
    const may = progress.map(({ held }) => held !== undefined);
    if (mayCleanSome || !may.includes(true)) return may;
    for (let at = 0; at < before.period.length; at++) {
      const index = before.period[at]! - 1;
      if (index >= 0 && may[index] && !isFree(progress[index]!, at)) may[index] = false;
    }
    return may;
  }

  /** The number of the period for slots that are tracked from this version on. */
  #beginning(isUrgent: boolean): number {
    const { number, candidates, idleTimeoutMs, reason } = this.#inputs;
    return this.#numberOf(`begin ${isUrgent}`, () => ({
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
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    // What was at this step before joins: it waits a little longer, and periods do not pile up.
    const made = this.#numberOf(key, () => ({
      ...from,
      step,
      stepVersion: number,
      reason: isOverlap ? reason() : from.reason,
    }));
    if (step === 'settle') this.#join(made, before, from);
    return made;
  }

  #joined = new Map<number, number>();
  #join(made: number, before: Placement, from: Period): void {
    for (const [index, period] of before.periods.entries()) {
      const isAlike =
        period.step === 'settle' &&
        period.trackEpoch === from.trackEpoch &&
        period.isUrgent === from.isUrgent;
      if (isAlike) this.#joined.set(index + 1, made);
    }
  }

  #numberOf(key: string, make: () => Period): number {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const number = this.#periods.push(make());
    this.#made.set(key, number);
    return number;
  }

  /** New numbers of those that have slots, in order, by drawn number. */
  #renumber(drawn: Uint16Array): Uint16Array {
    const isUsed = new Uint8Array(this.#periods.length + 1);
    for (let at = 0; at < drawn.length; at++) {
      const joined = this.#joined.get(drawn[at]!);
      if (joined !== undefined) drawn[at] = joined;
      isUsed[drawn[at]!] = 1;
    }
    const numbers = new Uint16Array(isUsed.length);
    let next = 1;
    for (let number = 1; number < isUsed.length; number++) if (isUsed[number]) numbers[number] = next++;
    return numbers;
  }

  #kept(numbers: Uint16Array): Period[] {
    return this.#periods.filter((_, index) => numbers[index + 1] !== 0);
  }
}

function isFree({ held }: Progress, slot: number): boolean {
  return held !== undefined && (held[slot >> 3]! & (1 << (slot & 7))) === 0;
}
