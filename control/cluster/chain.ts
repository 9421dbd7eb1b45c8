// Owns which two muxes keep the flows of a slot: the same answer on every node, from the period and the members. Pure.
import type { Candidate, Member, Period } from './version.ts';

export type Chain = { readonly owner: Candidate; readonly backup: Candidate | undefined };

/** The owner and backup of `slot`; undefined where no candidate is a member any more. */
export function chainOf(
  { candidates, trackEpoch }: Pick<Period, 'candidates' | 'trackEpoch'>,
  members: readonly Pick<Member, 'id' | 'incarnation'>[],
  slot: number,
): Chain | undefined {
  const found: Candidate[] = [];
  for (const group of candidates) {
    const alive = group.filter(({ id, incarnation }) =>
      members.some((member) => member.id === id && member.incarnation === incarnation),
    );
    const ranked = alive
      .map((candidate) => ({ candidate, weight: weightOf(slot, candidate.id, trackEpoch) }))
      .sort((a, b) => b.weight - a.weight || a.candidate.id - b.candidate.id);
    found.push(...ranked.map(({ candidate }) => candidate));
    if (found.length >= 2) break;
  }
  const [owner, backup] = found;
  return owner === undefined ? undefined : { owner, backup };
}

/** Rendezvous weight, 32 bits (finaliser of MurmurHash3): who owns a slot is no secret, it only has to be even. */
function weightOf(slot: number, id: number, epoch: number): number {
  let word = Math.imul(slot ^ Math.imul(id, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca77), 0x27d4eb2f);
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}
