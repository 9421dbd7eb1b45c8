// A leader that is given more than there is room for: who is waited for is named, and nothing is forgotten.
import { describe, expect, it } from 'vitest';
import { PERIODS_RESERVED, VERSIONS_AHEAD_MAX } from '../../../control/cluster/leader/inputs.ts';
import { PERIODS_MAX } from '../../../control/cluster/version.ts';
import { backend, Cluster, IDLE_MS } from './leader_cluster.ts';

describe('more changes than there is room for', () => {
  it('wait for a mux that has not the versions before, which is named, and come about when it has', () => {
    const its = new Cluster(3, 101);
    const first = its.head!.number;
    for (let weight = 1; weight <= 2 * VERSIONS_AHEAD_MAX; weight++) {
      its.edit(backend('b2', weight));
      its.step(1);
      for (const id of [1, 2]) its.acknowledge(id);
    }
    expect(its.head!.number).toBe(first + VERSIONS_AHEAD_MAX);
    expect(its.outcome.problems).toEqual([
      {
        code: 'behind',
        subject: 'm3',
        message: `${VERSIONS_AHEAD_MAX} versions are not in effect at m3: changes wait`,
      },
    ]);
    // Who is a member is not an edit: that goes on.
    its.registrations.delete('m2');
    expect(its.step()!.members.map(({ name }) => name)).toEqual(['m1', 'm3']);
    its.registrations.delete('m1');
    its.register(1);
    for (const id of [1, 3]) its.acknowledge(id);
    its.step();
    expect(its.outcome.problems).toEqual([]);
    expect(its.head!.objects.revision).toBe(its.state.revision);
    for (let round = 0; round < 200 && its.periods.length > 0; round++) {
      its.acknowledgeAll();
      its.step(IDLE_MS / 4);
    }
    expect(its.web.current).toEqual(its.state.tables.get('web')!.slots);
  });

  it('of one pool wait for open ones to end, as a problem says, and none is forgotten', () => {
    const its = new Cluster(1, 1_009);
    const isFull = () => its.outcome.problems.some(({ code }) => code === 'periods');
    for (let round = 0; round < 2 * PERIODS_MAX && !isFull(); round++) {
      its.edit(backend('b2', 100 + round), backend('b3', 1 + ((7 * round) % 100)));
      its.step();
      its.acknowledgeAll();
    }
    expect(its.outcome.problems).toEqual([
      {
        code: 'periods',
        subject: 'web',
        message: `pool web has ${its.periods.length} open changes: the next waits until one has ended`,
      },
    ]);
    // Room is kept for those that are open to take their steps.
    expect(its.periods.length).toBeGreaterThan(PERIODS_MAX - PERIODS_RESERVED - 2);
    expect(its.periods.length).toBeLessThanOrEqual(PERIODS_MAX - PERIODS_RESERVED);
    its.edit(backend('b4'));
    its.step();
    expect(its.web.current).not.toContain(its.state.backends.get('web/b4')!.index);
    for (let round = 0; round < 200 && (isFull() || its.periods.length > 0 || round === 0); round++) {
      its.acknowledgeAll();
      its.step(IDLE_MS / 4);
      expect(its.periods.length).toBeLessThanOrEqual(PERIODS_MAX);
    }
    expect(its.periods).toEqual([]);
    expect(its.web.current).toEqual(its.state.tables.get('web')!.slots);
  });
});
