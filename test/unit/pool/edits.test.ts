import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import {
  backend,
  change,
  cluster,
  committed,
  deleteBackend,
  deletePool,
  deleteService,
  expectConsistent,
  forgotten,
  indexOf,
  plan,
  pool,
  putBackend,
  putPool,
  putService,
  SLOTS,
  service,
  slotsOf,
} from './lib/cluster.ts';

describe('a plan', () => {
  it('says what is added, with the state afterwards', () => {
    const { changes, moved, after } = plan(
      EMPTY_STATE,
      putService(service('www')),
      putBackend(backend('web/b1')),
      putPool(pool('web')),
    );
    expect(changes).toEqual([
      { action: 'add', kind: 'pool', name: 'web', after: pool('web') },
      { action: 'add', kind: 'backend', name: 'web/b1', after: backend('web/b1') },
      { action: 'add', kind: 'service', name: 'www', after: service('www') },
    ]);
    expect(moved).toEqual([]);
    expect(after.pools.get('web')).toMatchObject({ id: 1, slots: SLOTS });
    expect(after.backends.get('web/b1')).toMatchObject({ index: 1, generation: 1 });
    expect(after.tables.get('web')!.slots).toEqual(new Uint16Array(SLOTS).fill(1));
    expectConsistent(after);
  });

  it('shows an object before and after', () => {
    const state = cluster();
    expect(plan(state, putService(service('www', { port: 8080 }))).changes).toEqual([
      {
        action: 'change',
        kind: 'service',
        name: 'www',
        before: service('www'),
        after: service('www', { port: 8080 }),
      },
    ]);
    expect(plan(state, deleteService('www')).changes).toEqual([
      { action: 'remove', kind: 'service', name: 'www', before: service('www') },
    ]);
  });

  it('is the state itself where edits change nothing', () => {
    const state = cluster();
    const same = plan(
      state,
      putBackend(backend('web/b1')),
      deleteService('www'),
      putService(service('www')),
      putPool(pool('web')),
    );
    expect(same.changes).toEqual([]);
    expect(same.after).toBe(state);
    expect(plan(state).after).toBe(state);
  });

  it('keeps what it does not change', () => {
    const state = change(cluster(), putPool(pool('other')), putBackend(backend('other/o1')));
    const { after } = plan(state, putBackend(backend('web/b1', { weight: 7 })));
    expect(after.services).toBe(state.services);
    expect(after.pools).toBe(state.pools);
    expect(after.nodes).toBe(state.nodes);
    expect(after.backends).not.toBe(state.backends);
    expect(after.backends.get('web/b2')).toBe(state.backends.get('web/b2'));
    expect(after.tables.get('other')).toBe(state.tables.get('other'));
    expect(after.tables.get('web')).not.toBe(state.tables.get('web'));
  });

  it('keeps the tables where neither weights nor members change', () => {
    const state = cluster();
    const { after, moved } = plan(state, putBackend(backend('web/b1', { mtuBytes: 1_400, serverId: 9 })));
    expect(after.tables).toBe(state.tables);
    expect(moved).toEqual([]);
  });

  it('does not write to the state it is given', () => {
    const state = cluster();
    const copy = structuredClone(state);
    plan(state, deleteBackend('web/b2'), putBackend(backend('web/b9', { address: '192.0.2.9' })));
    expect(state).toEqual(copy);
  });

  it('judges what is there in the end, in whatever order it came about', () => {
    const state = cluster();
    const edits = [
      deletePool('web'),
      deleteBackend('web/b1'),
      deleteBackend('web/b2'),
      deleteBackend('web/b3'),
      putService(service('www', { pool: 'new' })),
      putPool(pool('new')),
      putBackend(backend('new/n1')),
    ];
    // Open connections are another matter: they would break.
    const { after } = planEdits(state, edits, { force: true });
    expect([...after.pools.keys()]).toEqual(['new']);
    expectConsistent(after);
  });
});

describe('slots', () => {
  it('move when a backend is added, as many as it gets', () => {
    const state = cluster(3);
    const { moved, after } = plan(state, putBackend(backend('web/b4', { address: '192.0.2.4' })));
    expect(moved).toEqual([{ pool: 'web', slots: slotsOf(after, 'web/b4').length, of: SLOTS }]);
  });

  it('move when a backend is drained or removed, its own alone', () => {
    const state = cluster(3);
    const own = slotsOf(state, 'web/b2');
    for (const edit of [
      putBackend(backend('web/b2', { address: '192.0.2.2', weight: 0 })),
      deleteBackend('web/b2'),
    ]) {
      const { moved, after } = plan(state, edit);
      expect(moved).toEqual([{ pool: 'web', slots: own.length, of: SLOTS }]);
      const [old, now] = [state.tables.get('web')!.slots, after.tables.get('web')!.slots];
      expect([...old.keys()].filter((slot) => old[slot] !== now[slot])).toEqual(own);
    }
  });

  it('that nobody had do not count as moved, those that nobody gets do', () => {
    const empty = change(EMPTY_STATE, putPool(pool('web')), putBackend(backend('web/b1', { weight: 0 })));
    const first = plan(empty, putBackend(backend('web/b1')));
    expect(first.moved).toEqual([]);
    const last = plan(committed(first), putBackend(backend('web/b1', { weight: 0 })));
    expect(last.moved).toEqual([{ pool: 'web', slots: SLOTS, of: SLOTS }]);
  });

  it.each([
    ['address', { address: '192.0.2.77' }],
    ['encapsulation', { encap: 'gue' }],
    ['GUE port', { guePort: 6081 }],
  ] as const)('stay with a backend whose %s changes, under another index', (_, fields) => {
    const state = cluster(3);
    const { after, moved } = plan(state, putBackend(backend('web/b2', { address: '192.0.2.2', ...fields })));
    expect(indexOf(after, 'web/b2')).toBe(4);
    expect(after.backends.get('web/b2')!.generation).not.toBe(state.backends.get('web/b2')!.generation);
    expect(slotsOf(after, 'web/b2')).toEqual(slotsOf(state, 'web/b2'));
    expect(slotsOf(after, 'web/b1')).toEqual(slotsOf(state, 'web/b1'));
    expect(slotsOf(after, 'web/b3')).toEqual(slotsOf(state, 'web/b3'));
    // Its flows reach it by another way: that counts.
    expect(moved).toEqual([{ pool: 'web', slots: slotsOf(state, 'web/b2').length, of: SLOTS }]);
  });

  it('do not move when an address or a default is only written in another way', () => {
    const gue = { address: '2001:db8::2', encap: 'gue' } as const;
    const state = change(cluster(2), putBackend(backend('web/b3', gue)));
    const { after, moved, changes } = plan(
      state,
      putBackend(backend('web/b3', { ...gue, address: '2001:DB8:0:0::2', guePort: 6080 })),
    );
    expect(changes).toHaveLength(1);
    expect(moved).toEqual([]);
    expect(indexOf(after, 'web/b3')).toBe(indexOf(state, 'web/b3'));
    expect(after.tables).toBe(state.tables);
  });
});

describe('indexes and ids', () => {
  it('are the lowest free', () => {
    const state = forgotten(change(cluster(3), deleteBackend('web/b2')));
    const again = change(state, putPool(pool('x')), putBackend(backend('x/x1')), putBackend(backend('x/x2')));
    expect([indexOf(again, 'x/x1'), indexOf(again, 'x/x2')]).toEqual([2, 4]);
    expect(again.pools.get('x')!.id).toBe(2);
  });

  it('do not pass to another object within one change', () => {
    const { after } = plan(cluster(3), deleteBackend('web/b2'), putBackend(backend('web/b4')));
    expect(indexOf(after, 'web/b4')).toBe(4);
    const state = change(EMPTY_STATE, putPool(pool('a')));
    const next = plan(state, deletePool('a'), putPool(pool('b'))).after;
    expect(next.pools.get('b')!.id).toBe(2);
  });

  it('come with another generation for each occupant', () => {
    let state = cluster(1);
    const generations = new Set<number>();
    for (let round = 0; round < 20; round++) {
      state = change(state, putBackend(backend('web/guest', { address: '192.0.2.9' })));
      const { index, generation } = state.backends.get('web/guest')!;
      expect(index).toBe(2);
      expect(generations.has(generation)).toBe(false);
      generations.add(generation);
      state = forgotten(change(state, deleteBackend('web/guest')));
    }
  });

  it("of what was removed are nobody else's until the leader has taken them off", () => {
    const state = change(cluster(3), deleteBackend('web/b2'), putPool(pool('old')));
    expect(state.retired.backends.map(({ name, index }) => [name, index])).toEqual([['b2', 2]]);
    const next = change(state, putBackend(backend('web/b4')), deletePool('old'));
    expect(indexOf(next, 'web/b4')).toBe(4);
    expect(next.retired).toMatchObject({ backends: [{ index: 2 }], pools: [{ id: 2, name: 'old' }] });
    expect(change(next, putPool(pool('new'))).pools.get('new')!.id).toBe(3);
  });

  it("are a backend's own again when it comes back in time", () => {
    const state = cluster(3);
    const { address } = state.backends.get('web/b2')!;
    const again = change(change(state, deleteBackend('web/b2')), putBackend(backend('web/b2', { address })));
    const { index, generation } = again.backends.get('web/b2')!;
    expect({ index, generation }).toEqual({ index: 2, generation: state.backends.get('web/b2')!.generation });
    expect(again.retired.backends).toEqual([]);
  });

  it('keep the old end of a tunnel that changed', () => {
    const state = change(cluster(3), putBackend(backend('web/b2', { address: '192.0.2.77' })));
    expect(indexOf(state, 'web/b2')).toBe(4);
    expect(state.retired.backends).toMatchObject([{ name: 'b2', index: 2 }]);
  });
});

describe('what is given up now', () => {
  const now = (state: ClusterState, ...edits: Edit[]): ClusterState =>
    committed(planEdits(state, edits, { force: false, now: true }));

  it('is dead while it has no weight, and another generation after', () => {
    const state = cluster(3);
    const { address, generation } = state.backends.get('web/b2')!;
    const drained = now(state, putBackend(backend('web/b2', { address, weight: 0 })));
    expect(drained.backends.get('web/b2')).toMatchObject({ isDead: true, index: 2 });
    const again = change(drained, putBackend(backend('web/b2', { address }))).backends.get('web/b2')!;
    expect(again.isDead).toBeUndefined();
    expect(again.index).toBe(2);
    expect(again.generation).not.toBe(generation);
  });

  it('is dead when it is removed, and when it was removed before', () => {
    expect(now(cluster(3), deleteBackend('web/b2')).retired.backends).toMatchObject([{ isDead: true }]);
    const removed = change(cluster(3), deleteBackend('web/b2'));
    expect(removed.retired.backends[0]!.isDead).toBeUndefined();
    expect(now(removed, deleteBackend('web/b2')).retired.backends).toMatchObject([
      { index: 2, isDead: true },
    ]);
  });

  it('does not get its index back', () => {
    const state = cluster(3);
    const { address } = state.backends.get('web/b2')!;
    const removed = now(state, deleteBackend('web/b2'));
    expect(indexOf(change(removed, putBackend(backend('web/b2', { address }))), 'web/b2')).toBe(4);
  });

  it('are only those that the edits are about', () => {
    const drained = change(cluster(3), putBackend(backend('web/b1', { weight: 0 })));
    const next = now(drained, deleteBackend('web/b2'));
    expect(next.backends.get('web/b1')!.isDead).toBeUndefined();
  });

  it('have a generation of 16 bits', () => {
    const { after } = plan(
      { ...EMPTY_STATE, revision: 65_535 },
      putPool(pool('web')),
      putBackend(backend('web/b1')),
    );
    expect(after.backends.get('web/b1')!.generation).toBe(0);
  });

  it('stay where a backend is removed and added again in one change', () => {
    const state = cluster(3);
    const { after, moved } = plan(
      state,
      deleteBackend('web/b2'),
      putBackend(backend('web/b2', { address: '192.0.2.2' })),
    );
    expect(after).toBe(state);
    expect(moved).toEqual([]);
  });

  it('do not depend on the order of edits', () => {
    const edits = [
      putPool(pool('p')),
      ...['p/a', 'p/b', 'p/c', 'web/z'].map((id) => putBackend(backend(id))),
      putPool(pool('q')),
    ];
    expect(plan(cluster(), ...edits.toReversed())).toEqual(plan(cluster(), ...edits));
  });
});

describe('random histories', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const backendId = fc.tuple(name, fc.constantFrom('x', 'y', 'z')).map((parts) => parts.join('/'));
  const edit: fc.Arbitrary<Edit> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(backendId, fc.constantFrom(0, 1, 50, 100), fc.integer({ min: 1, max: 4 }))
        .map(([id, weight, last]) => putBackend(backend(id, { weight, address: `192.0.2.${last}` }))),
    },
    { weight: 2, arbitrary: backendId.map(deleteBackend) },
    { weight: 3, arbitrary: name.map((it) => putPool(pool(it))) },
    { weight: 1, arbitrary: name.map(deletePool) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(name, name, fc.integer({ min: 1, max: 4 }))
        .map(([it, of, port]) => putService(service(it, { pool: of, port }))),
    },
    { weight: 1, arbitrary: name.map(deleteService) },
  );

  const start = change(EMPTY_STATE, ...['a', 'b', 'c'].map((it) => putPool(pool(it))));

  it('keep ids unique, tables right and references valid, and count what moves', () => {
    let planned = 0;
    fc.assert(
      fc.property(
        fc.array(fc.array(edit, { minLength: 1, maxLength: 4 }), { minLength: 15, maxLength: 30 }),
        (batches) => {
          let state: ClusterState = start;
          for (const edits of batches) {
            let next: ReturnType<typeof planEdits>;
            try {
              next = planEdits(state, edits, { force: edits.length % 2 === 0 });
            } catch (error) {
              expect(error).toBeInstanceOf(Failure);
              continue;
            }
            planned++;
            expectConsistent(next.after);
            expectCounted(state, next);
            expectFreshIndexes(state, next.after);
            state = committed(next);
          }
        },
      ),
      { numRuns: 200 },
    );
    expect(planned).toBeGreaterThan(500);
  });

  function expectCounted(before: ClusterState, { after, moved }: ReturnType<typeof planEdits>): void {
    const destination = (state: ClusterState, index: number): string => {
      const owner = [...state.backends.values()].find((it) => it.index === index);
      return owner === undefined ? 'nobody' : `${owner.pool}/${owner.name} ${owner.address}`;
    };
    for (const [poolName, { slots: now }] of after.tables) {
      const old = before.tables.get(poolName)?.slots ?? new Uint16Array(now.length);
      const differing = [...old.keys()].filter(
        (slot) => old[slot] !== 0 && destination(before, old[slot]!) !== destination(after, now[slot]!),
      ).length;
      expect(moved.find((it) => it.pool === poolName)?.slots ?? 0).toBe(differing);
    }
  }

  function expectFreshIndexes(before: ClusterState, after: ClusterState): void {
    const old = new Map([...before.backends].map(([key, it]) => [it.index, key]));
    for (const [key, { index }] of after.backends) expect(old.get(index) ?? key).toBe(key);
  }
});
