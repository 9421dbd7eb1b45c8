// Owns what a program has counted since its services and backends came to be, across restarts of the daemon: counters,
// the ledgers of who owns which, and the file that remembers the ledgers. The kernel keeps the counters themselves; a
// file of another boot or of other counters says nothing, and then every owner starts from zero.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Failure } from '../lib/failure.ts';
import type { CounterReading, Counters, FlowEventName, ReasonName, TrafficCount } from './counters.ts';
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
  flowEvents: z.record(z.string(), decimal).default({}),
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
  readonly #carriedEvents = new Map<string, bigint>();
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

  flowEvents(): Record<FlowEventName, bigint> {
    const events = this.#counters.flowEvents();
    for (const [name, count] of this.#carriedEvents)
      if (name in events) events[name as FlowEventName] += count;
    return events;
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
    addAll(this.#carriedReasons, saved.reasons);
    addAll(this.#carriedEvents, saved.flowEvents);
  }

  /** Adds what was counted by `before`, the counters that these replace, once nothing is counted there any more. */
  carryFrom(before: CounterReading, countersId: number): void {
    addAll(this.#carriedReasons, before.reasons());
    addAll(this.#carriedEvents, before.flowEvents());
    const saved = this.#saved;
    if (saved?.countersId !== countersId) return;
    addAll(this.#carriedReasons, saved.reasons);
    addAll(this.#carriedEvents, saved.flowEvents);
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
      reasons: decimals(this.#carriedReasons),
      flowEvents: decimals(this.#carriedEvents),
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

function addAll(counts: Map<string, bigint>, added: Readonly<Record<string, bigint | string>>): void {
  for (const [name, count] of Object.entries(added))
    counts.set(name, (counts.get(name) ?? 0n) + BigInt(count));
}

function decimals(counts: ReadonlyMap<string, bigint>): Record<string, string> {
  return Object.fromEntries([...counts].map(([name, count]) => [name, `${count}`]));
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
