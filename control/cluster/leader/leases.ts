// Owns how long the leader waits for a mux because of its lease: each has its own. Pure.
import { MARGIN_SHARE } from '../deadline_core.ts';
import type { Gone, Member } from '../version.ts';
import type { LeaderSettings } from './inputs.ts';

type Leased = Pick<Member | Gone, 'leaseMs'>;

export function leaseMsOf({ leaseMs }: Leased, settings: LeaderSettings): number {
  return leaseMs ?? settings.leaseMs;
}

/** By so much clocks may disagree over its lease. */
export function marginMsOf(mux: Leased, settings: LeaderSettings): number {
  return Math.max(settings.marginMs, leaseMsOf(mux, settings) * MARGIN_SHARE);
}

/** Anybody may have pledged to the one of the longest lease, and acknowledges a lease and a margin later. */
export function acknowledgeMsMaxOf(members: readonly Leased[], settings: LeaderSettings): number {
  const usualMs = settings.leaseMs + marginMsOf({}, settings);
  const longestMs = members.map((it) => leaseMsOf(it, settings) + marginMsOf(it, settings));
  return settings.acknowledgeMsMax + Math.max(0, ...longestMs.map((it) => it - usualMs));
}
