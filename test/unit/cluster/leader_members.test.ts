// Who is a member, who is removed, who leaves: what the leader makes of leases, suspicions and silence.
import { describe, expect, it } from 'vitest';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';

import {
  acknowledgeMsMax,
  backend,
  Cluster,
  HOLD_MS,
  LEASE_MS,
  MARGIN_MS,
  remove,
} from './leader_cluster.ts';

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
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
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

  it('whose registration was taken away while their lease ran are fenced as those that were removed alive', () => {
    const its = new Cluster();
    its.edit(remove('b2'));
    its.settle();
    // No version says yet that its lease is longer now.
    its.cutOff.set('3.1', 12_000);
    its.registrations.delete('m3');
    its.step();
    expect(its.head!.gone).toMatchObject([{ id: 3, leaseMs: 12_000, isFenced: false }]);
    // The order is gone with the version that has it out, and the leader that saw it may be another's.
    its.cutOff.clear();
    its.acknowledgeAll();
    its.step();
    its.step(14_000 - 1);
    expect(its.outcome.open[0]!.waits.join()).toContain('m3');
    its.step(1);
    expect(its.outcome.open[0]!.waits.join()).not.toContain('m3');
  });

  it('that came back before they were removed are not fenced by the lease that had ended', () => {
    const its = new Cluster();
    const m3 = its.registrations.get('m3')!;
    const { head } = its;
    its.registrations.delete('m3');
    expect(its.step()!.members).toHaveLength(2);
    // The store refused that: it had registered.
    its.head = head;
    its.registrations.set('m3', m3);
    expect(its.step()).toBeUndefined();
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
    its.edit(remove('b2'));
    its.step();
    its.suspicions.clear();
    its.acknowledgeAll();
    its.step();
    its.step(LEASE_MS + MARGIN_MS - 1);
    expect(its.outcome.open[0]!.waits.join()).toContain('m3');
    its.step(1);
    expect(its.outcome.open[0]!.waits.join()).not.toContain('m3');
  });

  it('whose registration was taken away are members still where they are back before a version is without them', () => {
    const its = new Cluster();
    const before = its.registrations.get('m3')!;
    its.cutOff.set('3.1', LEASE_MS);
    its.registrations.delete('m3');
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    // It has just begun, and gives the time of a lease.
    expect(its.step()).toBeUndefined();
    its.registrations.set('m3', before);
    its.step(2 * LEASE_MS);
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  it('are fenced by the lease that they held where no version says it yet', () => {
    const its = new Cluster();
    its.register(3, 1, { leaseMs: 12_000 });
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
    its.step();
    its.registrations.delete('m3');
    its.suspicions.clear();
    its.edit(remove('b2'));
    its.step();
    its.acknowledgeAll();
    // A leader that has not seen the registration waits as long.
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.step();
    its.step(14_000 - 1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual(['m3']);
    its.step(1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
  });

  describe('that were the only one', () => {
    const waits = (its: Cluster) => its.outcome.open[0]!.waits.join();

    /** m1 was alone, m2 has come, m1's lease has ended and a change waits; with an acknowledgement of m1 or none. */
    function succeeded({ isAcknowledged }: { isAcknowledged: boolean }): Cluster {
      const its = new Cluster(1);
      its.register(2);
      its.step();
      expect(its.head!.members.map(({ name }) => name)).toEqual(['m1', 'm2']);
      its.acknowledge(2);
      if (isAcknowledged) its.acknowledge(1);
      its.step();
      its.registrations.delete('m1');
      its.step();
      expect(its.head!.members.map(({ name }) => name)).toEqual(['m2']);
      its.acknowledge(2);
      its.edit(remove('b2'));
      its.step();
      its.acknowledge(2);
      its.step();
      return its;
    }

    it('have no deadline, so time does not fence them', () => {
      const its = succeeded({ isAcknowledged: false });
      its.step(100 * LEASE_MS);
      expect(its.outcome.open[0]!.unacknowledged).toEqual(['m1']);
      expect(waits(its)).toMatch(/m1, which was the only mux.*holdfast nodes remove m1 --force/);
      // Nor for a leader that comes new.
      its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
      its.step();
      its.step(100 * LEASE_MS);
      expect(its.outcome.open[0]!.unacknowledged).toEqual(['m1']);
    });

    it('are fenced by their next life', () => {
      const its = succeeded({ isAcknowledged: false });
      its.register(1, 2);
      its.step();
      its.acknowledgeAll();
      its.step();
      expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
    });

    it('are fenced as others are once they have said that they know of another', () => {
      const its = succeeded({ isAcknowledged: true });
      expect(its.outcome.open[0]!.unacknowledged).toEqual(['m1']);
      its.step(MARGIN_MS);
      expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
    });

    it('are so where they say it after they were removed', () => {
      const its = succeeded({ isAcknowledged: false });
      its.acknowledge(1, {}, { version: its.head!.number - 1, digest: `d${its.head!.number - 1}` });
      its.step(100 * LEASE_MS);
      expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
      // What they said is forgotten with them.
      expect(its.head!.gone).toEqual([expect.not.objectContaining({ aloneAt: expect.anything() })]);
    });

    it('are so where an operator says that they are off', () => {
      const its = succeeded({ isAcknowledged: false });
      its.step(100 * LEASE_MS);
      its.cutOff.set('1.1', LEASE_MS);
      its.step();
      expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
      // The order goes with the version that follows.
      its.cutOff.clear();
      its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
      its.step();
      its.step(LEASE_MS + MARGIN_MS);
      expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
    });

    it('and go are waited for until they know that they are out', () => {
      const its = new Cluster(1);
      its.register(1, 1, { isLeaving: true });
      its.step();
      its.acknowledgeAll();
      its.step();
      expect(its.head!.members).toEqual([]);
      expect(its.head!.gone).toMatchObject([{ id: 1, aloneAt: its.head!.number - 1 }]);
      its.acknowledge(1);
      its.step();
      expect(its.head!.gone[0]).not.toHaveProperty('aloneAt');
    });
  });

  it('are not fenced by another mux that was given their id', () => {
    const its = new Cluster();
    const m3 = its.registrations.get('m3')!;
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
    its.step();
    its.suspicions.clear();
    its.registrations.set('m9', { ...m3, address: '192.0.2.99', name: 'm9', incarnation: 2 });
    its.edit(remove('b2'));
    its.step();
    expect(its.head!.members.map(({ name }) => name)).toEqual(['m1', 'm2', 'm9']);
    its.acknowledge(1);
    its.acknowledge(2);
    its.step(LEASE_MS + MARGIN_MS - 1);
    expect(its.outcome.open[0]!.unacknowledged).toContain('m3');
    its.step(1);
    expect(its.outcome.open[0]!.unacknowledged).not.toContain('m3');
  });

  it('are not removed for what was said of another incarnation of theirs', () => {
    const its = new Cluster();
    its.suspect('m1', 'm3', 2);
    its.suspect('m2', 'm3', 0);
    expect(its.step()).toBeUndefined();
  });

  it('are not removed by fewer than most of the others', () => {
    const its = new Cluster();
    its.suspect('m1', 'm3');
    expect(its.step()).toBeUndefined();
  });

  it('of whom two do not hear each other keep one', () => {
    const its = new Cluster(2);
    its.suspect('m1', 'm2');
    its.suspect('m2', 'm1');
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

  it('who do not acknowledge are removed one at a time, as long as the chains of the last one are repaired', () => {
    const its = new Cluster(7);
    its.commit(remove('b2'));
    its.edit(backend('b3'));
    its.step();
    const acknowledgeOthers = () => {
      for (const id of [1, 2, 3, 4, 5]) its.acknowledge(id, { copiedChainEpoch: 0 });
    };
    acknowledgeOthers();
    its.step();
    its.step(acknowledgeMsMax);
    expect(its.head!.members).toHaveLength(6);
    acknowledgeOthers();
    its.step();
    its.step(acknowledgeMsMax - 1);
    expect(its.head!.members).toHaveLength(6);
    its.step(1);
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
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
    const its = new Cluster(2);
    its.register(3, 1, { leaseMs: 12_000 });
    its.settle();
    its.edit(backend('b3'));
    its.step();
    its.acknowledge(1);
    its.acknowledge(3);
    its.step();
    // m2 may have pledged to m3: a lease of 12 s and its sixth, where 3 s and 0.5 s are usual.
    its.step(acknowledgeMsMax + 14_000 - LEASE_MS - MARGIN_MS - 1);
    expect(its.head!.members).toHaveLength(3);
    its.step(1);
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 3]);
  });

  it('are waited for as long as their own lease lasts, also by a leader that did not know them', () => {
    const its = new Cluster(2);
    its.register(3, 1, { leaseMs: 12_000 });
    its.settle();
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
    its.step();
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2]);
    its.suspicions.clear();
    its.edit(remove('b2'));
    its.step();
    its.acknowledgeAll();
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.step();
    its.step(14_000 - 1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual(['m3']);
    its.step(1);
    expect(its.outcome.open[0]!.unacknowledged).toEqual([]);
  });

  it('are not removed for what is said of an incarnation before', () => {
    const its = new Cluster();
    its.suspect('m1', 'm3');
    its.suspect('m2', 'm3');
    its.register(3, 2);
    expect(its.step()!.members).toMatchObject([{ id: 1 }, { id: 2 }, { id: 3, incarnation: 2 }]);
    expect(its.step()).toBeUndefined();
  });

  it('that a cut network halves keep one half, and lose one at a time', () => {
    const its = new Cluster(4);
    for (const [a, b] of [
      ['m1', 'm3'],
      ['m1', 'm4'],
      ['m2', 'm3'],
      ['m2', 'm4'],
    ] as const) {
      its.suspect(a, b);
      its.suspect(b, a);
    }
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1, 2, 3]);
    for (const name of ['m3', 'm4']) its.suspicions.delete(name);
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1, 2]);
    expect(its.step()).toBeUndefined();
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
    its.register(3, 1, { isLeaving: true });
    its.step();
    expect(its.head!.members[2]).toMatchObject({ id: 3, isLeaving: true });
    its.acknowledgeAll();
    its.step();
    expect(its.periods[0]!.candidates.flat()).toHaveLength(3);
    its.acknowledge(1, { isHandedOver: true });
    expect(its.step()).toBeUndefined();
    its.acknowledge(2, { isHandedOver: true });
    its.step();
    expect(its.periods[0]!.candidates.flat()).toHaveLength(2);
    expect(its.periods[0]!).toMatchObject({ isCopiedAhead: true, lostSlots: 0 });
    expect(its.head!.members).toHaveLength(3);
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.step();
    expect(its.head!.members).toHaveLength(3);
    its.acknowledgeAll();
    its.step();
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2]);
  });
});
