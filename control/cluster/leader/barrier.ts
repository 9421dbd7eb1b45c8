// Owns who has which version in effect: barriers, fences, and what members report. Pure, of one step.
import { fencedAtMs } from '../deadline_core.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type Gone,
  type MemberRole,
  type PeriodReport,
  roleOf,
  type Version,
} from '../version.ts';
import { aloneAtOf } from './alone.ts';
import type { Inputs, LeaderSettings } from './inputs.ts';
import { leaseMsOf, marginMsOf } from './leases.ts';
import type { Waits } from './waits.ts';

export type Heard = { readonly report: PeriodReport; readonly version: number; readonly atMs: number };

export class Barriers {
  readonly #head: Version;
  readonly #inputs: Inputs;
  readonly #waits: Waits;
  readonly #fenced: ReadonlySet<string>;
  /** When each acknowledgement was first seen. */
  readonly #heardAtMs: Pick<WeakMap<Acknowledgement, number>, 'get'>;
  readonly #role: MemberRole | undefined;

  /** `role`: only members of it count, as for slots that only they have. */
  constructor(
    inputs: Inputs & { head: Version },
    settings: LeaderSettings,
    waits: Waits,
    expired: ReadonlySet<string>,
    heardAtMs: Pick<WeakMap<Acknowledgement, number>, 'get'>,
    role?: MemberRole,
  ) {
    this.#head = inputs.head;
    this.#inputs = inputs;
    this.#waits = waits;
    this.#heardAtMs = heardAtMs;
    this.#role = role;
    const facts = { isUnbound: (gone: Gone) => this.mayBeUnbound(gone), inputs, settings, waits, expired };
    this.#fenced = new Set(
      inputs.head.gone.filter((gone) => gone.isFenced || isFencedNow(gone, facts)).map(candidateKey),
    );
  }

  isFenced(gone: Candidate): boolean {
    return this.#fenced.has(candidateKey(gone));
  }

  /** The newest version that this member has in effect; 0: none that is known. */
  versionOf(member: Candidate & { readonly name: string }): number {
    return this.#acknowledgementOf(member)?.version ?? 0;
  }

  /**
   * Whether it may decide without a deadline although it is removed, or were: it has said of no version later than those in
   * which it was alone that it has it, and no operator that it is off.
   */
  mayBeUnbound(mux: Candidate & { readonly name: string }): boolean {
    const aloneAt = aloneAtOf(mux, this.#head);
    if (aloneAt === undefined || this.#inputs.cutOff.has(candidateKey(mux))) return false;
    return this.versionOf(mux) <= aloneAt;
  }

  /** Who keeps the barrier of this version from being complete. */
  missing(version: number): readonly string[] {
    return [...this.#head.members, ...this.#head.gone.filter((gone) => !this.isFenced(gone))]
      .filter((it) => this.#role === undefined || roleOf(it) === this.#role)
      .filter((member) => this.versionOf(member) < version)
      .map(({ name }) => name);
  }

  /** Those, and what keeps them, as a sentence about what is called `what`. */
  waitFor(version: number, what: string): string {
    const missing = this.missing(version);
    const pledged = missing.filter((name) => this.#heldBack(name) >= version);
    const unbound = this.#head.gone
      .filter((gone) => !this.isFenced(gone) && this.mayBeUnbound(gone))
      .filter(({ name }) => missing.includes(name) && !pledged.includes(name));
    const unboundNames = unbound.map(({ name }) => name);
    const others = missing.filter((name) => !pledged.includes(name) && !unboundNames.includes(name));
    return [
      ...unbound.map(
        ({ id, name }) =>
          `${what} not in effect at ${name}, which was the only ${roleOf({ id }) === 'mux' ? 'mux' : 'filter node'} and may decide as long as it runs: start its holdfastd, or see that it is off and holdfast nodes remove ${name} --force`,
      ),
      ...(others.length > 0 ? [`${what} not in effect at ${others.join(', ')}`] : []),
      ...(pledged.length > 0
        ? [
            `${what} in effect at ${pledged.join(', ')}, until whose pledge has ended nobody may count on that`,
          ]
        : []),
    ].join('; ');
  }

  /** Why nothing is known of members that have not reported at the version that they have acknowledged. */
  silenceOf(names: readonly string[]): string {
    const pledged = names.filter((name) => this.#heldBack(name) > 0);
    const others = names.filter((name) => !pledged.includes(name));
    return [
      ...(others.length > 0 ? [`nothing was heard from ${others.join(', ')}`] : []),
      ...(pledged.length > 0 ? [`${pledged.join(', ')} must say nothing until a pledge has ended`] : []),
    ].join('; ');
  }

  #heldBack(name: string): number {
    return this.#inputs.acknowledgements.get(name)?.heldBack ?? 0;
  }

  /** Since when every member has this version in effect, or is fenced. */
  completeSince(version: number): number | undefined {
    return this.#waits.since(`barrier ${version} ${this.#role ?? ''}`, this.missing(version).length === 0);
  }

  isComplete(version: number): boolean {
    return this.completeSince(version) !== undefined;
  }

  reportOf(
    member: Candidate & { readonly name: string },
    poolId: number,
    trackEpoch: number,
  ): Heard | undefined {
    const acknowledgement = this.#acknowledgementOf(member);
    const report = acknowledgement?.reports.find(
      (it) => it.poolId === poolId && it.trackEpoch === trackEpoch,
    );
    if (acknowledgement === undefined || report === undefined) return undefined;
    return { report, version: acknowledgement.version, atMs: this.#heardAtMs.get(acknowledgement)! };
  }

  #acknowledgementOf(member: Candidate & { readonly name: string }): Acknowledgement | undefined {
    const found = this.#inputs.acknowledgements.get(member.name);
    if (found?.incarnation !== member.incarnation || contradicts(found, this.#head)) return undefined;
    return found;
  }
}

/** It has what this history does not: the store was restored. */
export function contradicts(
  { version, digest }: Pick<Acknowledgement, 'version' | 'digest'>,
  head: Pick<Version, 'number' | 'digest'>,
): boolean {
  return version > head.number || (version === head.number && digest !== head.digest);
}

type FenceFacts = {
  readonly isUnbound: (gone: Gone) => boolean;
  readonly inputs: Inputs;
  readonly settings: LeaderSettings;
  readonly waits: Waits;
  readonly expired: ReadonlySet<string>;
};

function isFencedNow(gone: Gone, { isUnbound, inputs, settings, waits, expired }: FenceFacts): boolean {
  const { registrations, head } = inputs;
  const later = (it: (Candidate & { name: string }) | undefined) =>
    it?.id === gone.id && it.name === gone.name && it.incarnation > gone.incarnation;
  // The same mux in its next life: this one is over. Another one that was given its id says nothing of it.
  if (later(registrations.get(gone.name)) || head?.members.some(later)) return true;
  const key = candidateKey(gone);
  const removedAtMs = waits.since(`gone ${key}`, true)!;
  if (isUnbound(gone)) return false;
  const leaseMs = leaseMsOf(gone, settings);
  return waits.reached(
    fencedAtMs({ removedAtMs, leaseIsGone: expired.has(key), leaseMs }, marginMsOf(gone, settings)),
  );
}
