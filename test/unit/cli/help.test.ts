// Help and COMMANDS.md: complete, current, and never wider than it should be.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { captureRequestSchema } from '../../../control/api/schema.ts';
import { kebab } from '../../../control/cli/command.ts';
import { COMMANDS, GROUPS } from '../../../control/cli/commands.ts';
import { helpOf } from '../../../control/cli/parser.ts';
import { commandReference, REFERENCE_FILE } from '../../../control/cli/reference.ts';
import { PORTS_DEFAULT } from '../../../control/config/node.ts';
import { backendSchema, poolSchema } from '../../../control/config/objects.ts';
import { FAILURES } from '../../../control/lib/failure.ts';
import { holdfast } from './lib/run.ts';

const COLUMNS = 100;

it('COMMANDS.md is what the commands say', () => {
  expect(readFileSync(REFERENCE_FILE, 'utf8'), 'npm run generate').toBe(commandReference());
});

describe('help', () => {
  it('is this', async () => {
    const helps = [];
    for (const path of ['', 'services', 'backends set', 'explain']) {
      helps.push(await helpOf(path, COMMANDS, COLUMNS));
    }
    await expect(helps.join('\n\n=====\n\n')).toMatchFileSnapshot('help.txt');
  });

  it('has every command, and every exit code', async () => {
    const { exit, stdout } = await holdfast(['--help']);
    expect(exit).toBe(0);
    for (const { path } of COMMANDS) expect(stdout).toContain(`holdfast ${path.split(' ')[0]}`);
    for (const [code, { exit }] of Object.entries(FAILURES)) {
      expect(stdout).toMatch(new RegExp(`^ *${exit} {2}${code}: `, 'm'));
    }
    expect(stdout).toMatch(/^ *0 {2}done$/m);
    expect(stdout).toMatch(/^ *2 {2}the command line is wrong$/m);
    expect(stdout).toMatch(/^ *130 {2}stopped by SIGINT/m);
  });

  it('of every command has its options and arguments, and no exit codes again', async () => {
    for (const { path, summary, options, arguments: named } of COMMANDS) {
      const text = await helpOf(path, COMMANDS, COLUMNS);
      expect(text.startsWith(`${summary}.\n`), path).toBe(true);
      expect(text).not.toContain('Exit codes');
      for (const name of Object.keys(options)) expect(text).toContain(`--${kebab(name)} `);
      for (const name of Object.keys(named)) expect(text).toContain(kebab(name));
      for (const name of ['--json', '--socket', '--no-color', '--help']) expect(text).toContain(name);
    }
  });

  it('of a group has its commands', async () => {
    for (const group of Object.keys(GROUPS)) {
      const text = await helpOf(group, COMMANDS, COLUMNS);
      for (const { path } of COMMANDS.filter((it) => it.path.startsWith(`${group} `))) {
        expect(text).toContain(`holdfast ${path}`);
      }
    }
  });

  it('is as wide as the terminal', async () => {
    const { stdout } = await holdfast(['services', 'add', '--help'], { terminal: { columns: 70 } });
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(70);
  });
});

it('the defaults that help names are those that count', () => {
  const standard = (path: string, option: string) =>
    COMMANDS.find((it) => it.path === path)!.options[option]!.standard;
  const capture = captureRequestSchema.parse({});
  expect(standard('capture', 'seconds')).toBe(String(capture.seconds));
  expect(standard('capture', 'count')).toBe(String(capture.packets));
  expect(standard('pools add', 'slots')).toBe(String(poolSchema.parse({ name: 'x' }).slots));
  const backend = backendSchema.parse({ pool: 'x', name: 'x', address: '10.0.0.1' });
  expect(standard('backends add', 'weight')).toBe(String(backend.weight));
  expect(standard('backends add', 'encap')).toBe(backend.encap);
  const { guePort } = COMMANDS.find(({ path }) => path === 'backends add')!.options;
  expect(guePort!.describe).toContain(String(PORTS_DEFAULT.gue));
});

describe('examples', () => {
  it('are of commands and options that exist', () => {
    for (const { path, examples, options } of COMMANDS) {
      for (const [line] of examples) {
        expect(line.startsWith(path), line).toBe(true);
        const own = line.split(/ [|<>] /, 1)[0]!;
        const known = Object.entries(options).flatMap(([name, { short }]) => [
          `--${kebab(name)}`,
          `-${short}`,
        ]);
        for (const [flag] of own.matchAll(/(?<= )--?[a-z][a-z-]*/g)) {
          expect([...known, '--json'], `${line}: ${flag}`).toContain(flag);
        }
      }
    }
  });
});
