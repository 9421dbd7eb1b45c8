// The cache of duplicate requests: keys, what is in progress, limits.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NFS3_PROCEDURES } from '../../../control/file/codec/nfs3.ts';
import { checksum, Duplicates, duplicateKey } from '../../../control/file/core/duplicates.ts';

const LIMITS = { entriesMax: 3, answerBytesMax: 100, ageMs: 1000 };
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('duplicates', () => {
  it('are answered with the first answer', () => {
    const duplicates = new Duplicates(LIMITS);
    expect(duplicates.begin('a', 0)).toBe('new');
    const record = bytes(1, 2, 3);
    duplicates.answer('a', record, 0);
    record.fill(9);
    expect(duplicates.begin('a', 10)).toEqual(bytes(1, 2, 3));
    expect(duplicates.begin('a', 10)).toEqual(bytes(1, 2, 3));
    expect(duplicates.counts).toEqual({ hits: 2, inProgress: 0, misses: 1, early: 0, tooLong: 0 });
  });

  it('are not answered while the first is being done', () => {
    const duplicates = new Duplicates(LIMITS);
    duplicates.begin('a', 0);
    // However long that takes.
    expect(duplicates.begin('a', 1e9)).toBe('in progress');
    expect(duplicates.counts.inProgress).toBe(1);
  });

  it('are done where the first was not', () => {
    const duplicates = new Duplicates(LIMITS);
    duplicates.begin('a', 0);
    duplicates.abandon('a');
    expect(duplicates.begin('a', 0)).toBe('new');
  });

  it('are forgotten when they are old', () => {
    const duplicates = new Duplicates(LIMITS);
    for (const [key, nowMs] of [
      ['a', 0],
      ['b', 500],
    ] as const) {
      duplicates.begin(key, nowMs);
      duplicates.answer(key, bytes(1), nowMs);
    }
    expect(duplicates.begin('a', 999)).toEqual(bytes(1));
    expect(duplicates.begin('a', 1000)).toBe('new');
    expect(duplicates.begin('b', 1499)).toEqual(bytes(1));
    duplicates.expire(1500);
    expect(duplicates.size).toBe(0);
  });

  it('are forgotten, oldest answer first, where there are too many', () => {
    const duplicates = new Duplicates(LIMITS);
    for (const key of ['a', 'b', 'c', 'd']) duplicates.begin(key, 0);
    for (const key of ['d', 'b', 'a', 'c']) duplicates.answer(key, bytes(1), 0);
    expect(duplicates.size).toBe(3);
    expect(duplicates.begin('d', 0)).toBe('new');
    expect(duplicates.begin('b', 0)).toEqual(bytes(1));
    expect(duplicates.counts.early).toBe(1);
  });

  it('are forgotten, oldest first, where there is no room for the answer', () => {
    const duplicates = new Duplicates(LIMITS);
    const answer = (key: string, length: number) => {
      duplicates.begin(key, 0);
      duplicates.answer(key, new Uint8Array(length).fill(key.charCodeAt(0)), 0);
    };
    answer('a', 40);
    answer('b', 40);
    answer('c', 40);
    expect(duplicates.begin('b', 0)).toEqual(new Uint8Array(40).fill(98));
    expect(duplicates.begin('c', 0)).toEqual(new Uint8Array(40).fill(99));
    expect(duplicates.begin('a', 0)).toBe('new');
    answer('d', 100);
    expect(duplicates.size).toBe(1);
    answer('e', 101);
    expect([duplicates.begin('e', 0), duplicates.counts.tooLong, duplicates.size]).toEqual(['new', 1, 1]);
  });

  it('keep each answer whole, whatever the lengths', () => {
    const one = fc.record({ key: fc.nat(30), length: fc.nat(60), waits: fc.nat(300) });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 200, size: 'max' }), (calls) => {
        const duplicates = new Duplicates({ ...LIMITS, entriesMax: 5 });
        const answers = new Map<string, Uint8Array>();
        let nowMs = 0;
        for (const [i, { key, length, waits }] of calls.entries()) {
          nowMs += waits;
          const found = duplicates.begin(`${key}`, nowMs);
          if (found === 'new') {
            const record = new Uint8Array(length).fill(i);
            duplicates.answer(`${key}`, record, nowMs);
            answers.set(`${key}`, record);
          } else expect(found).toEqual(answers.get(`${key}`));
          expect(duplicates.size).toBeLessThanOrEqual(5);
        }
      }),
    );
  });

  it('are answered only by who was to do them', () => {
    const duplicates = new Duplicates(LIMITS);
    expect(() => duplicates.answer('a', bytes(1), 0)).toThrow('nothing is being done');
    duplicates.begin('a', 0);
    duplicates.answer('a', bytes(1), 0);
    expect(() => duplicates.answer('a', bytes(2), 0)).toThrow('nothing is being done');
    duplicates.abandon('a');
    expect(duplicates.begin('a', 0)).toEqual(bytes(1));
  });

  it('go on after all were forgotten', () => {
    const duplicates = new Duplicates(LIMITS);
    for (const [key, nowMs] of [
      ['a', 0],
      ['b', 1000],
    ] as const) {
      expect(duplicates.begin(key, nowMs)).toBe('new');
      duplicates.answer(key, bytes(2), nowMs);
    }
    expect(duplicates.begin('b', 1500)).toEqual(bytes(2));
    duplicates.expire(2000);
    expect(duplicates.size).toBe(0);
  });

  it('cost the same when the cache is full', () => {
    const duplicates = new Duplicates({ ...LIMITS, entriesMax: 20_000, answerBytesMax: 1 << 20 });
    const record = new Uint8Array(16);
    const fill = (from: number) => {
      const started = performance.now();
      for (let i = from; i < from + 20_000; i++) {
        duplicates.begin(`${i}`, 0);
        duplicates.answer(`${i}`, record, 0);
      }
      return performance.now() - started;
    };
    const growing = fill(0);
    // With a search through what was deleted it took 150 times as long.
    expect(Math.min(fill(20_000), fill(40_000))).toBeLessThan(20 * growing);
    expect(duplicates.size).toBe(20_000);
  });
});

describe('a key', () => {
  const request = {
    xid: 7,
    program: 100_003,
    procedure: NFS3_PROCEDURES.CREATE,
    credentials: { uid: 1000 },
    bytes: bytes(9, 9, 1, 2, 3, 4, 9),
    start: 2,
    end: 6,
  };
  const key = duplicateKey('198.51.100.7', request);

  it('is the same for the same call elsewhere in its bytes', () => {
    expect(duplicateKey('198.51.100.7', { ...request, bytes: bytes(1, 2, 3, 4), start: 0, end: 4 })).toBe(
      key,
    );
  });

  it.each([
    ['client', '198.51.100.8', {}],
    ['xid', '198.51.100.7', { xid: 8 }],
    ['program', '198.51.100.7', { program: 100_005 }],
    ['procedure', '198.51.100.7', { procedure: NFS3_PROCEDURES.MKDIR }],
    ['caller', '198.51.100.7', { credentials: { uid: 1001 } }],
    ['argument', '198.51.100.7', { bytes: bytes(9, 9, 1, 2, 3, 5, 9) }],
    ['length', '198.51.100.7', { end: 7 }],
  ])('is another for another %s', (_, client, change) => {
    expect(duplicateKey(client, { ...request, ...change })).not.toBe(key);
  });

  it('has the FNV-1a of short arguments, as its authors publish it', () => {
    const of = (text: string) => checksum(new TextEncoder().encode(text), 0, text.length);
    expect([of(''), of('a'), of('foobar')]).toEqual([0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]);
  });

  it('looks at both ends of long arguments', () => {
    const long = new Uint8Array(5000);
    const first = checksum(long, 0, 5000);
    for (const at of [0, 511, 4488, 4999]) {
      const changed = long.slice();
      changed[at] = 1;
      expect(checksum(changed, 0, 5000), `byte ${at}`).not.toBe(first);
    }
  });
});
