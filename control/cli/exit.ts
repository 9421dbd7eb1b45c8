// Owns how a command ends: its exit code, and what it says about what went wrong.
import { FAILURES, Failure, type FailureBody, type FailureCode } from '../lib/failure.ts';
import type { Screen } from './screen.ts';
import { UsageError } from './usage_error.ts';

export const EXIT_OK = 0;
export const EXIT_USAGE = 2;
/** As shells report SIGINT; also for whoever answers no. */
export const EXIT_INTERRUPTED = 130;

/** Every exit code with its meanings, by code. */
export function exitCodes(): readonly { readonly exit: number; readonly meaning: string }[] {
  const failures = Object.entries(FAILURES).map(([code, { exit, meaning }]) => ({
    exit: exit as number,
    meaning: `${code}: ${meaning}`,
  }));
  return [
    { exit: EXIT_OK, meaning: 'done' },
    { exit: EXIT_USAGE, meaning: 'the command line is wrong' },
    ...failures.sort((one, other) => one.exit - other.exit),
    { exit: EXIT_INTERRUPTED, meaning: 'stopped by SIGINT (Ctrl-C), or by an answer of no' },
  ];
}

export function exitCodeLines(): string[] {
  return exitCodes().map(({ exit, meaning }) => `${String(exit).padStart(3)}  ${meaning}`);
}

/** What `error` says to a user, and the exit code. */
export function outcomeOf(error: unknown): { readonly exit: number; readonly body: FailureBody } {
  if (error instanceof UsageError) {
    return { exit: EXIT_USAGE, body: bodyOf('invalid', error.message, error.reason, error.remedy) };
  }
  if (error instanceof Failure) return { exit: FAILURES[error.code].exit, body: error.body };
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const remedy = 'Report it, with what the same command prints with HOLDFAST_DEBUG=1 set.';
  return {
    exit: FAILURES.internal.exit,
    body: bodyOf('internal', 'This is a bug of holdfast.', what, remedy),
  };
}

export function printFailure(
  screen: Screen,
  error: unknown,
  options: { json: boolean; debug: boolean },
): number {
  const { exit, body } = outcomeOf(error);
  if (options.json) screen.print(JSON.stringify(body));
  else screen.print(failureLines(screen, body).join('\n'));
  if (options.debug && error instanceof Error) screen.print(stackOf(error));
  return exit;
}

export function failureLines(screen: Screen, { message, cause, remedy }: FailureBody): string[] {
  return [
    `${screen.paint(['bold', 'red'], 'error:')}  ${message}`,
    ...(cause === undefined ? [] : [`${screen.paint('bold', 'cause:')}  ${indented(cause)}`]),
    ...(remedy === undefined ? [] : [`${screen.paint('bold', 'remedy:')} ${indented(remedy)}`]),
  ];
}

/** Further lines, such as mistakes in a file, below the first. */
function indented(text: string): string {
  return text.replaceAll('\n', `\n${' '.repeat('remedy: '.length)}`);
}

function bodyOf(
  code: FailureCode,
  message: string,
  cause: string | undefined,
  remedy: string | undefined,
): FailureBody {
  return {
    code,
    message,
    ...(cause === undefined ? {} : { cause }),
    ...(remedy === undefined ? {} : { remedy }),
  };
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return `${error.stack}${cause}`;
}
