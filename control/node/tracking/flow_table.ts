// Owns what a node needs of the flow tables of its program, and what entries of them are in the words of the configuration.

import type { FlowSelection } from '../../api/node_port.ts';
import type { FlowEntry } from '../../api/schema.ts';
import { chainsOf } from '../../cluster/chain.ts';
import type { Version } from '../../cluster/version.ts';
import { idleTimeoutOf } from '../../config/objects.ts';
import { flowTime } from '../../dataplane/service_record.ts';
import { parseAddress, versionOf } from '../../lib/address.ts';
import { Failure } from '../../lib/failure.ts';
import { backendNames } from './picture.ts';

/** The unit of flow time (FLOW_TIME_SHIFT), in which tables have ages and timeouts. */
export const FLOW_TIME_MS = 2 ** 28 / 1e6;

/** A live entry of the flow table. */
export type FlowRow = {
  readonly fingerprint: bigint;
  readonly poolId: number;
  /** Within its pool. */
  readonly slot: number;
  readonly trackEpoch: number;
  /** IPv4 address, or the first 32 bits of an IPv6 one. */
  readonly client: string;
  readonly backend: number;
  readonly seenAgoMs: number;
  /** As the table has it, in flow time. */
  readonly idleTime: number;
  readonly state: FlowEntry['state'];
  readonly protocol: 'tcp' | 'udp';
  /** Its key is a client with affinity. */
  readonly isOfClient?: boolean;
};

/** An entry of the cache, valid or not. */
export type CachedFlow = {
  readonly backend: number;
  readonly fromSyn: boolean;
  readonly seenAgoMs: number;
  /** Why it is not believed; undefined: it is. */
  readonly invalid: string | undefined;
};

export interface FlowTables {
  /** Live entries from a position on, of a bounded part of the table; without `next` that was the rest. */
  list(from: number): { readonly rows: readonly FlowRow[]; readonly next: number | undefined };
  /** By the flow's hash, in the slot's tracking. Of an entry that came by a refresh, who asks knows the protocol. */
  lookUp(
    fingerprint: bigint,
    of: { readonly poolId: number; readonly slot: number; readonly protocol: 'tcp' | 'udp' },
  ): { readonly row: FlowRow | undefined; readonly cached: CachedFlow | undefined };
}

/** A version as entries need it: names, chains, current backends. */
export class FlowNames {
  readonly #version: Version;
  readonly #node: { readonly name: string; readonly id: number };
  readonly #backends: ReadonlyMap<number, string>;
  readonly #pools: ReadonlyMap<number, string>;
  readonly #services: ReadonlyMap<string, readonly string[]>;
  readonly #chains = new Map<string, ReturnType<typeof chainsOf>>();

  constructor(version: Version, node: { readonly name: string; readonly id: number }) {
    this.#version = version;
    this.#node = node;
    this.#backends = backendNames(version.objects);
    this.#pools = new Map([...version.objects.pools.values()].map(({ id, name }) => [id, name]));
    const named = [...version.objects.services.values()].map((it) => ({
      name: it.name,
      key: `${it.pool} ${it.protocol ?? 'any'} ${flowTime(idleTimeoutOf(it))} ${it.affinity !== undefined}`,
    }));
    this.#services = new Map(
      [...Map.groupBy(named, ({ key }) => key)].map(([key, all]) => [key, all.map(({ name }) => name)]),
    );
  }

  entry(row: FlowRow): FlowEntry {
    const pool = this.#pools.get(row.poolId) ?? `pool-${row.poolId}`;
    const backend = this.#backends.get(row.backend);
    const current = this.#version.placements.get(row.poolId)?.current[row.slot];
    const { isOfClient = false } = row;
    return {
      fingerprint: hexOf(row.fingerprint),
      client: row.client,
      services: [
        ...(this.#services.get(`${pool} ${row.protocol} ${row.idleTime} ${isOfClient}`) ?? []),
        ...(this.#services.get(`${pool} any ${row.idleTime} ${isOfClient}`) ?? []),
      ].sort(),
      ...(isOfClient && { key: 'client' as const }),
      protocol: row.protocol,
      pool,
      slot: row.slot,
      ...(backend !== undefined && { backend }),
      isOld: current !== row.backend,
      state: row.state,
      seenAgoMs: row.seenAgoMs,
      idleTimeoutMs: row.idleTime * FLOW_TIME_MS,
      node: this.#node.name,
      role: this.#roleOf(row),
      trackEpoch: row.trackEpoch,
    };
  }

  #roleOf({ poolId, slot, trackEpoch }: FlowRow): FlowEntry['role'] {
    const placement = this.#version.placements.get(poolId);
    const period = placement?.periods[(placement.period[slot] ?? 0) - 1];
    if (period?.trackEpoch !== trackEpoch) return 'former';
    const key = `${poolId}.${placement!.period[slot]}`;
    const chains = this.#chains.get(key) ?? chainsOf(period, this.#version.members);
    this.#chains.set(key, chains);
    const chain = chains(slot);
    if (chain?.owner.id === this.#node.id) return 'owner';
    return chain?.backup?.id === this.#node.id ? 'backup' : 'former';
  }
}

export function hexOf(fingerprint: bigint): string {
  return fingerprint.toString(16).padStart(16, '0');
}

/**
 * Whether an entry is one of the selected.
 * @throws Failure not_found for objects that there are not, `invalid` for what is no client.
 */
export function selector(selection: FlowSelection, { objects }: Version): (entry: FlowEntry) => boolean {
  const { service, backend, pool, slot, state, client, old, role, key } = selection;
  if (service !== undefined && !objects.services.has(service)) throw noSuch('service', service);
  if (pool !== undefined && !objects.pools.has(pool)) throw noSuch('pool', pool);
  if (backend !== undefined && ![...backendNames(objects).values()].includes(backend)) {
    throw noSuch('backend', backend);
  }
  const isClient = client === undefined ? () => true : clientSelector(client);
  return (entry) =>
    (role === undefined || entry.role === role) &&
    (key === undefined || entry.key === key) &&
    (service === undefined || entry.services.includes(service)) &&
    (backend === undefined || entry.backend === backend) &&
    (pool === undefined || entry.pool === pool) &&
    (slot === undefined || entry.slot === slot) &&
    (state === undefined || entry.state === state) &&
    (!old || entry.isOld) &&
    isClient(entry.client);
}

function noSuch(kind: 'service' | 'pool' | 'backend', name: string): Failure {
  return new Failure('not_found', `There is no ${kind} ${name} in the version in effect.`, {
    remedy: `See those there are: holdfast ${kind}s list`,
  });
}

/** Of IPv6 addresses entries have the first 32 bits. */
const KNOWN_BITS_6 = 32;

function clientSelector(text: string): (client: string) => boolean {
  const [address = '', length] = text.split('/');
  const bytes = bytesOf(address);
  const version = bytes && versionOf(bytes);
  const most = version === 4 ? 32 : 128;
  const bits = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (bytes === undefined || !(bits <= most)) {
    throw new Failure('invalid', `"${text}" is no address or prefix of a client.`, {
      remedy: 'Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    });
  }
  const begin = version === 4 ? 96 : 0;
  const compared = version === 4 ? bits : Math.min(bits, KNOWN_BITS_6);
  const wanted = bitsOf(bytes, begin, compared);
  return (client) => {
    const given = bytesOf(client.split('/')[0]!);
    return given !== undefined && versionOf(given) === version && bitsOf(given, begin, compared) === wanted;
  };
}

function bytesOf(address: string): Uint8Array | undefined {
  try {
    return parseAddress(address);
  } catch {
    return undefined;
  }
}

function bitsOf(bytes: Uint8Array, begin: number, length: number): number {
  let found = 0;
  for (let bit = begin; bit < begin + length; bit++) {
    found = found * 2 + ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1);
  }
  return found;
}
