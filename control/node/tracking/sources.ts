// Owns where answers about muxes, changes and flows come from on a running node: the views of the store, and the tables of
// its program.

import type { ExplainRequest, Explanation, NodeEvent } from '../../api/schema.ts';
import { LEADER_ELECTION } from '../../cluster/keys.ts';
import { LEADER_SETTINGS_DEFAULT, SETTLE_IDLES } from '../../cluster/leader/inputs.ts';
import { drainNode, removeNode, rotateKeys } from '../../cluster/member_store.ts';
import { type Muxes, MuxesView } from '../../cluster/member_view.ts';
import { type Progress, readProgress } from '../../cluster/progress.ts';
import { roleOf, type Version } from '../../cluster/version.ts';
import { VersionView } from '../../cluster/version_view.ts';
import type { ClusterView } from '../../cluster/view.ts';
import type { NodeConfig } from '../../config/node.ts';
import type { DataplaneClock, Deadline } from '../../dataplane/clock.ts';
import type { FilterProgram } from '../../dataplane/filter.ts';
import type { CacheRecord, FlowRecord, FlowTable } from '../../dataplane/flow_table.ts';
import { Limit } from '../../dataplane/generated/layout.ts';
import type { MuxProgram } from '../../dataplane/mux.ts';
import type { PeerStates } from '../../dataplane/peer_states.ts';
import type { SelfRecord } from '../../dataplane/self.ts';
import type { ClusterQuestion } from '../../doctor/facts.ts';
import { formatAddress } from '../../lib/address.ts';
import { Failure } from '../../lib/failure.ts';
import type { Store } from '../../store/contract.ts';
import type { FilterClients } from '../affinity/filter_affinities.ts';
import { type MuxOrders, Tracking } from '../tracking.ts';
import { type CachedFlow, FLOW_TIME_MS, type FlowRow, type FlowTables } from './flow_table.ts';
import { CertifiedPeerApis, type IdentitySource } from './peer_apis.ts';
import type { Hearing, MuxFacts, OwnFacts } from './picture.ts';

/** Of a mux's program. */
export type OwnProgram = {
  readonly self: Pick<SelfRecord, 'id' | 'incarnation' | 'version' | 'timeOffset'>;
  readonly deadline: Pick<Deadline, 'atMs' | 'hasPassed'>;
  readonly peerStates: Pick<PeerStates, 'state'>;
  readonly clock: Pick<DataplaneClock, 'nowNs'>;
};

const NS_PER_MS = 1e6;
/** Cluster time counts in ticks of 2^20 ns. */
const TICK_SHIFT = BigInt(Limit.LIMIT_TICK_SHIFT);
const TICK_MASK = 0xffff_ffffn;
const TICK_MS = 2 ** Limit.LIMIT_TICK_SHIFT / NS_PER_MS;

/** `peers`: ids of the other members. */
export function ownFacts(
  { self, deadline, peerStates, clock }: OwnProgram,
  peers: readonly number[],
): OwnFacts {
  const nowNs = clock.nowNs();
  const deadlineMs = deadline.atMs;
  const leftMs = deadlineMs === undefined ? undefined : Math.max(0, deadlineMs - Number(nowNs) / NS_PER_MS);
  const hearings = peers.map((id): [number, Hearing] => {
    const { heardNs, isPastDeadline, time } = peerStates.state(id);
    const agoMs = heardNs === 0n ? undefined : Math.max(0, Number(nowNs - heardNs) / NS_PER_MS);
    // Its time when it answered, against ours at that moment; both modulo 2^32.
    const ticks = (time - self.timeOffset - Number((heardNs >> TICK_SHIFT) & TICK_MASK)) | 0;
    const timeAheadMs = heardNs === 0n ? undefined : ticks * TICK_MS;
    return [id, { agoMs, isPastDeadline, timeAheadMs }];
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
    ring: muxes.ring,
    knownKeys: muxes.knownKeys,
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
      // Nobody waits for it where a timer asks: whatever it is, it is told, and no more.
      const why = error instanceof Failure ? error.message : String(error);
      this.stale = `The store does not answer, so what other muxes say may be out of date: ${why}.`;
    }
  }
}

export function muxOrders(
  store: Pick<Store, 'get' | 'list' | 'txn'>,
  trust: Pick<TrackingSources['trust'], 'forget' | 'rolesOf'>,
): MuxOrders {
  return {
    drain: (name) => drainNode(store, name, false),
    undrain: (name) => drainNode(store, name, true),
    rotateKeys: () => rotateKeys(store, Date.now()),
    forget: async (name, { force, isOff }) => {
      // First of all it is shut out: where the rest fails, that can be repeated.
      await trust.forget(name);
      await removeNode(store, name, { force, isOff });
    },
    trusted: (name) => trust.rolesOf(name),
  };
}

export function flowTables(table: FlowTable): FlowTables {
  return {
    list(from) {
      const { items, cursor } = table.list(from === 0 ? {} : { cursor: from });
      return { rows: items.flatMap(rowOf), next: cursor };
    },
    lookUp(fingerprint, { poolId, protocol }) {
      const { table: entry, cache } = table.lookUp(poolId, fingerprint);
      return {
        row: entry && rowOf(typeof entry.protocol === 'number' ? { ...entry, protocol } : entry)[0],
        cached: cache === undefined ? undefined : cachedOf(cache),
      };
    },
  };
}

export function filterClients(program: FilterProgram): FilterClients {
  const { affinities } = program;
  const msOf = (units: number) => units * FLOW_TIME_MS;
  const left = ({ lifetime, age }: { readonly lifetime: number; readonly age: number }) =>
    msOf(Math.max(0, lifetime - age));
  return {
    name: (service, client) => program.nameClient(service, client),
    lookUp: (fingerprint) => {
      const { own, foreign } = affinities.lookUp(fingerprint);
      return {
        ...(own && { own: { isProven: own.is_proven === 1, seenAgoMs: msOf(own.age), leftMs: left(own) } }),
        ...(foreign && { foreign: { server: foreign.server, leftMs: left(foreign) } }),
      };
    },
    list: (at) => {
      const { next, entries } = affinities.list(at);
      const ranges = [...program.ranges];
      return {
        next,
        items: entries.flatMap((it) => {
          const found = ranges.find(([, { base, count }]) => it.slot >= base && it.slot < base + count);
          if (found === undefined) return [];
          const [poolId, { base }] = found;
          const of = { fingerprint: it.hash, poolId, slot: it.slot - base, isProven: it.is_proven === 1 };
          return [{ ...of, seenAgoMs: msOf(it.age), leftMs: left(it) }];
        }),
      };
    },
    release: (fingerprint) => affinities.release([fingerprint]) + affinities.forget([fingerprint]) > 0,
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
      isOfClient: it.isOfClient,
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

/** What a node follows in the store; a mux's own are with its membership. */
export type Followed = { readonly muxes: MuxesView; readonly versions: VersionView };

export type TrackingSources = {
  readonly config: Pick<NodeConfig, 'cluster'>;
  readonly name: string;
  readonly software: string;
  readonly store: Store;
  readonly view: ClusterView;
  readonly followed: Followed;
  readonly program: MuxProgram | undefined;
  /** Undefined where this node is no filter. */
  readonly filter: FilterProgram | undefined;
  /** What a member, mux or filter, knows of itself. */
  readonly member: OwnProgram | undefined;
  readonly trust: {
    /** With which other daemons are asked. */
    readonly peerIdentity: IdentitySource;
    /** What a node that is removed has to prove who it is does not count any more. */
    readonly forget: (node: string) => Promise<void>;
    readonly rolesOf: (node: string) => readonly string[] | undefined;
  };
  readonly explain: (request: ExplainRequest) => Promise<Explanation>;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly stopping: AbortSignal;
  /** What the doctor is told of health checks. */
  readonly health: () => ClusterQuestion['health'];
};

const REFRESH_INTERVAL_MS = 2_000;

export function buildTracking(sources: TrackingSources): Tracking {
  const { config, name, software, store, view, followed, program, member } = sources;
  const { muxes, versions } = followed;
  const words = new LeaderWords(store);
  const tracking = new Tracking({
    self: name,
    intent: () => view.state,
    editedRevision: () => view.objectsRevision,
    head: () => versions.head,
    muxes: () => muxFacts(muxes.muxes, words.leader, words.stale),
    own: () => member && ownFacts(member, peersOf(versions.head, member.self.id)),
    refresh: () => words.refresh(),
    progress: () => words.progress,
    tables: program && flowTables(program.flows),
    clients: program && {
      name: (service, client) => program.nameClient(service, client),
      release: (request) => program.flows.release(request).outcome,
    },
    filterClients: sources.filter && filterClients(sources.filter),
    explain: ({ protocol, source, sourcePort, destination, destinationPort }) =>
      sources.explain({
        flow: { protocol, source, sourcePort, destination, destinationPort, syn: false },
      }),
    askPort: config.cluster.askPort,
    fill: () => fillOf(program),
    health: sources.health,
    apis: new CertifiedPeerApis(sources.trust.peerIdentity, software),
    orders: muxOrders(store, sources.trust),
    times: { handshakeHoldMs: LEADER_SETTINGS_DEFAULT.handshakeHoldMs, settleIdles: SETTLE_IDLES },
    tell: sources.tell,
    nowMs: () => performance.now(),
    wallMs: Date.now,
  });
  followAfterwards(tracking, words, followed, sources.stopping);
  // The status is answered at once, with what was known last.
  const asking = setInterval(() => void words.refresh(), REFRESH_INTERVAL_MS);
  asking.unref();
  sources.stopping.addEventListener('abort', () => clearInterval(asking));
  return tracking;
}

/** What is told comes after what forwards, which hears of a version at the same moment and on which a change waits. */
function followAfterwards(
  tracking: Tracking,
  words: LeaderWords,
  { muxes, versions }: TrackingSources['followed'],
  stopping: AbortSignal,
): void {
  let heads: Version[] = [];
  let isComing = false;
  const later = () => {
    if (isComing) return;
    isComing = true;
    setImmediate(() => {
      isComing = false;
      const all = heads;
      heads = [];
      if (stopping.aborted) return;
      // Each: one that is over already has its place in what happened.
      for (const head of all) tracking.look(head);
      if (all.length === 0) tracking.look();
      else void words.refresh();
    });
  };
  muxes.onChange(later);
  versions.onChange((head) => {
    heads.push(head);
    later();
  });
}

/** Of its role: of others it hears nothing. */
function peersOf(head: Version | undefined, self: number): number[] {
  return (head?.members ?? [])
    .filter(({ id }) => id !== self && roleOf({ id }) === roleOf({ id: self }))
    .map(({ id }) => id);
}

function fillOf(program: MuxProgram | undefined): Record<string, { used: number; max: number }> {
  if (program === undefined) return {};
  const { flows, chains } = program.limits();
  return { flows, chains };
}

/** For a node that is no mux. */
export function followOnly(
  store: Store,
  onProblem: (problem: Failure | undefined) => void,
): Followed & { start(): Promise<void>; close(): Promise<void> } {
  const muxes = new MuxesView(store, onProblem);
  const versions = new VersionView(store);
  return {
    muxes,
    versions,
    start: async () => void (await Promise.all([muxes.start(), versions.start()])),
    close: async () => void (await Promise.all([muxes.close(), versions.close()])),
  };
}
