// Owns what muxes say of copies: whether a keeper of a tracking has copied what it owns to who keeps it beside it. Pure.
import type { Acknowledgement, Candidate, Period } from './version.ts';

type Copy = Pick<Period, 'trackEpoch' | 'chainEpoch'> & { readonly poolId: number };

/** What this mux has said last of this tracking; of another incarnation of it, nothing is known. */
export function reportOf(
  found: Acknowledgement | undefined,
  { incarnation }: Pick<Candidate, 'incarnation'>,
  { poolId, trackEpoch }: Pick<Copy, 'poolId' | 'trackEpoch'>,
): Acknowledgement['reports'][number] | undefined {
  if (found?.incarnation !== incarnation) return undefined;
  return found.reports.find((it) => it.poolId === poolId && it.trackEpoch === trackEpoch);
}

/** Whether its part of the copies of the last change of chains is done; with the chains it began with there are none. */
export function hasCopied(
  found: Acknowledgement | undefined,
  mux: Pick<Candidate, 'incarnation'>,
  copy: Copy,
): boolean {
  if (copy.chainEpoch === copy.trackEpoch) return true;
  return (reportOf(found, mux, copy)?.copiedChainEpoch ?? 0) >= copy.chainEpoch;
}
