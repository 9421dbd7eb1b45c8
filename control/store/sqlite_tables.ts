// Owns the rows of the embedded store and how one transaction of SQLite changes and reads them: entries, history,
// leases, and what is forgotten. All is synchronous: nothing else of this process happens in between. Not here: beginning and
// committing, waiting, time (sqlite.ts).
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { Failure } from '../lib/failure.ts';
import type { Change, Comparison, Entry, Operation, Revision, WatchEvent } from './contract.ts';
import type { News } from './revision_signal.ts';

/** History beyond either is forgotten, the newest revision excepted: watchers that lag further must list again. */
export const HISTORY_REVISIONS_MAX = 10_000;
export const HISTORY_BYTES_MAX = 32 << 20;
/** A watch reads about this much at once; never a part of a revision, however large. */
const READ_BYTES = 4 << 20;
/** Whoever waits for a prefix is told of these alone; beyond that all who wait look for themselves. */
const NEWS_KEYS_MAX = 1_024;
/** Leases at the same time: some for each daemon of a host are expected. */
export const LEASES_MAX = 1_024;

export type State = { revision: Revision; oldest: Revision; history_bytes: number };
type EntryRow = {
  key: string;
  value: string;
  create_revision: number;
  mod_revision: number;
  lease_id: number | null;
};
type HistoryRow = {
  revision: number;
  key: string;
  value: string | null;
  create_revision: number | null;
  lease_id: number | null;
};

const PREFIX_BOUNDS = 'key >= :from AND (:before IS NULL OR key < :before)';

const STATEMENTS = {
  state: 'SELECT revision, oldest, history_bytes FROM state',
  setState: 'UPDATE state SET revision = :revision, oldest = :oldest, history_bytes = :history_bytes',
  entry: 'SELECT * FROM entries WHERE key = ?',
  entries: `SELECT * FROM entries WHERE ${PREFIX_BOUNDS} ORDER BY key`,
  entriesOfLease: 'SELECT key FROM entries WHERE lease_id = ? ORDER BY key',
  put: `INSERT INTO entries (key, value, create_revision, mod_revision, lease_id)
    VALUES (:key, :value, :revision, :revision, :lease)
    ON CONFLICT (key) DO UPDATE SET value = :value, mod_revision = :revision, lease_id = :lease
    RETURNING create_revision`,
  delete: 'DELETE FROM entries WHERE key = ?',
  record: 'INSERT INTO history VALUES (:revision, :ordinal, :key, :value, :created, :lease)',
  history: `SELECT revision, key, value, create_revision, lease_id FROM history
    WHERE revision >= :revision AND ${PREFIX_BOUNDS} ORDER BY revision, ordinal`,
  news: 'SELECT revision, key FROM history WHERE revision >= :revision LIMIT :limit',
  historyBytes:
    'SELECT total(octet_length(key) + coalesce(octet_length(value), 0)) AS bytes FROM history WHERE revision = ?',
  forget: 'DELETE FROM history WHERE revision < ?',
  grant: 'INSERT INTO leases (boot_id, ends_ms) VALUES (:boot, :ends)',
  renew: 'UPDATE leases SET ends_ms = :ends WHERE id = :id',
  endLease: 'DELETE FROM leases WHERE id = ?',
  lease: 'SELECT 1 FROM leases WHERE id = ?',
  leases: 'SELECT count(*) AS count FROM leases',
  endedLeases: 'SELECT id FROM leases WHERE boot_id <> :boot OR ends_ms <= :now ORDER BY id',
  poll: `SELECT revision, EXISTS (SELECT 1 FROM leases WHERE boot_id <> :boot OR ends_ms <= :now) AS ended
    FROM state`,
} as const;

/** What a lease's end is measured by: the clock and the boot that it counts from. */
export type Now = { readonly boot: string; readonly now: number };

export class StoreTables {
  readonly #statements: Record<keyof typeof STATEMENTS, StatementSync>;

  constructor(database: DatabaseSync) {
    this.#statements = Object.fromEntries(
      Object.entries(STATEMENTS).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<keyof typeof STATEMENTS, StatementSync>;
  }

  state(): State {
    return this.#statements.state.get() as State;
  }

  /** The revision, and whether leases wait to be ended. */
  poll(now: Now): { revision: Revision; ended: boolean } {
    const row = this.#statements.poll.get(now) as { revision: number; ended: number };
    return { revision: row.revision, ended: row.ended !== 0 };
  }

  get(key: string): Entry | undefined {
    const row = this.#statements.entry.get(key) as EntryRow | undefined;
    return row === undefined ? undefined : entryOf(row);
  }

  list(prefix: string): Entry[] {
    return (this.#statements.entries.all(boundsOf(prefix)) as EntryRow[]).map(entryOf);
  }

  hold(comparisons: readonly Comparison[]): boolean {
    return comparisons.every(({ key, modRevision }) => (this.get(key)?.modRevision ?? 0) === modRevision);
  }

  /** Performs all at the next revision; where none changes anything there is no such revision. Returns the newest. */
  perform(operations: readonly Operation[]): Revision {
    const state = this.state();
    const revision = state.revision + 1;
    let ordinal = 0;
    for (const operation of operations) {
      if ('put' in operation) this.#put(operation, revision, ordinal++, state);
      else if (this.#delete(operation.delete, revision, ordinal, state)) ordinal++;
    }
    if (ordinal === 0) return state.revision;
    this.#trim({ ...state, revision });
    return revision;
  }

  #put({ put: key, value, leaseId }: { put: string; value: string; leaseId?: string }, ...at: At): void {
    const [revision, ordinal, state] = at;
    const lease = leaseId === undefined ? null : leaseNumber(leaseId);
    if (lease !== null && this.#statements.lease.get(lease) === undefined) {
      throw new Failure('not_found', `the lease for ${key} has ended`);
    }
    const { create_revision: created } = this.#statements.put.get({ key, value, revision, lease }) as {
      create_revision: number;
    };
    this.#statements.record.run({ revision, ordinal, key, value, created, lease });
    state.history_bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }

  #delete(key: string, ...at: At): boolean {
    const [revision, ordinal, state] = at;
    if (this.#statements.delete.run(key).changes === 0) return false;
    this.#statements.record.run({ revision, ordinal, key, value: null, created: null, lease: null });
    state.history_bytes += Buffer.byteLength(key);
    return true;
  }

  #trim(state: State): void {
    let { oldest, history_bytes: bytes } = state;
    while (
      oldest < state.revision &&
      (state.revision - oldest >= HISTORY_REVISIONS_MAX || bytes > HISTORY_BYTES_MAX)
    ) {
      bytes -= this.#bytesOf(oldest++);
    }
    this.#forgetBefore(oldest, { ...state, history_bytes: bytes });
  }

  compact(revision: Revision): void {
    const state = this.state();
    if (revision > state.revision) {
      throw new Failure('invalid', `the store is at revision ${state.revision}: there is no ${revision} yet`);
    }
    if (revision <= state.oldest) return;
    let bytes = state.history_bytes;
    for (let each = state.oldest; each < revision; each++) bytes -= this.#bytesOf(each);
    this.#forgetBefore(revision, { ...state, history_bytes: bytes });
  }

  #forgetBefore(oldest: Revision, state: State): void {
    if (oldest > state.oldest) this.#statements.forget.run(oldest);
    this.#statements.setState.run({ ...state, oldest });
  }

  #bytesOf(revision: Revision): number {
    return (this.#statements.historyBytes.get(revision) as { bytes: number }).bytes;
  }

  /** What changed under a prefix from `from` on, in whole revisions up to `through`; more may follow it. */
  changes(prefix: string, from: Revision): { events: WatchEvent[]; through: Revision } {
    const { revision, oldest } = this.state();
    if (from < oldest) return { events: [{ kind: 'compacted', oldest }], through: revision };
    const events: WatchEvent[] = [];
    let changes: Change[] = [];
    let at = 0;
    let bytes = 0;
    const finish = (): void => {
      if (changes.length > 0) events.push({ kind: 'changes', revision: at, changes });
      changes = [];
    };
    const rows = this.#statements.history.iterate({ revision: from, ...boundsOf(prefix) });
    for (const row of rows as Iterable<HistoryRow>) {
      if (row.revision !== at) {
        finish();
        if (bytes >= READ_BYTES) return { events, through: at };
        at = row.revision;
      }
      bytes += row.key.length + (row.value?.length ?? 0);
      changes.push(changeOf(row));
    }
    finish();
    return { events, through: Math.max(revision, from - 1) };
  }

  /** What changed from `from` on, by its keys. */
  news(from: Revision): News {
    const { revision, oldest } = this.state();
    if (from < oldest) return { revision, keys: undefined };
    const keys = this.#statements.news.all({ revision: from, limit: NEWS_KEYS_MAX + 1 }) as {
      revision: number;
      key: string;
    }[];
    return { revision, keys: keys.length > NEWS_KEYS_MAX ? undefined : keys };
  }

  grantLease(boot: string, ends: number): string {
    if ((this.#statements.leases.get() as { count: number }).count >= LEASES_MAX) {
      throw new Failure('limit', `the store has ${LEASES_MAX} leases, the most that are possible`, {
        remedy: 'they end by themselves: see which process asks for so many',
      });
    }
    return String(this.#statements.grant.run({ boot, ends }).lastInsertRowid);
  }

  renewLease(id: string, ends: number): boolean {
    return this.#statements.renew.run({ id: leaseNumber(id), ends }).changes > 0;
  }

  /** Ends leases with all that depends on them, at one revision. */
  endLeases(ids: readonly number[]): void {
    const keys = ids.flatMap((id) => this.#statements.entriesOfLease.all(id) as { key: string }[]);
    this.perform(keys.map(({ key }) => ({ delete: key })));
    for (const id of ids) this.#statements.endLease.run(id);
  }

  endedLeases(now: Now): number[] {
    return (this.#statements.endedLeases.all(now) as { id: number }[]).map(({ id }) => id);
  }
}

type At = [revision: Revision, ordinal: number, state: State];

export function leaseNumber(leaseId: string): number {
  // Another store's lease is no lease here.
  return /^[1-9]\d{0,14}$/.test(leaseId) ? Number(leaseId) : 0;
}

function entryOf(row: EntryRow): Entry {
  const entry = {
    key: row.key,
    value: row.value,
    createRevision: row.create_revision,
    modRevision: row.mod_revision,
  };
  return row.lease_id === null ? entry : { ...entry, leaseId: String(row.lease_id) };
}

function changeOf(row: HistoryRow): Change {
  if (row.value === null) return { kind: 'delete', key: row.key, modRevision: row.revision };
  return {
    kind: 'put',
    entry: entryOf({
      key: row.key,
      value: row.value,
      create_revision: row.create_revision!,
      mod_revision: row.revision,
      lease_id: row.lease_id,
    }),
  };
}

function boundsOf(prefix: string): { from: string; before: string | null } {
  return { from: prefix, before: prefixEnd(prefix) };
}

/**
 * The least string above all that begin with `prefix`; null: there is none. UTF-8 orders strings as their code points
 * do, so it is the prefix with its last code point that has a successor replaced by that.
 */
export function prefixEnd(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!);
  while (points.at(-1) === 0x10ffff) points.pop();
  const last = points.pop();
  if (last === undefined) return null;
  // Surrogates are no characters, and UTF-8 has no bytes for them.
  points.push(last === 0xd7ff ? 0xe000 : last + 1);
  return String.fromCodePoint(...points);
}
