// Owns since when conditions hold: the leader's only memory. A new leader's is empty, which only lengthens waits.

export class Waits {
  #since = new Map<string, number>();
  #seen = new Map<string, number>();
  #nowMs = 0;
  #wakeAtMs: number | undefined;

  /** Conditions that are not asked about from one start to the next are forgotten. */
  start(nowMs: number): void {
    this.#since = this.#seen;
    this.#seen = new Map();
    this.#nowMs = nowMs;
    this.#wakeAtMs = undefined;
  }

  /** Since when it has held without a break, as far as steps saw; undefined: it does not. */
  since(condition: string, holds: boolean): number | undefined {
    if (!holds) return undefined;
    const sinceMs = this.#seen.get(condition) ?? this.#since.get(condition) ?? this.#nowMs;
    this.#seen.set(condition, sinceMs);
    return sinceMs;
  }

  /** Whether it is `atMs` already; if not, the leader wakes then. */
  reached(atMs: number | undefined): boolean {
    if (atMs === undefined) return false;
    if (atMs <= this.#nowMs) return true;
    if (this.#wakeAtMs === undefined || atMs < this.#wakeAtMs) this.#wakeAtMs = atMs;
    return false;
  }

  get wakeAtMs(): number | undefined {
    return this.#wakeAtMs;
  }
}
