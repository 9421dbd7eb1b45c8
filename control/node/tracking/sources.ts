// Owns where answers about muxes, changes and flows come from on a running node: the views of the store, and the tables of
// its program.
import { LEADER_ELECTION, registrationKey } from '../../cluster/keys.ts';
import { drainNode, removeNode } from '../../cluster/member_store.ts';
import type { Muxes } from '../../cluster/member_view.ts';
import { type Progress, readProgress } from '../../cluster/progress.ts';
import type { DataplaneClock, Deadline } from '../../dataplane/clock.ts';
import type { CacheRecord, FlowRecord, FlowTable } from '../../dataplane/flow_table.ts';
import type { PeerStates } from '../../dataplane/peer_states.ts';
import type { SelfRecord } from '../../dataplane/self.ts';
import { formatAddress } from '../../lib/address.ts';
import { Failure } from '../../lib/failure.ts';
import type { Store } from '../../store/contract.ts';
import type { MuxOrders } from '../tracking.ts';
import { type CachedFlow, FLOW_TIME_MS, type FlowRow, type FlowTables } from './flow_table.ts';
import type { Hearing, MuxFacts, OwnFacts } from './picture.ts';

/** Of a mux's program. */
export type OwnProgram = {
  readonly self: Pick<SelfRecord, 'id' | 'incarnation' | 'version'>;
  readonly deadline: Pick<Deadline, 'atMs' | 'hasPassed'>;
  readonly peerStates: Pick<PeerStates, 'state'>;
  readonly clock: Pick<DataplaneClock, 'nowNs'>;
};

const NS_PER_MS = 1e6;

/** `peers`: ids of the other members. */
export function ownFacts(
  { self, deadline, peerStates, clock }: OwnProgram,
  peers: readonly number[],
): OwnFacts {
  const nowNs = clock.nowNs();
  const deadlineMs = deadline.atMs;
  const leftMs = deadlineMs === undefined ? undefined : Math.max(0, deadlineMs - Number(nowNs) / NS_PER_MS);
  const hearings = peers.map((id): [number, Hearing] => {
    const { heardNs, version, isPastDeadline } = peerStates.state(id);
    const agoMs = heardNs === 0n ? undefined : Math.max(0, Number(nowNs - heardNs) / NS_PER_MS);
    return [id, { agoMs, version, isPastDeadline }];
  });
  return {
    id: self.id,
    incarnation: self.incarnation,
    version: self.version,
    leaseLeftMs: deadline.hasPassed ? 0 : leftMs,
    hearings: new Map(hearings),
  };
}

export function muxFacts(muxes: Muxes, leader: string | undefined, stale: string | undefined): MuxFacts {
  return {
    registrations: muxes.registrations,
    acknowledgements: muxes.acknowledgements,
    ids: new Map([...muxes.identities].map(([id, { name }]) => [id, name])),
    suspicions: muxes.suspicions,
    drains: muxes.drained,
    leader,
    ...(stale !== undefined && { stale }),
  };
}

/** What is asked of the store, and not followed: kept until it is asked again. */
export class LeaderWords {
  readonly #store: Pick<Store, 'get' | 'leader'>;
  leader: string | undefined;
  progress: Progress | undefined;
  /** Why they are old. */
  stale: string | undefined;

  constructor(store: Pick<Store, 'get' | 'leader'>) {
    this.#store = store;
  }

  async refresh(): Promise<void> {
    try {
      const [leader, progress] = await Promise.all([
        this.#store.leader(LEADER_ELECTION),
        readProgress(this.#store),
      ]);
      this.leader = leader?.value;
      this.progress = progress;
      this.stale = undefined;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.stale = `The store does not answer, so what other muxes say may be out of date: ${error.message}.`;
    }
  }
}

export function muxOrders(store: Pick<Store, 'get' | 'list' | 'txn'>): MuxOrders {
  return {
    drain: (name) => drainNode(store, name, false),
    undrain: (name) => drainNode(store, name, true),
    async forget(name, { force }) {
      if (force) await store.txn([], [{ delete: registrationKey(name) }]);
      await removeNode(store, name);
    },
  };
}

export function flowTables(table: FlowTable): FlowTables {
  return {
    list(from) {
      const { items, cursor } = table.list(from === 0 ? {} : { cursor: from });
      return { rows: items.flatMap(rowOf), next: cursor };
    },
    lookUp(fingerprint, { poolId }) {
      const { table: entry, cache } = table.lookUp(poolId, fingerprint);
      return {
        row: entry === undefined ? undefined : rowOf(entry)[0],
        cached: cache === undefined ? undefined : cachedOf(cache),
      };
    },
  };
}

/** None for an entry of a pool that is gone, or of a protocol that nobody balances. */
function rowOf(it: FlowRecord): FlowRow[] {
  const { fingerprint, poolId, slot, trackEpoch, backend, state, protocol } = it;
  if (poolId === undefined || typeof protocol === 'number') return [];
  return [
    {
      fingerprint,
      poolId,
      slot,
      trackEpoch,
      client: clientOf(it),
      backend,
      seenAgoMs: it.silentMs,
      idleTime: Math.round(it.idleTimeoutMs / FLOW_TIME_MS),
      state,
      protocol,
    },
  ];
}

const IPV4_MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** Of IPv6 the first 32 bits, as a prefix. */
function clientOf({ client, ipVersion }: FlowRecord): string {
  if (ipVersion === 4) return formatAddress(Uint8Array.from([...IPV4_MAPPED, ...client.subarray(0, 4)]));
  return `${formatAddress(Uint8Array.from([...client.subarray(0, 4), ...new Array<number>(12).fill(0)]))}/32`;
}

/** The program's own look-up says only what it believes. */
function cachedOf({ backend, isFromSyn, silentMs }: CacheRecord): CachedFlow {
  return { backend, fromSyn: isFromSyn, seenAgoMs: silentMs, invalid: undefined };
}
