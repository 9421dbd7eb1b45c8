// Owns the rules of pools that clients reach without a load balancer (delivery `filter`), their backends and services.
// Pure. The fields themselves are control/config/filter.ts's.
import type { ClusterState } from '../config/cluster_state.ts';
import { type Delivery, deliveryOf, sharedAddress } from '../config/filter.ts';
import type { Backend, Pool, Service } from '../config/objects.ts';
import { canonicalAddress } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

type Objects = {
  readonly services: ReadonlyMap<string, Service>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly backends: ReadonlyMap<string, Backend>;
};

/** @throws Failure `invalid` of the first rule that `after` breaks; references are known to be good. */
export function checkFilterRules(before: Pick<ClusterState, 'pools'>, after: Objects): void {
  for (const pool of after.pools.values()) checkPool(before.pools.get(pool.name), pool);
  const of = ({ pool }: { readonly pool: string }) => deliveryOf(after.pools.get(pool)!);
  for (const backend of after.backends.values()) checkBackend(backend, of(backend));
  checkServers([...after.backends.values()].filter((it) => of(it) === 'filter'));
  for (const service of after.services.values()) checkService(service, of(service));
  checkShared(after, of);
}

function checkPool(before: Pool | undefined, { name, delivery, hosts }: Pool): void {
  if (before !== undefined && deliveryOf(before) !== deliveryOf({ delivery })) {
    throw new Failure('invalid', `Pool ${name} is reached by ${deliveryOf(before)} and cannot change that.`, {
      reason: 'Its backends are other machines, and its services have other neighbours.',
      remedy: 'Make another pool, and have a service at another address use that.',
    });
  }
  if (hosts !== undefined && deliveryOf({ delivery }) === 'mux') {
    throw onlyFor('filter', `Pool ${name}`, 'hosts');
  }
}

/** What has no meaning there would be believed to have one. */
function checkBackend(backend: Backend, delivery: Delivery): void {
  const { pool, name, encap, guePort, mtuBytes, serverId, priority } = backend;
  const who = `Backend ${pool}/${name}`;
  if (delivery === 'mux') {
    if (priority !== undefined) throw onlyFor('filter', who, 'priority');
    return;
  }
  const wrong = Object.entries({ encap: encap === 'ip' ? undefined : encap, guePort, mtuBytes, serverId });
  const [found] = wrong.filter(([, value]) => value !== undefined);
  if (found !== undefined) throw onlyFor('mux', who, found[0]);
}

/** A server is known by its address: buckets of two backends there would be one server's. */
function checkServers(backends: readonly Backend[]): void {
  const owners = new Map<string, string>();
  for (const { pool, name, address } of backends) {
    const key = `${pool} ${canonicalAddress(address)}`;
    const owner = owners.get(key);
    if (owner !== undefined) {
      throw new Failure('invalid', `Backends ${owner} and ${name} of pool ${pool} are both ${address}.`, {
        reason: 'In a pool of delivery filter a backend is a filter node.',
        remedy: 'Give one of them the address of another filter node.',
      });
    }
    owners.set(key, name);
  }
}

function checkService(service: Service, delivery: Delivery): void {
  const { name, quic, ignoreSourcePort, idleTimeoutMs, multicast, disabled } = service;
  const fields =
    delivery === 'mux'
      ? { multicast, disabled, 'idleTimeoutMs 0': idleTimeoutMs === 0 ? 0 : undefined }
      : { quic, ignoreSourcePort };
  const [found] = Object.entries(fields).filter(([, value]) => value !== undefined);
  if (found !== undefined) throw onlyFor(delivery === 'mux' ? 'filter' : 'mux', `Service ${name}`, found[0]);
}

/** One address is one neighbour: it is reached in one way, with one link address. */
function checkShared({ services }: Objects, of: (service: Service) => Delivery): void {
  const known = new Map<string, { readonly name: string; readonly way: string }>();
  for (const service of services.values()) {
    for (const address of service.addresses) {
      const canonical = canonicalAddress(address);
      const isFilter = of(service) === 'filter';
      const shared = isFilter ? sharedAddress(canonical, service.multicast) : undefined;
      const way = JSON.stringify([isFilter, shared?.group, shared?.mac, shared?.answers]);
      const other = known.get(canonical);
      if (other !== undefined && other.way !== way) {
        throw new Failure(
          'invalid',
          `Services ${other.name} and ${service.name} have address ${address} reached in two ways.`,
          {
            reason: 'All services of an address have the same delivery and the same multicast settings.',
            remedy: 'Give one of them another address, or both the same settings.',
          },
        );
      }
      known.set(canonical, { name: service.name, way });
    }
  }
}

function onlyFor(delivery: Delivery, who: string, field: string): Failure {
  return new Failure('invalid', `${who} cannot have ${field}: that is for pools of delivery ${delivery}.`, {
    remedy: `Leave ${field} out, or use a pool of delivery ${delivery}.`,
  });
}
