// The API of a holdfastd over its socket: every route, every status that a route declares, and the words that come
// with it.
import { readFileSync, statSync, unlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { capturedPacketSchema, eventSchema, type Stats } from '../../control/api/schema.ts';
import type { FailureBody } from '../../control/lib/failure.ts';
import { type Document, expectDeclared, operationOf } from '../unit/api/lib/conformity.ts';
import { ask, head } from '../unit/api/lib/connection.ts';
import { readPcapng } from '../unit/api/lib/pcapng_reader.ts';
import { readMetrics } from '../unit/api/lib/prometheus_reader.ts';
import { NEW_BACKEND, NEW_SERVICE, REFUSALS } from './api_refusals.ts';
import type { LabDaemon } from './daemon.ts';
import { Operator, WEB } from './operator.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

const SERVICE = '198.18.0.10';

let lab: SingleLab;
let operator: Operator;
let backendNode: LabDaemon;
let document: Document;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
  // Until then the mux decides nothing.
  await lab.daemon.answers(({ cluster }) => cluster?.state === 'member' && !cluster.pastDeadline);
  backendNode = lab.daemonCalled('other');
  lab.addLink('back0');
  backendNode.configure(lab.nodeFile(backendNode, { roles: ['backend'], interface: 'back0' }));
  await backendNode.start();
  document = (await sent('GET', '/v1/openapi.json')).json as Document;
});
afterAll(() => lab?.down());
const restoring = () => beforeEach(() => operator.restore());

type Sent = { readonly status: number; readonly json: unknown; readonly text: string; readonly etag: string };
type Extra = { readonly headers?: Record<string, string>; readonly daemon?: LabDaemon };

/** Statuses that were answered, by operation. */
const met = new Map<string, Set<number>>();

/** Every answer is held to the OpenAPI document that the daemon itself gives. */
async function sent(method: string, path: string, body?: unknown, extra: Extra = {}): Promise<Sent> {
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const { socket: socketPath } = (extra.daemon ?? lab.daemon).place;
  const answer = await ask(
    { socketPath, method, path, headers: { ...type, ...extra.headers } },
    body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  );
  const { status, headers, text } = answer;
  const json: unknown = headers['content-type'] === 'application/json' ? JSON.parse(text) : undefined;
  if (document !== undefined) {
    expectDeclared(document, method, path, { status, type: headers['content-type'], body: json });
    remember(method, path, status);
  }
  return { status, json, text, etag: headers.etag ?? '' };
}

function remember(method: string, path: string, status: number): void {
  const { operationId } = operationOf(document, method, path) ?? { operationId: 'none' };
  met.set(operationId, (met.get(operationId) ?? new Set()).add(status));
}

async function refusal(method: string, path: string, body?: unknown, extra?: Extra) {
  const { status, json } = await sent(method, path, body, extra);
  return { status, ...(json as FailureBody) };
}

describe('the socket', () => {
  it('is for root alone', () => {
    const { mode, uid, gid } = statSync(operator.socket);
    expect({ mode: mode & 0o7777, uid, gid }).toEqual({ mode: 0o600, uid: 0, gid: 0 });
  });
});

describe('every route answers', () => {
  restoring();

  it.each(['/v1/status', '/v1/stats', '/v1/doctor', '/v1/export', '/v1/openapi.json', '/metrics'])(
    'GET %s',
    async (path) => {
      expect((await sent('GET', path)).status).toBe(200);
    },
  );

  it.each([
    ['/v1/services', ['web']],
    ['/v1/pools', ['spare', 'web']],
    ['/v1/backends', ['b1', 'b2']],
    ['/v1/backends?pool=spare', []],
  ])('GET %s has %j', async (path, names) => {
    const { items } = (await sent('GET', path)).json as { items: { name: string }[] };
    expect(items.map(({ name }) => name)).toEqual(names);
  });

  it.each(['/v1/services/web', '/v1/pools/web', '/v1/backends/web/b1'])('GET %s', async (path) => {
    const { status, json, etag } = await sent('GET', path);
    expect(status).toBe(200);
    expect(etag).toBe(`"${(json as { revision: number }).revision}"`);
  });

  it('writes', async () => {
    for (const [method, path, body] of [
      ['POST', '/v1/pools', { name: 'third' }],
      ['POST', '/v1/backends', NEW_BACKEND],
      ['POST', '/v1/services', NEW_SERVICE],
      ['PATCH', '/v1/services/new', { protocol: 'tcp', port: 81 }],
      ['PATCH', '/v1/backends/web/b3', { weight: 5, mtuBytes: null }],
      ['PATCH', '/v1/pools/third', { slowStartMs: 5_000 }],
      ['DELETE', '/v1/services/new'],
      ['DELETE', '/v1/backends/web/b3'],
      ['DELETE', '/v1/pools/third'],
    ] as const) {
      const { json } = await sent(method, `${path}?dryRun=true`, body);
      expect(json).toMatchObject({ dryRun: true });
      const done = await sent(method, path, body);
      expect({ method, path, ...(done.json as object) }).toMatchObject({
        dryRun: false,
        changes: (json as { changes: unknown[] }).changes,
      });
    }
    expect((await sent('POST', '/v1/apply', WEB)).json).toMatchObject({ changes: [] });
  });

  it('POST /v1/explain, on a mux and on a backend', async () => {
    const flow = { source: '192.0.2.7', destination: SERVICE, destinationPort: 80 };
    // For which reason depends on whether its slot is in a change.
    expect((await sent('POST', '/v1/explain', { flow })).json).toMatchObject({ verdict: 'FORWARD' });
    const decap = await sent('POST', '/v1/explain', { flow }, { daemon: backendNode });
    expect(decap.json).toMatchObject({ reason: 'PASS_NOT_TUNNELLED' });
  });

  it('POST /v1/detach and /v1/attach', async () => {
    expect((await sent('POST', '/v1/detach', {})).json).toEqual({ items: [] });
    expect((await sent('POST', '/v1/attach', {})).json).toMatchObject({ items: [{ interface: 'eth0' }] });
  });

  it('POST /v1/capture, as pcapng and as lines of JSON', async () => {
    const capture = async (accept?: string) => {
      const response = await head(
        {
          socketPath: operator.socket,
          method: 'POST',
          path: '/v1/capture',
          headers: { 'content-type': 'application/json', ...(accept !== undefined && { accept }) },
        },
        JSON.stringify({ packets: 2, reasons: ['PASS_NO_SUCH_PORT'] }),
      );
      remember('POST', '/v1/capture', response.statusCode!);
      lab.sendDatagrams(SERVICE, 99, 2);
      const bytes = Buffer.concat((await response.toArray()) as Buffer[]);
      return { type: response.headers['content-type'], bytes };
    };
    const pcapng = await capture();
    expect(pcapng.type).toBe('application/x-pcapng');
    expect(readPcapng(pcapng.bytes).packets).toHaveLength(2);
    const json = await capture('application/x-ndjson');
    const packets = json.bytes.toString().trimEnd().split('\n');
    expect(packets.map((line) => capturedPacketSchema.parse(JSON.parse(line)).reason)).toEqual(
      Array(2).fill('PASS_NO_SUCH_PORT'),
    );
  });

  it('GET /v1/events, and goes on where a reader was', async () => {
    const listen = async (lastId?: string) => {
      const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': lastId };
      const response = await head({ socketPath: operator.socket, path: '/v1/events', headers });
      remember('GET', '/v1/events', response.statusCode!);
      expect(response.headers['content-type']).toBe('text/event-stream');
      return response;
    };
    const firstEvents = async (response: Awaited<ReturnType<typeof listen>>, pattern: RegExp) => {
      let text = '';
      for await (const chunk of response) {
        text += String(chunk);
        if (pattern.test(text)) break;
      }
      return text;
    };
    const text = firstEvents(await listen(), /"kind":"applied".*\n\n/);
    await sent('PATCH', '/v1/backends/web/b1', { weight: 9 });
    const found = [...(await text).matchAll(/id: (.*)\ndata: (.*)\n\n/g)];
    const events = found.map((match) => eventSchema.parse(JSON.parse(match[2]!)));
    // Versions of changes that were made before, and wait for their next step, come whenever they come.
    const { revision } = events.find(({ kind }) => kind === 'changed')!;
    const kinds = events.filter((it) => it.revision === revision).map(({ kind }) => kind);
    expect(kinds).toEqual(['changed', 'version', 'applied']);
    const again = await firstEvents(await listen(found[0]![1]), /\n\n/);
    expect(again).toContain(`id: ${found[1]![1]}\n`);
  });
});

describe('a request is refused', () => {
  restoring();

  it.each(REFUSALS)('%s %s %j', async (method, path, body, expected, headers) => {
    expect(await refusal(method, path, body, headers && { headers })).toMatchObject(expected);
  });

  const BODIES = [
    'services',
    'pools',
    'backends',
    'apply',
    'explain',
    'attach',
    'detach',
    'capture',
  ] as const;
  const withBody = [
    ...BODIES.map((name) => ['POST', `/v1/${name}`] as const),
    ['PATCH', '/v1/services/web'] as const,
    ['PATCH', '/v1/pools/web'] as const,
    ['PATCH', '/v1/backends/web/b1'] as const,
  ];
  it.each(withBody)('%s %s: the body is no JSON, or too long', async (method, path) => {
    expect(await refusal(method, path, '{}', { headers: { 'content-type': 'text/plain' } })).toEqual({
      status: 415,
      code: 'invalid',
      message: 'The body must be JSON in UTF-8.',
      cause: 'Content-Type is "text/plain".',
      remedy: 'Send Content-Type: application/json, and {} where there is nothing to say.',
    });
    const announced = { 'content-type': 'application/json', 'content-length': String(5 << 20) };
    const answer = new Promise<number>((resolve, reject) => {
      const it = request({ socketPath: operator.socket, method, path, headers: announced, agent: false });
      it.once('response', (response) => resolve(response.destroy().statusCode!)).once('error', reject);
      it.flushHeaders();
    });
    expect(await answer).toBe(413);
    remember(method, path, 413);
  });

  it('to take the last backend of a service away, unless by force', async () => {
    await sent('DELETE', '/v1/backends/web/b1');
    expect(await refusal('DELETE', '/v1/backends/web/b2')).toEqual({
      status: 409,
      code: 'unsafe',
      message: 'Service web would have no backend: pool web has none with a weight.',
      cause: 'Its packets would be dropped.',
      remedy: 'Add a backend or give one a weight first, or force the change.',
    });
    expect((await sent('DELETE', '/v1/backends/web/b2?force=true')).status).toBe(200);
  });

  it('for what a backend node does not do', async () => {
    expect(await refusal('POST', '/v1/capture', {}, { daemon: backendNode })).toEqual({
      status: 422,
      code: 'unsupported',
      message: 'This node cannot capture packets.',
      cause: 'it is no mux',
      remedy: 'Ask a node that has the role mux',
    });
  });

  it('while another capture runs', async () => {
    const headers = { 'content-type': 'application/json' };
    const path = '/v1/capture';
    const first = await head(
      { socketPath: operator.socket, method: 'POST', path, headers },
      '{"reasons":["DROP"]}',
    );
    expect(await refusal('POST', path, {})).toEqual({
      status: 409,
      code: 'conflict',
      message: 'Somebody captures already.',
      remedy: 'One capture runs at a time; wait until it ends',
    });
    first.destroy();
    await eventually(
      async () => ((await lab.daemon.client.status()).capturing ? undefined : true),
      'the end of the capture',
    );
  });

  it('when too many listen to events', async () => {
    const socketPath = operator.socket;
    const listen = () => head({ socketPath, path: '/v1/events' });
    const listeners = await Promise.all(Array.from({ length: 64 }, listen));
    expect(await refusal('GET', '/v1/events')).toEqual({
      status: 422,
      code: 'limit',
      message: '64 clients listen to events already.',
      remedy: 'Close some of them.',
    });
    for (const it of listeners) it.destroy();
    await eventually(async () => {
      const next = await listen();
      next.destroy();
      return next.statusCode === 200 || undefined;
    }, 'room for a listener');
  });
});

describe('a cluster that is full', () => {
  restoring();

  const full = {
    services: Array.from({ length: 32 }, (_, index) => ({
      name: `s${index}`,
      addresses: Array.from({ length: 16 }, (_, at) => `10.${index}.0.${at}`),
      protocol: 'tcp',
      port: 80,
      pool: 'p0',
    })),
    pools: Array.from({ length: 1_024 }, (_, index) => ({
      name: `p${index}`,
      slots: index === 0 ? 4_096 : 1,
    })),
    // Two indexes are still those of the backends before.
    backends: Array.from({ length: 4_093 }, (_, index) => ({
      pool: 'p0',
      name: `b${index}`,
      address: '198.18.200.11',
    })),
  };

  it('takes no more, and says what is full', async () => {
    await operator.restore(full);
    await operator.restore({
      ...full,
      backends: [
        ...full.backends,
        ...['x', 'y'].map((name) => ({ pool: 'p0', name, address: '198.18.200.12' })),
      ],
    });
    expect((await lab.daemon.client.status()).limits).toMatchObject({
      services: { used: 1_024, max: 1_024 },
      pools: { used: 1_024, max: 1_024 },
      backends: { used: 4_095, max: 4_095 },
    });
    const records = {
      status: 422,
      code: 'limit',
      cause: 'Each address has a record, and each port of each address another.',
      remedy: 'Services for every port of an address need no record for their ports.',
    };
    const service = { ...NEW_SERVICE, pool: 'p0' };
    expect(await refusal('POST', '/v1/services', service)).toEqual({
      ...records,
      message: 'There would be 1025 records of services, and there can be 1024 (SERVICE_RECORDS_MAX).',
    });
    expect(await refusal('POST', '/v1/pools', { name: 'more', slots: 1 })).toEqual({
      status: 422,
      code: 'limit',
      message: 'There would be 1025 pools, and there can be 1024 (POOLS_MAX).',
    });
    expect(await refusal('POST', '/v1/backends', { ...NEW_BACKEND, pool: 'p0', name: 'z' })).toEqual({
      status: 422,
      code: 'limit',
      message: 'There would be 4096 backends, and there can be 4095 (BACKENDS_MAX).',
    });
    expect(await refusal('PATCH', '/v1/backends/p0/x', { address: '198.18.200.13' })).toEqual({
      status: 422,
      code: 'limit',
      message: 'There is no index left for backend p0/x.',
      cause: 'All 4095 (BACKENDS_MAX) are taken, also those of removed backends that still serve flows.',
      remedy: 'Remove backends first, and add the others once their flows have ended.',
    });
    const pools = [...full.pools, { name: 'more', slots: 1 }];
    expect((await refusal('POST', '/v1/apply', { ...full, pools })).status).toBe(422);
    // One address less leaves room for a service of every port.
    const fewer = full.services[0]!.addresses.slice(1);
    expect((await sent('PATCH', '/v1/services/s0', { addresses: fewer })).status).toBe(200);
    expect((await sent('POST', '/v1/services', service)).status).toBe(200);
    const both = { protocol: 'tcp', port: 80, addresses: [...service.addresses, '198.18.0.21'] };
    expect(await refusal('PATCH', '/v1/services/new', both)).toMatchObject({ ...records });
    // Indexes are free for others from the next change on.
    await operator.restore({});
  });
});

describe('changes are made to what was read', () => {
  restoring();

  it('with If-Match', async () => {
    const { etag } = await sent('GET', '/v1/backends/web/b1');
    const headers = { 'if-match': etag };
    expect((await sent('PATCH', '/v1/backends/web/b1', { weight: 3 }, { headers })).status).toBe(200);
    expect((await sent('PATCH', '/v1/backends/web/b1', { weight: 4 }, { headers })).status).toBe(412);
    expect((await sent('GET', '/v1/backends/web/b1')).json).toMatchObject({ weight: 3 });
  });

  it('by many at once, none lost', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => sent('POST', '/v1/pools', { name, slots: 1 })));
    const { items } = (await sent('GET', '/v1/pools')).json as { items: { name: string }[] };
    expect(items.map(({ name }) => name)).toEqual([...names, 'spare', 'web']);
  });
});

describe('metrics', () => {
  restoring();

  it('count what stats counts', async () => {
    lab.sendDatagrams(SERVICE, 99, 7);
    // Packets of the host may come in between.
    const { stats, families } = await eventually(async () => {
      const before = (await sent('GET', '/v1/stats')).json as Stats;
      const families = readMetrics((await sent('GET', '/metrics')).text);
      const after = (await sent('GET', '/v1/stats')).json as Stats;
      const isSame = JSON.stringify(before.reasons) === JSON.stringify(after.reasons);
      return isSame ? { stats: before, families } : undefined;
    }, 'a moment without packets');
    const by = (family: string, ...labels: string[]) =>
      Object.fromEntries(
        families
          .get(family)!
          .samples.map((it) => [labels.map((name) => it.labels[name]).join('/'), it.value]),
      );
    expect(by('holdfast_packets_total', 'reason')).toEqual(stats.reasons);
    expect(stats.reasons.PASS_NO_SUCH_PORT).toBeGreaterThanOrEqual(7);
    for (const [family, field] of [
      ['packets', 'packets'],
      ['bytes', 'bytes'],
      ['new_flows', 'newFlows'],
    ] as const) {
      expect(by(`holdfast_service_${family}_total`, 'service')).toEqual(
        Object.fromEntries(stats.services.map((it) => [it.name, it[field]])),
      );
      expect(by(`holdfast_backend_${family}_total`, 'pool', 'backend')).toEqual(
        Object.fromEntries(stats.backends.map((it) => [`${it.pool}/${it.name}`, it[field]])),
      );
    }
  });
});

describe('a daemon that has lost its store', () => {
  beforeAll(() => operator.restore());

  it('says so of every change, and answers all else', async () => {
    unlinkSync(join(lab.directory, 'store.db'));
    for (const [method, path, body] of [
      ['POST', '/v1/pools', { name: 'third' }],
      ['DELETE', '/v1/pools/spare'],
      ['POST', '/v1/backends', NEW_BACKEND],
      ['PATCH', '/v1/backends/web/b1', { weight: 5 }],
      ['DELETE', '/v1/backends/web/b1'],
      ['POST', '/v1/services', NEW_SERVICE],
      ['PATCH', '/v1/services/web', { port: 81 }],
      ['PATCH', '/v1/pools/web', { slowStartMs: null }],
      ['DELETE', '/v1/services/web'],
      ['POST', '/v1/apply', WEB],
    ] as const) {
      expect({ method, path, ...(await refusal(method, path, body)) }).toEqual({
        method,
        path,
        status: 503,
        code: 'unavailable',
        message: `The store ${lab.directory}/store.db was removed.`,
        cause: 'this process still has the file that was there when it started, and other processes do not',
        remedy: 'Put the file back if you can, then restart every holdfastd of this host',
      });
    }
    expect((await sent('GET', '/v1/services/web')).status).toBe(200);
    // So that it ends in peace, and other files find its log without bugs.
    expect(readFileSync(lab.daemon.logPath, 'utf8')).not.toContain('"level":50');
  });
});

/**
 * What needs other muxes, or a lack of some: test/unit/api/tracked_routes.test.ts has them; and what forms a cluster, which
 * is test/lab/trust.test.ts. Those of the namespace are in test/unit/api/namespace.test.ts and test/lab/namespace.test.ts, those
 * of the file service in test/unit/api/files_routes.test.ts and test/lab/files.test.ts.
 */
const OF_OTHERS: ReadonlySet<string> = new Set([
  'planDocument',
  'listNodes',
  'getNode',
  'drainNode',
  'removeNode',
  'getKeys',
  'rotateKeys',
  'getChanges',
  'listFlows',
  'topFlows',
  'getFlow',
  'listAffinities',
  'getAffinity',
  'releaseAffinity',
  'getMembers',
  'initCluster',
  'joinCluster',
  'leaveCluster',
  'rotateCluster',
  'createToken',
  'removeToken',
  'addUser',
  'setUser',
  'removeUser',
  'renewCertificate',
  'getNamespace',
  'changeNamespace',
  'exportNamespace',
  'importNamespace',
  'getFilesStats',
  'listFileClients',
]);

describe('in all of this', () => {
  /** What only a bug, a stuck kernel or a stuck program makes; for those there are unit tests. */
  const unreached = (operation: string, status: number, isWrite: boolean): boolean =>
    status === 500 ||
    status === 504 ||
    (status === 503 && !isWrite) ||
    (status === 422 && (operation.startsWith('delete') || operation === 'explain')) ||
    (status === 409 && operation === 'deleteService') ||
    // How a pool is checked takes nothing from anybody, and no room.
    ((status === 409 || status === 422) && operation === 'patchPool') ||
    (status === 404 && operation === 'doctor');

  it('every declared status of every operation was met', () => {
    const missing = Object.values(document.paths)
      .flatMap((methods) => Object.entries(methods))
      .filter(([, { operationId }]) => !OF_OTHERS.has(operationId))
      .flatMap(([method, { operationId, responses }]) => {
        const isWrite = method !== 'get' && !['explain', 'attach', 'detach', 'capture'].includes(operationId);
        return Object.keys(responses)
          .map(Number)
          .filter((status) => !unreached(operationId, status, isWrite))
          .filter((status) => met.get(operationId)?.has(status) !== true)
          .map((status) => `${operationId} ${status}`);
      });
    expect(missing).toEqual([]);
  });
});
