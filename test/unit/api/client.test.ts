// The client of the API: what each method asks, what it takes for an answer, and what failures become.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectionFailure } from '../../../control/api/client/connection_failure.ts';
import { Client } from '../../../control/api/client.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { all } from '../cli/lib/all.ts';
import * as answers from '../cli/lib/answers.ts';
import { FakeDaemon, failure, type Reply, stream } from '../cli/lib/fake_daemon.ts';

const clientOf = (socketPath: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  new Client({ socketPath }, { version: '0.1.0', ...options });

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Failure);
  return error as Failure;
}

let daemon: FakeDaemon;
let client: Client;
beforeEach(async () => {
  daemon = await FakeDaemon.start();
  client = clientOf(daemon.socket);
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
});

describe('a method of the client', () => {
  const { ADDED } = answers;
  const backend = { pool: 'web', name: 'b1', address: '10.0.0.1' };
  const service = { name: 'web', addresses: ['198.18.0.10'], pool: 'web' };
  const items = { items: [] };
  const cases: readonly [string, (it: Client) => Promise<unknown>, string, object, unknown?][] = [
    ['status', (it) => it.status(), 'GET /v1/status', answers.STATUS],
    ['stats', (it) => it.stats(), 'GET /v1/stats', answers.STATS],
    ['services', (it) => it.services(), 'GET /v1/services', items],
    ['service', (it) => it.service('web'), 'GET /v1/services/web', answers.WEB],
    ['addService', (it) => it.addService(service), 'POST /v1/services', ADDED, service],
    [
      'changeService',
      (it) => it.changeService('web', { quic: null }),
      'PATCH /v1/services/web',
      ADDED,
      { quic: null },
    ],
    ['removeService', (it) => it.removeService('web'), 'DELETE /v1/services/web', ADDED],
    ['pools', (it) => it.pools(), 'GET /v1/pools', items],
    ['pool', (it) => it.pool('web'), 'GET /v1/pools/web', answers.POOL],
    ['addPool', (it) => it.addPool({ name: 'web' }), 'POST /v1/pools', ADDED, { name: 'web' }],
    ['removePool', (it) => it.removePool('web'), 'DELETE /v1/pools/web', ADDED],
    ['backends', (it) => it.backends(), 'GET /v1/backends', items],
    ['backends', (it) => it.backends('web'), 'GET /v1/backends?pool=web', items],
    ['backend', (it) => it.backend('web', 'b1'), 'GET /v1/backends/web/b1', answers.B1],
    ['addBackend', (it) => it.addBackend(backend), 'POST /v1/backends', ADDED, backend],
    [
      'changeBackend',
      (it) => it.changeBackend('web', 'b1', { weight: 0 }),
      'PATCH /v1/backends/web/b1',
      ADDED,
      { weight: 0 },
    ],
    ['removeBackend', (it) => it.removeBackend('web', 'b1'), 'DELETE /v1/backends/web/b1', ADDED],
    ['apply', (it) => it.apply({ services: [] }), 'POST /v1/apply', ADDED, { services: [] }],
    ['export', (it) => it.export(), 'GET /v1/export', answers.DOCUMENT],
    [
      'explain',
      (it) => it.explain({ frame: '00' }),
      'POST /v1/explain',
      answers.EXPLANATION,
      { frame: '00' },
    ],
    ['attach', (it) => it.attach({ interface: 'eth0' }), 'POST /v1/attach', items, { interface: 'eth0' }],
    ['detach', (it) => it.detach(), 'POST /v1/detach', items, {}],
    ['doctor', (it) => it.doctor(), 'GET /v1/doctor', items],
    ['doctor', (it) => it.doctor('eth0'), 'GET /v1/doctor?interface=eth0', items],
  ];

  for (const [name, call, asked, answer, body] of cases) {
    it(`asks ${asked} (${name})`, async () => {
      daemon.reply({ [asked.replace(/\?.*/, '')]: answer });
      const result = await call(client);
      expect(result).toEqual('items' in answer && Array.isArray(answer.items) ? answer.items : answer);
      expect(daemon.asked).toEqual([asked]);
      expect(daemon.seen[0]!.body).toEqual(body);
      expect(daemon.seen[0]!.type).toBe(body === undefined ? undefined : 'application/json');
    });
  }

  it('says when a change is a dry run, or forced', async () => {
    daemon.reply({ 'POST /v1/apply': ADDED });
    await client.apply({}, { dryRun: true });
    await client.apply({}, { force: true });
    await client.apply({}, { dryRun: true, force: true });
    await client.apply({}, { dryRun: false, force: false });
    expect(daemon.asked).toEqual([
      'POST /v1/apply?dryRun=true',
      'POST /v1/apply?force=true',
      'POST /v1/apply?dryRun=true&force=true',
      'POST /v1/apply',
    ]);
  });

  it('encodes names, whatever they are', async () => {
    await failureOf(client.service('a/b?c'));
    await failureOf(client.backend('..', 'x y'));
    expect(daemon.asked).toEqual(['GET /v1/services/a%2Fb%3Fc', 'GET /v1/backends/../x%20y'].map(expectPath));
  });

  it('gives metrics as they are', async () => {
    daemon.reply({ 'GET /metrics': '# TYPE x counter\nx 1\n' });
    expect(await client.metrics()).toBe('# TYPE x counter\nx 1\n');
    expect(daemon.seen[0]!.accept).toBe('text/plain');
  });

  it('knows names without schemas, backends with their pool', async () => {
    daemon.reply({
      'GET /v1/pools': { items: [{ name: 'web', unknown: true }] },
      'GET /v1/backends': { items: [{ pool: 'web', name: 'b1' }] },
      'GET /v1/stats': { packets: { DROP: 1, FORWARD: 2 }, reasons: { FORWARD: 2, DROP_ECN: 1 } },
    });
    expect(await client.names('pools')).toEqual(['web']);
    expect(await client.names('backends')).toEqual(['web/b1']);
    expect(await client.reasonNames()).toEqual(['DROP', 'FORWARD', 'DROP_ECN']);
  });

  it('skips fields that it does not know', async () => {
    daemon.reply({ 'GET /v1/services/web': { ...answers.WEB, colour: 'blue' } });
    expect(await client.service('web')).toEqual(answers.WEB);
  });
});

/** The server's URL parser takes `..` for what it is; nothing else may be lost on the way. */
function expectPath(path: string): unknown {
  return path.includes('..') ? expect.stringContaining('x%20y') : path;
}

describe('an answer that is a failure', () => {
  it('is thrown as the server said it', async () => {
    const body = { code: 'in_use', message: 'Pool web is in use.', cause: 'By web.', remedy: 'Remove web.' };
    daemon.reply({ 'DELETE /v1/pools/web': failure(409, body) });
    expect((await failureOf(client.removePool('web'))).body).toEqual(body);
  });

  it('is thrown for metrics and streams too', async () => {
    const body = { code: 'conflict', message: 'Somebody captures already.' };
    daemon.reply({
      'GET /metrics': failure(503, { code: 'unavailable', message: 'Not yet.' }),
      'POST /v1/capture': failure(409, body),
      'GET /v1/events': failure(422, { code: 'limit', message: 'Too many.' }),
    });
    expect((await failureOf(client.metrics())).body).toEqual({ code: 'unavailable', message: 'Not yet.' });
    expect((await failureOf(all(client.capture({})))).body).toEqual(body);
    expect((await failureOf(all(client.captureFile({})))).body).toEqual(body);
    expect((await failureOf(all(client.events()))).code).toBe('limit');
  });
});

describe('an answer that makes no sense', () => {
  const senseless = async (reply: Reply, status: Reply = answers.STATUS) => {
    daemon.reply({ 'GET /v1/pools/web': reply, 'GET /v1/status': status });
    return (await failureOf(client.pool('web'))).body;
  };
  const message = () => `The answer of ${daemon.socket} to GET /v1/pools/web makes no sense here.`;
  const report = 'Report it: holdfast and holdfastd are both of version 0.1.0.';

  it('names the field', async () => {
    expect(await senseless({ ...answers.POOL, id: 'one' })).toEqual({
      code: 'internal',
      message: message(),
      cause: 'id: Invalid input: expected number, received string.',
      remedy: report,
    });
  });

  it('says where the whole of it is wrong', async () => {
    expect(await senseless('[]')).toMatchObject({
      cause: 'All of it: Invalid input: expected object, received array.',
    });
  });

  it('says where it is no JSON', async () => {
    expect((await senseless('<html>')).cause).toMatch(/^It is no JSON: Unexpected token.*\.$/);
  });

  it('says where a failure has no words', async () => {
    expect(await senseless((_, response) => void response.writeHead(502).end('Bad Gateway'))).toMatchObject({
      message: message(),
      cause: 'It has HTTP status 502, and does not say why.',
    });
  });

  it('blames the version where it differs', async () => {
    expect(await senseless('{}', { version: '9.9.9', anything: 'else' })).toMatchObject({
      remedy: "Use a holdfast of the daemon's version, which is 9.9.9; this one is 0.1.0.",
    });
  });

  it('doubts the address where there is no version', async () => {
    const remedy = 'Check that this is the address of holdfastd.';
    expect(await senseless('{}', '<html>')).toMatchObject({ remedy });
    expect(await senseless('{}', { version: 3 })).toMatchObject({ remedy });
  });

  it('has a limit on its length', async () => {
    const chunk = 'x'.repeat(1 << 20);
    daemon.reply({
      'GET /metrics': async (_, response) => {
        response.on('error', () => {});
        while (!response.destroyed) {
          if (!response.write(chunk)) await new Promise((resolve) => setTimeout(resolve, 1));
        }
      },
    });
    expect((await failureOf(client.metrics())).body).toEqual({
      code: 'limit',
      message: 'The answer to GET /metrics is too long.',
      cause: 'It is longer than 67108864 bytes.',
    });
  });
});

describe('a stream', () => {
  const line = (reason: string) => ({ atMs: 1.5, reason, ifindex: 2, lengthBytes: 60, frame: '00' });

  it('of packets is cut into lines', async () => {
    const text = `${JSON.stringify(line('DROP_ECN'))}\n\n${JSON.stringify({ ...line('FORWARD'), lost: 3 })}\n`;
    daemon.reply({ 'POST /v1/capture': stream(text.slice(0, 20), text.slice(20, 100), text.slice(100)) });
    expect(await all(client.capture({ packets: 2 }))).toEqual([
      line('DROP_ECN'),
      { ...line('FORWARD'), lost: 3 },
    ]);
    expect(daemon.seen[0]).toMatchObject({ accept: 'application/x-ndjson', body: { packets: 2 } });
  });

  it('of packets that ends with a failure throws it', async () => {
    const broken = { code: 'unavailable', message: 'The program is gone.' };
    daemon.reply({
      'POST /v1/capture': stream(`${JSON.stringify(line('DROP_ECN'))}\n${JSON.stringify(broken)}\n`),
    });
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const packet of client.capture({})) seen.push(packet);
    })();
    expect((await failureOf(reading)).body).toEqual(broken);
    expect(seen).toEqual([line('DROP_ECN')]);
  });

  it('of bytes is passed on', async () => {
    daemon.reply({ 'POST /v1/capture': stream(Buffer.from([1, 2]), Buffer.from([3])) });
    expect(Buffer.concat(await all(client.captureFile({})))).toEqual(Buffer.from([1, 2, 3]));
    expect(daemon.seen[0]!.accept).toBe('application/x-pcapng');
  });

  it('of events skips what is no event', async () => {
    const [one, other] = answers.EVENTS;
    daemon.reply({
      'GET /v1/events': stream(
        `: alive\n\nid: 7\nevent: changed\ndata: ${JSON.stringify(one)}\n\n`,
        `data:${JSON.stringify(other)}\r\n\r\ndata: {"cut`,
      ),
    });
    expect(await all(client.events())).toEqual([one, other]);
    expect(daemon.seen[0]!.accept).toBe('text/event-stream');
  });

  it('ends when the signal says so', async () => {
    const stop = new AbortController();
    daemon.reply({
      'GET /v1/events': (_, response) =>
        void response.write(`data: ${JSON.stringify(answers.EVENTS[0])}\n\n`),
    });
    const seen: unknown[] = [];
    for await (const event of clientOf(daemon.socket, { signal: stop.signal }).events()) {
      seen.push(event);
      stop.abort();
    }
    expect(seen).toEqual([answers.EVENTS[0]]);
  });

  it('lasts longer than the time an answer may take', async () => {
    daemon.reply({
      'GET /v1/events': async (_, response) => {
        response.write(': alive\n\n');
        await new Promise((resolve) => setTimeout(resolve, 250));
        response.end(`data: ${JSON.stringify(answers.EVENTS[0])}\n\n`);
      },
    });
    expect(await all(clientOf(daemon.socket, { timeoutMs: 150 }).events())).toEqual([answers.EVENTS[0]]);
  });

  it('that breaks off is a failure', async () => {
    daemon.reply({
      'GET /v1/events': (_, response) => {
        response.write(': alive\n\n');
        setTimeout(() => response.destroy(), 20);
      },
    });
    expect((await failureOf(all(client.events()))).body).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at ${daemon.socket}.`,
      cause: 'It closed the connection before its answer was complete.',
      remedy: 'Look at its log: journalctl -u holdfastd',
    });
  });
});

describe('a daemon that does not answer', () => {
  const START = 'Start holdfastd, or name its socket with --socket.';
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-client-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('has no socket', async () => {
    const path = join(directory, 'none.sock');
    expect((await failureOf(clientOf(path).status())).body).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at ${path}.`,
      cause: 'There is no such socket.',
      remedy: START,
    });
  });

  it('does not listen on its socket', async () => {
    const path = join(directory, 'file.sock');
    writeFileSync(path, '');
    expect((await failureOf(clientOf(path).status())).body).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at ${path}.`,
      cause: 'Nobody listens on this socket.',
      remedy: START,
    });
  });

  it('keeps its socket for root, or is busy', () => {
    const meaning = (code: string) => {
      const error = Object.assign(new Error(`connect ${code}`), { code });
      const asked = { method: 'GET', path: '/v1/status' } as const;
      return connectionFailure(error, { socketPath: '/run/h.sock' }, asked).body;
    };
    const message = 'Cannot talk to holdfastd at /run/h.sock.';
    const cause = 'Only root may open this socket.';
    expect(meaning('EACCES')).toEqual({ code: 'forbidden', message, cause, remedy: 'Run it as root.' });
    expect(meaning('EPERM')).toEqual(meaning('EACCES'));
    expect(meaning('EAGAIN')).toEqual({
      code: 'unavailable',
      message,
      cause: 'Too many others wait for it to answer.',
      remedy: 'Look at its log: journalctl -u holdfastd',
    });
    expect(meaning('EMFILE')).toMatchObject({ code: 'unavailable', cause: 'connect EMFILE.' });
  });

  it('takes too long', async () => {
    daemon.reply({ 'GET /v1/status': () => new Promise(() => {}) });
    expect((await failureOf(clientOf(daemon.socket, { timeoutMs: 50 }).status())).body).toEqual({
      code: 'timeout',
      message: `No answer from holdfastd at ${daemon.socket}.`,
      cause: 'It did not answer GET /v1/status within 0.05 s.',
      remedy: 'Give it more time with --timeout. Look at its log: journalctl -u holdfastd',
    });
  });

  it('takes too long in the middle of its answer', async () => {
    daemon.reply({ 'GET /v1/status': (_, response) => void response.writeHead(200).write('{') });
    expect((await failureOf(clientOf(daemon.socket, { timeoutMs: 50 }).status())).code).toBe('timeout');
  });

  it('leaves it open whether a change was made', async () => {
    daemon.reply({ 'POST /v1/pools': () => new Promise(() => {}) });
    const slow = clientOf(daemon.socket, { timeoutMs: 50 });
    expect((await failureOf(slow.addPool({ name: 'web' }))).reason).toBe(
      'It did not answer POST /v1/pools within 0.05 s. The change may have been made, or not.',
    );
    expect((await failureOf(slow.addPool({ name: 'web' }, { dryRun: true }))).reason).toBe(
      'It did not answer POST /v1/pools?dryRun=true within 0.05 s.',
    );
  });

  it('closes the connection', async () => {
    daemon.reply({ 'POST /v1/pools': (_, response) => void response.destroy() });
    expect((await failureOf(client.addPool({ name: 'web' }))).body).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at ${daemon.socket}.`,
      cause:
        'It closed the connection before its answer was complete. The change may have been made, or not.',
      remedy: 'Look at its log: journalctl -u holdfastd',
    });
  });

  it('is something else', async () => {
    const path = join(directory, 'ssh.sock');
    const server = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('SSH-2.0-OpenSSH_9.2\r\n'),
    );
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { body } = await failureOf(clientOf(path).status());
    await new Promise((resolve) => server.close(resolve));
    expect(body).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at ${path}.`,
      cause: 'What listens there does not speak HTTP.',
      remedy: 'Name the socket of holdfastd with --socket, or its address with --url.',
    });
  });

  it('is given up when the signal says so', async () => {
    const stop = new AbortController();
    daemon.reply({
      'GET /v1/status': () => {
        stop.abort(new Error('enough'));
        return new Promise(() => {});
      },
    });
    await expect(clientOf(daemon.socket, { signal: stop.signal }).status()).rejects.toThrow('enough');
  });
});
