import { describe, expect, it } from 'vitest';
import { LEADER_SETTINGS_DEFAULT, settingsOf } from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';
import { planOf } from '../../../control/cluster/leader/plan.ts';
import {
  acknowledgeMsMax,
  backend,
  Cluster,
  HOLD_MS,
  IDLE_MS,
  LEASE_MS,
  MARGIN_MS,
  remove,
  SLOTS,
} from './led_cluster.ts';

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

describe('members', () => {
  it('are removed when their lease has ended, and fenced a margin later', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    its.registrations.delete('m3');
    its.step();
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2]);
    expect(its.head!.gone).toMatchObject([{ id: 3, isFenced: false }]);
    expect(its.periods[0]!.chainEpoch).toBe(its.head!.number);
    its.acknowledgeAll();
    its.step();
    expect(its.outcome.open[0]!.waits[0]).toContain('m3');
    its.step(MARGIN_MS);
    expect(its.outcome.open[0]!.waits.join()).not.toContain('m3');
  });

  it('are fenced a lease and a margin after they were removed alive', () => {
    const its = new Cluster();
    its.suspicions.set('m1', new Set(['m3'])).set('m2', new Set(['m3']));
    its.step();
    expect(its.outcome.deregister).toMatchObject([{ name: 'm3' }]);
    its.suspicions.clear();
    its.edit(remove('b2'));
    its.step();
    its.acknowledgeAll();
    its.step(LEASE_MS + MARGIN_MS - 1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual(['m3']);
    its.step(1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
  });

  it('are not removed by fewer than most of the others', () => {
    const its = new Cluster();
    its.suspicions.set('m1', new Set(['m3']));
    expect(its.step()).toBeUndefined();
  });

  it('of whom two do not hear each other keep one', () => {
    const its = new Cluster(2);
    its.suspicions.set('m1', new Set(['m2'])).set('m2', new Set(['m1']));
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1]);
    expect(its.step()).toBeUndefined();
  });

  it('who do not acknowledge are removed, unless most do not', () => {
    const its = new Cluster();
    its.edit(backend('b3'));
    its.step();
    its.acknowledge(1);
    its.acknowledge(2);
    its.step();
    its.step(acknowledgeMsMax - 1);
    expect(its.head!.members).toHaveLength(3);
    its.step(1);
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2]);
    its.edit(backend('b4'));
    its.step();
    its.step();
    its.step(acknowledgeMsMax);
    expect(its.head!.members).toHaveLength(2);
    expect(its.outcome.problems).toMatchObject([{ code: 'silent' }, { code: 'silent' }]);
  });

  it('that all lose their lease at once get the time to register again', () => {
    const its = new Cluster();
    its.registrations.clear();
    expect(its.step()).toBeUndefined();
    expect(its.step(LEASE_MS - 1)).toBeUndefined();
    expect(its.step(1)!.members).toEqual([]);
  });

  it('get the time to register again where the leader is new, for the store may have been away', () => {
    const its = new Cluster();
    its.registrations.delete('m3');
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    expect(its.step()).toBeUndefined();
    expect(its.step(LEASE_MS - 1)).toBeUndefined();
    its.register(3);
    expect(its.step(1)).toBeUndefined();
    its.registrations.delete('m3');
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1, 2]);
  });

  it('have the time to acknowledge that pledges of theirs take', () => {
    const settings = settingsOf(10_000, 1 / 6);
    expect(settings.leaseMs).toBe(10_000);
    expect(settings.marginMs).toBeCloseTo(1_667, 0);
    expect(settings.acknowledgeMsMax).toBeGreaterThan(settings.leaseMs + settings.marginMs + 5_000);
    expect(settingsOf(1_000, 1 / 6)).toEqual(LEADER_SETTINGS_DEFAULT);
  });

  it('come back only as another incarnation', () => {
    const its = new Cluster();
    its.registrations.delete('m3');
    its.settle();
    its.register(3);
    expect(its.step()).toBeUndefined();
    expect(its.outcome.problems).toMatchObject([{ code: 'registration', subject: 'm3' }]);
    its.register(3, 2);
    expect(its.step()!.members).toMatchObject([{ id: 1 }, { id: 2 }, { id: 3, incarnation: 2 }]);
    expect(its.head!.gone).toMatchObject([{ id: 3, incarnation: 1 }]);
  });

  it('that rebooted replace what they were, which is fenced by that', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    its.register(2, 2);
    its.step();
    expect(its.periods[0]!.candidates).toEqual([
      [
        { id: 1, incarnation: 1 },
        { id: 3, incarnation: 1 },
      ],
      [{ id: 2, incarnation: 2 }],
    ]);
    its.acknowledgeAll();
    its.step();
    expect(its.outcome.open[0]!.waits.join()).not.toContain('not in effect');
  });

  it('who join keep nothing that others keep', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    const { chainEpoch } = its.periods[0]!;
    its.register(4);
    its.step();
    expect(its.periods[0]).toMatchObject({ chainEpoch });
    expect(its.periods[0]!.candidates.at(-1)).toEqual([{ id: 4, incarnation: 1 }]);
  });

  it('who join where a backup is missing become it, and changes wait for the copies', () => {
    const its = new Cluster(1);
    its.edit(remove('b2'));
    its.settle();
    its.register(2);
    its.step();
    expect(its.periods[0]!.chainEpoch).toBe(its.head!.number);
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.step(HOLD_MS * 2);
    expect(its.periods).toMatchObject([{ step: 'track' }]);
    expect(its.outcome.open[0]!.waits).toEqual(['flows are being copied by m1, m2']);
    its.acknowledgeAll();
    its.step();
    its.step(HOLD_MS);
    expect(its.periods).toMatchObject([{ step: 'commit' }]);
  });

  it('are said to copy only by their own word: a mux that holds an acknowledgement back reports nothing', () => {
    const its = new Cluster(1);
    its.edit(remove('b2'));
    its.settle();
    its.register(2);
    its.step();
    const { number } = its.head!;
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    const before = its.acknowledgements.get('m1')!;
    its.acknowledgements.set('m1', { ...before, heldBack: number + 1, reports: [] });
    its.step();
    expect(its.outcome.open[0]!.waits).toEqual([
      'flows are being copied by m2',
      'm1 must say nothing until a pledge has ended',
    ]);
    its.acknowledgements.set('m1', { ...before, reports: [] });
    its.step();
    expect(its.outcome.open[0]!.waits).toEqual(['flows are being copied by m2', 'nothing was heard from m1']);
    // Of the version itself, too.
    its.acknowledgements.set('m1', { ...before, version: number - 1, heldBack: number, reports: [] });
    its.acknowledgements.delete('m2');
    its.step();
    expect(its.outcome.open[0]!.waits.at(-1)).toBe(
      `the chains of version ${number} are not in effect at m2; the chains of version ${number} are in effect at m1, until whose pledge has ended nobody may count on that`,
    );
  });

  it('that die before a repair is done are counted', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    its.registrations.delete('m3');
    its.step();
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.registrations.delete('m2');
    its.step();
    expect(its.periods[0]!.lostSlots).toBeGreaterThan(0);
    expect(its.outcome.problems).toMatchObject([{ code: 'lost', subject: 'web' }]);
  });

  it('who leave hand over first, keep nothing then, and go when copies are done', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    its.register(3, 1, true);
    its.step();
    expect(its.head!.members[2]).toMatchObject({ id: 3, isLeaving: true });
    its.acknowledgeAll();
    its.step();
    expect(its.periods[0]!.candidates.flat()).toHaveLength(3);
    its.acknowledge(3, { isHandedOver: true });
    its.step();
    expect(its.periods[0]!.candidates.flat()).toHaveLength(2);
    expect(its.head!.members).toHaveLength(3);
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.step();
    expect(its.head!.members).toHaveLength(3);
    its.acknowledgeAll();
    its.step();
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2]);
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

  it('with nothing in it begins beyond all that muxes had', () => {
    const its = new Cluster();
    its.acknowledgements.set('m1', { ...its.acknowledgements.get('m1')!, version: 41 });
    its.head = undefined;
    expect(its.step()!.number).toBe(42);
  });
});

describe('a plan', () => {
  it('says what moves where, and how long it takes', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    const intent = { state: its.state, revision: its.state.revision };
    expect(planOf(intent, its.head!, LEADER_SETTINGS_DEFAULT)).toMatchObject([
      {
        pool: 'web',
        slots: 6,
        of: SLOTS,
        moves: [{ from: 'web/b2', to: 'web/b1', slots: 6 }],
        givenUp: 0,
        flows: undefined,
        steps: [
          { step: 'track', atLeastMs: HOLD_MS },
          { step: 'commit', atLeastMs: 11_000 },
          { step: 'settle' },
        ],
      },
    ]);
  });

  it('has no waits for what is given up', () => {
    const its = new Cluster();
    its.change({ force: false, now: true }, remove('b2'));
    const intent = { state: its.state, revision: its.state.revision };
    const [plan] = planOf(intent, its.head!, LEADER_SETTINGS_DEFAULT);
    expect(plan).toMatchObject({ givenUp: 6 });
    expect(plan!.steps.every(({ atLeastMs }) => atLeastMs === 0)).toBe(true);
  });
});
