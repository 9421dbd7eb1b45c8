// Owns whose opinions of backends count now: those that muxes tell, and for a bounded time, as one that is not there yet, that
// of a mux which fell silent. Without it a mux that restarts would leave the decision to a minority. A part of the leader,
// pure: time is told. Not here: what the opinions come to (judgement_core.ts).
import { BACKENDS_MAX } from '../config/objects.ts';
import type { Verdict, Verdicts } from './verdicts_codec.ts';

const NONE_YET: Verdict = { isUp: undefined, sinceMs: 0, reason: '' };

/** One leadership's. */
export class Electorate {
  readonly #graceMs: number;
  readonly #verdicts = new Map<string, Verdicts>();
  /** By mux: about whom it is silent, and until when that counts; undefined: from the next look on. */
  readonly #silent = new Map<string, Map<number, number | undefined>>();
  #isBegun = false;

  /** `graceMs`: for so long a mux that fell silent counts as one that has no result yet. */
  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Undefined: the mux says nothing any more. */
  heard(mux: string, verdicts: Verdicts | undefined): void {
    for (const [about, { isAbstaining }] of this.#verdicts.get(mux) ?? []) {
      if (isAbstaining !== true && verdicts?.has(about) !== true) this.#fallSilent(mux, about);
    }
    for (const about of verdicts?.keys() ?? []) this.#silent.get(mux)?.delete(about);
    if (verdicts === undefined) this.#verdicts.delete(mux);
    else this.#verdicts.set(mux, verdicts);
  }

  /**
   * What counts at `nowMs`, and when to look again. Of `members` that nothing was heard of when the leadership began nobody
   * knows what they would say: they are silent about all `subjects` then.
   */
  at(
    nowMs: number,
    { members, subjects }: { readonly members: Iterable<string>; readonly subjects: () => Iterable<number> },
  ): { readonly verdicts: ReadonlyMap<string, Verdicts>; readonly wakeAtMs: number | undefined } {
    if (!this.#isBegun) {
      const unheard = [...members].filter((mux) => !this.#verdicts.has(mux));
      for (const mux of unheard) for (const about of subjects()) this.#fallSilent(mux, about);
      this.#isBegun = true;
    }
    const verdicts = new Map(this.#verdicts);
    let wakeAtMs: number | undefined;
    for (const [mux, silent] of this.#silent) {
      for (const [about, knownMs] of silent) {
        const untilMs = knownMs ?? nowMs + this.#graceMs;
        if (untilMs <= nowMs) silent.delete(about);
        else {
          silent.set(about, untilMs);
          wakeAtMs = Math.min(wakeAtMs ?? untilMs, untilMs);
        }
      }
      if (silent.size === 0) this.#silent.delete(mux);
      else verdicts.set(mux, together(silent.keys(), this.#verdicts.get(mux)));
    }
    return { verdicts, wakeAtMs };
  }

  #fallSilent(mux: string, about: number): void {
    const silent = this.#silent.get(mux) ?? new Map<number, undefined>();
    this.#silent.set(mux, silent);
    if (silent.size < BACKENDS_MAX) silent.set(about, undefined);
  }
}

function together(silent: Iterable<number>, told: Verdicts = new Map()): Verdicts {
  const all = new Map([...silent].map((about): [number, Verdict] => [about, NONE_YET]));
  for (const [about, verdict] of told) all.set(about, verdict);
  return all;
}
