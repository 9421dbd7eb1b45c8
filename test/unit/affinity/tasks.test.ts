import { describe, expect, it } from 'vitest';
import { type AffinityEngine, AffinityTasks } from '../../../control/affinity/tasks.ts';
import { REPORT_INTERVAL_MS } from '../../../control/cluster/version.ts';
import { FilterCluster, server } from '../cluster/filter_cluster.ts';

const PAGES = 100;

function rig() {
  const calls: string[] = [];
  const state = { givenUp: new Set<number>(), unrecordedMs: undefined as number | undefined, reports: 0 };
  const engine: AffinityEngine = {
    beginSweep: () => void calls.push('begin'),
    sweep: (at) => {
      calls.push('sweep');
      return { next: at + 1 < PAGES ? at + 1 : undefined, live: 2 };
    },
    heldSlots: (poolId) => (poolId === 1 ? Uint8Array.of(0b101, 0) : undefined),
    unrecordedMs: () => state.unrecordedMs,
    givenUp: () => state.givenUp,
    giveUp: (_, at) => {
      calls.push('give up');
      return { next: at + 1 < PAGES ? at + 1 : undefined };
    },
  };
  const tasks = new AffinityTasks({
    engine,
    self: () => ({ id: 64, incarnation: 1 }),
    onReports: () => void state.reports++,
  });
  return { tasks, calls, state };
}

const moved = () => {
  const its = new FilterCluster();
  its.edit(server(64, 0));
  return its.step()!;
};

describe('tasks of a filter', () => {
  it('say where clients are once a whole pass at the version has counted them', () => {
    const { tasks, state } = rig();
    const version = moved();
    tasks.apply(version);
    tasks.tick(0);
    expect(tasks.reports(version.number, 0)[0]!.heldSlots).toBeUndefined();
    expect(state.reports).toBe(0);
    tasks.tick(50);
    expect(state.reports).toBe(1);
    const [report] = tasks.reports(version.number, 50);
    expect(report).toMatchObject({
      poolId: 1,
      heldSlots: Uint8Array.of(0b101, 0),
      flows: 2 * PAGES,
      oldFlows: 2,
    });
    expect(report!.unrecordedAgoMs).toBe(-1);
    // Of no other version.
    expect(tasks.reports(version.number - 1, 50)).toEqual([]);
    tasks.apply({ ...version, number: version.number + 1 });
    expect(tasks.reports(version.number + 1, 60)[0]!.heldSlots).toBeUndefined();
  });

  it('count again while slots have moved, and say how long ago a session began unrecorded', () => {
    const { tasks, state } = rig();
    const version = moved();
    tasks.apply(version);
    for (const atMs of [0, 50, REPORT_INTERVAL_MS, REPORT_INTERVAL_MS + 50]) tasks.tick(atMs);
    expect(state.reports).toBe(2);
    state.unrecordedMs = 1_000;
    expect(tasks.reports(version.number, 4_000)[0]!.unrecordedAgoMs).toBe(3_000);
  });

  it('give up clients before they count', () => {
    const { tasks, calls, state } = rig();
    state.givenUp = new Set([1]);
    tasks.apply(moved());
    for (let tick = 0; tick < 6; tick++) tasks.tick(tick * 50);
    expect(calls.lastIndexOf('give up')).toBeLessThan(calls.indexOf('sweep'));
    expect(calls.filter((it) => it === 'give up')).toHaveLength(PAGES);
  });
});
