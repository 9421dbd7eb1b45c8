// Owns what yargs complains about, in our words, with what was probably meant. yargs is of a fixed version and speaks
// English here; the tests have every sentence of it that can occur.
import { closestOf } from '../lib/closest.ts';
import { type Command, flagOf, kebab, usageOf } from './command.ts';
import { GROUPS } from './commands.ts';
import { GLOBAL_OPTIONS } from './global_options.ts';
import { UsageError } from './usage_error.ts';

type Where = {
  /** As typed. */
  readonly words: readonly string[];
  /** Of the command or group that was reached. */
  readonly path: string;
  readonly commands: readonly Command[];
};

/** Words of other programs for what ours call otherwise. */
const SYNONYMS: Readonly<Record<string, string>> = {
  create: 'add',
  new: 'add',
  delete: 'rm',
  del: 'rm',
  remove: 'rm',
  edit: 'set',
  update: 'set',
  modify: 'set',
  ls: 'list',
  get: 'show',
  describe: 'show',
  service: 'services',
  svc: 'services',
  pool: 'pools',
  backend: 'backends',
  top: 'stats',
  tcpdump: 'capture',
  trace: 'explain',
  validate: 'check',
  diagnose: 'doctor',
  log: 'events',
  logs: 'events',
  watch: 'events',
};

export function usageErrorOf(message: string, where: Where): UsageError {
  for (const [pattern, translate] of TRANSLATIONS) {
    const found = pattern.exec(message);
    if (found !== null) return translate(found[1] ?? '', where);
  }
  return new UsageError(message, { remedy: see(where) });
}

const TRANSLATIONS: readonly (readonly [RegExp, (named: string, where: Where) => UsageError])[] = [
  [/^Unknown commands?: ([^,]+)/, unknownWord],
  [/^Unknown arguments?: ([^,]+)/, unknown],
  [/^Not enough arguments following: (.+)$/, noValue],
  [/^Not enough non-option arguments: got \d+, need at least \d+$/, tooFew],
];

function unknown(named: string, where: Where): UsageError {
  const typed = where.words.find((word) => /^-/.test(word) && optionNames(word).includes(named));
  return typed === undefined ? unknownWord(named, where) : unknownOption(typed, where);
}

function unknownWord(named: string, where: Where): UsageError {
  if (where.commands.some(({ path }) => path === where.path)) {
    return new UsageError(`${where.path} takes no "${named}".`, { remedy: see(where) });
  }
  const prefix = where.path === '' ? '' : `${where.path} `;
  const known = [
    ...where.commands
      .filter(({ path }) => path.startsWith(prefix))
      .map(({ path }) => path.slice(prefix.length)),
    ...(prefix === '' ? Object.keys(GROUPS) : []),
  ].filter((word) => !word.includes(' '));
  const synonym = SYNONYMS[named];
  const meant = synonym !== undefined && known.includes(synonym) ? synonym : meantOf(named, known);
  return new UsageError(`There is no command "${prefix}${named}".`, {
    remedy: meant === undefined ? see(where) : `Did you mean "holdfast ${prefix}${meant}"?`,
  });
}

function unknownOption(typed: string, where: Where): UsageError {
  const written = typed.replace(/=.*$/, '');
  const options = where.commands.find(({ path }) => path === where.path)?.options ?? {};
  const known = [...Object.keys(options), ...Object.keys(GLOBAL_OPTIONS), 'help'].map(flagOf);
  const meant = meantOf(written, known);
  const of = where.path === '' ? 'holdfast' : where.path;
  return new UsageError(`${of} has no option ${written}.`, {
    remedy: meant === undefined ? see(where) : `Did you mean ${meant}?`,
  });
}

function noValue(named: string, where: Where): UsageError {
  const options = where.commands.find(({ path }) => path === where.path)?.options ?? {};
  const name = Object.entries(options).find(([, { short }]) => short === named)?.[0] ?? named;
  return new UsageError(`--${kebab(name)} needs a value.`, { remedy: see(where) });
}

function tooFew(_: string, where: Where): UsageError {
  const command = where.commands.find(({ path }) => path === where.path);
  if (command === undefined) return new UsageError('Say what to do.', { remedy: see(where) });
  const missing = Object.entries(command.arguments).find(([, { required }]) => required)?.[0] ?? '';
  return new UsageError(`${kebab(missing).toUpperCase()} is missing.`, {
    remedy: `Write holdfast ${usageOf(command)}`,
  });
}

/** The beginning of a word counts for the word. */
function meantOf(typed: string, known: readonly string[]): string | undefined {
  return closestOf(typed, known) ?? known.find((word) => typed.length > 2 && word.startsWith(typed));
}

function see({ path }: Where): string {
  return `See holdfast ${path === '' ? '' : `${path} `}--help`;
}

/** Names that yargs may give to what was typed: `--no-x=1` is x, `-ab` is a and b. */
function optionNames(word: string): string[] {
  const name = word.replace(/^-+/, '').replace(/=.*$/, '');
  return word.startsWith('--') ? [name, name.replace(/^no-/, '')] : [name, ...name];
}
