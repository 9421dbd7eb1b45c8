// Owns handing what happens to whoever listens. Listeners are independent: one that does not keep up is told so and
// dropped, and nobody waits for it.
import { Failure } from '../lib/failure.ts';

/** Events that wait for one listener. */
export const EVENTS_WAITING_MAX = 1_024;
export const LISTENERS_MAX = 64;

type Listener<T> = { readonly waiting: T[]; wake: () => void; failure: Failure | undefined };

export class EventStream<T> {
  readonly #listeners = new Set<Listener<T>>();

  publish(event: T): void {
    for (const listener of this.#listeners) {
      if (listener.waiting.length < EVENTS_WAITING_MAX) {
        listener.waiting.push(event);
      } else {
        listener.failure = new Failure('limit', `more than ${EVENTS_WAITING_MAX} events were waiting`, {
          remedy: 'read faster, or ask again',
        });
        this.#listeners.delete(listener);
      }
      listener.wake();
    }
  }

  /** Events from this call on, until `signal` is aborted. @throws Failure `limit` where there are too many listeners. */
  listen(signal: AbortSignal): AsyncIterable<T> {
    if (this.#listeners.size >= LISTENERS_MAX) {
      throw new Failure('limit', `${LISTENERS_MAX} listeners are connected already`, {
        remedy: 'close some of them',
      });
    }
    const listener: Listener<T> = { waiting: [], wake: () => {}, failure: undefined };
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
    return this.#iterate(listener, signal);
  }

  async *#iterate(listener: Listener<T>, signal: AbortSignal): AsyncGenerator<T> {
    const abort = () => listener.wake();
    signal.addEventListener('abort', abort);
    try {
      while (!signal.aborted) {
        const event = listener.waiting.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        if (listener.failure !== undefined) throw listener.failure;
        await new Promise<void>((resolve) => {
          listener.wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener('abort', abort);
      this.#listeners.delete(listener);
    }
  }
}
