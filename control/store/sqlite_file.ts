// Owns the file of the embedded store: making and opening it, telling it from anybody else's, its schema, and what
// SQLite's errors mean to users. What is in the tables is sqlite.ts's.
import { chmodSync, closeSync, mkdirSync, openSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../lib/failure.ts';

/** `PRAGMA application_id` of our files: "HFST". */
export const APPLICATION_ID = 0x48465354;
/** `PRAGMA user_version`: of the tables below. */
export const SCHEMA_VERSION = 1;

/** How long other processes may keep us from the file before it counts as unavailable. */
export const BUSY_MS_MAX = 5_000;
const BUSY_PAUSE_MS_MIN = 1;
const BUSY_PAUSE_MS_MAX = 16;
/** The write-ahead log is cut back to this after it has grown. */
const LOG_BYTES_MAX = 16 << 20;

/**
 * Keys are TEXT in a database of UTF-8, which SQLite orders by bytes. `history` has what each revision from
 * `state.oldest` on changed; a deletion has no value. `leases.ends_ms` counts by the clock of boot `boot_id`.
 * AUTOINCREMENT: the number of a lease is never another's.
 */
const SCHEMA = `
  CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    history_bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO state VALUES (1, 1, 1, 0);
  CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    lease_id INTEGER
  ) STRICT;
  CREATE INDEX entries_by_lease ON entries (lease_id) WHERE lease_id IS NOT NULL;
  CREATE TABLE history (
    revision INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    create_revision INTEGER,
    lease_id INTEGER,
    PRIMARY KEY (revision, ordinal)
  ) STRICT;
  CREATE TABLE leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id TEXT NOT NULL,
    ends_ms REAL NOT NULL
  ) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export type StoreFile = {
  readonly database: DatabaseSync;
  /** Throws `unavailable` where the path leads to another file by now: what we wrote, nobody else would see. */
  checkPlace(): void;
};

/** Makes the file where there is none, readable by its owner alone, in a directory likewise. */
export async function openStoreFile(path: string): Promise<StoreFile> {
  try {
    makeFile(path);
  } catch (error) {
    throw placeFailure(error, path);
  }
  const database = await patiently(path, () => new DatabaseSync(path));
  try {
    await patiently(path, () => checkOurs(database, path));
    await patiently(path, () => setUp(database, path));
    await patiently(path, () => checkWhole(database, path));
    const opened = statSync(path);
    return { database, checkPlace: () => checkPlace(path, opened) };
  } catch (error) {
    database.close();
    throw error;
  }
}

function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    // Never opened beside SQLite once it exists: closing any descriptor of a file gives up the process's locks on it.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const found = statSync(path);
    if (!found.isFile()) {
      throw new Failure('configuration', `the store ${path} is no file`, {
        remedy: 'name a file as the store, not a directory or a device',
      });
    }
    // SQLite gives its log and shared memory the mode of the file. It holds the cluster's secrets.
    if ((found.mode & 0o077) !== 0) chmodSync(path, 0o600);
  }
}

function checkOurs(database: DatabaseSync, path: string): void {
  const id = pragma(database, 'application_id');
  const version = pragma(database, 'user_version');
  if (id === APPLICATION_ID && version === SCHEMA_VERSION) return;
  if (id === APPLICATION_ID) {
    throw new Failure('configuration', `${path} was written by a newer Holdfast`, {
      reason: `its tables are of version ${version}, and this Holdfast knows up to ${SCHEMA_VERSION}`,
      remedy: 'upgrade Holdfast on this host, or name another file as the store',
    });
  }
  const { tables } = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as {
    tables: number;
  };
  if (id === 0 && tables === 0) return;
  throw new Failure('configuration', `${path} is not a store of Holdfast`, {
    reason: `it is a SQLite database of another application (application_id ${id}, ${tables} tables)`,
    remedy: 'name another file as the store; this one was not changed',
  });
}

/**
 * Readers and writers do not wait for each other in WAL mode. synchronous=FULL: what was acknowledged is on the disk,
 * for 0.2 to some ms a commit; a cluster changes rarely.
 */
function setUp(database: DatabaseSync, path: string): void {
  const { journal_mode: mode } = database.prepare('PRAGMA journal_mode = WAL').get() as {
    journal_mode: string;
  };
  if (mode !== 'wal') {
    throw new Failure('configuration', `${path} cannot be shared by the processes of this host`, {
      reason: `its file system allows only SQLite's journal mode ${mode}`,
      remedy: 'name a file on a local file system as the store',
    });
  }
  database.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${LOG_BYTES_MAX}`);
  database.exec('BEGIN IMMEDIATE');
  try {
    if (pragma(database, 'application_id') === 0) database.exec(SCHEMA);
    database.exec('COMMIT');
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}

function checkWhole(database: DatabaseSync, path: string): void {
  const rows = database.prepare('PRAGMA quick_check(3)').all() as { quick_check: string }[];
  const found = rows.map((row) => row.quick_check).join('; ');
  if (found !== 'ok') throw damaged(path, found);
}

function checkPlace(path: string, opened: Stats): void {
  const now = statSync(path, { throwIfNoEntry: false });
  if (now?.ino === opened.ino && now.dev === opened.dev) return;
  throw new Failure('unavailable', `the store ${path} was ${now === undefined ? 'removed' : 'replaced'}`, {
    reason: 'this process still has the file that was there when it started, and other processes do not',
    remedy: 'put the file back if you can, then restart every holdfastd of this host',
  });
}

function pragma(database: DatabaseSync, name: string): number {
  return (database.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[name]!;
}

/** Until other processes let us, without holding up this one; then `unavailable`. */
export async function patiently<T>(path: string, attempt: () => T): Promise<T> {
  const startedMs = performance.now();
  for (let pauseMs = BUSY_PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, BUSY_PAUSE_MS_MAX)) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || performance.now() - startedMs > BUSY_MS_MAX) throw sqliteFailure(error, path);
    }
    // Anything but the same pause for all who wait.
    await sleep(pauseMs * (0.5 + Math.random()));
  }
}

/** Primary result codes: https://www.sqlite.org/rescode.html */
const RESULT = {
  PERM: 3,
  BUSY: 5,
  LOCKED: 6,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  NOTADB: 26,
} as const;

const UNLOCK = 'see which process keeps the file locked: fuser -v FILE';
const LET_WRITE = 'let the user that runs holdfastd write FILE, its directory and their file system';

const UNAVAILABLE: Readonly<Record<number, string>> = {
  [RESULT.PERM]: LET_WRITE,
  [RESULT.BUSY]: UNLOCK,
  [RESULT.LOCKED]: UNLOCK,
  [RESULT.READONLY]: LET_WRITE,
  [RESULT.IOERR]: 'see the log of the kernel for errors of the disk, and make room on its file system',
  [RESULT.FULL]: 'make room on its file system',
  [RESULT.CANTOPEN]: LET_WRITE,
};

export function isBusy(error: unknown): boolean {
  const result = resultOf(error);
  return result === RESULT.BUSY || result === RESULT.LOCKED;
}

/** Failures and bugs as they are; errors of SQLite as a Failure where somebody can do something about it. */
export function sqliteFailure(error: unknown, path: string): unknown {
  const result = resultOf(error);
  if (result === undefined) return error;
  const { message } = error as Error;
  if (result === RESULT.CORRUPT || result === RESULT.NOTADB) return damaged(path, message, error);
  const remedy = UNAVAILABLE[result];
  if (remedy === undefined) return error;
  return new Failure('unavailable', `the store ${path} does not answer`, {
    reason: message,
    remedy: remedy.replace('FILE', path),
    cause: error,
  });
}

function resultOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number')
    return undefined;
  return error.errcode & 0xff;
}

function damaged(path: string, reason: string, cause?: unknown): Failure {
  return new Failure('configuration', `${path} is damaged, or no SQLite database at all`, {
    reason,
    remedy:
      'stop every holdfastd of this host, put back a copy of the file or move it away with its -wal and -shm, ' +
      'start again and apply what was exported last',
    cause,
  });
}

const UNAVAILABLE_PLACES = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE']);

function placeFailure(error: unknown, path: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  if (UNAVAILABLE_PLACES.has(code)) {
    return new Failure('unavailable', `the store ${path} cannot be made`, {
      remedy: 'make room on its file system, or name another file as the store',
      cause: error,
    });
  }
  return new Failure('configuration', `the store ${path} cannot be opened`, {
    remedy: 'name a file as the store that holdfastd may write, in a directory that it may write',
    cause: error,
  });
}
