// Owns whose traffic a counter is. Counters are never written by user space: one that a new owner takes over starts
// from what stood there, and one that moves takes along what it had.
import type { TrafficCount } from './counters.ts';

type Account = { place: number; baseline: TrafficCount; carried: TrafficCount };

const ZERO: TrafficCount = { packets: 0n, bytes: 0n, newFlows: 0n };

export class TrafficLedger<Owner> {
  readonly #read: (place: number) => TrafficCount;
  readonly #accounts = new Map<Owner, Account>();

  constructor(read: (place: number) => TrafficCount) {
    this.#read = read;
  }

  /** `owner` counts at `place` from now on; what it counted elsewhere stays its own. */
  moved(owner: Owner, place: number): void {
    if (this.#accounts.get(owner)?.place === place) return;
    this.#accounts.set(owner, { place, baseline: this.#read(place), carried: this.count(owner) });
  }

  closed(owner: Owner): void {
    this.#accounts.delete(owner);
  }

  count(owner: Owner): TrafficCount {
    const account = this.#accounts.get(owner);
    if (account === undefined) return ZERO;
    const now = this.#read(account.place);
    const { baseline, carried } = account;
    return {
      packets: carried.packets + now.packets - baseline.packets,
      bytes: carried.bytes + now.bytes - baseline.bytes,
      newFlows: carried.newFlows + now.newFlows - baseline.newFlows,
    };
  }
}
