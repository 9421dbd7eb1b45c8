import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit, ServiceFlag, serviceCodec } from '../../../control/dataplane/generated/layout.ts';
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

function build(grace: () => void = () => {}) {
  const records = new Uint8Array(Limit.LIMIT_SERVICES * serviceCodec.sizeBytes);
  const filter = new Uint8Array(Limit.LIMIT_ADDRESS_FILTER_BYTES);
  return { records, filter, table: new ServiceTable(records, filter, KEY, grace) };
}

describe('the service table', () => {
  it('has what was set and not what was deleted, whatever the order', () => {
    // Ports whose homes lie close together, so that probe sequences overlap.
    const ports = Array.from({ length: 65535 }, (_, index) => index + 1).filter(
      (port) => homeOf(keyOf(port)) < 6,
    );
    expect(ports.length).toBeGreaterThan(20);
    const step = fc.record({
      port: fc.constantFrom(...ports),
      pool: fc.integer({ min: 1, max: 99 }),
      add: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { records, table } = build();
        const model = new Map<number, number>();
        for (const { port, pool, add } of steps) {
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
          for (const known of ports)
            expect(lookUp(records, keyOf(known)), `port ${known}`).toBe(model.get(known));
        }
        if (model.size === 0) expect(records.every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  it('shows the old or the new record at every moment of a change', () => {
    const seen: (number | undefined)[] = [];
    const { records, table } = build(() => seen.push(lookUp(records, keyOf(80))));
    table.set(keyOf(80), { ...FIELDS, pool: 1 });
    table.set(keyOf(80), { ...FIELDS, pool: 2 });
    expect(seen).toEqual([2]);
    expect(lookUp(records, keyOf(80))).toBe(2);
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
