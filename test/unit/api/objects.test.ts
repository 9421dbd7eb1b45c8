// Services, pools, backends and documents over the API: what reads answer, what writes do, and what they refuse.
import { describe, expect, it } from 'vitest';
import { backend, deleteBackend, pool, putBackend, SLOTS, service } from '../pool/lib/cluster.ts';
import { testApi, testCluster, told } from './lib/api.ts';

const TRAFFIC = { packets: 10, bytes: 1_000, newFlows: 2 };

describe('reading', () => {
  it('answers empty collections', async () => {
    const { ask } = testApi();
    for (const path of ['/v1/services', '/v1/pools', '/v1/backends']) {
      expect((await ask('GET', path)).json).toEqual({ items: [] });
    }
  });

  it('shows a service with what became of it here', async () => {
    const { ask } = testCluster();
    const view = { ...service('www'), revision: 1, backends: 2, traffic: TRAFFIC };
    expect((await ask('GET', '/v1/services')).json).toEqual({ items: [view] });
    const one = await ask('GET', '/v1/services/www');
    expect(one.json).toEqual(view);
    expect(one.headers.get('etag')).toBe('"1"');
  });

  it('counts only backends with a weight as backends of a service', async () => {
    const { ask, node } = testCluster();
    node.change(putBackend(backend('web/b1', { weight: 0 })));
    expect((await ask('GET', '/v1/services/www')).json.backends).toBe(1);
  });

  it('shows a pool with services, backends and shares', async () => {
    const { ask } = testCluster();
    const one = await ask('GET', '/v1/pools/web');
    expect(one.json).toEqual({
      name: 'web',
      slots: SLOTS,
      revision: 1,
      id: 1,
      services: ['www'],
      backends: [
        { name: 'b1', weight: 100, slots: 49, share: 49 / 97 },
        { name: 'b2', weight: 100, slots: 48, share: 48 / 97 },
      ],
      unassignedSlots: 0,
    });
    expect((await ask('GET', '/v1/pools')).json).toEqual({ items: [one.json] });
  });

  it('shows the slots that nobody takes', async () => {
    const { ask, node } = testApi();
    node.change({ kind: 'putPool', pool: pool('empty') });
    expect((await ask('GET', '/v1/pools/empty')).json).toMatchObject({
      unassignedSlots: SLOTS,
      backends: [],
    });
  });

  it('shows a backend with slots, traffic and the way to it', async () => {
    const { ask } = testCluster();
    const one = await ask('GET', '/v1/backends/web/b1');
    expect(one.json).toEqual({
      ...backend('web/b1'),
      revision: 1,
      index: 1,
      slots: 49,
      share: 49 / 97,
      traffic: TRAFFIC,
      path: {
        state: 'known',
        interface: 'eth0',
        mac: '02:00:00:00:00:01',
        mtuBytes: 1_500,
        innerMtuBytes: 1_480,
      },
    });
    expect(one.headers.get('etag')).toBe('"1"');
    expect((await ask('GET', '/v1/backends')).json.items).toHaveLength(2);
  });

  it('has neither traffic nor ways on a node that is no mux', async () => {
    const { ask, node } = testCluster();
    node.isMux = false;
    expect((await ask('GET', '/v1/backends/web/b1')).json).not.toHaveProperty('traffic');
    expect((await ask('GET', '/v1/backends/web/b1')).json).not.toHaveProperty('path');
    expect((await ask('GET', '/v1/services/www')).json).not.toHaveProperty('traffic');
  });

  it('lists by name, and backends of one pool where that is asked', async () => {
    const { ask, node } = testCluster();
    node.change(
      { kind: 'putPool', pool: pool('api') },
      putBackend(backend('api/z', { address: '192.0.2.9' })),
      putBackend(backend('api/a', { address: '192.0.2.8' })),
    );
    const names = (items: { pool: string; name: string }[]) => items.map((it) => `${it.pool}/${it.name}`);
    expect(names((await ask('GET', '/v1/backends')).json.items)).toEqual([
      'api/a',
      'api/z',
      'web/b1',
      'web/b2',
    ]);
    expect(names((await ask('GET', '/v1/backends?pool=api')).json.items)).toEqual(['api/a', 'api/z']);
    expect(told(await ask('GET', '/v1/backends?pool=nope'))).toEqual({
      status: 404,
      code: 'not_found',
      message: 'There is no pool nope.',
      remedy: 'See those there are: holdfast pools list',
    });
  });

  it.each([
    ['/v1/services/nope', 'There is no service nope.', 'services'],
    ['/v1/pools/nope', 'There is no pool nope.', 'pools'],
    ['/v1/backends/web/nope', 'There is no backend web/nope.', 'backends'],
  ])('says that there is no %s', async (path, message, kind) => {
    const { ask } = testCluster();
    const remedy = `See those there are: holdfast ${kind} list`;
    expect(told(await ask('GET', path))).toEqual({ status: 404, code: 'not_found', message, remedy });
    expect(told(await ask('DELETE', path))).toEqual({ status: 404, code: 'not_found', message, remedy });
  });
});

describe('adding', () => {
  it('makes a service, a pool and a backend with their defaults, and says what changed', async () => {
    const { ask, node } = testApi();
    const first = await ask('POST', '/v1/pools', { name: 'web' });
    expect(first.json).toEqual({
      dryRun: false,
      revision: 1,
      changes: [{ action: 'add', kind: 'pool', name: 'web', after: { name: 'web', slots: 65_537 } }],
      moved: [],
    });
    const added = { pool: 'web', name: 'b1', address: '192.0.2.1' };
    const after = { ...added, weight: 100, encap: 'ip' };
    const second = await ask('POST', '/v1/backends', added);
    expect(second.json.changes).toEqual([{ action: 'add', kind: 'backend', name: 'web/b1', after }]);
    const third = await ask('POST', '/v1/services', {
      name: 'any',
      addresses: ['198.51.100.1'],
      pool: 'web',
    });
    expect(third.json).toMatchObject({
      revision: 3,
      changes: [{ action: 'add', kind: 'service', name: 'any' }],
    });
    expect(node.cluster.services.get('any')).toMatchObject({ addresses: ['198.51.100.1'] });
  });

  it.each([
    ['/v1/services', service('www'), 'There is a service www already.'],
    ['/v1/pools', pool('web'), 'There is a pool web already.'],
    ['/v1/backends', backend('web/b1'), 'There is a backend web/b1 already.'],
  ])('does not replace: %s', async (path, object, message) => {
    const { ask, node } = testCluster();
    const before = node.cluster;
    expect(told(await ask('POST', path, object))).toEqual({
      status: 409,
      code: 'conflict',
      message,
      remedy: 'Choose another name, or change the one that is there.',
    });
    expect(node.cluster).toBe(before);
  });

  it('only plans on a dry run', async () => {
    const { ask, node } = testCluster();
    const before = node.cluster;
    const change = await ask('POST', '/v1/backends?dryRun=true', backend('web/b3', { address: '192.0.2.3' }));
    expect(change.json).toMatchObject({
      dryRun: true,
      revision: 1,
      changes: [{ action: 'add', kind: 'backend', name: 'web/b3' }],
      moved: [{ pool: 'web', slots: 32, of: SLOTS }],
    });
    expect(node.cluster).toBe(before);
  });

  it.each([
    [{}, 'name: is missing; addresses: is missing; pool: is missing.'],
    [[], 'must be an object, not array.'],
    [null, 'must be an object, not null.'],
    [{ ...service('a'), port: 0 }, 'port: must be at least 1.'],
    [{ ...service('a'), port: 65_536 }, 'port: must be at most 65535.'],
    [{ ...service('a'), port: 1.5 }, 'port: must be an integer, not number.'],
    [{ ...service('a'), port: '80' }, 'port: must be a number, not string.'],
    [{ ...service('a'), protocol: 'sctp' }, 'protocol: must be "tcp" or "udp".'],
    [{ ...service('a'), protocol: undefined }, 'port: protocol and port go together.'],
    [{ ...service('a'), addresses: [] }, 'addresses: must have at least 1 item.'],
    [{ ...service('a'), addresses: ['::1', 'x'] }, 'addresses[1]: not an IPv4 or IPv6 address.'],
    [
      { ...service('a'), name: 'A' },
      'name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
    ],
    [{ ...service('a'), weight: 1, modRevision: 2 }, 'there is no field "weight", "modRevision".'],
    [
      { ...service('a'), protocol: 'udp', quic: { configRotation: 7, serverIdBytes: 1 } },
      'quic.configRotation: must be at most 6.',
    ],
  ])('refuses %j', async (body, cause) => {
    const { ask, node } = testCluster();
    expect(told(await ask('POST', '/v1/services', body))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The body cannot be used.',
      cause,
      remedy: 'See GET /v1/openapi.json for what each request takes.',
    });
    expect(node.calls).toEqual([]);
  });

  it('lists the first mistakes and counts the others', async () => {
    const { ask } = testApi();
    const bad = { name: 'web', slots: 'many' };
    const { json } = await ask('POST', '/v1/apply', { pools: Array.from({ length: 20 }, () => bad) });
    expect(json.cause).toMatch(
      /^pools\[0\]\.slots: must be a number, not string; pools\[1\].*; and 12 more\.$/,
    );
  });

  it('does not repeat what is long', async () => {
    const { ask } = testApi();
    const { json } = await ask('POST', '/v1/pools', { name: 'web', ['x'.repeat(100_000)]: 1 });
    expect(json.cause).toHaveLength(202);
  });
});

describe('changing', () => {
  it('replaces the fields of the patch and leaves the others', async () => {
    const { ask, node } = testCluster();
    const change = await ask('PATCH', '/v1/backends/web/b1', { weight: 0 });
    expect(change.json).toMatchObject({
      revision: 2,
      changes: [
        {
          action: 'change',
          kind: 'backend',
          name: 'web/b1',
          before: backend('web/b1'),
          after: backend('web/b1', { weight: 0 }),
        },
      ],
      moved: [{ pool: 'web', slots: 49, of: SLOTS }],
    });
    expect(node.cluster.backends.get('web/b1')).toMatchObject({ weight: 0, address: '192.0.2.1' });
  });

  it('takes a field away for null, and gives one with a default its default', async () => {
    const { ask, node } = testCluster();
    await ask('PATCH', '/v1/backends/web/b1', { weight: 7, mtuBytes: 1_400 });
    await ask('PATCH', '/v1/backends/web/b1', { weight: null, mtuBytes: null });
    expect(node.cluster.backends.get('web/b1')!.weight).toBe(100);
    expect(node.cluster.backends.get('web/b1')).not.toHaveProperty('mtuBytes');
  });

  it('merges inside of objects (RFC 7396)', async () => {
    const { ask, node } = testCluster();
    await ask('PATCH', '/v1/services/www?force=true', { affinity: { prefixLength4: 24, prefixLength6: 64 } });
    await ask('PATCH', '/v1/services/www?force=true', { affinity: { prefixLength4: 16 } });
    expect(node.cluster.services.get('www')!.affinity).toEqual({ prefixLength4: 16, prefixLength6: 64 });
    await ask('PATCH', '/v1/services/www?force=true', { affinity: { prefixLength6: null } });
    expect(node.cluster.services.get('www')!.affinity).toEqual({ prefixLength4: 16, prefixLength6: 128 });
    await ask('PATCH', '/v1/services/www?force=true', { affinity: null });
    expect(node.cluster.services.get('www')).not.toHaveProperty('affinity');
  });

  it('takes the media type of merge patches too', async () => {
    const { ask } = testCluster();
    const headers = { 'content-type': 'application/merge-patch+json' };
    expect((await ask('PATCH', '/v1/backends/web/b1', { weight: 1 }, headers)).status).toBe(200);
    expect((await ask('POST', '/v1/pools', { name: 'a' }, headers)).status).toBe(415);
  });

  it('changes nothing for an empty patch', async () => {
    const { ask } = testCluster();
    expect((await ask('PATCH', '/v1/services/www', {})).json).toEqual({
      dryRun: false,
      revision: 1,
      changes: [],
      moved: [],
    });
  });

  it.each([
    ['/v1/services/www', { port: 0 }, 'port: must be at least 1.'],
    ['/v1/services/www', { pool: null }, 'pool: must be a string, not null.'],
    ['/v1/services/www', { modRevision: 9 }, 'there is no field "modRevision".'],
    ['/v1/services/www', { affinity: { depth: 1 } }, 'affinity: there is no field "depth".'],
    ['/v1/backends/web/b1', { weight: -1 }, 'weight: must be at least 0.'],
    ['/v1/backends/web/b1', { generation: 1 }, 'there is no field "generation".'],
  ])('refuses to patch %s with %j', async (path, patch, cause) => {
    const { ask } = testCluster();
    expect(told(await ask('PATCH', path, patch))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The body cannot be used.',
      cause,
      remedy: 'See GET /v1/openapi.json for what each request takes.',
    });
  });

  it('refuses a patch that makes the object invalid', async () => {
    const { ask } = testCluster();
    expect(told(await ask('PATCH', '/v1/services/www', { port: null }))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'This change of service www is not valid: port: protocol and port go together.',
    });
  });

  it('refuses to give an object another name', async () => {
    const { ask } = testCluster();
    expect(told(await ask('PATCH', '/v1/services/www', { name: 'other' }))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The name of service www cannot be changed.',
      remedy: 'Add another one, and remove this one.',
    });
    expect((await ask('PATCH', '/v1/services/www', { name: 'www', port: 81 })).status).toBe(200);
  });

  it('patches what is there when the change is made, not what was there before', async () => {
    const { ask, node } = testCluster();
    node.raced.push(() => [putBackend(backend('web/b1', { mtuBytes: 1_400 }))]);
    await ask('PATCH', '/v1/backends/web/b1', { weight: 50 });
    expect(node.cluster.backends.get('web/b1')).toMatchObject({ weight: 50, mtuBytes: 1_400 });
  });

  it('says so where the object goes in the meantime', async () => {
    const { ask, node } = testCluster();
    node.raced.push(() => [deleteBackend('web/b1')]);
    expect(told(await ask('PATCH', '/v1/backends/web/b1', { weight: 50 })).code).toBe('not_found');
  });

  it('refuses what would stop traffic unless forced, and passes force on', async () => {
    const { ask, node } = testCluster();
    await ask('PATCH', '/v1/backends/web/b1', { weight: 0 });
    const refused = await ask('PATCH', '/v1/backends/web/b2', { weight: 0 });
    expect(refused.json.code).toBe('unsafe');
    expect(refused.status).toBe(409);
    expect((await ask('PATCH', '/v1/backends/web/b2?force=true', { weight: 0 })).status).toBe(200);
    expect(node.calls.at(-1)).toEqual({ method: 'commit', argument: { dryRun: false, force: true } });
  });
});

describe('removing', () => {
  it('removes, and says what there was', async () => {
    const { ask, node } = testCluster();
    expect((await ask('DELETE', '/v1/services/www')).json.changes).toEqual([
      { action: 'remove', kind: 'service', name: 'www', before: service('www') },
    ]);
    await ask('DELETE', '/v1/backends/web/b1');
    await ask('DELETE', '/v1/backends/web/b2?force=true');
    await ask('DELETE', '/v1/pools/web');
    expect(node.cluster).toMatchObject({
      revision: 5,
      services: new Map(),
      pools: new Map(),
      backends: new Map(),
    });
  });

  it('keeps a pool that is used', async () => {
    const { ask } = testCluster();
    expect(told(await ask('DELETE', '/v1/pools/web'))).toEqual({
      status: 409,
      code: 'in_use',
      message: 'Pool web is used by service www and has backends b1, b2.',
      remedy: 'Remove those first, or have services use another pool.',
    });
  });
});

describe('If-Match', () => {
  const changed = (name: string, match: string) => ({
    status: 412,
    code: 'conflict',
    message: `The ${name} has changed since it was read.`,
    cause: `It is at revision 1, and If-Match says ${match}.`,
    remedy: 'Read it again, and repeat the change.',
  });
  const json = { 'content-type': 'application/json' };

  it.each([
    ['PATCH', '/v1/services/www', { port: 81 }, 'service www'],
    ['DELETE', '/v1/services/www', undefined, 'service www'],
    ['DELETE', '/v1/pools/web', undefined, 'pool web'],
    ['PATCH', '/v1/backends/web/b1', { weight: 1 }, 'backend web/b1'],
    ['DELETE', '/v1/backends/web/b1', undefined, 'backend web/b1'],
  ])('refuses %s %s of another revision', async (method, path, body, name) => {
    const { ask, node } = testCluster();
    const before = node.cluster;
    for (const match of ['"7"', 'W/"1"', '"2", "3"']) {
      const answer = await ask(method, path, body, { ...json, 'if-match': match });
      expect(told(answer)).toEqual(changed(name, match));
    }
    expect(node.cluster).toBe(before);
  });

  it.each(['"1"', '"7", "1"', '*'])('does what is meant for %s', async (match) => {
    const { ask } = testCluster();
    const answer = await ask('PATCH', '/v1/services/www', { port: 81 }, { ...json, 'if-match': match });
    expect(answer.json.revision).toBe(2);
  });

  it('holds against changes in the meantime', async () => {
    const { ask, node } = testCluster();
    node.raced.push(() => [putBackend(backend('web/b1', { weight: 3 }))]);
    const answer = await ask('PATCH', '/v1/backends/web/b1', { weight: 1 }, { ...json, 'if-match': '"1"' });
    expect(answer.status).toBe(412);
    expect(node.cluster.backends.get('web/b1')!.weight).toBe(3);
  });

  it.each(['1', '"1', 'abc', '"1" "2"', ','])('refuses the header %s', async (match) => {
    const { ask } = testCluster();
    expect(told(await ask('DELETE', '/v1/services/www', undefined, { 'if-match': match }))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'A header cannot be used.',
      cause: 'if-match: must be * or entity tags, such as "17".',
      remedy: 'Send the ETag that GET answered for the service.',
    });
  });
});

describe('documents', () => {
  it('export what apply takes, and applying it changes nothing', async () => {
    const { ask } = testCluster();
    const document = await ask('GET', '/v1/export');
    expect(document.json).toEqual({
      services: [service('www')],
      pools: [pool('web')],
      backends: [backend('web/b1'), backend('web/b2', { address: '192.0.2.2' })],
    });
    expect((await ask('POST', '/v1/apply', document.json)).json.changes).toEqual([]);
  });

  it('make the cluster be what they say', async () => {
    const { ask, node } = testCluster();
    const body = {
      pools: [pool('web')],
      backends: [backend('web/b1'), backend('web/b9', { address: '::9' })],
    };
    const planned = await ask('POST', '/v1/apply?dryRun=true&force=true', body);
    const done = await ask('POST', '/v1/apply?force=true', body);
    expect(planned.json.plan).toMatchObject([{ pool: 'web', slots: planned.json.moved[0].slots }]);
    expect(done.json).toEqual({ ...planned.json, plan: undefined, dryRun: false, revision: 2 });
    expect([...node.cluster.backends.keys()]).toEqual(['web/b1', 'web/b9']);
    expect(node.cluster.services.size).toBe(0);
  });

  it('are taken whole or not at all', async () => {
    const { ask, node } = testCluster();
    const before = node.cluster;
    const answer = await ask('POST', '/v1/apply', { services: [service('a', { pool: 'nope' })] });
    expect(told(answer)).toMatchObject({
      status: 400,
      message: 'Service a names pool nope, and there is none.',
    });
    expect(node.cluster).toBe(before);
  });

  it('name each thing once', async () => {
    const { ask } = testApi();
    expect(told(await ask('POST', '/v1/apply', { pools: [pool('a'), pool('a')] }))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The document has two pools with the name a.',
    });
  });
});
