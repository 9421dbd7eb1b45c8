// Owns making the next placement of a pool slot by slot: tables that are copied only where they change, periods that are
// numbered anew. Pure. What becomes of a slot is decided by who draws (placement.ts, holders_placement.ts).
import { PERIODS_MAX, type Period, type Placement } from '../version.ts';
import type { Progress } from './progress.ts';

/** What becomes of a slot: its backends, and the period it is in (0: clean). */
export type Slot = { current: number; base: number; period: number };

export class Drawing {
  readonly #before: Placement;
  readonly #periods: Period[];
  readonly #made = new Map<string, number>();
  readonly #joined = new Map<number, number>();

  constructor(before: Placement) {
    this.#before = before;
    this.#periods = [...before.periods];
  }

  /** `decide` changes the slot it is given, which is the same object each time. */
  draw(decide: (slot: Slot, at: number) => void): Placement {
    const before = this.#before;
    const { length } = before.current;
    let current: Uint16Array | undefined;
    let base: Uint16Array | undefined;
    let period: Uint8Array | undefined;
    const slot: Slot = { current: 0, base: 0, period: 0 };
    // Numbers of the drawing go beyond a byte; those that are left are numbered anew.
    const drawn = new Uint16Array(length);
    for (let at = 0; at < length; at++) {
      slot.current = before.current[at]!;
      slot.base = before.base[at]!;
      slot.period = before.period[at]!;
      decide(slot, at);
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
    const periods = this.#periods.filter((_, index) => numbers[index + 1] !== 0);
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

  known(key: string): number | undefined {
    return this.#made.get(key);
  }

  /** The number of the period of this name, which is made the first time. */
  numberOf(key: string, make: () => Period): number {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const number = this.#periods.push(make());
    this.#made.set(key, number);
    return number;
  }

  /** All slots of a period that was there before go with `into`. */
  join(before: number, into: number): void {
    this.#joined.set(before, into);
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
}

/** Of each period, whether its slots may become clean now: all of them can, or it is time for some. */
export function cleanWhole(
  before: Placement,
  progress: readonly Progress[],
  mayCleanSome: boolean,
): readonly boolean[] {
  const may = progress.map(({ held }) => held !== undefined);
  if (mayCleanSome || !may.includes(true)) return may;
  for (let at = 0; at < before.period.length; at++) {
    const index = before.period[at]! - 1;
    if (index >= 0 && may[index] && !isFree(progress[index]!, at)) may[index] = false;
  }
  return may;
}

export function isFree({ held }: Progress, slot: number): boolean {
  return held !== undefined && (held[slot >> 3]! & (1 << (slot & 7))) === 0;
}
