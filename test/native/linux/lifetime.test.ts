// Leaks, misuse and threads: what only a process of its own, or many threads, can show.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, Lab } from './lab.ts';

const lab = new Lab();
let netns: string;
let spoilt: string; // what misuse does to its namespace is not for the other tests
beforeAll(() => {
  netns = lab.netns('a');
  spoilt = lab.netns('b');
});
afterAll(() => lab.remove());

async function child(program: string, path: string): Promise<Record<string, never>> {
  const args = ['--conditions=source', '--expose-gc', join(import.meta.dirname, program), path];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    timeout: 110_000,
    maxBuffer: 1 << 24,
  });
  return JSON.parse(stdout);
}

test('thousands of objects leave no descriptor and no memory behind', { timeout: 120_000 }, async () => {
  const { before, after } = (await child('leak.ts', netns)) as Record<
    string,
    { fdCount: number; rssBytes: number }
  >;
  expect(after?.fdCount).toBe(before?.fdCount);
  expect(after!.rssBytes - before!.rssBytes).toBeLessThan(10 * 1024 * 1024);
});

test('no misuse crashes the process', { timeout: 120_000 }, async () => {
  const { links, outcomes } = (await child('misuse.ts', spoilt)) as unknown as {
    links: number;
    outcomes: Record<string, number>;
  };
  expect(links).toBeGreaterThan(0);
  expect(outcomes.TypeError).toBeGreaterThan(1000);
  expect(outcomes.RangeError).toBeGreaterThan(100);
  expect(outcomes.ClosedError).toBeGreaterThan(10);
  expect(outcomes['kernel answered']).toBeGreaterThan(10_000);
});

describe('workers', () => {
  test.each(['exit', 'return', 'throw', 'terminate'])(
    'that end by %s leave nothing behind',
    async (ending) => {
      const fdCount = (): number => readdirSync('/proc/self/fd').length;
      const round = async (): Promise<void> => {
        const worker = new Worker(join(import.meta.dirname, 'worker.ts'), {
          workerData: { netns, ending },
          execArgv: ['--conditions=source'],
        });
        let started = false;
        const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
        worker.on('error', (error) => {
          if (error.message !== 'the end') throw error;
        });
        await new Promise<void>((resolve) => {
          worker.once('message', () => {
            started = true;
            resolve();
          });
          worker.once('exit', () => resolve());
        });
        expect(started).toBe(true);
        if (ending === 'terminate') {
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
          await worker.terminate();
        }
        await ended;
      };
      await round();
      const before = fdCount();
      for (let i = 0; i < 3; i += 1) await Promise.all([round(), round(), round()]);
      await eventually(() => (fdCount() <= before ? true : undefined), 'the release of descriptors');
    },
  );
});
