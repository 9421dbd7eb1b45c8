// Owns the rules that the cluster's objects follow together; each object's own are in its schema
// (control/config/objects.ts). Also whether a change stops traffic. Pure.
import type { ClusterState } from '../config/cluster_state.ts';
import type { Backend, Document, Pool, Service } from '../config/objects.ts';
import { BACKENDS_MAX, POOLS_MAX } from '../config/objects.ts';
import { canonicalAddress, parseAddress, versionOf } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import { checkFilterRules } from './filter_rules.ts';

/** Objects by name, backends by `pool/name`; all or some of a ClusterState. */
export type Objects = {
  readonly services: ReadonlyMap<string, Service>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly backends: ReadonlyMap<string, Backend>;
};

/**
 * Records of all services in the data plane's table: one for each address, and one for each address with protocol and
 * port. A quarter of the table's 4,096 places, beyond which records would stand too far from where they belong.
 */
export const SERVICE_RECORDS_MAX = 1_024;

/** Names that a message lists before it only counts. */
const NAMES_MAX = 5;

/** @throws Failure of the first rule that `after` breaks, as a change of `before`. */
export function checkRules(before: ClusterState, after: Objects, { force }: { force: boolean }): void {
  checkRemovedPools(before, after);
  checkReferences(after);
  checkSlots(before, after);
  checkFilterRules(before, after);
  checkAddresses(after);
  checkServerIds(after);
  checkLimits(after);
  if (force) return;
  checkTraffic(before, after);
  checkFlows(before, after);
  checkTunnels(before, after);
}

/**
 * A document without services is what is left of one that was cut off, or never written: whoever means it says so.
 * @throws Failure `unsafe`
 */
export function checkDocumentHasServices(before: ClusterState, document: Document): void {
  const { size } = before.services;
  if (size === 0 || document.services.length > 0) return;
  const all = size === 1 ? `service ${[...before.services.keys()][0]}` : `all ${size} services`;
  throw new Failure('unsafe', `The document has no service: it would remove ${all}.`, {
    reason: 'Nothing would be balanced any more.',
    remedy: 'Look whether the document is whole; if it is meant so, force the change.',
  });
}

/** Records that the services take of SERVICE_RECORDS_MAX. */
export function countServiceRecords(services: Iterable<Service>): number {
  const addresses = new Set<string>();
  let ports = 0;
  for (const service of services) {
    for (const address of service.addresses) addresses.add(canonicalAddress(address));
    if (service.port !== undefined) ports += service.addresses.length;
  }
  return addresses.size + ports;
}

function checkRemovedPools(before: ClusterState, after: Objects): void {
  for (const pool of before.pools.keys()) {
    if (after.pools.has(pool)) continue;
    const services = [...after.services.values()].filter((it) => it.pool === pool).map(({ name }) => name);
    const backends = [...after.backends.values()].filter((it) => it.pool === pool).map(({ name }) => name);
    if (services.length + backends.length === 0) continue;
    const users = [
      ...(services.length > 0 ? [`is used by ${listed('service', services)}`] : []),
      ...(backends.length > 0 ? [`has ${listed('backend', backends)}`] : []),
    ];
    throw new Failure('in_use', `Pool ${pool} ${users.join(' and ')}.`, {
      remedy: 'Remove those first, or have services use another pool.',
    });
  }
}

function checkReferences({ services, pools, backends }: Objects): void {
  const remedy = 'Add the pool first, or name another one.';
  for (const { name, pool } of services.values()) {
    if (!pools.has(pool)) {
      throw new Failure('invalid', `Service ${name} names pool ${pool}, and there is none.`, { remedy });
    }
  }
  for (const { name, pool } of backends.values()) {
    if (!pools.has(pool)) {
      throw new Failure('invalid', `Backend ${name} is to be in pool ${pool}, and there is none.`, {
        remedy,
      });
    }
  }
}

function checkSlots(before: ClusterState, after: Objects): void {
  for (const { name, slots } of after.pools.values()) {
    const old = before.pools.get(name)?.slots ?? slots;
    if (old === slots) continue;
    throw new Failure('invalid', `Pool ${name} has ${old} slots and cannot have ${slots}.`, {
      reason: 'Almost every flow would move to another backend.',
      remedy: `Make another pool with ${slots} slots, and have its services use that.`,
    });
  }
}

/** Any-port and port services may share an address: the more exact one counts. */
function checkAddresses({ services }: Objects): void {
  const owners = new Map<string, string>();
  for (const { name, addresses, protocol, port } of services.values()) {
    for (const address of addresses) {
      const canonical = canonicalAddress(address);
      const key =
        port === undefined ? `every port of ${canonical}` : `${protocol} port ${port} of ${canonical}`;
      const owner = owners.get(key);
      if (owner === name) throw new Failure('invalid', `Service ${name} names address ${address} twice.`);
      if (owner !== undefined) {
        throw new Failure('invalid', `Services ${owner} and ${name} both have ${key}.`, {
          remedy: 'Give one of them another address or port.',
        });
      }
      owners.set(key, name);
    }
  }
}

function checkServerIds({ services, backends }: Objects): void {
  const owners = new Map<string, string>();
  for (const { pool, name, serverId } of backends.values()) {
    if (serverId === undefined) continue;
    const key = `${pool} ${serverId}`;
    const owner = owners.get(key);
    if (owner !== undefined) {
      throw new Failure(
        'invalid',
        `Backends ${owner} and ${name} of pool ${pool} both have server ID ${serverId}.`,
      );
    }
    owners.set(key, name);
  }
  const members = Map.groupBy(backends.values(), ({ pool }) => pool);
  for (const { name: service, pool, quic } of services.values()) {
    const bytes = quic?.serverIdBytes ?? 4;
    const long = members.get(pool)?.find(({ serverId = 0 }) => serverId >= 256 ** bytes);
    if (long === undefined) continue;
    throw new Failure(
      'invalid',
      `Server ID ${long.serverId} of backend ${pool}/${long.name} is longer than the ${bytes} bytes of service ${service}.`,
    );
  }
}

function checkLimits({ services, pools, backends }: Objects): void {
  const records = countServiceRecords(services.values());
  const limits = [
    { name: 'POOLS_MAX', what: 'pools', count: pools.size, max: POOLS_MAX },
    { name: 'BACKENDS_MAX', what: 'backends', count: backends.size, max: BACKENDS_MAX },
    { name: 'SERVICE_RECORDS_MAX', what: 'records of services', count: records, max: SERVICE_RECORDS_MAX },
  ];
  for (const { name, what, count, max } of limits) {
    if (count <= max) continue;
    throw new Failure('limit', `There would be ${count} ${what}, and there can be ${max} (${name}).`, {
      ...(what === 'records of services' && {
        reason: 'Each address has a record, and each port of each address another.',
        remedy: 'Services for every port of an address need no record for their ports.',
      }),
    });
  }
}

/** A service that had somewhere to send flows must still have. */
function checkTraffic(before: ClusterState, after: Objects): void {
  const had = servingPools(before, before);
  const has = servingPools(after, before);
  for (const { name, pool } of after.services.values()) {
    const old = before.services.get(name)?.pool;
    if (has.has(pool) || !(had.has(pool) || (old !== undefined && had.has(old)))) continue;
    const weighted = [...after.backends.values()].some((it) => it.pool === pool && it.weight > 0);
    const isUp = weighted ? ' that its health checks find alive' : '';
    throw new Failure(
      'unsafe',
      `Service ${name} would have no backend: pool ${pool} has none with a weight${isUp}.`,
      {
        reason: 'Its packets would be dropped.',
        remedy: 'Add a backend or give one a weight first, or force the change.',
      },
    );
  }
}

/**
 * Which slot a flow has, and which backend that, follow from the pool and the flow key: with another no open flow is found
 * again. Tracking is of slots, and keeps none of them.
 */
function checkFlows(before: ClusterState, after: Objects): void {
  const had = servingPools(before, before);
  for (const service of after.services.values()) {
    const old = before.services.get(service.name);
    if (old === undefined || !had.has(old.pool)) continue;
    const what = [
      ...(old.pool === service.pool ? [] : [`pool ${service.pool} instead of ${old.pool}`]),
      ...(flowKeyOf(old) === flowKeyOf(service) ? [] : ['another flow key']),
    ];
    if (what.length === 0) continue;
    throw new Failure(
      'unsafe',
      `Service ${service.name} would have ${what.join(' and ')}: its open connections would break.`,
      {
        reason: 'Their packets would go to other backends, which do not know them.',
        remedy:
          'Add a service of another name at another address, have clients use that, and remove this one when it is idle; or force the change.',
      },
    );
  }
}

function flowKeyOf({ affinity, ignoreSourcePort = false, quic }: Service): string {
  const client = [affinity?.prefixLength4, affinity?.prefixLength6];
  return JSON.stringify([...client, ignoreSourcePort, quic?.configRotation, quic?.serverIdBytes]);
}

/** Slots of a backend that a mux cannot send to are packets that it drops. Of what was so before, nothing is said. */
function checkTunnels(before: ClusterState, after: Objects): void {
  const version = (address: string) => versionOf(parseAddress(address));
  const muxes = [...before.nodes.values()].filter(({ roles }) => roles.includes('mux'));
  for (const [key, { address, pool }] of after.backends) {
    if (after.pools.get(pool)?.delivery === 'filter') continue;
    const old = before.backends.get(key);
    const wanted = version(address);
    if (old !== undefined && version(old.address) === wanted) continue;
    const without = muxes.filter(({ tunnelSources }) =>
      tunnelSources.every((source) => version(source.split('/', 1)[0]!) !== wanted),
    );
    if (without.length === 0) continue;
    const names = without.map(({ name }) => name);
    throw new Failure(
      'unsafe',
      `Backend ${key} is reached over IPv${wanted}, and ${listed('mux', names, 'es')} cannot send tunnels over that.`,
      {
        reason: `No IPv${wanted} address is there to send from: packets for the backend would be dropped.`,
        remedy: `Set tunnel.source${wanted} in the configuration of the mux, or give its interface an address; or force the change.`,
      },
    );
  }
}

/** Pools that have a backend which takes flows: one with a weight that is not known to be dead. */
function servingPools({ backends }: Pick<Objects, 'backends'>, known: ClusterState): Set<string> {
  const isDead = ([key, { address }]: [string, Backend]) => {
    const it = known.backends.get(key);
    return it?.observed?.down !== undefined && it.address === address;
  };
  return new Set([...backends].filter((it) => it[1].weight > 0 && !isDead(it)).map(([, { pool }]) => pool));
}

function listed(kind: string, names: readonly string[], plural = 's'): string {
  const shown = names.toSorted().slice(0, NAMES_MAX);
  const more = names.length - shown.length;
  const list = more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
  return `${kind}${names.length === 1 ? '' : plural} ${list}`;
}
