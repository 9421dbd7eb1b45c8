// Owns simulated time: what is to happen when. Nothing here reads a clock.

type Event = { readonly atNs: number; readonly order: number; readonly happen: () => void | Promise<void> };

/** Events of one simulation, at most: a protocol that talks to itself for ever is a finding, not a hang. */
export const EVENTS_MAX = 500_000;

export class Schedule {
  readonly #heap: Event[] = [];
  #order = 0;
  #nowNs = 0;

  get nowNs(): number {
    return this.#nowNs;
  }

  /** What is asked for first happens first at one moment. */
  after(delayNs: number, happen: () => void | Promise<void>): void {
    this.#push({ atNs: this.#nowNs + Math.max(0, Math.round(delayNs)), order: this.#order++, happen });
  }

  /** Until nothing is left or `isOver()`. False where the limit was reached. */
  async run(isOver: () => boolean): Promise<boolean> {
    for (let events = 0; events < EVENTS_MAX; events++) {
      const event = isOver() ? undefined : this.#pop();
      if (event === undefined) return true;
      this.#nowNs = event.atNs;
      await event.happen();
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(heap[at]!, heap[parent]!)) break;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order);
}
