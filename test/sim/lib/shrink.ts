// Owns finding a short history that breaks the same rule: leaves out what can be left out, until nothing can.
import type { ViolationKind } from './judgement.ts';
import { type Action, CALM, type Scenario } from './scenario.ts';
import type { Result } from './simulation.ts';

/** Histories tried, at most. */
export const SHRINK_RUNS_MAX = 150;

type Run = (scenario: Scenario) => Promise<Result>;

/** The result of the shortest history found in which `result`'s first violation happens again. */
export async function shrink(result: Result, run: Run): Promise<Result> {
  const kind = result.violations[0]?.kind;
  if (kind === undefined) return result;
  const search = new Search(result, kind, run);
  await search.simplify();
  for (let size = search.best.scenario.actions.length >> 1; size >= 1; size = size >> 1) {
    await search.leaveOut(size);
  }
  await search.leaveOutEdits();
  await search.simplify();
  return search.best;
}

class Search {
  best: Result;
  readonly #kind: ViolationKind;
  readonly #run: Run;
  #runs = 0;

  constructor(result: Result, kind: ViolationKind, run: Run) {
    this.best = result;
    this.#kind = kind;
    this.#run = run;
  }

  /** Fair weather, one thing at a time, and no lag where it does not matter. */
  async simplify(): Promise<void> {
    const { scenario } = this.best;
    await this.#try({ ...scenario, weather: CALM, fragmentsSpread: false });
    for (const key of Object.keys(CALM) as (keyof typeof CALM)[]) {
      const weather = { ...this.best.scenario.weather, [key]: CALM[key] };
      if (weather[key] !== this.best.scenario.weather[key])
        await this.#try({ ...this.best.scenario, weather });
    }
    const actions = this.best.scenario.actions.map(withoutLag);
    await this.#try({ ...this.best.scenario, actions });
  }

  /** Runs of `size` actions, each in turn. */
  async leaveOut(size: number): Promise<void> {
    for (let at = 0; at < this.best.scenario.actions.length; ) {
      const { scenario } = this.best;
      const actions = scenario.actions.toSpliced(at, size);
      if (!(await this.#try({ ...scenario, actions }))) at += size;
    }
  }

  /** Of those that are made as one. */
  async leaveOutEdits(): Promise<void> {
    for (let at = 0; at < this.best.scenario.actions.length; at++) {
      for (let nth = 0; ; ) {
        const { scenario } = this.best;
        const action = scenario.actions[at]!;
        if (action.kind !== 'edit' || nth >= action.edits.length) break;
        const without = { ...action, edits: action.edits.toSpliced(nth, 1) };
        if (!(await this.#try({ ...scenario, actions: scenario.actions.with(at, without) }))) nth++;
      }
    }
  }

  async #try(scenario: Scenario): Promise<boolean> {
    if (this.#runs >= SHRINK_RUNS_MAX) return false;
    this.#runs++;
    const result = await this.#run(scenario);
    if (!result.violations.some(({ kind }) => kind === this.#kind)) return false;
    this.best = result;
    return true;
  }
}

function withoutLag(action: Action): Action {
  return action.kind === 'edit' ? { ...action, lagNs: action.lagNs.map(() => 0), stepNs: 0 } : action;
}
