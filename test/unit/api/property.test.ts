// Whatever a client sends, it gets what the API declares, and no bug. A failure prints its seed and path: put them into
// the options of assert() to see it again.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failureSchema } from '../../../control/api/schema.ts';
import { FAILURES } from '../../../control/lib/failure.ts';
import { testCluster } from './lib/api.ts';
import { exchange, parsed } from './lib/connection.ts';
import { listening } from './lib/listening.ts';

const WITH_BODY = [
  ['POST', '/v1/services'],
  ['PATCH', '/v1/services/www'],
  ['POST', '/v1/pools'],
  ['POST', '/v1/backends'],
  ['PATCH', '/v1/backends/web/b1'],
  ['POST', '/v1/apply'],
  ['POST', '/v1/namespace'],
  ['POST', '/v1/namespace/import'],
  ['POST', '/v1/explain'],
  ['POST', '/v1/attach'],
  ['POST', '/v1/detach'],
] as const;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PURGE', 'M-SEARCH'];

const anyRoute = fc.constantFrom(...WITH_BODY);
const wordsOfTheApi = fc.constantFrom(
  ...[
    'v1',
    'services',
    'pools',
    'backends',
    'www',
    'web',
    'b1',
    'status',
    'export',
    'doctor',
    'openapi.json',
  ],
  ...[
    'metrics',
    '..',
    '.',
    '',
    '%2e%2e',
    '%',
    '%00',
    '%ff',
    ':name',
    '{name}',
    '*',
    '__proto__',
    'constructor',
  ],
);
const anySegment = fc.oneof(wordsOfTheApi, fc.string({ unit: 'binary' }).map(encodeURIComponentSafely));
const anyPath = fc.array(anySegment, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
const anyQuery = fc.array(
  fc.tuple(fc.constantFrom('dryRun', 'force', 'pool', 'interface', '__proto__', 'x', ''), fc.string()),
  { maxLength: 3 },
);

/** JSON with the names that the API knows, at any place. */
const { tree: anyKnownJson } = fc.letrec((tie) => ({
  key: fc.constantFrom(
    ...[
      'name',
      'pool',
      'address',
      'addresses',
      'protocol',
      'port',
      'weight',
      'affinity',
      'quic',
      'slots',
      'encap',
    ],
    ...[
      'services',
      'pools',
      'backends',
      'flow',
      'frame',
      'interface',
      'mode',
      '__proto__',
      'constructor',
      'toString',
    ],
  ),
  leaf: fc.oneof(
    fc.constantFrom(
      null,
      'www',
      'web',
      'b1',
      'tcp',
      'udp',
      '192.0.2.1',
      '::1',
      '::ffff:1.2.3.4',
      'ff',
      'native',
    ),
    fc.constantFrom(0, -0, -1, 80, 65_536, 1e308, 0.1, true, false, '', [], {}),
    fc.string({ unit: 'binary' }),
  ),
  tree: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.array(fc.tuple(tie('key'), tie('tree')), { maxLength: 6 }).map((pairs) => {
      const fields = pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
      return JSON.parse(`{${fields.join(',')}}`) as unknown;
    }),
  ),
}));

function encodeURIComponentSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function expectFailure(status: number, body: unknown): void {
  const failure = failureSchema.strict().parse(body);
  expect(failure.code).not.toBe('internal');
  expect(FAILURES[failure.code].status === status || [405, 406, 412, 413, 415].includes(status)).toBe(true);
}

describe('whatever is sent', () => {
  it('as a body of any bytes is a failure or a declared answer', async () => {
    const { app } = testCluster();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string().map((text) => Buffer.from(text)),
    );
    const types = fc.constantFrom(
      'application/json',
      'application/json;charset=utf-8',
      'text/plain',
      'x',
      '',
    );
    await fc.assert(
      fc.asyncProperty(anyRoute, bytes, types, async ([method, path], body, type) => {
        const headers = type === '' ? {} : { 'content-type': type };
        const response = await app.request(path, { method, body: new Uint8Array(body), headers }, {});
        const answer = await response.json();
        if (response.status !== 200) expectFailure(response.status, answer);
      }),
      { numRuns: 500 },
    );
  });

  it('as any JSON is a failure or a declared answer', async () => {
    const { ask, node } = testCluster();
    const start = node.cluster;
    const json = fc.oneof(anyKnownJson, fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(anyRoute, json, async ([method, path], body) => {
        node.cluster = start;
        const answer = await ask(method, path, JSON.stringify(body), { 'content-type': 'application/json' });
        if (answer.status !== 200) expectFailure(answer.status, answer.json);
      }),
      { numRuns: 1_000 },
    );
  });

  it('as a path and a query is a failure or a declared answer', async () => {
    const { ask, node } = testCluster();
    const start = node.cluster;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...METHODS.slice(2)),
        anyPath,
        anyQuery,
        async (method, path, query) => {
          fc.pre(method !== 'TRACE');
          node.cluster = start;
          const pairs = query.map(([key, value]): [string, string] => [key, value.toWellFormed()]);
          const answer = await ask(method, `${path}?${new URLSearchParams(pairs)}`);
          if (answer.status !== 200) expectFailure(answer.status, answer.json);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('as headers is a failure or a declared answer', async () => {
    const { app } = testCluster();
    const name = fc.constantFrom(
      'if-match',
      'last-event-id',
      'accept',
      'content-type',
      'content-length',
      'expect',
    );
    const value = fc.string().filter((text) => /^[\x20-\x7e]*$/.test(text));
    await fc.assert(
      fc.asyncProperty(anyRoute, name, value, async ([method, path], header, text) => {
        const headers = { 'content-type': 'application/json', [header]: text };
        const response = await app.request(path, { method, body: '{}', headers }, {});
        const answer = await response.json();
        if (response.status !== 200) expectFailure(response.status, answer);
      }),
      { numRuns: 300 },
    );
  });

  it('as raw bytes on the socket is answered with HTTP, or not at all', async () => {
    const { path } = await listening({
      limits: { headTimeoutMs: 50, requestTimeoutMs: 50, idleTimeoutMs: 50 },
    });
    const target = fc.oneof(
      anyPath,
      fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/[\s\0]/g, '')),
      fc
        .uint8Array({ maxLength: 40 })
        .map((bytes) => `/${Buffer.from(bytes).toString('latin1')}`.replaceAll(/\s/g, '')),
    );
    const request = fc
      .tuple(fc.constantFrom(...METHODS.filter((it) => it !== 'HEAD')), target, fc.string({ unit: 'binary' }))
      .map(([method, to, extra]) => `${method} ${to} HTTP/1.1\r\nConnection: close\r\n${extra}\r\n\r\n`);
    const bytes = fc.oneof(
      { weight: 4, arbitrary: request.map((text) => Buffer.from(text, 'latin1')) },
      {
        weight: 1,
        arbitrary: fc.uint8Array({ minLength: 1 }).map((it) => Buffer.concat([it, Buffer.from('\r\n\r\n')])),
      },
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const raw = await exchange(path, sent);
        if (raw === '') return;
        const text = raw.startsWith('HTTP/1.1 200') ? undefined : parsed(raw);
        if (text !== undefined) expectStatusOfHttp(text.status, text.body);
      }),
      { numRuns: 150 },
    );
  });
});

function expectStatusOfHttp(status: number, body: unknown): void {
  if (status === 408 || status === 431) failureSchema.strict().parse(body);
  else expectFailure(status, body);
}
