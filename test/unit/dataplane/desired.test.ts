import { describe, expect, it } from 'vitest';
import type { ClusterState, StoredBackend } from '../../../control/config/cluster_state.ts';
import { backendConfig, desiredMux } from '../../../control/dataplane/desired.ts';
import { cleanVersion } from '../cluster/support.ts';

const backend: StoredBackend = {
  pool: 'web',
  name: 'one',
  address: '192.0.2.1',
  weight: 100,
  encap: 'ip',
  index: 7,
  generation: 3,
  serverId: 42,
  modRevision: 1,
};
const nextHop = { ifindex: 2, destinationMac: '02:00:00:00:00:01', sourceMac: '02:00:00:00:00:02' };

describe('the state that a mux shall have', () => {
  const slots = Uint16Array.of(7, 7);
  const state: ClusterState = {
    revision: 12,
    services: new Map([
      [
        'www',
        {
          name: 'www',
          addresses: ['203.0.113.1', '2001:db8::1'],
          protocol: 'tcp' as const,
          port: 443,
          pool: 'web',
          modRevision: 1,
        },
      ],
    ]),
    pools: new Map([['web', { name: 'web', slots: 2, id: 5, modRevision: 1 }]]),
    backends: new Map([['web/one', backend]]),
    tables: new Map([['web', { slots, modRevision: 1 }]]),
    retired: { backends: [], pools: [] },
    nodes: new Map(),
  };

  it('has a service for each address, pools by id, backends by index', () => {
    const service = { name: 'www', protocol: 'tcp', port: 443, poolId: 5, idleTimeoutMs: 600_000 };
    expect(desiredMux(cleanVersion(state), () => ({ nextHop, mtuBytes: 9000 }), undefined)).toEqual({
      revision: 12,
      version: 0,
      members: [],
      peers: new Map(),
      services: [
        { ...service, address: '203.0.113.1' },
        { ...service, address: '2001:db8::1' },
      ],
      pools: new Map([
        [
          5,
          { name: 'web', poolId: 5, current: slots, base: slots, period: Uint8Array.of(0, 0), periods: [] },
        ],
      ]),
      backends: new Map([[7, { address: '192.0.2.1', encap: 'ip', mtuBytes: 9000, generation: 3, nextHop }]]),
      serverIds: [{ poolId: 5, serverId: 42, backend: 7 }],
    });
  });
});

describe('a backend over a path', () => {
  it.each([
    ['not known yet', undefined, undefined, 1500],
    ['not known yet, with a bound', undefined, 1400, 1400],
    ['without a next hop', { mtuBytes: 9000 }, undefined, 9000],
    ['within the bound', { mtuBytes: 1450 }, 1480, 1450],
    ['beyond the bound', { mtuBytes: 9000 }, 1480, 1480],
    ['that claims less than any tunnel can do with', { mtuBytes: 40 }, undefined, 88],
  ] as const)('%s', (_, path, mtuBytes, expected) => {
    const stored = { ...backend, ...(mtuBytes && { mtuBytes }) };
    expect(backendConfig(stored, path).mtuBytes).toBe(expected);
  });
});
