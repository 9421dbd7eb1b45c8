import { expect, it } from 'vitest';
import { run } from '../../../control/doctor/command.ts';

it('gives what a command prints', async () => {
  expect(await run('printf', ['on'])).toEqual({ kind: 'said', text: 'on' });
});

it('gives what a command complains about', async () => {
  expect(await run('sh', ['-c', 'echo not supported >&2; exit 1'])).toEqual({
    kind: 'failed',
    text: 'not supported',
  });
});

it('tells a command that is not installed', async () => {
  expect(await run('holdfast-has-no-such-command', [])).toEqual({ kind: 'missing' });
});

it('does not wait for a command that hangs, nor for its children that hold its output', async () => {
  const startedMs = performance.now();
  expect(await run('sh', ['-c', 'sleep 5 & sleep 5'], 100)).toEqual({ kind: 'silent', limitMs: 100 });
  expect(performance.now() - startedMs).toBeLessThan(2_000);
});
