import { describe, expect, it } from 'vitest';
import { HOLDERS_MAX } from '../../../control/config/filter.ts';
import { FilterCluster, SLOTS, server, TIMEOUT_MS } from './filter_cluster.ts';

const count = (ids: readonly number[], id: number): number => ids.filter((it) => it === id).length;
const slotsOf = (ids: readonly number[], id: number): number[] =>
  ids.flatMap((it, slot) => (it === id ? [slot] : []));

describe('a slot of a pool of filters', () => {
  it('is shared by weight among servers that are members', () => {
    const its = new FilterCluster();
    expect([64, 65, 66].map((id) => count(its.current, id))).toEqual([4, 4, 4]);
    expect(its.periods).toEqual([]);
    its.edit(server(67));
    its.settle();
    // Nobody is at its address.
    expect(count(its.current, 67)).toBe(0);
    expect(its.state.backends.get('web/s67')?.observed?.down?.reason).toContain('no filter node');
    its.register(67);
    its.settle();
    expect([64, 65, 66, 67].map((id) => count(its.current, id))).toEqual([3, 3, 3, 3]);
  });

  it('is acquired, after a barrier released, and clean when no holder has a client of it', () => {
    const its = new FilterCluster();
    const before = its.current;
    its.edit(server(64, 0));
    its.step();
    const moved = slotsOf(before, 64);
    expect(its.periods).toMatchObject([{ step: 'commit', isUrgent: false }]);
    expect(its.holders()).toEqual([64]);
    // The old server answers still.
    expect(its.base).toEqual(before);
    expect(count(its.current, 64)).toBe(0);
    its.acknowledge(64);
    its.acknowledge(65);
    expect(its.step(60_000 / 10)).toBeUndefined();
    expect(its.outcome.open[0]).toMatchObject({ unacknowledged: ['s66'], slots: moved.length });
    its.acknowledge(66);
    its.step();
    expect(its.periods).toMatchObject([{ step: 'settle' }]);
    expect(its.base).toEqual(its.current);
    // No window: what was heard before says nothing of what is in effect now.
    expect(its.step(TIMEOUT_MS)).toBeUndefined();
    its.acknowledgeAll(moved.slice(0, 1));
    expect(its.step()).toBeUndefined();
    its.acknowledgeAll();
    its.step();
    expect(its.periods).toEqual([]);
  });

  it('waits for what no table had room for', () => {
    const its = new FilterCluster();
    its.edit(server(64, 0));
    its.step();
    its.acknowledgeAll();
    its.step();
    its.acknowledgeAll();
    its.acknowledge(64, [], { unrecordedAgoMs: 1_000 });
    expect(its.step()).toBeUndefined();
    expect(its.outcome.wakeAtMs).toBe(its.nowMs + TIMEOUT_MS - 1_000);
    its.step(TIMEOUT_MS - 1_001);
    expect(its.periods).toHaveLength(1);
    its.step(1);
    expect(its.periods).toEqual([]);
  });

  it('of a server that is gone is another one’s at once, without a step', () => {
    const its = new FilterCluster();
    its.crash(65);
    its.step();
    expect(its.head!.members.map(({ id }) => id)).toEqual([64, 66]);
    its.step();
    expect(count(its.current, 65)).toBe(0);
    expect(its.base).toEqual(its.current);
    expect(its.periods).toEqual([]);
  });

  it('that moves while its holder dies is clean at once', () => {
    const its = new FilterCluster();
    its.edit(server(64, 0));
    its.step();
    its.crash(64);
    its.step();
    expect(its.base).toEqual(its.current);
    expect(its.periods).toEqual([]);
  });

  it('whose new server dies before it is released stays with the old one, or goes to a third', () => {
    const its = new FilterCluster();
    its.edit(server(64, 0));
    its.step();
    const before = its.base;
    its.crash(65);
    its.step();
    its.step();
    expect(count(its.current, 65)).toBe(0);
    for (const slot of slotsOf(before, 64)) {
      expect(its.current[slot]).toBe(66);
      expect(its.base[slot]).toBe(64);
    }
    expect(its.periods.every(({ step }) => step === 'commit')).toBe(true);
  });

  it('that moves again is asked of all who may have clients, at most HOLDERS_MAX, and waits then', () => {
    const its = new FilterCluster(HOLDERS_MAX + 3, { hosts: 'single' });
    const ids = its.head!.members.map(({ id }) => id);
    const held = Array.from({ length: SLOTS }, (_, slot) => slot);
    // Whoever is at work is drained, so that the next by name takes all.
    for (const [at, id] of ids.slice(0, HOLDERS_MAX).entries()) {
      its.edit(server(id, 0));
      its.step();
      expect(its.periods).toMatchObject([{ step: 'commit' }]);
      expect(its.holders()).toEqual(ids.slice(0, at + 1));
      its.acknowledgeAll(held);
      its.step();
      its.acknowledgeAll(held);
    }
    its.edit(server(ids[HOLDERS_MAX]!, 0));
    expect(its.step()?.placements.get(1)?.current).toEqual(its.web.current);
    expect(its.periods).toMatchObject([{ step: 'settle' }]);
    expect(its.outcome.problems).toMatchObject([{ code: 'crowded', subject: 'web' }]);
    its.acknowledgeAll();
    its.step();
    its.settle();
    expect(new Set(its.current)).toEqual(new Set([ids[HOLDERS_MAX + 1]]));
  });

  it('is not taken for clean by a server that has begun anew', () => {
    const its = new FilterCluster();
    its.edit(server(64, 0));
    its.step();
    its.registrations.delete('s64');
    its.register(64, 2);
    its.step();
    // Its old incarnation is no holder, the new one may not take clients that nobody asks it for.
    expect(count(its.base, 64)).toBe(0);
    expect(its.periods).toEqual([]);
  });
});

describe('a server that is to leave', () => {
  it('takes no new clients, keeps those it has, and goes when they have ended', () => {
    const its = new FilterCluster();
    const moved = slotsOf(its.current, 66);
    its.register(66, 1, { isLeaving: true });
    its.step();
    its.acknowledgeAll();
    its.step();
    expect(count(its.current, 66)).toBe(0);
    expect(count(its.base, 66)).toBe(moved.length);
    its.acknowledgeAll();
    its.step();
    expect(its.state.backends.get('web/s66')).toMatchObject({ weight: 100, observed: { isLeaving: true } });
    for (let minutes = 0; minutes < 10; minutes++) {
      its.acknowledgeAll(moved);
      its.step(60_000);
    }
    expect(its.head!.members).toHaveLength(3);
    its.acknowledgeAll();
    its.settle();
    expect(its.head!.members.map(({ id }) => id)).toEqual([64, 65]);
  });
});

describe('members of another role', () => {
  it('do not hold up slots that they do not have', () => {
    const its = new FilterCluster();
    its.registrations.set('m1', {
      name: 'm1',
      id: 1,
      incarnation: 1,
      address: '192.0.2.1',
      askPort: 7445,
      leaseMs: 3_000,
      isLeaving: false,
    });
    its.settle();
    its.edit(server(64, 0));
    its.step();
    for (const id of [64, 65, 66]) its.acknowledge(id);
    its.step();
    expect(its.periods).toMatchObject([{ step: 'settle' }]);
  });

  it('do not count among those who do not hear a server', () => {
    const its = new FilterCluster();
    for (const id of [1, 2, 3, 4, 5])
      its.registrations.set(`m${id}`, {
        name: `m${id}`,
        id,
        incarnation: 1,
        address: `192.0.2.${id}`,
        askPort: 7445,
        leaseMs: 3_000,
        isLeaving: false,
      });
    its.settle();
    for (const name of ['s64', 's65']) its.suspicions.set(name, new Map([['s66', 1]]));
    its.step();
    expect(its.head!.members.some(({ id }) => id === 66)).toBe(false);
  });
});

describe('a pool where one answers all', () => {
  it('goes to the live one of the best priority', () => {
    const its = new FilterCluster(3, { hosts: 'single' });
    expect(new Set(its.current)).toEqual(new Set([64]));
    const best = server(65);
    if (best.kind === 'putBackend') its.edit({ ...best, backend: { ...best.backend, priority: 1 } });
    its.settle();
    expect(new Set(its.current)).toEqual(new Set([65]));
    its.crash(65);
    its.step();
    its.step();
    expect(new Set(its.current)).toEqual(new Set([64]));
  });
});
