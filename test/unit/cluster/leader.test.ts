import { describe, expect, it } from 'vitest';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';

import { backend, Cluster, HOLD_MS, IDLE_MS, remove } from './leader_cluster.ts';

describe('a change of backends', () => {
  it('takes the steps, each after its wait', () => {
    const its = new Cluster();
    const before = its.web.current;
    its.edit(remove('b2'));
    expect(its.step()!.placements.get(1)!.periods).toMatchObject([{ step: 'track' }]);
    expect(its.web.current).toBe(before);
    expect(its.step(60_000 / 10)).toBeUndefined();
    its.acknowledge(1);
    its.acknowledge(2);
    expect(its.step(HOLD_MS)).toBeUndefined();
    expect(its.outcome.open[0]).toMatchObject({
      step: 'track',
      unacknowledged: ['m3'],
      pool: 'web',
      slots: 6,
    });
    its.acknowledge(3);
    expect(its.step()).toBeUndefined();
    expect(its.outcome.wakeAtMs).toBe(its.nowMs + HOLD_MS);
    expect(its.step(HOLD_MS - 1)).toBeUndefined();
    expect(its.step(1)!.placements.get(1)!.periods).toMatchObject([{ step: 'commit' }]);
    expect(new Set(its.web.current)).toEqual(new Set([1]));
    expect(its.web.base).toEqual(before);
    its.acknowledgeAll();
    its.step();
    its.step(IDLE_MS * 1.1);
    // What was heard before the window's end says nothing of its end.
    expect(its.periods).toMatchObject([{ step: 'commit' }]);
    its.acknowledgeAll();
    expect(its.step()!.placements.get(1)!.periods).toMatchObject([{ step: 'settle' }]);
    expect(its.web.base).toEqual(its.web.current);
    expect(its.step(1_000)).toBeUndefined();
    its.acknowledgeAll();
    expect(its.step()!.placements.get(1)!.periods).toEqual([]);
    its.acknowledgeAll();
    expect(its.step()).toBeUndefined();
  });

  it('keeps the record of what was removed until nothing needs it, and its index longer', () => {
    const its = new Cluster();
    its.commit(remove('b2'));
    expect(its.head!.objects.backends.has('web/b2~2')).toBe(true);
    its.acknowledgeAll();
    its.step(IDLE_MS * 2);
    expect(its.head!.unnamedSince.get(2)).toBe(its.head!.number);
    expect(its.outcome.forget.backends.size).toBe(0);
    its.acknowledgeAll();
    its.step();
    expect(its.head!.objects.backends.has('web/b2~2')).toBe(false);
    its.step();
    expect(its.outcome.forget.backends.size).toBe(0);
    its.acknowledgeAll();
    its.step();
    expect([...its.outcome.forget.backends]).toEqual([2]);
  });

  it('waits anew in its window after packets that nobody recorded', () => {
    const its = new Cluster();
    its.commit(remove('b2'));
    its.step(IDLE_MS);
    its.acknowledgeAll({ unrecordedAgoMs: 1_000 });
    its.step();
    expect(its.outcome.open[0]!.earliestAtMs).toBe(its.nowMs - 1_000 + IDLE_MS * 1.1);
    expect(its.outcome.open[0]!.waits.join()).toContain('started again');
  });

  it('cleans slots that nobody holds, and goes on with the others later', () => {
    const its = new Cluster();
    its.commit(remove('b2'));
    its.step(IDLE_MS * 1.1);
    its.acknowledgeAll();
    its.step();
    const slot = its.web.period.findIndex((number) => number > 0);
    const heldSlots = new Uint8Array(2);
    heldSlots[slot >> 3]! |= 1 << (slot & 7);
    its.acknowledgeAll();
    its.acknowledge(2, { heldSlots });
    expect(its.step()).toBeUndefined();
    its.step(5_000);
    expect([...its.web.period].filter((number) => number > 0)).toHaveLength(1);
    expect(its.web.period[slot]).toBe(1);
  });

  it('begins at commit where another is open, with its chain and by itself', () => {
    const its = new Cluster();
    its.commit(remove('b2'));
    const { trackEpoch, chainEpoch, candidates } = its.periods[0]!;
    const { base } = its.web;
    its.edit(backend('b3'));
    its.step();
    const overlapping = its.periods.filter(
      (it) => it.stepVersion === its.head!.number && it.step === 'commit',
    );
    expect(overlapping).toMatchObject([{ trackEpoch, chainEpoch, candidates }]);
    expect(its.periods.map(({ step }) => step).sort()).toEqual(['commit', 'commit', 'track']);
    expect(its.web.base).toEqual(base);
  });

  it('settles at once where it goes back to base', () => {
    const its = new Cluster();
    its.commit(remove('b2'));
    its.edit(backend('b2'));
    its.step();
    const back = [...its.web.current].map(
      (index, slot) => its.web.period[slot]! > 0 && index === its.web.base[slot],
    );
    expect(back.filter(Boolean).length).toBeGreaterThan(0);
    expect(its.periods.some(({ step }) => step === 'settle')).toBe(true);
  });

  it('waits for no flow of what is given up', () => {
    const its = new Cluster();
    its.change({ force: false, now: true }, remove('b2'));
    its.step();
    expect(its.periods).toMatchObject([{ step: 'track', isUrgent: true }]);
    its.acknowledgeAll();
    its.step();
    expect(its.periods).toMatchObject([{ step: 'settle' }]);
    expect(new Set([...its.web.current, ...its.web.base])).toEqual(new Set([1]));
    expect([...its.head!.objects.backends.values()].some(({ index }) => index === 2)).toBe(false);
    its.acknowledgeAll();
    its.step();
    expect(its.periods).toEqual([]);
  });

  it('leaves the slots where they are when nobody is left, and says so', () => {
    const its = new Cluster();
    const { current } = its.web;
    its.change({ force: true }, remove('b1'), remove('b2'));
    its.settle();
    expect(its.web.current).toEqual(current);
    expect(its.periods).toEqual([]);
    expect(its.outcome.problems).toMatchObject([{ code: 'panic', subject: 'web' }]);
    its.edit(backend('b3'));
    its.step();
    expect(its.periods).toMatchObject([{ step: 'track' }]);
  });

  it('happens at once where no service uses the pool', () => {
    const its = new Cluster();
    its.edit({ kind: 'deleteService', name: 'www' });
    its.settle();
    its.edit(remove('b2'));
    its.step();
    expect(its.periods).toEqual([]);
    expect(new Set(its.web.current)).toEqual(new Set([1]));
  });

  it('waits longer, and nothing else, with another leader', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    its.step(HOLD_MS - 1);
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    expect(its.step(1)).toBeUndefined();
    expect(its.step(HOLD_MS - 1)).toBeUndefined();
    expect(its.step(1)!.placements.get(1)!.periods).toMatchObject([{ step: 'commit' }]);
  });
});

describe('a store that was put back', () => {
  it.each([
    ['a newer version', { version: 90 }],
    ['another version of the same number', { digest: 'other' }],
  ])('is noticed by %s, and another life begins', (_, more) => {
    const its = new Cluster();
    const { cluster, number } = its.head!;
    its.acknowledge(2, {}, more);
    its.step(1);
    expect(its.head!.cluster).not.toBe(cluster);
    expect(its.head!.number).toBe(
      Math.max(number, ...Object.values(more).filter((it) => typeof it === 'number')) + 1,
    );
    expect(its.outcome.problems).toMatchObject([{ code: 'restored' }]);
    its.acknowledgeAll();
    expect(its.step()).toBeUndefined();
  });

  it('is noticed by a mux that cannot register, for the head is without it', () => {
    const its = new Cluster();
    const { cluster } = its.head!;
    its.acknowledgements.set('m9', { ...its.acknowledgements.get('m2')!, name: 'm9', version: 90 });
    expect(its.step(1)!.number).toBe(91);
    expect(its.head!.cluster).not.toBe(cluster);
    its.acknowledgeAll();
    expect(its.step()).toBeUndefined();
  });

  it('with nothing in it begins beyond all that muxes had', () => {
    const its = new Cluster();
    its.acknowledgements.set('m1', { ...its.acknowledgements.get('m1')!, version: 41 });
    its.head = undefined;
    expect(its.step()!.number).toBe(42);
  });
});
