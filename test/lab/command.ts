// Owns running holdfast and holdfastd as operators do: as processes, by their launchers, with all that they said.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const launcher = (name: string): string =>
  fileURLToPath(new URL(`../../scripts/bin/${name}`, import.meta.url));
export const HOLDFAST = launcher('holdfast');
export const HOLDFASTD = launcher('holdfastd');

const RUN_LIMIT_MS = 20_000;

export type Outcome = { readonly exit: number; readonly stdout: string; readonly stderr: string };

export type CommandOptions = {
  /** Of the daemon. */
  readonly socket?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** All of standard input. */
  readonly input?: string;
  /** It is killed then; 20 s without it. */
  readonly limitMs?: number;
  /** What becomes the command in the end, such as `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
};

export class RunningCommand {
  readonly ended: Promise<Outcome>;
  readonly #child: ChildProcessWithoutNullStreams;
  #stdout = '';
  #stderr = '';
  #onOutput = () => {};

  constructor(file: string, args: readonly string[], options: CommandOptions) {
    const child = spawn(file, args, {
      timeout: options.limitMs ?? RUN_LIMIT_MS,
      killSignal: 'SIGKILL',
      env: {
        PATH: process.env.PATH,
        TZ: 'UTC',
        LANG: 'C.UTF-8',
        ...(options.socket !== undefined && { HOLDFAST_SOCKET: options.socket }),
        ...options.env,
      },
    });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#onOutput();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        this.#onOutput();
        resolve({ exit: code ?? -1, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    // It may end without having read anything.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  }

  /** Resolves once standard output has what `pattern` describes, to all that it has then. */
  async said(pattern: RegExp): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onOutput = () => {
      if (pattern.test(this.#stdout)) resolve();
    };
    this.#onOutput();
    await Promise.race([promise, this.ended]);
    if (!pattern.test(this.#stdout)) throw new Error(`it ended without saying ${pattern}: ${this.#stdout}`);
    return this.#stdout;
  }

  async signal(name: NodeJS.Signals): Promise<Outcome> {
    this.#child.kill(name);
    return await this.ended;
  }
}

/** `line` is split at spaces. */
export function startHoldfast(
  line: string | readonly string[],
  options: CommandOptions = {},
): RunningCommand {
  return start(HOLDFAST, line, options);
}

export async function holdfast(
  line: string | readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  return await start(HOLDFAST, line, options).ended;
}

export async function holdfastd(
  line: string | readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  return await start(HOLDFASTD, line, options).ended;
}

/** `script` may have pipes. */
export function startBash(script: string, options: CommandOptions = {}): RunningCommand {
  return start('bash', ['--norc', '-c', script], options);
}

function start(program: string, line: string | readonly string[], options: CommandOptions): RunningCommand {
  const words = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line;
  const [file, ...args] = [...(options.prefix ?? []), program, ...words];
  return new RunningCommand(file!, args, options);
}

/** What an operator reads of an error. */
export function told(message: string, cause?: string, remedy?: string): string {
  return [
    `error:  ${message}`,
    ...(cause === undefined ? [] : [`cause:  ${cause}`]),
    ...(remedy === undefined ? [] : [`remedy: ${remedy}`]),
    '',
  ].join('\n');
}

export function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
