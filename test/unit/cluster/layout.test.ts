// The cluster as entries of the store: what is written is read again, and what cannot be read says which key and why.
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeState, encodeChange, OBJECTS_KEY } from '../../../control/cluster/layout.ts';
import { type ClusterState, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { type Entry, TXN_OPERATIONS_MAX, VALUE_BYTES_MAX } from '../../../control/store/contract.ts';
import { noPool, noService, plain, pool, type Step, service } from './support.ts';

/** A store of one's own: entries, and the revision. */
class Entries {
  readonly map = new Map<string, Entry>();
  revision = 1;
  state: ClusterState = EMPTY_STATE;

  /** Writes what the steps come to, and reads it without knowing anything. Returns how many operations it took. */
  become(...steps: Step[]): number {
    const operations = encodeChange(
      this.state,
      steps.reduce((state, step) => step(state), this.state),
    );
    if (operations.length > 0) this.revision++;
    for (const operation of operations) {
      if ('put' in operation) this.put(operation.put, operation.value);
      else this.map.delete(operation.delete);
    }
    this.state = decodeState(this.map, this.revision, EMPTY_STATE);
    return operations.length;
  }

  put(key: string, value: string): void {
    const createRevision = this.map.get(key)?.createRevision ?? this.revision;
    this.map.set(key, { key, value, createRevision, modRevision: this.revision });
  }

  decode(): ClusterState {
    return decodeState(this.map, this.revision, EMPTY_STATE);
  }

  /** The objects as JSON, changed and put back. */
  tamper(change: (objects: Record<string, Record<string, unknown>[]>) => object): void {
    const text = inflateRawSync(Buffer.from(this.map.get(OBJECTS_KEY)!.value, 'base64')).toString();
    this.put(OBJECTS_KEY, deflateRawSync(JSON.stringify(change(JSON.parse(text)))).toString('base64'));
  }
}

const some = (): Entries => {
  const entries = new Entries();
  entries.become(
    pool('web', 3),
    service('www', 'web'),
    pool('mail', 1, 7),
    service('smtp', 'mail', { port: 25 }),
  );
  return entries;
};

describe('the cluster in the store', () => {
  it('is empty where there is nothing', () => {
    expect(decodeState(new Map(), 7, EMPTY_STATE)).toEqual({ ...EMPTY_STATE, revision: 7 });
  });

  it('is read as it was written', () => {
    const entries = some();
    const written = [
      pool('web', 3),
      service('www', 'web'),
      pool('mail', 1, 7),
      service('smtp', 'mail', { port: 25 }),
    ];
    expect(plain(entries.state)).toEqual(plain(written.reduce((state, step) => step(state), EMPTY_STATE)));
    expect([...entries.state.tables.get('mail')!.slots]).toEqual([4, 4, 4, 4, 4, 4, 4]);
  });

  it('is read as it was written after any edits', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ name, backends: fc.nat(5), slots: fc.constantFrom(1, 16, 251) }).map((it) => ({
        text: `pool ${it.name} ${it.backends} ${it.slots}`,
        step: pool(it.name, it.backends, it.slots),
      })),
      name.map((it) => ({ text: `no pool ${it}`, step: noPool(it) })),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const entries = new Entries();
        let expected: ClusterState = EMPTY_STATE;
        for (const { step: one } of steps) {
          expected = one(expected);
          entries.become(one);
          expect(plain(entries.state)).toEqual(plain(expected));
        }
      }),
    );
  });

  it('says of each object and table when it changed last', () => {
    const entries = some();
    entries.become(pool('web', 4));
    entries.become(service('www', 'web', { port: 8080 }));
    const { services, pools, backends, tables } = entries.state;
    const revisions = (map: ReadonlyMap<string, { modRevision: number }>) =>
      Object.fromEntries([...map].map(([name, { modRevision }]) => [name, modRevision]));
    expect(revisions(services)).toEqual({ www: 4, smtp: 2 });
    expect(revisions(pools)).toEqual({ web: 2, mail: 2 });
    expect(revisions(tables)).toEqual({ web: 3, mail: 2 });
    expect(revisions(backends)).toMatchObject({ 'mail/b0': 2, 'web/b0': 2, 'web/b3': 3 });
  });

  it('is not written where nothing changes, also by equal copies', () => {
    const entries = some();
    expect(entries.become()).toBe(0);
    const copies = <T>(map: ReadonlyMap<string, T>) =>
      new Map(Array.from(map, ([key, it]) => [key, { ...it }]));
    const copied = (state: ClusterState): ClusterState => ({
      ...state,
      services: copies(state.services),
      backends: copies(state.backends),
    });
    expect(entries.become(copied)).toBe(0);
    expect(entries.become(pool('web', 3))).toBe(0);
    expect(entries.become(service('www', 'web', { affinity: undefined }))).toBe(0);
  });

  it('keeps objects and tables that are known at the same revision', () => {
    const entries = some();
    const known = entries.state;
    entries.become(service('www', 'web', { port: 81 }), pool('web', 5));
    const state = decodeState(entries.map, entries.revision, known);
    expect(state.tables.get('mail')).toBe(known.tables.get('mail'));
    expect(state.tables.get('web')).not.toBe(known.tables.get('web'));
    expect(state.services.get('smtp')).toBe(known.services.get('smtp'));
    expect(state.services.get('www')?.port).toBe(81);
    expect(state.backends.get('web/b0')).toBe(known.backends.get('web/b0'));
  });

  it('does not take a pool of the same name for the one before', () => {
    const entries = some();
    entries.become(noService('www'), noPool('web'));
    entries.become(pool('other', 1), pool('web', 3));
    expect(entries.state.tables.get('web')?.modRevision).toBe(4);
    expect(entries.state.pools.get('web')?.modRevision).toBe(4);
  });

  it('leaves nothing of what was removed', () => {
    const entries = some();
    entries.become(noService('www'), noPool('web'), noService('smtp'), noPool('mail'));
    expect([...entries.map.keys()]).toEqual([OBJECTS_KEY]);
    expect(plain(entries.state)).toEqual(plain(EMPTY_STATE));
  });

  it('fits one transaction with as many pools as there can be', () => {
    const entries = new Entries();
    const pools = Array.from({ length: 1_024 }, (_, index) => `pool-${index}`);
    const operations = entries.become(...manyPools(pools));
    expect(operations).toBeLessThanOrEqual(TXN_OPERATIONS_MAX);
    expect(entries.state.tables.size).toBe(1_024);
    expect(entries.become(pool('pool-500', 9))).toBe(2);
  });

  it('fits with as many backends as there can be in one pool', () => {
    const entries = new Entries();
    const services = Array.from({ length: 1_000 }, (_, index) =>
      service(`s${index}`, 'web', { port: index + 1 }),
    );
    entries.become(pool('web', 4_095, 65_537), ...services);
    expect(entries.state.backends.size).toBe(4_095);
    expect(entries.state.services.size).toBe(1_000);
    for (const { value } of entries.map.values()) expect(value.length).toBeLessThan(VALUE_BYTES_MAX / 4);
  });

  it('says so where it does not fit', () => {
    const noise = (length: number) =>
      Array.from({ length }, () => Math.random().toString(16).slice(2, 6)).join(':');
    const addresses = () => Array.from({ length: 16 }, () => noise(8));
    const withPool = pool('web', 1)(EMPTY_STATE);
    const one = service('s', 'web')(withPool).services.get('s')!;
    const names = Array.from({ length: 12_000 }, (_, index) => `s${index}`);
    const services = new Map(names.map((name) => [name, { ...one, name, addresses: addresses() }]));
    const state = { ...withPool, services };
    expect(() => encodeChange(EMPTY_STATE, state)).toThrow(
      expect.objectContaining({
        code: 'limit',
        message: expect.stringMatching(
          /^the services, pools and backends of the cluster take \d+ bytes in the store; at most 1048576 are possible$/,
        ),
      }),
    );
  });

  function manyPools(names: readonly string[]): Step[] {
    return [
      (state) => ({
        ...state,
        pools: new Map(
          names.map((name, index) => [name, { name, slots: 16, id: index + 1, modRevision: 0 }]),
        ),
        tables: new Map(names.map((name) => [name, { slots: new Uint16Array(16), modRevision: 0 }])),
      }),
    ];
  }
});

describe('a value that cannot be read', () => {
  const damaged = (key: string, reason: string | RegExp) =>
    expect.objectContaining({
      code: 'internal',
      message: `${key} in the store is damaged`,
      reason: typeof reason === 'string' ? reason : expect.stringMatching(reason),
    });
  const packOf = (entries: Entries, name: string) =>
    `cluster/tables/${String(entries.state.pools.get(name)!.id).padStart(2, '0')}`;

  it.each([
    ['no base64 of deflated text', '!', /unexpected end of file|invalid|incorrect/],
    ['no JSON', deflateRawSync('{').toString('base64'), /JSON/],
    ['other JSON', deflateRawSync('[]').toString('base64'), /expected object/],
    ['far too long', deflateRawSync(Buffer.alloc(40 << 20)).toString('base64'), /larger than/],
  ])('names its key: %s', (_, value, reason) => {
    const entries = some();
    entries.put(OBJECTS_KEY, value);
    expect(() => entries.decode()).toThrow(damaged(OBJECTS_KEY, reason));
  });

  it.each<[string, (objects: Record<string, Record<string, unknown>[]>) => void, string | RegExp]>([
    ['a field of another type', (it) => (it.services![0]!.port = '80'), /^services\.0\.port: /],
    ['a field missing', (it) => delete it.backends![0]!.index, /^backends\.0\.index: /],
    ['two of a name', (it) => it.services!.push(it.services![0]!), 'two objects are named www'],
    [
      'a service without pool',
      (it) => (it.services![0]!.pool = 'gone'),
      'service www names pool gone, which does not exist',
    ],
    [
      'a backend without pool',
      (it) => (it.backends![0]!.pool = 'gone'),
      'backend gone/b0 names pool gone, which does not exist',
    ],
    ['two pools of an id', (it) => (it.pools![1]!.id = 1), 'pool id 1 is of web and of mail'],
    ['two backends of an index', (it) => (it.backends![1]!.index = 1), 'backend index 1 is of b0 and of b1'],
    [
      'a slot of nobody',
      (it) => (it.backends![0]!.index = 77),
      'slots of pool web name backend 1, which is not in it',
    ],
    [
      'another number of slots',
      (it) => (it.pools![0]!.slots = 17),
      'pool web has 17 slots, and a table of 16',
    ],
    [
      'a pool without table',
      (it) => it.pools!.push({ name: 'x', slots: 1, id: 9 }),
      'pool x has no slot table',
    ],
    ['a table without pool', (it) => (it.pools![0]!.name = 'x'), /web.*does not exist/],
  ])('says what is wrong: %s', (_, change, reason) => {
    const entries = some();
    entries.tamper((objects) => {
      change(objects);
      return objects;
    });
    expect(() => entries.decode()).toThrow(damaged(OBJECTS_KEY, reason));
  });

  it('says which field it does not know, as a newer Holdfast may have written it', () => {
    for (const change of [{ services: [{ name: 'www', shiny: 1 }] }, { gadgets: [] }, { format: 2 }]) {
      const entries = some();
      entries.tamper((objects) => ({ ...objects, ...change }));
      expect(() => entries.decode()).toThrow(
        expect.objectContaining({
          code: 'unsupported',
          message: 'a newer Holdfast wrote cluster/objects in the store',
          reason: expect.stringMatching(
            /^(it has services\.0\.shiny|backends\.0\.encap is none of ip, gue|it has gadgets|it is of format 2), and this/,
          ),
          remedy: 'upgrade Holdfast on this node; until then it keeps what it has',
        }),
      );
    }
  });

  it('may be a slot table', () => {
    const entries = some();
    const key = packOf(entries, 'web');
    const good = JSON.parse(entries.map.get(key)!.value);
    const table = (bytes: Buffer) => ({
      web: { ...good.web, deflated: deflateRawSync(bytes).toString('base64') },
    });
    for (const [value, reason] of [
      [table(Buffer.alloc(31)), 'the table of web is cut short'],
      [table(Buffer.alloc(33)), /larger than/],
      [{ web: { ...good.web, deflated: '?' } }, /base64/],
      [{ web: { ...good.web, slots: 0 } }, /web\.slots/],
    ] as const) {
      entries.put(key, JSON.stringify(value));
      expect(() => entries.decode()).toThrow(damaged(key, reason));
    }
    entries.put(key, JSON.stringify(table(Buffer.alloc(32, 9))));
    expect(() => entries.decode()).toThrow(damaged(OBJECTS_KEY, /name backend 2313/));
  });

  it('is a node’s only where it makes no sense at all: other versions may say more', () => {
    const entries = some();
    const node = {
      name: 'mux1',
      roles: ['parser', 'mux'],
      tunnelSources: [],
      version: '9.0.0',
      mood: 'good',
    };
    entries.put('cluster/nodes/mux1', JSON.stringify(node));
    const { revision } = entries;
    expect(entries.decode().nodes.get('mux1')).toEqual({
      name: 'mux1',
      roles: ['mux'],
      tunnelSources: [],
      version: '9.0.0',
      modRevision: revision,
    });
    entries.put('cluster/nodes/mux2', JSON.stringify(node));
    expect(() => entries.decode()).toThrow(damaged('cluster/nodes/mux2', 'it is about node mux1'));
  });
});
