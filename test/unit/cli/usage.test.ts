// Command lines that are wrong: exit code 2, and what to do about it; and where the daemon is looked for.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endpointOf, SOCKET_DEFAULT } from '../../../control/cli/connection.ts';
import { outcomeOf } from '../../../control/cli/exit.ts';
import { nodeConfigSchema } from '../../../control/config/node.ts';
import { FAILURES, Failure, type FailureCode } from '../../../control/lib/failure.ts';
import { STATUS } from './lib/answers.ts';
import { FakeDaemon } from './lib/fake_daemon.ts';
import { holdfast } from './lib/run.ts';

describe('a command line that is wrong', () => {
  const cases: readonly [string, string, string?][] = [
    ['expl', 'There is no command "expl".', 'Did you mean "holdfast explain"?'],
    ['st', 'There is no command "st".', 'See holdfast --help'],
    ['statsu', 'There is no command "statsu".', 'Did you mean "holdfast status"?'],
    ['frobnicate', 'There is no command "frobnicate".', 'See holdfast --help'],
    ['tcpdump', 'There is no command "tcpdump".', 'Did you mean "holdfast capture"?'],
    ['backend list', 'There is no command "backend".', 'Did you mean "holdfast backends"?'],
    ['services lst', 'There is no command "services lst".', 'Did you mean "holdfast services list"?'],
    ['services delete web', 'There is no command "services delete".', 'Did you mean "holdfast services rm"?'],
    ['services drain web', 'There is no command "services drain".', 'See holdfast services --help'],
    ['pools set web', 'Nothing to change.', 'Say what, with an option.'],
    [
      'pools set web --health none --path /',
      'There are no health checks with --health none.',
      'Leave the other options out.',
    ],
    [
      'pools set web --check-interval 5',
      '--check-interval cannot be "5".',
      'Write a whole number and a unit (ms, s, m, h, d), such as 250ms or 10m.',
    ],
    ['pools set web --status ok', '--status cannot be "ok".', 'Such as 200 or 200-299.'],
    [
      'backends drain web/b1 --deadline soon',
      '--deadline cannot be "soon".',
      'Write a whole number and a unit (ms, s, m, h, d), such as 250ms or 10m.',
    ],
    ['services', 'Say what to do.', 'See holdfast services --help'],
    ['--json', 'Say what to do.', 'See holdfast --help'],
    ['status now', 'status takes no "now".', 'See holdfast status --help'],
    ['status --jsno', 'status has no option --jsno.', 'Did you mean --json?'],
    ['status --frobnicate=1', 'status has no option --frobnicate.', 'See holdfast status --help'],
    ['status -z', 'status has no option -z.', 'See holdfast status --help'],
    ['--sokcet /x status', 'status has no option --sokcet.', 'Did you mean --socket?'],
    ['apply --dryrun -f x', 'apply has no option --dryrun.', 'Did you mean --dry-run?'],
    ['pools add web --slot 5', 'pools add has no option --slot.', 'Did you mean --slots?'],
    ['services show', 'NAME is missing.', 'Write holdfast services show <name>'],
    ['backends rm', 'BACKEND is missing.', 'Write holdfast backends rm <backend>'],
    ['services show a b', 'services show takes no "b".', 'See holdfast services show --help'],
    ['services add web', '--address is missing.', 'Write holdfast services add <name>, with --address'],
    [
      'services add web --address 198.18.0.10',
      '--pool is missing.',
      'Write holdfast services add <name>, with --pool',
    ],
    ['services add web --address', '--address needs a value.', 'See holdfast services add --help'],
    ['services add web --pool --port 80', '--pool needs a value.', 'See holdfast services add --help'],
    ['apply -f', '--file needs a value.', 'See holdfast apply --help'],
    ['status --socket', '--socket needs a value.', 'See holdfast status --help'],
    ['backends set web/b1 --weight abc', '--weight takes a number, not "abc".'],
    ['backends set web/b1 --weight 0x10', '--weight takes a number, not "0x10".'],
    ['backends set web/b1 --weight 1 --weight 2', '--weight is given 2 times.', 'Give it once.'],
    ['backends set web/b1 --encap vxlan', '--encap cannot be "vxlan".', 'Give one of: ip, gue.'],
    [
      'services set web --unset pool',
      '--unset cannot be "pool".',
      'Give one of: port, affinity, idle-timeout, ignore-source-port, quic, multicast, disabled.',
    ],
    ['completion fish', 'SHELL cannot be "fish".', 'Give one of: bash, zsh.'],
    ['status --timeout 0', '--timeout takes more than 0 seconds.'],
    ['status --timeout soon', '--timeout takes a number, not "soon".'],
    ['status --socket /a --url https://b', '--socket and --url are two daemons.', 'Give one of them.'],
    [
      'status --url 198.51.100.1:7443',
      '198.51.100.1:7443 is no address of holdfastd.',
      'Write https://HOST:PORT, such as https://198.51.100.1:7443',
    ],
    [
      'status --url http://198.51.100.1:7443',
      'http://198.51.100.1:7443 is no address of holdfastd.',
      'Write https://HOST:PORT, such as https://198.51.100.1:7443',
    ],
  ];
  for (const [line, message, remedy] of cases) {
    it(`is ${line}`, async () => {
      const remedies = remedy === undefined ? '' : `remedy: ${remedy}\n`;
      expect(await holdfast(line.split(' '))).toMatchObject(
        line.includes('--json')
          ? { exit: 2, stdout: '' }
          : { exit: 2, stdout: '', stderr: `error:  ${message}\n${remedies}` },
      );
    });
  }

  it('is refused in JSON too', async () => {
    const { exit, stdout, stderr } = await holdfast(['statsu', '--json']);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({
      code: 'invalid',
      message: 'There is no command "statsu".',
      remedy: 'Did you mean "holdfast status"?',
    });
  });

  it('says nothing at all: help, and exit code 2', async () => {
    const outcome = await holdfast([]);
    expect(outcome).toMatchObject({ exit: 2, stdout: '' });
    expect(outcome.stderr).toContain('holdfast COMMAND [OPTION…]');
  });
});

describe('exit codes', () => {
  it('are those of the failure', () => {
    for (const code of Object.keys(FAILURES) as FailureCode[]) {
      expect(outcomeOf(new Failure(code, 'x')).exit).toBe(FAILURES[code].exit);
    }
  });

  it('of a bug is 70, and it asks to be reported', () => {
    expect(outcomeOf(new TypeError('x is not a function'))).toEqual({
      exit: 70,
      body: {
        code: 'internal',
        message: 'This is a bug of holdfast.',
        cause: 'TypeError: x is not a function',
        remedy: 'Report it, with what the same command prints with HOLDFAST_DEBUG=1 set.',
      },
    });
    expect(outcomeOf('thrown').body.cause).toBe('thrown');
  });
});

describe('the version', () => {
  it('is printed alone', async () => {
    for (const words of [['--version'], ['status', '--version']]) {
      expect(await holdfast(words)).toEqual({ exit: 0, stdout: '0.1.0\n', stderr: '' });
    }
    expect((await holdfast(['--version', '--json'])).stdout).toBe('{"version":"0.1.0"}\n');
  });
});

describe('the daemon', () => {
  let directory: string;
  let pem: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-usage-'));
    pem = join(directory, 'x.pem');
    writeFileSync(pem, '-----BEGIN CERTIFICATE-----\n');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('is where its configuration has it unless something else is said', async () => {
    expect(await endpointOf({}, {})).toEqual({ socketPath: SOCKET_DEFAULT });
    expect(nodeConfigSchema.parse({}).api.socket).toBe(SOCKET_DEFAULT);
  });

  it('is named by options before variables', async () => {
    const variables = { HOLDFAST_SOCKET: '/variable' };
    expect(await endpointOf({}, variables)).toEqual({ socketPath: '/variable' });
    expect(await endpointOf({ socket: '/option' }, variables)).toEqual({ socketPath: '/option' });
    expect(await endpointOf({ url: 'https://h:1' }, variables)).toEqual({ url: new URL('https://h:1') });
    expect(await endpointOf({ socket: '/option' }, { HOLDFAST_URL: 'https://h:1' })).toEqual({
      socketPath: '/option',
    });
    expect(await endpointOf({}, { HOLDFAST_SOCKET: '', HOLDFAST_URL: '' })).toEqual({
      socketPath: SOCKET_DEFAULT,
    });
  });

  it('has the port of the API unless another one is named', async () => {
    const portOf = async (url: string) => {
      const endpoint = await endpointOf({ url }, {});
      return 'url' in endpoint ? endpoint.url.host : undefined;
    };
    expect(await portOf('https://198.51.100.1')).toBe('198.51.100.1:7443');
    expect(await portOf('https://[2001:db8::1]/')).toBe('[2001:db8::1]:7443');
    expect(await portOf('https://198.51.100.1:99')).toBe('198.51.100.1:99');
    expect(await portOf('https://198.51.100.1:443')).toBe('198.51.100.1');
  });

  it('may want to know who asks', async () => {
    const text = '-----BEGIN CERTIFICATE-----\n';
    const options = { url: 'https://h:1', certificate: pem, key: pem };
    expect(await endpointOf(options, { HOLDFAST_AUTHORITY: pem })).toEqual({
      url: new URL('https://h:1'),
      certificate: text,
      key: text,
      authority: text,
    });
  });

  it('is not asked with half of a certificate, or none', async () => {
    const stderr = async (...words: string[]) =>
      (await holdfast(['status', '--url', 'https://127.0.0.1:1', ...words])).stderr;
    expect(await stderr('--certificate', pem)).toBe(
      'error:  --key is missing.\ncause:  A certificate is of no use without its key, and the other way round.\n',
    );
    expect(await stderr('--key', pem)).toMatch(/^error: {2}--certificate is missing\.\n/);
    expect(await stderr('--authority', join(directory, 'none.pem'))).toBe(
      `error:  Cannot read ${directory}/none.pem, which --authority names.\ncause:  There is no such file or directory.\n`,
    );
    writeFileSync(join(directory, 'y.pem'), 'x');
    expect(await stderr('--authority', join(directory, 'y.pem'))).toBe(
      `error:  ${directory}/y.pem, which --authority names, is no PEM file.\ncause:  It has no line "-----BEGIN …".\n`,
    );
  });

  it('is one: two variables are as wrong as two options', async () => {
    const { exit, stderr } = await holdfast(['status'], {
      env: { HOLDFAST_SOCKET: '/x', HOLDFAST_URL: 'https://h' },
    });
    expect(exit).toBe(2);
    expect(stderr).toBe(
      'error:  HOLDFAST_SOCKET and HOLDFAST_URL are two daemons.\nremedy: Unset one of them, or give --socket or --url.\n',
    );
  });

  it('may be named before the command', async () => {
    await using daemon = await FakeDaemon.start({ 'GET /v1/status': STATUS });
    const words = ['--socket', daemon.socket, '--json', 'status'];
    expect(JSON.parse((await holdfast(words)).stdout)).toEqual(STATUS);
  });

  it('has as long to answer as is said', async () => {
    await using daemon = await FakeDaemon.start({ 'GET /v1/status': () => new Promise(() => {}) });
    expect(await holdfast(['status', '--timeout', '0.05'], { daemon })).toMatchObject({ exit: 75 });
  });
});
