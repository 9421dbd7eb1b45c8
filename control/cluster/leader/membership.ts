// Owns who is a member in the next version: who joins, leaves, is removed, and why. Pure, of one step.
import { isMajority } from '../deadline_core.ts';
import { handingOver, isCandidate, owingAhead } from '../leaving.ts';
import {
  type Candidate,
  candidateKey,
  type Gone,
  type Member,
  type Registration,
  roleOf,
  SERVER_ID_MAX,
  type Version,
} from '../version.ts';
import { aloneAtOf, noLongerAlone } from './alone.ts';
import type { Barriers } from './barrier.ts';
import type { Inputs, LeaderProblem, LeaderSettings } from './inputs.ts';
import { acknowledgeMsMaxOf, leaseMsOf } from './leases.ts';
import { isNeeded } from './servers.ts';
import type { Waits } from './waits.ts';

export type Membership = {
  readonly members: readonly Member[];
  readonly gone: readonly Gone[];
  readonly joined: readonly Candidate[];
  /** Keys of candidates that are members no more. */
  readonly removed: ReadonlySet<string>;
  /** Of these, those whose lease the store had ended: not those whose registration was taken away before that. */
  readonly expired: ReadonlySet<string>;
  /** The leaving member that keeps nothing from the next version on; one at most. */
  readonly handedOver: ReadonlySet<string>;
  /** Those who will keep what it keeps know it already. */
  readonly isCopiedAhead: boolean;
  readonly deregister: readonly Registration[];
  readonly isChanged: boolean;
  readonly problems: readonly LeaderProblem[];
};

/** `isRepaired`: the copies of all repairs of chains are done. */
export function nextMembership(
  inputs: Inputs & { head: Version },
  settings: LeaderSettings,
  barriers: Barriers,
  waits: Waits,
  isRepaired: boolean,
): Membership {
  const { head, registrations } = inputs;
  const problems: LeaderProblem[] = [];
  const dead = unregistered(inputs, settings, waits);
  // Others one at a time: each is a failure that chains have to be repaired from, and the store says that they are alive.
  const isComplete = (version: number) => barriers.isComplete(version);
  const voluntary = () =>
    head.members.find(
      (it) => it.isLeaving && isRepaired && keepsNothing(it, head) && !isNeeded(it, head, { isComplete }),
    );
  // Who is slow keeps what it knows: it goes while the chains of another one are repaired only if that takes too long.
  const acknowledgeMsMax = acknowledgeMsMaxOf(head.members, settings);
  const repairingMs = waits.since('repair', !isRepaired);
  const mayLoseAnother = repairingMs === undefined || waits.reached(repairingMs + acknowledgeMsMax);
  const slow = silent(head, acknowledgeMsMax, barriers, waits, problems);
  const bad = () => suspected(inputs) ?? (mayLoseAnother ? slow : undefined) ?? voluntary();
  const removed = dead.length > 0 ? dead : [bad()].filter((it) => it !== undefined);
  const removedKeys = new Set(removed.map(candidateKey));
  const stay = head.members
    .filter((member) => !removedKeys.has(candidateKey(member)))
    .map((member) => refreshed(member, registrations.get(member.name)));
  const gone = new Map(head.gone.map((it) => [it.id, progressed(it, barriers)]));
  // What it was known by may be taken away any time.
  const isBound = head.gone.some(({ id, aloneAt }) => aloneAt !== gone.get(id)!.aloneAt);
  for (const member of removed) gone.set(member.id, removal(member, inputs, barriers));
  const joined = joining(registrations, stay, gone, problems);
  const follows = handsOver(inputs, settings, waits, isRepaired);
  const handedOver = follows === undefined || removed.length > 0 ? [] : [follows.member];
  const standing = noLongerAlone(stay, head, {
    joined,
    versionOf: (member) => barriers.versionOf(member),
  });
  const members = [...standing, ...joined].sort((a, b) => a.id - b.id);
  return {
    members,
    gone: [...gone.values()].sort((a, b) => a.id - b.id),
    joined: joined.map(({ id, incarnation }) => ({ id, incarnation })),
    removed: removedKeys,
    expired: new Set(dead.map(candidateKey).filter((key) => !inputs.cutOff.has(key))),
    handedOver: new Set(handedOver.map(candidateKey)),
    isCopiedAhead: handedOver.length > 0 && follows!.isCopied,
    deregister: removed
      .filter((member) => isRegistered(member, registrations))
      .map(({ name }) => registrations.get(name)!),
    isChanged: isBound || removed.length + joined.length > 0 || stay.some((it) => !head.members.includes(it)),
    problems,
  };
}

/**
 * Those whose lease the store has ended. Where most are gone at once, and where a leader has just begun, as one does when
 * the store is back, the store may have lost their leases: they get the time of one to register again. Who is dead is
 * not heard, which removes it sooner.
 */
function unregistered(
  { head, registrations }: Inputs & { head: Version },
  settings: LeaderSettings,
  waits: Waits,
): Member[] {
  const absent = head.members.filter((member) => !isRegistered(member, registrations));
  const leadsSinceMs = waits.since('leads', true)!;
  const isMost = absent.length * 2 > head.members.length;
  return absent.filter((member) => {
    const leaseMs = leaseMsOf(member, settings);
    const absentSinceMs = waits.since(`absent ${candidateKey(member)}`, true)!;
    const hasBegun = waits.reached(leadsSinceMs + leaseMs);
    if (hasBegun && !isMost) return true;
    return registrations.has(member.name) || waits.reached(absentSinceMs + leaseMs);
  });
}

/** In this very life. Otherwise its lease has ended, or it has begun anew with empty tables. */
function isRegistered(member: Member, registrations: ReadonlyMap<string, Registration>): boolean {
  const found = registrations.get(member.name);
  return found?.id === member.id && found.incarnation === member.incarnation;
}

function removal(
  member: Member,
  { registrations, cutOff, head }: Inputs & { head: Version },
  barriers: Barriers,
): Gone {
  const { id, incarnation, name } = member;
  // It may have registered with another lease than the head knows of.
  const held = isRegistered(member, registrations) ? registrations.get(name) : undefined;
  const leaseMs = held?.leaseMs ?? cutOff.get(candidateKey(member)) ?? member.leaseMs;
  const aloneAt = barriers.mayBeUnbound(member) ? aloneAtOf(member, head) : undefined;
  return {
    id,
    incarnation,
    name,
    isFenced: false,
    ...(leaseMs !== undefined && { leaseMs }),
    ...(aloneAt !== undefined && { aloneAt }),
    ...(aloneAt !== undefined && roleOf(member) === 'filter' && { address: member.address }),
  };
}

function progressed(gone: Gone, barriers: Barriers): Gone {
  if (gone.isFenced) return gone;
  const isFenced = barriers.isFenced(gone);
  const isBound = gone.aloneAt !== undefined && (isFenced || !barriers.mayBeUnbound(gone));
  if (!isFenced && !isBound) return gone;
  const { aloneAt: _, address: __, ...rest } = gone;
  return { ...rest, isFenced };
}

function refreshed(member: Member, registration: Registration | undefined): Member {
  if (registration === undefined) return member;
  const { address, askPort, isLeaving, leaseMs } = registration;
  // Who leaves has withdrawn its routes: it comes back as another incarnation.
  const next = { ...member, address, askPort, leaseMs, isLeaving: member.isLeaving || isLeaving };
  const isSame =
    next.address === member.address &&
    next.askPort === member.askPort &&
    next.leaseMs === member.leaseMs &&
    next.isLeaving === member.isLeaving;
  return isSame ? member : next;
}

/** As a version has it. */
export function memberOf({ id, incarnation, name, address, askPort, leaseMs }: Registration): Member {
  return { id, incarnation, name, address, askPort, isLeaving: false, leaseMs };
}

function joining(
  registrations: ReadonlyMap<string, Registration>,
  stay: readonly Member[],
  gone: ReadonlyMap<number, Gone>,
  problems: LeaderProblem[],
): Member[] {
  const owners = new Map(stay.map(({ id, name }) => [id, name]));
  const names = new Set(stay.map(({ name }) => name));
  const joined: Member[] = [];
  for (const registration of [...registrations.values()].sort((a, b) => a.id - b.id)) {
    const { id, name, isLeaving } = registration;
    if (names.has(name) || isLeaving) continue;
    const wrong = refusal(registration, owners, gone.get(id));
    if (wrong !== undefined) {
      problems.push({
        code: 'registration',
        subject: name,
        message: `mux ${name} is not taken in: ${wrong}`,
      });
      continue;
    }
    owners.set(id, name);
    names.add(name);
    joined.push(memberOf(registration));
  }
  return joined;
}

function refusal(
  { id, incarnation }: Registration,
  owners: ReadonlyMap<number, string>,
  last: Gone | undefined,
): string | undefined {
  if (!Number.isInteger(id) || id < 1 || id > SERVER_ID_MAX)
    return `its id ${id} is not 1 to ${SERVER_ID_MAX}`;
  const owner = owners.get(id);
  if (owner !== undefined) return `its id ${id} is that of mux ${owner}`;
  if (last !== undefined && incarnation <= last.incarnation) {
    return `it comes with incarnation ${incarnation}, and ${last.incarnation} was removed: what it keeps is too old`;
  }
  return undefined;
}

/**
 * Whom most of the others do not hear. Of two that do not hear each other, the one with the higher id: somebody has to
 * stay.
 */
function suspected({ head, suspicions }: Inputs & { head: Version }): Member | undefined {
  const votes = head.members.map((member) => {
    const observers = head.members.filter((it) => it !== member && roleOf(it) === roleOf(member));
    // What was written of an incarnation before says nothing of this one.
    const count = observers.filter(
      ({ name }) => suspicions.get(name)?.get(member.name) === member.incarnation,
    ).length;
    return { member, count, isSuspect: isMajority(count, observers.length) };
  });
  const most = votes
    .filter(({ isSuspect }) => isSuspect)
    .sort((a, b) => b.count - a.count || b.member.id - a.member.id)[0];
  return most?.member;
}

/** Who stays behind while others go on. Where most stay behind the version is to blame, and nobody is removed. */
function silent(
  head: Version,
  acknowledgeMsMax: number,
  barriers: Barriers,
  waits: Waits,
  problems: LeaderProblem[],
): Member | undefined {
  const late = head.members.filter((member) => {
    const version = barriers.versionOf(member);
    const sinceMs = waits.since(`silent ${candidateKey(member)} ${version}`, version < head.number);
    return sinceMs !== undefined && waits.reached(sinceMs + acknowledgeMsMax);
  });
  if (late.length === 0) return undefined;
  const timely = head.members.filter((member) => barriers.versionOf(member) === head.number);
  if (timely.length >= late.length) return late[0];
  for (const { name } of late) {
    problems.push({
      code: 'silent',
      subject: name,
      message: `mux ${name} does not acknowledge version ${head.number}, nor do most others: changes wait`,
    });
  }
  return undefined;
}

function keepsNothing(member: Candidate, { placements }: Version): boolean {
  return [...placements.values()].every(({ periods }) => !periods.some((it) => isCandidate(member, it)));
}

/**
 * Whose slots the others take over with this version. One at a time, with no death, and where chains are whole: so the other
 * keeper of each of its slots has what it has, and has copied it to the next one. Who takes too long goes all the same.
 */
function handsOver(
  { head, acknowledgements }: Inputs & { head: Version },
  { handOverMsMax }: LeaderSettings,
  waits: Waits,
  isRepaired: boolean,
): { readonly member: Member; readonly isCopied: boolean } | undefined {
  const member = handingOver(head);
  if (member === undefined) return undefined;
  const lateAtMs = waits.since(`handing over ${candidateKey(member)}`, true)! + handOverMsMax;
  const isCopied = isRepaired && owingAhead(head, member, acknowledgements).length === 0;
  return isCopied || waits.reached(lateAtMs) ? { member, isCopied } : undefined;
}
