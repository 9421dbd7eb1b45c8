import { expect, it } from 'vitest';
import { EVENTS_WAITING_MAX, EventStream, LISTENERS_MAX } from '../../../control/node/event_stream.ts';

async function take<T>(events: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

it('gives every listener what is published after it began, in order', async () => {
  const stream = new EventStream<number>();
  const { signal } = new AbortController();
  const first = stream.listen(signal);
  stream.publish(1);
  const second = stream.listen(signal);
  stream.publish(2);
  stream.publish(3);
  expect(await take(first, 3)).toEqual([1, 2, 3]);
  expect(await take(second, 2)).toEqual([2, 3]);
});

it('wakes a listener that waits', async () => {
  const stream = new EventStream<string>();
  const taken = take(stream.listen(new AbortController().signal), 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  stream.publish('later');
  expect(await taken).toEqual(['later']);
});

it('ends when the signal is aborted, also while waiting', async () => {
  const stream = new EventStream<number>();
  const ending = new AbortController();
  const taken = take(stream.listen(ending.signal), 10);
  stream.publish(1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  ending.abort();
  expect(await taken).toEqual([1]);
});

it('drops a listener that does not keep up, and tells it; others go on', async () => {
  const stream = new EventStream<number>();
  const { signal } = new AbortController();
  const slow = stream.listen(signal);
  const quick = stream.listen(signal)[Symbol.asyncIterator]();
  for (let event = 0; event <= EVENTS_WAITING_MAX; event++) {
    stream.publish(event);
    await quick.next();
  }
  await expect(take(slow, EVENTS_WAITING_MAX + 1)).rejects.toThrow(
    `more than ${EVENTS_WAITING_MAX} events were waiting`,
  );
  stream.publish(-1);
  expect((await quick.next()).value).toBe(-1);
});

it('refuses more listeners than its limit, and takes new ones once others have ended', async () => {
  const stream = new EventStream<number>();
  const ending = new AbortController();
  const all = Array.from({ length: LISTENERS_MAX }, () => take(stream.listen(ending.signal), 1));
  expect(() => stream.listen(ending.signal)).toThrow('64 listeners are connected already');
  stream.publish(1);
  await Promise.all(all);
  expect(() => stream.listen(ending.signal)).not.toThrow();
});
