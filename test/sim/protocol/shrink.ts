// Owns finding a short history that breaks the same rule: fewer flows, fewer actions, fairer weather.
import type { HistoryResult } from './history.ts';
import { CALM, type Scenario } from './scenario.ts';

/** Histories tried, at most. */
export const RUNS_MAX = 60;

export async function shrink(
  result: HistoryResult,
  run: (scenario: Scenario) => Promise<HistoryResult>,
): Promise<HistoryResult> {
  const kind = result.findings[0]?.kind;
  let best = result;
  let runs = 0;
  const attempt = async (change: Partial<Scenario>): Promise<boolean> => {
    if (kind === undefined || runs++ >= RUNS_MAX) return false;
    const tried = await run({ ...best.scenario, ...change });
    if (!tried.findings.some((it) => it.kind === kind)) return false;
    best = tried;
    return true;
  };
  const flow = result.findings[0]?.flow;
  const { traffic } = result.scenario;
  if (flow !== undefined) await attempt({ traffic: { ...traffic, only: [flow] } });
  for (const weather of ['inside', 'outside'] as const) await attempt({ [weather]: CALM });
  for (let size = best.scenario.actions.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.scenario.actions.length; ) {
      if (!(await attempt({ actions: best.scenario.actions.toSpliced(at, size) }))) at += size;
    }
  }
  return best;
}
