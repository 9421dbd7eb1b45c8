// Owns which chain each slot of a pool has on this mux: the chains of its periods, and their indices.
import { type Chain, chainsOf } from '../cluster/chain.ts';
import type { Candidate, Period, Placement } from '../cluster/version.ts';
import type { ChainKey } from './chain_table.ts';

export type SlotChains = {
  /** By slot; 0 where it is clean. */
  readonly indexes: Uint32Array;
  /** All of them, once each. */
  readonly named: ReadonlySet<number>;
};

/** The chains of slots; undefined where all are clean. `claim` gives a chain its index, and is asked once a chain. */
export function chainIndexes(
  { poolId, period, periods }: Placement,
  members: readonly Candidate[],
  claim: (key: ChainKey) => number,
): SlotChains | undefined {
  if (!period.some((number) => number !== 0)) return undefined;
  const named = new Set<number>();
  const claimed = (key: ChainKey): number => {
    const index = claim(key);
    named.add(index);
    return index;
  };
  const finders = periods.map((it) => indexFinder(poolId, it, members, claimed));
  const indexes = new Uint32Array(period.length);
  for (let slot = 0; slot < period.length; slot++) {
    const number = period[slot]!;
    if (number === 0) continue;
    const find = finders[number - 1];
    if (find === undefined) throw new Error(`slot ${slot} of pool ${poolId} has no period ${number}`);
    indexes[slot] = find(slot);
  }
  return { indexes, named };
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
    let index = indexes.get(chain);
    if (index === undefined) {
      index = claim(keyOf(poolId, period, chain));
      indexes.set(chain, index);
    }
    return index;
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
