// Owns which chain each slot of a pool has on this mux: the chains of its periods, and their indices.
import { type Chain, chainsOf } from '../cluster/chain.ts';
import type { Candidate, Period, Placement } from '../cluster/version.ts';
import type { ChainKey } from './chain_table.ts';

/**
 * Indices of chains by slot, 0 where it is clean; undefined where all are. `claim` gives a chain its index, and is asked
 * once a chain.
 */
export function chainIndexes(
  { poolId, period, periods }: Placement,
  members: readonly Candidate[],
  claim: (key: ChainKey) => number,
): Uint32Array | undefined {
  if (!period.some((number) => number !== 0)) return undefined;
  const finders = periods.map((it) => indexFinder(poolId, it, members, claim));
  return Uint32Array.from(period, (number, slot) => {
    if (number === 0) return 0;
    const find = finders[number - 1];
    if (find === undefined) throw new Error(`slot ${slot} of pool ${poolId} has no period ${number}`);
    return find(slot);
  });
}

function indexFinder(
  poolId: number,
  period: Period,
  members: readonly Candidate[],
  claim: (key: ChainKey) => number,
): (slot: number) => number {
  const find = chainsOf(period, members);
  const indexes = new Map<Chain | undefined, number>();
  return (slot) => {
    const chain = find(slot);
    const known = indexes.get(chain) ?? claim(keyOf(poolId, period, chain));
    indexes.set(chain, known);
    return known;
  };
}

function keyOf(poolId: number, { trackEpoch, chainEpoch }: Period, chain: Chain | undefined): ChainKey {
  return {
    poolId,
    trackEpoch,
    chainEpoch,
    owner: chain?.owner.id ?? 0,
    ownerIncarnation: chain?.owner.incarnation ?? 0,
    backup: chain?.backup?.id ?? 0,
    backupIncarnation: chain?.backup?.incarnation ?? 0,
  };
}
