// Arguments of NFS version 3 against bytes written by hand and against the client of test/lib/nfs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NFS3, NFS3_PROCEDURES } from '../../../control/file/codec/nfs3.ts';
import { EXACT_MAX, XdrReader } from '../../../control/file/codec/xdr.ts';
import { CALLS } from '../../lib/nfs/arbitraries.ts';
import { seenCall } from '../../lib/nfs/decoded.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Name } from '../../lib/nfs/nfs3_calls.ts';
import { hex } from './fixtures/hex.ts';
import { CALL_FIXTURES } from './fixtures/nfs3_calls.ts';

function decode<Name extends Nfs3Name>(name: Name, wire: Uint8Array) {
  const reader = new XdrReader();
  reader.read(wire);
  // biome-ignore lint/suspicious/noExplicitAny: the name says which
  const args = NFS3_PROCEDURES[name].decode(reader) as any;
  return { malformed: reader.malformed, left: reader.left, call: () => seenCall(name, args, wire) };
}

describe('the table', () => {
  it('has the procedures of RFC 1813 at their numbers', () => {
    expect(NFS3.procedures.map((procedure) => procedure?.name)).toEqual(
      Object.keys(NFS3_NUMBERS).sort((a, b) => NFS3_NUMBERS[a as Nfs3Name] - NFS3_NUMBERS[b as Nfs3Name]),
    );
    for (const procedure of NFS3.procedures)
      expect(procedure!.number).toBe(NFS3_NUMBERS[procedure!.name as Nfs3Name]);
  });

  it('says which must not be done twice', () => {
    expect(NFS3.procedures.filter((one) => !one!.idempotent).map((one) => one!.name)).toEqual([
      'SETATTR',
      'WRITE',
      'CREATE',
      'MKDIR',
      'SYMLINK',
      'MKNOD',
      'REMOVE',
      'RMDIR',
      'RENAME',
      'LINK',
    ]);
  });
});

describe('arguments', () => {
  it('have a fixture for every procedure', () => {
    expect(new Set(CALL_FIXTURES.map(([name]) => name))).toEqual(new Set(Object.keys(NFS3_NUMBERS)));
  });

  it.each(CALL_FIXTURES)('of %s (row %#) are read', (name, call, wire) => {
    const decoded = decode(name, wire);
    expect(decoded.malformed).toBe(false);
    expect(decoded.left).toBe(0);
    expect(decoded.call()).toEqual(call);
  });

  it.each(CALL_FIXTURES)('of %s (row %#) are malformed wherever they are cut', (name, _, wire) => {
    for (let length = 0; length < wire.length; length++)
      expect(decode(name, wire.subarray(0, length)).malformed, `cut at ${length}`).toBe(true);
  });

  it.each(CALL_FIXTURES)('of %s (row %#) are what the client of the tests builds', (name, call, wire) => {
    expect(buildNfs3Arguments(name, call as never)).toEqual(wire);
  });

  it.each(Object.keys(NFS3_NUMBERS) as Nfs3Name[])('of %s are what a client sent', (name) => {
    fc.assert(
      fc.property(CALLS[name], (call) => {
        const decoded = decode(name, buildNfs3Arguments(name, call as never));
        expect(decoded.malformed).toBe(false);
        expect(decoded.left).toBe(0);
        expect(decoded.call()).toEqual(call);
      }),
      { numRuns: 200 },
    );
  });

  const HANDLE = '00000004 01020304';
  const LONG_HANDLE = `00000041 ${'00'.repeat(68)}`;
  it.each<[Nfs3Name, string, string]>([
    ['GETATTR', 'a handle of 65 bytes', LONG_HANDLE],
    ['GETATTR', 'a handle longer than memory', 'ffffffff 00000000'],
    ['RENAME', 'a second handle of 65 bytes', `${HANDLE} 00000001 61000000 ${LONG_HANDLE} 00000001 61000000`],
    ['LOOKUP', 'a name longer than the record', `${HANDLE} 00000100 61616161`],
    ['LOOKUP', 'a name of 2 to the 32 bytes', `${HANDLE} ffffffff 61616161`],
    ['LOOKUP', 'a name without what pads it', `${HANDLE} 00000001 61`],
    ['WRITE', 'less data than count', `${HANDLE} 00000000 00000000 00000008 00000000 00000004 61616161`],
    ['WRITE', 'a stable_how of 3', `${HANDLE} 00000000 00000000 00000004 00000003 00000004 61616161`],
    ['CREATE', 'a createmode3 of 3', `${HANDLE} 00000001 61000000 00000003 ${'00'.repeat(24)}`],
    ['MKNOD', 'a type of 0', `${HANDLE} 00000001 61000000 00000000 ${'00'.repeat(32)}`],
    ['MKNOD', 'a type of 8', `${HANDLE} 00000001 61000000 00000008 ${'00'.repeat(32)}`],
    ['SETATTR', 'a boolean of 2', `${HANDLE} 00000002 00000000 ${'00'.repeat(28)}`],
    ['SETATTR', 'a time_how of 3', `${HANDLE} ${'00'.repeat(16)} 00000003 00000000 00000000`],
    ['SETATTR', 'a guard of 2', `${HANDLE} ${'00'.repeat(24)} 00000002 00000000 00000000`],
  ])('of %s with %s are malformed', (name, _, wire) => {
    expect(decode(name, hex(wire)).malformed).toBe(true);
  });

  it('say that an offset is beyond what can be exact', () => {
    for (const offset of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      const wire = buildNfs3Arguments('READ', { handle: Uint8Array.of(1), offset, count: 1 });
      const reader = new XdrReader();
      reader.read(wire);
      expect(NFS3_PROCEDURES.READ.decode(reader).offset).toBeGreaterThan(EXACT_MAX);
    }
  });

  it('do not keep what the call before had', () => {
    const [first, second] = CALL_FIXTURES.filter(([name]) => name === 'SETATTR');
    decode('SETATTR', first![2]);
    expect(decode('SETATTR', second![2]).call()).toEqual(second![1]);
    const creates = CALL_FIXTURES.filter(([name]) => name === 'CREATE');
    decode('CREATE', creates[0]![2]);
    const reader = new XdrReader();
    reader.read(creates[2]![2]);
    expect(NFS3_PROCEDURES.CREATE.decode(reader).attributes.setMode).toBe(false);
  });

  it('say whether times are any', () => {
    const times = (nanoseconds: number, which: 'atime' | 'mtime') => {
      const attributes = { [which]: { seconds: 1, nanoseconds } };
      const reader = new XdrReader();
      reader.read(buildNfs3Arguments('SETATTR', { handle: Uint8Array.of(1), attributes }));
      return NFS3_PROCEDURES.SETATTR.decode(reader).attributes.timesAreValid;
    };
    for (const which of ['atime', 'mtime'] as const) {
      expect(times(999_999_999, which)).toBe(true);
      // UTIME_OMIT and UTIME_NOW of utimensat().
      for (const wrong of [1_000_000_000, 0x3fff_fffe, 0x3fff_ffff, 0xffff_ffff])
        expect(times(wrong, which)).toBe(false);
    }
  });
});
