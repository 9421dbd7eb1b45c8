// Owns whose traffic a counter is. Counters are never written by user space: one that a new owner takes over starts
// from what stood there. An owner that moves counts at both places until nothing is counted at the old one any more.
import type { TrafficCount } from './counters.ts';

type Part = { place: number; baseline: TrafficCount };
type Account = { carried: TrafficCount; parts: Part[] };

/** Packets, bytes, new flows, as decimal numbers. */
type SavedCount = [string, string, string];

/** Accounts as JSON can hold them. */
export type SavedAccounts = Record<
  string,
  { carried: SavedCount; parts: { place: number; baseline: SavedCount }[] }
>;

const ZERO: TrafficCount = { packets: 0n, bytes: 0n, newFlows: 0n };

export class TrafficLedger {
  readonly #read: (place: number) => TrafficCount;
  readonly #accounts = new Map<string, Account>();

  /** `read` tells what stands at a place. */
  constructor(read: (place: number) => TrafficCount) {
    this.#read = read;
  }

  /** `owner` counts at `place`, too, from now on. True where that is new. */
  joins(owner: string, place: number): boolean {
    const account = this.#accounts.get(owner) ?? { carried: ZERO, parts: [] };
    this.#accounts.set(owner, account);
    if (account.parts.some((it) => it.place === place)) return false;
    account.parts.push({ place, baseline: this.#read(place) });
    return true;
  }

  /** Nothing of `owner` is counted any more but at `place`. True where it was before. */
  settles(owner: string, place: number): boolean {
    const joined = this.joins(owner, place);
    const account = this.#accounts.get(owner)!;
    if (account.parts.length === 1) return joined;
    for (const part of account.parts)
      if (part.place !== place)
        account.carried = plus(account.carried, minus(this.#read(part.place), part.baseline));
    account.parts = account.parts.filter((it) => it.place === place);
    return true;
  }

  /** `owner` is no more. True where it was. */
  closes(owner: string): boolean {
    return this.#accounts.delete(owner);
  }

  owners(): string[] {
    return [...this.#accounts.keys()];
  }

  count(owner: string): TrafficCount {
    const account = this.#accounts.get(owner);
    if (account === undefined) return ZERO;
    return account.parts.reduce(
      (sum, { place, baseline }) => plus(sum, minus(this.#read(place), baseline)),
      account.carried,
    );
  }

  /** Adds what an owner had counted elsewhere. */
  carries(owner: string, count: TrafficCount): void {
    const account = this.#accounts.get(owner);
    if (account !== undefined) account.carried = plus(account.carried, count);
  }

  save(): SavedAccounts {
    return Object.fromEntries(
      [...this.#accounts].map(([owner, { carried, parts }]) => [
        owner,
        {
          carried: saved(carried),
          parts: parts.map(({ place, baseline }) => ({ place, baseline: saved(baseline) })),
        },
      ]),
    );
  }

  /** Goes on from what save() gave, for counters that went on counting. */
  restore(accounts: SavedAccounts): void {
    for (const [owner, { carried, parts }] of Object.entries(accounts)) {
      this.#accounts.set(owner, {
        carried: restored(carried),
        parts: parts.map(({ place, baseline }) => ({ place, baseline: restored(baseline) })),
      });
    }
  }
}

function plus(a: TrafficCount, b: TrafficCount): TrafficCount {
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes, newFlows: a.newFlows + b.newFlows };
}

function minus(a: TrafficCount, b: TrafficCount): TrafficCount {
  return { packets: a.packets - b.packets, bytes: a.bytes - b.bytes, newFlows: a.newFlows - b.newFlows };
}

const saved = ({ packets, bytes, newFlows }: TrafficCount): SavedCount => [
  `${packets}`,
  `${bytes}`,
  `${newFlows}`,
];

function restored([packets, bytes, newFlows]: SavedCount): TrafficCount {
  return { packets: BigInt(packets), bytes: BigInt(bytes), newFlows: BigInt(newFlows) };
}
