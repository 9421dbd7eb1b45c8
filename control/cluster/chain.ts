// Owns which two muxes keep the flows of a slot: the same answer on every node, from the period and the members. Pure.
import type { Candidate, Member, Period } from './version.ts';

export type Chain = { readonly owner: Candidate; readonly backup: Candidate | undefined };

type PeriodKey = Pick<Period, 'candidates' | 'trackEpoch'>;
type Alive = readonly Pick<Member, 'id' | 'incarnation'>[];

/** The owner and backup of `slot`; undefined where no candidate is a member any more. */
export function chainOf(period: PeriodKey, members: Alive, slot: number): Chain | undefined {
  return chainsOf(period, members)(slot);
}

/** chainOf() for the many slots of a period. The same pair is the same object. */
export function chainsOf(
  { candidates, trackEpoch }: PeriodKey,
  members: Alive,
): (slot: number) => Chain | undefined {
  const incarnations = new Map(members.map(({ id, incarnation }) => [id, incarnation]));
  const groups: Candidate[][] = [];
  for (const group of candidates) {
    if (groups.flat().length >= 2) break;
    groups.push(group.filter(({ id, incarnation }) => incarnations.get(id) === incarnation));
  }
  const all = groups.flat();
  const ends = groups.map((_, at) => groups.slice(0, at + 1).flat().length);
  const seeds = Int32Array.from(all, ({ id }) => seedOf(id, trackEpoch));
  const pairs = new Map<number, Chain>();
  const pairOf = (owner: number, backup: number): Chain => {
    const key = owner * PAIR_STRIDE + backup;
    const known = pairs.get(key) ?? { owner: all[owner]!, backup: all[backup] };
    pairs.set(key, known);
    return known;
  };
  // Plain loops: a version has a search for each of 65,537 slots, and heartbeats wait for it.
  return (slot) => {
    let owner = NOBODY;
    let backup = NOBODY;
    let begin = 0;
    for (const end of ends) {
      let [first, second, firstWeight, secondWeight] = [NOBODY, NOBODY, -1, -1];
      for (let at = begin; at < end; at++) {
        const weight = weightOf(slot, seeds[at]!);
        // Of equal weights the lower id goes first.
        if (weight > firstWeight || (weight === firstWeight && all[at]!.id < all[first]!.id)) {
          second = first;
          secondWeight = firstWeight;
          first = at;
          firstWeight = weight;
        } else if (weight > secondWeight || (weight === secondWeight && all[at]!.id < all[second]!.id)) {
          second = at;
          secondWeight = weight;
        }
      }
      if (owner === NOBODY) {
        owner = first;
        backup = second;
      } else if (backup === NOBODY) backup = first;
      begin = end;
    }
    return owner === NOBODY ? undefined : pairOf(owner, backup);
  };
}

const NOBODY = -1;
/** More than there are candidates. */
const PAIR_STRIDE = 65_536;

/** Rendezvous weight, 32 bits (finaliser of MurmurHash3): who owns a slot is no secret, it only has to be even. */
function weightOf(slot: number, seed: number): number {
  let word = Math.imul(slot ^ seed, 0x27d4eb2f);
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** What a mux and a period bring into it. */
function seedOf(id: number, epoch: number): number {
  return Math.imul(id, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca77);
}
