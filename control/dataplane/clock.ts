// Owns time as the program tells it, and the deadline in it: deadlines count in jiffies, which user space cannot read, at
// a rate that the kernel does not tell. Under driven time they count in ticks of it. Not here: when a deadline is moved.
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOCK_RECORD_LAYOUT, type ClockRecord, clockRecordCodec, Limit } from './generated/layout.ts';
import { memberOffset } from './layout_offsets.ts';
import { NO_DEADLINE, type SelfRecord } from './self.ts';

/** Taken together. `ns` is CLOCK_MONOTONIC, as process.hrtime() has it, or driven time. */
export type ClockSample = { readonly ns: bigint; readonly jiffies: bigint };

/** What Linux is built with on the architectures that have XDP (kernel/Kconfig.hz). */
const RATES_KNOWN = [100, 250, 300, 1000];
/** A measured rate that is as near is that rate. */
const RATE_TOLERANCE = 0.04;
/** So many, that one more or less is within the tolerance. */
const JIFFIES_MEASURED = 64n;
const MEASURE_STEP_MS = 50;
const MEASURE_MAX_MS = 2_000;
const NS_PER_MS = 1e6;
/** A reading may be late by a jiffy. */
const OFF_JIFFIES_MAX = 2;

const wordOf = (member: keyof ClockRecord): number => memberOffset(CLOCK_RECORD_LAYOUT, member) / 8;
const JIFFIES_OFFSET_NS = wordOf('jiffies_offset_ns');
const JIFFY_NS = wordOf('jiffy_ns');

export class DataplaneClock {
  readonly #sample: () => ClockSample;
  readonly #first: ClockSample;
  #jiffiesPerSecond: number | undefined;
  #measuring: Promise<void> | undefined;
  readonly #record: BigUint64Array | undefined;

  /** `record` is the mapped section (struct clock_record): the program is told the rate as soon as it is known. */
  constructor(sample: () => ClockSample, isDriven: boolean, record?: ArrayBuffer) {
    this.#record = record && new BigUint64Array(record, 0, clockRecordCodec.sizeBytes / 8);
    this.#sample = sample;
    this.#first = sample();
    if (isDriven) this.#jiffiesPerSecond = 1e9 / 2 ** Limit.LIMIT_TICK_SHIFT;
  }

  sample(): ClockSample {
    return this.#sample();
  }

  /** In the program's time. */
  nowNs(): bigint {
    return this.#sample().ns;
  }

  get jiffiesPerSecond(): number {
    if (this.#jiffiesPerSecond === undefined)
      throw new Error('the rate of jiffies is not known before ready()');
    return this.#jiffiesPerSecond;
  }

  /** That, or more while it is not known. */
  get jiffiesPerSecondMax(): number {
    return this.#jiffiesPerSecond ?? Math.max(...RATES_KNOWN);
  }

  /** Resolves once the rate of jiffies is known: 0.7 s after this clock was made, at most. */
  ready(): Promise<void> {
    this.#measuring ??= this.#measure().then(() => this.#teach());
    return this.#measuring;
  }

  /**
   * Has the program tell the time by jiffies, which costs it a load and not a call. Both go on at one rate, so it holds
   * until the host boots, and what an earlier daemon has written stays while it is right. Of a rate that no kernel has
   * the length of a jiffy is not known well enough.
   */
  #teach(): void {
    const record = this.#record;
    const rate = this.jiffiesPerSecond;
    if (record === undefined || !RATES_KNOWN.includes(rate)) return;
    const jiffyNs = BigInt(Math.round(1e9 / rate));
    const { ns, jiffies } = this.#sample();
    const offsetNs = BigInt.asUintN(64, ns - jiffies * jiffyNs);
    const offNs = Number(BigInt.asIntN(64, offsetNs - Atomics.load(record, JIFFIES_OFFSET_NS)));
    if (Atomics.load(record, JIFFY_NS) === jiffyNs && Math.abs(offNs) <= OFF_JIFFIES_MAX * Number(jiffyNs))
      return;
    Atomics.store(record, JIFFIES_OFFSET_NS, offsetNs);
    Atomics.store(record, JIFFY_NS, jiffyNs);
  }

  async #measure(): Promise<void> {
    for (let waitedMs = 0; this.#jiffiesPerSecond === undefined; waitedMs += MEASURE_STEP_MS) {
      const now = this.#sample();
      if (now.jiffies - this.#first.jiffies >= JIFFIES_MEASURED)
        this.#jiffiesPerSecond = rateOf(this.#first, now);
      else if (waitedMs > MEASURE_MAX_MS) throw new Error('jiffies stand still');
      else await sleep(MEASURE_STEP_MS);
    }
  }
}

/** Jiffies a second between two samples. Where it is none that is known, less than what was measured. */
export function rateOf(before: ClockSample, after: ClockSample): number {
  const measured = (Number(after.jiffies - before.jiffies) * 1e9) / Number(after.ns - before.ns);
  const known = RATES_KNOWN.find((rate) => Math.abs(rate - measured) <= rate * RATE_TOLERANCE);
  return known ?? measured * (1 - RATE_TOLERANCE);
}

/** Until when a mux may decide. */
export class Deadline {
  readonly #self: SelfRecord;
  readonly #clock: DataplaneClock;

  constructor(self: SelfRecord, clock: DataplaneClock) {
    this.#self = self;
    this.#clock = clock;
  }

  /**
   * Milliseconds of CLOCK_MONOTONIC (driven time); undefined: for ever. One that has passed may be told roughly, and until
   * the clock is ready one that a daemon before this one has set is told too early.
   */
  get atMs(): number | undefined {
    const { deadline } = this.#self;
    if (deadline === NO_DEADLINE) return undefined;
    const { ns, jiffies } = this.#clock.sample();
    return Number(ns) / NS_PER_MS + (Number(deadline - jiffies) * 1000) / this.#clock.jiffiesPerSecondMax;
  }

  get hasPassed(): boolean {
    return this.#self.deadline < this.#clock.sample().jiffies;
  }

  /** To be called after the clock is ready. Rounds down: the program never decides longer. */
  set(atMs: number | undefined): void {
    if (atMs === undefined) {
      this.#self.deadline = NO_DEADLINE;
      return;
    }
    const { ns, jiffies } = this.#clock.sample();
    const leftMs = atMs - Number(ns) / NS_PER_MS;
    // The jiffy of the sample has begun already, so counting from its end would be too late by as much.
    const left = Math.floor((leftMs * this.#clock.jiffiesPerSecond) / 1000) - 1;
    const at = jiffies + BigInt(left);
    this.#self.deadline = at < 0n ? 0n : at;
  }

  /** The program decides nothing from now on. */
  pass(): void {
    this.#self.deadline = 0n;
  }
}
