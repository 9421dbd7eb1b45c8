// Owns what a filter's tables shall say, as data, and making it from a version of the configuration: as a mux's, with the
// ids of servers where that has backends. Pure. Bringing the tables there is mux_tables.ts.
import { serversOf } from '../cluster/leader/servers.ts';
import type { Placement, Version } from '../cluster/version.ts';
import { deliveryOf, type SharedAddress, sharedAddress } from '../config/filter.ts';
import { idleTimeoutOf } from '../config/objects.ts';
import { canonicalAddress, maskOf, parseAddress, parseMac, versionOf, wordsOf } from '../lib/address.ts';
import type { Path } from './backend_table.ts';
import {
  type DesiredMux,
  type DesiredPool,
  type DesiredService,
  desiredServices,
  peerConfig,
  type SelfAddress,
} from './desired.ts';
import { ServiceFlag } from './generated/layout.ts';
import { addressKey, plainFields, serviceFields, serviceKey } from './service_record.ts';
import { nameOf, type ServiceFields, type ServiceRecord } from './service_table.ts';
import type { SlotRange } from './slot_table.ts';

export type DesiredFilter = DesiredMux & {
  /** Multicast groups to be joined, and what clients' neighbours are told. */
  readonly shared: readonly SharedAddress[];
  /** Pools whose clients this server gives up: it is found dead in them, or is in them no more. */
  readonly givenUp: ReadonlySet<number>;
};

/** `self`: this server, a member or about to be one; without it, it is alone. */
export function desiredFilter(
  version: Version,
  path: (address: string) => Path | undefined,
  self: SelfAddress | undefined,
): DesiredFilter {
  const { revision, services, pools, backends } = version.objects;
  const filters = new Map([...pools].filter(([, it]) => deliveryOf(it) === 'filter'));
  const servers = serversOf(version.members, backends.values());
  const own = [...services.values()].filter(({ pool }) => filters.has(pool));
  const shared = new Map<string, SharedAddress>();
  for (const { addresses, multicast } of own) {
    for (const address of addresses.map(canonicalAddress)) {
      const found = sharedAddress(address, multicast);
      if (found !== undefined) shared.set(address, found);
    }
  }
  const others = self === undefined ? [] : version.members.filter(({ id }) => id !== self.id);
  return {
    revision,
    version: version.number,
    members: version.members.map(({ id, incarnation }) => ({ id, incarnation })),
    services: own.flatMap((service) =>
      desiredServices(service, filters.get(service.pool)!.id).map((it): DesiredService => {
        const found = shared.get(canonicalAddress(it.address));
        return {
          ...it,
          idleTimeoutMs: idleTimeoutOf(service),
          ...(found?.answers && { linkAddress: found.mac }),
          ...(service.disabled === true && { isDisabled: true }),
        };
      }),
    ),
    pools: new Map(
      [...filters.values()].flatMap(({ name, id }): [number, DesiredPool][] => {
        const placement = version.placements.get(id);
        return placement === undefined ? [] : [[id, { name, ...withServers(placement, servers) }]];
      }),
    ),
    backends: new Map(),
    serverIds: [],
    peers: new Map([
      ...(self === undefined ? [] : [[self.id, peerConfig(self, undefined)] as const]),
      ...others.map((member) => [member.id, peerConfig(member, path(member.address))] as const),
    ]),
    shared: [...shared.values()],
    givenUp: self === undefined ? new Set() : givenUpBy(self, version, [...filters.values()]),
  };
}

/** Of slots of a server that is no member: nobody's. */
function withServers(placement: Placement, servers: ReadonlyMap<number, { readonly id: number }>): Placement {
  const ids = new Uint16Array(0x10000);
  for (const [index, { id }] of servers) ids[index] = id;
  return {
    ...placement,
    current: placement.current.map((index) => ids[index]!),
    base: placement.base.map((index) => ids[index]!),
  };
}

function givenUpBy(
  { address }: SelfAddress,
  { objects }: Version,
  pools: readonly { readonly name: string; readonly id: number }[],
): Set<number> {
  const own = canonicalAddress(address);
  const alive = new Set(
    [...objects.backends.values()]
      .filter((it) => it.isDead !== true && canonicalAddress(it.address) === own)
      .map(({ pool }) => pool),
  );
  return new Set(pools.filter(({ name }) => !alive.has(name)).map(({ id }) => id));
}

/** Records of services, and of their addresses, which have buckets as well: who answers what is for no port. */
export function filterRecords(
  services: readonly DesiredService[],
  ranges: ReadonlyMap<number, SlotRange>,
): ServiceRecord[] {
  const records = new Map<string, ServiceRecord>();
  for (const service of services.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const address = addressKey(service.address);
    const range = ranges.get(service.poolId)!;
    const { linkAddress } = service;
    if (!records.has(nameOf(address)))
      records.set(nameOf(address), {
        key: address,
        fields: withNeighbour(addressFields(service, range), linkAddress),
      });
    const key = serviceKey(service);
    const fields = serviceFields(service, service.poolId, range);
    if (service.isDisabled === true) fields.slot_count = 0;
    // Of every port: the record of the address itself, whichever came first.
    const isAddress = nameOf(key) === nameOf(address);
    records.set(nameOf(key), { key, fields: isAddress ? withNeighbour(fields, linkAddress) : fields });
  }
  return [...records.values()];
}

/** A client has one bucket at an address, as with affinity. */
function addressFields(
  { address, poolId, idleTimeoutMs = 0 }: DesiredService,
  range: SlotRange,
): ServiceFields {
  const version = versionOf(parseAddress(address));
  const fields = plainFields();
  return {
    ...fields,
    flags: fields.flags | ServiceFlag.SERVICE_CLIENT_AFFINITY,
    client_mask: wordsOf(maskOf(version, version === 4 ? 32 : 128)),
    slot_base: range.base,
    slot_count: range.count,
    pool: poolId,
    idle_time: serviceFields({ address, idleTimeoutMs }, poolId, range).idle_time,
  };
}

function withNeighbour(fields: ServiceFields, linkAddress: string | undefined): ServiceFields {
  if (linkAddress === undefined) return fields;
  const flags = fields.flags | ServiceFlag.SERVICE_NEIGHBOUR;
  return { ...fields, flags, link_address: parseMac(linkAddress) };
}
