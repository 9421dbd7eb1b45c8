// Owns what a program has counted since its services and backends came to be, across restarts of the daemon: counters,
// the ledgers of who owns which, and the file that remembers the ledgers. The kernel keeps the counters themselves; a
// file of another boot or of other counters says nothing, and then every owner starts from zero.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Failure } from '../lib/failure.ts';
import type { CounterReading, Counters, ReasonName, TrafficCount } from './counters.ts';
import { type SavedAccounts, TrafficLedger } from './traffic_ledger.ts';

const decimal = z.string().regex(/^-?\d+$/);
const savedCount = z.tuple([decimal, decimal, decimal]);
const savedAccounts = z.record(
  z.string(),
  z.object({ carried: savedCount, parts: z.array(z.object({ place: z.int(), baseline: savedCount })) }),
);
const savedTraffic = z.object({
  format: z.literal(1),
  bootId: z.string(),
  countersId: z.int().describe('Id of the map of counters that the places are of'),
  services: savedAccounts,
  backends: savedAccounts,
  reasons: z.record(z.string(), decimal).describe('What earlier counters had counted'),
});
type SavedTraffic = z.infer<typeof savedTraffic>;

export class Traffic {
  readonly services: TrafficLedger;
  readonly backends: TrafficLedger;
  readonly #counters: Counters;
  readonly #countersId: number;
  readonly #path: string | undefined;
  readonly #saved: SavedTraffic | undefined;
  readonly #carriedReasons = new Map<string, bigint>();
  #problem: Failure | undefined;

  /** `countersId` is the id of the map that `counters` reads; `path` absent: nothing is remembered. */
  constructor(counters: Counters, countersId: number, path: string | undefined) {
    this.#counters = counters;
    this.#countersId = countersId;
    this.#path = path;
    this.#saved = path === undefined ? undefined : load(path);
    this.services = new TrafficLedger((place) => counters.service(place));
    this.backends = new TrafficLedger((index) => counters.backend(index));
  }

  /** Why counts will not survive a restart; undefined where they will. */
  get problem(): Failure | undefined {
    return this.#problem;
  }

  /** Packets by reason. */
  reasons(): Record<ReasonName, bigint> {
    const reasons = this.#counters.reasons();
    for (const [name, count] of this.#carriedReasons)
      if (name in reasons) reasons[name as ReasonName] += count;
    return reasons;
  }

  /** Id of the counters that the file is about, if those are others: what they say is still to be carried over. */
  get formerCountersId(): number | undefined {
    const id = this.#saved?.countersId;
    return id === this.#countersId ? undefined : id;
  }

  /** Goes on from what the file says of these counters. */
  restore(): void {
    const saved = this.#saved;
    if (saved?.countersId !== this.#countersId) return;
    this.services.restore(saved.services);
    this.backends.restore(saved.backends);
    for (const [name, count] of Object.entries(saved.reasons)) this.#carriedReasons.set(name, BigInt(count));
  }

  /** Adds what was counted by `before`, the counters that these replace, once nothing is counted there any more. */
  carryFrom(before: CounterReading, countersId: number): void {
    for (const [name, count] of Object.entries(before.reasons())) this.#carriedReasons.set(name, count);
    const saved = this.#saved;
    if (saved?.countersId !== countersId) return;
    for (const [name, count] of Object.entries(saved.reasons))
      this.#carriedReasons.set(name, (this.#carriedReasons.get(name) ?? 0n) + BigInt(count));
    const carry = (ledger: TrafficLedger, accounts: SavedAccounts, read: (at: number) => TrafficCount) => {
      const old = new TrafficLedger(read);
      old.restore(accounts);
      for (const owner of old.owners()) ledger.carries(owner, old.count(owner));
    };
    carry(this.services, saved.services, (place) => before.service(place));
    carry(this.backends, saved.backends, (index) => before.backend(index));
  }

  /**
   * Writes the file, whole or not at all. To be called after an owner joins a place and before packets are counted
   * there. What goes wrong is `problem`: forwarding is worth more than its accounts.
   */
  save(): void {
    if (this.#path === undefined) return;
    const state: SavedTraffic = {
      format: 1,
      bootId: bootId(),
      countersId: this.#countersId,
      services: this.services.save(),
      backends: this.backends.save(),
      reasons: Object.fromEntries([...this.#carriedReasons].map(([name, count]) => [name, `${count}`])),
    };
    const temporary = `${this.#path}.new`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      // Not synced to the disk: after a power failure the counters are gone as well.
      writeFileSync(temporary, JSON.stringify(state));
      renameSync(temporary, this.#path);
      this.#problem = undefined;
    } catch (cause) {
      this.#problem = new Failure(
        'unavailable',
        `${this.#path} cannot be written: traffic counts will not survive`,
        {
          cause,
          remedy: 'make room on the file system of stateDirectory, or make it writable',
        },
      );
    }
  }
}

function load(path: string): SavedTraffic | undefined {
  try {
    const saved = savedTraffic.parse(JSON.parse(readFileSync(path, 'utf8')));
    return saved.bootId === bootId() ? saved : undefined;
  } catch {
    // Absent, or not ours: then counts start anew.
    return undefined;
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
