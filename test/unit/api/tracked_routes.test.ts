// The routes of nodes, changes, plans and flows pass on what they are asked and answer what the node says.
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { backend, pool } from '../pool/lib/cluster.ts';
import { testApi, testCluster, told } from './lib/api.ts';
import { CHANGES, FLOW_REPORT, FLOWS, FLOWS_TOP, MUX1, MUX2 } from './lib/tracked.ts';

describe('nodes', () => {
  it('are listed, and shown with what draining and removing may be tied to', async () => {
    const { ask, node } = testApi();
    node.muxes = [MUX1, MUX2];
    expect((await ask('GET', '/v1/nodes')).json).toEqual({ items: [MUX1, MUX2] });
    const one = await ask('GET', '/v1/nodes/mux2');
    expect(one.json).toEqual(MUX2);
    expect(one.headers.get('etag')).toBe('"2-77-member"');
  });

  it('that there are not are not found', async () => {
    const { ask } = testApi();
    expect(told(await ask('GET', '/v1/nodes/mux9'))).toEqual({
      status: 404,
      code: 'not_found',
      message: 'There is no node mux9.',
      remedy: 'See those there are: holdfast nodes list',
    });
  });

  it('are drained, and taken back', async () => {
    const { ask, node } = testApi();
    expect((await ask('POST', '/v1/nodes/mux1/drain', {})).json).toMatchObject({ action: 'drain' });
    expect((await ask('POST', '/v1/nodes/mux1/drain?dryRun=true', { undo: true })).json).toMatchObject({
      action: 'undo drain',
      dryRun: true,
    });
    expect(node.calls).toEqual([
      { method: 'drainNode', argument: { name: 'mux1', undo: false, dryRun: false, force: false } },
      { method: 'drainNode', argument: { name: 'mux1', undo: true, dryRun: true, force: false } },
    ]);
  });

  it('are forgotten only as they were when they were read, where the caller says so', async () => {
    const { ask } = testApi();
    const of = (etag: string) => ask('DELETE', '/v1/nodes/mux1', undefined, { 'if-match': etag });
    expect((await of('"1-77-member"')).status).toBe(200);
    expect(told(await of('"1-76-member"'))).toEqual({
      status: 412,
      code: 'conflict',
      message: 'The node mux1 has changed since it was read.',
      cause: 'It is member, incarnation 77, and If-Match says "1-76-member".',
      remedy: 'Read it again, and repeat the change.',
    });
    expect(told(await of('nonsense'))).toMatchObject({
      status: 400,
      remedy: 'Send the ETag that GET answered for the node.',
    });
  });

  it('have a key, which is changed, one change at a time', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/keys')).json).toEqual({ step: 4, state: 'steady', lacking: [] });
    expect((await ask('POST', '/v1/keys/rotate', {})).json).toMatchObject({ step: 5, state: 'learning' });
    node.failure = new Failure('conflict', 'the key is being changed already');
    expect((await ask('POST', '/v1/keys/rotate', {})).status).toBe(409);
  });

  it('are refused in the words of the node', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unsafe', 'mux1 is the last mux that serves', {
      reason: 'nobody is there to hand its flows to',
      remedy: 'let another mux join first, or force it',
    });
    expect(told(await ask('POST', '/v1/nodes/mux1/drain', {}))).toMatchObject({
      status: 409,
      code: 'unsafe',
    });
  });

  it.each([
    ['POST', '/v1/nodes/mux1/drain', { back: true }, 'there is no field "back".'],
    [
      'POST',
      '/v1/nodes/MUX/drain',
      {},
      'name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
    ],
    ['DELETE', '/v1/nodes/mux1?dryrun=true', undefined, 'there is no field "dryrun".'],
  ])('%s %s %j is refused', async (method, path, body, cause) => {
    const { ask, node } = testApi();
    expect(told(await ask(method, path, body))).toMatchObject({ status: 400, code: 'invalid', cause });
    expect(node.calls).toEqual([]);
  });
});

describe('changes and plans', () => {
  it('are what the node says', async () => {
    const { ask } = testApi();
    expect((await ask('GET', '/v1/changes')).json).toEqual(CHANGES);
  });

  it('of a document say how slots would move, and write nothing', async () => {
    const { ask, node } = testCluster();
    const { revision } = node.cluster;
    const body = { pools: [pool('web')], backends: [backend('web/b1')] };
    const { json } = await ask('POST', '/v1/plan?force=true', body);
    expect(json).toMatchObject({
      dryRun: true,
      revision,
      plan: [{ pool: 'web', steps: [{ step: 'track' }, {}, {}] }],
    });
    expect(node.cluster.revision).toBe(revision);
    expect(told(await ask('POST', '/v1/plan', { pools: [], services: [] }))).toMatchObject({
      code: 'unsafe',
    });
    expect(told(await ask('POST', '/v1/plan?dryRun=true', body))).toMatchObject({ status: 400 });
  });

  it('are on every dry run, and on none that is none', async () => {
    const { ask } = testCluster();
    const dry = await ask('PATCH', '/v1/backends/web/b1?dryRun=true', { weight: 0 });
    expect(dry.json.plan).toHaveLength(1);
    expect((await ask('PATCH', '/v1/backends/web/b1', { weight: 0 })).json).not.toHaveProperty('plan');
  });
});

describe('flows', () => {
  it('are listed with what is selected, and defaults filled in', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/flows')).json).toEqual(FLOWS);
    await ask(
      'GET',
      '/v1/flows?pool=web&slot=7&state=nascent&old=true&role=backup&limit=5&after=mux2:9&local=true',
    );
    expect(node.calls.map(({ argument }) => argument)).toEqual([
      { selection: { old: false, role: 'owner' }, options: { limit: 100, local: false } },
      {
        selection: { pool: 'web', slot: 7, state: 'nascent', old: true, role: 'backup' },
        options: { limit: 5, local: true, after: 'mux2:9' },
      },
    ]);
  });

  it('are counted', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/flows/top?by=client')).json).toEqual({ ...FLOWS_TOP, by: 'client' });
    expect(node.calls[0]!.argument).toEqual({
      by: 'client',
      selection: { old: false, role: 'owner' },
      options: { limit: 20, local: false },
    });
  });

  it('are shown by name', async () => {
    const { ask, node } = testApi();
    const name = encodeURIComponent('[2001:db8::7]:4242>[2001:DB8::10]:443/udp');
    expect((await ask('GET', `/v1/flows/${name}?local=true`)).json).toEqual(FLOW_REPORT);
    expect(node.calls[0]!.argument).toEqual({
      name: {
        protocol: 'udp',
        source: '2001:db8::7',
        sourcePort: 4242,
        destination: '2001:db8::10',
        destinationPort: 443,
      },
      options: { local: true },
    });
  });

  it.each([
    'tcp',
    '192.0.2.7:4242>198.18.0.10:80',
    '192.0.2.7:4242>198.18.0.10:80/icmp',
    '192.0.2.7>198.18.0.10:80/tcp',
    '192.0.2.7:99999>198.18.0.10:80/tcp',
    '[192.0.2.7]:1>198.18.0.10:80/tcp',
    '2001:db8::1:1>[2001:db8::2]:80/tcp',
    '192.0.2.7:1>[2001:db8::2]:80/tcp',
  ])('are not named by %s', async (text) => {
    const { ask, node } = testApi();
    expect(told(await ask('GET', `/v1/flows/${encodeURIComponent(text)}`))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'That names no flow.',
      cause: `It is ${JSON.stringify(text)}.`,
      remedy: 'Write CLIENT:PORT>ADDRESS:PORT/tcp, such as 192.0.2.7:4242>198.18.0.10:80/tcp',
    });
    expect(node.calls).toEqual([]);
  });

  it.each([
    ['/v1/flows?slot=7', 'A slot is one of a pool, and no pool is named.'],
    ['/v1/flows?limit=0', 'The query cannot be used.'],
    ['/v1/flows?limit=1001', 'The query cannot be used.'],
    ['/v1/flows?backend=b1', 'The query cannot be used.'],
    ['/v1/flows?state=dead', 'The query cannot be used.'],
    ['/v1/flows/top?by=colour', 'The query cannot be used.'],
    ['/v1/flows?proto=tcp', 'The query cannot be used.'],
  ])('%s is refused', async (path, message) => {
    const { ask, node } = testApi();
    expect(told(await ask('GET', path))).toMatchObject({ status: 400, code: 'invalid', message });
    expect(node.calls).toEqual([]);
  });
});
