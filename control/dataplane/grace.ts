// Owns grace periods: waiting until no program acts any more on what it read before, once for everybody who waits.
import { membarrierGlobal } from '@holdfast/linux';
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

async function kernelPeriod(): Promise<void> {
  try {
    await membarrierGlobal();
  } catch (cause) {
    throw new Failure('unsupported', 'the tables cannot be changed without losing packets', {
      cause,
      remedy:
        'allow membarrier(2), and do not start the kernel with nohz_full: it has no global memory barrier then',
    });
  }
}
