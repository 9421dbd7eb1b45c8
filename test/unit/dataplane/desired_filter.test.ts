import { describe, expect, it } from 'vitest';
import { partOf } from '../../../control/cluster/role_part.ts';
import { desiredFilter, filterRecords } from '../../../control/dataplane/desired_filter.ts';
import { ServiceFlag } from '../../../control/dataplane/generated/layout.ts';
import { holderIndexes } from '../../../control/dataplane/holder_table.ts';
import { addressOf, FilterCluster, SLOTS, server } from '../cluster/filter_cluster.ts';

const self = { id: 65, address: addressOf(65), askPort: 7445 };

describe('what a filter’s tables shall say', () => {
  it('has servers where slots have backends, and their ways', () => {
    const its = new FilterCluster();
    const desired = desiredFilter(its.head!, () => undefined, self);
    expect([...desired.pools.get(1)!.current]).toEqual(its.current);
    expect([...desired.peers.keys()].sort()).toEqual([64, 65, 66]);
    expect(desired.backends.size).toBe(0);
    expect(desired.services).toMatchObject([{ name: 'www', linkAddress: '01:00:5e:7f:64:01' }]);
    expect(desired.shared).toMatchObject([{ group: '239.255.100.1' }]);
    expect(desired.givenUp).toEqual(new Set());
  });

  it('has nobody where a server is no member, and the old one as base while a slot is acquired', () => {
    const its = new FilterCluster();
    its.edit(server(64, 0));
    its.step();
    const { current, base, ...rest } = desiredFilter(its.head!, () => undefined, self).pools.get(1)!;
    expect([...base]).toContain(64);
    expect([...current]).not.toContain(64);
    const claimed: unknown[] = [];
    const found = holderIndexes({ current, base, ...rest }, (key) => claimed.push(key));
    expect(claimed).toEqual([
      { poolId: 1, trackEpoch: its.head!.number, holders: [{ id: 64, incarnation: 1 }] },
    ]);
    expect([...found!.indexes].filter((it) => it !== 0)).toHaveLength(SLOTS / 3);
    its.crash(66);
    its.step();
    expect([...desiredFilter(its.head!, () => undefined, self).pools.get(1)!.current]).not.toContain(66);
  });

  it('gives up clients of a pool that this server is dead in, or in no more', () => {
    const its = new FilterCluster();
    const backend = its.state.backends.get('web/s65')!;
    its.state = {
      ...its.state,
      backends: new Map(its.state.backends).set('web/s65', { ...backend, isDead: true }),
      revision: its.state.revision + 1,
    };
    its.step();
    expect(desiredFilter(its.head!, () => undefined, self).givenUp).toEqual(new Set([1]));
    const stranger = { ...self, id: 70, address: addressOf(70) };
    expect(desiredFilter(its.head!, () => undefined, stranger).givenUp).toEqual(new Set([1]));
  });

  it('has records of services, and of their addresses with buckets of their own', () => {
    const its = new FilterCluster();
    const { services } = desiredFilter(its.head!, () => undefined, self);
    const ranges = new Map([[1, { base: 100, count: SLOTS }]]);
    const [address, port] = filterRecords(services, ranges);
    expect(address!.key).toMatchObject({ protocol: 0, port: 0 });
    expect(address!.fields).toMatchObject({ slot_base: 100, slot_count: SLOTS, pool: 1 });
    expect(address!.fields.flags).toBe(ServiceFlag.SERVICE_CLIENT_AFFINITY | ServiceFlag.SERVICE_NEIGHBOUR);
    expect(port!.fields).toMatchObject({ slot_base: 100, slot_count: SLOTS });
    expect(port!.fields.flags & ServiceFlag.SERVICE_NEIGHBOUR).toBe(0);
    const [, disabled] = filterRecords([{ ...services[0]!, isDisabled: true }], ranges);
    expect(disabled!.fields.slot_count).toBe(0);
  });
});

describe('the part of a version that is of one role', () => {
  it('is all of it where there is one, and nothing of the other', () => {
    const its = new FilterCluster();
    expect(partOf(its.head!, 'filter')).toBe(its.head);
    const none = partOf(its.head!, 'mux');
    expect(none.members).toEqual([]);
    expect([
      ...none.placements.keys(),
      ...none.objects.pools.keys(),
      ...none.objects.backends.keys(),
    ]).toEqual([]);
    expect(none.number).toBe(its.head!.number);
  });
});
