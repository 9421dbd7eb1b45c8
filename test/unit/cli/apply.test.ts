// apply and export: the file, what would change, and the question before something goes.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDocument } from '../../../control/config/document.ts';
import * as answers from './lib/answers.ts';
import { FakeDaemon, failure, type Seen } from './lib/fake_daemon.ts';
import { holdfast, type RunOptions } from './lib/run.ts';

let daemon: FakeDaemon;
let directory: string;
let file: string;
beforeEach(async () => {
  daemon = await FakeDaemon.start();
  directory = mkdtempSync(join(tmpdir(), 'holdfast-apply-'));
  file = join(directory, 'cluster.yaml');
  writeFileSync(file, 'services: []\npools:\n  - name: web\n');
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const ask = (line: string, options: RunOptions = {}) => holdfast(line.split(' '), { daemon, ...options });
const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;

const DIFF = [
  '+ service web',
  '    addresses: 198.18.0.10, 2001:db8::10',
  '    protocol: tcp',
  '    port: 80',
  '    pool: web',
  '    affinity.prefixLength4: 24',
  '    affinity.prefixLength6: 64',
  '~ backend web/b2',
  '    address: 10.0.0.2 → 10.0.0.9',
  '    mtuBytes: 1400 → (none)',
  '    serverId: (none) → 7',
  '- backend web/b1',
  '- pool old',
  '',
  'pool web: 10,923 of 65,537 slots get another backend (16.7 %)',
  '',
];

describe('apply', () => {
  beforeEach(() => {
    daemon.reply({
      'POST /v1/apply': ({ query }: Seen) => ({ ...answers.CHANGED, dryRun: query.dryRun === 'true' }),
    });
  });

  it('sends what the file says, and shows what has changed', async () => {
    expect(await ask(`apply -f ${file}`)).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(...DIFF, '1 added, 1 changed, 2 removed: revision 44'),
    });
    expect(daemon.asked).toEqual(['POST /v1/apply']);
    expect(daemon.seen[0]!.body).toEqual({
      services: [],
      pools: [{ name: 'web', slots: 65_537 }],
      backends: [],
    });
  });

  it('shows what would change on a dry run', async () => {
    expect(await ask(`apply -f ${file} --dry-run --force`)).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(...DIFF, 'dry run, nothing was changed: 1 to add, 1 to change, 2 to remove'),
    });
    expect(daemon.asked).toEqual(['POST /v1/apply?dryRun=true&force=true']);
  });

  it('takes the file from standard input, JSON too', async () => {
    await ask('apply -f - --json', { input: '{"backends": []}' });
    expect(daemon.seen[0]!.body).toEqual({ services: [], pools: [], backends: [] });
  });

  it('may have nothing to do', async () => {
    daemon.reply({ 'POST /v1/apply': { ...answers.CHANGED, changes: [], moved: [] } });
    expect((await ask(`apply -f ${file}`)).stdout).toBe('nothing to change at revision 44\n');
  });

  it('has colours in a terminal', async () => {
    const { stdout } = await ask(`apply -f ${file} --dry-run`, { terminal: { columns: 80 } });
    expect(stdout).toContain('\x1b[32m+ service web\x1b[39m');
    expect(stdout).toContain('\x1b[33m~ backend web/b2\x1b[39m');
    expect(stdout).toContain('\x1b[31m- backend web/b1\x1b[39m');
  });

  it('fails with what the daemon says', async () => {
    daemon.reply({ 'POST /v1/apply': failure(400, { code: 'invalid', message: 'Pool x is not there.' }) });
    expect(await ask(`apply -f ${file}`)).toEqual({
      exit: 65,
      stdout: '',
      stderr: 'error:  Pool x is not there.\n',
    });
  });
});

describe('apply in a terminal', () => {
  const terminal = { columns: 100 };
  beforeEach(() => {
    daemon.reply({
      'POST /v1/apply': ({ query }: Seen) => ({ ...answers.CHANGED, dryRun: query.dryRun === 'true' }),
    });
  });

  it('asks before it removes, and shows the change once', async () => {
    const outcome = await ask(`apply -f ${file} --no-color`, { terminal, input: 'y\n' });
    expect(outcome.exit).toBe(0);
    expect(outcome.stderr.startsWith(lines(...DIFF))).toBe(true);
    expect(outcome.stderr).toContain('Remove 2 objects? [y/N] ');
    expect(outcome.stdout).toBe('1 added, 1 changed, 2 removed: revision 44\n');
    expect(daemon.asked).toEqual(['POST /v1/apply?dryRun=true', 'POST /v1/apply']);
  });

  it('shows the change again where it became another one meanwhile', async () => {
    daemon.reply({
      'POST /v1/apply': ({ query }: Seen) => (query.dryRun ? answers.CHANGED : answers.DRAINED),
    });
    const { stdout } = await ask(`apply -f ${file} --no-color`, { terminal, input: 'yes\n' });
    expect(stdout).toContain('~ backend web/b1\n    weight: 100 → 0\n');
  });

  for (const [what, input] of [
    ['no', 'no\n'],
    ['nothing', '\n'],
    ['something else', 'maybe\n'],
    ['the end of input', ''],
  ] as const) {
    it(`changes nothing where the answer is ${what}`, async () => {
      const outcome = await ask(`apply -f ${file}`, { terminal, input });
      expect(outcome).toMatchObject({ exit: 130, stdout: '' });
      expect(outcome.stderr).toMatch(/nothing was changed\n$/);
      expect(daemon.asked).toEqual(['POST /v1/apply?dryRun=true']);
    });
  }

  it('changes nothing where it is interrupted', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    expect(await ask(`apply -f ${file}`, { terminal, signal: stop.signal })).toMatchObject({ exit: 130 });
    expect(daemon.asked).toEqual(['POST /v1/apply?dryRun=true']);
  });

  it('does not ask where nothing is removed, or with --yes', async () => {
    expect(await ask(`apply -f ${file} --yes`, { terminal })).toMatchObject({ exit: 0, stderr: '' });
    daemon.reply({ 'POST /v1/apply': answers.ADDED });
    expect(await ask(`apply -f ${file}`, { terminal })).toMatchObject({ exit: 0, stderr: '' });
    expect(daemon.asked).toEqual(['POST /v1/apply', 'POST /v1/apply?dryRun=true', 'POST /v1/apply']);
  });

  it('cannot ask where standard input is the file', async () => {
    const outcome = await ask('apply -f - --no-color', { terminal, input: 'services: []' });
    expect(outcome).toEqual({
      exit: 2,
      stdout: '',
      stderr: lines(
        ...DIFF,
        'error:  This would remove 2 objects, and nobody can be asked.',
        'cause:  Standard input, where the answer would come from, is the file.',
        'remedy: Give --yes, or the name of a file.',
      ),
    });
    expect(daemon.asked).toEqual(['POST /v1/apply?dryRun=true']);
  });

  it('asks about one object by its name, for rm', async () => {
    const removed = { ...answers.DRAINED, changes: [{ action: 'remove', kind: 'backend', name: 'web/b1' }] };
    daemon.reply({ 'DELETE /v1/backends/web/b1': removed });
    const outcome = await ask('backends rm web/b1', { terminal, input: 'n\n' });
    expect(outcome.stderr).toContain('Remove backend web/b1? [y/N] ');
    expect(daemon.asked).toEqual(['DELETE /v1/backends/web/b1?dryRun=true']);
  });
});

describe('export', () => {
  const yaml = `# Services, pools and backends of a Holdfast cluster.
# "holdfast apply -f" makes a cluster be this; what is not in it is removed.
services:
  - name: web
    addresses:
      - 198.18.0.10
      - 2001:db8::10
    protocol: tcp
    port: 80
    pool: web
pools:
  - name: web
    slots: 65537
backends:
  - pool: web
    name: b1
    address: 10.0.0.1
    weight: 100
    encap: gue
`;
  beforeEach(() => daemon.reply({ 'GET /v1/export': answers.DOCUMENT }));

  it('is YAML with a word about what it is', async () => {
    expect(await ask('export')).toEqual({ exit: 0, stderr: '', stdout: yaml });
    expect(parseDocument(yaml, 'x')).toEqual(answers.DOCUMENT);
  });

  it('is JSON where JSON is asked for', async () => {
    expect(JSON.parse((await ask('export --json')).stdout)).toEqual(answers.DOCUMENT);
  });

  it('goes to a file', async () => {
    expect(await ask(`export -o ${file}`)).toEqual({ exit: 0, stderr: '', stdout: '' });
    expect(readFileSync(file, 'utf8')).toBe(yaml);
    expect((await ask(`export --output ${file}/x`)).stderr).toBe(
      `error:  Cannot write ${file}/x.\ncause:  A part of the path is no directory.\n`,
    );
  });

  it('leaves the file alone where the daemon does not answer', async () => {
    writeFileSync(file, 'old');
    daemon.reply({ 'GET /v1/export': failure(503, { code: 'unavailable', message: 'Not now.' }) });
    expect((await ask(`export -o ${file}`)).exit).toBe(69);
    expect(readFileSync(file, 'utf8')).toBe('old');
  });
});

describe('a file that says nothing that can be done', () => {
  it('has mistakes, each with its line and column', async () => {
    writeFileSync(file, 'pools:\n  - name: Web\n    slot: 5\n');
    expect(await ask(`apply -f ${file}`)).toEqual({
      exit: 65,
      stdout: '',
      stderr: lines(
        `error:  ${file} has 2 mistakes.`,
        `cause:  ${file}:2:11: pools[0].name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -`,
        `        ${file}:3:5: pools[0].slot: unknown; did you mean slots?`,
      ),
    });
  });

  it('is empty, or comments alone', async () => {
    const stderr = lines(
      'error:  Standard input is empty.',
      'remedy: To remove everything, write "services: []" and give --force.',
    );
    for (const input of ['', '\n', '# nothing\n\n  # here\n']) {
      expect(await ask('apply -f -', { input })).toEqual({ exit: 65, stdout: '', stderr });
    }
  });

  it('is not there', async () => {
    expect(await ask(`apply -f ${directory}/none.yaml`)).toEqual({
      exit: 66,
      stdout: '',
      stderr: lines(
        `error:  Cannot read ${directory}/none.yaml.`,
        'cause:  There is no such file or directory.',
      ),
    });
  });

  it('is not sent', () => expect(daemon.seen).toEqual([]));
});
