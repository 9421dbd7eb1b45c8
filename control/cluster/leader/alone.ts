// Owns which muxes may decide without a deadline although they were removed: who was the only member has none, and does
// not hear of its removal where it is cut off. Pure.

import { type Candidate, candidateKey, type Member, roleOf, type Version } from '../version.ts';
import { LEADER_SETTINGS_DEFAULT } from './inputs.ts';

/** The version by which this mux may go on without a deadline; undefined: there is none. */
export function aloneAtOf(mux: Candidate, { number, members, gone }: Version): number | undefined {
  const key = candidateKey(mux);
  const member = members.find((it) => candidateKey(it) === key);
  if (member !== undefined) return isOnly(member, members) ? number : member.aloneAt;
  return gone.find((it) => candidateKey(it) === key)?.aloneAt;
}

/**
 * The mux of this name that may decide without a deadline, with what the leader counts its time by where an operator says
 * that it is off.
 */
export function unboundIn(head: Version, name: string): (Candidate & { leaseMs: number }) | undefined {
  const mux = [...head.members, ...head.gone].find(
    (it) => it.name === name && aloneAtOf(it, head) !== undefined,
  );
  if (mux === undefined) return undefined;
  const { id, incarnation, leaseMs = LEADER_SETTINGS_DEFAULT.leaseMs } = mux;
  return { id, incarnation, leaseMs };
}

/** Of its role: others do not answer its probes, nor it theirs. */
function isOnly(member: Candidate, members: readonly Candidate[]): boolean {
  return members.filter((it) => roleOf(it) === roleOf(member)).length === 1;
}

/** Those who stay, as the next version has them. */
export function noLongerAlone(
  stay: readonly Member[],
  head: Version,
  { joined, versionOf }: { joined: readonly Candidate[]; versionOf: (member: Member) => number },
): Member[] {
  return stay.map((member) => {
    if (isOnly(member, [...stay, ...joined])) return member;
    const aloneAt = aloneAtOf(member, head);
    const isOver = aloneAt === undefined || versionOf(member) > aloneAt;
    const { aloneAt: _, ...rest } = member;
    if (isOver) return member.aloneAt === undefined ? member : rest;
    return member.aloneAt === aloneAt ? member : { ...rest, aloneAt };
  });
}
