// Owns the protections that a daemon can be without, to see them missed, and what it makes of a version then.
import type { Placement, Version } from '../../../control/cluster/version.ts';

export type DaemonFaults = {
  readonly noDeadline?: boolean;
  readonly noRefresh?: boolean;
  readonly noCopy?: boolean;
  /** Who will keep the slots of a mux that leaves is told nothing before it does. */
  readonly noCopyAhead?: boolean;
  readonly ignoresBase?: boolean;
  /** All periods are one: entries of the last count in the next. */
  readonly ignoresEpoch?: boolean;
  /** A server that comes back is taken for the one that died. */
  readonly ignoresGeneration?: boolean;
  /** Each slot has the backends of its neighbour. */
  readonly turnsSlots?: boolean;
  /** Announces and decides before it is a member. */
  readonly announcesEarly?: boolean;
};

/** What a mux without a rule would make of a version. */
export function tampered(version: Version, faults: DaemonFaults): Version {
  const { ignoresBase, ignoresEpoch, ignoresGeneration, turnsSlots } = faults;
  if (!ignoresBase && !ignoresEpoch && !ignoresGeneration && !turnsSlots) return version;
  const of = (placement: Placement): Placement => ({
    ...placement,
    ...(ignoresBase && { base: placement.current }),
    ...(turnsSlots && { base: turned(placement.base), current: turned(placement.current) }),
    ...(ignoresEpoch && { periods: placement.periods.map((period) => ({ ...period, trackEpoch: 1 })) }),
  });
  const backends = [...version.objects.backends].map(([key, it]) => [key, { ...it, generation: 1 }] as const);
  return {
    ...version,
    placements: new Map([...version.placements].map(([id, it]) => [id, of(it)])),
    ...(ignoresGeneration && { objects: { ...version.objects, backends: new Map(backends) } }),
  };
}

function turned(slots: Uint16Array): Uint16Array {
  return Uint16Array.from(slots, (_, at) => slots.at(at - 1)!);
}
