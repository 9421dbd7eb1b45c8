// Owns one run of the command: command line in, exit code out.
import { Failure } from '../lib/failure.ts';
import { COMMANDS } from './commands.ts';
import { COMPLETE } from './completion_script.ts';
import { EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, printFailure } from './exit.ts';
import { TIMEOUT_SECONDS_DEFAULT } from './global_options.ts';
import { Screen } from './screen.ts';
import { Session, type Terminal } from './session.ts';
import { UsageError } from './usage_error.ts';
import { version } from './version.ts';

/** Columns of help in pipes. */
const PIPE_COLUMNS = 100;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const plain = words.includes('--no-color');
  try {
    return await start(words, terminal);
  } catch (error) {
    // Whatever an interrupted action throws is about the interruption.
    if (terminal.signal.aborted) return EXIT_INTERRUPTED;
    return printFailure(new Screen(terminal.stderr, terminal.env, !plain), error, {
      json: words.includes('--json'),
      debug: terminal.env.HOLDFAST_DEBUG === '1',
    });
  }
}

async function start(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words[0] === COMPLETE) {
    const { complete } = await import('./complete.ts');
    await complete(words.slice(1), terminal);
    return EXIT_OK;
  }
  if (words.includes('--version') && words.every((word) => ['--version', '--json'].includes(word))) {
    return printVersion(terminal, words.includes('--json'));
  }
  const { helpOf, parse } = await import('./parser.ts');
  if (words.length === 0) {
    terminal.stderr.write(`${await helpOf('', COMMANDS, terminal.stderr.columns || PIPE_COLUMNS)}\n`);
    return EXIT_USAGE;
  }
  const parsed = await parse(words, COMMANDS, terminal.stdout.columns || PIPE_COLUMNS);
  if (parsed.kind === 'help') {
    terminal.stdout.write(`${parsed.text}\n`);
    return EXIT_OK;
  }
  if (parsed.globals.version) return printVersion(terminal, parsed.globals.json);
  const { timeout = TIMEOUT_SECONDS_DEFAULT, noColor, ...globals } = parsed.globals;
  if (timeout <= 0) throw new UsageError('--timeout takes more than 0 seconds.');
  const session = new Session(terminal, { ...globals, color: !noColor, timeoutMs: timeout * 1000 });
  const given = parsed.given as Parameters<typeof parsed.command.run>[1];
  const exit = await parsed.command.run(session, given).catch((error) => {
    throw forCommandLine(error, parsed.command.path);
  });
  return terminal.signal.aborted ? EXIT_INTERRUPTED : (exit ?? EXIT_OK);
}

/** What the daemon says to those who write requests, for those who write command lines. */
function forCommandLine(error: unknown, path: string): unknown {
  if (!(error instanceof Failure) || !error.remedy?.includes('/v1/openapi.json')) return error;
  return new Failure(error.code, 'What was given is not valid.', {
    ...(error.reason !== undefined && { reason: error.reason }),
    remedy: `See holdfast ${path} --help`,
    cause: error,
  });
}

function printVersion({ stdout }: Terminal, json: boolean): number {
  stdout.write(json ? `${JSON.stringify({ version: version() })}\n` : `${version()}\n`);
  return EXIT_OK;
}
