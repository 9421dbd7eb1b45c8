// Owns turning a command line into a command and what is given to it, by yargs, from the table of commands; and help.
import yargs, { type Argv } from 'yargs';
import { type Command, describe, flagOf, kebab, type Option, usageOf } from './command.ts';
import { GROUPS } from './commands.ts';
import { exitCodeLines } from './exit.ts';
import { GLOBAL_OPTIONS, type GlobalGiven } from './global_options.ts';
import { UsageError } from './usage_error.ts';
import { usageErrorOf } from './yargs_message.ts';

export type Parsed =
  | { readonly kind: 'help'; readonly text: string }
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly given: Readonly<Record<string, unknown>>;
      readonly globals: GlobalGiven;
    };

const HELP_COLUMNS_MAX = 110;

const EVERYWHERE = 'Everywhere:';

/** A raw result of yargs: texts, lists of them where an option came twice, booleans. */
type Raw = Readonly<Record<string, unknown>>;

export async function parse(
  words: readonly string[],
  commands: readonly Command[],
  columns: number,
): Promise<Parsed> {
  // yargs would take the arrow for two short options.
  const cleaned = words.map((word) => (word === '->' ? '→' : word));
  let chosen: Command | undefined;
  let chosenRaw: Raw = {};
  let help = '';
  let path = '';
  const parser = build(commands, columns, {
    reached: (words) => (path = words),
    chosen: (command, raw) => {
      chosen = command;
      chosenRaw = raw;
    },
    failed: (message) => usageErrorOf(message, { words, path, commands }),
  });
  await parser.parseAsync(cleaned, {}, (_error, _raw, output) => {
    help = output;
  });
  if (help !== '') return { kind: 'help', text: help };
  if (chosen === undefined) throw new UsageError('Nothing to do.');
  return {
    kind: 'command',
    command: chosen,
    given: collect(chosen, { ...chosen.arguments, ...chosen.options }, chosenRaw),
    globals: collect(chosen, GLOBAL_OPTIONS, chosenRaw) as GlobalGiven,
  };
}

/** The help of a command, a group, or everything (''). */
export async function helpOf(path: string, commands: readonly Command[], columns: number): Promise<string> {
  const parsed = await parse([...path.split(' ').filter((word) => word !== ''), '--help'], commands, columns);
  return parsed.kind === 'help' ? parsed.text : '';
}

type Listener = {
  reached(path: string): void;
  chosen(command: Command, raw: Raw): void;
  failed(message: string): Error;
};

function build(commands: readonly Command[], columns: number, listener: Listener): Argv {
  const parser = withPlainHelp(yargs())
    .scriptName('holdfast')
    .locale('en')
    .version(false)
    .exitProcess(false)
    .wrap(Math.min(columns, HELP_COLUMNS_MAX))
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'greedy-arrays': false,
      'dot-notation': false,
      'camel-case-expansion': false,
    })
    .usage('holdfast: Linux load balancing in XDP\n\nholdfast COMMAND [OPTION…]')
    .help('help', 'Say more: of a command, holdfast COMMAND --help')
    .alias('help', 'h')
    .group('help', EVERYWHERE)
    .demandCommand(1)
    .strictCommands()
    .strict()
    .epilogue(epilogue())
    // yargs may call it twice, the second time with the error that the first call threw.
    .fail((message, error) => {
      throw error instanceof UsageError ? error : listener.failed(message || error.message);
    });
  addOptions(parser, GLOBAL_OPTIONS, EVERYWHERE);
  for (const first of new Set(commands.map(({ path }) => path.split(' ', 1)[0]!))) {
    const summary = GROUPS[first];
    if (summary === undefined) add(parser, commands.find(({ path }) => path === first)!, '', listener);
    else addGroup(parser, first, summary, commands, listener);
  }
  return parser;
}

function addGroup(
  parser: Argv,
  group: string,
  summary: string,
  commands: readonly Command[],
  listener: Listener,
): void {
  parser.command(group, summary, (inner) => {
    listener.reached(group);
    inner.usage(`${summary}.\n\nholdfast ${group} COMMAND`).demandCommand(1).epilogue('');
    for (const member of commands.filter(({ path }) => path.startsWith(`${group} `))) {
      add(inner, member, group, listener);
    }
    return inner;
  });
}

/** Types and such are part of the descriptions here. @types/yargs does not know the method. */
function withPlainHelp(parser: Argv): Argv {
  const { usageConfiguration } = parser as Argv & { usageConfiguration(options: object): Argv };
  return usageConfiguration.call(parser, { 'hide-types': true });
}

function add(parser: Argv, command: Command, group: string, listener: Listener): void {
  const usage = usageOf(command);
  parser.command(
    usage.slice(group === '' ? 0 : group.length + 1),
    command.summary,
    (inner) => {
      listener.reached(command.path);
      const details = command.details === undefined ? '' : `\n\n${command.details}`;
      inner.usage(`${command.summary}.${details}\n\nholdfast ${usage} [OPTION…]`).epilogue('');
      for (const [name, argument] of Object.entries(command.arguments)) {
        inner.positional(kebab(name), { type: 'string', describe: describe(argument) });
      }
      addOptions(inner, command.options, 'Options:');
      for (const [line, meaning] of command.examples) inner.example(`$0 ${line}`, meaning);
      return inner;
    },
    (raw) => listener.chosen(command, raw as Raw),
  );
}

function addOptions(parser: Argv, options: Readonly<Record<string, Option>>, group: string): void {
  for (const [name, option] of Object.entries(options)) {
    parser.option(kebab(name), {
      describe: describe(option),
      group,
      ...(option.short === undefined ? {} : { alias: option.short }),
      // Numbers are read by ours, which knows what was typed.
      ...(option.type === 'flag'
        ? { boolean: true }
        : option.type === 'optional'
          ? { string: true }
          : { string: true, requiresArg: true }),
    });
  }
  // `--no-color` is `color` set to false; this makes `color` known.
  if ('noColor' in options) parser.option('color', { boolean: true, hidden: true });
}

function epilogue(): string {
  return [
    'Exit codes:',
    ...exitCodeLines().map((line) => `  ${line}`),
    '',
    'Errors go to standard error: what did not work, its cause, and the remedy. With --json all output is JSON, errors too: one document, or one a line where it is a stream.',
  ].join('\n');
}

function collect(
  command: Command,
  options: Readonly<Record<string, Partial<Option>>>,
  raw: Raw,
): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const shown = name in command.arguments ? kebab(name).toUpperCase() : flagOf(name);
    const value = name === 'noColor' ? raw.color === false : raw[kebab(name)];
    found[name] = readValue(shown, option, value, `Write holdfast ${usageOf(command)}, with ${shown}`);
  }
  return found;
}

function readValue(shown: string, option: Partial<Option>, value: unknown, remedy: string): unknown {
  const values = value === undefined ? [] : [value].flat();
  if (option.type === 'flag') return values.includes(true);
  const texts = values.map(String);
  if (option.required && texts.length === 0) throw new UsageError(`${shown} is missing.`, { remedy });
  if (!option.many && texts.length > 1)
    throw new UsageError(`${shown} is given ${texts.length} times.`, { remedy: 'Give it once.' });
  const read = texts.map((text) => (option.type === 'number' ? numberOf(shown, text) : text));
  const { choices } = option;
  const wrong = choices === undefined ? undefined : texts.find((text) => !choices.includes(text));
  if (wrong !== undefined) {
    throw new UsageError(`${shown} cannot be "${wrong}".`, {
      remedy: `Give one of: ${choices!.join(', ')}.`,
    });
  }
  return option.many ? read : read[0];
}

function numberOf(shown: string, text: string): number {
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  throw new UsageError(`${shown} takes a number, not "${text}".`);
}
