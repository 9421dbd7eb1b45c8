// Probes against real servers on this host: what each says of servers that answer well, badly, never, too much, and that
// nothing is left of a probe that was aborted.

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Health, healthSchema } from '../../../control/config/health.ts';
import type { Result } from '../../../control/health/checks_core.ts';
import type { Question } from '../../../control/health/probe/probe.ts';
import { probe } from '../../../control/health/probe/probes.ts';
import { certify, makeAuthority } from '../api/lib/certificates.ts';

const LIMIT_MS = 5_000;
/** Of what never answers: long enough for a probe to be at it. */
const SILENT_MS = 150;

const closers: (() => void)[] = [];
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-health-'));
  chmodSync(directory, 0o755);
});
afterAll(() => {
  for (const close of closers) close();
  rmSync(directory, { recursive: true });
});

function question(port: number, health: Record<string, unknown>, more: Partial<Question> = {}): Question {
  return {
    health: healthSchema.parse(health) as Health,
    address: '127.0.0.1',
    port,
    backend: { pool: 'web', name: 'b1', address: '192.0.2.1' },
    commands: undefined,
    ...more,
  };
}

async function ask(asked: Question): Promise<Result> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  return await probe(asked, signal);
}

/** Aborts as the core does when the time is up; `left` must become true: nothing is left. */
async function abortedIs(asked: Question, left: () => boolean): Promise<void> {
  const abort = new AbortController();
  const answered = probe(asked, abort.signal).then(() => 'answered');
  expect(await Promise.race([answered, sleep(SILENT_MS, 'silent')])).toBe('silent');
  abort.abort();
  const deadline = Date.now() + LIMIT_MS;
  while (!left()) {
    if (Date.now() > deadline) throw new Error('something of the probe is left');
    await sleep(5);
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A server of raw connections, and how many it has open. */
async function raw(handle: (socket: Socket) => void): Promise<{ port: number; open: Set<Socket> }> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    handle(socket);
  });
  return { port: await listening(server), open };
}

async function unused(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const http = async (listener: RequestListener) => await listening(createHttpServer(listener));

describe('tcp', () => {
  it('is content with a connection, which does not stay', async () => {
    const { port, open } = await raw(() => {});
    expect(await ask(question(port, { type: 'tcp' }))).toEqual({ isGood: true, reason: 'connected' });
    await expect.poll(() => open.size).toBe(0);
  });

  it('says that nobody listens', async () => {
    expect(await ask(question(await unused(), { type: 'tcp' }))).toEqual({
      isGood: false,
      reason: 'connection refused',
    });
  });

  it('blames nobody else where the host itself cannot ask', async () => {
    const from = { address: '192.0.2.77', port: 61_000 };
    const { port } = await raw(() => {});
    expect(await ask(question(port, { type: 'tcp' }, { from }))).toMatchObject({ isGood: undefined });
  });

  it('comes from where it is told to', async () => {
    const from = { address: '127.0.0.1', port: await unused() };
    const ports: (number | undefined)[] = [];
    const { port } = await raw((socket) => ports.push(socket.remotePort));
    expect((await ask(question(port, { type: 'tcp' }, { from }))).isGood).toBe(true);
    await expect.poll(() => ports).toEqual([from.port]);
  });
});

describe('http', () => {
  it.each([
    [200, {}, true, 'status 200'],
    [204, {}, true, 'status 204'],
    [302, {}, true, 'status 302'],
    [302, { status: { from: 200, to: 299 } }, false, 'status 302, not 200-299'],
    [404, {}, false, 'status 404, not 200-399'],
    [404, { status: { from: 404, to: 404 } }, true, 'status 404'],
    [503, {}, false, 'status 503, not 200-399'],
  ])('judges status %i with %o', async (status, fields, isGood, reason) => {
    const port = await http((_, response) => void response.writeHead(status).end());
    expect(await ask(question(port, { type: 'http', ...fields }))).toEqual({ isGood, reason });
  });

  it('asks for the path, with the Host header that is configured', async () => {
    const asked: unknown[] = [];
    const port = await http((request, response) => {
      asked.push([request.method, request.url, request.headers.host, request.headers.connection]);
      response.end();
    });
    await ask(question(port, { type: 'http', path: '/healthy?deep', host: 'www.example.com' }));
    await ask(question(port, { type: 'http' }));
    expect(asked).toEqual([
      ['GET', '/healthy?deep', 'www.example.com', 'close'],
      ['GET', '/', `127.0.0.1:${port}`, 'close'],
    ]);
  });

  it('looks for the text, also across parts', async () => {
    const port = await http((_, response) => {
      response.write('all is we');
      setImmediate(() => response.end('ll'));
    });
    expect((await ask(question(port, { type: 'http', body: 'is well' }))).isGood).toBe(true);
    expect(await ask(question(port, { type: 'http', body: 'is bad' }))).toEqual({
      isGood: false,
      reason: 'status 200, without the text "is bad" in its first 64 KiB',
    });
  });

  it('reads no more than 64 KiB of an answer without end', async () => {
    let sent = 0;
    const port = await http((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write('y'.repeat(4_096))) sent += 4_096;
      };
      response.on('drain', more);
      response.on('error', () => {});
      more();
    });
    expect((await ask(question(port, { type: 'http', body: 'no such text' }))).isGood).toBe(false);
    const seen = sent;
    await sleep(50);
    // What was in buffers of sockets when it was enough.
    expect(sent - seen).toBeLessThan(8 << 20);
    expect((await ask(question(port, { type: 'http' }))).isGood).toBe(true);
  });

  it.each([
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}`],
  ])('finds a server dead that says %s', async (_, text) => {
    const { port } = await raw((socket) => socket.write(text));
    expect((await ask(question(port, { type: 'http' }))).isGood).toBe(false);
  });

  it('finds a server dead that closes its half, or resets', async () => {
    const half = await raw((socket) => socket.end());
    expect((await ask(question(half.port, { type: 'http' }))).isGood).toBe(false);
    const reset = await raw((socket) => socket.resetAndDestroy());
    expect((await ask(question(reset.port, { type: 'http' }))).isGood).toBe(false);
  });

  it('leaves nothing with a server that accepts and never answers', async () => {
    const { port, open } = await raw(() => {});
    await abortedIs(question(port, { type: 'http' }), () => open.size === 0);
  });
});

describe('https', () => {
  let port: number;
  let authority: string;

  beforeAll(async () => {
    const trusted = makeAuthority(directory, 'trusted');
    const made = certify(directory, trusted, 'server', { usage: 'serverAuth' });
    authority = readFileSync(trusted.certificate, 'utf8');
    const server = createHttpsServer(
      { cert: readFileSync(made.certificate), key: readFileSync(made.key) },
      (_, response) => void response.end('fine'),
    );
    server.on('tlsClientError', () => {});
    port = await listening(server);
  });

  it('takes a certificate that its authority signed for the address', async () => {
    const asked = question(port, { type: 'https', body: 'fine', tls: { authority } });
    expect(await ask(asked)).toEqual({ isGood: true, reason: 'status 200, with the text' });
  });

  it('refuses one of another authority, and of another name, unless any will do', async () => {
    expect((await ask(question(port, { type: 'https' }))).reason).toMatch(/self.signed|unable to/);
    const named = { authority, serverName: 'www.example.com' };
    expect((await ask(question(port, { type: 'https', tls: named }))).reason).toContain('www.example.com');
    expect((await ask(question(port, { type: 'https', tls: { verify: false } }))).isGood).toBe(true);
  });

  it('leaves nothing with a server that does not shake hands', async () => {
    const { port: silent, open } = await raw(() => {});
    await abortedIs(question(silent, { type: 'https' }), () => open.size === 0);
  });
});

describe('grpc', () => {
  /** With gRPC's prefix; bytes as the protocol has them, not made by what is tested. */
  const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
  const NOT_SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 2]);
  const EMPTY = Buffer.from([0, 0, 0, 0, 0]);

  type Answer = { message?: Buffer; status?: string; http?: number; never?: boolean };
  async function server(answer: Answer, asked: unknown[] = []): Promise<number> {
    const made = createHttp2Server();
    made.on('stream', (stream: ServerHttp2Stream, headers) => {
      const parts: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        asked.push([
          headers[':path'],
          headers['content-type'],
          headers.te,
          Buffer.concat(parts).toString('hex'),
        ]);
        if (answer.never === true) return;
        stream.respond(
          { ':status': answer.http ?? 200, 'content-type': 'application/grpc' },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': answer.status ?? '0' }));
        stream.end(answer.message ?? SERVING);
      });
    });
    return await listening(made as unknown as Server);
  }

  it.each([
    ['SERVING', { message: SERVING }, true, 'SERVING'],
    ['NOT_SERVING', { message: NOT_SERVING }, false, 'NOT_SERVING'],
    ['UNKNOWN, which is not written', { message: EMPTY }, false, 'UNKNOWN'],
    [
      'UNIMPLEMENTED',
      { message: EMPTY, status: '12' },
      false,
      'the server has no grpc.health.v1.Health service',
    ],
    [
      'NOT_FOUND',
      { message: EMPTY, status: '5' },
      false,
      'the server does not know the service that is asked about',
    ],
    ['UNAVAILABLE', { message: EMPTY, status: '14' }, false, 'gRPC status 14'],
    ['nonsense', { message: Buffer.from('hello') }, false, 'the answer is no HealthCheckResponse'],
    ['HTTP 404', { http: 404 }, false, 'HTTP status 404'],
    ['too much', { message: Buffer.alloc(100_000) }, false, 'the answer is longer than 4096 bytes'],
  ])('understands %s', async (_, answer, isGood, reason) => {
    expect(await ask(question(await server(answer), { type: 'grpc' }))).toEqual({ isGood, reason });
  });

  it('asks about the server, or a service by name', async () => {
    const asked: unknown[] = [];
    const port = await server({}, asked);
    await ask(question(port, { type: 'grpc' }));
    await ask(question(port, { type: 'grpc', grpcService: 'shop.Cart' }));
    const as = (hex: string) => ['/grpc.health.v1.Health/Check', 'application/grpc', 'trailers', hex];
    expect(asked).toEqual([as('0000000000'), as('000000000b0a0973686f702e43617274')]);
  });

  it('finds a server dead that speaks no HTTP/2', async () => {
    const { port } = await raw((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    expect((await ask(question(port, { type: 'grpc' }))).isGood).toBe(false);
  });

  it('leaves nothing with one that never answers', async () => {
    const { port, open } = await raw(() => {});
    await abortedIs(question(port, { type: 'grpc' }), () => open.size === 0);
  });
});

describe('udp', () => {
  async function echo(answer: (message: Buffer) => Buffer | undefined): Promise<number> {
    const socket: UdpSocket = createSocket('udp4');
    socket.on('message', (message, { port, address }) => {
      const said = answer(message);
      if (said !== undefined) socket.send(said, port, address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    closers.push(() => socket.close());
    return socket.address().port;
  }

  it('sends text or bytes, and judges how the answer begins', async () => {
    const heard: string[] = [];
    const port = await echo((message) => {
      heard.push(message.toString('hex'));
      return Buffer.from('pong 1');
    });
    expect((await ask(question(port, { type: 'udp' }))).isGood).toBe(true);
    expect((await ask(question(port, { type: 'udp', send: 'ping', expect: 'pong' }))).isGood).toBe(true);
    expect((await ask(question(port, { type: 'udp', send: 'hex:00ff', expect: 'hex:706f' }))).isGood).toBe(
      true,
    );
    expect((await ask(question(port, { type: 'udp', expect: 'peng' }))).reason).toBe(
      'answered with something else: 706f6e672031',
    );
    expect(heard).toEqual(['00', '70696e67', '00ff', '00']);
  });

  it('says that nobody listens, and waits for who does not answer', async () => {
    expect((await ask(question(await unused(), { type: 'udp' }))).reason).toBe('connection refused');
    const port = await echo(() => undefined);
    await abortedIs(question(port, { type: 'udp' }), () => true);
  });
});

describe.runIf(process.getuid?.() === 0)('command', () => {
  const commands = () => ({ directory: join(directory, 'checks'), user: 65_534, group: 65_534 });
  const script = (name: string, text: string, mode = 0o755) => {
    mkdirSync(commands().directory, { recursive: true });
    const path = join(commands().directory, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, mode);
  };
  const run = (...command: string[]) => question(80, { type: 'command', command }, { commands: commands() });

  it('is good with exit 0, and says what the program says last', async () => {
    script('ok', 'echo looking; echo fine');
    script('bad', 'echo broken >&2; exit 3');
    expect(await ask(run('ok'))).toEqual({ isGood: true, reason: 'exit 0: fine' });
    expect(await ask(run('bad'))).toEqual({ isGood: false, reason: 'exit 3: broken' });
  });

  it('is run as nobody, with its arguments and the backend in an environment of its own', async () => {
    process.env.SECRET_OF_THE_DAEMON = 'x';
    script(
      'env',
      'echo "$(id -u) $1 $2 $HOLDFAST_POOL $HOLDFAST_BACKEND $HOLDFAST_ADDRESS $HOLDFAST_PORT[$SECRET_OF_THE_DAEMON]"',
    );
    expect((await ask(run('env', 'a b', '$(id)'))).reason).toBe(
      'exit 0: 65534 a b $(id) web b1 192.0.2.1 80[]',
    );
  });

  it('says nothing of the backend where it may not be run', async () => {
    script('writable', 'exit 0', 0o777);
    script('plain', 'exit 0', 0o644);
    const none = question(80, { type: 'command', command: ['ok'] });
    expect(await ask(none)).toMatchObject({ isGood: undefined });
    expect((await ask(run('writable'))).reason).toContain('may be written by others than root');
    expect((await ask(run('plain'))).reason).toContain('is not executable');
    expect(await ask(run('missing'))).toMatchObject({ isGood: undefined });
  });

  it('is killed with all that it started, when it never ends and when it says too much', async () => {
    const marks = mkdtempSync(join(tmpdir(), 'holdfast-marks-'));
    chmodSync(marks, 0o777);
    closers.push(() => rmSync(marks, { recursive: true }));
    script('slow', `sleep 60 & echo $! > ${marks}/child; echo $$ > ${marks}/self; wait`);
    script('loud', 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done');
    const gone = (name: string) => {
      if (!existsSync(join(marks, name))) return false;
      const pid = readFileSync(join(marks, name), 'utf8').trim();
      return !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
    };
    await abortedIs(run('slow'), () => gone('self') && gone('child'));
    expect(await ask(run('loud'))).toEqual({ isGood: false, reason: 'it says more than 4096 bytes' });
  });
});

describe.runIf(process.getuid?.() === 0)('a command that does not die', () => {
  const commands = () => ({ directory: join(directory, 'immortal'), user: 65_534, group: 65_534 });
  const script = (text: string) => {
    mkdirSync(commands().directory, { recursive: true });
    const path = join(commands().directory, 'check');
    rmSync(path, { force: true });
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
  };
  const run = (name = 'b1') => {
    const backend = { pool: 'web', name, address: '192.0.2.1' };
    return question(80, { type: 'command', command: ['check'] }, { commands: commands(), backend });
  };
  const pipes = () => process.getActiveResourcesInfo().filter((it) => it === 'PipeWrap').length;

  it('is not started again beside itself, and again once it is gone', async () => {
    script('sleep 60');
    const groups: number[] = [];
    const kill = vi.spyOn(process, 'kill').mockImplementation((pid) => {
      groups.push(pid);
      return true;
    });
    onTestFinished(() => kill.mockRestore());
    const before = pipes();
    await abortedIs(run(), () => groups.length > 0 && pipes() === before);
    script('exit 0');
    expect(await ask(run())).toEqual({
      isGood: undefined,
      reason: 'check of an earlier check does not end, though it was killed',
    });
    expect(await ask(run('b2'))).toMatchObject({ isGood: true });
    kill.mockRestore();
    process.kill(groups[0]!, 'SIGKILL');
    await expect.poll(() => ask(run())).toMatchObject({ isGood: true });
  });

  it('and was only just killed is waited for', async () => {
    script('sleep 60');
    const abort = new AbortController();
    const first = probe(run(), abort.signal);
    await sleep(SILENT_MS);
    script('exit 0');
    abort.abort();
    expect(await ask(run())).toMatchObject({ isGood: true });
    await first;
  });

  it('keeps no pipe open where what it started left its group', async () => {
    const marks = mkdtempSync(join(tmpdir(), 'holdfast-marks-'));
    chmodSync(marks, 0o777);
    closers.push(() => rmSync(marks, { recursive: true }));
    script(
      `setsid sh -c 'echo $$ > ${marks}/child; exec sleep 60' & until [ -s ${marks}/child ]; do sleep 0.01; done`,
    );
    const before = pipes();
    expect(await ask(run())).toMatchObject({ isGood: true });
    onTestFinished(() => void process.kill(Number(readFileSync(join(marks, 'child'), 'utf8')), 'SIGKILL'));
    await expect.poll(pipes).toBe(before);
  });
});

describe('what may be configured', () => {
  it.each([
    [
      { type: 'tcp', path: '/' },
      'path: is of type http and https, not tcp: leave it out, or change the type',
    ],
    [{ type: 'command' }, 'command: must be given for type command'],
    [{ type: 'command', command: ['/bin/sh'] }, 'command.0: the first must be the name of a program'],
    [{ type: 'command', command: ['..'] }, 'command.0: the first must be the name of a program'],
    [{ type: 'tcp', intervalMs: 100, timeoutMs: 200 }, 'timeoutMs: must not be above intervalMs, 100'],
    [{ type: 'tcp', intervalMs: 10 }, 'intervalMs: '],
    [{ type: 'tcp', jitter: 0.9 }, 'jitter: '],
    [{ type: 'udp', send: 'hex:0' }, 'send: after hex: must come pairs of hexadecimal digits'],
    [{ type: 'http', path: 'healthy' }, 'path: must begin with /'],
    [{ type: 'http', path: '/a\r\nX: y' }, 'path: must begin with / and have no spaces'],
    [{ type: 'http', host: 'a\r\nX: y' }, 'host: must be a host name'],
    [{ type: 'http', status: { from: 300, to: 200 } }, 'status.to: from must not be above to'],
  ])('is not %o', (health, message) => {
    const issues = healthSchema.safeParse(health).error?.issues ?? [];
    expect(issues.map((it) => `${it.path.join('.')}: ${it.message}`).join('\n')).toContain(message);
  });
});
