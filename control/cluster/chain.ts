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
  const pairs = new Map<number, Chain>();
  const pairOf = (owner: Candidate, backup: Candidate | undefined): Chain => {
    const key = owner.id * PAIR_STRIDE + (backup?.id ?? 0);
    const known = pairs.get(key) ?? { owner, backup };
    pairs.set(key, known);
    return known;
  };
  return (slot) => {
    const found: Candidate[] = [];
    for (const group of groups) addBest(found, group, slot, trackEpoch);
    const [owner, backup] = found;
    return owner === undefined ? undefined : pairOf(owner, backup);
  };
}

/** More than any id of a mux. */
const PAIR_STRIDE = 65_536;

/** Adds the highest of `group`, as many as are missing from two. */
function addBest(found: Candidate[], group: readonly Candidate[], slot: number, trackEpoch: number): void {
  let first: Candidate | undefined;
  let second: Candidate | undefined;
  let firstWeight = -1;
  let secondWeight = -1;
  for (const candidate of group) {
    const weight = weightOf(slot, candidate.id, trackEpoch);
    if (isHigher(weight, candidate, firstWeight, first)) {
      [second, secondWeight] = [first, firstWeight];
      [first, firstWeight] = [candidate, weight];
    } else if (isHigher(weight, candidate, secondWeight, second)) {
      [second, secondWeight] = [candidate, weight];
    }
  }
  if (found.length < 2 && first !== undefined) found.push(first);
  if (found.length < 2 && second !== undefined) found.push(second);
}

function isHigher(
  weight: number,
  candidate: Candidate,
  otherWeight: number,
  other: Candidate | undefined,
): boolean {
  return weight > otherWeight || (weight === otherWeight && other !== undefined && candidate.id < other.id);
}

/** Rendezvous weight, 32 bits (finaliser of MurmurHash3): who owns a slot is no secret, it only has to be even. */
function weightOf(slot: number, id: number, epoch: number): number {
  let word = Math.imul(slot ^ Math.imul(id, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca77), 0x27d4eb2f);
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}
