// What every request has in common: routes that are not there, methods, media types, sizes, queries, bugs, the log.
import { describe, expect, it } from 'vitest';
import { BODY_BYTES_MAX } from '../../../control/api/body.ts';
import { FAILURES, Failure, type FailureCode } from '../../../control/lib/failure.ts';
import { backend, pool, putBackend, putPool } from '../pool/lib/cluster.ts';
import { testApi, testCluster, told } from './lib/api.ts';

const SEE = 'See GET /v1/openapi.json.';
const JSON_TYPE = { 'content-type': 'application/json' };

describe('routes', () => {
  it.each([
    '/',
    '/v1',
    '/v2/status',
    '/v1/status/',
    '/V1/status',
    '/v1/services/a/b',
    '/v1//status',
    '/metrics/x',
  ])('says that there is nothing at %s', async (path) => {
    const { ask } = testApi();
    expect(told(await ask('GET', path))).toEqual({
      status: 404,
      code: 'not_found',
      message: 'There is nothing at this path.',
      cause: `It is "${path}".`,
      remedy: SEE,
    });
  });

  it.each([
    ['DELETE', '/v1/status', 'GET, HEAD'],
    ['POST', '/v1/stats', 'GET, HEAD'],
    ['PUT', '/v1/services', 'GET, POST, HEAD'],
    ['POST', '/v1/services/www', 'GET, PATCH, DELETE, HEAD'],
    ['PUT', '/v1/pools/web', 'GET, PATCH, DELETE, HEAD'],
    ['GET', '/v1/apply', 'POST'],
    ['GET', '/v1/capture', 'POST'],
    ['HEAD', '/v1/explain', 'POST'],
    ['OPTIONS', '/v1/detach', 'POST'],
    ['POST', '/metrics', 'GET, HEAD'],
    ['PURGE', '/v1/events', 'GET, HEAD'],
  ])('does not do %s of %s', async (method, path, allow) => {
    const { app } = testApi();
    const response = await app.request(path, { method }, {});
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe(allow);
    if (method === 'HEAD') return;
    expect(await response.json()).toEqual({
      code: 'invalid',
      message: `${method} cannot be done here.`,
      cause: `This path has ${allow}.`,
      remedy: SEE,
    });
  });

  it('answers HEAD like GET, without a body, and opens no stream for it', async () => {
    const { ask, node } = testCluster();
    const answer = await ask('HEAD', '/v1/services/www');
    expect([answer.status, answer.text, answer.headers.get('etag')]).toEqual([200, '', '"1"']);
    for (let i = 0; i < 100; i++) expect((await ask('HEAD', '/v1/events')).status).toBe(200);
    expect(node.listeners).toBe(1);
    expect((await ask('HEAD', '/v1/services/nope')).status).toBe(404);
  });

  it('lets nobody keep or reinterpret an answer, and offers nothing to other origins', async () => {
    const { ask } = testApi();
    const answers = [
      await ask('GET', '/v1/status', undefined, { origin: 'https://example.org' }),
      await ask('GET', '/nope', undefined, { origin: 'https://example.org' }),
    ];
    for (const { headers } of answers) {
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });
});

describe('queries', () => {
  it.each([
    ['GET', '/v1/status?verbose=true', 'there is no field "verbose".'],
    ['POST', '/v1/pools?dryrun=true', 'there is no field "dryrun".'],
    ['POST', '/v1/pools?dryRun=1', 'dryRun: must be "true" or "false".'],
    ['POST', '/v1/pools?dryRun', 'dryRun: must be "true" or "false".'],
    ['POST', '/v1/pools?dryRun=true&dryRun=false', 'dryRun: must be "true" or "false".'],
    ['DELETE', '/v1/pools/web?force=yes', 'force: must be "true" or "false".'],
    [
      'GET',
      '/v1/doctor?interface=a/b',
      'interface: an interface name is 1 to 15 characters without space, / and :.',
    ],
    [
      'GET',
      '/v1/backends?pool=A',
      'pool: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
    ],
  ])('refuses %s %s', async (method, path, cause) => {
    const { ask, node } = testCluster();
    const body = method === 'POST' ? pool('x') : undefined;
    expect(told(await ask(method, path, body))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The query cannot be used.',
      cause,
      remedy: 'See GET /v1/openapi.json for what each request takes.',
    });
    expect(node.calls).toEqual([]);
  });

  it.each([
    '/v1/services/A',
    '/v1/services/%00',
    '/v1/services/%E0%A4%A',
    '/v1/services/a%2Fb',
    `/v1/pools/${'a'.repeat(64)}`,
  ])('refuses the name in %s', async (path) => {
    const { ask } = testApi();
    expect(told(await ask('GET', path))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The path cannot be used.',
      cause: 'name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
      remedy: 'See GET /v1/openapi.json for what each request takes.',
    });
  });
});

describe('bodies', () => {
  it.each([
    [{ 'content-type': 'text/plain' }, 'Content-Type is "text/plain".'],
    [
      { 'content-type': 'application/x-www-form-urlencoded' },
      'Content-Type is "application/x-www-form-urlencoded".',
    ],
    [
      { 'content-type': 'multipart/form-data; boundary=x' },
      'Content-Type is "multipart/form-data; boundary=x".',
    ],
    [{ 'content-type': 'application/jsonp' }, 'Content-Type is "application/jsonp".'],
    [
      { 'content-type': 'application/json; charset=latin1' },
      'Content-Type is "application/json; charset=latin1".',
    ],
  ])('must be JSON, not %j', async (headers, cause) => {
    const { ask, node } = testApi();
    for (const path of [
      '/v1/services',
      '/v1/pools',
      '/v1/apply',
      '/v1/explain',
      '/v1/detach',
      '/v1/capture',
    ]) {
      expect(told(await ask('POST', path, '{}', headers as unknown as Record<string, string>))).toEqual({
        status: 415,
        code: 'invalid',
        message: 'The body must be JSON in UTF-8.',
        cause,
        remedy: 'Send Content-Type: application/json, and {} where there is nothing to say.',
      });
    }
    expect(node.calls).toEqual([]);
  });

  it('must be there', async () => {
    const { ask, node } = testApi();
    expect(told(await ask('POST', '/v1/detach'))).toEqual({
      status: 415,
      code: 'invalid',
      message: 'The body must be JSON in UTF-8.',
      cause: 'Content-Type is missing.',
      remedy: 'Send Content-Type: application/json, and {} where there is nothing to say.',
    });
    expect(told(await ask('POST', '/v1/detach', undefined, JSON_TYPE))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The body is not JSON.',
      cause: 'Unexpected end of JSON input',
      remedy: 'Send {} where there is nothing to say.',
    });
    expect(node.calls).toEqual([]);
  });

  it('may say which charset they have', async () => {
    const { ask } = testApi();
    for (const type of ['application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"']) {
      expect((await ask('POST', '/v1/detach', '{}', { 'content-type': type })).status).toBe(200);
    }
  });

  it('that are not JSON are told where', async () => {
    const { ask } = testApi();
    expect(told(await ask('POST', '/v1/pools', '{"name": web}'))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The body is not JSON.',
      cause: expect.stringMatching(/Unexpected token 'w'/),
      remedy: 'Send JSON (RFC 8259).',
    });
  });

  it('must be UTF-8', async () => {
    const { app } = testApi();
    const body = Buffer.from([0x22, 0xff, 0x22]);
    const response = await app.request('/v1/pools', { method: 'POST', body, headers: JSON_TYPE }, {});
    expect([response.status, await response.json()]).toEqual([
      400,
      { code: 'invalid', message: 'The body is not UTF-8.', remedy: 'Send JSON in UTF-8.' },
    ]);
  });

  const tooLong = (cause: string) => ({
    code: 'limit',
    message: 'The body is longer than 4194304 bytes.',
    cause,
    remedy: 'Change the cluster in several requests.',
  });

  it('that announce too many bytes are not read', async () => {
    const { app } = testApi();
    let pulled = 0;
    const body = new ReadableStream({ pull: () => void pulled++ }, { highWaterMark: 0 });
    const headers = { ...JSON_TYPE, 'content-length': `${BODY_BYTES_MAX + 1}` };
    const request = new Request('http://x/v1/apply', {
      method: 'POST',
      body,
      headers,
      duplex: 'half',
    } as RequestInit);
    const response = await app.request(request, {}, {});
    expect([response.status, await response.json()]).toEqual([413, tooLong('It has 4194305 bytes.')]);
    expect(response.headers.get('connection')).toBe('close');
    // By what hands the stream on, before anybody asks.
    expect(pulled).toBeLessThanOrEqual(1);
  });

  it('that do not announce their length are read as far as the limit', async () => {
    const { app } = testApi();
    let sent = 0;
    let cancelled = false;
    const body = new ReadableStream(
      {
        pull(controller) {
          sent += 65_536;
          controller.enqueue(new Uint8Array(65_536).fill(0x20));
        },
        cancel() {
          cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const init = { method: 'POST', body, headers: JSON_TYPE, duplex: 'half' } as RequestInit;
    const response = await app.request(new Request('http://x/v1/apply', init), {}, {});
    expect([response.status, await response.json()]).toEqual([413, tooLong('It goes on after that.')]);
    expect(sent).toBeLessThanOrEqual(BODY_BYTES_MAX + 4 * 65_536);
    expect(cancelled).toBe(true);
  });

  it('of the limit are taken, so the largest cluster fits', async () => {
    const { ask } = testApi();
    const name = (at: number) => `${at}`.padStart(63, 'a');
    const address = (at: number) => `2001:db8:1111:2222:3333:4444:5555:${(at + 0x1000).toString(16)}`;
    const services = Array.from({ length: 1_024 }, (_, at) => ({
      name: name(at),
      addresses: Array.from({ length: 16 }, (_, it) => address(at * 16 + it)),
      protocol: 'udp',
      port: 65_535,
      pool: name(0),
      affinity: { prefixLength4: 24, prefixLength6: 64 },
      ignoreSourcePort: false,
      quic: { configRotation: 6, serverIdBytes: 4 },
    }));
    const backends = Array.from({ length: 4_095 }, (_, at) => ({
      ...backend(`${name(0)}/${name(at)}`, { address: address(at), guePort: 65_535, mtuBytes: 65_535 }),
      serverId: 4_294_967_295 - at,
    }));
    const pools = Array.from({ length: 1_024 }, (_, at) => pool(name(at)));
    const document = JSON.stringify({ services, pools, backends }, null, 2);
    expect(document.length).toBeLessThan(BODY_BYTES_MAX);
    const padded = document.padEnd(BODY_BYTES_MAX);
    // Sixteen times more services than the data plane takes: the rules refuse it, not its size.
    const answer = await ask('POST', '/v1/apply?dryRun=true', padded);
    expect(answer.json.code).toBe('limit');
    expect(answer.status).toBe(422);
  });

  it('that break off are a mistake of the client', async () => {
    const { app, logged } = testApi();
    const body = new ReadableStream({
      pull(controller) {
        controller.error(new Error('aborted'));
      },
    });
    const init = { method: 'POST', body, headers: JSON_TYPE, duplex: 'half' } as RequestInit;
    const response = await app.request(new Request('http://x/v1/apply', init), {}, {});
    expect([response.status, await response.json()]).toEqual([
      400,
      { code: 'invalid', message: 'The body broke off.', cause: 'aborted' },
    ]);
    expect(logged.some(({ level }) => level === 'error')).toBe(false);
  });

  it('cannot reach the prototypes of objects', async () => {
    const { ask, node } = testCluster();
    const patch = '{"weight": 1, "__proto__": {"index": 9}}';
    await ask('PATCH', '/v1/backends/web/b1', patch);
    await ask('PATCH', '/v1/services/www', '{"affinity": {"__proto__": {"polluted": true}}}');
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
    expect(node.cluster.backends.get('web/b1')!.index).toBe(1);
    expect((await ask('PATCH', '/v1/backends/web/b1', '{"constructor": {}}')).status).toBe(400);
  });
});

describe('failures of the node', () => {
  const codes = Object.keys(FAILURES) as FailureCode[];

  it.each(codes)('are answered with the status of the table: %s', async (code) => {
    const { app, node } = testApi();
    node.failure = new Failure(code, 'It did not work.', { reason: 'It rains.', remedy: 'Wait.' });
    const response = await app.request('/v1/status', {}, {});
    expect([response.status, await response.json()]).toEqual([
      FAILURES[code].status,
      { code, message: 'It did not work.', cause: 'It rains.', remedy: 'Wait.' },
    ]);
  });

  it('are logged where nobody else would notice', async () => {
    const { ask, node, logged } = testApi();
    node.failure = new Failure('unavailable', 'The store does not answer.', { reason: 'ECONNREFUSED' });
    await ask('POST', '/v1/pools', pool('web'));
    expect(logged).toContainEqual({
      level: 'warn',
      record: { operation: 'createPool', code: 'unavailable', cause: 'ECONNREFUSED' },
      message: 'The store does not answer.',
    });
    node.failure = new Failure('conflict', 'It exists.');
    await ask('POST', '/v1/pools', pool('web'));
    expect(logged.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });
});

describe('bugs', () => {
  it.each([
    new TypeError('x is not a function'),
    'a string',
    undefined,
    { code: 'invalid', message: 'fake' },
  ])('show nothing of themselves, but an id that the log has: %s', async (bug) => {
    const { ask, node, logged } = testApi();
    node.explain = () => Promise.reject(bug);
    const answer = await ask('POST', '/v1/explain', { frame: 'ff' });
    const id = logged.find(({ level }) => level === 'error')?.record.bugId as string;
    expect(id).toMatch(/^[0-9a-f]{8}$/);
    expect(told(answer)).toEqual({
      status: 500,
      code: 'internal',
      message: 'A bug in holdfastd stopped this request.',
      cause: `The log has it under ${id}.`,
      remedy: `Report what the log says: journalctl -u holdfastd --grep ${id}`,
    });
    expect(logged).toContainEqual({
      level: 'error',
      record: { bugId: id, operation: 'explain', err: bug },
      message: 'a bug stopped a request',
    });
  });
});

describe('the log', () => {
  it('has every request, writes louder than reads', async () => {
    const { ask, logged } = testApi({ nowMs: () => 1_000 });
    await ask('POST', '/v1/pools?dryRun=true', pool('web'));
    await ask('GET', '/v1/pools/web');
    await ask('GET', '/nope');
    const requests = logged.filter(({ message }) => message === 'request');
    expect(requests.map(({ level, record }) => [level, record])).toEqual([
      ['debug', expect.objectContaining({ operation: 'getOpenApi' })],
      [
        'info',
        {
          operation: 'createPool',
          method: 'POST',
          target: '/v1/pools?dryRun=true',
          status: 200,
          ms: 0,
          caller: { via: 'test' },
        },
      ],
      ['debug', expect.objectContaining({ operation: 'getPool', status: 404 })],
      ['debug', expect.objectContaining({ operation: 'none', target: '/nope', status: 404 })],
    ]);
  });

  it('does not let a client fill it with one request', async () => {
    const { ask, logged } = testApi();
    await ask('GET', `/${'a'.repeat(10_000)}`);
    const record = logged.findLast(({ message }) => message === 'request')!.record;
    expect(record.target).toHaveLength(300);
  });
});

it('plans again, with the same request, where another change came first', async () => {
  const { ask, node } = testApi();
  node.raced.push(() => [putPool(pool('web')), putBackend(backend('web/b1'))]);
  expect(told(await ask('POST', '/v1/pools', pool('web')))).toMatchObject({ status: 409, code: 'conflict' });
});
