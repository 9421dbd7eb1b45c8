// The order of writes, on tables in plain memory: at every grace period a model looks up what packets would.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackendTable, PEERS } from '../../../control/dataplane/backend_table.ts';
import { ChainTable } from '../../../control/dataplane/chain_table.ts';
import type { DesiredMux } from '../../../control/dataplane/desired.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import { muxTables } from '../../../control/dataplane/mux_tables.ts';
import { ServiceTable } from '../../../control/dataplane/service_table.ts';
import {
  ALONE,
  backendOf,
  build,
  CAPACITY,
  CHAINS,
  KEY,
  poolOf,
  route,
  SOURCES,
  serviceOf,
} from './tables_in_memory.ts';

/** Some of all remainders by the sizes of pools below. */
const SLOTS = [0, 1, 2, 18, 33, 52, 104];
/** States whose backend `index` always leads to 192.0.2.index. */
const states: fc.Arbitrary<DesiredMux> = fc
  .record({
    ports: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 8 }),
    pools: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 8, maxLength: 8 }),
    sizes: fc.array(fc.constantFrom(3, 5, 7), { minLength: 3, maxLength: 3 }),
    backends: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
    mac: fc.integer({ min: 1, max: 2 }),
    turn: fc.nat(9),
  })
  .map(({ ports, pools, sizes, backends, mac, turn }) => ({
    ...ALONE,
    services: ports.map((port, at) => serviceOf(port, pools[at]!)),
    pools: new Map(
      sizes.map((size, at) => [
        at + 1,
        poolOf(
          at + 1,
          Uint16Array.from(
            { length: size },
            (_, slot) => backends[(slot * (at + 1) + turn) % backends.length]!,
          ),
        ),
      ]),
    ),
    backends: new Map(backends.map((index) => [index, backendOf(index, mac)])),
    serverIds: backends.map((backend) => ({ poolId: 1, serverId: backend + turn, backend })),
  }));

/** Where the packets of a slot go in a state; by the tables of another one, if they are given. */
const goal = (state: DesiredMux, port: number, slot: number, tables = state.pools): number | undefined => {
  const service = state.services.find((it) => it.port === port);
  const slots = service && tables.get(service.poolId)!.current;
  return slots?.[slot % slots.length];
};

describe('bringing tables to a state', () => {
  it('leads every packet of a service that stays to an old or a new backend, at every grace period', async () => {
    let periods = 0;
    await fc.assert(
      fc.asyncProperty(states, states, states, async (first, second, third) => {
        let [from, to] = [first, first];
        const { memory, tables } = build(() => check());
        const check = (): void => {
          periods++;
          for (const service of from.services) {
            if (!to.services.some(({ port }) => port === service.port)) continue;
            for (const slot of SLOTS) {
              const found = route(memory, service, slot);
              const port = service.port!;
              // A service that goes to another pool may see the new table of the pool that it leaves.
              const goals = [goal(from, port, slot), goal(to, port, slot), goal(from, port, slot, to.pools)];
              expect(goals, `port ${service.port} slot ${slot}`).toContain(found);
            }
          }
        };
        await tables.apply(first);
        for (const state of [second, third, first]) {
          to = state;
          check();
          await tables.apply(state);
          from = state;
          check();
          expect(await tables.apply(state)).toMatchObject({ slots: 0, serverIds: 0, gracePeriods: 0 });
        }
      }),
      { numRuns: 60 },
    );
    expect(periods).toBeGreaterThan(300);
  });

  it('is planned from what stands in memory, by whoever takes it over', async () => {
    await fc.assert(
      fc.asyncProperty(states, states, async (first, second) => {
        const { memory, parts, tables } = build();
        await tables.apply(first);
        const grace = new GracePeriods(async () => {});
        const next = {
          ...parts,
          grace,
          services: new ServiceTable(memory.services, memory.filter, KEY, grace),
          backends: new BackendTable(memory.backends, SOURCES, grace),
          peers: new BackendTable(memory.peers, undefined, grace, PEERS),
          chains: new ChainTable(memory.chains, grace, CHAINS),
        };
        next.services.adopt();
        next.backends.adopt();
        const after = muxTables(next);
        expect(await after.apply(first)).toMatchObject({
          services: { added: 0, changed: 0, removed: 0 },
          backends: { added: 0, changed: 0, removed: 0 },
          slots: 0,
          serverIds: 0,
        });
        await after.apply(second);
        for (const service of second.services)
          for (const slot of SLOTS)
            expect(route(memory, service, slot)).toBe(goal(second, service.port!, slot));
      }),
      { numRuns: 60 },
    );
  });

  const state = (change: Partial<DesiredMux>): DesiredMux => ({
    ...ALONE,
    services: [serviceOf(80, 1)],
    pools: new Map([[1, poolOf(1, Uint16Array.of(1, 2, 3))]]),
    backends: new Map([1, 2, 3].map((index) => [index, backendOf(index)])),
    serverIds: [],
    ...change,
  });

  it('takes an index from one backend and gives it to another without sending to either by mistake', async () => {
    const seen = new Set<unknown>();
    const { memory, tables } = build(() => {
      for (const slot of [0, 1, 2]) seen.add(`${slot} ${route(memory, serviceOf(80, 1), slot)}`);
    });
    await tables.apply(state({}));
    const backends = new Map([1, 2, 3].map((index) => [index, backendOf(index === 2 ? 99 : index)]));
    const applied = await tables.apply(
      state({ backends, pools: new Map([[1, poolOf(1, Uint16Array.of(2, 1, 3))]]) }),
    );
    expect(applied.gracePeriods).toBe(2);
    // Slot 1 leaves the index before it changes; slot 0 comes to it after.
    expect([...seen].sort()).toEqual(['0 1', '1 1', '2 3']);
    expect([0, 1, 2].map((slot) => route(memory, serviceOf(80, 1), slot))).toEqual([99, 1, 3]);
  });

  it('changes the MAC address of a next hop, or an MTU, at once', async () => {
    const { memory, tables } = build();
    await tables.apply(state({}));
    const macs = new Map([1, 2, 3].map((index) => [index, backendOf(index, 7)]));
    expect(await tables.setPaths(macs)).toBe(3);
    expect(new Uint8Array(memory.backends, 64 + 32, 6)).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 7));
    const narrow = new Map([...macs].map(([index, config]) => [index, { ...config, mtuBytes: 1400 }]));
    expect(await tables.apply(state({ backends: narrow }))).toMatchObject({
      backends: { added: 0, changed: 3, removed: 0 },
      gracePeriods: 0,
    });
    expect(new DataView(memory.backends).getUint16(64 + 22, true)).toBe(1380);
    expect(
      await tables.setPaths(
        new Map([
          [3, backendOf(33)],
          [4, backendOf(4)],
        ]),
      ),
      'others',
    ).toBe(0);
  });

  it('keeps a peer that is removed for what it relays, and gives its id away with no packet in between', async () => {
    const PRESENT = 1;
    const GONE = 8;
    const seen = new Set<string>();
    const peerOf = (last: number) => ({ ...backendOf(last), encap: 'gue' as const });
    const look = (peers: ArrayBuffer): string => {
      const record = new Uint8Array(peers, 3 * 64, 64);
      return `${record[15]} ${record[16]! & (PRESENT | GONE)}`;
    };
    const { memory, tables } = build(() => seen.add(look(memory.peers)));
    const others = new Map([[2, peerOf(202)]]);
    await tables.apply(state({ peers: new Map([...others, [3, peerOf(203)]]) }));
    const applied = await tables.apply(state({ peers: others }));
    expect(applied.peers).toEqual({ added: 0, changed: 0, removed: 1 });
    expect(look(memory.peers)).toBe(`203 ${GONE}`);

    const grace = new GracePeriods(async () => {});
    const adopted = new BackendTable(memory.peers, undefined, grace, PEERS);
    adopted.adopt();
    expect(look(memory.peers), 'by another process').toBe(`203 ${GONE}`);
    expect(adopted.indexes()).toEqual([2]);
    expect(adopted.get(3)).toBeUndefined();

    seen.clear();
    await tables.apply(state({ peers: new Map([...others, [3, peerOf(204)]]) }));
    expect([...seen]).toEqual(['203 0']);
    expect(look(memory.peers)).toBe(`204 ${PRESENT}`);
  });

  it('waits once for a thousand next hops that move to another interface', async () => {
    let periods = 0;
    const { tables } = build(() => periods++);
    const many = (ifindex: number) =>
      new Map(
        Array.from({ length: 1000 }, (_, at) => {
          const config = backendOf(1);
          const address = `192.0.${2 + (at >> 8)}.${at & 255}`;
          return [at + 1, { ...config, address, nextHop: { ...config.nextHop!, ifindex } }] as const;
        }),
      );
    await tables.apply(state({ backends: many(1) }));
    expect(periods).toBe(0);
    expect(await tables.setPaths(many(2))).toBe(1000);
    expect(periods).toBe(1);
  });

  it('says before it writes that there is no room, and goes on with what was', async () => {
    const { memory, tables } = build();
    const before = state({});
    await tables.apply(before);
    const image = memory.slots.slice();
    const services = memory.services.slice();
    const failing: [Partial<DesiredMux>, string, RegExp][] = [
      [
        { pools: new Map([[1, poolOf(1, new Uint16Array(CAPACITY + 1).fill(1))]]) },
        'limit',
        /slots of this node/,
      ],
      [
        { serverIds: Array.from({ length: 200 }, (_, id) => ({ poolId: 1, serverId: id, backend: 1 })) },
        'limit',
        /server IDs/,
      ],
      [{ services: Array.from({ length: 5000 }, (_, at) => serviceOf(at + 1, 1)) }, 'limit', /service table/],
      [
        { backends: new Map([[1, { ...backendOf(1), address: '2001:db8::1' }]]) },
        'configuration',
        /tunnel source of IPv6/,
      ],
      [{ backends: new Map([[1, { ...backendOf(1), mtuBytes: 60 }]]) }, 'invalid', /MTU of 60/],
      [{ services: [serviceOf(80, 1), { ...serviceOf(80, 1), name: 'twin' }] }, 'invalid', /s80 and twin/],
    ];
    for (const [change, code, message] of failing) {
      await expect(tables.apply(state(change))).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
      expect(memory.slots).toEqual(image);
      expect(Buffer.compare(memory.services, services)).toBe(0);
    }
    expect(await tables.apply(before)).toMatchObject({ slots: 0, gracePeriods: 0 });
  });

  it('makes room for pools that fit only once others are gone', async () => {
    const { memory, tables } = build();
    const pool = (id: number, size: number) =>
      state({
        services: [serviceOf(80 + id, id)],
        pools: new Map([[id, poolOf(id, new Uint16Array(size).fill(1))]]),
      });
    await tables.apply(pool(1, 40));
    await tables.apply(pool(2, 50));
    expect(route(memory, serviceOf(82, 2), 49)).toBe(1);
    expect(route(memory, serviceOf(81, 1), 0)).toBe('no service');
  });

  it('can be repeated after a grace period that failed', async () => {
    let isFailing = false;
    const { memory, tables } = build(() => {
      if (isFailing) throw new Error('no grace');
    });
    await tables.apply(state({}));
    isFailing = true;
    const next = state({ services: [{ ...serviceOf(80, 1), ignoreSourcePort: true }, serviceOf(81, 1)] });
    await expect(tables.apply(next)).rejects.toThrow('no grace');
    expect(route(memory, serviceOf(80, 1), 0)).toBe(1);
    isFailing = false;
    await tables.apply(next);
    expect(route(memory, serviceOf(81, 1), 0)).toBe(1);
    expect(await tables.apply(next)).toMatchObject({ gracePeriods: 0 });
  });
});
