// Owns what a plan looks like: pool by pool, which slots move, and the steps in which they do.
import type { PlanRisk, PoolPlan, SlotMove } from '../api/schema.ts';
import { count, counted, percent, share, span } from './format.ts';
import type { Screen } from './screen.ts';
import { wrapped } from './wrap.ts';

/** Pairs of backends of one pool that are spelled out. */
export const MOVES_MAX = 8;
const INDENT = '    ';
const STEP_COLUMNS = 'commit'.length;
const TIME_COLUMNS = 14;

export function planText(screen: Screen, plans: readonly PoolPlan[]): string {
  return plans.map((plan) => poolText(screen, plan)).join('\n\n');
}

function poolText(screen: Screen, plan: PoolPlan): string {
  const { pool, slots, of, moves, way, why, flows, risks, steps, leastMs } = plan;
  const head = `pool ${screen.paint('bold', pool)}: ${count(slots)} of ${count(of)} slots get another backend (${percent(share(slots, of))})`;
  const risk =
    risks.length === 0
      ? screen.paint('green', 'no flow is at risk')
      : screen.paint('red', `flows of ${counted(slotsOf(risks), 'slot')} are at risk`);
  const known = flows.known === 0 ? '' : `, ${counted(flows.known, 'live flow')} of the pool recorded by now`;
  return [
    head,
    ...moveLines(screen, moves).map((line) => `${INDENT}${line}`),
    `${INDENT}${WAYS[way]}${why === undefined ? '' : `: ${why}`}`,
    ...steps.map(({ step, state, leastMs, waitsFor }) => {
      const time = state === 'skipped' ? 'is done' : leastMs === 0 ? '' : `${span(leastMs)} at least`;
      const left = `${INDENT}${screen.paint('cyan', step.padEnd(STEP_COLUMNS))}  ${time.padEnd(TIME_COLUMNS)}  `;
      return `${left}${wrapped(waitsFor.join(' '), INDENT.length + STEP_COLUMNS + TIME_COLUMNS + 4, screen.columns)}`.trimEnd();
    }),
    ...risks.map((it) => riskLine(screen, it)),
    `${INDENT}${risk}${known}${steps.length === 0 ? '' : `; all is clean after ${span(leastMs)} at the earliest`}`,
  ].join('\n');
}

/** Clean slots keep no record, so that nothing is known of a slot's flows does not mean that there are none. */
function riskLine(screen: Screen, { kind, known, why }: PlanRisk): string {
  const recorded = known === 0 ? 'None is recorded yet.' : `Recorded: ${counted(known, 'flow')}.`;
  const text = wrapped(`${why} ${recorded}`, INDENT.length, screen.columns);
  return `${INDENT}${screen.paint(kind === 'given-up' ? 'red' : 'yellow', text)}`;
}

function slotsOf(risks: readonly PlanRisk[]): number {
  return risks.reduce((sum, { slots }) => sum + slots, 0);
}

const WAYS: Readonly<Record<PoolPlan['way'], string>> = {
  tracked: 'in steps, and each flow stays where it is',
  joins: 'in steps, with the change that is open',
  direct: 'at once',
  urgent: 'at once, because the backend is dead',
  waits: 'later',
  stays: 'not at all',
};

/** `web/b1 → web/b2  21,845`, the largest first. */
export function moveLines(screen: Screen, moves: readonly SlotMove[]): string[] {
  const arrow = screen.hasBlocks ? '→' : '->';
  const shown = moves.slice(0, MOVES_MAX).map(({ from, to, slots }) => ({
    pair: `${from ?? 'nobody'} ${arrow} ${to ?? 'nobody'}`,
    slots: count(slots),
  }));
  const pairs = Math.max(0, ...shown.map(({ pair }) => pair.length));
  const amounts = Math.max(0, ...shown.map(({ slots }) => slots.length));
  const rest = moves.slice(MOVES_MAX);
  return [
    ...shown.map(({ pair, slots }) => `${pair.padEnd(pairs)}  ${slots.padStart(amounts)}`),
    ...(rest.length === 0
      ? []
      : [
          `and ${count(rest.reduce((sum, { slots }) => sum + slots, 0))} between ${counted(rest.length, 'other pair')}`,
        ]),
  ];
}
