import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit, ServiceFlag, serviceCodec } from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import {
  hashKeyFromSecret,
  readHashKey,
  serviceDigest,
  servicePlace,
} from '../../../control/dataplane/hash.ts';
import {
  type ServiceKey,
  ServiceTable,
  ServiceTableFullError,
} from '../../../control/dataplane/service_table.ts';

const KEY = readHashKey(hashKeyFromSecret(new Uint8Array(32).fill(3)));
const MASK = Limit.LIMIT_SERVICES - 1;
const FIELDS = {
  client_mask: [0, 0, 0, 0],
  flags: 0,
  slot_base: 0,
  slot_count: 1,
  pool: 0,
  quic_config_rotation: 0,
  quic_server_id_bytes: 0,
  idle_time: 0,
  link_address: new Uint8Array(6),
};

function keyOf(port: number): ServiceKey {
  return { words: [0, 0, 0xffff0000, 0x0a0012c6], version: 4, protocol: 6, port };
}

const homeOf = (key: ServiceKey): number =>
  servicePlace(KEY, serviceDigest(KEY, key.words, key.port, key.protocol, key.version)) & MASK;

/** What the program does: from the home place on, as long as records are continued. */
function lookUp(records: Uint8Array, key: ServiceKey): number | undefined {
  for (let probe = 0; probe < Limit.LIMIT_SERVICE_PROBES; probe++) {
    const offset = ((homeOf(key) + probe) & MASK) * serviceCodec.sizeBytes;
    const view = new DataView(records.buffer, offset, serviceCodec.sizeBytes);
    const flags = view.getUint8(35);
    if (flags & ServiceFlag.SERVICE_PRESENT && view.getUint16(32) === key.port)
      return serviceCodec.read(view, 0).pool;
    if (!(flags & ServiceFlag.SERVICE_CONTINUED)) return undefined;
  }
  return undefined;
}

function build() {
  const records = new Uint8Array(Limit.LIMIT_SERVICES * serviceCodec.sizeBytes);
  const filter = new Uint8Array(Limit.LIMIT_ADDRESS_FILTER_BYTES);
  const grace = new GracePeriods(async () => {});
  const table = new ServiceTable(records, filter, KEY, grace);
  const settle = async (): Promise<void> => {
    while (!table.isSettled) {
      await grace.wait();
      table.settle();
    }
  };
  return { records, filter, grace, table, settle };
}

/** Another process, on the same memory. */
function adopted({ records, filter, grace }: ReturnType<typeof build>): ServiceTable {
  const table = new ServiceTable(records, filter, KEY, grace);
  table.adopt();
  return table;
}

/** Ports whose homes lie close together, so that probe sequences overlap. */
const CLOSE_PORTS = Array.from({ length: 65535 }, (_, index) => index + 1).filter(
  (port) => homeOf(keyOf(port)) < 6,
);

const steps = fc.array(
  fc.record({
    port: fc.constantFrom(...CLOSE_PORTS),
    pool: fc.integer({ min: 1, max: 99 }),
    add: fc.boolean(),
  }),
  { maxLength: 60 },
);

describe('the service table', () => {
  it('has what was set and not what was deleted, whatever the order; and so has who adopts it', async () => {
    expect(CLOSE_PORTS.length).toBeGreaterThan(20);
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const built = build();
        const { records, table, settle } = built;
        const model = new Map<number, number>();
        const check = (): void => {
          for (const known of CLOSE_PORTS)
            expect(lookUp(records, keyOf(known)), `port ${known}`).toBe(model.get(known));
        };
        for (const { port, pool, add } of list) {
          if (add) {
            try {
              table.set(keyOf(port), { ...FIELDS, pool });
              model.set(port, pool);
            } catch (error) {
              expect(error).toBeInstanceOf(ServiceTableFullError);
            }
          } else {
            expect(table.delete(keyOf(port))).toBe(model.delete(port));
          }
          check();
          await settle();
          check();
        }
        const before = records.slice();
        const pools = [...adopted(built).entries()].map(({ key, fields }) => [key.port, fields.pool]);
        expect(new Map(pools as [number, number][])).toEqual(model);
        expect(Buffer.compare(before, records), 'adopting changes nothing').toBe(0);
        if (model.size === 0) expect(records.every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  it('brings any state to any other in rounds, with every service that stays there at every write', async () => {
    const states = fc.uniqueArray(fc.constantFrom(...CLOSE_PORTS), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(states, states, async (from, to) => {
        const { records, table, settle } = build();
        for (const port of from) table.set(keyOf(port), { ...FIELDS, pool: 1 });
        const wanted = to.map((port) => ({ key: keyOf(port), fields: { ...FIELDS, pool: 2 } }));
        const staying = from.filter((port) => to.includes(port));
        for (const round of table.plan(wanted)) {
          for (const { key, fields, place } of round.puts) table.put(key, fields, place);
          for (const port of staying) expect(lookUp(records, keyOf(port))).toBeDefined();
          for (const key of round.removals) table.delete(key);
          await settle();
        }
        for (const port of CLOSE_PORTS)
          expect(lookUp(records, keyOf(port)), `port ${port}`).toBe(to.includes(port) ? 2 : undefined);
        expect(table.plan(wanted)).toEqual([]);
      }),
    );
  });

  describe('a quarter of which is taken', () => {
    const records = Array.from({ length: 1_024 }, (_, index) => ({ key: keyOf(index + 1), fields: FIELDS }));
    const keys = Array.from({ length: 60 }, (_, index) =>
      readHashKey(hashKeyFromSecret(new Uint8Array(32).fill(index))),
    );
    const emptyOf = (key: typeof KEY) => {
      const memory = new Uint8Array(Limit.LIMIT_SERVICES * serviceCodec.sizeBytes);
      const grace = new GracePeriods(async () => {});
      const filter = new Uint8Array(Limit.LIMIT_ADDRESS_FILTER_BYTES);
      return { grace, table: new ServiceTable(memory, filter, key, grace) };
    };

    it('has a place for each, whatever the hash key is', () => {
      for (const key of keys) expect(emptyOf(key).table.plan(records)).toHaveLength(1);
    });

    it('has a place for each that comes by itself: others make way', async () => {
      let moves = 0;
      for (const key of keys) {
        const { table, grace } = emptyOf(key);
        const carryOut = async (wanted: typeof records) => {
          for (const { puts, removals } of table.plan(wanted)) {
            for (const it of puts) table.put(it.key, it.fields, it.place);
            for (const it of removals) table.delete(it);
            moves += puts.length;
            while (!table.isSettled) {
              await grace.wait();
              table.settle();
            }
          }
        };
        await carryOut(records.slice(0, 1_000));
        for (let count = 1_001; count <= records.length; count++) await carryOut(records.slice(0, count));
        expect(table.size).toBe(records.length);
        expect(table.plan(records)).toEqual([]);
      }
      expect(moves).toBeGreaterThan(keys.length * records.length);
    });
  });

  it('refuses what has no place before anything is written', () => {
    const { records, table } = build();
    const home = homeOf(keyOf(CLOSE_PORTS[0]!));
    const same = CLOSE_PORTS.filter((port) => homeOf(keyOf(port)) === home);
    expect(same.length).toBeGreaterThan(Limit.LIMIT_SERVICE_PROBES);
    const wanted = same.map((port) => ({ key: keyOf(port), fields: FIELDS }));
    expect(() => table.plan(wanted)).toThrow(ServiceTableFullError);
    expect(records.every((byte) => byte === 0)).toBe(true);
  });

  it('keeps a record that a look-up may be on its way to, until it is found at its new place', async () => {
    const { records, table, settle } = build();
    const first = keyOf(80);
    const at = (place: number): number =>
      records[place * serviceCodec.sizeBytes + 35]! & ServiceFlag.SERVICE_PRESENT;
    const home = homeOf(first);
    table.set(first, { ...FIELDS, pool: 1 });
    table.set(first, { ...FIELDS, pool: 2 });
    expect([at(home), at(home + 1)]).toEqual([0, ServiceFlag.SERVICE_PRESENT]);
    await settle();
    // The new place comes first: who has passed it before it was taken must still find the old one.
    table.set(first, { ...FIELDS, pool: 3 });
    expect([at(home), at(home + 1)]).toEqual([ServiceFlag.SERVICE_PRESENT, ServiceFlag.SERVICE_PRESENT]);
    expect(lookUp(records, first)).toBe(3);
    await settle();
    expect([at(home), at(home + 1)]).toEqual([ServiceFlag.SERVICE_PRESENT, 0]);
    expect(lookUp(records, first)).toBe(3);
  });

  it('repairs what a process that died has left: half a record, two of a kind, flags', () => {
    const built = build();
    const { records, filter, table } = built;
    const key = keyOf(80);
    const home = homeOf(key);
    table.set(key, { ...FIELDS, pool: 1 });
    const clean = { records: records.slice(), filter: filter.slice() };
    const size = serviceCodec.sizeBytes;
    const record = records.slice(home * size, (home + 1) * size);
    records.set(record, (home + 2) * size);
    records.set(record, (home + 5) * size);
    records[(home + 5) * size + 35] = 0;
    records[(home + 1) * size + 35] = ServiceFlag.SERVICE_CONTINUED;
    filter[7] = 1;
    const after = adopted(built);
    expect(after.size).toBe(1);
    expect(lookUp(records, key)).toBe(1);
    expect(Buffer.compare(filter, clean.filter)).toBe(0);
    return settled(after, built).then(() => expect(Buffer.compare(records, clean.records)).toBe(0));
  });

  it('keeps the filter for an address as long as one of its services is there', () => {
    const { filter, table } = build();
    table.set(keyOf(80), FIELDS);
    table.set(keyOf(443), FIELDS);
    table.delete(keyOf(80));
    expect(filter.filter((byte) => byte !== 0)).toHaveLength(1);
    table.delete(keyOf(443));
    expect(filter.every((byte) => byte === 0)).toBe(true);
  });
});

async function settled(table: ServiceTable, { grace }: ReturnType<typeof build>): Promise<void> {
  while (!table.isSettled) {
    await grace.wait();
    table.settle();
  }
}
