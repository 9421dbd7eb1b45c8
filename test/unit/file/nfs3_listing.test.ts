// READDIR and READDIRPLUS: entries in place, limits as the client set them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NFS3_PROCEDURES } from '../../../control/file/codec/nfs3.ts';
import type { Fattr3 } from '../../../control/file/codec/nfs3_attributes.ts';
import { LISTING_BYTES_MAX } from '../../../control/file/codec/nfs3_constants.ts';
import { Entries, listingResultBytes } from '../../../control/file/codec/nfs3_listing.ts';
import { XdrReader, XdrWriter } from '../../../control/file/codec/xdr.ts';
import { handle, postOpAttr } from '../../lib/nfs/arbitraries.ts';
import { buildNfs3Arguments, type Nfs3Calls } from '../../lib/nfs/nfs3_calls.ts';
import { parseNfs3Results } from '../../lib/nfs/nfs3_replies.ts';
import { hex } from './fixtures/hex.ts';
import { FILE } from './fixtures/nfs3_results.ts';

type One = { name: Uint8Array; attributes: Fattr3 | undefined; handle: Uint8Array | undefined };
type Listed = {
  readonly directory?: Fattr3 | undefined;
  readonly eof?: boolean;
};

const place = { directory: Uint8Array.of(1), cookie: 0n, verifier: 0n };

function argumentsOf(wanted: Partial<Nfs3Calls['READDIRPLUS']> & { count?: number }) {
  const reader = new XdrReader();
  if (wanted.count !== undefined) {
    reader.read(buildNfs3Arguments('READDIR', { ...place, count: wanted.count }));
    return NFS3_PROCEDURES.READDIR.decode(reader);
  }
  const { dircount = 8192, maxcount = 32_768 } = wanted;
  reader.read(buildNfs3Arguments('READDIRPLUS', { ...place, dircount, maxcount }));
  return NFS3_PROCEDURES.READDIRPLUS.decode(reader);
}

/** As many of `ones` as fit, and the result on the wire. */
function list(
  args: ReturnType<typeof argumentsOf>,
  ones: readonly One[],
  { directory, eof = true }: Listed = {},
) {
  const writer = new XdrWriter();
  writer.write(new Uint8Array(12 + listingResultBytes(args)).fill(0xee), 12);
  const entries = new Entries();
  entries.begin(writer, args);
  const took = ones.findIndex(
    ({ name, attributes, handle }, i) =>
      !entries.add(0xffff_ffff, i, name, 0, name.length, 0x7fff_ffff, i + 1, attributes, handle),
  );
  NFS3_PROCEDURES.READDIR.encode(writer, {
    status: 0,
    directory,
    verifierHigh: 0xdead_beef,
    verifierLow: 1,
    entries,
    eof,
  });
  return {
    took: took < 0 ? ones.length : took,
    count: entries.count,
    wire: writer.bytes.slice(12, writer.offset),
  };
}

const named = (name: string): One => ({
  name: new TextEncoder().encode(name),
  attributes: undefined,
  handle: undefined,
});

describe('READDIR', () => {
  it('is the bytes of RFC 1813', () => {
    expect(list(argumentsOf({ count: 4096 }), [named('a'), named('four')], { eof: false }).wire).toEqual(
      hex(`00000000 00000000 deadbeef 00000001
        00000001 ffffffff 00000000 00000001 61000000 7fffffff 00000001
        00000001 ffffffff 00000001 00000004 666f7572 7fffffff 00000002
        00000000 00000000`),
    );
  });

  it('is the bytes of RFC 1813 where nothing is left', () => {
    expect(list(argumentsOf({ count: 4096 }), []).wire).toEqual(
      hex('00000000 00000000 deadbeef 00000001 00000000 00000001'),
    );
  });

  it('stops before count is exceeded, and not earlier', () => {
    const ones = Array.from({ length: 100 }, (_, i) => named(`name-${i}`.padEnd(8, '.')));
    const entryBytes = 4 + 8 + 4 + 8 + 8;
    const around = 88 + 8 + 8;
    for (let fits = 0; fits < 5; fits++) {
      const count = around + fits * entryBytes;
      expect(list(argumentsOf({ count }), ones, { directory: FILE }).took).toBe(fits);
      expect(list(argumentsOf({ count: count + entryBytes - 1 }), ones, { directory: FILE }).took).toBe(fits);
      // The status is not counted.
      expect(list(argumentsOf({ count }), ones, { directory: FILE }).wire).toHaveLength(4 + count);
    }
  });

  it('takes no entry where count is nothing, and the answer has room even so', () => {
    expect(list(argumentsOf({ count: 0 }), [named('a')], { directory: FILE }).count).toBe(0);
  });

  it('gives no more than its limit for any count', () => {
    const name = new Uint8Array(255);
    const ones = Array.from({ length: 5000 }, () => ({ name, attributes: undefined, handle: undefined }));
    const { wire } = list(argumentsOf({ count: 0xffff_ffff }), ones);
    expect(wire.length).toBeLessThanOrEqual(4 + LISTING_BYTES_MAX);
    expect(wire.length).toBeGreaterThan(LISTING_BYTES_MAX - 400);
  });
});

describe('READDIRPLUS', () => {
  it('is the bytes of RFC 1813', () => {
    const one = { ...named('ab'), handle: Uint8Array.of(9, 8, 7) };
    expect(list(argumentsOf({}), [one, named('c')]).wire).toEqual(
      hex(`00000000 00000000 deadbeef 00000001
        00000001 ffffffff 00000000 00000002 61620000 7fffffff 00000001
          00000000 00000001 00000003 09080700
        00000001 ffffffff 00000001 00000001 63000000 7fffffff 00000002
          00000000 00000000
        00000000 00000001`),
    );
  });

  it('stops where names exceed dircount, but after one entry', () => {
    const ones = [named('aaaa'), named('bbbb'), named('cccc')];
    expect(list(argumentsOf({ dircount: 0 }), ones).took).toBe(1);
    expect(list(argumentsOf({ dircount: 28 }), ones).took).toBe(1);
    expect(list(argumentsOf({ dircount: 55 }), ones).took).toBe(1);
    expect(list(argumentsOf({ dircount: 56 }), ones).took).toBe(2);
  });

  it('is what a client reads, within maxcount', () => {
    const one = fc.record({
      name: fc.uint8Array({ maxLength: 255, size: 'max' }),
      attributes: postOpAttr,
      handle: fc.option(handle, { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 20 }), postOpAttr, fc.nat(4000), (ones, directory, maxcount) => {
        const args = argumentsOf({ maxcount, dircount: 0xffff_ffff });
        const { took, wire } = list(args, ones, { directory, eof: false });
        if (maxcount >= 104) expect(wire.length).toBeLessThanOrEqual(4 + maxcount);
        const reply = parseNfs3Results('READDIRPLUS', wire);
        expect(reply.eof).toBe(false);
        expect(reply.verifier).toBe(0xdead_beef_0000_0001n);
        expect(reply.entries).toHaveLength(took);
        for (const [i, entry] of reply.entries!.entries()) {
          expect(entry.name).toEqual(ones[i]!.name);
          expect(entry.handle).toEqual(ones[i]!.handle);
          expect(entry.cookie).toBe((0x7fff_ffffn << 32n) + BigInt(i + 1));
          expect(entry.attributes?.size).toBe(ones[i]!.attributes && BigInt(ones[i]!.attributes.size));
        }
      }),
    );
  });
});
