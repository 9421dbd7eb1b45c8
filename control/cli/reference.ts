// Owns COMMANDS.md: the table of commands as a document. Run as a program it writes the file.
import { writeFileSync } from 'node:fs';
import { type Argument, type Command, flagOf, hints, kebab, type Option, usageOf } from './command.ts';
import { COMMANDS, GROUPS } from './commands.ts';
import { exitCodes } from './exit.ts';
import { GLOBAL_OPTIONS } from './global_options.ts';

export const REFERENCE_FILE = new URL('COMMANDS.md', import.meta.url);

export function commandReference(): string {
  return `${[
    '# holdfast',
    '<!-- Made by control/cli/reference.ts from the commands themselves: npm run generate. -->',
    'Every command talks to the API of `holdfastd`, on this host unless `--url` names another one. What a command is asked for goes to standard output, everything else to standard error.',
    ...COMMANDS.flatMap((command, index) => [
      ...groupHeading(command, COMMANDS[index - 1]),
      ...commandSection(command),
    ]),
    '## Options of every command',
    optionTable(GLOBAL_OPTIONS),
    'Options count before variables of the environment. `HOLDFAST_DEBUG=1` adds the places in the program to errors.',
    '## Exit codes',
    table(
      ['code', 'meaning'],
      exitCodes().map(({ exit, meaning }) => [String(exit), meaning]),
    ),
    'An error is up to three lines on standard error: `error:` what did not work, `cause:` why, `remedy:` what to do. With `--json` it is one line of JSON with `code`, `message`, `cause` and `remedy`.',
  ].join('\n\n')}\n`;
}

function groupHeading({ path }: Command, before: Command | undefined): string[] {
  const group = path.split(' ', 1)[0]!;
  if (!(group in GROUPS)) return [];
  return before?.path.split(' ', 1)[0] === group ? [] : [`## ${group}`, `${GROUPS[group]}.`];
}

function commandSection(command: Command): string[] {
  const level = command.path.includes(' ') ? '###' : '##';
  const named = Object.entries(command.arguments).map(([name, it]) => [code(kebab(name)), cell(it)]);
  return [
    `${level} ${command.path}`,
    `\`holdfast ${usageOf(command)} [OPTION…]\``,
    `${command.summary}.${command.details === undefined ? '' : ` ${command.details}`}`,
    ...(named.length === 0 ? [] : [table(['argument', ''], named)]),
    ...(Object.keys(command.options).length === 0 ? [] : [optionTable(command.options)]),
    ...(command.examples.length === 0 ? [] : [examples(command)]),
  ];
}

function optionTable(options: Readonly<Record<string, Option>>): string {
  const rows = Object.entries(options).map(([name, it]) => {
    const short = it.short === undefined ? '' : `${code(`-${it.short}`)}, `;
    return [`${short}${code(flagOf(name))}`, cell(it)];
  });
  return table(['option', ''], rows);
}

function cell(it: Argument | Option): string {
  const more = hints(it).join('; ');
  return (more === '' ? it.describe : `${it.describe} (${more})`).replaceAll('|', '\\|');
}

function code(text: string): string {
  return `\`${text}\``;
}

function examples({ examples }: Command): string {
  const lines = examples.flatMap(([line, meaning]) => [
    ...(meaning === '' ? [] : [`# ${meaning}`]),
    `holdfast ${line}`,
  ]);
  return ['```sh', ...lines, '```'].join('\n');
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main) writeFileSync(REFERENCE_FILE, commandReference());
