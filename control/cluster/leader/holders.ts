// Owns which servers may have affinities of slots that moved, the holders: whom a period begins with, and what a change of
// members makes of it. Pure. See affinity.md's words; at most HOLDERS_MAX, for a query passes all of them.
import { HOLDERS_MAX } from '../../config/filter.ts';
import { type Candidate, candidateKey, type Member, type Period, roleOf } from '../version.ts';
import type { Membership } from './membership.ts';

/**
 * Sets of holders that slots of one change may have. A server that joins takes slots from all others, and each of these
 * sets is a period: beyond so many servers several share a set, and a query passes a few more.
 */
const SETS_MAX = 64;

/** Who is removed has no affinities any more: another incarnation has none of them. Nobody else comes to have any. */
export function withoutGone(period: Period, { removed }: Pick<Membership, 'removed'>): Period {
  const holders = period.candidates.flat();
  const left = holders.filter((it) => !removed.has(candidateKey(it)));
  return left.length === holders.length ? period : { ...period, candidates: [left] };
}

/** The set in which the slots of a server move. */
export function holderSets(members: readonly Member[]): (server: Candidate) => readonly Candidate[] {
  const servers = members
    .filter((it) => roleOf(it) === 'filter')
    .map(({ id, incarnation }): Candidate => ({ id, incarnation }));
  const size = Math.min(HOLDERS_MAX, Math.ceil(servers.length / SETS_MAX));
  const sets = new Map<string, readonly Candidate[]>();
  for (let at = 0; at < servers.length; at += size) {
    const set = servers.slice(at, at + size);
    for (const server of set) sets.set(candidateKey(server), set);
  }
  return (server) => sets.get(candidateKey(server)) ?? [server];
}

/** Undefined: they would be too many. */
export function withHolder(period: Period, server: Candidate): readonly Candidate[] | undefined {
  const holders = period.candidates.flat();
  if (isHolder(period, server)) return holders;
  return holders.length < HOLDERS_MAX ? [...holders, server] : undefined;
}

export function isHolder({ candidates }: Pick<Period, 'candidates'>, server: Candidate): boolean {
  return candidates.flat().some((it) => candidateKey(it) === candidateKey(server));
}

export const nameOfSet = (holders: readonly Candidate[]): string => holders.map(candidateKey).sort().join();
