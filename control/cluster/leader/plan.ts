// Owns what an edit would come to, for people, before anything is written: which slots move from whom to whom, and how long
// the steps take at least. Pure.
import type { Acknowledgement, Placement, Version } from '../version.ts';
import { type Intent, type LeaderSettings, SETTLE_IDLES } from './inputs.ts';
import { deadIn, idleTimeouts } from './objects.ts';

export type PlannedStep = {
  readonly step: 'track' | 'commit' | 'settle' | 'at once';
  /** What has to pass at least until the next, milliseconds, beside the barriers of the muxes, which take some tens. */
  readonly atLeastMs: number;
  readonly what: string;
};

export type PoolPlan = {
  readonly pool: string;
  readonly slots: number;
  readonly of: number;
  /** Slots by former and next backend (`pool/name`), most first. */
  readonly moves: readonly { readonly from: string; readonly to: string; readonly slots: number }[];
  /** Of these, slots whose backend is given up: their flows end. */
  readonly givenUp: number;
  /** Of these, slots that are tracked already for a change that is still open. */
  readonly overlapping: number;
  /** Live flows of the pool that muxes report, of tracked slots; undefined: none report, and clean slots keep no count. */
  readonly flows: number | undefined;
  readonly steps: readonly PlannedStep[];
};

export function planOf(
  intent: Intent,
  head: Version,
  settings: LeaderSettings,
  acknowledgements: Iterable<Acknowledgement> = [],
): PoolPlan[] {
  const isDead = deadIn(intent);
  const used = idleTimeouts(head.objects.services.values());
  const idles = idleTimeouts(intent.state.services.values());
  const reports = [...acknowledgements].flatMap((it) => it.reports);
  const plans: PoolPlan[] = [];
  for (const { name, id } of intent.state.pools.values()) {
    const target = intent.state.tables.get(name)?.slots;
    const placement = head.placements.get(id);
    if (target === undefined || placement?.current.length !== target.length) continue;
    const moved = movesOf(placement, target, isDead);
    if (moved.slots === 0) continue;
    const idleMs = Math.max(used.get(name) ?? 0, idles.get(name) ?? 0);
    const counts = reports.filter(({ poolId }) => poolId === id).map(({ flows }) => flows);
    plans.push({
      pool: name,
      slots: moved.slots,
      of: target.length,
      moves: named(moved.pairs, intent, head),
      givenUp: moved.givenUp,
      overlapping: moved.overlapping,
      flows: counts.length > 0 ? Math.max(...counts) : undefined,
      steps: used.has(name) ? stepsOf(moved, settings, idleMs) : [AT_ONCE],
    });
  }
  return plans;
}

const AT_ONCE: PlannedStep = {
  step: 'at once',
  atLeastMs: 0,
  what: 'no service uses the pool: nothing can break',
};

type Moved = {
  readonly slots: number;
  readonly givenUp: number;
  readonly overlapping: number;
  /** Slots by former and next index. */
  readonly pairs: ReadonlyMap<string, number>;
};

function movesOf(
  { current, period }: Placement,
  target: Uint16Array,
  isDead: (backend: number) => boolean,
): Moved {
  const pairs = new Map<string, number>();
  let slots = 0;
  let givenUp = 0;
  let overlapping = 0;
  for (let slot = 0; slot < target.length; slot++) {
    const [from, to] = [current[slot]!, target[slot]!];
    // Nobody to take it: it stays.
    if (from === to || to === 0 || from === 0) continue;
    slots++;
    if (isDead(from)) givenUp++;
    if (period[slot] !== 0) overlapping++;
    const pair = `${from} ${to}`;
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  return { slots, givenUp, overlapping, pairs };
}

function named(pairs: ReadonlyMap<string, number>, { state }: Intent, head: Version): PoolPlan['moves'] {
  const names = new Map(
    [...head.objects.backends.values(), ...state.retired.backends, ...state.backends.values()].map((it) => [
      it.index,
      `${it.pool}/${it.name}`,
    ]),
  );
  const nameOf = (index: string | undefined) => names.get(Number(index)) ?? `#${index}`;
  return [...pairs]
    .map(([pair, slots]) => {
      const [from, to] = pair.split(' ');
      return { from: nameOf(from), to: nameOf(to), slots };
    })
    .sort((a, b) => b.slots - a.slots);
}

function stepsOf(
  { slots, givenUp, overlapping }: Moved,
  { handshakeHoldMs }: LeaderSettings,
  idleMs: number,
): PlannedStep[] {
  const settle: PlannedStep = {
    step: 'settle',
    atLeastMs: 0,
    what: 'slots become clean one by one as their old flows end',
  };
  if (slots === givenUp) {
    const what = 'new flows are recorded, then go to the next backend; flows of the former are given up';
    return [{ step: 'track', atLeastMs: 0, what }, settle];
  }
  const holdMs = slots === overlapping ? 0 : handshakeHoldMs;
  return [
    { step: 'track', atLeastMs: holdMs, what: 'new flows are recorded where they went before' },
    {
      step: 'commit',
      atLeastMs: Math.ceil(idleMs * SETTLE_IDLES),
      what: 'new flows go to the next backend, others stay; each old flow is recorded as it sends',
    },
    settle,
  ];
}
