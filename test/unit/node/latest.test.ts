import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Latest } from '../../../control/node/latest.ts';

function recorder(apply: (value: number) => Promise<void> = async () => {}) {
  const seen = { applied: [] as number[], done: [] as number[], failed: [] as [string, number][] };
  const latest = new Latest<number>({
    apply: async (value) => {
      seen.applied.push(value);
      await apply(value);
    },
    onSuccess: (value) => seen.done.push(value),
    onFailure: (error, value) => seen.failed.push([(error as Error).message, value]),
    retryMinMs: 5,
    retryMaxMs: 20,
  });
  return { latest, seen };
}

it('takes values one at a time and leaves out those that were overtaken', async () => {
  let running = 0;
  const { latest, seen } = recorder(async () => {
    expect(++running).toBe(1);
    await sleep(10);
    running--;
  });
  latest.set(1);
  await sleep(2);
  for (const value of [2, 3, 4]) latest.set(value);
  await sleep(40);
  expect(seen.done).toEqual([1, 4]);
});

it('takes values that are set in one go together', async () => {
  const { latest, seen } = recorder();
  for (const value of [1, 2, 3]) latest.set(value);
  await sleep(5);
  expect(seen.applied).toEqual([3]);
});

it('tries a value that failed again until it succeeds', async () => {
  let failures = 3;
  const { latest, seen } = recorder(async () => {
    if (failures-- > 0) throw new Error('not now');
  });
  latest.set(7);
  await sleep(100);
  expect(seen.applied).toEqual([7, 7, 7, 7]);
  expect(seen.failed).toEqual([
    ['not now', 7],
    ['not now', 7],
    ['not now', 7],
  ]);
  expect(seen.done).toEqual([7]);
});

it('takes a newer value instead of trying the failed one again', async () => {
  const { latest, seen } = recorder(async (value) => {
    if (value === 1) throw new Error('not this');
  });
  latest.set(1);
  await sleep(1);
  latest.set(2);
  await sleep(40);
  expect(seen.done).toEqual([2]);
  expect(seen.applied.at(-1)).toBe(2);
});

it('finishes what is on its way when it closes, and begins nothing else', async () => {
  const { latest, seen } = recorder(() => sleep(10));
  latest.set(1);
  await sleep(1);
  latest.set(2);
  await latest.close();
  latest.set(3);
  await sleep(20);
  expect(seen.applied).toEqual([1]);
  expect(seen.done).toEqual([1]);
});
