// What the API takes and says about health checks and drains with a deadline.
import { describe, expect, it } from 'vitest';
import { backend, putBackend } from '../pool/lib/cluster.ts';
import { testCluster, told } from './lib/api.ts';

const HTTP = { type: 'http', path: '/healthy' };

describe('health checks of a pool', () => {
  it('are set, changed in part, and taken away', async () => {
    const { ask, node } = testCluster();
    await ask('PATCH', '/v1/pools/web', { health: HTTP, slowStartMs: 5_000 });
    expect(node.cluster.pools.get('web')).toMatchObject({
      health: { ...HTTP, via: 'tunnel', intervalMs: 2_000, rise: 2, fall: 3, panicPercent: 25 },
      slowStartMs: 5_000,
    });
    await ask('PATCH', '/v1/pools/web', { health: { intervalMs: 3_000, path: null } });
    expect(node.cluster.pools.get('web')?.health).toMatchObject({ type: 'http', intervalMs: 3_000 });
    expect(node.cluster.pools.get('web')?.health).not.toHaveProperty('path');
    await ask('PATCH', '/v1/pools/web', { health: null, slowStartMs: null });
    expect((await ask('GET', '/v1/export')).json.pools).toEqual([{ name: 'web', slots: 97 }]);
  });

  it('move no slot, and are guarded by If-Match', async () => {
    const { ask } = testCluster();
    expect((await ask('PATCH', '/v1/pools/web', { health: HTTP })).json.moved).toEqual([]);
    const late = await ask(
      'PATCH',
      '/v1/pools/web',
      { health: null },
      {
        'if-match': '"1"',
        'content-type': 'application/json',
      },
    );
    expect(late.status).toBe(412);
  });

  it.each([
    [{ health: { ...HTTP, type: 'tcp' } }, 'path: is of type http and https, not tcp'],
    [{ health: { type: 'smtp' } }, 'health.type'],
    [{ health: { ...HTTP, intervalMs: 100, timeoutMs: 200 } }, 'must not be above intervalMs, 100'],
    [{ health: { type: 'command', command: ['/bin/rm', '-rf'] } }, 'without a path'],
    [{ slots: 5 }, 'slots'],
    [{ slowStartMs: 1 }, 'slowStartMs'],
  ])('are refused as %o', async (patch, words) => {
    const { ask } = testCluster();
    const answer = await ask('PATCH', '/v1/pools/web', patch);
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.json)).toContain(words);
  });

  it('are shown with what is found', async () => {
    const { ask, node } = testCluster();
    const health = { state: 'up' as const, muxes: [{ name: 'm1', state: 'up' as const }] };
    node.health = { ...node.health, backend: ({ name }) => (name === 'b1' ? { health } : {}) };
    expect((await ask('GET', '/v1/backends/web/b1')).json.health).toEqual(health);
    const { backends } = (await ask('GET', '/v1/pools/web')).json;
    expect(backends.map((it: { health?: string }) => it.health)).toEqual(['up', undefined]);
    const metrics = await (await ask('GET', '/metrics')).text;
    expect(metrics).toContain('holdfast_backend_health{pool="web",backend="b1",state="up"} 1');
    expect(metrics).not.toContain('backend="b2",state="up"');
  });

  it('are counted, and their time is a histogram', async () => {
    const { ask, node } = testCluster();
    node.health = {
      ...node.health,
      counts: () => ({
        checks: [{ pool: 'web', backend: 'b1', result: 'timeout', count: 3 }],
        durations: [{ pool: 'web', buckets: [1, 1, 1, 2, 2, 2, 2, 2, 2, 2], seconds: 0.75, count: 3 }],
      }),
    };
    const metrics = (await ask('GET', '/metrics')).text;
    for (const line of [
      'holdfast_health_checks_total{pool="web",backend="b1",result="timeout"} 3',
      'holdfast_health_check_duration_seconds_bucket{pool="web",le="0.05"} 2',
      'holdfast_health_check_duration_seconds_bucket{pool="web",le="+Inf"} 3',
      'holdfast_health_check_duration_seconds_sum{pool="web"} 0.75',
      'holdfast_health_check_duration_seconds_count{pool="web"} 3',
    ]) {
      expect(metrics).toContain(line);
    }
  });
});

describe('a drain', () => {
  it('has a deadline where one is given, and only a drain has', async () => {
    const { ask, node } = testCluster();
    await ask('PATCH', '/v1/backends/web/b1?deadlineMs=600000', { weight: 0 });
    expect(node.calls.findLast(({ method }) => method === 'commit')?.argument).toMatchObject({
      deadlineMs: 600_000,
    });
    expect(told(await ask('PATCH', '/v1/backends/web/b1?deadlineMs=1000', { weight: 5 }))).toMatchObject({
      status: 400,
      message: 'A deadline is for a backend that is drained.',
    });
    expect((await ask('PATCH', '/v1/backends/web/b1?deadlineMs=-1', { weight: 0 })).status).toBe(400);
  });

  it('shows the flows that are left, and asks for them of no other', async () => {
    const { ask, node } = testCluster();
    node.calls.length = 0;
    expect((await ask('GET', '/v1/backends')).json.items[0]).not.toHaveProperty('flowsLeft');
    expect(node.calls.some(({ method }) => method === 'topFlows')).toBe(false);
    node.change(putBackend(backend('web/b1', { weight: 0 })));
    const { items } = (await ask('GET', '/v1/backends')).json;
    expect(items.map((it: { flowsLeft?: number }) => typeof it.flowsLeft)).toEqual(['number', 'undefined']);
  });
});
