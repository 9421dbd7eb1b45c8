// Owns what tests of stores share.
import { expect } from 'vitest';
import type { Failure, FailureCode } from '../../control/lib/failure.ts';
import type { Store, WatchEvent } from '../../control/store/contract.ts';

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function failureOf(work: Promise<unknown>): Promise<FailureCode> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error, 'a Failure').toMatchObject({ name: 'Failure' });
  return (error as Failure).code;
}

/** Events until `count` have come; the watch is then given up. */
export async function take(store: Store, prefix: string, from: number, count: number): Promise<WatchEvent[]> {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  if (count === 0) return events;
  for await (const event of store.watch(prefix, from, stop.signal)) {
    events.push(event);
    if (events.length === count) stop.abort();
  }
  return events;
}

export async function all(watch: AsyncIterable<WatchEvent>): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watch) events.push(event);
  return events;
}
