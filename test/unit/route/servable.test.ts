import { describe, expect, it } from 'vitest';
import type { ClusterState, StoredBackend } from '../../../control/config/cluster_state.ts';
import { servableAddresses } from '../../../control/route/servable.ts';

const service = (name: string, pool: string, ...addresses: string[]) => ({
  name,
  pool,
  addresses,
  modRevision: 1,
});
const backend = (pool: string, name: string, weight: number) => ({
  pool,
  name,
  weight,
  address: `10.0.0.${name}`,
});

function state(services: object[], backends: { pool: string; name: string }[]) {
  return {
    services: new Map(services.map((it, index) => [`${index}`, it])),
    backends: new Map(backends.map((it) => [`${it.pool}/${it.name}`, it])),
  } as unknown as Pick<ClusterState, 'services' | 'backends'>;
}
const always = () => true;

describe('the service addresses that a mux can serve', () => {
  it('are those of services whose pool has a backend with a weight, each once, sorted', () => {
    const found = servableAddresses(
      state(
        [
          service('a', 'one', '192.0.2.2', '2001:db8::1'),
          service('b', 'one', '192.0.2.2'),
          service('c', 'none', '192.0.2.3'),
        ],
        [backend('one', '1', 10), backend('none', '2', 0)],
      ),
      always,
    );
    expect(found).toEqual(['192.0.2.2', '2001:db8::1']);
  });

  it('are there while one of several services on the address is served', () => {
    const services = [service('a', 'one', '192.0.2.2'), service('b', 'none', '192.0.2.2')];
    expect(servableAddresses(state(services, [backend('one', '1', 10)]), always)).toEqual(['192.0.2.2']);
    expect(servableAddresses(state(services, []), always)).toEqual([]);
  });

  it('are not there where no way leads to a backend', () => {
    const of = state([service('a', 'one', '192.0.2.2')], [backend('one', '1', 10), backend('one', '2', 10)]);
    expect(servableAddresses(of, ({ name }: StoredBackend) => name === '2')).toEqual(['192.0.2.2']);
    expect(servableAddresses(of, () => false)).toEqual([]);
  });
});
