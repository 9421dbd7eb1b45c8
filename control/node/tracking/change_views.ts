// Owns what is said of changes that move slots: how far each is, whom and what it waits for, how the slots of each pool are.
// Pure.

import { CHANGE_STEPS } from '../../api/schema/changes.ts';
import type { ChangeStep, Changes, OpenChange, SlotMove, SlotStates, StepView } from '../../api/schema.ts';
import { hasCopied, reportOf } from '../../cluster/copies.ts';
import type { StepTimes } from '../../cluster/leader/inputs.ts';
import type { Progress } from '../../cluster/progress.ts';
import type { Member, Period, PeriodReport, Version } from '../../cluster/version.ts';
import { type ChangeHistory, type Seen, type Tracking, trackingsOf } from './history.ts';
import { backendNames, counted, listed, type Picture, span } from './picture.ts';

export function changesOf(
  picture: Picture,
  history: ChangeHistory,
  progress: Progress | undefined,
  times: StepTimes,
): Changes {
  const { head, editedRevision, muxes, wallMs, own } = picture;
  const published = head?.objects.revision ?? 0;
  const trackings = head === undefined ? [] : trackingsOf(head);
  return {
    atMs: wallMs,
    version: head?.number ?? 0,
    applied: own?.version ?? head?.number ?? 0,
    revision: editedRevision,
    publishedRevision: published,
    ...(muxes.leader !== undefined && { leader: muxes.leader }),
    waitsFor: [
      ...(muxes.leader === undefined
        ? ['No node makes versions now: edits are saved and wait, and nothing takes its next step.']
        : []),
      ...(muxes.stale === undefined ? [] : [muxes.stale]),
      ...(progress?.problems ?? []),
    ],
    pools: head === undefined ? [] : slotStates(head),
    open: trackings.map((tracking) =>
      openChange(tracking, picture, history.seen(tracking.id), progress, times),
    ),
    finished: [...history.finished],
  };
}

export function slotStates({ placements, objects }: Version): SlotStates[] {
  return [...objects.pools.values()]
    .flatMap(({ id, name }): SlotStates[] => {
      const placement = placements.get(id);
      if (placement === undefined) return [];
      const states = { pool: name, of: placement.current.length, clean: 0, track: 0, commit: 0, settle: 0 };
      for (const number of placement.period) {
        if (number === 0) states.clean++;
        else states[placement.periods[number - 1]!.step]++;
      }
      return [states];
    })
    .sort((a, b) => (a.pool < b.pool ? -1 : 1));
}

/** How long a step lasts at least. */
export function leastMs(
  step: ChangeStep,
  { idleTimeoutMs, isUrgent }: Pick<Period, 'idleTimeoutMs' | 'isUrgent'>,
  times: StepTimes,
): number {
  if (isUrgent || step === 'settle') return 0;
  return step === 'track' ? times.handshakeHoldMs : Math.round(idleTimeoutMs * times.settleIdles);
}

function openChange(
  tracking: Tracking,
  picture: Picture,
  seen: Seen | undefined,
  progress: Progress | undefined,
  times: StepTimes,
): OpenChange {
  const { placement, parts, step, trackEpoch, poolId } = tracking;
  const head = picture.head!;
  const slowest = parts.find(({ period }) => period.step === step)!.period;
  const nodes = head.members.map((member) => reporter(member, tracking, slowest, picture));
  const waitsFor = [...new Set(parts.flatMap(({ period }) => waitsOf(period, poolId, nodes, progress)))];
  const leftMs = leftOf(slowest, poolId, progress);
  const moves = movesOf(tracking, backendNames(head.objects));
  return {
    id: tracking.id,
    pool: tracking.pool,
    reason: tracking.reason,
    urgent: parts.some(({ period }) => period.isUrgent),
    step,
    parts: parts.map(({ period, slots }) => ({
      step: period.step,
      version: period.stepVersion,
      slots,
      reason: period.reason,
    })),
    version: slowest.stepVersion,
    chainVersion: Math.max(...parts.map(({ period }) => period.chainEpoch)),
    revision: head.objects.revision,
    ageMs: picture.nowMs - (seen?.sinceMs ?? picture.nowMs),
    slots: {
      of: placement.current.length,
      tracked: tracking.slots,
      moved: moves.reduce((sum, { slots }) => sum + slots, 0),
    },
    moves,
    ...flowsOf(picture, poolId, trackEpoch),
    steps: stepViews({ step, period: slowest, seen, leftMs, waitsFor, nowMs: picture.nowMs, times }),
    waitsFor,
    ...(leftMs !== undefined && { nextStepInMs: leftMs }),
    lostSlots: parts.reduce((sum, { period }) => sum + period.lostSlots, 0),
    lostBriefly: parts.reduce((sum, { period }) => sum + (period.lostBriefly ?? 0), 0),
    nodes,
  };
}

/** In the leader's words; without them, what can be seen from here. */
function waitsOf(
  period: Period,
  poolId: number,
  nodes: OpenChange['nodes'],
  progress: Progress | undefined,
): readonly string[] {
  const told = toldOf(period, poolId, progress);
  if (told !== undefined) return told.waits;
  const missing = nodes.filter(({ acknowledged }) => !acknowledged).map(({ node }) => node);
  if (missing.length > 0) {
    return [
      `${listed(missing)} ${missing.length === 1 ? 'has' : 'have'} not acknowledged version ${period.stepVersion}.`,
    ];
  }
  const old = nodes.filter(({ oldFlows = 0 }) => oldFlows > 0);
  if (period.step === 'settle' && old.length > 0) {
    const each = old.map(({ node, oldFlows }) => `${node} ${oldFlows!.toLocaleString('en')}`);
    return [`Flows are still on an old backend, by the table of ${listed(each)}.`];
  }
  return [];
}

function toldOf(period: Period, poolId: number, progress: Progress | undefined) {
  return progress?.open.find(
    (it) =>
      it.poolId === poolId &&
      it.trackEpoch === period.trackEpoch &&
      it.step === period.step &&
      it.stepVersion === period.stepVersion,
  );
}

function leftOf(period: Period, poolId: number, progress: Progress | undefined): number | undefined {
  return toldOf(period, poolId, progress)?.leftMs;
}

function stepViews({
  step,
  period,
  seen,
  leftMs,
  waitsFor,
  nowMs,
  times,
}: {
  readonly step: ChangeStep;
  readonly period: Period;
  readonly seen: Seen | undefined;
  readonly leftMs: number | undefined;
  readonly waitsFor: readonly string[];
  readonly nowMs: number;
  readonly times: StepTimes;
}): StepView[] {
  const at = CHANGE_STEPS.indexOf(step);
  return CHANGE_STEPS.map((name, index): StepView => {
    const last = seen?.steps.findLastIndex((it) => it.step === name) ?? -1;
    const begun = seen?.steps[last]?.sinceMs;
    const ended = seen?.steps[last + 1]?.sinceMs ?? nowMs;
    const state =
      index < at
        ? seen?.isWhole && begun === undefined
          ? 'skipped'
          : 'done'
        : index === at
          ? 'now'
          : 'next';
    return {
      step: name,
      state,
      leastMs: leastMs(name, period, times),
      ...(state !== 'next' && begun !== undefined && { sinceMs: Math.max(0, ended - begun) }),
      ...(state === 'now' && leftMs !== undefined && { leftMs }),
      waitsFor: state === 'now' ? [...waitsFor] : [],
    };
  });
}

function reporter(
  member: Member,
  { poolId, trackEpoch }: Tracking,
  { stepVersion, chainEpoch }: Period,
  { muxes }: Picture,
): OpenChange['nodes'][number] {
  const found = muxes.acknowledgements.get(member.name);
  const acknowledgement = found?.incarnation === member.incarnation ? found : undefined;
  const report = reportOf(found, member, { poolId, trackEpoch });
  return {
    node: member.name,
    acknowledged: (acknowledgement?.version ?? 0) >= stepVersion,
    copied: hasCopied(found, member, { poolId, trackEpoch, chainEpoch }),
    ...(report !== undefined && { flows: report.flows, oldFlows: report.oldFlows }),
    ...(report !== undefined && report.unrecordedAgoMs >= 0 && { unrecordedAgoMs: report.unrecordedAgoMs }),
  };
}

/** Every flow is at two muxes, where there are two. */
function flowsOf(picture: Picture, poolId: number, trackEpoch: number): Pick<OpenChange, 'flows'> {
  const reports = reportsOf(picture, poolId, trackEpoch);
  if (reports.length === 0) return {};
  return {
    flows: {
      known: once(
        picture,
        reports.map(({ flows }) => flows),
      ),
      old: once(
        picture,
        reports.map(({ oldFlows }) => oldFlows),
      ),
    },
  };
}

/** Live flows of the pool that are recorded; of one tracking, or of all. */
export function knownFlows(picture: Picture, poolId: number, trackEpoch?: number): number {
  return once(
    picture,
    reportsOf(picture, poolId, trackEpoch).map(({ flows }) => flows),
  );
}

function once({ head }: Picture, counts: readonly number[]): number {
  const copies = (head?.members.length ?? 0) > 1 ? 2 : 1;
  return Math.ceil(counts.reduce((sum, it) => sum + it, 0) / copies);
}

function reportsOf({ head, muxes }: Picture, poolId: number, trackEpoch?: number): PeriodReport[] {
  return (head?.members ?? []).flatMap(
    ({ name }) =>
      muxes.acknowledgements
        .get(name)
        ?.reports.filter(
          (it) => it.poolId === poolId && (trackEpoch === undefined || it.trackEpoch === trackEpoch),
        ) ?? [],
  );
}

/** Of the tracked slots whose base is another backend than current; after settling there are none. */
function movesOf({ placement, parts }: Tracking, names: ReadonlyMap<number, string>): SlotMove[] {
  const numbers = new Set(parts.map(({ number }) => number));
  const { current, base, period } = placement;
  return countMoves(base, current, names, (slot) => numbers.has(period[slot]!));
}

/** Slots that have another backend in `after`, by both; the largest first. */
export function countMoves(
  before: Uint16Array,
  after: Uint16Array,
  names: ReadonlyMap<number, string>,
  counts: (slot: number) => boolean = () => true,
): SlotMove[] {
  const found = new Map<number, number>();
  after.forEach((to, slot) => {
    const from = before[slot] ?? 0;
    if (from === to || !counts(slot)) return;
    const key = from * 65_536 + to;
    found.set(key, (found.get(key) ?? 0) + 1);
  });
  const name = (index: number) => names.get(index) ?? `backend ${index}`;
  return [...found]
    .sort((a, b) => b[1] - a[1])
    .map(([key, slots]) => {
      const from = Math.floor(key / 65_536);
      const to = key % 65_536;
      return { ...(from !== 0 && { from: name(from) }), ...(to !== 0 && { to: name(to) }), slots };
    });
}

/** One line about a change that is under way. */
export function changeLine({ step, waitsFor, nextStepInMs, slots, flows }: OpenChange): string {
  const old = flows === undefined || flows.old === 0 ? '' : `, ${counted(flows.old, 'flow')} on old backends`;
  const time = nextStepInMs === undefined ? '' : `, next step in ${span(nextStepInMs)} at the earliest`;
  return `${step}: ${counted(slots.tracked, 'slot')} tracked${old}${time}${waitsFor[0] === undefined ? '' : `; ${waitsFor[0]}`}`;
}
