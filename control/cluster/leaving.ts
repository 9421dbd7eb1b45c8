// Owns whose turn it is to hand over its chains, where muxes leave, and who is to know which flows before it does: the
// same answer on every node, from the version. Pure. Not here: when it keeps nothing any more (leader/membership.ts).
import { chainsOf } from './chain.ts';
import { reportOf } from './copies.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type Member,
  type Period,
  roleOf,
  type Version,
} from './version.ts';

type Tracking = Pick<Period, 'trackEpoch' | 'candidates'> & { readonly poolId: number };

/** Of those that leave and keep something, the first by id: they may keep the same slots. */
export function handingOver({ members, placements }: Pick<Version, 'members' | 'placements'>) {
  const periods = [...placements.values()].flatMap((it) => it.periods);
  // What servers know of clients ends, and is handed to nobody: they wait for that.
  return members.find(
    (it) => it.isLeaving && roleOf(it) === 'mux' && periods.some((period) => isCandidate(it, period)),
  );
}

export function isCandidate(mux: Candidate, { candidates }: Pick<Period, 'candidates'>): boolean {
  const key = candidateKey(mux);
  return candidates.flat().some((it) => candidateKey(it) === key);
}

/**
 * Those who have not said that what they keep beside `leaver` is at who will keep it with them. What was said at another
 * version may have been of other chains, or of another one that left.
 */
export function owingAhead(
  { number, digest, members, placements }: Pick<Version, 'number' | 'digest' | 'members' | 'placements'>,
  leaver: Member,
  acknowledgements: ReadonlyMap<string, Acknowledgement>,
): readonly Member[] {
  const owing = (keeper: Member) => {
    const found = acknowledgements.get(keeper.name);
    const isOfNow = found?.version === number && found.digest === digest;
    return [...placements.values()].some(({ poolId, periods }) =>
      periods.some(
        (period) =>
          isCandidate(leaver, period) &&
          isCandidate(keeper, period) &&
          !(isOfNow && reportOf(found, keeper, { ...period, poolId })?.isHandedOver),
      ),
    );
  };
  return members.filter((it) => it !== leaver && owing(it));
}

/**
 * Slots of the tracking that `self` will own once `leaver` is in no chain, by the mux that will keep them beside it and does
 * not now: a byte a slot, 1 for these. Who will own a slot keeps it already.
 */
export function copiesAhead(
  { members, placements }: Pick<Version, 'members' | 'placements'>,
  { poolId, ...period }: Tracking,
  leaver: Member,
  self: number,
): Map<number, Uint8Array> {
  const { period: numbers, periods } = placements.get(poolId)!;
  const isOurs = [false, ...periods.map(({ trackEpoch }) => trackEpoch === period.trackEpoch)];
  const chainOf = chainsOf(period, members);
  const nextOf = chainsOf(
    period,
    members.filter((it) => it !== leaver),
  );
  const found = new Map<number, Uint8Array>();
  for (let slot = 0; slot < numbers.length; slot++) {
    if (!isOurs[numbers[slot]!]) continue;
    const { owner, backup } = nextOf(slot) ?? {};
    if (owner?.id !== self || backup === undefined) continue;
    const now = chainOf(slot);
    if (now?.owner.id === backup.id || now?.backup?.id === backup.id) continue;
    const slots = found.get(backup.id) ?? new Uint8Array(numbers.length);
    slots[slot] = 1;
    found.set(backup.id, slots);
  }
  return found;
}
