// Owns what the leader's core is told and what it answers, as data.
import type { ClusterState } from '../../config/cluster_state.ts';
import type { Acknowledgement, Draft, Registration, Step, Version } from '../version.ts';

export type LeaderSettings = {
  /** So long after the barrier of its tracking, SYNs that were sent before are sent again: then they are recorded. */
  readonly handshakeHoldMs: number;
  /** Of the leadership, and of a member whose own lease no version says. */
  readonly leaseMs: number;
  /** Clocks of different hosts may go this much apart in a lease at least: MARGIN_SHARE of a long one is more. */
  readonly marginMs: number;
  /**
   * Who has not acknowledged a version so long after it was published is removed; where some member has a longer lease than
   * `leaseMs`, by so much later.
   */
  readonly acknowledgeMsMax: number;
  /** How long a leaving mux may take to hand over what it keeps. */
  readonly handOverMsMax: number;
};

export const LEADER_SETTINGS_DEFAULT: LeaderSettings = {
  handshakeHoldMs: 3_000,
  leaseMs: 3_000,
  marginMs: 500,
  // A peer that has pledged acknowledges a lease and a margin later.
  acknowledgeMsMax: 10_000,
  handOverMsMax: 60_000,
};

/** The settle window, in idle timeouts. */
export const SETTLE_IDLES = 1.1;
/** Versions that some member has not acknowledged: beyond that only membership changes. */
export const VERSIONS_AHEAD_MAX = 16;
/** Slots become clean one by one for hours; a version is not made for each. */
export const CLEAN_PAUSE_MS = 5_000;
/** Periods of a pool that only progress may use. */
export const PERIODS_RESERVED = 32;

export type Intent = {
  readonly state: Pick<ClusterState, 'services' | 'pools' | 'backends' | 'tables' | 'retired'>;
  /** The modRevision of `cluster/objects`. */
  readonly revision: number;
};

/** Objects that did not change in the store are the same objects from step to step. */
export type Inputs = {
  readonly intent: Intent;
  readonly head: Version | undefined;
  /** By name. */
  readonly registrations: ReadonlyMap<string, Registration>;
  readonly acknowledgements: ReadonlyMap<string, Acknowledgement>;
  /** By observer: incarnations of those that it does not hear, by name. */
  readonly suspicions: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Whose registration an operator has taken away while its lease ran, by candidate: how long that is. */
  readonly cutOff: ReadonlyMap<string, number>;
  /** For a first version, or one that follows a restored store: a name that no cluster ever had. */
  readonly freshCluster: string;
};

export type Outcome = {
  readonly publish: Draft | undefined;
  /** Members that `publish` removes: their registrations are deleted with it, so that they cannot renew. */
  readonly deregister: readonly Registration[];
  /** To be taken off what the intent has retired: no version has it any more. */
  readonly forget: { readonly backends: ReadonlySet<number>; readonly pools: ReadonlySet<number> };
  /** When to step again although nothing was heard. */
  readonly wakeAtMs: number | undefined;
  readonly open: readonly OpenChange[];
  readonly problems: readonly LeaderProblem[];
  /** How long its steps last. */
  readonly times: StepTimes;
};

export type StepTimes = {
  readonly handshakeHoldMs: number;
  /** The settle window, in idle timeouts. */
  readonly settleIdles: number;
};

/** A period, for people. */
export type OpenChange = {
  readonly pool: string;
  readonly poolId: number;
  readonly trackEpoch: number;
  readonly step: Step;
  readonly stepVersion: number;
  readonly slots: number;
  readonly isUrgent: boolean;
  readonly reason: string;
  /** What it waits for, as sentences; none: nothing, it goes on with the next version. */
  readonly waits: readonly string[];
  /** Members that have not acknowledged the version of the step. */
  readonly unacknowledged: readonly string[];
  /** Earliest time of the next step; undefined: it depends on others. */
  readonly earliestAtMs: number | undefined;
  /** As owners and backups count them, the largest count. */
  readonly flows: number;
  readonly oldFlows: number;
  readonly lostSlots: number;
};

export type LeaderProblem = {
  readonly code: 'panic' | 'periods' | 'crowded' | 'lost' | 'silent' | 'registration' | 'restored' | 'behind';
  /** Of what: a pool, a mux. */
  readonly subject: string;
  readonly message: string;
};
