// Owns finding what a flow that somebody names is remembered by, as the program would: the service that it is of, and the
// keyed hash of what tells that service's flows apart.
import { addressOfWords, formatAddress, parseAddress, versionOf, wordsOf } from '../lib/address.ts';
import type { ServiceAddress } from './desired.ts';
import { slotOf } from './flow_table.ts';
import { ServiceFlag } from './generated/layout.ts';
import { flowHash, readHashKey } from './hash.ts';
import { addressKey, serviceKey } from './service_record.ts';
import type { ServiceRecord, ServiceTable } from './service_table.ts';

export type FlowTuple = {
  readonly protocol: 'tcp' | 'udp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
};

export type FlowName = {
  readonly fingerprint: bigint;
  readonly poolId: number;
  /** Within its pool. */
  readonly slot: number;
};

const PROTOCOL = { tcp: 6, udp: 17 } as const;

/** Undefined where no service takes it, or its addresses are of two versions. */
export function nameFlow(hashKey: Uint8Array, services: ServiceTable, flow: FlowTuple): FlowName | undefined {
  const [source, destination] = [parseAddress(flow.source), parseAddress(flow.destination)];
  const record = serviceOf(services, flow);
  if (record === undefined || versionOf(source) !== versionOf(destination)) return undefined;
  const { key, fields } = record;
  const rule = { ...key, flags: fields.flags, clientMask: fields.client_mask };
  const fingerprint = flowHash(readHashKey(hashKey), rule, {
    source: wordsOf(source),
    sourcePort: flow.sourcePort,
    destination: wordsOf(destination),
    destinationPort: flow.destinationPort,
    protocol: PROTOCOL[flow.protocol],
  });
  return { fingerprint, poolId: fields.pool, slot: slotOf(fingerprint, fields.slot_count) };
}

/** What is remembered of a client, whatever its ports. */
export type ClientName = FlowName & {
  /** The first address of the clients that share the key. */
  readonly client: string;
  readonly prefixLength: number;
};

/** The key of a client of a service with affinity. Undefined where there is no such service, or none here. */
export function nameClient(
  hashKey: Uint8Array,
  services: ServiceTable,
  service: ServiceAddress,
  client: string,
): ClientName | undefined {
  const source = parseAddress(client);
  const record = services.find(serviceKey(service));
  if (record === undefined || record.fields.slot_count === 0) return undefined;
  const { key, fields } = record;
  if (!(fields.flags & ServiceFlag.SERVICE_CLIENT_AFFINITY) || key.version !== versionOf(source))
    return undefined;
  const { words, port, protocol, version } = key;
  const rule = { ...key, flags: fields.flags, clientMask: fields.client_mask };
  const ends = { sourcePort: 0, destination: words, destinationPort: port, protocol };
  const fingerprint = flowHash(readHashKey(hashKey), rule, { ...ends, source: wordsOf(source) });
  const from = version === 4 ? 3 : 0;
  const masked = wordsOf(source).map((word, at) =>
    at < from ? word : (word & fields.client_mask[at]!) >>> 0,
  );
  return {
    fingerprint,
    poolId: fields.pool,
    slot: slotOf(fingerprint, fields.slot_count),
    client: formatAddress(addressOfWords(masked)),
    prefixLength: fields.client_mask.slice(from).reduce((sum, word) => sum + bitsOf(word), 0),
  };
}

function bitsOf(word: number): number {
  return (word >>> 0).toString(2).replaceAll('0', '').length;
}

/** That of the port, or that of every port of the address. */
function serviceOf(services: ServiceTable, flow: FlowTuple): ServiceRecord | undefined {
  const { destination: address, destinationPort: port, protocol } = flow;
  const exact = services.find(serviceKey({ address, port, protocol }));
  const record = exact ?? services.find(addressKey(address));
  if (record === undefined || record.fields.slot_count === 0) return undefined;
  const takesIt = exact !== undefined || (record.fields.flags & ServiceFlag.SERVICE_ANY_PORT) !== 0;
  return takesIt ? record : undefined;
}
