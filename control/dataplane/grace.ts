// Owns grace periods: waiting until no program acts any more on what it read before, once for everybody who waits.
import { version as kernelBuild } from 'node:os';
import { cpuRound, membarrierGlobal } from '@holdfast/linux';
import { Failure } from '../lib/failure.ts';

/** A moment, to ask later whether a whole grace period has passed since. */
export type GraceMark = number;

export class GracePeriods {
  readonly #period: () => Promise<void>;
  #begun = 0;
  #ended = 0;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `period` resolves once every program that began before the call has ended. */
  constructor(period: () => Promise<void> = kernelPeriod) {
    this.#period = period;
  }

  /** Now. */
  mark(): GraceMark {
    return this.#begun + 1;
  }

  passed(mark: GraceMark): boolean {
    return mark <= this.#ended;
  }

  /** Resolves after a period that began after this call; those who wait at the same time share one. */
  wait(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const number = ++this.#begun;
    const running = this.#period().then(
      () => {
        this.#ended = Math.max(this.#ended, number);
        if (this.#running === running) this.#running = undefined;
      },
      (error) => {
        if (this.#running === running) this.#running = undefined;
        throw error;
      },
    );
    this.#running = running;
    return running;
  }
}

/** So long a round of the CPUs may take before the kernel is asked as well, which takes some 16 ms more. */
const ROUND_MS = 4;

/**
 * Two proofs that programs which began before have ended; the first one counts. A program runs with soft interrupts off,
 * and nothing but a hard interrupt comes in between: so it has ended on a CPU on which a thread of ours has run since. A
 * round of all CPUs takes a tenth of a millisecond, and fails late where somebody keeps a CPU to himself. The kernel's grace
 * period ends there, too; it waits for ticks of the clock. Where soft interrupts give way to threads (PREEMPT_RT), only
 * the kernel knows. What this process has programs do in test runs is done by the thread that waits here.
 */
export class Periods {
  readonly #round: (() => Promise<void>) | undefined;
  readonly #membarrier: () => Promise<void>;
  /** One that somebody holds up is waited for by one period. */
  #isRoundUnderWay = false;

  constructor(round: (() => Promise<void>) | undefined, membarrier: () => Promise<void>) {
    this.#round = round;
    this.#membarrier = membarrier;
  }

  async pass(): Promise<void> {
    const round = this.#beginRound();
    if (round === undefined) return this.#membarrier();
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(() => limit.resolve(), ROUND_MS);
    const isOver = await Promise.race([round, limit.promise]);
    clearTimeout(timer);
    if (isOver === true) return;
    const membarrier = this.#membarrier();
    const late = round.then((isLate) => isLate || Promise.reject(new Error('not every CPU can be run on')));
    await Promise.any([membarrier, late]).catch(() => membarrier);
  }

  /** Resolves with whether every CPU was run on. */
  #beginRound(): Promise<boolean> | undefined {
    if (this.#round === undefined || this.#isRoundUnderWay) return undefined;
    this.#isRoundUnderWay = true;
    return this.#round()
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        this.#isRoundUnderWay = false;
      });
  }
}

const hasThreadedInterrupts = /PREEMPT[_ ]RT/.test(kernelBuild());
const periods = new Periods(hasThreadedInterrupts ? undefined : cpuRound, membarrierGlobal);

async function kernelPeriod(): Promise<void> {
  try {
    await periods.pass();
  } catch (cause) {
    throw new Failure('unsupported', 'the tables cannot be changed without losing packets', {
      cause,
      remedy:
        'allow membarrier(2), and do not start the kernel with nohz_full: it has no global memory barrier then',
    });
  }
}
