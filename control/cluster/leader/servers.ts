// Owns which member a backend of a pool of filters is: the one at its address. Pure.
import { canonicalAddress } from '../../lib/address.ts';
import { type Candidate, type Gone, type Member, roleOf, type Version } from '../version.ts';

/** By backend index; those that are no member now are not in it. */
export type Servers = ReadonlyMap<number, Candidate>;

type Addressed = { readonly index: number; readonly address: string };

/** `members`: also those that are gone, of which one that may answer without a deadline has an address. */
export function serversOf<T extends Member | Gone>(
  members: readonly T[],
  ...backends: readonly Iterable<Addressed>[]
): ReadonlyMap<number, T> {
  const filters = new Map<string, T>();
  for (const member of members) {
    if (roleOf(member) !== 'filter' || member.address === undefined) continue;
    const address = canonicalAddress(member.address);
    // Who is a member now has the address of one that is gone.
    if (!filters.has(address)) filters.set(address, member);
  }
  const servers = new Map<number, T>();
  if (filters.size === 0) return servers;
  for (const { index, address } of backends.flatMap((it) => [...it])) {
    const member = filters.get(canonicalAddress(address));
    if (member !== undefined) servers.set(index, member);
  }
  return servers;
}

/**
 * Whether clients come to this member by some slot, or others may ask it still: who has not heard that a slot is clean asks
 * all that were its holders. Nobody comes to a mux so.
 */
export function isNeeded(
  member: Member,
  { number, placements, objects }: Version,
  { isComplete }: { readonly isComplete: (version: number) => boolean },
): boolean {
  if (roleOf(member) !== 'filter') return false;
  if (!isComplete(number)) return true;
  const own = new Set(serversOf([member], objects.backends.values()).keys());
  if (own.size === 0) return false;
  return [...placements.values()].some(
    ({ current, base }) => current.some((it) => own.has(it)) || base.some((it) => own.has(it)),
  );
}
