// Owns how results are told to people.
import { VIOLATION_KINDS } from './judgement.ts';
import type { Action } from './scenario.ts';
import type { Result } from './simulation.ts';

const LINES_MAX = 60;

export function summaryLine(result: Result): string {
  const { summary, scenario, digest } = result;
  const flows = Object.values(summary.ends).reduce((sum, count) => sum + count, 0);
  const found = result.violations.length === 0 ? '' : `, VIOLATED: ${result.violations[0]!.kind}`;
  return [
    `seed ${String(scenario.seed).padEnd(10)} ${digest}`,
    `${scenario.muxes} muxes, ${summary.versions} versions, ${summary.packets} packets, ${flows} flows`,
    `${toleratedText(summary.tolerated, summary.ends.broken)}${found}`,
  ].join('  ');
}

export function toleratedText(tolerated: Readonly<Record<string, number>>, broken: number): string {
  const counts = Object.entries({ ...tolerated, 'broken connections': broken });
  return counts.map(([name, count]) => `${count} ${name}`).join(', ');
}

/** The first violation, the shortest history found that leads to it, and what happened in it. */
export function violationText(original: Result, shortest: Result): string {
  const [first] = shortest.violations;
  if (first === undefined) return '';
  const { actions, weather, muxes, fragmentsSpread } = shortest.scenario;
  const concerning = shortest.trace.filter(({ flow }) => flow === undefined || flow === first.flow);
  const end = concerning.findIndex(({ text }) => text.includes('VIOLATION'));
  const lines = concerning.slice(Math.max(0, end - LINES_MAX), end + 1).map(({ text }) => text);
  return [
    `${first.kind}: ${VIOLATION_KINDS[first.kind]}`,
    `  ${first.message}`,
    `history of ${actions.length} actions (of ${original.scenario.actions.length}), ${muxes} muxes, ` +
      `weather ${JSON.stringify(weather)}${fragmentsSpread ? ', fragments spread' : ''}:`,
    ...actions.slice(0, LINES_MAX).map((action) => `  ${actionText(action)}`),
    'trace:',
    ...lines,
  ].join('\n');
}

function actionText({ kind, atNs, ...fields }: Action): string {
  return `${(atNs / 1e6).toFixed(3).padStart(10)} ms  ${kind} ${JSON.stringify(fields)}`;
}
