// The routes of clients with affinity pass on what they are asked, and answer what the node says; who may ask is
// decided before.
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { isAllowed } from '../../../control/trust/permissions_core.ts';
import { testApi, told } from './lib/api.ts';
import { AFFINITIES, AFFINITY, AFFINITY_RELEASE } from './lib/tracked.ts';

describe('clients with affinity', () => {
  it('are listed with what is selected, and defaults filled in', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/affinities')).json).toEqual(AFFINITIES);
    await ask(
      'GET',
      '/v1/affinities?service=www&backend=web/b1&client=192.0.2.0/24&limit=5&after=mux.mux2:9&local=true',
    );
    expect(node.calls).toEqual([
      { method: 'affinities.list', argument: { selection: {}, options: { limit: 100, local: false } } },
      {
        method: 'affinities.list',
        argument: {
          selection: { service: 'www', backend: 'web/b1', client: '192.0.2.0/24' },
          options: { limit: 5, local: true, after: 'mux.mux2:9' },
        },
      },
    ]);
  });

  it.each(['203.0.113.7', '203.0.113.0/24', '2001:db8:c::/64'])('%s is explained', async (client) => {
    const { ask, node } = testApi();
    const path = `/v1/affinities/${encodeURIComponent(client)}`;
    expect((await ask('GET', `${path}?service=www&without=web/b1`)).json).toEqual(AFFINITY);
    expect(node.calls).toEqual([
      {
        method: 'affinities.explain',
        argument: { client, options: { service: 'www', without: 'web/b1', local: false } },
      },
    ]);
  });

  it('are let go', async () => {
    const { ask, node } = testApi();
    const { json } = await ask('DELETE', '/v1/affinities/203.0.113.7?force=true&service=www');
    expect(json).toEqual(AFFINITY_RELEASE);
    await ask('DELETE', '/v1/affinities/203.0.113.7?dryRun=true');
    expect(node.calls.map(({ argument }) => argument)).toEqual([
      { client: '203.0.113.7', options: { service: 'www', dryRun: false, force: true, local: false } },
      { client: '203.0.113.7', options: { dryRun: true, force: false, local: false } },
    ]);
  });

  it('that may have connections are refused in the words of the node', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unsafe', 'client 203.0.113.7 may have open connections, which would break', {
      reason: 'it was seen 3 s ago',
      remedy: 'wait, or force it',
    });
    expect(told(await ask('DELETE', '/v1/affinities/203.0.113.7'))).toEqual({
      status: 409,
      code: 'unsafe',
      message: 'Client 203.0.113.7 may have open connections, which would break.',
      cause: 'it was seen 3 s ago',
      remedy: 'Wait, or force it',
    });
  });

  it.each([
    ['GET', '/v1/affinities?limit=0'],
    ['GET', '/v1/affinities?limit=1001'],
    ['GET', '/v1/affinities?backend=b1'],
    ['GET', '/v1/affinities?state=dead'],
    ['GET', '/v1/affinities/192.0.2.7?without=b1'],
    ['GET', '/v1/affinities/192.0.2.7?force=true'],
    ['DELETE', '/v1/affinities/192.0.2.7?dryrun=true'],
    ['DELETE', '/v1/affinities/192.0.2.7?service=WWW'],
  ])('%s %s is refused', async (method, path) => {
    const { ask, node } = testApi();
    expect(told(await ask(method, path))).toMatchObject({ status: 400, code: 'invalid' });
    expect(node.calls).toEqual([]);
  });

  it('are seen by who may look, and let go by who may operate', () => {
    for (const operation of ['listAffinities', 'getAffinity'])
      expect(isAllowed(operation, 'view')).toBe(true);
    expect(isAllowed('releaseAffinity', 'view')).toBe(false);
    expect(isAllowed('releaseAffinity', 'operate')).toBe(true);
    // Of a node only its own part, which the route and the node see to.
    expect(isAllowed('releaseAffinity', 'peer')).toBe(true);
  });
});
