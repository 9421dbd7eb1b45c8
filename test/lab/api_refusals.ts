// What the API refuses of single requests to a mux with the cluster WEB, and its words: data for api.test.ts.
import { expect } from 'vitest';
import { WEB } from './operator.ts';

export const NEW_BACKEND = { pool: 'web', name: 'b3', address: '198.18.200.13' };
export const NEW_SERVICE = { name: 'new', addresses: ['198.18.0.20'], pool: 'web' };

export type Row = [
  method: string,
  path: string,
  body: unknown,
  expected: object,
  headers?: Record<string, string>,
];

const openapi = 'See GET /v1/openapi.json for what each request takes.';
const none = (kind: string, name: string) => ({
  status: 404,
  code: 'not_found',
  message: `There is no ${kind} ${name}.`,
  remedy: `See those there are: holdfast ${kind}s list`,
});
const conflict = (what: string) => ({
  status: 409,
  code: 'conflict',
  message: `There is a ${what} already.`,
  remedy: 'Choose another name, or change the one that is there.',
});
const frameless = { cause: 'flow: is missing.', message: 'The body cannot be used.', remedy: openapi };
export const REFUSALS: readonly Row[] = [
  // 400
  [
    'POST',
    '/v1/pools',
    { name: 'A', slots: 0, x: 1 },
    {
      status: 400,
      code: 'invalid',
      message: 'The body cannot be used.',
      cause:
        'name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -; slots: must be at least 1; there is no field "x".',
      remedy: openapi,
    },
  ],
  [
    'POST',
    '/v1/pools',
    '{',
    {
      status: 400,
      code: 'invalid',
      message: 'The body is not JSON.',
      cause: "Expected property name or '}' in JSON at position 1 (line 1 column 2)",
      remedy: 'Send JSON (RFC 8259).',
    },
  ],
  [
    'POST',
    '/v1/services',
    { ...NEW_SERVICE, port: 80 },
    { status: 400, code: 'invalid', cause: 'port: protocol and port go together.' },
  ],
  [
    'POST',
    '/v1/backends',
    { ...NEW_BACKEND, address: 'b3.example.org' },
    { status: 400, cause: 'address: not an IPv4 or IPv6 address.' },
  ],
  [
    'POST',
    '/v1/apply',
    { services: [{ ...NEW_SERVICE, pool: 'nope' }] },
    {
      status: 400,
      code: 'invalid',
      message: 'Service new names pool nope, and there is none.',
      remedy: 'Add the pool first, or name another one.',
    },
  ],
  ['POST', '/v1/explain', {}, { status: 400, code: 'invalid', ...frameless }],
  ['POST', '/v1/explain', { frame: '00' }, { status: 400, message: 'A frame has 14 to 3300 bytes, not 1.' }],
  [
    'POST',
    '/v1/capture',
    { client: '1.2.3' },
    { status: 400, message: 'Client "1.2.3" is no IPv4 or IPv6 address.' },
  ],
  [
    'POST',
    '/v1/attach',
    { interface: 'a b' },
    { status: 400, cause: 'interface: an interface name is 1 to 15 characters without space, / and :.' },
  ],
  ['POST', '/v1/detach', { mode: 'native' }, { status: 400, cause: 'there is no field "mode".' }],
  [
    'PATCH',
    '/v1/backends/web/b1',
    { pool: 'spare' },
    {
      status: 400,
      code: 'invalid',
      message: 'The pool of backend web/b1 cannot be changed.',
      remedy: 'Add another one, and remove this one.',
    },
  ],
  [
    'PATCH',
    '/v1/pools/web',
    { health: { type: 'tcp', path: '/' } },
    {
      status: 400,
      message:
        'This change of pool web is not valid: health: path: is of type http and https, not tcp: leave it out, or change the type.',
    },
  ],
  [
    'PATCH',
    '/v1/services/web',
    { port: null },
    { status: 400, message: expect.stringContaining('protocol and port go together') },
  ],
  [
    'DELETE',
    '/v1/pools/web',
    undefined,
    {
      status: 400,
      code: 'invalid',
      message: 'A header cannot be used.',
      cause: 'if-match: must be * or entity tags, such as "17".',
      remedy: 'Send the ETag that GET answered for the pool.',
    },
    { 'if-match': 'nope' },
  ],
  ['GET', '/v1/pools/UP', undefined, { status: 400, message: 'The path cannot be used.' }],
  ['GET', '/v1/services/UP', undefined, { status: 400, message: 'The path cannot be used.' }],
  ['GET', '/v1/backends/UP/b1', undefined, { status: 400, message: 'The path cannot be used.' }],
  ['DELETE', '/v1/services/UP', undefined, { status: 400, message: 'The path cannot be used.' }],
  ['DELETE', '/v1/backends/web/UP', undefined, { status: 400, message: 'The path cannot be used.' }],
  [
    'GET',
    '/v1/events',
    undefined,
    { status: 400, cause: 'last-event-id: must have at most 100 characters.' },
    { 'last-event-id': 'x'.repeat(200) },
  ],
  ...[
    '/v1/status',
    '/v1/stats',
    '/v1/doctor',
    '/v1/services',
    '/v1/pools',
    '/v1/backends',
    '/v1/export',
    '/metrics',
    '/v1/openapi.json',
  ].map(
    (path): Row => [
      'GET',
      `${path}?x=1`,
      undefined,
      {
        status: 400,
        code: 'invalid',
        message: 'The query cannot be used.',
        cause: 'there is no field "x".',
        remedy: openapi,
      },
    ],
  ),
  [
    'POST',
    '/v1/pools?dryRun=yes',
    { name: 'a' },
    { status: 400, cause: 'dryRun: must be "true" or "false".' },
  ],
  // 404
  ['GET', '/v1/services/nope', undefined, none('service', 'nope')],
  ['PATCH', '/v1/services/nope', { port: null }, none('service', 'nope')],
  ['DELETE', '/v1/services/nope', undefined, none('service', 'nope')],
  ['GET', '/v1/pools/nope', undefined, none('pool', 'nope')],
  ['PATCH', '/v1/pools/nope', { slowStartMs: null }, none('pool', 'nope')],
  ['DELETE', '/v1/pools/nope', undefined, none('pool', 'nope')],
  ['GET', '/v1/backends?pool=nope', undefined, none('pool', 'nope')],
  ['GET', '/v1/backends/web/nope', undefined, none('backend', 'web/nope')],
  ['PATCH', '/v1/backends/web/nope', { weight: 1 }, none('backend', 'web/nope')],
  ['DELETE', '/v1/backends/web/nope', undefined, none('backend', 'web/nope')],
  [
    'POST',
    '/v1/explain',
    { frame: 'ff'.repeat(14), interface: 'eth9' },
    { status: 404, message: 'The program is not on eth9.', remedy: 'See holdfast status for where it is' },
  ],
  ['POST', '/v1/attach', { interface: 'eth9' }, { status: 404, message: 'There is no interface eth9.' }],
  [
    'POST',
    '/v1/detach',
    { interface: 'lo' },
    { status: 404, message: 'Nothing of Holdfast is attached to lo.', cause: 'It is on eth0.' },
  ],
  [
    'GET',
    '/v1/nope',
    undefined,
    {
      status: 404,
      code: 'not_found',
      message: 'There is nothing at this path.',
      cause: 'It is "/v1/nope".',
      remedy: 'See GET /v1/openapi.json.',
    },
  ],
  // 405, 406, 412, 415
  [
    'PUT',
    '/v1/services/web',
    {},
    {
      status: 405,
      code: 'invalid',
      message: 'PUT cannot be done here.',
      cause: 'This path has GET, PATCH, DELETE, HEAD.',
      remedy: 'See GET /v1/openapi.json.',
    },
  ],
  [
    'POST',
    '/v1/capture',
    {},
    {
      status: 406,
      code: 'invalid',
      message: 'A capture cannot be answered in the types that Accept names.',
      cause: 'There are application/x-pcapng and application/x-ndjson.',
      remedy: 'Name one of them.',
    },
    { accept: 'text/html' },
  ],
  ...(
    [
      ['DELETE', '/v1/pools/spare', undefined],
      ['PATCH', '/v1/pools/web', { slowStartMs: null }],
      ['PATCH', '/v1/services/web', { pool: 'web' }],
      ['DELETE', '/v1/services/web', undefined],
      ['PATCH', '/v1/backends/web/b1', { weight: 1 }],
      ['DELETE', '/v1/backends/web/b1', undefined],
    ] as const
  ).map(
    ([method, path, body]): Row => [
      method,
      path,
      body,
      {
        status: 412,
        code: 'conflict',
        message: expect.stringMatching(/^The \w+ [\w/]+ has changed since it was read\.$/),
        cause: expect.stringMatching(/^It is at revision \d+, and If-Match says "1"\.$/),
        remedy: 'Read it again, and repeat the change.',
      },
      { 'if-match': '"1"' },
    ],
  ),
  // 409
  ['POST', '/v1/services', WEB.services[0], conflict('service web')],
  ['POST', '/v1/pools', { name: 'web' }, conflict('pool web')],
  ['POST', '/v1/backends', WEB.backends[0], conflict('backend web/b1')],
  [
    'DELETE',
    '/v1/pools/web',
    undefined,
    { status: 409, code: 'in_use', message: 'Pool web is used by service web and has backends b1, b2.' },
  ],
  [
    'PATCH',
    '/v1/services/web',
    { pool: 'spare' },
    {
      status: 409,
      code: 'unsafe',
      message: 'Service web would have no backend: pool spare has none with a weight.',
    },
  ],
  [
    'POST',
    '/v1/apply',
    {},
    {
      status: 409,
      code: 'unsafe',
      message: 'The document has no service: it would remove service web.',
      cause: 'Nothing would be balanced any more.',
      remedy: 'Look whether the document is whole; if it is meant so, force the change.',
    },
  ],
  [
    'POST',
    '/v1/attach',
    { interface: 'eth0', mode: 'generic' },
    { status: 409, code: 'conflict', message: 'The program is on eth0 already, in native mode.' },
  ],
  [
    'PATCH',
    '/v1/backends/web/b1',
    { address: '2001:db8::6' },
    {
      status: 409,
      code: 'unsafe',
      message: 'Backend web/b1 is reached over IPv6, and mux node cannot send tunnels over that.',
    },
  ],
  // 422
  [
    'POST',
    '/v1/attach',
    { interface: 'lo', mode: 'native' },
    {
      status: 422,
      code: 'unsupported',
      message: 'The program cannot be attached to lo.',
      remedy: '`holdfast doctor lo` tells why; `xdpMode: generic` works with every driver, but is slow',
    },
  ],
];
