// Owns how often copies of flows go on between the ticks of flow tasks: at once while they can, soon while they wait for
// the peer, and whatever else the process has to do has its turn after each step.

/** A round trip is shorter mostly; a peer that is dead costs a look each time. */
const WAIT_MS = 1;

export class CopyPace {
  readonly #step: () => 'more' | 'wait' | undefined;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  /** `step`: goes on for a while; undefined: there is nothing to copy. It does not throw. */
  constructor(step: () => 'more' | 'wait' | undefined) {
    this.#step = step;
  }

  /** There may be something to copy. */
  begin(): void {
    if (this.#cancel === undefined && !this.#isClosed) this.#go();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  #go(): void {
    this.#cancel = undefined;
    const state = this.#step();
    if (state === undefined || this.#isClosed) return;
    if (state === 'more') {
      const next = setImmediate(() => this.#go());
      this.#cancel = () => clearImmediate(next);
    } else {
      const next = setTimeout(() => this.#go(), WAIT_MS);
      this.#cancel = () => clearTimeout(next);
    }
  }
}
