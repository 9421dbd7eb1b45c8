// Owns which flow keys a client has: one for each service with affinity and address of it, with the slot that the newest
// version has for it. What is known of them is mux_affinities.ts's.
import { AFFINITY_KEYS_MAX } from '../../api/schema/affinity.ts';
import type { Version } from '../../cluster/version.ts';
import type { StoredService } from '../../config/cluster_state.ts';
import { idleTimeoutOf } from '../../config/objects.ts';
import type { ServiceAddress } from '../../dataplane/desired.ts';
import type { ReleaseOutcome, ReleaseRequest } from '../../dataplane/flow_table.ts';
import type { ClientName } from '../../dataplane/flow_tuple.ts';
import { formatAddress, isAddress, parseAddress, versionOf } from '../../lib/address.ts';
import { Failure } from '../../lib/failure.ts';
import { type SlotPlace, slotPlaceOf } from '../tracking/flow_report.ts';

/** What a mux's program knows of clients. */
export interface ClientTables {
  name(service: ServiceAddress, client: string): ClientName | undefined;
  release(request: ReleaseRequest): ReleaseOutcome;
}

/** As somebody has named it: an address, or the prefix that clients share. */
export type GivenClient = { readonly address: string; readonly prefixLength: number | undefined };

export type ClientKey = {
  readonly service: StoredService;
  readonly address: string;
  readonly poolId: number;
  readonly slots: number;
  readonly name: ClientName;
  /** Undefined: the slot is clean. */
  readonly place: SlotPlace | undefined;
  readonly timeoutMs: number;
  readonly ipVersion: 4 | 6;
};

/** @throws Failure `invalid` */
export function givenClient(text: string): GivenClient {
  const [, address = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const most = isAddress(address) && versionOf(parseAddress(address)) === 4 ? 32 : 128;
  const prefixLength = digits === undefined ? undefined : Number(digits);
  if (!isAddress(address) || (prefixLength ?? 1) > most || prefixLength === 0) {
    throw new Failure('invalid', `"${text}" is no client.`, {
      remedy:
        'Write its address, 192.0.2.7 or 2001:db8::7, or with subnet affinity its prefix, 192.0.2.0/24.',
    });
  }
  const isHost = prefixLength === most;
  return {
    address: formatAddress(parseAddress(address)),
    prefixLength: isHost ? undefined : prefixLength,
  };
}

/** How the clients of a key are named: an address, or a prefix. */
export function clientText({ client, prefixLength }: ClientName): string {
  const most = versionOf(parseAddress(client)) === 4 ? 32 : 128;
  return prefixLength === most ? client : `${client}/${prefixLength}`;
}

/** The addresses of a service that a client of this IP version can talk to, as the data plane names them. */
export function addressesOf(
  { addresses, protocol, port }: StoredService,
  ipVersion: 4 | 6,
): (ServiceAddress & { address: string })[] {
  return addresses
    .filter((address) => versionOf(parseAddress(address)) === ipVersion)
    .map((address) => ({
      address,
      ...(protocol === undefined || port === undefined ? {} : { protocol, port }),
    }));
}

/** @throws Failure where there is no such key, or there are too many. */
export function clientKeys(
  client: GivenClient,
  service: string | undefined,
  version: Version,
  tables: Pick<ClientTables, 'name'>,
): readonly ClientKey[] {
  const { services } = version.objects;
  const given = service === undefined ? undefined : services.get(service);
  if (service !== undefined) checkService(service, given);
  const ipVersion = versionOf(parseAddress(client.address));
  const keys: ClientKey[] = [];
  for (const it of given === undefined ? services.values() : [given]) {
    if (it.affinity === undefined) continue;
    for (const address of addressesOf(it, ipVersion)) {
      const name = tables.name(address, client.address);
      if (name === undefined || (client.prefixLength ?? name.prefixLength) !== name.prefixLength) continue;
      const placement = version.placements.get(name.poolId);
      keys.push({
        service: it,
        address: address.address,
        poolId: name.poolId,
        slots: placement?.current.length ?? 0,
        name,
        place: slotPlaceOf(version, name.poolId, name.slot),
        timeoutMs: idleTimeoutOf(it),
        ipVersion,
      });
      if (keys.length > AFFINITY_KEYS_MAX) throw tooMany();
    }
  }
  if (keys.length === 0) throw none(client, ipVersion, service);
  return keys;
}

function checkService(name: string, service: StoredService | undefined): void {
  if (service === undefined) {
    throw new Failure('not_found', `There is no service ${name} in the version in effect.`, {
      remedy: 'See those there are: holdfast services list',
    });
  }
  if (service.affinity !== undefined) return;
  throw new Failure('unsupported', `Service ${name} has no client affinity.`, {
    reason: 'Its connections have servers, each its own; its clients have none.',
    remedy:
      'See one of its connections: holdfast flows show; holdfast services set gives a service affinity.',
  });
}

function tooMany(): Failure {
  return new Failure('limit', `A client has more than ${AFFINITY_KEYS_MAX} services with affinity here.`, {
    remedy: 'Name the service: --service NAME',
  });
}

function none(
  { address, prefixLength }: GivenClient,
  ipVersion: 4 | 6,
  service: string | undefined,
): Failure {
  const what = service === undefined ? 'No service' : `No address of service ${service}`;
  const which = prefixLength === undefined ? '' : ` with clients of /${prefixLength}`;
  return new Failure(
    'not_found',
    `${what} that has client affinity over IPv${ipVersion}${which} is in effect here.`,
    {
      reason: `It is asked for ${address}${prefixLength === undefined ? '' : `/${prefixLength}`}.`,
      remedy:
        'See holdfast services list; a client is named by its address, or by the prefix of the service.',
    },
  );
}
