import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainOf, chainsOf } from '../../../control/cluster/chain.ts';
import type { Candidate } from '../../../control/cluster/version.ts';

function weight(slot: number, id: number, epoch: number): number {
  let word = Math.imul(slot ^ Math.imul(id, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca77), 0x27d4eb2f);
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** The definition: all that are alive, group after group, each group by weight. */
function keepers(groups: Candidate[][], members: Candidate[], epoch: number, slot: number): Candidate[] {
  const isAlive = (it: Candidate): boolean =>
    members.some(({ id, incarnation }) => id === it.id && incarnation === it.incarnation);
  return groups.flatMap((group) =>
    group
      .filter(isAlive)
      .sort((a, b) => weight(slot, b.id, epoch) - weight(slot, a.id, epoch) || a.id - b.id),
  );
}

const candidates = fc
  .uniqueArray(fc.integer({ min: 1, max: 63 }), { maxLength: 9 })
  .chain((ids) =>
    fc.record({
      incarnations: fc.array(fc.integer({ min: 1, max: 2 }), {
        minLength: ids.length,
        maxLength: ids.length,
      }),
      group: fc.array(fc.nat(2), { minLength: ids.length, maxLength: ids.length }),
      ids: fc.constant(ids),
    }),
  )
  .map(({ ids, incarnations, group }) =>
    [0, 1, 2].map((number) =>
      ids.flatMap((id, at) => (group[at] === number ? [{ id, incarnation: incarnations[at]! }] : [])),
    ),
  );

describe('the chain of a slot', () => {
  it('is the first two that are alive, group by group', () => {
    fc.assert(
      fc.property(candidates, fc.nat(2 ** 32 - 1), fc.nat(65_536), fc.nat(4), (groups, epoch, slot, dead) => {
        const members = groups.flat().filter((_, at) => at % 5 !== dead);
        const [owner, backup] = keepers(groups, members, epoch, slot);
        const found = chainOf({ candidates: groups, trackEpoch: epoch }, members, slot);
        expect(found).toEqual(owner === undefined ? undefined : { owner, backup });
      }),
      { numRuns: 500 },
    );
  });

  it('is the same object for the same pair, and evenly spread', () => {
    const members = [1, 2, 3, 4].map((id) => ({ id, incarnation: 9 }));
    const find = chainsOf({ candidates: [members], trackEpoch: 77 }, members);
    const chains = new Map<unknown, number>();
    for (let slot = 0; slot < 65_537; slot++) chains.set(find(slot), (chains.get(find(slot)) ?? 0) + 1);
    expect(chains.size).toBe(12);
    for (const slots of chains.values()) expect(Math.abs(slots - 65_537 / 12)).toBeLessThan(500);
  });
});
