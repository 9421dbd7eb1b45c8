// Owns doing one thing after the other: changes of tables that wait in between must not mix.
import { Failure } from '../lib/failure.ts';

/** More than this waiting means that nothing moves. */
const WAITING_MAX = 10_000;

export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Runs `work` when everything that came before has ended, at once where nothing did. */
  take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting === 0) return this.#run(work());
    if (this.#waiting >= WAITING_MAX)
      return Promise.reject(
        new Failure('unavailable', `${WAITING_MAX} changes of the tables wait for the first`),
      );
    return this.#run(this.#last.then(work, work));
  }

  #run<T>(running: Promise<T>): Promise<T> {
    this.#waiting++;
    const done = (): void => {
      this.#waiting--;
    };
    this.#last = running.then(done, done);
    return running;
  }
}
