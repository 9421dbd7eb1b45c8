// Owns what a published version of the cluster's configuration is, as data: what every mux does with every slot. The
// leader makes versions (leader.ts), muxes apply them in order. How one is laid out in the store is version_layout.ts.
import type { ClusterState } from '../config/cluster_state.ts';
import type { Delivery } from '../config/filter.ts';

/** Ids of muxes are 1 to this: MUXES_MAX of the data plane, less nobody's. */
export const MUX_ID_MAX = 63;
/** Those of filter nodes come after: SERVERS_MAX of the data plane, less nobody's. */
export const SERVER_ID_MAX = 1_023;
export const ROLE_IDS: Readonly<Record<MemberRole, { readonly from: number; readonly to: number }>> = {
  mux: { from: 1, to: MUX_ID_MAX },
  filter: { from: MUX_ID_MAX + 1, to: SERVER_ID_MAX },
};

/** Members of one role hear each other, and a pool's slots are in the programs of one role: the other does not count there. */
export type MemberRole = Delivery;
/** Every id is of one role for ever, so a candidate, or who is gone, says by it what it is. */
export const roleOf = ({ id }: { readonly id: number }): MemberRole => (id > MUX_ID_MAX ? 'filter' : 'mux');
/** Of what the data plane has 32 bits for: versions, incarnations. */
export const COUNT_MAX = 0xffff_ffff;

/** A mux whose tables were emptied (reboot, another map layout) comes back as another incarnation. */
export type Candidate = { readonly id: number; readonly incarnation: number };
export const candidateKey = ({ id, incarnation }: Candidate): string => `${id}.${incarnation}`;

export type Member = Candidate & {
  readonly name: string;
  /** Where other muxes reach its program. */
  readonly address: string;
  readonly askPort: number;
  /** It hands its chains over and goes: no new period takes it. */
  readonly isLeaving: boolean;
  /** Of its registration: no deadline of it is further away. Absent: an older Holdfast published it. */
  readonly leaseMs?: number;
  /**
   * A version that had nobody else, before this one: there a mux has no deadline, and it may have that in effect until it
   * acknowledges a later one.
   */
  readonly aloneAt?: number;
};

/**
 * A member that is none any more. Nobody with its id and its incarnation or a lower one is taken in again: incarnations of
 * an id grow, and who was removed empties its tables and takes the next before it registers.
 */
export type Gone = Candidate & {
  readonly name: string;
  /** Its deadline and the margin have passed: barriers do without it. A new leader waits anew for those that are not. */
  readonly isFenced: boolean;
  /** Of the lease that it held last: nodes may have others. Absent: an older Holdfast removed it. */
  readonly leaseMs?: number;
  /** See Member: time does not fence it. */
  readonly aloneAt?: number;
  /** Of a filter node with `aloneAt`, which may answer clients still. */
  readonly address?: string;
};

/**
 * Slots of one pool that are at the same step of the same tracking. `trackEpoch` names the tracking: a second change that
 * overlaps puts the slots it moves into a period of their own with the same track epoch, candidates and chain epoch, so
 * that they take steps by themselves. Chains follow from `candidates`: the groups in order, within a group by rendezvous,
 * the first two that are members (chain.ts). Who joins while the tracking lasts becomes a group of its own at the end.
 */
export type Period = {
  /** Version at which tracking began. */
  readonly trackEpoch: number;
  /** Version at which chains changed last; the same for all periods of a track epoch. */
  readonly chainEpoch: number;
  /** In a pool of filters one group: the holders, servers that may have affinities of these slots. */
  readonly candidates: readonly (readonly Candidate[])[];
  readonly step: Step;
  /** Version that brought the step. */
  readonly stepVersion: number;
  /** What the waits of the period's steps last, milliseconds: the longest of the pool's services. */
  readonly idleTimeoutMs: number;
  /** Of a dead backend: no hold, no settle window. */
  readonly isUrgent: boolean;
  /**
   * A leave brought `chainEpoch`, and those who keep slots since then had their flows before: until the copies of it are done
   * only what was recorded meanwhile is at one mux alone.
   */
  readonly isCopiedAhead?: true;
  /** Slots that lost owner and backup before a repair was done: flows that were open then may be lost. */
  readonly lostSlots: number;
  /** Of these, those that lost no flow but of a few seconds: while a mux that left was made up for. */
  readonly lostBriefly?: number;
  /** The edit it came of, for people. */
  readonly reason: string;
};

/**
 * In a pool of filters there is no `track`; commit: the slot is acquired, `current` asks and answers, `base` answers still;
 * settle: it is released, `current` alone takes new clients. In a pool of muxes:
 * track: new flows are recorded, everything goes where it went before. commit: new flows go to `current`, unknown ones to
 * `base`. settle: base = current; old flows are known, or ended. After it slots become clean one by one.
 */
export type Step = 'track' | 'commit' | 'settle';

/** The slots of one pool. The arrays are of the same length, M. */
export type Placement = {
  readonly poolId: number;
  /** Backend indexes; 0: nobody. */
  readonly current: Uint16Array;
  readonly base: Uint16Array;
  /** 0: clean. n: in `periods[n - 1]`. */
  readonly period: Uint8Array;
  /** At most PERIODS_MAX. */
  readonly periods: readonly Period[];
};
/** Of one pool at a time; another change waits until there is room. */
export const PERIODS_MAX = 255;

export type Version = {
  /** From 1 on, by one. */
  readonly number: number;
  /** Names the cluster's life: a restored store gets another, so that a number never means two contents. */
  readonly cluster: string;
  /** SHA-256 of the content, hexadecimal: what acknowledgements name. */
  readonly digest: string;
  /** Of the leader that published it. */
  readonly leaderEpoch: number;
  /** Muxes that decide; others must not. By id. */
  readonly members: readonly Member[];
  /** Who was a member, the last of each id. By id. */
  readonly gone: readonly Gone[];
  /**
   * Services, pools and backends in effect. `revision` is the modRevision of `cluster/objects` it has come up to: that
   * which commitEdits() returned. Backends that were removed stay until no slot and no flow needs them, under the key of
   * retiredKey(); dead ones are left out once no slot names them. `tables` are not in it: see `placements`.
   */
  readonly objects: Pick<ClusterState, 'revision' | 'services' | 'pools' | 'backends'>;
  /** Removed backends that no slot names, by index: since which version. Flows of periods begun before may. */
  readonly unnamedSince: ReadonlyMap<number, number>;
  /** By pool id. */
  readonly placements: ReadonlyMap<number, Placement>;
};

/** What the leader makes; laying it out in the store gives it the rest. */
export type Draft = Omit<Version, 'digest' | 'leaderEpoch'>;

/** The key in `Version.objects.backends` of a backend that no edit knows any more: no name has a tilde. */
export function retiredKey({ pool, name, index }: { pool: string; name: string; index: number }): string {
  return `${pool}/${name}~${index}`;
}

/** What a mux writes of itself, under the lease of its node, while it follows versions. Its key goes: it is dead. */
export type Registration = {
  readonly name: string;
  readonly id: number;
  /** Grows with each emptying of its tables, for ever: also when it was removed. */
  readonly incarnation: number;
  readonly address: string;
  readonly askPort: number;
  /** It has withdrawn its routes and wants to go. */
  readonly isLeaving: boolean;
  /** Of its lease: how long it may decide without another proof. */
  readonly leaseMs: number;
  /** HOST:PORT of its API over TLS; absent: it has none. */
  readonly api?: string;
};

/** What a mux says it has done. `version` is in effect on each of its CPUs. */
export type Acknowledgement = {
  readonly name: string;
  readonly incarnation: number;
  readonly version: number;
  readonly digest: string;
  /** A newer one is in effect, too, but a pledge that there is none is out: until that has ended nobody may count on it. */
  readonly heldBack?: number;
  /** Periods for which, at this version, the mux says what the leader waits for; see leader.ts. */
  readonly reports: readonly PeriodReport[];
};

/** How often a mux writes its reports while it has something to report that time alone changes. */
export const REPORT_INTERVAL_MS = 2_000;

/**
 * Of all periods of a track epoch in a pool. Reports are of the version that the same acknowledgement names. While a
 * period is at commit or settle its muxes write theirs anew at least every REPORT_INTERVAL_MS, changed or not: silence is
 * no report.
 */
export type PeriodReport = {
  readonly poolId: number;
  readonly trackEpoch: number;
  /**
   * At this chain epoch, after the leader saw its barrier or not, the mux has copied its flows of each slot that it owns to
   * the backup, where that is a new one, and the backup has taken them. Nothing to copy counts as done. 0: none yet.
   */
  readonly copiedChainEpoch: number;
  /**
   * Where a mux hands over (leaving.ts), this one has copied what it keeps to those who will keep it beside it once that one
   * is in no chain. Of the version of the acknowledgement alone.
   */
  readonly isHandedOver: boolean;
  /** Some packet of the tracking was answered unrecorded here, or marked a chain here, this many milliseconds ago; -1: none was. */
  readonly unrecordedAgoMs: number;
  /**
   * Live entries here whose backend is not the slot's `current`, by slot: bit `slot & 7` of byte `slot >> 3`, of M bits.
   * Entries of backends that are absent or of another generation are not live. Absent: not counted yet at this version.
   */
  readonly heldSlots?: Uint8Array;
  /** Live entries, and those of another backend than current. */
  readonly flows: number;
  readonly oldFlows: number;
};
