// Desired states of a mux that differ in every way, and what packets then meet.

import { newPlacement } from '../../../control/cluster/leader/placement.ts';
import type { BackendConfig } from '../../../control/dataplane/backend_table.ts';
import type { DesiredMux, DesiredPool, DesiredService } from '../../../control/dataplane/desired.ts';
import { frameOf } from '../../../control/dataplane/frame.ts';
import { testKey } from './site.ts';

export const HASH_KEY = testKey('adoption');
export const SOURCES = {
  tunnelSource4: { address: '198.18.64.0', prefixLength: 18 },
  tunnelSource6: { address: '2001:db8:100::', prefixLength: 100 },
};
export const SLOT_CAPACITY = 1 << 14;

export const MUX_OPTIONS = { hashKey: HASH_KEY, ...SOURCES, slotCapacity: SLOT_CAPACITY };

function backendOf(index: number, hop: number): BackendConfig {
  const last = index.toString(16).padStart(2, '0');
  return {
    address: index % 3 === 2 ? `2001:db8:b::${last}` : `192.0.2.${index}`,
    encap: index % 2 === 0 ? 'gue' : 'ip',
    mtuBytes: 1500,
    generation: 1,
    nextHop: {
      ifindex: 0,
      destinationMac: `02:00:00:00:b${hop}:${last}`,
      sourceMac: `02:00:00:00:a${hop}:${last}`,
    },
  };
}

const service = (address: string, port: number | undefined, poolId: number): DesiredService => ({
  name: `s-${port ?? 'any'}`,
  address,
  poolId,
  ...(port === undefined ? {} : { protocol: 'tcp' as const, port }),
});

export type StateName = 'a' | 'b';

/** Services 80 and 2001:db8:5::1 are in both, 1000-1019 in `a`, 2000-2029 in `b`; backends 1-6 and 4-9. */
export function stateOf(name: StateName): DesiredMux {
  const [from, to, count, first] = name === 'a' ? [1, 6, 20, 1000] : [4, 9, 30, 2000];
  const indexes = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const pool = (id: number, size: number): [number, DesiredPool] => {
    const slots = Uint16Array.from({ length: size }, (_, slot) => indexes[slot % indexes.length]!);
    return [id, { name: `pool-${id}`, ...newPlacement(id, slots) }];
  };
  return {
    revision: name === 'a' ? 1 : 2,
    version: 0,
    members: [],
    peers: new Map(),
    services: [
      service('203.0.113.1', 80, 1),
      { ...service('2001:db8:5::1', undefined, 2), affinity: { prefixLength4: 32, prefixLength6: 64 } },
      ...Array.from({ length: count }, (_, i) => service(`203.0.113.${name === 'a' ? 2 : 3}`, first + i, 3)),
    ],
    pools: new Map([pool(1, 1021), pool(2, 251), pool(3, name === 'a' ? 509 : 1021)]),
    backends: new Map(indexes.map((index) => [index, backendOf(index, name === 'a' ? 0 : 1)])),
    serverIds: indexes.map((backend) => ({ poolId: 1, serverId: backend * 1000, backend })),
  };
}

/** A frame to each service of a state, from several clients. */
export function framesOf(state: DesiredMux, clients = 3): Uint8Array[] {
  return state.services.flatMap(({ address, port }) =>
    Array.from({ length: clients }, (_, client) => {
      const source = address.includes(':') ? `2001:db8:c::${client + 1}` : `198.51.100.${client + 1}`;
      const destinationPort = port ?? 7;
      return frameOf({
        protocol: 'tcp',
        source,
        sourcePort: 40_000 + client,
        destination: address,
        destinationPort,
      });
    }),
  );
}
