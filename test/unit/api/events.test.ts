// The stream of events: what a client reads, how it comes back, and what becomes of one that is too slow.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EVENTS_KEPT } from '../../../control/api/events.ts';
import { EVENT_CLIENTS_MAX } from '../../../control/api/routes/streams.ts';
import type { Api } from '../../../control/api/server.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { testApi, told } from './lib/api.ts';

type Sent = {
  id?: string;
  data?: { kind: string; message: string; atMs: number };
  comment?: string;
  retry?: string;
};

const open: ReadableStreamDefaultReader[] = [];
afterEach(async () => {
  for (const reader of open.splice(0)) await reader.cancel().catch(() => {});
});

/** Reads as the HTML standard says, section 9.2.6, as far as it matters here: an empty line ends what belongs together. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly response: Response;
  #text = '';

  constructor(response: Response) {
    this.response = response;
    this.#reader = response.body!.getReader();
    open.push(this.#reader);
  }

  static async from(app: Api, lastEventId?: string): Promise<Reader> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const reader = new Reader(await app.request('/v1/events', { headers }, {}));
    expect(await reader.next()).toEqual({ retry: '2000' });
    return reader;
  }

  /** Undefined where the stream has ended. */
  async next(): Promise<Sent | undefined> {
    while (!this.#text.includes('\n\n')) {
      const { done, value } = await this.#reader.read();
      if (done) {
        expect(this.#text).toBe('');
        return undefined;
      }
      this.#text += new TextDecoder().decode(value);
    }
    const at = this.#text.indexOf('\n\n');
    const lines = this.#text.slice(0, at).split('\n');
    this.#text = this.#text.slice(at + 2);
    return Object.fromEntries(
      lines.map((line) => {
        if (line.startsWith(':')) return ['comment', line.slice(1).trim()];
        const [, field, value] = /^(\w+): (.*)$/.exec(line)!;
        return [field, field === 'data' ? JSON.parse(value!) : value];
      }),
    );
  }
}

const message = (sent: Sent | undefined) => sent?.data?.message;

describe('the stream of events', () => {
  it('says what happens from now on, each with an id', async () => {
    const { app, node } = testApi({ nowMs: () => 35 });
    node.tell({ message: 'before' });
    await Promise.resolve();
    const reader = await Reader.from(app);
    expect(reader.response.headers.get('content-type')).toBe('text/event-stream');
    expect(reader.response.headers.get('cache-control')).toBe('no-store');
    node.tell({ message: 'one', kind: 'changed', revision: 7, detail: { a: '\n' } });
    node.tell({ message: 'two' });
    expect(await reader.next()).toEqual({
      id: 'z-2',
      data: { atMs: 1, kind: 'changed', message: 'one', revision: 7, detail: { a: '\n' } },
    });
    expect(await reader.next()).toEqual({ id: 'z-3', data: { atMs: 1, kind: 'applied', message: 'two' } });
  });

  it('says the same to everybody, and asks the node only once', async () => {
    const { app, node } = testApi();
    const readers = [await Reader.from(app), await Reader.from(app), await Reader.from(app)];
    expect(node.listeners).toBe(1);
    node.tell({ message: 'one' });
    const sent = await Promise.all(readers.map((it) => it.next()));
    expect(sent.map(message)).toEqual(['one', 'one', 'one']);
    expect(new Set(sent.map((it) => it?.id)).size).toBe(1);
  });

  it('goes on after the last event that a client has read', async () => {
    const { app, node } = testApi();
    const first = await Reader.from(app);
    for (const text of ['one', 'two', 'three']) node.tell({ message: text });
    const { id } = (await first.next())!;
    const second = await Reader.from(app, id);
    expect([message(await second.next()), message(await second.next())]).toEqual(['two', 'three']);
  });

  it('keeps the connection alive while nothing happens', async () => {
    const { app } = testApi({ keepAliveMs: 5 });
    const reader = await Reader.from(app);
    expect(await reader.next()).toEqual({ comment: 'nothing happened' });
    expect(await reader.next()).toEqual({ comment: 'nothing happened' });
  });

  it('keeps no list of those who have gone', async () => {
    const { app, node } = testApi({ keepAliveMs: 1 });
    for (let i = 0; i < EVENT_CLIENTS_MAX * 2; i++) {
      const response = await app.request('/v1/events', {}, {});
      const reader = response.body!.getReader();
      await reader.read();
      await reader.cancel();
    }
    expect(node.listeners).toBe(1);
  });

  it('ends when the daemon stops', async () => {
    const { app, stop } = testApi();
    const reader = await Reader.from(app);
    const next = reader.next();
    stop();
    expect(await next).toBeUndefined();
    expect(await (await Reader.from(app)).next()).toBeUndefined();
  });

  it('has a limit of clients', async () => {
    const { app, ask } = testApi();
    const readers = [];
    for (let i = 0; i < EVENT_CLIENTS_MAX; i++) readers.push(await Reader.from(app));
    expect(told(await ask('GET', '/v1/events'))).toEqual({
      status: 422,
      code: 'limit',
      message: '64 clients listen to events already.',
      remedy: 'Close some of them.',
    });
    await open[0]!.cancel();
    await Reader.from(app);
  });

  it('refuses ids that are too long, and a query', async () => {
    const { ask } = testApi();
    expect(
      told(await ask('GET', '/v1/events', undefined, { 'last-event-id': 'a'.repeat(101) })),
    ).toMatchObject({
      status: 400,
      message: 'A header cannot be used.',
      cause: 'last-event-id: must have at most 100 characters.',
    });
    expect((await ask('GET', '/v1/events?since=1')).status).toBe(400);
  });
});

describe('a client that missed events', () => {
  const missed = {
    atMs: 36,
    kind: 'missed',
    message: 'Events were missed: the last 1024 are kept. Read the state anew, and connect again.',
  };

  it('is told so and disconnected, and the id of that lets it come back', async () => {
    const { app, node } = testApi({ nowMs: () => 36 });
    const reader = await Reader.from(app);
    for (let i = 0; i <= EVENTS_KEPT + 1; i++) {
      node.tell({ message: `${i}` });
      await Promise.resolve();
      await Promise.resolve();
    }
    await vi.waitFor(async () => expect(node.listeners).toBe(1));
    const last = await reader.next();
    expect(last).toEqual({ id: `10-${EVENTS_KEPT + 2}`, data: missed });
    expect(await reader.next()).toBeUndefined();
    const again = await Reader.from(app, last!.id);
    node.tell({ message: 'more' });
    expect(message(await again.next())).toBe('more');
  });

  it('loses nothing while all is kept', async () => {
    const { app, node } = testApi();
    const reader = await Reader.from(app);
    for (let i = 0; i < EVENTS_KEPT; i++) node.tell({ message: `${i}` });
    for (let i = 0; i < EVENTS_KEPT; i++) expect(message(await reader.next())).toBe(`${i}`);
  });

  it.each(['a-1', '10-999', '10-0x1', 'nonsense', '10--1', '10-99999999999999999999'])(
    'is recognised by an id that nobody knows: %s',
    async (id) => {
      const { app } = testApi({ nowMs: () => 36 });
      const reader = await Reader.from(app, id);
      expect((await reader.next())!.data).toEqual(missed);
      expect(await reader.next()).toBeUndefined();
    },
  );

  it('is every client, where the node stopped telling and tells again', async () => {
    const { app, node, logged } = testApi({ nowMs: () => 36 });
    const reader = await Reader.from(app);
    node.failure = new Failure('limit', 'More than 1024 events were waiting.');
    node.tell({ message: 'lost' });
    expect((await reader.next())!.data).toEqual(missed);
    expect(node.listeners).toBe(1);
    const again = await Reader.from(app);
    node.tell({ message: 'found' });
    expect(message(await again.next())).toBe('found');
    expect(logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('a client that takes nothing', () => {
  it('is cut off, and the place is free again', async () => {
    const { app, node, logged } = testApi({ stallMs: 20 });
    const response = await app.request('/v1/events', {}, {});
    const reader = response.body!.getReader();
    await reader.read();
    node.tell();
    await reader.read();
    await expect(reader.closed).rejects.toThrow('stalled');
    expect(logged).toContainEqual({
      level: 'warn',
      record: { operation: 'streamEvents', code: 'timeout', cause: undefined },
      message: 'A client took nothing of a stream for 0.02 s and was cut off.',
    });
  });
});
