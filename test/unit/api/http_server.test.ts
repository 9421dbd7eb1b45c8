// The server under the API, over real sockets: requests that are none, that are slow, too many or too large; streams
// whose clients go or stall; and its end.
import { Agent } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BODY_BYTES_MAX } from '../../../control/api/body.ts';
import { networkOf } from '../../../control/api/http_server.ts';
import type { CapturedPacket } from '../../../control/api/node_port.ts';
import { ask, exchange, head, opened, parsed, untilClosed } from './lib/connection.ts';
import { EXPLANATION } from './lib/fake_node.ts';
import { type ListeningApi, listening } from './lib/listening.ts';

const GET_STATUS = 'GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
const JSON_TYPE = { 'content-type': 'application/json' };

let printed: ReturnType<typeof vi.spyOn>[];
beforeEach(() => {
  printed = (['error', 'info', 'warn', 'log'] as const).map((name) => vi.spyOn(console, name));
});
afterEach(() => {
  for (const spy of printed) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});

const get = async ({ path }: ListeningApi, target: string) => await ask({ socketPath: path, path: target });
const post = async ({ path }: ListeningApi, target: string, body: string | Buffer, headers = {}) =>
  await ask({ socketPath: path, path: target, method: 'POST', headers: { ...JSON_TYPE, ...headers } }, body);

describe('requests', () => {
  it('are answered, several on one connection', async () => {
    const api = await listening();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i++) {
      const options = { socketPath: api.path, path: '/v1/services/www', agent };
      const answer = await ask(options);
      expect([answer.status, JSON.parse(answer.text).name]).toEqual([200, 'www']);
      expect(answer.headers['content-length']).toBe(`${Buffer.byteLength(answer.text)}`);
    }
    agent.destroy();
    expect(api.logged.filter(({ message }) => message === 'request').at(-1)!.record.caller).toEqual({
      via: 'unix',
      role: 'admin',
    });
  });

  it('may have any host, or none', async () => {
    const { path } = await listening();
    for (const host of ['Host: x', 'Host: a b', 'Host: [::1]:80', 'Host: évil', 'Host:', 'X: y']) {
      const raw = await exchange(path, `GET /v1/status HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`);
      expect(parsed(raw).status, host).toBe(200);
    }
    const absolute = await exchange(
      path,
      'GET http://h/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect(parsed(absolute).status).toBe(200);
    expect(parsed(await exchange(path, 'GET /v1/status HTTP/1.0\r\n\r\n')).status).toBe(200);
  });

  it.each([
    ['hello\r\n\r\n', 'Parse Error: Invalid method encountered'],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'Parse Error: Invalid method encountered'],
    ['GET /v1/status HTTP/1.1\r\nA b: c\r\n\r\n', 'Parse Error: Invalid header token'],
    ['GET /v1/status HTTP/9.9\r\n\r\n', 'Parse Error: Invalid HTTP version'],
    [
      'POST /v1/pools HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      "Parse Error: Transfer-Encoding can't be present with Content-Length",
    ],
    [
      'POST /v1/pools HTTP/1.1\r\nContent-Length: -1\r\n\r\n',
      'Parse Error: Invalid character in Content-Length',
    ],
  ])('that are no HTTP are told so: %j', async (bytes, cause) => {
    const { path } = await listening();
    const answer = parsed(await exchange(path, bytes));
    expect(answer.body).toEqual({ code: 'invalid', message: 'This is not HTTP/1.1.', cause });
    expect(answer.status).toBe(400);
    expect(answer.head).toContain('content-type: application/json');
  });

  it('with a chunk that is none are told so as well', async () => {
    const { path } = await listening();
    const bytes = `POST /v1/pools HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n`;
    const answer = parsed(await exchange(path, bytes));
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        code: 'invalid',
        message: 'This is not HTTP/1.1.',
        cause: 'Parse Error: Invalid character in chunk size',
      },
    ]);
  });

  it.each(['*', 'x', '/a\\b'])('with the target %s cannot be understood', async (target) => {
    const { path } = await listening();
    const answer = parsed(await exchange(path, `OPTIONS ${target} HTTP/1.1\r\nConnection: close\r\n\r\n`));
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'invalid' });
  });

  it('do not make a proxy of it', async () => {
    const { path } = await listening();
    const answer = parsed(await exchange(path, 'CONNECT example.org:443 HTTP/1.1\r\n\r\n'));
    expect([answer.status, answer.body]).toEqual([
      400,
      { code: 'invalid', message: 'holdfastd is no proxy.', cause: 'The method is CONNECT.' },
    ]);
  });

  it('with too long a head are refused', async () => {
    const { path } = await listening();
    const raw = await exchange(path, `GET /v1/status HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`);
    expect(parsed(raw).status).toBe(431);
    expect(parsed(raw).body).toEqual({
      code: 'limit',
      message: 'The head of the request is longer than 16384 bytes.',
      cause: 'Path and headers count together.',
      remedy: 'Leave some out.',
    });
  });

  it('to upgrade to something else are answered as they are', async () => {
    const { path } = await listening();
    const upgrade = GET_STATUS.replace(
      'Connection: close',
      'Connection: upgrade, close\r\nUpgrade: websocket',
    );
    expect(parsed(await exchange(path, upgrade)).status).toBe(200);
  });
});

describe('bodies', () => {
  const tooLong = (cause: string) => ({
    code: 'limit',
    message: 'The body is longer than 4194304 bytes.',
    cause,
    remedy: 'Change the cluster in several requests.',
  });

  it('that are announced as too long are refused before they are sent', async () => {
    const { path } = await listening();
    const request = `POST /v1/apply HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${BODY_BYTES_MAX + 1}`;
    const waiting = parsed(await exchange(path, `${request}\r\nExpect: 100-continue\r\n\r\n`));
    expect([waiting.status, waiting.body]).toEqual([413, tooLong('It has 4194305 bytes.')]);
    const sending = parsed(await exchange(path, `${request}\r\n\r\n{`));
    expect([sending.status, sending.body]).toEqual([413, tooLong('It has 4194305 bytes.')]);
    expect(sending.head).toContain('connection: close');
  });

  it('that go on and on are refused at the limit', async () => {
    const api = await listening();
    const socket = await opened(api.path);
    socket.write(
      'POST /v1/apply HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
    let sent = 0;
    const send = (): void => {
      while (!socket.destroyed && socket.writable && sent < 64 << 20) {
        sent += 65_536;
        if (!socket.write(chunk)) {
          socket.once('drain', send);
          return;
        }
      }
    };
    send();
    const answer = parsed(await untilClosed(socket));
    expect([answer.status, answer.body]).toEqual([413, tooLong('It goes on after that.')]);
    expect(sent).toBeLessThan(64 << 20);
  });

  it('that are expected are asked for', async () => {
    const { path } = await listening();
    const socket = await opened(path);
    socket.write(
      'POST /v1/detach HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
    );
    const [first] = await new Promise<Buffer[]>((resolve) =>
      socket.once('data', (data: Buffer) => resolve([data])),
    );
    expect(first!.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('{}');
    expect(parsed(await untilClosed(socket)).status).toBe(200);
  });

  it('may come with expectations that nobody knows', async () => {
    const api = await listening();
    expect((await post(api, '/v1/detach', '{}', { expect: 'a miracle' })).status).toBe(200);
  });

  it('may come in pieces', async () => {
    const { path, node } = await listening();
    const socket = await opened(path);
    const body = '{"name": "süß"}';
    const bytes = Buffer.from(
      `POST /v1/pools HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    for (const byte of bytes) {
      socket.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(parsed(await untilClosed(socket)).body).toMatchObject({ code: 'invalid' });
    expect(node.cluster.pools.size).toBe(1);
  });
});

describe('slow clients', () => {
  const late = (seconds: string) => ({
    code: 'timeout',
    message: 'The request did not come in time.',
    cause: seconds,
    remedy: 'Send it faster.',
  });
  const limits = { headTimeoutMs: 200, requestTimeoutMs: 400, idleTimeoutMs: 200 };

  it('have a time for the head of a request', async () => {
    const { path } = await listening({ limits });
    const socket = await opened(path);
    const drip = setInterval(() => socket.write('X: y\r\n'), 20);
    socket.write('GET /v1/status HTTP/1.1\r\n');
    const answer = parsed(await untilClosed(socket));
    clearInterval(drip);
    const said = late('Its head may take 0.2 s, all of it 0.4 s.');
    expect([answer.status, answer.body]).toEqual([408, said]);
  });

  it('have a time for all of it', async () => {
    const { path } = await listening({ limits });
    const socket = await opened(path);
    socket.write(
      'POST /v1/pools HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n',
    );
    const drip = setInterval(() => socket.write(' '), 20);
    const answer = parsed(await untilClosed(socket));
    clearInterval(drip);
    expect([answer.status, answer.body]).toEqual([408, late('Its head may take 0.2 s, all of it 0.4 s.')]);
  });

  it('have a time for saying anything', async () => {
    const { path } = await listening({ limits });
    const silent = await opened(path);
    await untilClosed(silent);
    const idle = await opened(path);
    idle.write(GET_STATUS.replace('Connection: close\r\n', ''));
    expect(parsed(await untilClosed(idle)).status).toBe(200);
  });

  it('do not keep others out beyond the limit of connections', async () => {
    const { path, reported } = await listening({ limits: { connectionsMax: 3 } });
    const open = [await opened(path), await opened(path), await opened(path)];
    const refused = await opened(path);
    expect(await untilClosed(refused)).toBe('');
    await untilClosed(await opened(path));
    expect(reported).toEqual([
      {
        level: 'warn',
        record: { address: undefined, max: 3, connections: 1 },
        message: 'too many API connections',
      },
    ]);
    open[0]!.destroy();
    await vi.waitFor(async () => expect(parsed(await exchange(path, GET_STATUS)).status).toBe(200));
    for (const socket of open) socket.destroy();
  });
});

describe('streams', () => {
  const packet: CapturedPacket = {
    atNs: 1n,
    reason: 'FORWARD',
    ifindex: 2,
    lengthBytes: 60_000,
    bytes: new Uint8Array(60_000),
  };
  const captureOf = async ({ path }: ListeningApi) =>
    await head({ socketPath: path, path: '/v1/capture', method: 'POST', headers: JSON_TYPE }, '{}');

  it('begin at once, before there is anything to say', async () => {
    const api = await listening();
    const events = await head({ socketPath: api.path, path: '/v1/events' });
    expect(events.headers['content-type']).toBe('text/event-stream');
    events.destroy();
    api.node.capture = async (_request, signal) =>
      (async function* () {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      })();
    const lines = await head(
      {
        socketPath: api.path,
        path: '/v1/capture',
        method: 'POST',
        headers: { ...JSON_TYPE, accept: 'application/x-ndjson' },
      },
      '{}',
    );
    expect(lines.headers['content-type']).toBe('application/x-ndjson');
    lines.destroy();
  });

  it('end for the node when their client goes', async () => {
    const api = await listening();
    let ended = false;
    api.node.capture = async (_request, signal) => {
      api.node.captureSignal = signal;
      return (async function* () {
        try {
          yield [packet];
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        } finally {
          ended = true;
        }
      })();
    };
    const response = await captureOf(api);
    await new Promise((resolve) => response.once('data', resolve));
    expect(api.node.captureSignal!.aborted).toBe(false);
    response.destroy();
    await vi.waitFor(() => expect(ended).toBe(true));
    expect(api.node.captureSignal!.aborted).toBe(true);
  });

  it('take from the node no faster than the client from them, and are cut when it takes nothing', async () => {
    const api = await listening({ api: { stallMs: 300 } });
    let taken = 0;
    api.node.capture = async (_request, signal) => {
      api.node.captureSignal = signal;
      return (async function* () {
        for (;;) {
          taken++;
          yield [packet];
        }
      })();
    };
    const response = await captureOf(api);
    response.pause();
    await vi.waitFor(() => expect(api.node.captureSignal!.aborted).toBe(true), { timeout: 5_000 });
    // What buffers on the way hold, and no more.
    expect(taken).toBeLessThan(100);
    const error = await new Promise<Error>((resolve) => {
      response.once('error', resolve);
      response.resume();
    });
    expect(error.message).toBe('aborted');
    expect(api.logged.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'A client took nothing of a stream for 0.3 s and was cut off.',
    ]);
  });

  it('of events go on for as long as their client listens', async () => {
    const api = await listening({
      limits: { headTimeoutMs: 200, requestTimeoutMs: 300, idleTimeoutMs: 100 },
      api: { keepAliveMs: 100 },
    });
    const response = await head({ socketPath: api.path, path: '/v1/events' });
    let text = '';
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    api.node.tell({ message: 'still here' });
    await vi.waitFor(() => expect(text).toContain('still here'));
    expect(text.split(': nothing happened').length).toBeGreaterThan(8);
    response.destroy();
  });

  it('are broken where a bug ends them, so that nobody takes them for whole', async () => {
    const api = await listening();
    api.node.batches = (async function* () {
      yield [packet];
      await new Promise((resolve) => setTimeout(resolve, 50));
      throw new Error('a bug');
    })();
    const response = await captureOf(api);
    const error = await new Promise<Error>((resolve) => {
      response.once('error', resolve);
      response.resume();
    });
    expect(error.message).toBe('aborted');
  });
});

describe('the end', () => {
  it('lets requests finish that have begun, and takes no new ones', async () => {
    const api = await listening({ limits: { closeWaitMs: 5_000 } });
    const { promise, resolve } = Promise.withResolvers<void>();
    api.node.explain = async () => {
      await promise;
      return EXPLANATION;
    };
    const answer = post(api, '/v1/explain', '{"frame": "ff"}');
    await new Promise((done) => setTimeout(done, 50));
    const closing = api.listener.close();
    await new Promise((done) => setTimeout(done, 50));
    await expect(get(api, '/v1/status')).rejects.toThrow(/ENOENT/);
    resolve();
    expect((await answer).status).toBe(200);
    const startedAt = performance.now();
    await closing;
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('closes connections that wait for their next request', async () => {
    const api = await listening({ limits: { closeWaitMs: 60_000 } });
    const agent = new Agent({ keepAlive: true });
    await ask({ socketPath: api.path, path: '/v1/status', agent });
    const startedAt = performance.now();
    await api.listener.close();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    agent.destroy();
  });

  it('comes after the streams, which end when the daemon stops', async () => {
    const api = await listening({ limits: { closeWaitMs: 60_000 } });
    const response = await head({ socketPath: api.path, path: '/v1/events' });
    const ended = new Promise((resolve) => response.once('end', resolve));
    response.resume();
    api.stop();
    await api.listener.close();
    await ended;
    expect(response.complete).toBe(true);
  });

  it('does not wait for ever', async () => {
    const api = await listening({ limits: { closeWaitMs: 200 } });
    api.node.explain = () => new Promise(() => {});
    const answer = post(api, '/v1/explain', '{"frame": "ff"}');
    const silent = await opened(api.path);
    const refused = expect(answer).rejects.toThrow('socket hang up');
    await new Promise((done) => setTimeout(done, 50));
    const startedAt = performance.now();
    await api.listener.close();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await refused;
    await untilClosed(silent);
  });

  it('may come twice', async () => {
    const { listener } = await listening();
    await Promise.all([listener.close(), listener.close()]);
    await listener.close();
  });
});

describe('the network of a client', () => {
  it('is an IPv4 address, or a /64, whatever the interface is called that a link-local one is of', () => {
    expect(networkOf('198.18.0.7')).toBe('198.18.0.7');
    expect(networkOf('::ffff:198.18.0.7')).toBe('198.18.0.7');
    expect(networkOf('2001:db8::1')).toBe(networkOf('2001:db8::ffff:2'));
    expect(networkOf('2001:db8::1')).not.toBe(networkOf('2001:db8:0:1::1'));
    for (const name of ['eth0', 'eth0.100', 'br-lan', 'a%b'])
      expect(networkOf(`fe80::1%${name}`)).toBe(networkOf('fe80::2'));
    expect(networkOf(undefined)).toBeUndefined();
  });
});
