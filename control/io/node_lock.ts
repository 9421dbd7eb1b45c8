// Owns that one holdfastd at a time looks after a node: two would replace each other's programs and write the same
// tables. Node.js has no locks on files; SQLite's end with the process, however it ends.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '../lib/failure.ts';

/** Primary result code: https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5;

/** Held until this process ends. @throws Failure `conflict` where another one has it. */
export class NodeLock {
  readonly #database: DatabaseSync;

  constructor(stateDirectory: string) {
    const path = join(stateDirectory, 'holdfastd.lock');
    let database: DatabaseSync | undefined;
    try {
      mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
      database = new DatabaseSync(path);
      database.exec('BEGIN EXCLUSIVE');
    } catch (cause) {
      database?.close();
      if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
        throw new Failure('conflict', 'another holdfastd looks after this node', {
          reason: `It holds ${path}.`,
          remedy:
            'stop it first (systemctl stop holdfastd); a second one needs its own stateDirectory, bpfDirectory and api.socket',
        });
      }
      throw new Failure('configuration', `the state directory ${stateDirectory} cannot be used`, {
        cause,
        remedy: 'set stateDirectory to a directory that holdfastd may make or write to',
      });
    }
    this.#database = database;
  }

  release(): void {
    this.#database.close();
  }
}
