// Metrics: the format, read by a parser of its own, the values, and what is said about them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALERTS, METRICS } from '../../../control/api/metrics_table.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { backend, deleteBackend, pool, putBackend, putPool, service } from '../pool/lib/cluster.ts';
import { type TestApi, testApi, testCluster, told } from './lib/api.ts';
import { type Family, readMetrics } from './lib/prometheus_reader.ts';

async function scrape({ app }: TestApi): Promise<Map<string, Family>> {
  const response = await app.request('/metrics', {}, {});
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return readMetrics(await response.text());
}

/** Values by labels, as text. */
function values(families: Map<string, Family>, name: string): Record<string, number> {
  const samples = families.get(name)!.samples;
  return Object.fromEntries(samples.map(({ labels, value }) => [Object.values(labels).join('/'), value]));
}

describe('the format', () => {
  it('is what Prometheus reads, with the conventions of its names', async () => {
    const families = await scrape(testCluster());
    for (const [name, { type, help }] of families) {
      expect(help, name).not.toBe('');
      expect(type, name).not.toBe('');
      if (name.startsWith('holdfast_')) expect(name.endsWith('_total'), name).toBe(type === 'counter');
      else expect(name).toMatch(/^(process|nodejs)_/);
      expect(name, 'base units').not.toMatch(/_(ms|milliseconds|minutes|kilobytes|percent)(_|$)/);
    }
    expect(families.has('process_cpu_seconds_total')).toBe(true);
    expect(families.has('process_resident_memory_bytes')).toBe(true);
    expect(families.has('nodejs_eventloop_lag_seconds')).toBe(true);
  });

  it('has what the table says, and no more', async () => {
    const families = await scrape(testCluster());
    const own = [...families].filter(([name]) => name.startsWith('holdfast_'));
    expect(own.map(([name, { type, help }]) => ({ name, type, help }))).toEqual(
      METRICS.map(({ name, type, help }) => ({ name, type, help })),
    );
    for (const [name, { samples }] of own) {
      const { labels, type } = METRICS.find((it) => it.name === name)!;
      for (const sample of samples) {
        const own = Object.keys(sample.labels).filter((it) => type !== 'histogram' || it !== 'le');
        expect(own, name).toEqual(labels);
      }
    }
  });

  it('survives any text in labels', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (kernel) => {
        const api = testApi();
        const status = api.node.status();
        api.node.status = () => ({ ...status, kernel });
        expect((await scrape(api)).get('holdfast_info')!.samples[0]!.labels.kernel).toBe(kernel);
      }),
      { numRuns: 50 },
    );
  });
});

describe('the values', () => {
  it('are those of the node', async () => {
    const api = testCluster();
    api.node.problems = [
      { code: 'unsupported', message: 'a' },
      { code: 'unsupported', message: 'b' },
    ];
    const families = await scrape(api);
    const of = (name: string) => values(families, name);
    expect(families.get('holdfast_info')!.samples).toEqual([
      {
        name: 'holdfast_info',
        labels: { node: 'mux1', version: '0.1.0', kernel: '6.1.0', roles: 'mux', tables: 'fresh' },
        value: 1,
      },
    ]);
    expect(of('holdfast_attached')).toEqual({ 'eth0/mux/native': 1 });
    expect(of('holdfast_problems')).toMatchObject({ unsupported: 2, unavailable: 0, internal: 0 });
    expect(of('holdfast_packets_total')).toEqual({
      'FORWARD/FORWARD': 9,
      'FORWARD/FORWARD_QUIC': 1,
      'DROP/DROP_NO_BACKEND': 1,
      'PASS/PASS_NOT_IP': 3,
    });
    expect(of('holdfast_flow_events_total')).toEqual({ FLOW_NEW: 4 });
    expect(of('holdfast_mux_heard_seconds')).toEqual({ '2': 1.5 });
    expect(of('holdfast_mux_version')).toEqual({ '2': 3, '3': 0 });
    expect(of('holdfast_mux_past_deadline')).toEqual({ '2': 1, '3': 0 });
    expect(of('holdfast_service_packets_total')).toEqual({ www: 10 });
    expect(of('holdfast_service_bytes_total')).toEqual({ www: 1_000 });
    expect(of('holdfast_service_new_flows_total')).toEqual({ www: 2 });
    expect(of('holdfast_backend_packets_total')).toEqual({ 'web/b1': 10, 'web/b2': 10 });
    expect(of('holdfast_backend_weight')).toEqual({ 'web/b1': 100, 'web/b2': 100 });
    expect(of('holdfast_backend_slots')).toEqual({ 'web/b1': 49, 'web/b2': 48 });
    expect(of('holdfast_backend_path_known')).toEqual({ 'web/b1': 1, 'web/b2': 0 });
    expect(of('holdfast_pool_slots')).toEqual({ web: 97 });
    expect(of('holdfast_pool_unassigned_slots')).toEqual({ web: 0 });
    expect(of('holdfast_pool_services')).toEqual({ web: 1 });
    expect(of('holdfast_limit_used')).toEqual({ backends: 2 });
    expect(of('holdfast_limit_max')).toEqual({ backends: 4_095 });
    expect(of('holdfast_store_connected')).toEqual({ '': 1 });
    expect(of('holdfast_store_revision')).toEqual({ '': 1 });
    expect(of('holdfast_applied_revision')).toEqual({ '': 1 });
    expect(of('holdfast_capturing')).toEqual({ '': 0 });
  });

  it('do not add up from scrape to scrape, and forget what is gone', async () => {
    const api = testCluster();
    const first = await scrape(api);
    api.node.change(deleteBackend('web/b2'));
    const second = await scrape(api);
    expect(values(second, 'holdfast_packets_total')).toEqual(values(first, 'holdfast_packets_total'));
    expect(values(second, 'holdfast_backend_slots')).toEqual({ 'web/b1': 97 });
    expect(values(second, 'holdfast_backend_bytes_total')).toEqual({ 'web/b1': 1_000 });
  });

  it('of two scrapes at the same time do not mix', async () => {
    const api = testCluster();
    const scrapes = await Promise.all([scrape(api), scrape(api), scrape(api)]);
    for (const families of scrapes) {
      expect(values(families, 'holdfast_backend_packets_total')).toEqual({ 'web/b1': 10, 'web/b2': 10 });
    }
  });

  it('leave out ways and traffic on a node that is no mux', async () => {
    const api = testCluster();
    api.node.isMux = false;
    const families = await scrape(api);
    expect(values(families, 'holdfast_backend_path_known')).toEqual({});
    expect(values(families, 'holdfast_service_packets_total')).toEqual({});
    expect(values(families, 'holdfast_backend_slots')).toEqual({ 'web/b1': 49, 'web/b2': 48 });
  });

  it('count requests by operation and status, whatever the path', async () => {
    const api = testCluster();
    for (const path of ['/v1/services/www', '/v1/services/a', '/v1/services/b', '/x', '/y/z'])
      await api.ask('GET', path);
    await api.ask('PUT', '/v1/services/www');
    await api.ask('POST', '/v1/pools', pool('a'));
    expect(values(await scrape(api), 'holdfast_api_requests_total')).toEqual({
      'getOpenApi/200': 1,
      'getService/200': 1,
      'getService/404': 2,
      'none/404': 2,
      'none/405': 1,
      'createPool/200': 1,
    });
  });

  it('are a failure where the node cannot say them', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unavailable', 'The counters cannot be read.');
    expect(told(await ask('GET', '/metrics'))).toMatchObject({ status: 503, code: 'unavailable' });
    expect((await ask('GET', '/metrics')).status).toBe(200);
  });

  it('are bounded by the limits of the data plane, and quick at them', async () => {
    const api = testApi();
    api.node.change(
      putPool(pool('web', 65_537)),
      ...Array.from({ length: 4_095 }, (_, at) =>
        putBackend(backend(`web/b${at}`, { address: `10.0.${at >> 8}.${at & 255}` })),
      ),
      ...Array.from({ length: 512 }, (_, at) => ({
        kind: 'putService' as const,
        service: service(`s${at}`, { port: at + 1 }),
      })),
    );
    await scrape(api);
    const startedAt = performance.now();
    const families = await scrape(api);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    const series = [...families.values()].reduce((sum, { samples }) => sum + samples.length, 0);
    expect(series).toBeGreaterThan(4_095 * 6 + 512 * 3);
    expect(series).toBeLessThan(4_095 * 6 + 512 * 3 + 400);
  });
});

describe('the suggested alerts', () => {
  const known = new Map(METRICS.map((it) => [it.name, it]));

  it.each(ALERTS.map((it) => [it.alert, it] as const))(
    '%s uses metrics and labels that there are',
    (_, alert) => {
      const names = alert.expr.match(/holdfast_\w+/g)!;
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) expect(known.has(name), name).toBe(true);
      const labels = new Set(['instance', ...names.flatMap((name) => known.get(name)!.labels)]);
      const used = [
        ...alert.expr.matchAll(/(\w+)\s*=~?"/g),
        ...alert.summary.matchAll(/\$labels\.(\w+)/g),
        ...[...alert.expr.matchAll(/(?:by|on) \(([^)]*)\)/g)].flatMap(([, list]) =>
          list!.split(',').map((it) => [it, it.trim()] as const),
        ),
      ];
      for (const [, label] of used) expect([...labels], alert.expr).toContain(label);
      expect(alert.for).toMatch(/^\d+m$/);
      expect(alert.summary).toMatch(/\.$/);
      let depth = 0;
      for (const char of alert.expr) depth += { '(': 1, '[': 1, ')': -1, ']': -1 }[char] ?? 0;
      expect(depth).toBe(0);
    },
  );

  it('are between five and ten', () => {
    expect(ALERTS.length).toBeGreaterThanOrEqual(5);
    expect(ALERTS.length).toBeLessThanOrEqual(10);
  });
});
