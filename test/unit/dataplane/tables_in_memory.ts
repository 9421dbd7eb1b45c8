// Owns tables in plain memory for tests of the order of writes, and what packets find in them.

import { newPlacement } from '../../../control/cluster/leader/placement.ts';
import { type BackendConfig, BackendTable, PEERS } from '../../../control/dataplane/backend_table.ts';
import { ChainTable } from '../../../control/dataplane/chain_table.ts';
import { Counters } from '../../../control/dataplane/counters.ts';
import type { DesiredPool, DesiredService } from '../../../control/dataplane/desired.ts';
import {
  backendCodec,
  chainCodec,
  countersCodec,
  Limit,
  muxSelfCodec,
  ServiceFlag,
  serviceCodec,
} from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import {
  hashKeyFromSecret,
  readHashKey,
  serviceDigest,
  servicePlace,
} from '../../../control/dataplane/hash.ts';
import { muxTables } from '../../../control/dataplane/mux_tables.ts';
import { PoolTable } from '../../../control/dataplane/pool_table.ts';
import { SelfRecord } from '../../../control/dataplane/self.ts';
import { ServerIdTable } from '../../../control/dataplane/server_id_table.ts';
import { serviceKey } from '../../../control/dataplane/service_record.ts';
import { ServiceTable } from '../../../control/dataplane/service_table.ts';
import { SlotTable } from '../../../control/dataplane/slot_table.ts';
import { Traffic } from '../../../control/dataplane/traffic.ts';
import { parseAddress } from '../../../control/lib/address.ts';

export const KEY = readHashKey(hashKeyFromSecret(new Uint8Array(32).fill(5)));
export const CAPACITY = 64;
export const CHAINS = 8;
export const BUCKETS = 16;
export const SOURCES = { source4: parseAddress('198.18.0.0'), source6: undefined };

export function build(atGrace: () => void = () => {}) {
  const memory = {
    services: new Uint8Array(Limit.LIMIT_SERVICES * serviceCodec.sizeBytes),
    filter: new Uint8Array(Limit.LIMIT_ADDRESS_FILTER_BYTES),
    backends: new ArrayBuffer(Limit.LIMIT_BACKENDS * backendCodec.sizeBytes),
    slots: new BigUint64Array(CAPACITY),
    chains: new ArrayBuffer(CHAINS * chainCodec.sizeBytes),
    peers: new ArrayBuffer(Limit.LIMIT_MUXES * backendCodec.sizeBytes),
    pools: new BigUint64Array(8),
    self: new ArrayBuffer(muxSelfCodec.sizeBytes),
    serverIds: new BigUint64Array(BUCKETS * Limit.LIMIT_INDEX_BUCKET_WORDS),
    counters: new ArrayBuffer(countersCodec.sizeBytes),
  };
  const grace = new GracePeriods(async () => atGrace());
  const parts = {
    grace,
    services: new ServiceTable(memory.services, memory.filter, KEY, grace),
    backends: new BackendTable(memory.backends, SOURCES, grace),
    serverIds: new ServerIdTable(memory.serverIds, BUCKETS, KEY),
    slots: new SlotTable(memory.slots),
    chains: new ChainTable(memory.chains, grace, CHAINS),
    peers: new BackendTable(memory.peers, undefined, grace, PEERS),
    pools: new PoolTable(memory.pools),
    self: new SelfRecord(memory.self),
    traffic: new Traffic(new Counters(memory.counters, 1), 1, undefined),
  };
  return { memory, parts, tables: muxTables(parts) };
}

export type Memory = ReturnType<typeof build>['memory'];

/** What the program does with a packet of slot `slot` of a service: the destination's last byte, or why none. */
export function route(
  memory: Memory,
  service: DesiredService,
  slot: number,
): number | 'no service' | 'no backend' {
  const key = serviceKey(service);
  const home = servicePlace(KEY, serviceDigest(KEY, key.words, key.port, key.protocol, key.version));
  for (let probe = 0; probe < Limit.LIMIT_SERVICE_PROBES; probe++) {
    const offset = ((home + probe) & (Limit.LIMIT_SERVICES - 1)) * serviceCodec.sizeBytes;
    const view = new DataView(memory.services.buffer, offset, serviceCodec.sizeBytes);
    const record = serviceCodec.read(view, 0);
    const isThis = view.getUint16(32) === key.port && record.address.word[3] === key.words[3];
    if (record.flags & ServiceFlag.SERVICE_PRESENT && isThis) {
      const index = Number(memory.slots[record.slot_base + (slot % record.slot_count)]! & 0xffffn);
      const backend = new Uint8Array(memory.backends, index * backendCodec.sizeBytes, backendCodec.sizeBytes);
      // Present, with a next hop: what a packet does without one depends on the host.
      return (backend[16]! & 3) === 3 ? backend[15]! : 'no backend';
    }
    if (!(record.flags & ServiceFlag.SERVICE_CONTINUED)) break;
  }
  return 'no service';
}

export const backendOf = (last: number, mac = 1): BackendConfig => ({
  address: `192.0.2.${last}`,
  encap: 'ip',
  mtuBytes: 1500,
  nextHop: { ifindex: 0, destinationMac: `02:00:00:00:00:0${mac}`, sourceMac: '02:00:00:00:00:09' },
});

export const serviceOf = (port: number, poolId: number): DesiredService => ({
  name: `s${port}`,
  address: '203.0.113.1',
  protocol: 'tcp',
  port,
  poolId,
});

export const poolOf = (id: number, slots: Uint16Array, name = `p${id}`): DesiredPool => ({
  name,
  ...newPlacement(id, slots),
});

/** In no cluster. */
export const ALONE = { revision: 1, version: 0, members: [], peers: new Map() };
