// Owns which flows an edit ends or puts at risk, of the slots that it moves: those whose backend is given up, and those
// that one mux alone knows while the change lasts. Pure.
//
// Clean slots keep no record of their flows, so of them only the slots can be counted. Flows of tracked slots are counted
// by what owners and backups reported, for slots of one change by their share of it.
import type { PlanRisk } from '../../api/schema.ts';
import { type Chain, chainsOf } from '../../cluster/chain.ts';
import { hasCopied } from '../../cluster/copies.ts';
import { firstCandidates } from '../../cluster/leader/chains.ts';
import { deadIn } from '../../cluster/leader/objects.ts';
import { partOf } from '../../cluster/role_part.ts';
import type { Period, Placement } from '../../cluster/version.ts';
import type { ClusterState } from '../../config/cluster_state.ts';
import { knownFlows } from './change_views.ts';
import { backendNames, counted, listed, type Picture } from './picture.ts';

export type Risks = {
  readonly risks: PlanRisk[];
  /** Slots whose backend is given up: nothing is waited for on their behalf. */
  readonly givenUp: number;
};

/** Of slots by period (0: clean). */
type Count = Uint32Array;

/** `moves`: whether a slot gets another backend. */
export function risksOf(
  placement: Placement,
  after: Pick<ClusterState, 'backends' | 'retired'>,
  moves: (slot: number) => boolean,
  picture: Picture,
): Risks {
  const { head } = picture;
  // Servers of a pool of filters keep what they know themselves: it goes with nobody else.
  if (head === undefined || !partOf(head, 'mux').placements.has(placement.poolId))
    return { risks: [], givenUp: 0 };
  const { current, period, periods } = placement;
  const isDead = deadIn(after);
  const chains = periods.map((it) => chainsOf(it, head.members));
  const newCount = () => new Uint32Array(periods.length + 1);
  const [all, givenUp, single] = [newCount(), newCount(), newCount()];
  const [copying, following] = [newCount(), newCount()];
  const dead = new Set<number>();
  const keepers = new Set<number>();
  const copiers = new Set<number>();
  for (let slot = 0; slot < current.length; slot++) {
    const number = period[slot]!;
    all[number]!++;
    if (!moves(slot)) continue;
    const backend = current[slot]!;
    if (isDead(backend)) {
      givenUp[number]!++;
      dead.add(backend);
      continue;
    }
    // A clean slot gets its chain of those who are members then.
    const chain = number === 0 ? firstChain(picture) : chains[number - 1]!(slot);
    if (chain === undefined) continue;
    if (chain.backup === undefined) {
      single[number]!++;
      keepers.add(chain.owner.id);
    } else if (number > 0 && !backupHas(chain, periods[number - 1]!, placement.poolId, picture)) {
      (periods[number - 1]!.isCopiedAhead ? following : copying)[number]!++;
      copiers.add(chain.owner.id);
    }
  }
  const known = (count: Count) => flowsIn(count, all, placement, picture);
  const nameOf = (id: number) => head.members.find((it) => it.id === id)?.name ?? `mux ${id}`;
  const muxes = (ids: Iterable<number>) => listed([...ids].map(nameOf).sort());
  const backends = new Map([...backendNames(head.objects), ...backendNames(after)]);
  const names = listed([...dead].map((it) => backends.get(it) ?? `backend ${it}`).sort());
  const risks: PlanRisk[] = [
    {
      kind: 'given-up',
      slots: total(givenUp),
      known: known(givenUp),
      why: `Flows of ${counted(total(givenUp), 'slot')} end: ${names} ${dead.size === 1 ? 'is' : 'are'} given up.`,
    },
    {
      kind: 'one-copy',
      slots: total(single),
      known: known(single),
      why: `Flows of ${counted(total(single), 'slot')} are at ${muxes(keepers)} alone while the change lasts, and lost if it dies.`,
    },
    {
      kind: 'copying',
      slots: total(copying),
      known: known(copying),
      why: `Flows of ${counted(total(copying), 'slot')} are being copied to a new backup; what ${muxes(copiers)} has not copied is lost if it dies.`,
    },
    {
      kind: 'copying',
      slots: total(following),
      known: known(following),
      why: `A mux has left: what was recorded meanwhile of ${counted(total(following), 'slot')} is being copied, and what ${muxes(copiers)} has not copied of it is lost if it dies.`,
    },
  ];
  return { risks: risks.filter(({ slots }) => slots > 0), givenUp: total(givenUp) };
}

function firstChain({ head }: Picture): Chain | undefined {
  const [owner, backup] = firstCandidates(head!.members).flat();
  return owner && { owner, backup };
}

/** The backup that the last change of chains brought has what the owner had. */
function backupHas({ owner }: Chain, period: Period, poolId: number, { head, muxes }: Picture): boolean {
  const name = head!.members.find(({ id }) => id === owner.id)?.name ?? '';
  return hasCopied(muxes.acknowledgements.get(name), owner, { ...period, poolId });
}

function flowsIn(count: Count, all: Count, { poolId, periods }: Placement, picture: Picture): number {
  const byEpoch = new Map<number, { slots: number; of: number }>();
  for (const [index, { trackEpoch }] of periods.entries()) {
    const { slots, of } = byEpoch.get(trackEpoch) ?? { slots: 0, of: 0 };
    byEpoch.set(trackEpoch, { slots: slots + count[index + 1]!, of: of + all[index + 1]! });
  }
  const flows = [...byEpoch].map(([trackEpoch, { slots, of }]) =>
    slots === 0 ? 0 : Math.ceil((knownFlows(picture, poolId, trackEpoch) * slots) / of),
  );
  return flows.reduce((sum, it) => sum + it, 0);
}

function total(count: Count): number {
  return count.reduce((sum, it) => sum + it, 0);
}
