// The supervisor itself, with wills of tests and a stand-in for BIRD: what it does when, and what it does not believe.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { composeInclude } from '../../../control/route/bird/include_codec.ts';
import { composeWill, type Will } from '../../../control/route/will_codec.ts';
import { FakeBird } from '../../unit/route/fake_bird.ts';

const DEADMAN = fileURLToPath(new URL('../../../build/Release/deadman', import.meta.url));
const BOOT_ID = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
/** Longer than it takes to look at the will several times. */
const SEVERAL_LOOKS_MS = 300;
const hrMs = () => Number(process.hrtime.bigint()) / 1e6;

let directory: string;
let bird: FakeBird;
let child: ChildProcess;
let said: string[];
const path = (name: string) => join(directory, name);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-deadman-'));
  bird = new FakeBird(path('bird.ctl'), path('bird.conf'));
  writeFileSync(path('bird.conf'), composeInclude({ level: 'normal', addresses: ['192.0.2.1'] }, []));
  writeFileSync(path('heir'), composeInclude({ level: 'withdrawn', addresses: [] }, []));
});
afterEach(async () => {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await bird.stop();
  rmSync(directory, { recursive: true });
});

function leave(more: Partial<Will>): void {
  const will: Will = {
    bootId: BOOT_ID,
    deadlineMs: hrMs() + 60_000,
    rename: { from: path('heir'), to: path('bird.conf') },
    socket: path('bird.ctl'),
    send: ['disable "holdfast?"', 'configure'],
    ...more,
  };
  writeFileSync(path('will'), composeWill(will), { mode: 0o600 });
}

function start(): void {
  said = [];
  child = spawn(DEADMAN, [path('will')], { stdio: ['ignore', 'ignore', 'pipe'] });
  createInterface({ input: child.stderr! }).on('line', (line) => said.push(line));
}

/** The next line that has this. */
async function says(text: string): Promise<void> {
  while (!said.some((line) => line.includes(text))) await once(child.stderr!, 'data');
}

async function looksSeveralTimes(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, SEVERAL_LOOKS_MS);
  await promise;
}

describe('a supervisor', () => {
  it('carries the will out when the deadline has passed, and not before', async () => {
    await bird.start();
    const deadlineMs = Math.ceil(hrMs() + 500);
    leave({ deadlineMs });
    start();
    let atMs = 0;
    await bird.until(() => {
      if (atMs === 0 && bird.told.length > 0) atMs = hrMs();
      return bird.told.includes('configure');
    });
    expect(atMs).toBeGreaterThanOrEqual(deadlineMs);
    expect(atMs - deadlineMs).toBeLessThan(250);
    expect(bird.told).toEqual(['disable "holdfast?"', 'configure']);
    expect(bird.routes).toEqual([]);
    expect(readFileSync(path('bird.conf'), 'utf8')).not.toContain('route ');
    await says('done');
    // Once is enough.
    await looksSeveralTimes();
    expect(bird.told).toHaveLength(2);
  });

  it('does nothing for an author who goes on, or wants nothing done', async () => {
    await bird.start();
    leave({ deadlineMs: hrMs() + 200 });
    start();
    leave({ deadlineMs: hrMs() + 60_000 });
    await looksSeveralTimes();
    leave({ deadlineMs: undefined });
    await looksSeveralTimes();
    expect(bird.told).toEqual([]);
    expect(existsSync(path('heir'))).toBe(true);
  });

  it('carries out at once what was left before the host was booted', async () => {
    await bird.start();
    leave({ bootId: '00000000-0000-0000-0000-000000000000', deadlineMs: hrMs() + 1e9 });
    start();
    await bird.until(() => bird.told.includes('configure'));
    expect(bird.routes).toEqual([]);
  });

  it('goes on to the next command where BIRD refuses one: a mistake in bird.conf keeps no route', async () => {
    await bird.start();
    bird.refusal = 'bird.conf:3:1 syntax error';
    leave({ deadlineMs: 1 });
    start();
    await says('done');
    expect(bird.routes).toEqual([]);
    expect(said.join()).toContain('BIRD answers 8002 to: configure');
  });

  it('replaces the file where BIRD does not run: one that starts announces nothing', async () => {
    leave({ deadlineMs: 1 });
    start();
    await says('done');
    await bird.start();
    expect(bird.routes).toEqual([]);
  });

  it('tries again where BIRD hangs, and is not held up by it', async () => {
    await bird.start();
    bird.isSilent = true;
    leave({ deadlineMs: 1 });
    start();
    await says('BIRD does not answer');
    bird.isSilent = false;
    await says('done');
    expect(bird.routes).toEqual([]);
  });

  it.each<[string, () => void]>([
    ['is half a will', () => writeFileSync(path('will'), `will 1\nboot ${BOOT_ID}\ndeadline 1\n`)],
    ['is none', () => writeFileSync(path('will'), 'deadline 1\n'.repeat(400))],
    ['is longer than a will may be', () => writeFileSync(path('will'), 'x'.repeat(10_000))],
    ['others may write to', () => chmodSync(path('will'), 0o666)],
  ])('does not carry out what %s', async (_, spoil) => {
    await bird.start();
    leave({ deadlineMs: 1 });
    spoil();
    start();
    await says('it is not carried out');
    await looksSeveralTimes();
    expect(bird.told).toEqual([]);
    expect(said).toHaveLength(1);
    // It is there still, and believes the next one.
    rmSync(path('will'));
    leave({ deadlineMs: 1 });
    await says('done');
  });

  it('says that it is there while it is, ends on SIGTERM, and needs little', async () => {
    leave({});
    start();
    while (!existsSync(path('will.watched'))) await looksSeveralTimes();
    const atMs = Number(readFileSync(path('will.watched'), 'utf8'));
    expect(Math.abs(hrMs() - atMs)).toBeLessThan(1_500);
    const residentKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
    expect(residentKb).toBeLessThan(4_096);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(existsSync(path('will.watched'))).toBe(false);
  });

  it('refuses arguments that are no absolute path', () => {
    start();
    for (const args of [[], ['will'], ['/a', '/b'], [`/${'a'.repeat(300)}`]])
      expect(spawnSync(DEADMAN, args).status).toBe(64);
  });
});
