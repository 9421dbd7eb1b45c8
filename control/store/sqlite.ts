// Owns the embedded store: the contract on top of one SQLite file that the processes of a host share. Every change is
// one transaction of SQLite; other processes are told of it, and look now and then besides. Not here: the file
// (sqlite_file.ts), its rows (sqlite_tables.ts), who waits for a revision (revision_signal.ts), how others are told
// (file_bell.ts).
//
// node:sqlite is synchronous, so nothing of this process happens inside a transaction, and a commit holds the process
// up for one fsync. To wait for other processes does not: see patiently().
import type { DatabaseSync } from 'node:sqlite';
import { Failure } from '../lib/failure.ts';
import type { HostClock } from '../lib/host_clock.ts';
import { checkFrom, checkKey, checkPrefix, checkTtl, checkTxn } from './check.ts';
import type {
  Comparison,
  Entry,
  Leadership,
  Lease,
  Operation,
  Revision,
  Store,
  TxnResult,
  WatchEvent,
} from './contract.ts';
import { campaign, leader } from './election.ts';
import { FileBell } from './file_bell.ts';
import { type News, RevisionSignal } from './revision_signal.ts';
import { isBusy, openStoreFile, patiently, type StoreFile, sqliteFailure } from './sqlite_file.ts';
import { leaseNumber, type Now, StoreTables } from './sqlite_tables.ts';

/**
 * How long another process's change may stay unnoticed where its bell is not heard, and the end of a lease in any case.
 * Polled only while somebody watches, for half a percent of a slow core, most of which is Node's timer.
 */
export const POLL_INTERVAL_MS = 20;
/** Polls look whether the path still leads to our file only so often; everything else looks each time. */
const PLACE_INTERVAL_MS = 1_000;

export async function openSqliteStore(
  path: string,
  clock: HostClock,
  pollIntervalMs: number = POLL_INTERVAL_MS,
): Promise<Store> {
  return new SqliteStore(path, await openStoreFile(path), clock, pollIntervalMs);
}

class SqliteStore implements Store {
  readonly #path: string;
  readonly #file: StoreFile;
  readonly #database: DatabaseSync;
  readonly #tables: StoreTables;
  readonly #clock: HostClock;
  readonly #signal: RevisionSignal;
  readonly #bell: FileBell;
  readonly #closed = new AbortController();
  /** The newest revision when this process wrote last. */
  #newest: Revision = 0;
  #placeCheckedMs = Number.NEGATIVE_INFINITY;

  constructor(path: string, file: StoreFile, clock: HostClock, pollIntervalMs: number) {
    this.#path = path;
    this.#file = file;
    this.#database = file.database;
    this.#tables = new StoreTables(file.database);
    this.#clock = clock;
    this.#signal = new RevisionSignal(
      () => this.#poll(),
      (from) => this.#news(from),
      pollIntervalMs,
    );
    this.#bell = new FileBell(path, () => this.#signal.look());
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    return this.#read(() => this.#tables.get(key));
  }

  async list(prefix: string): Promise<{ entries: readonly Entry[]; revision: Revision }> {
    checkPrefix(prefix);
    return this.#read(() => ({
      entries: this.#tables.list(prefix),
      revision: this.#tables.state().revision,
    }));
  }

  async txn(comparisons: readonly Comparison[], operations: readonly Operation[]): Promise<TxnResult> {
    checkTxn(comparisons, operations);
    return this.#write((): TxnResult => {
      if (!this.#tables.hold(comparisons))
        return { succeeded: false, revision: this.#tables.state().revision };
      return { succeeded: true, revision: this.#tables.perform(operations) };
    });
  }

  async *watch(prefix: string, fromRevision: Revision, signal?: AbortSignal): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix);
    checkFrom(fromRevision);
    let next = fromRevision;
    while (!signal?.aborted) {
      const { events, through } = await this.#read(() => this.#tables.changes(prefix, next));
      for (const event of events) {
        if (signal?.aborted) return;
        yield event;
        if (event.kind === 'compacted') return;
      }
      if (through >= next) next = through + 1;
      else next = await this.#signal.reached(prefix, next, signal);
    }
  }

  async lease(ttlMs: number): Promise<Lease> {
    checkTtl(ttlMs);
    const { boot } = this.#now();
    const ends = () => this.#now().now + ttlMs;
    const id = await this.#write(() => this.#tables.grantLease(boot, ends()));
    return {
      id,
      ttlMs,
      // A lease that has ended is gone before this looks for it: #write ends them first.
      renew: () => this.#write(() => this.#tables.renewLease(id, ends())),
      revoke: () => this.#write(() => this.#tables.endLeases([leaseNumber(id)])),
    };
  }

  campaign(
    name: string,
    value: string,
    options: { ttlMs: number; signal?: AbortSignal },
  ): Promise<Leadership> {
    return campaign(this, name, value, {
      ...options,
      closed: this.#closed.signal,
      nowMs: () => this.#clock.nowMs(),
    });
  }

  leader(name: string): Promise<{ value: string; epoch: Revision } | undefined> {
    return leader(this, name);
  }

  async compact(revision: Revision): Promise<void> {
    checkFrom(revision);
    await this.#write(() => this.#tables.compact(revision));
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#signal.fail(this.#closedFailure());
    this.#closed.abort();
    this.#bell.close();
    this.#database.close();
  }

  /** All at one revision, at which no lease that has ended still has entries. */
  async #read<T>(work: () => T): Promise<T> {
    const attempt = (): { ended: true } | { ended: false; result: T } => {
      this.#checkOpen();
      return this.#transact('BEGIN', () =>
        this.#tables.poll(this.#now()).ended ? { ended: true } : { ended: false, result: work() },
      );
    };
    const read = await patiently(this.#path, attempt);
    return read.ended ? this.#write(work) : read.result;
  }

  async #write<T>(work: () => T): Promise<T> {
    return patiently(this.#path, () => this.#tryWrite(work));
  }

  #tryWrite<T>(work: () => T): T {
    this.#checkOpen();
    const [result, revision] = this.#transact('BEGIN IMMEDIATE', () => {
      this.#endLeases();
      return [work(), this.#tables.state().revision] as const;
    });
    // A lease that was renewed, and what changed nothing, is no news.
    if (revision > this.#newest) this.#bell.ring();
    this.#newest = revision;
    this.#signal.announce(revision);
    return result;
  }

  #transact<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => T): T {
    this.#database.exec(begin);
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } finally {
      // Some errors make SQLite roll back by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    }
  }

  /** Whoever comes first ends the leases of dead processes. */
  #endLeases(): void {
    const ended = this.#tables.endedLeases(this.#now());
    if (ended.length > 0) this.#tables.endLeases(ended);
  }

  /** The newest revision; undefined: to be asked again. */
  #poll(): Revision | undefined {
    try {
      const now = this.#now();
      if (now.now - this.#placeCheckedMs >= PLACE_INTERVAL_MS) this.#checkOpen();
      const { revision, ended } = this.#tables.poll(now);
      return ended ? this.#tryWrite(() => this.#tables.state().revision) : revision;
    } catch (error) {
      if (isBusy(error)) return undefined;
      throw sqliteFailure(error, this.#path);
    }
  }

  /** Undefined: to be asked again. */
  #news(from: Revision): News | undefined {
    try {
      return this.#transact('BEGIN', () => this.#tables.news(from));
    } catch (error) {
      if (isBusy(error)) return undefined;
      throw sqliteFailure(error, this.#path);
    }
  }

  #now(): Now {
    return { boot: this.#clock.bootId, now: this.#clock.nowMs() };
  }

  #checkOpen(): void {
    if (this.#closed.signal.aborted) throw this.#closedFailure();
    this.#file.checkPlace();
    this.#placeCheckedMs = this.#clock.nowMs();
  }

  #closedFailure(): Failure {
    return new Failure('unavailable', `the store ${this.#path} is closed`);
  }
}
