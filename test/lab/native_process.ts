// Owns a program in the lab that is not Node.js, such as BIRD: starting it in a namespace, again and again, and sending it
// any signal.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive } from './processes.ts';
import type { ProcessIdentity } from './state.ts';

const END_LIMIT_MS = 5_000;
const POLL_MS = 10;

export class NativeProcess {
  readonly #command: { netns: string; file: string; args: readonly string[]; logPath: string };
  readonly #onStart: (identity: ProcessIdentity) => void;
  #process: ProcessIdentity | undefined;

  /** `onStart` learns of every process, so that whoever takes the lab down can end it. */
  constructor(
    command: { netns: string; file: string; args: readonly string[]; logPath: string },
    onStart: (identity: ProcessIdentity) => void,
  ) {
    this.#command = command;
    this.#onStart = onStart;
  }

  launch(): void {
    const { netns, file, args, logPath } = this.#command;
    const log = openSync(logPath, 'a');
    // `ip netns exec` becomes the program: the process id is its own.
    const child = spawn('ip', ['netns', 'exec', netns, file, ...args], {
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw new Error(`${file} does not start in ${netns}: is it installed?`);
    child.unref();
    this.#process = identity;
    this.#onStart(identity);
  }

  get isRunning(): boolean {
    return this.#process !== undefined && isAlive(this.#process);
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.#process!.pid, signal);
  }

  /** Returns when it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.signal(signal);
    const deadline = Date.now() + END_LIMIT_MS;
    while (this.isRunning) {
      if (Date.now() > deadline) throw new Error(`${this.#command.file} does not end on ${signal}`);
      await sleep(POLL_MS);
    }
  }
}
