// Who leaves: whose turn it is to hand over, what the leader waits for, and what a death in between may lose.
import { describe, expect, it } from 'vitest';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';
import { backend, Cluster, LEASE_MS, MARGIN_MS, remove } from './leader_cluster.ts';

describe('muxes that leave', () => {
  const keepers = (its: Cluster) =>
    its.periods[0]!.candidates.flat()
      .map(({ id }) => id)
      .sort();
  const leaving = (...ids: number[]): Cluster => {
    const its = new Cluster(4);
    its.edit(remove('b2'));
    its.settle();
    for (const id of ids) its.register(id, 1, { isLeaving: true });
    its.step();
    return its;
  };

  it('at the same time hand over one after the other: they may keep the same slots', () => {
    const its = leaving(3, 4);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    expect(keepers(its)).toEqual([1, 2, 4]);
    // What mux 4 said was of the chains before: it may be the only one that has what mux 3 had.
    expect(its.step()).toBeUndefined();
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    expect(its.step()).toBeUndefined();
    its.acknowledgeAll({ isHandedOver: true });
    // Mux 3 goes.
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1, 2, 4]);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    expect(keepers(its)).toEqual([1, 2]);
    expect(its.periods[0]!.lostSlots).toBe(0);
  });

  it('do not hand over in the version that removes another', () => {
    const its = leaving(3);
    its.acknowledgeAll({ isHandedOver: true });
    its.registrations.delete('m4');
    its.step();
    expect(keepers(its)).toEqual([1, 2, 3]);
    expect(its.periods[0]!.lostSlots).toBe(0);
    its.acknowledgeAll({ copiedChainEpoch: 0, isHandedOver: true });
    its.step();
    its.step(MARGIN_MS);
    expect(keepers(its)).toEqual([1, 2, 3]);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    expect(keepers(its)).toEqual([1, 2]);
  });

  it('do not, by what was said while another one did', () => {
    const its = leaving(3);
    its.acknowledgeAll({ isHandedOver: true });
    // Nobody has copied for mux 1, whose turn it is now.
    its.register(1, 1, { isLeaving: true });
    its.step();
    expect(keepers(its)).toEqual([1, 2, 4]);
    its.acknowledgeAll();
    its.settle();
    expect(its.head!.members.map(({ id }) => id)).toEqual([1, 2, 4]);
    expect(keepers(its)).toEqual([1, 2, 4]);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    expect(keepers(its)).toEqual([2, 4]);
  });

  it('do not, by what was said of other chains or of another version', () => {
    const its = leaving(3);
    const { number, digest } = its.head!;
    its.edit(backend('b3'));
    its.step();
    for (const id of [1, 2, 3, 4]) its.acknowledge(id, { isHandedOver: true }, { version: number, digest });
    its.step();
    expect(keepers(its)).toEqual([1, 2, 3, 4]);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    expect(keepers(its)).toEqual([1, 2, 4]);
  });

  it('go on with another leader at each step', () => {
    const its = leaving(3);
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.acknowledgeAll();
    expect(its.step()).toBeUndefined();
    its.acknowledgeAll({ isHandedOver: true });
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.step();
    expect(keepers(its)).toEqual([1, 2, 4]);
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    expect(its.step()).toBeUndefined();
    its.leader = new Leader(LEADER_SETTINGS_DEFAULT);
    its.acknowledgeAll();
    expect(its.step()!.members.map(({ id }) => id)).toEqual([1, 2, 4]);
  });

  it('wait no longer than a while for those who copy', () => {
    const its = leaving(3);
    its.acknowledgeAll();
    its.acknowledge(1, { isHandedOver: true });
    its.step();
    its.step(LEADER_SETTINGS_DEFAULT.handOverMsMax - 1);
    expect(keepers(its)).toEqual([1, 2, 3, 4]);
    its.step(1);
    expect(keepers(its)).toEqual([1, 2, 4]);
    expect(its.periods[0]!.isCopiedAhead).toBeUndefined();
    // As where another mux dies: all that its slots had is at one.
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.registrations.delete('m1');
    its.step();
    expect(its.periods[0]!.lostSlots).toBeGreaterThan(0);
    expect(its.periods[0]!.lostBriefly).toBeUndefined();
  });

  it('whose keeper dies meanwhile begin anew, and what dies right after it costs only what was recorded since', () => {
    const its = leaving(3);
    its.acknowledge(2, { isHandedOver: true });
    its.registrations.delete('m1');
    its.step();
    expect(keepers(its)).toEqual([2, 3, 4]);
    its.acknowledgeAll({ isHandedOver: true });
    its.step();
    its.step(LEASE_MS + MARGIN_MS);
    expect(keepers(its)).toEqual([2, 4]);
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.registrations.delete('m2');
    its.step();
    const { lostSlots, lostBriefly } = its.periods[0]!;
    expect(lostSlots).toBeGreaterThan(0);
    expect(lostBriefly).toBe(lostSlots);
    expect(its.outcome.problems).toMatchObject([
      { code: 'lost', message: expect.stringContaining('while another mux left') },
    ]);
  });

  it('and do not come to the end of it go all the same, and what that may lose is counted', () => {
    const its = leaving(3);
    its.registrations.delete('m4');
    its.step();
    its.acknowledgeAll({ copiedChainEpoch: 0 });
    its.step(LEADER_SETTINGS_DEFAULT.handOverMsMax);
    expect(keepers(its)).toEqual([1, 2]);
    expect(its.periods[0]!.lostSlots).toBeGreaterThan(0);
  });
});
