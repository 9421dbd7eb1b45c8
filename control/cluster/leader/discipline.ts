// Owns how slots of a pool move, by who has them in its program: muxes that forward, or servers that all hear. The leader
// asks here and knows nothing else of the difference. Pure.
import { type Delivery, deliveryOf } from '../../config/filter.ts';
import type { Pool } from '../../config/objects.ts';
import type { Member, Period, Placement, Version } from '../version.ts';
import { withMembers } from './chains.ts';
import { withoutGone } from './holders.ts';
import { nextOfServers } from './holders_placement.ts';
import type { Membership } from './membership.ts';
import { nextPlacement, type PlacementChange, type PlacementInputs } from './placement.ts';

export type Discipline = {
  /** Of the members whose acknowledgements count for these slots. */
  readonly role: Delivery;
  /** Every member that has the slots hears every packet of them. */
  readonly allHear: boolean;
  /** The period as members are from version `number` on. */
  readonly withMembers: (
    period: Period,
    placement: Placement,
    change: Membership,
    before: readonly Member[],
    number: number,
    isRepaired: boolean,
  ) => Period;
  readonly next: (inputs: PlacementInputs) => PlacementChange;
};

const DISCIPLINES: Readonly<Record<Delivery, Discipline>> = {
  mux: {
    role: 'mux',
    allHear: false,
    withMembers,
    next: nextPlacement,
  },
  filter: {
    role: 'filter',
    allHear: true,
    withMembers: (period, _, change) => withoutGone(period, change),
    next: nextOfServers,
  },
};

export function disciplineOf(pool: Pick<Pool, 'delivery'>): Discipline {
  return DISCIPLINES[deliveryOf(pool)];
}

/** By pool id. */
export function disciplinesOf({ objects }: Pick<Version, 'objects'>): (poolId: number) => Discipline {
  const known = new Map([...objects.pools.values()].map((it) => [it.id, disciplineOf(it)]));
  return (poolId) => known.get(poolId) ?? DISCIPLINES.mux;
}
