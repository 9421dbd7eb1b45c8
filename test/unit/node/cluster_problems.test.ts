import { describe, expect, it } from 'vitest';
import { clusterProblems } from '../../../control/node/cluster_problems.ts';
import {
  backend,
  change,
  cluster,
  pool,
  putBackend,
  putPool,
  putService,
  service,
} from '../pool/lib/cluster.ts';

const BOTH = new Set([4, 6] as const);
const told = (...given: Parameters<typeof clusterProblems>) => clusterProblems(...given).map((it) => it.body);

describe('a mux tells of packets that it will drop', () => {
  it('and of nothing else', () => {
    expect(told(cluster(2), BOTH)).toEqual([]);
  });

  it('because no backend of a service has a weight', () => {
    const state = change(
      cluster(2),
      putPool(pool('spare')),
      putBackend(backend('spare/b1', { weight: 0, address: '192.0.2.9' })),
      putService(service('late', { pool: 'spare', port: 81 })),
    );
    expect(told(state, BOTH)).toEqual([
      {
        code: 'unavailable',
        message: 'Packets of service late are dropped.',
        cause: 'No backend of the pool has a weight.',
        remedy: expect.stringContaining('holdfast backends set POOL/NAME --weight 100'),
      },
    ]);
  });

  it('because it has no address to send them from', () => {
    const state = change(cluster(1), putBackend(backend('web/six', { address: '2001:db8::6' })));
    expect(told(state, new Set([4]))).toMatchObject([
      {
        message: 'Packets for web/six are dropped.',
        cause: 'This node has no IPv6 address to send tunnels from.',
      },
    ]);
    expect(told(state, new Set([6]))).toMatchObject([{ message: 'Packets for web/b1 are dropped.' }]);
  });

  it('naming some of many', () => {
    const state = change(
      cluster(1),
      putPool(pool('none')),
      ...Array.from({ length: 7 }, (_, index) =>
        putService(service(`s${index}`, { pool: 'none', port: 1_000 + index })),
      ),
    );
    expect(told(state, BOTH)[0]!.message).toBe(
      'Packets of services s0, s1, s2, s3, s4 and 2 more are dropped.',
    );
  });
});
