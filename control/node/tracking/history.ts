// Owns what became of changes as this node saw it: since when each is at its step, and the last ones that have ended.
// Versions carry no times: a node that begins while a change is open knows its times from then on only. Pure.

import { FINISHED_CHANGES_MAX } from '../../api/schema/changes.ts';
import type { ChangeStep, FinishedChange, NodeEvent } from '../../api/schema.ts';
import { candidateKey, type Period, type Placement, type Version } from '../../cluster/version.ts';
import type { Picture } from './picture.ts';

/** What belongs together: the periods of one pool with the same track epoch. */
export type Tracking = {
  /** POOL@VERSION */
  readonly id: string;
  readonly pool: string;
  readonly poolId: number;
  readonly trackEpoch: number;
  readonly placement: Placement;
  /** Each with the number that its slots have in `placement.period`. */
  readonly parts: readonly { readonly period: Period; readonly number: number; readonly slots: number }[];
  /** Of the part that is least advanced. */
  readonly step: ChangeStep;
  readonly slots: number;
  readonly reason: string;
};

export type Seen = {
  readonly sinceMs: number;
  /** False: it was under way when this node began to look. */
  readonly isWhole: boolean;
  readonly steps: readonly { readonly step: ChangeStep; readonly sinceMs: number }[];
  readonly slots: number;
};

type Told = Omit<NodeEvent, 'atMs'>;

const ORDER: readonly ChangeStep[] = ['track', 'commit', 'settle'];

const trackingsOfVersion = new WeakMap<Version, readonly Tracking[]>();

/** By pool and age. */
export function trackingsOf(version: Version): readonly Tracking[] {
  const known = trackingsOfVersion.get(version);
  if (known !== undefined) return known;
  const poolNames = new Map([...version.objects.pools.values()].map(({ id, name }) => [id, name]));
  const found = [...version.placements.values()].flatMap((placement) => {
    // By index: an iterator makes an object of each of a million slots.
    const slots = new Uint32Array(placement.periods.length + 1);
    for (let at = 0; at < placement.period.length; at++) slots[placement.period[at]!]!++;
    const parts = placement.periods.map((period, index) => ({
      period,
      number: index + 1,
      slots: slots[index + 1]!,
    }));
    const pool = poolNames.get(placement.poolId) ?? `pool-${placement.poolId}`;
    return [...Map.groupBy(parts, ({ period }) => period.trackEpoch)].map(
      ([trackEpoch, parts]): Tracking => ({
        id: `${pool}@${trackEpoch}`,
        pool,
        poolId: placement.poolId,
        trackEpoch,
        placement,
        parts,
        step: ORDER.find((step) => parts.some(({ period }) => period.step === step))!,
        slots: parts.reduce((sum, it) => sum + it.slots, 0),
        reason: [...new Set(parts.map(({ period }) => period.reason))].join('; '),
      }),
    );
  });
  found.sort((a, b) => (a.pool === b.pool ? a.trackEpoch - b.trackEpoch : a.pool < b.pool ? -1 : 1));
  trackingsOfVersion.set(version, found);
  return found;
}

export class ChangeHistory {
  readonly #open = new Map<string, Seen & { readonly pool: string; readonly reason: string }>();
  #finished: FinishedChange[] = [];
  #head: Version | undefined;

  get finished(): readonly FinishedChange[] {
    return this.#finished;
  }

  seen(id: string): Seen | undefined {
    return this.#open.get(id);
  }

  /** What there is to tell of a new head, in words. */
  observe(head: Version, { nowMs, wallMs }: Pick<Picture, 'nowMs' | 'wallMs'>): Told[] {
    const before = this.#head;
    if (before?.number === head.number && before.digest === head.digest) return [];
    this.#head = head;
    const told: Told[] = before === undefined ? [] : [...memberEvents(before, head)];
    const trackings = trackingsOf(head);
    for (const tracking of trackings) {
      const step = this.#stepOf(tracking, before !== undefined, nowMs);
      if (step !== undefined && before !== undefined) told.push(step);
    }
    const ids = new Set(trackings.map(({ id }) => id));
    for (const id of [...this.#open.keys()].filter((it) => !ids.has(it)))
      told.push(this.#end(id, nowMs, wallMs));
    if (before === undefined) return told;
    const published = {
      kind: 'version',
      message: `version ${head.number} is published`,
      revision: head.objects.revision,
    } as const;
    return [published, ...told];
  }

  #stepOf(tracking: Tracking, isWhole: boolean, nowMs: number): Told | undefined {
    const { id, pool, step, slots, reason, placement } = tracking;
    const known = this.#open.get(id);
    const isSame = known?.steps.at(-1)?.step === step;
    this.#open.set(id, {
      pool,
      reason,
      sinceMs: known?.sinceMs ?? nowMs,
      isWhole: known?.isWhole ?? isWhole,
      steps: isSame ? known!.steps : [...(known?.steps ?? []), { step, sinceMs: nowMs }].slice(-STEPS_MAX),
      slots: Math.max(known?.slots ?? 0, slots),
    });
    if (isSame) return undefined;
    const of = placement.current.length;
    return {
      kind: 'step',
      message: `change ${id} is at step ${step}: ${slots.toLocaleString('en')} of ${of.toLocaleString('en')} slots of pool ${pool} are tracked (${reason})`,
      detail: { change: id, step },
    };
  }

  #end(id: string, nowMs: number, wallMs: number): Told {
    const { pool, reason, sinceMs, isWhole, steps, slots } = this.#open.get(id)!;
    this.#open.delete(id);
    const ended: FinishedChange = {
      id,
      pool,
      reason,
      finishedAtMs: wallMs,
      tookMs: nowMs - sinceMs,
      seenWhole: isWhole,
      slots,
      steps: steps.map(({ step, sinceMs }, index) => ({
        step,
        tookMs: (steps[index + 1]?.sinceMs ?? nowMs) - sinceMs,
      })),
    };
    this.#finished = [ended, ...this.#finished].slice(0, FINISHED_CHANGES_MAX);
    return {
      kind: 'step',
      message: `change ${id} has ended: all slots of it are clean (${reason})`,
      detail: { change: id, step: 'clean' },
    };
  }
}

/** A change that is joined again and again goes back each time; the last of its steps are enough. */
const STEPS_MAX = 64;

function memberEvents(before: Version, head: Version): Told[] {
  const was = new Map(before.members.map((it) => [candidateKey(it), it]));
  const is = new Map(head.members.map((it) => [candidateKey(it), it]));
  const told = (message: string, name: string): Told => ({ kind: 'member', message, detail: { node: name } });
  return [
    ...[...is.values()]
      .filter((it) => !was.has(candidateKey(it)))
      .map(({ name, id }) => told(`mux ${name} (${id}) is a member as of version ${head.number}`, name)),
    ...[...was.values()]
      .filter((it) => !is.has(candidateKey(it)))
      .map(({ name, id, isLeaving }) =>
        told(
          isLeaving
            ? `mux ${name} (${id}) has handed over what it kept and is no member any more`
            : `mux ${name} (${id}) was removed with version ${head.number}: its slots have another owner`,
          name,
        ),
      ),
    ...[...is.values()]
      .filter((it) => it.isLeaving && was.get(candidateKey(it))?.isLeaving === false)
      .map(({ name, id }) => told(`mux ${name} (${id}) hands over what it keeps and leaves`, name)),
  ];
}
