// The file of the node: checked, shown and described here, without a daemon.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { COMMANDS } from '../../../control/cli/commands.ts';
import { NODE_CONFIG_PATH, nodeConfigSchema } from '../../../control/config/node.ts';
import { nodeFileJsonSchema } from '../../../control/config/node_file.ts';
import { holdfast } from './lib/run.ts';

let directory: string;
let good: string;
let bad: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
  good = join(directory, 'good.yaml');
  bad = join(directory, 'bad.yaml');
  writeFileSync(good, 'node: mux1\nroles: [mux]\ninterface: eth0\n');
  writeFileSync(bad, 'node: mux1\nrole: [mux]\nguePort: 70000\n');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const PROBLEMS = [
  { line: 2, column: 1, path: 'role', message: 'unknown; did you mean roles?' },
  { line: 3, column: 10, path: 'guePort', message: 'must be at most 65535' },
];

describe('config check', () => {
  it('finds nothing in a good file', async () => {
    expect(await holdfast(['config', 'check', good])).toEqual({
      exit: 0,
      stdout: `${good} has no mistakes\n`,
      stderr: '',
    });
    const { stdout } = await holdfast(['config', 'check', good, '--json']);
    expect(JSON.parse(stdout)).toEqual({ file: good, exists: true, valid: true, problems: [] });
  });

  it('finds every mistake in a bad one', async () => {
    expect(await holdfast(['config', 'check', bad])).toEqual({
      exit: 78,
      stdout: '',
      stderr:
        `error:  ${bad} has 2 mistakes.\n` +
        `cause:  ${bad}:2:1: role: unknown; did you mean roles?\n` +
        `        ${bad}:3:10: guePort: must be at most 65535\n`,
    });
    const { exit, stdout, stderr } = await holdfast(['config', 'check', bad, '--json']);
    expect({ exit, stderr }).toEqual({ exit: 78, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ file: bad, exists: true, valid: false, problems: PROBLEMS });
  });

  it('needs a file that is named', async () => {
    expect(await holdfast(['config', 'check', join(directory, 'none.yaml')])).toEqual({
      exit: 66,
      stdout: '',
      stderr: `error:  Cannot read ${directory}/none.yaml.\ncause:  There is no such file or directory.\n`,
    });
  });
});

describe('config show', () => {
  it('is the file with defaults', async () => {
    const { exit, stdout } = await holdfast(['config', 'show', good]);
    expect(exit).toBe(0);
    expect(stdout.startsWith(`# ${good}, and defaults\n`)).toBe(true);
    const config = nodeConfigSchema.parse({ node: 'mux1', roles: ['mux'], interface: 'eth0' });
    expect(parse(stdout)).toEqual(config);
    expect(JSON.parse((await holdfast(['config', 'show', good, '--json'])).stdout)).toEqual(config);
  });

  it('refuses a bad file as check does', async () => {
    const shown = await holdfast(['config', 'show', bad]);
    expect(shown).toEqual(await holdfast(['config', 'check', bad]));
  });
});

it('config schema is the schema that is committed', async () => {
  const { exit, stdout } = await holdfast(['config', 'schema']);
  expect(exit).toBe(0);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(nodeFileJsonSchema())));
});

it('the usual place of the file is named where it counts', () => {
  for (const path of ['config check', 'config show']) {
    const { describe } = COMMANDS.find((it) => it.path === path)!.arguments.file!;
    expect(describe).toContain(NODE_CONFIG_PATH);
  }
});
