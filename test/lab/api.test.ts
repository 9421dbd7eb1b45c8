// The HTTP API of a real daemon, as any client would use it that was written from its OpenAPI document.
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { documentSchema } from '../../control/config/objects.ts';
import { certify, makeAuthority } from '../unit/api/lib/certificates.ts';
import { type Document, expectDeclared } from '../unit/api/lib/conformity.ts';
import { ask } from '../unit/api/lib/connection.ts';
import { readMetrics } from '../unit/api/lib/prometheus_reader.ts';
import { runIn } from './shell.ts';
import { backendAddress, raiseTestSingle, type SingleLab } from './single.ts';

/** In the namespace of the node: what the test's certificates are made for. */
const TLS = 'https://127.0.0.1:7443';
const SERVICE = '198.18.0.10';
const POOL = { name: 'web', slots: 1_000 };
const BACKENDS = [1, 2].map((number) => ({
  pool: 'web',
  name: `b${number}`,
  address: backendAddress(number),
}));
const WEB = { name: 'web', addresses: [SERVICE], protocol: 'tcp', port: 80, pool: 'web' };

let lab: SingleLab;
let document: Document;
let authority: { certificate: string; key: string };
let server: { certificate: string; key: string };

beforeAll(async () => {
  lab = raiseTestSingle();
  authority = makeAuthority(lab.directory, 'authority');
  server = certify(lab.directory, authority, 'server', { usage: 'serverAuth', days: 60 });
  await lab.start({
    api: { listen: '127.0.0.1:7443', ...server, clientAuthority: authority.certificate },
  });
  document = JSON.parse((await ask({ socketPath: socket(), path: '/v1/openapi.json' })).text) as Document;
});
afterAll(() => lab?.down());
beforeEach(() => lab.daemon.client.apply(full(), { force: true }));

const socket = () => lab.daemon.place.socket;
const full = () => documentSchema.parse({ services: [WEB], pools: [POOL], backends: BACKENDS });

/** Every answer is held to the document that the daemon serves. */
async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await ask(
    {
      socketPath: socket(),
      method,
      path,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    },
    body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  );
  const type = answer.headers['content-type'];
  const value: unknown = type?.startsWith('application/json') ? JSON.parse(answer.text) : answer.text;
  expectDeclared(document, method, path, { status: answer.status, type, body: value });
  return { status: answer.status, body: value as Record<string, unknown>, headers: answer.headers };
}

describe('every route', () => {
  const flow = {
    protocol: 'tcp',
    source: '198.18.200.2',
    sourcePort: 5,
    destination: SERVICE,
    destinationPort: 80,
  };
  it.each([
    ['GET', '/v1/status', undefined, { node: 'node', problems: [] }],
    ['GET', '/v1/stats', undefined, { services: [expect.objectContaining({ name: 'web' })] }],
    ['GET', '/v1/services', undefined, { items: [expect.objectContaining(WEB)] }],
    ['GET', '/v1/services/web', undefined, WEB],
    ['GET', '/v1/pools', undefined, { items: [expect.objectContaining(POOL)] }],
    ['GET', '/v1/pools/web', undefined, { unassignedSlots: 0, services: ['web'] }],
    ['GET', '/v1/backends?pool=web', undefined, { items: BACKENDS.map((it) => expect.objectContaining(it)) }],
    ['GET', '/v1/backends/web/b1', undefined, { slots: 500, share: 0.5 }],
    ['GET', '/v1/export', undefined, full()],
    [
      'POST',
      '/v1/services',
      { ...WEB, name: 'tls', port: 443 },
      { changes: [{ action: 'add', kind: 'service', name: 'tls' }] },
    ],
    [
      'PATCH',
      '/v1/services/web',
      { port: 81 },
      { changes: [{ action: 'change', kind: 'service', name: 'web' }] },
    ],
    [
      'DELETE',
      '/v1/services/web',
      undefined,
      { changes: [{ action: 'remove', kind: 'service', name: 'web' }] },
    ],
    ['POST', '/v1/pools', { name: 'other' }, { changes: [{ action: 'add', kind: 'pool', name: 'other' }] }],
    [
      'POST',
      '/v1/backends',
      { ...BACKENDS[0], name: 'b3' },
      { moved: [{ pool: 'web', slots: 333, of: 1_000 }] },
    ],
    ['PATCH', '/v1/backends/web/b1', { weight: 0 }, { moved: [{ pool: 'web', slots: 500, of: 1_000 }] }],
    ['DELETE', '/v1/backends/web/b2', undefined, { moved: [{ pool: 'web', slots: 500, of: 1_000 }] }],
    ['POST', '/v1/apply?dryRun=true&force=true', {}, { dryRun: true }],
    ['POST', '/v1/explain', { flow }, { verdict: 'FORWARD', service: 'web', pool: 'web' }],
    ['POST', '/v1/attach', {}, { items: [expect.objectContaining({ interface: 'eth0', mode: 'native' })] }],
    ['GET', '/v1/doctor?interface=eth0', undefined, { items: expect.arrayContaining([]) }],
  ])('%s %s answers what the document declares', async (method, path, body, expected) => {
    await lab.reaches(...BACKENDS.map(({ address }) => address));
    const { status, body: answer } = await call(method, path, body);
    expect(status).toBe(200);
    expect(answer).toMatchObject(expected);
  });

  it('is in the document, and has been asked here or is a stream', () => {
    expect(Object.keys(document.paths).sort()).toEqual([
      '/metrics',
      '/v1/apply',
      '/v1/attach',
      '/v1/backends',
      '/v1/backends/{pool}/{name}',
      '/v1/capture',
      '/v1/detach',
      '/v1/doctor',
      '/v1/events',
      '/v1/explain',
      '/v1/export',
      '/v1/openapi.json',
      '/v1/pools',
      '/v1/pools/{name}',
      '/v1/services',
      '/v1/services/{name}',
      '/v1/stats',
      '/v1/status',
    ]);
  });
});

describe('a refusal has its code, message, cause and remedy', () => {
  it.each([
    ['GET', '/v1/services/none', undefined, 404, { code: 'not_found', message: 'There is no service none.' }],
    ['GET', '/v1/nothing', undefined, 404, { code: 'not_found' }],
    ['PUT', '/v1/services/web', {}, 405, { code: 'invalid' }],
    ['POST', '/v1/services', '{', 400, { code: 'invalid', message: 'The body is not JSON.' }],
    ['POST', '/v1/services', { ...WEB, name: 'A b' }, 400, { code: 'invalid' }],
    ['POST', '/v1/services', WEB, 409, { code: 'conflict', message: 'There is a service web already.' }],
    [
      'POST',
      '/v1/services',
      { ...WEB, name: 'twin' },
      400,
      { code: 'invalid', message: `Services web and twin both have tcp port 80 of ${SERVICE}.` },
    ],
    ['POST', '/v1/services', { ...WEB, name: 'x', port: 5, pool: 'none' }, 400, { code: 'invalid' }],
    ['DELETE', '/v1/pools/web', undefined, 409, { code: 'in_use' }],
    ['POST', '/v1/apply', { services: [WEB], pools: [POOL] }, 409, { code: 'unsafe' }],
    [
      'POST',
      '/v1/attach',
      { interface: 'eth9' },
      404,
      { code: 'not_found', message: 'There is no interface eth9.' },
    ],
    [
      'POST',
      '/v1/detach',
      { interface: 'lo' },
      404,
      { code: 'not_found', message: 'Nothing of Holdfast is attached to lo.' },
    ],
    [
      'POST',
      '/v1/capture',
      { reasons: ['FOO'] },
      400,
      { code: 'invalid', message: 'There is no reason FOO.' },
    ],
    ['POST', '/v1/capture', { client: '1.2.3' }, 400, { code: 'invalid' }],
    ['POST', '/v1/explain', { frame: '00' }, 400, { code: 'invalid' }],
    ['GET', '/v1/doctor?interface=a/b', undefined, 400, { code: 'invalid' }],
  ])('%s %s %j', async (method, path, body, status, expected) => {
    const answer = await call(method, path, body);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject(expected);
    expect(answer.body.message).toMatch(/[.!?]$/);
  });

  it('changes nothing', async () => {
    await call('POST', '/v1/apply', { services: [WEB], pools: [POOL] });
    expect((await call('GET', '/v1/export')).body).toEqual(full());
  });

  it('and so has one that comes after somebody else changed the object', async () => {
    const { etag } = (await call('GET', '/v1/backends/web/b1')).headers;
    expect((await call('PATCH', '/v1/backends/web/b1', { weight: 7 }, { 'if-match': etag! })).status).toBe(
      200,
    );
    const late = await call('PATCH', '/v1/backends/web/b1', { weight: 8 }, { 'if-match': etag! });
    expect(late).toMatchObject({ status: 412, body: { code: 'conflict' } });
    expect((await call('GET', '/v1/backends/web/b1')).body).toMatchObject({ weight: 7 });
  });
});

describe('metrics', () => {
  it('count what stats count', async () => {
    await lab.reaches(...BACKENDS.map(({ address }) => address));
    const stats = await lab.daemon.client.stats();
    const metrics = readMetrics(await lab.daemon.client.metrics());
    const packets = metrics.get('holdfast_packets_total');
    expect(packets?.type).toBe('counter');
    const passed = packets!.samples.find(({ labels }) => labels.reason === 'PASS_NOT_A_SERVICE');
    expect(passed!.value).toBeGreaterThanOrEqual(stats.reasons.PASS_NOT_A_SERVICE!);
    expect(metrics.get('holdfast_applied_revision')!.samples[0]!.value).toBeGreaterThan(0);
  });
});

describe('who may ask', () => {
  const curl = (...args: string[]) =>
    runIn(lab.netns, 'curl', '--silent', '--show-error', '--max-time', '5', ...args, `${TLS}/v1/status`);
  const client = (name: string, of = authority) => {
    const { certificate, key } = certify(lab.directory, of, name);
    return ['--cacert', authority.certificate, '--cert', certificate, '--key', key];
  };

  it('on this host is root alone', () => {
    const { mode, uid } = statSync(socket());
    expect([mode & 0o777, uid]).toEqual([0o600, 0]);
    expect(() =>
      runIn(
        lab.netns,
        'setpriv',
        '--reuid=65534',
        '--clear-groups',
        'curl',
        '--silent',
        '--show-error',
        '--unix-socket',
        socket(),
        'http://x/v1/status',
      ),
    ).toThrow(/connect|denied/i);
  });

  it('over the network is who has a certificate of the authority', () => {
    expect(JSON.parse(curl(...client('operator')))).toMatchObject({ node: 'node' });
  });

  it('over the network is nobody else, and gets nothing', () => {
    expect(() => curl('--cacert', authority.certificate)).toThrow();
    const foreign = makeAuthority(lab.directory, 'foreign');
    expect(() => curl(...client('stranger', foreign))).toThrow();
    expect(() =>
      runIn(
        lab.netns,
        'curl',
        '--silent',
        '--show-error',
        '--max-time',
        '5',
        'http://127.0.0.1:7443/v1/status',
      ),
    ).toThrow();
  });

  it('follows certificates that are replaced, on SIGHUP; bad ones change nothing', async () => {
    const good = client('renewed');
    const pid = (await lab.daemon.client.status()).pid;
    const hangUp = async () => {
      process.kill(pid, 'SIGHUP');
      await sleep(300);
    };
    writeFileSync(server.certificate, 'not a certificate');
    await hangUp();
    expect(JSON.parse(curl(...good))).toMatchObject({ node: 'node' });
    expect((await lab.daemon.client.status()).problems).toMatchObject([
      { code: 'configuration', message: 'The certificates of the API cannot be used.' },
    ]);
    certify(lab.directory, authority, 'server', { usage: 'serverAuth', days: 60 });
    await hangUp();
    expect(JSON.parse(curl(...good))).toMatchObject({ node: 'node' });
    expect((await lab.daemon.client.status()).problems).toEqual([]);
  });
});
