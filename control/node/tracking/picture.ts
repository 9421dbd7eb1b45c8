// Owns what is known of the cluster's muxes and versions at one moment, as data: what everything that is said about them is
// made of. Where it comes from is tracking.ts.

import { chainsOf } from '../../cluster/chain.ts';
import { holdersOf } from '../../cluster/leader/key_rotation.ts';
import type { AskKeyRing, KeyHolder, KnownSteps } from '../../cluster/member_keys_core.ts';
import { partOf } from '../../cluster/role_part.ts';
import type { Acknowledgement, Registration, Version } from '../../cluster/version.ts';
import type { ClusterState, StoredBackend } from '../../config/cluster_state.ts';

/** What this node's program has heard of another mux. */
export type Hearing = {
  /** Undefined: never. */
  readonly agoMs: number | undefined;
  readonly isPastDeadline: boolean;
  /** Its cluster time less this mux's; undefined: it was never heard, or not since. */
  readonly timeAheadMs: number | undefined;
};

/** What muxes have written of themselves and of each other. */
export type MuxFacts = {
  /** By name: muxes whose lease runs. */
  readonly registrations: ReadonlyMap<string, Registration>;
  readonly acknowledgements: ReadonlyMap<string, Acknowledgement>;
  /** Names by id. */
  readonly ids: ReadonlyMap<number, string>;
  readonly suspicions: readonly { readonly observer: string; readonly suspect: string }[];
  /** Keys of in-band headers; undefined: none is known. */
  readonly ring: AskKeyRing | undefined;
  /** Which state of them each mux has, by name. */
  readonly knownKeys: KnownSteps;
  /** Names of muxes that are to leave, or have left. */
  readonly drains: ReadonlySet<string>;
  readonly leader: string | undefined;
  /** Why what is above may be out of date. */
  readonly stale?: string | undefined;
};

/** What a mux knows of itself. */
export type OwnFacts = {
  readonly id: number;
  readonly incarnation: number;
  /** In effect here. */
  readonly version: number;
  /** Undefined: it has no deadline. */
  readonly leaseLeftMs: number | undefined;
  /** By id. */
  readonly hearings: ReadonlyMap<number, Hearing>;
};

export type Picture = {
  readonly self: string;
  /** Never goes back: durations are measured by it. */
  readonly nowMs: number;
  /** Milliseconds since the epoch. */
  readonly wallMs: number;
  /** What users want. */
  readonly intent: ClusterState;
  /** Of the last edit of services, pools and backends: what versions come up to. */
  readonly editedRevision: number;
  /** What muxes do; undefined: there is no version yet. */
  readonly head: Version | undefined;
  readonly muxes: MuxFacts;
  /** Undefined where this node is no mux. */
  readonly own: OwnFacts | undefined;
};

/** Slots that each mux keeps flows of, by id. */
export type Keeping = ReadonlyMap<number, { readonly owned: number; readonly backed: number }>;

/** For whom the leader waits where keys change. */
export function keyHoldersOf(
  head: Version | undefined,
  { registrations }: Pick<MuxFacts, 'registrations'>,
): readonly KeyHolder[] {
  return holdersOf({ members: head?.members ?? [], registrations });
}

// A version never changes, and finding the chains of 65,537 slots takes milliseconds.
const keepings = new WeakMap<Version, Keeping>();

export function keepingOf(version: Version): Keeping {
  const known = keepings.get(version);
  if (known !== undefined) return known;
  const found = new Map<number, { owned: number; backed: number }>();
  const of = (id: number) => {
    const it = found.get(id) ?? { owned: 0, backed: 0 };
    found.set(id, it);
    return it;
  };
  // Servers of a pool of filters keep nothing for each other.
  const { placements, members } = partOf(version, 'mux');
  for (const { period, periods } of placements.values()) {
    if (periods.length === 0) continue;
    const chains = periods.map((it) => chainsOf(it, members));
    period.forEach((number, slot) => {
      if (number === 0) return;
      const chain = chains[number - 1]!(slot);
      if (chain === undefined) return;
      of(chain.owner.id).owned++;
      if (chain.backup !== undefined) of(chain.backup.id).backed++;
    });
  }
  keepings.set(version, found);
  return found;
}

/** `pool/name` of a backend index; removed backends keep their names until nothing needs them. */
export function backendNames(state: Pick<ClusterState, 'backends'> | undefined): ReadonlyMap<number, string> {
  const all: Iterable<StoredBackend> = state?.backends.values() ?? [];
  return new Map([...all].map(({ index, pool, name }) => [index, `${pool}/${name}`]));
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'nobody') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

const UNITS = [
  ['h', 3_600_000],
  ['min', 60_000],
] as const;

/** Of a sentence: 2.4 s, 11 min, 3 h. */
export function span(ms: number): string {
  for (const [unit, unitMs] of UNITS) if (ms >= 2 * unitMs) return `${Math.round(ms / unitMs)} ${unit}`;
  return ms < 9_950 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}

export function counted(amount: number, noun: string): string {
  return `${amount.toLocaleString('en')} ${noun}${amount === 1 ? '' : 's'}`;
}
