// Owns running the command in this process, with streams that are kept, and as a process of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { run } from '../../../../control/cli/run.ts';
import type { FakeDaemon } from './fake_daemon.ts';

export const ROOT = join(import.meta.dirname, '../../../..');
export const LAUNCHER = join(ROOT, 'scripts/bin/holdfast');

export type Outcome = { readonly exit: number; readonly stdout: string; readonly stderr: string };

export type RunOptions = {
  readonly daemon?: FakeDaemon;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; typed by somebody where there is a terminal. */
  readonly input?: string;
  /** Standard streams are a terminal of this size. */
  readonly terminal?: { readonly columns: number; readonly rows?: number };
  /** Only standard output is none: it is piped. */
  readonly piped?: boolean;
  readonly signal?: AbortSignal;
};

class Kept extends Writable {
  text = '';
  isTTY?: boolean;
  columns?: number;
  rows?: number;

  constructor(terminal: RunOptions['terminal']) {
    super();
    if (terminal === undefined) return;
    this.isTTY = true;
    this.columns = terminal.columns;
    this.rows = terminal.rows ?? 24;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

/** Times are UTC, and terminals have UTF-8. */
export async function holdfast(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const stdout = new Kept(options.piped ? undefined : options.terminal);
  const stderr = new Kept(options.terminal);
  const stdin = Object.assign(new PassThrough(), { isTTY: options.terminal !== undefined });
  if (options.terminal === undefined || options.input !== undefined) stdin.end(options.input ?? '');
  const exit = await run(words, {
    stdin,
    stdout,
    stderr,
    env: {
      LANG: 'C.UTF-8',
      TERM: 'xterm',
      ...(options.daemon === undefined ? {} : { HOLDFAST_SOCKET: options.daemon.socket }),
      ...options.env,
    },
    signal: options.signal ?? new AbortController().signal,
  });
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

/** With `stop`, sends SIGINT once standard output has this text. */
export async function spawnHoldfast(
  words: readonly string[],
  options: Pick<RunOptions, 'daemon' | 'env' | 'input'> & { readonly stop?: string } = {},
): Promise<Outcome & { readonly signal: NodeJS.Signals | null }> {
  const child = spawn(LAUNCHER, words, {
    env: {
      PATH: process.env.PATH,
      TZ: 'UTC',
      ...(options.daemon === undefined ? {} : { HOLDFAST_SOCKET: options.daemon.socket }),
      ...options.env,
    },
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString('utf8');
    if (options.stop !== undefined && seen.includes(options.stop)) child.kill('SIGINT');
  });
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('close', (exit, signal) => resolve([exit, signal])),
  );
  const [[exit, signal], stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { exit: exit ?? -1, signal, stdout, stderr };
}
