// Owns driving the keys of in-band headers from one state to the next: a state follows once every mux has the one before.
// All it needs is in the ring and in what muxes say, so a leader may be replaced at any moment. Pure. Not here: what the
// states are (member_keys_core.ts), reading and writing them (leader_driver.ts).
import {
  type AskKeyRing,
  KEY_LINGER_MS,
  type KeyHolder,
  type KnownSteps,
  lacking,
  nextRing,
  rotate,
} from '../member_keys_core.ts';
import type { Candidate, Registration } from '../version.ts';
import { Waits } from './waits.ts';

export type KeyInputs = {
  readonly ring: AskKeyRing | undefined;
  /** Which state each mux has, by name. */
  readonly known: KnownSteps;
  /** Of the head. */
  readonly members: readonly (Candidate & { readonly name: string })[];
  readonly registrations: ReadonlyMap<string, Pick<Registration, 'name' | 'incarnation'>>;
};

export type KeyTimes = {
  /** Never goes back. */
  readonly nowMs: number;
  /** Milliseconds since the epoch. */
  readonly wallMs: number;
};

export class KeyRotation {
  readonly #ageMsMax: number;
  readonly #waits = new Waits();

  /** A key that is older is changed. */
  constructor(ageMsMax: number) {
    this.#ageMsMax = ageMsMax;
  }

  /** When to step again although nothing was heard. */
  get wakeAtMs(): number | undefined {
    return this.#waits.wakeAtMs;
  }

  /** The state to be written now; undefined: none. */
  step(inputs: KeyInputs, { nowMs, wallMs }: KeyTimes, freshSecret: () => string): AskKeyRing | undefined {
    this.#waits.start(nowMs);
    const { ring, known } = inputs;
    if (ring === undefined) return undefined;
    if (ring.keys.length === 1) {
      return this.#isOld(ring, { nowMs, wallMs }) ? rotate(ring, freshSecret(), wallMs) : undefined;
    }
    const holders = holdersOf(inputs);
    const isComplete = lacking(ring, holders, known).length === 0;
    const sinceMs = this.#waits.since(`keys ${ring.step}`, isComplete);
    if (sinceMs === undefined) return undefined;
    const next = nextRing(ring, holders, known, nowMs - sinceMs);
    // Only what was signed before keeps a complete state from the next.
    if (next === undefined) this.#waits.reached(sinceMs + KEY_LINGER_MS);
    return next;
  }

  #isOld({ step, madeAtMs }: AskKeyRing, { nowMs, wallMs }: KeyTimes): boolean {
    // At least as old as this leader has known it: an older Holdfast wrote no time, and clocks may be set back.
    const knownMs = nowMs - this.#waits.since(`age ${step}`, true)!;
    const ageMs = Math.max(knownMs, wallMs - (madeAtMs ?? wallMs));
    return this.#waits.reached(nowMs + this.#ageMsMax - ageMs);
  }
}

/** Who is waited for: who registers is to have them before it is a member. */
export function holdersOf({
  members,
  registrations,
}: {
  readonly members: readonly KeyHolder[];
  readonly registrations: ReadonlyMap<string, KeyHolder>;
}): readonly KeyHolder[] {
  const names = new Set(members.map(({ name }) => name));
  return [...members, ...[...registrations.values()].filter(({ name }) => !names.has(name))];
}
