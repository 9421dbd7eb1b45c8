// Owns simulated time where it goes by the million events: what is to happen when. Nothing here reads a clock.

type Event = { readonly atNs: number; readonly order: number; readonly happen: () => void | Promise<void> };

export class Agenda {
  readonly #heap: Event[] = [];
  #order = 0;
  #nowNs = 0;
  #count = 0;

  get nowNs(): number {
    return this.#nowNs;
  }

  /** Events that have happened. */
  get count(): number {
    return this.#count;
  }

  /** What is asked for first happens first at one moment. */
  after(delayNs: number, happen: () => void | Promise<void>): void {
    this.at(this.#nowNs + delayNs, happen);
  }

  at(atNs: number, happen: () => void | Promise<void>): void {
    const heap = this.#heap;
    const event = { atNs: Math.max(this.#nowNs, Math.round(atNs)), order: this.#order++, happen };
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Until nothing is left, `endNs` is passed or `isOver()`; false after `eventsMax`. Waits only for what takes time. */
  async run(endNs: number, eventsMax: number, isOver: () => boolean): Promise<boolean> {
    while (this.#heap.length > 0 && this.#heap[0]!.atNs <= endNs && !isOver()) {
      if (this.#count++ >= eventsMax) return false;
      const { atNs, happen } = this.#pop();
      this.#nowNs = atNs;
      const pending = happen();
      if (pending !== undefined) await pending;
    }
    return true;
  }

  #pop(): Event {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return first;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order);
}

/** Promises that only wait for each other have come to an end. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
