// Owns what an action has at hand: the terminal's streams, the options that every command has, and the daemon's API.
import { text as readText } from 'node:stream/consumers';
import type { Client } from '../api/client.ts';
import { type ConnectionOptions, endpointOf } from './connection.ts';
import { Screen, type ScreenStream } from './screen.ts';
import { UsageError } from './usage_error.ts';
import { version } from './version.ts';

/** What a process has; tests bring their own. */
export type Terminal = {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: ScreenStream;
  readonly stderr: ScreenStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT. */
  readonly signal: AbortSignal;
};

export type GlobalOptions = ConnectionOptions & {
  readonly json: boolean;
  readonly color: boolean;
  readonly timeoutMs: number;
};

export class Session {
  readonly out: Screen;
  readonly err: Screen;
  readonly json: boolean;
  readonly signal: AbortSignal;
  readonly env: Terminal['env'];
  readonly #terminal: Terminal;
  readonly #options: GlobalOptions;

  constructor(terminal: Terminal, options: GlobalOptions) {
    this.#terminal = terminal;
    this.#options = options;
    this.json = options.json;
    this.signal = terminal.signal;
    this.env = terminal.env;
    this.out = new Screen(terminal.stdout, terminal.env, options.color);
    this.err = new Screen(terminal.stderr, terminal.env, options.color);
  }

  /** Not there while nobody needs it: commands that stay on this host start without it. */
  async client(): Promise<Client> {
    const endpoint = await endpointOf(this.#options, this.env);
    const { Client } = await import('../api/client.ts');
    return new Client(endpoint, {
      version: version(),
      timeoutMs: this.#options.timeoutMs,
      signal: this.signal,
    });
  }

  /** The one document of a command with --json. */
  printJson(value: unknown): void {
    this.out.print(JSON.stringify(value, undefined, 2));
  }

  /** A line of a stream with --json. */
  printJsonLine(value: unknown): void {
    this.out.print(JSON.stringify(value));
  }

  /** What is no result: progress, remarks. Standard output stays what it is asked for. */
  remark(text: string): void {
    this.err.print(text);
  }

  async readStdin(): Promise<string> {
    return await readText(this.#terminal.stdin);
  }

  get canAsk(): boolean {
    return this.#terminal.stdin.isTTY === true && this.err.isTerminal;
  }

  /** False is also the answer of somebody who presses Enter, or ends the input. */
  async confirm(question: string): Promise<boolean> {
    if (!this.canAsk) throw new UsageError('There is nobody to ask.', { remedy: 'Give --yes.' });
    const { createInterface } = await import('node:readline/promises');
    const asking = createInterface({ input: this.#terminal.stdin, output: this.#terminal.stderr });
    const ended = new Promise<string>((resolve) => asking.once('close', () => resolve('')));
    try {
      const answer = await Promise.race([
        asking.question(`${question} [y/N] `, { signal: this.signal }),
        ended,
      ]);
      return /^y(?:es)?$/i.test(answer.trim());
    } finally {
      asking.close();
    }
  }
}
