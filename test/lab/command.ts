// Owns running holdfast and holdfastd as operators do: as processes, by their launchers, with all that they said.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
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
  readonly input?: string;
  /** What becomes the command in the end, such as `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
};

/** `line` is split at spaces. */
export function startCommand(
  line: string | readonly string[],
  options: CommandOptions = {},
  program = HOLDFAST,
): ChildProcessWithoutNullStreams {
  const words = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line;
  const [file, ...args] = [...(options.prefix ?? []), program, ...words];
  const child = spawn(file!, args, {
    timeout: RUN_LIMIT_MS,
    killSignal: 'SIGKILL',
    env: {
      PATH: process.env.PATH,
      TZ: 'UTC',
      LANG: 'C.UTF-8',
      ...(options.socket !== undefined && { HOLDFAST_SOCKET: options.socket }),
      ...options.env,
    },
  });
  // It may end without having read anything.
  child.stdin.on('error', () => {});
  return child;
}

export async function holdfast(
  line: string | readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  return await ended(startCommand(line, options), options.input);
}

export async function holdfastd(
  line: string | readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  return await ended(startCommand(line, options, HOLDFASTD), options.input);
}

export async function ended(child: ChildProcessWithoutNullStreams, input = ''): Promise<Outcome> {
  child.stdin.end(input);
  const exit = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { exit: await exit, stdout, stderr };
}

/** Resolves once standard output has had what `pattern` describes; fails where it ends before. */
export async function said(child: ChildProcessWithoutNullStreams, pattern: RegExp): Promise<string> {
  let seen = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    seen += String(chunk);
    if (pattern.test(seen)) return seen;
  }
  throw new Error(`it ended without saying ${pattern}: ${seen}`);
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
