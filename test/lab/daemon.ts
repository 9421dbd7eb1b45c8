// Owns a node's holdfastd in the lab: starting it in the node's namespace, ending it in every way it may end, and the
// client of its API.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '../../control/api/client.ts';
import type { Status } from '../../control/api/schema.ts';
import { Failure } from '../../control/lib/failure.ts';
import type { DaemonPlace } from './configuration.ts';
import { isAlive, leaveRunning, type Started, startScript } from './processes.ts';
import type { ProcessIdentity } from './state.ts';

const MAIN = fileURLToPath(new URL('../../control/main.ts', import.meta.url));
const VERSION = 'lab';
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 5_000;
const POLL_MS = 20;

export class LabDaemon {
  readonly place: DaemonPlace;
  readonly client: Client;
  readonly #onStart: (identity: ProcessIdentity) => void;
  #process: ProcessIdentity | undefined;

  /** `onStart` learns of every process, so that whoever takes the lab down can end it. */
  constructor(place: DaemonPlace, onStart: (identity: ProcessIdentity) => void) {
    this.place = place;
    this.client = new Client({ socketPath: place.socket }, { version: VERSION });
    this.#onStart = onStart;
  }

  get configPath(): string {
    return join(this.place.directory, 'holdfastd.yaml');
  }

  get logPath(): string {
    return join(this.place.directory, 'holdfastd.log');
  }

  configure(yaml: string): void {
    mkdirSync(this.place.directory, { recursive: true });
    writeFileSync(this.configPath, yaml);
  }

  /**
   * Starts it and returns as soon as it runs; `answers()` waits for its API. `main` may be another version's; `preload` is
   * a module that runs before it.
   */
  launch(main = MAIN, preload?: string): void {
    const { netns } = this.place;
    const started: Started = startScript(netns, main, ['--config', this.configPath], {
      detached: true,
      logPath: this.logPath,
      ...(preload !== undefined && { preload }),
    });
    leaveRunning(started);
    this.#process = started.identity;
    this.#onStart(started.identity);
  }

  async start(main = MAIN): Promise<Status> {
    this.launch(main);
    return this.answers();
  }

  /** Waits for the API, and for `condition` to hold of its status. */
  async answers(condition: (status: Status) => boolean = () => true): Promise<Status> {
    const deadline = Date.now() + START_LIMIT_MS;
    let last: unknown;
    for (;;) {
      if (!this.isRunning) throw new Error(`holdfastd of ${this.place.name} ended; see ${this.logPath}`);
      try {
        const status = await this.client.status();
        if (condition(status)) return status;
        last = status;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        last = error.body;
      }
      if (Date.now() > deadline) {
        throw new Error(
          `holdfastd of ${this.place.name} is not as expected after ${START_LIMIT_MS} ms: ${JSON.stringify(last)}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  /** Of the process that was started last. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && isAlive(this.#process);
  }

  /** Packets with this reason, of this node's programs. */
  async packets(reason: string): Promise<number> {
    return (await this.client.stats()).reasons[reason] ?? 0;
  }

  /** Ends it with this signal and returns when it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (!this.isRunning) return;
    process.kill(this.#process!.pid, signal);
    const deadline = Date.now() + STOP_LIMIT_MS;
    while (this.isRunning) {
      if (Date.now() > deadline) throw new Error(`holdfastd of ${this.place.name} does not end on ${signal}`);
      await sleep(POLL_MS);
    }
  }
}
