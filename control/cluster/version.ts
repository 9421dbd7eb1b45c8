// Owns what a published version of the cluster's configuration is, as data: what every mux does with every slot. The
// leader makes versions (leader.ts), muxes apply them in order. How one is laid out in the store is version_layout.ts.
import type { ClusterState } from '../config/cluster_state.ts';

/** A mux whose tables were emptied (reboot, another map layout) comes back as another incarnation. */
export type Candidate = { readonly id: number; readonly incarnation: number };

export type Member = Candidate & {
  readonly name: string;
  /** Where other muxes reach its program. */
  readonly address: string;
  readonly askPort: number;
  /** It hands its chains over and goes: no new period takes it. */
  readonly isLeaving: boolean;
};

/**
 * A tracking period: slots whose flows somebody keeps. Its slots' chains follow from `candidates`: the groups in order,
 * within a group by rendezvous, the first two that are members (chain.ts). Who joins while the period lasts becomes a
 * group of its own at the end.
 */
export type Period = {
  /** Version at which it began: names it within its pool. */
  readonly trackEpoch: number;
  /** Version at which chains changed last. */
  readonly chainEpoch: number;
  readonly candidates: readonly (readonly Candidate[])[];
  readonly step: Step;
  /** Version that brought the step. */
  readonly stepVersion: number;
  /** What the waits of the period's steps last, milliseconds: the longest of the pool's services. */
  readonly idleTimeoutMs: number;
  /** Of a dead backend: no hold, no settle window. */
  readonly isUrgent: boolean;
  /** The edit it came of, for people. */
  readonly reason: string;
};

/**
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
/** Of one pool at a time; another change waits until one has ended. */
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
  /**
   * Services, pools and backends in effect. `revision` is that of the edit it has come up to. Backends that were removed
   * stay until no slot and no flow needs them; `tables` are not in it: see `placements`.
   */
  readonly objects: Pick<ClusterState, 'revision' | 'services' | 'pools' | 'backends'>;
  /** By pool id. */
  readonly placements: ReadonlyMap<number, Placement>;
};

/** What a mux says it has done. `version` is in effect on each of its CPUs. */
export type Acknowledgement = {
  readonly name: string;
  readonly incarnation: number;
  readonly version: number;
  readonly digest: string;
  /** Periods for which, at this version, the mux says what the leader waits for; see leader.ts. */
  readonly reports: readonly PeriodReport[];
};

export type PeriodReport = {
  readonly poolId: number;
  readonly trackEpoch: number;
  /** At this chain epoch the mux, as owner, has copied its flows to the new backup of every slot that needed it. */
  readonly copiedChainEpoch: number;
  /** Since the step's version, some packet of the period was answered unrecorded this many milliseconds ago; -1: none was. */
  readonly unrecordedAgoMs: number;
  /** Live entries here whose backend is not the slot's `current`, by slot: a bitmap of M bits, base64, deflated; absent: not counted yet. */
  readonly heldSlots?: string;
  /** Live entries, and those of another backend than current. */
  readonly flows: number;
  readonly oldFlows: number;
};
