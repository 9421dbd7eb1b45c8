// Owns how a planned edit would come to be in effect: pool by pool, which way its slots move, and how long each step of
// that takes. Pure. What is really done is the leader's to decide, by the same rules.

import { CHANGE_STEPS } from '../../api/schema/changes.ts';
import type { PoolPlan, StepView } from '../../api/schema.ts';
import type { StepTimes } from '../../cluster/leader/inputs.ts';
import { hasRoom } from '../../cluster/leader/placement.ts';
import type { Placement } from '../../cluster/version.ts';
import type { EditPlan } from '../../config/cluster_state.ts';
import { idleTimeoutOf } from '../../config/objects.ts';
import { countMoves, knownFlows, leastMs } from './change_views.ts';
import { trackingsOf } from './history.ts';
import { backendNames, type Picture, span } from './picture.ts';
import { risksOf } from './risks.ts';

/** Of pools that are there before and afterwards, and of which slots move. */
export function poolPlansOf(plan: EditPlan, picture: Picture, times: StepTimes): PoolPlan[] {
  return plan.moved
    .filter(({ slots }) => slots > 0)
    .map(({ pool, of }) => poolPlan(pool, of, plan, picture, times));
}

function poolPlan(pool: string, of: number, plan: EditPlan, picture: Picture, times: StepTimes): PoolPlan {
  const { head, intent } = picture;
  const poolId = plan.after.pools.get(pool)!.id;
  const placement = head?.placements.get(poolId);
  const before = placement?.current ?? intent.tables.get(pool)?.slots ?? new Uint16Array(of);
  // What the table has nobody for stays where it is.
  const after = plan.after.tables.get(pool)!.slots.map((to, slot) => to || (before[slot] ?? 0));
  const names = new Map([
    ...backendNames(intent),
    ...backendNames(head?.objects),
    ...backendNames(plan.after),
  ]);
  const moves = countMoves(before, after, names);
  const slots = moves.reduce((sum, it) => sum + it.slots, 0);
  const found = wayOf(pool, before, after, placement, picture);
  const isTouched = found.way !== 'direct' && found.way !== 'stays' && placement !== undefined;
  const { risks, givenUp } = isTouched
    ? risksOf(placement, plan.after, (slot) => after[slot] !== before[slot], picture)
    : { risks: [], givenUp: 0 };
  const { way, why } = isTouched && givenUp === slots ? URGENT : found;
  const idleTimeoutMs = Math.max(
    0,
    ...[...plan.after.services.values(), ...(head?.objects.services.values() ?? [])]
      .filter((it) => it.pool === pool)
      .map(idleTimeoutOf),
  );
  const steps = isTouched ? stepsOf(way, idleTimeoutMs, times) : [];
  return {
    pool,
    of,
    slots,
    moves,
    way,
    ...(why !== undefined && { why }),
    flows: {
      known: knownFlows(picture, poolId),
      atRisk: risks.reduce((sum, it) => sum + it.known, 0),
    },
    risks,
    steps,
    leastMs: steps.reduce((sum, step) => sum + (step.state === 'skipped' ? 0 : step.leastMs), 0),
  };
}

const URGENT: Pick<PoolPlan, 'way' | 'why'> = {
  way: 'urgent',
  why: 'Whoever had the slots is given up, and with it its flows.',
};

function wayOf(
  pool: string,
  before: Uint16Array,
  after: Uint16Array,
  placement: Placement | undefined,
  { head }: Picture,
): Pick<PoolPlan, 'way' | 'why'> {
  if (head === undefined || placement === undefined) {
    return { way: 'direct', why: 'No mux has the pool yet.' };
  }
  if (![...head.objects.services.values()].some((it) => it.pool === pool)) {
    return { way: 'direct', why: 'No service uses the pool, so no flow is there.' };
  }
  if (after.every((to, slot) => to === before[slot])) {
    return { way: 'stays', why: 'Nobody would take the slots, so they stay with those who had them last.' };
  }
  if (after.every((to, slot) => to === before[slot] || before[slot] === 0)) {
    return { way: 'direct', why: 'Nobody has the slots that move, so no flow is there.' };
  }
  const open = placement.periods.length;
  if (!hasRoom(open, periodsAfter(placement, before, after))) {
    return {
      way: 'waits',
      why: `${open} changes of the pool are open; some of them have to end first.`,
    };
  }
  const overlap = after.findIndex((to, slot) => to !== before[slot] && placement.period[slot] !== 0);
  if (overlap >= 0) {
    const { trackEpoch } = placement.periods[placement.period[overlap]! - 1]!;
    const joined = trackingsOf(head).find(
      (it) => it.poolId === placement.poolId && it.trackEpoch === trackEpoch,
    );
    return {
      way: 'joins',
      why: `Slots of change ${joined?.id} move again: their flows are recorded already.`,
    };
  }
  if (head.members.length < 2) {
    return {
      way: 'tracked',
      why: 'There is one mux: what it records has no second copy until another one joins.',
    };
  }
  return { way: 'tracked' };
}

/** Slots that move again leave their period for another of the same tracking, unless that has just begun. */
function periodsAfter({ period, periods }: Placement, before: Uint16Array, after: Uint16Array): number {
  const made = new Set<string>();
  const left = new Set<number>();
  const stay = new Set<number>();
  after.forEach((to, slot) => {
    const number = period[slot]!;
    const from = periods[number - 1];
    const moves = to !== before[slot] && before[slot] !== 0;
    if (from !== undefined && (!moves || from.step === 'track')) stay.add(number);
    else if (moves) {
      made.add(from === undefined ? '' : `${from.trackEpoch} ${from.isUrgent}`);
      left.add(number);
    }
  });
  const emptied = [...left].filter((number) => number > 0 && !stay.has(number)).length;
  return periods.length - emptied + made.size;
}

const MEANINGS = {
  track: () =>
    'Every mux records new flows; those whose SYN is under way are recorded when it is sent again.',
  commit: (idleTimeoutMs: number) =>
    `New flows go to the new backends; whoever is silent for ${span(idleTimeoutMs)} has ended by the end of it.`,
  settle: () => 'Slots become clean as their last flow on an old backend ends.',
} as const;

/** Which steps a way leaves out. */
const SKIPPED: Partial<Record<PoolPlan['way'], StepView['step']>> = { joins: 'track', urgent: 'commit' };

function stepsOf(way: PoolPlan['way'], idleTimeoutMs: number, times: StepTimes): StepView[] {
  return CHANGE_STEPS.map((step) => ({
    step,
    state: SKIPPED[way] === step ? 'skipped' : 'next',
    leastMs: leastMs(step, { idleTimeoutMs, isUrgent: way === 'urgent' }, times),
    waitsFor: [MEANINGS[step](idleTimeoutMs)],
  }));
}
