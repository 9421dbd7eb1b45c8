import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../../control/dataplane/generated/layout.ts';
import { hashKeyFromSecret, readHashKey, servicePlace } from '../../../control/dataplane/hash.ts';
import {
  type ServerId,
  ServerIdTable,
  ServerIdTableFullError,
} from '../../../control/dataplane/server_id_table.ts';

const KEY = readHashKey(hashKeyFromSecret(new Uint8Array(32).fill(4)));
const WORDS = Limit.LIMIT_INDEX_BUCKET_WORDS;

function build(buckets = 4) {
  const words = new BigUint64Array(buckets * WORDS);
  return { words, table: new ServerIdTable(words, buckets, KEY) };
}

/** What the program does: to the first word of the tag, or the end of the bucket. */
function lookUp(words: BigUint64Array, pool: number, serverId: number): number {
  const tag = (BigInt(pool) << 32n) | BigInt(serverId);
  const first = (servicePlace(KEY, tag) & (words.length / WORDS - 1)) * WORDS;
  for (const word of words.subarray(first, first + WORDS)) {
    if (word === 0n) break;
    if (word >> 16n === tag) return Number(word & 0xffffn);
  }
  return 0;
}

const ids = fc.uniqueArray(
  fc.record({
    poolId: fc.integer({ min: 1, max: 2 }),
    serverId: fc.nat(12),
    backend: fc.integer({ min: 1, max: 4095 }),
  }),
  { maxLength: 12, selector: ({ poolId, serverId }) => `${poolId} ${serverId}` },
);

describe('the index of server IDs', () => {
  it('goes from any set to any other, with what stays found after every write', () => {
    fc.assert(
      fc.property(fc.array(ids, { minLength: 1, maxLength: 6 }), (sets) => {
        const { words, table } = build();
        let before: ServerId[] = [];
        for (const wanted of sets) {
          let plan: ReturnType<ServerIdTable['plan']>;
          try {
            plan = table.plan(wanted);
          } catch (error) {
            expect(error).toBeInstanceOf(ServerIdTableFullError);
            continue;
          }
          for (const change of plan) {
            table.set(change);
            for (const { poolId, serverId, backend } of before) {
              const after = wanted.find((it) => it.poolId === poolId && it.serverId === serverId);
              if (after !== undefined)
                expect([backend, after.backend]).toContain(lookUp(words, poolId, serverId));
            }
          }
          expect(table.plan(wanted)).toEqual([]);
          for (let poolId = 1; poolId <= 2; poolId++)
            for (let serverId = 0; serverId <= 12; serverId++) {
              const it = wanted.find((one) => one.poolId === poolId && one.serverId === serverId);
              expect(lookUp(words, poolId, serverId)).toBe(it?.backend ?? 0);
            }
          before = wanted;
        }
      }),
    );
  });

  it('says that a bucket is full, and that an ID is given twice, before anything is written', () => {
    const { words, table } = build(1);
    const many = Array.from({ length: WORDS + 1 }, (_, serverId) => ({ poolId: 1, serverId, backend: 1 }));
    expect(() => table.plan(many)).toThrow(ServerIdTableFullError);
    expect(() => table.plan([many[0]!, { ...many[0]!, backend: 2 }])).toThrow(/given twice/);
    for (const it of many.slice(0, WORDS)) table.set(it);
    expect(() => table.set(many[WORDS]!)).toThrow(ServerIdTableFullError);
    table.set({ ...many[3]!, backend: undefined });
    table.set(many[WORDS]!);
    expect(lookUp(words, 1, WORDS)).toBe(1);
    expect(lookUp(words, 1, 3)).toBe(0);
  });

  it('refuses numbers that its words cannot hold', () => {
    const { table } = build();
    const good = { poolId: 1, serverId: 1, backend: 1 };
    for (const change of [
      { poolId: 0 },
      { poolId: 65_536 },
      { serverId: -1 },
      { serverId: 2 ** 32 },
      { backend: 0 },
      { backend: 4096 },
    ])
      expect(() => table.set({ ...good, ...change })).toThrow(RangeError);
  });
});
