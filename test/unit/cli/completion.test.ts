// Completion: what may follow, from the same commands as everything else; and the scripts, in a bash.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../control/cli/commands.ts';
import { wantedOf } from '../../../control/cli/complete.ts';
import { COMPLETE, completionScript } from '../../../control/cli/completion_script.ts';
import { CHANGES, MUX1, MUX2 } from '../api/lib/tracked.ts';
import * as answers from './lib/answers.ts';
import { FakeDaemon } from './lib/fake_daemon.ts';
import { holdfast, ROOT } from './lib/run.ts';

let daemon: FakeDaemon;
beforeAll(async () => {
  daemon = await FakeDaemon.start({
    'GET /v1/services': { items: [answers.ALL_PORTS, answers.WEB] },
    'GET /v1/pools': { items: [answers.EMPTY_POOL, answers.POOL] },
    'GET /v1/backends': { items: [answers.B1, answers.B3] },
    'GET /v1/stats': answers.STATS,
    'GET /v1/nodes': { items: [MUX1, MUX2] },
    'GET /v1/changes': CHANGES,
    'GET /v1/namespace': {
      entries: [
        { kind: 'folder', path: '/' },
        { kind: 'folder', path: '/projects' },
        { kind: 'link', path: '/projects/web' },
      ],
      storages: [{ name: 'data' }],
    },
  });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

/** What may become of the last word of the line. */
async function complete(line: string): Promise<string[]> {
  const { exit, stdout, stderr } = await holdfast([COMPLETE, ...line.split(' ')], { daemon });
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  return stdout.split('\n').slice(0, -1);
}

describe('what may follow', () => {
  const cases: readonly [string, readonly string[]][] = [
    ['st', ['status', 'stats', 'storages']],
    ['namespace unlink ', ['/projects/web']],
    ['namespace rmdir ', ['/', '/projects']],
    ['namespace mv /p', ['/projects', '/projects/web']],
    ['storages rm ', ['data']],
    ['services ', ['list', 'show', 'add', 'set', 'rm']],
    ['backends d', ['drain']],
    ['services show ', ['all', 'web']],
    ['services show web ', []],
    ['pools rm w', ['web']],
    ['backends set web/', ['web/b1', 'web/b3']],
    ['backends set web/b1 --e', ['--encap']],
    ['backends set web/b1 --encap ', ['ip', 'gue']],
    ['backends set web/b1 --encap g', ['gue']],
    ['backends set web/b1 --encap=', ['--encap=ip', '--encap=gue']],
    ['backends set web/b1 --encap = g', ['gue']],
    ['backends set web/b1 --weight ', []],
    ['backends list --pool ', ['empty', 'web']],
    ['services set web --unset q', ['quic']],
    ['services add x --pool=e', ['--pool=empty']],
    ['services set --pool web ', ['all', 'web']],
    ['nodes drain ', ['mux1', 'mux2']],
    ['flows ', ['list', 'show', 'owner', 'top']],
    ['flows top --by s', ['service', 'slot']],
    ['flows list --backend ', ['web/b1', 'web/b3']],
    ['changes ', ['web@11']],
    ['capture --protocol i', ['icmp', 'icmp6']],
    ['capture --reason DROP', ['DROP', 'DROP_NO_BACKEND']],
    ['completion ', ['bash', 'zsh']],
    ['attach l', ['lo']],
    ['explain tcp ', []],
    ['nonsense ', []],
    ['services nonsense ', []],
    ['--json st', ['status', 'stats', 'storages']],
    ['--socket /x/y services sh', ['show']],
  ];
  for (const [line, words] of cases) {
    it(`"${line}"`, async () => expect(await complete(line)).toEqual(words));
  }

  it('is any command at first', async () => {
    expect(await complete('')).toEqual([...new Set(COMMANDS.map(({ path }) => path.split(' ')[0]))]);
  });

  it('is a file where a file is wanted', async () => {
    for (const line of [
      'apply -f ',
      'apply --file x',
      'capture -w ',
      'explain --pcap ',
      'status --socket ',
    ]) {
      expect(await complete(line)).toEqual([':files']);
    }
  });

  it('is an option that is not there yet, or may be there again', async () => {
    const options = await complete('services add web --address 198.18.0.10 --port 80 --');
    expect(options).toContain('--address');
    expect(options).toContain('--protocol');
    expect(options).toContain('--json');
    expect(options).toContain('--help');
    expect(options).not.toContain('--port');
    expect(options).not.toContain('--unset');
  });

  it('knows where the daemon is from the line itself', () => {
    const { given, source } = wantedOf(['--socket=/a', 'pools', 'show', ''], COMMANDS);
    expect({ given, source }).toEqual({ given: { socket: '/a' }, source: 'pools' });
    expect(wantedOf(['pools', 'show', '--url', 'https://x', ''], COMMANDS).given).toEqual({
      url: 'https://x',
    });
  });

  it('is nothing where the daemon does not answer', async () => {
    const silent = await holdfast([COMPLETE, 'pools', 'show', ''], { env: { HOLDFAST_SOCKET: '/none' } });
    expect(silent).toEqual({ exit: 0, stdout: '', stderr: '' });
    await using slow = await FakeDaemon.start({ 'GET /v1/pools': () => new Promise(() => {}) });
    const began = performance.now();
    expect((await holdfast([COMPLETE, 'pools', 'show', ''], { daemon: slow })).stdout).toBe('');
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe('the script', () => {
  it('is printed', async () => {
    for (const shell of ['bash', 'zsh'] as const) {
      const script = completionScript(shell);
      expect(await holdfast(['completion', shell])).toEqual({ exit: 0, stdout: script, stderr: '' });
      const { stdout } = await holdfast(['completion', shell, '--json']);
      expect(JSON.parse(stdout)).toEqual({ shell, script });
    }
    expect(completionScript('zsh')).toMatch(/^#compdef holdfast\n/);
  });

  /** As bash calls it, with the line broken into words as bash breaks it. */
  async function inBash(...words: readonly string[]): Promise<string[]> {
    const script = `set -u
      source <(holdfast completion bash)
      [[ $(complete -p holdfast) == 'complete -F _holdfast holdfast' ]] || exit 1
      COMP_WORDS=(holdfast "$@") COMP_CWORD=$#
      _holdfast
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script, 'bash', ...words], {
      env: { PATH: `${ROOT}/scripts/bin:${process.env.PATH}`, HOLDFAST_SOCKET: daemon.socket },
    });
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('completes in bash', async () => {
    expect(await inBash('backends', 'drain', 'web/b')).toEqual(['web/b1', 'web/b3']);
    expect(await inBash('sta')).toEqual(['status', 'stats']);
    expect(await inBash('backends', 'set', 'web/b1', '--encap', '=')).toEqual(['ip', 'gue']);
    expect(await inBash('backends', 'set', 'web/b1', '--encap', '=', 'g')).toEqual(['gue']);
    expect(await inBash('apply', '-f', '')).toEqual([]);
  });
});
