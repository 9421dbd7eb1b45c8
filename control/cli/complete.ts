// Owns what a shell is told that a word may become. Apart from yargs, which takes longer to load than this to answer;
// from the same table of commands.
import { type Argument, type Command, flagOf, kebab, type Option, type Source } from './command.ts';
import { COMMANDS, GROUPS } from './commands.ts';
import { FILES_TOO } from './completion_script.ts';
import { endpointOf } from './connection.ts';
import { GLOBAL_OPTIONS } from './global_options.ts';
import type { Terminal } from './session.ts';
import { version } from './version.ts';

/** A shell that waits is worse than one that does not know. */
const COMPLETION_TIMEOUT_MS = 500;

/** What the word being written, the last of all, may become: by its kind, before anybody is asked. */
export type Wanted = {
  readonly words: readonly string[];
  readonly source?: Source;
  /** Before each: `--encap=` where that is a part of the word. */
  readonly prefix: string;
  /** Values of options, to find the daemon by. */
  readonly given: Readonly<Record<string, string>>;
};

export async function complete(words: readonly string[], terminal: Terminal): Promise<void> {
  const wanted = wantedOf(words, COMMANDS);
  const current = words.at(-1) ?? '';
  const found = [...wanted.words, ...(await fromSource(wanted, terminal))];
  const fitting = found.map((word) => `${wanted.prefix}${word}`).filter((word) => word.startsWith(current));
  for (const word of wanted.source === 'files' ? [...fitting, FILES_TOO] : fitting) {
    terminal.stdout.write(`${word}\n`);
  }
}

export function wantedOf(words: readonly string[], commands: readonly Command[]): Wanted {
  const current = words.at(-1) ?? '';
  const { path, command, named, pending, used, given } = read(words.slice(0, -1), commands);
  const rest = { prefix: '', given };
  if (pending !== undefined) return { ...candidatesOf(pending), ...rest };
  const options = optionsOf(command);
  if (current.startsWith('-')) {
    const [flag = '', value] = current.split(/=(.*)/s);
    if (value === undefined) return { words: optionsLeft(options, used), ...rest };
    const option = find(options, flag)?.[1];
    return { ...(option === undefined ? { words: [] } : candidatesOf(option)), prefix: `${flag}=`, given };
  }
  if (command === undefined) return { words: nextWords(path, commands), ...rest };
  const positions = Object.values(command.arguments);
  const argument = positions[named] ?? positions.findLast(({ many }) => many);
  return { ...(argument === undefined ? { words: [] } : candidatesOf(argument)), ...rest };
}

type Read = {
  readonly path: string;
  readonly command: Command | undefined;
  /** How many arguments are complete. */
  readonly named: number;
  /** The option whose value comes next. */
  readonly pending: Option | undefined;
  readonly used: ReadonlySet<string>;
  readonly given: Readonly<Record<string, string>>;
};

function read(words: readonly string[], commands: readonly Command[]): Read {
  let path = '';
  let command: Command | undefined;
  let named = 0;
  let pending: readonly [string, Option] | undefined;
  const used = new Set<string>();
  const given: Record<string, string> = {};
  for (const word of words) {
    if (pending !== undefined) {
      // bash makes three words of --encap=gue.
      if (word === '=') continue;
      given[pending[0]] = word;
      pending = undefined;
    } else if (word.startsWith('-') && word !== '-') {
      const [flag = '', value] = word.split(/=(.*)/s);
      const entry = find(optionsOf(command), flag);
      if (entry === undefined) continue;
      used.add(entry[0]);
      if (value !== undefined) given[entry[0]] = value;
      else if (entry[1].type === 'text' || entry[1].type === 'number') pending = entry;
    } else if (command === undefined) {
      path = path === '' ? word : `${path} ${word}`;
      command = commands.find((it) => it.path === path);
    } else {
      named++;
    }
  }
  return { path, command, named, pending: pending?.[1], used, given };
}

type NamedOptions = Readonly<Record<string, Option>>;

function optionsOf(command: Command | undefined): NamedOptions {
  return { ...command?.options, ...GLOBAL_OPTIONS };
}

function find(options: NamedOptions, flag: string): readonly [string, Option] | undefined {
  return Object.entries(options).find(([name, { short }]) =>
    flag.startsWith('--') ? flagOf(name) === flag : `-${short}` === flag,
  );
}

function nextWords(path: string, commands: readonly Command[]): string[] {
  if (path === '') {
    return [...new Set(commands.map((it) => it.path.split(' ')[0]!))];
  }
  if (!(path in GROUPS)) return [];
  return commands.filter((it) => it.path.startsWith(`${path} `)).map((it) => it.path.slice(path.length + 1));
}

function optionsLeft(options: NamedOptions, used: ReadonlySet<string>): string[] {
  const left = Object.entries(options).filter(([name, { many }]) => many || !used.has(name));
  return [...left.map(([name]) => `--${kebab(name)}`), '--help'];
}

function candidatesOf({ choices, source }: Argument): Pick<Wanted, 'words' | 'source'> {
  return { words: choices ?? [], ...(source === undefined ? {} : { source }) };
}

/** Nothing where the daemon does not answer: whoever presses Tab did not ask for an error. */
async function fromSource({ source, given }: Wanted, terminal: Terminal): Promise<readonly string[]> {
  if (source === undefined || source === 'files') return [];
  if (source === 'interfaces') return Object.keys((await import('node:os')).networkInterfaces());
  try {
    const { Client } = await import('../api/client.ts');
    const client = new Client(await endpointOf(given, terminal.env), {
      version: version(),
      timeoutMs: COMPLETION_TIMEOUT_MS,
      signal: terminal.signal,
    });
    if (source === 'reasons') return await client.reasonNames();
    if (source === 'users') return await client.userNames();
    if (source === 'folders' || source === 'links' || source === 'entries' || source === 'storages') {
      return await client.namespaceNames(source);
    }
    return source === 'changes' ? await client.changeIds() : await client.names(source);
  } catch {
    return [];
  }
}
