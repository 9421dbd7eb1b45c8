// Owns what a change of members makes of the chains of open periods. Pure.
import { chainsOf } from '../chain.ts';
import { type Candidate, candidateKey, type Member, type Period, type Placement } from '../version.ts';
import type { Membership } from './membership.ts';

/** Owner and backup: fewer keepers than this, and one who joins becomes one at once. */
const KEEPERS = 2;

/**
 * The period with its candidates as members are from version `number` on. Who was removed is taken out, for it does not
 * come back as what it was; who leaves, once it has handed over; who joined comes last, so that no slot gets another
 * owner by it.
 */
export function withMembers(
  period: Period,
  placement: Placement,
  change: Membership,
  before: readonly Member[],
  number: number,
  isRepaired: boolean,
): Period {
  const isOut = (candidate: Candidate) =>
    change.removed.has(candidateKey(candidate)) || change.handedOver.has(candidateKey(candidate));
  const old = period.candidates.flat();
  const left = period.candidates
    .map((group) => group.filter((it) => !isOut(it)))
    .filter((it) => it.length > 0);
  const candidates = change.joined.length > 0 ? [...left, change.joined] : left;
  const leftCount = left.flat().length;
  const isSame = leftCount === old.length && change.joined.length === 0;
  if (isSame) return period;
  const isRepair = leftCount < old.length || (leftCount < KEEPERS && change.joined.length > 0);
  if (!isRepair) return { ...period, candidates };
  const { isCopiedAhead: _, lostBriefly = 0, ...rest } = period;
  const lost = countLost(period, placement, isOut, before, isRepaired);
  const briefly = lostBriefly + lost.briefly;
  return {
    ...rest,
    candidates,
    chainEpoch: number,
    lostSlots: period.lostSlots + lost.all,
    ...(briefly > 0 && { lostBriefly: briefly }),
    ...(change.isCopiedAhead && change.joined.length === 0 && { isCopiedAhead: true as const }),
  };
}

/**
 * Slots whose keepers are all out; or whose owner is, before its backup had everything. `briefly`: of these, those whose
 * backup lacks only what was recorded while a mux left.
 */
function countLost(
  period: Period,
  placement: Placement,
  isOut: (candidate: Candidate) => boolean,
  before: readonly Member[],
  isRepaired: boolean,
): { all: number; briefly: number } {
  const lost = { all: 0, briefly: 0 };
  if (!period.candidates.flat().some(isOut)) return lost;
  const index = placement.periods.indexOf(period) + 1;
  const chains = chainsOf(period, before);
  for (let slot = 0; slot < placement.period.length; slot++) {
    if (placement.period[slot] !== index) continue;
    const chain = chains(slot);
    if (chain === undefined || !isOut(chain.owner)) continue;
    const isNobodyLeft = chain.backup === undefined || isOut(chain.backup);
    if (isRepaired && !isNobodyLeft) continue;
    lost.all++;
    if (!isNobodyLeft && period.isCopiedAhead) lost.briefly++;
  }
  return lost;
}

/** Who keeps the slots of a period that begins: who leaves only where nobody else is there. */
export function firstCandidates(members: readonly Member[]): readonly (readonly Candidate[])[] {
  const staying = members.filter(({ isLeaving }) => !isLeaving);
  const group = (staying.length > 0 ? staying : members).map(({ id, incarnation }) => ({ id, incarnation }));
  return group.length > 0 ? [group] : [];
}
