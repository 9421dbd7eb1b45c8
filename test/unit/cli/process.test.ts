// The command as a process: its launcher, pipes that close, signals, and what it leaves behind.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packetsOf } from '../../../control/cli/packet_file.ts';
import * as answers from './lib/answers.ts';
import * as files from './lib/capture_files.ts';
import { FakeDaemon, type Seen } from './lib/fake_daemon.ts';
import { LAUNCHER, ROOT, spawnHoldfast } from './lib/run.ts';

let daemon: FakeDaemon;
let directory: string;
beforeEach(async () => {
  daemon = await FakeDaemon.start({ 'GET /v1/status': answers.STATUS });
  directory = mkdtempSync(join(tmpdir(), 'holdfast-process-'));
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('the launcher', () => {
  it('runs the command', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await spawnHoldfast(['--version'])).toMatchObject({ exit: 0, stdout: `${version}\n`, stderr: '' });
    const outcome = await spawnHoldfast(['status', '--json'], { daemon });
    expect(outcome).toMatchObject({ exit: 0, stderr: '' });
    expect(JSON.parse(outcome.stdout)).toEqual(answers.STATUS);
  });

  it('is found through links, from anywhere', () => {
    const [one, other] = [join(directory, 'one'), join(directory, 'other')];
    symlinkSync(LAUNCHER, one);
    symlinkSync('one', other);
    expect(execFileSync(other, ['--version'], { cwd: '/', encoding: 'utf8' })).toBe('0.1.0\n');
  });

  it('is where package.json says, for each program', () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      bin: Record<string, string>;
    };
    expect(Object.keys(bin)).toEqual(['holdfast', 'holdfastd', 'holdfast-supervisor']);
    for (const path of Object.values(bin)) {
      execFileSync('sh', ['-n', join(ROOT, path)]);
      expect(readFileSync(join(ROOT, path), 'utf8')).toMatch(/^#!\/bin\/sh\n/);
    }
  });

  it('says where its Node.js is missing', () => {
    mkdirSync(join(directory, 'scripts/bin'), { recursive: true });
    const copy = join(directory, 'scripts/bin/holdfast');
    cpSync(LAUNCHER, copy);
    const run = () => execFileSync(copy, ['status'], { encoding: 'utf8', stdio: 'pipe' });
    expect(run).toThrow(
      expect.objectContaining({
        status: 78,
        stdout: '',
        stderr:
          'error:  Holdfast is not installed completely.\n' +
          `cause:  There is no ${directory}/node_modules/.bin/node.\n` +
          `remedy: Run ${directory}/scripts/build\n`,
      }) as Error,
    );
  });
});

describe('a pipe that closes', () => {
  it('ends the command in silence', async () => {
    const backends = Array.from({ length: 4_000 }, (_, index) => ({ ...answers.B1, name: `b${index}` }));
    daemon.reply({ 'GET /v1/backends': { items: backends } });
    const script = `set -o pipefail; '${LAUNCHER}' backends list | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const child = spawn('bash', ['--norc', '-c', script], {
      env: { PATH: process.env.PATH, HOLDFAST_SOCKET: daemon.socket },
    });
    const [out, error] = [child.stdout, child.stderr].map((it) => it.setEncoding('utf8').toArray());
    const [stdout, stderr] = [(await out!).join(''), (await error!).join('')];
    expect(stdout).toMatch(/^BACKEND .*\n0\n$/);
    expect(stderr).toBe('');
  });
});

describe('SIGINT', () => {
  it('ends events with exit code 130, and the daemon hears of it', async () => {
    let closed: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    daemon.reply({
      'GET /v1/events': (_: Seen, response) => {
        response.on('close', () => closed?.());
        response.write(`data: ${JSON.stringify(answers.EVENTS[0])}\n\n`);
      },
    });
    const outcome = await spawnHoldfast(['events'], { daemon, stop: 'was changed' });
    expect(outcome).toMatchObject({ exit: 130, signal: null, stderr: '' });
    await gone;
  });

  it('ends a capture with a whole file', async () => {
    const packet = { bytes: Uint8Array.of(1, 2, 3, 4) };
    const path = join(directory, 'x.pcapng');
    daemon.reply({
      'POST /v1/capture': (_: Seen, response) => {
        response.write(
          Buffer.concat([
            files.pcapng([packet, packet]),
            files.enhancedPacket('little', packet).subarray(0, 9),
          ]),
        );
        setTimeout(() => child.kill('SIGINT'), 300);
      },
    });
    const child = spawn(LAUNCHER, ['capture', '-w', path], {
      env: { PATH: process.env.PATH, HOLDFAST_SOCKET: daemon.socket },
    });
    const said = child.stderr.setEncoding('utf8').toArray();
    const exit = await new Promise((resolve) => child.on('close', resolve));
    expect(exit).toBe(130);
    expect((await said).join('')).toMatch(/^2 packets, \d+ B, in /);
    expect([...packetsOf(readFileSync(path), path)]).toHaveLength(2);
  });

  it('gives up an answer that does not come', async () => {
    daemon.reply({ 'GET /v1/status': () => void setTimeout(() => child.kill('SIGINT'), 50) });
    const child = spawn(LAUNCHER, ['status'], {
      env: { PATH: process.env.PATH, HOLDFAST_SOCKET: daemon.socket },
    });
    const said = child.stderr.setEncoding('utf8').toArray();
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
    expect((await said).join('')).toBe('');
  });
});

describe('SIGTERM', () => {
  it('ends it as any other process', async () => {
    daemon.reply({ 'GET /v1/events': (_: Seen, response) => void response.write(': hello\n\n') });
    const child = spawn(LAUNCHER, ['events'], {
      env: { PATH: process.env.PATH, HOLDFAST_SOCKET: daemon.socket },
    });
    await expect.poll(() => daemon.seen.length).toBe(1);
    child.kill('SIGTERM');
    expect(await new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)))).toBe('SIGTERM');
  });
});

/** What a terminal does: bytes for a process whose standard streams are one. */
async function inTerminal(
  line: string,
  typed: string,
  when: string,
): Promise<{ exit: number; shown: string }> {
  const child = spawn('script', ['-qec', `'${LAUNCHER}' ${line}`, '/dev/null'], {
    env: { PATH: process.env.PATH, TERM: 'xterm', LANG: 'C.UTF-8', HOLDFAST_SOCKET: daemon.socket },
  });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const before = shown.includes(when);
    shown += chunk;
    if (!before && shown.includes(when)) child.stdin.write(typed);
  });
  const exit = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  return { exit, shown };
}

describe('in a terminal', () => {
  const removed = { ...answers.DRAINED, changes: [{ action: 'remove', kind: 'backend', name: 'web/b1' }] };
  const question = 'Remove backend web/b1? [y/N] ';

  it('yes removes', async () => {
    daemon.reply({ 'DELETE /v1/backends/web/b1': removed });
    const { exit, shown } = await inTerminal('backends rm web/b1', 'y\r', question);
    expect(exit).toBe(0);
    expect(shown).toContain('1 removed: revision 43');
    expect(daemon.asked).toEqual(['DELETE /v1/backends/web/b1?dryRun=true', 'DELETE /v1/backends/web/b1']);
  });

  it('Ctrl-C removes nothing', async () => {
    daemon.reply({ 'DELETE /v1/backends/web/b1': removed });
    const { exit } = await inTerminal('backends rm web/b1', '\x03', question);
    expect(exit).toBe(130);
    expect(daemon.asked).toEqual(['DELETE /v1/backends/web/b1?dryRun=true']);
  });

  it('Ctrl-C gives the screen back', async () => {
    let asked = 0;
    daemon.reply({
      'GET /v1/stats': () => ({ ...answers.STATS, atMs: answers.STATS.atMs + ++asked * 1_000 }),
    });
    const { exit, shown } = await inTerminal('stats --watch 0.1', '\x03', 'per second');
    expect(exit).toBe(130);
    expect(shown.split('\x1b[?1049h')).toHaveLength(2);
    expect(shown.split('\x1b[?1049l').at(-1)).toContain('per second');
  });
});
