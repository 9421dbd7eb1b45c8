// Results of NFS version 3 against bytes written by hand and against the client of test/lib/nfs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NFS3_PROCEDURES, type Nfs3Name } from '../../../control/file/codec/nfs3.ts';
import type { Fattr3, WccAttr, WccData } from '../../../control/file/codec/nfs3_attributes.ts';
import { NFSSTAT3, TRANSFER_BYTES_MAX } from '../../../control/file/codec/nfs3_constants.ts';
import {
  type ReadResult,
  readDataOffset,
  readResultBytes,
} from '../../../control/file/codec/nfs3_results.ts';
import { XdrWriter } from '../../../control/file/codec/xdr.ts';
import { fattr3, handle, postOpAttr, wccData } from '../../lib/nfs/arbitraries.ts';
import {
  type Attributes,
  type Nfs3Reply,
  parseNfs3Results,
  type RepliedName,
  type Wcc,
} from '../../lib/nfs/nfs3_replies.ts';
import { hex } from './fixtures/hex.ts';
import { FILE, RESULT_FIXTURES } from './fixtures/nfs3_results.ts';

/** A slab that held other things. */
function dirty(bytes: number, offset = 0): XdrWriter {
  const writer = new XdrWriter();
  writer.write(new Uint8Array(bytes).fill(0xee), offset);
  return writer;
}

function encoded(name: Nfs3Name, result: unknown): Uint8Array {
  const { encode, resultBytesMax } = NFS3_PROCEDURES[name];
  const writer = dirty(resultBytesMax + 8, 8);
  (encode as (writer: XdrWriter, result: unknown) => void)(writer, result);
  return writer.bytes.slice(8, writer.offset);
}

describe('results', () => {
  it('have a fixture for every procedure', () => {
    const elsewhere = ['NULL', 'READ', 'READDIR', 'READDIRPLUS'];
    expect(new Set([...RESULT_FIXTURES.map(([name]) => name), ...elsewhere])).toEqual(
      new Set(Object.keys(NFS3_PROCEDURES)),
    );
  });

  it.each(RESULT_FIXTURES)('of %s: %s', (name, _, result, wire) => {
    expect(encoded(name, result)).toEqual(wire);
  });

  it.each(RESULT_FIXTURES)('of %s (%s) are what a client takes', (name, _, result) => {
    expect(parseNfs3Results(name, encoded(name, result)).status).toBe(result.status);
  });
});

const big = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);

function attributesOf(file: Fattr3): Attributes {
  return {
    type: file.type,
    mode: file.mode,
    nlink: file.nlink,
    uid: file.uid,
    gid: file.gid,
    size: BigInt(file.size),
    used: BigInt(file.used),
    rdev: [file.rdevMajor, file.rdevMinor],
    fsid: big(file.fsidHigh, file.fsidLow),
    fileid: big(file.fileidHigh, file.fileidLow),
    atime: { seconds: file.atimeSeconds, nanoseconds: file.atimeNanoseconds },
    mtime: { seconds: file.mtimeSeconds, nanoseconds: file.mtimeNanoseconds },
    ctime: { seconds: file.ctimeSeconds, nanoseconds: file.ctimeNanoseconds },
  };
}

function beforeOf(file: WccAttr) {
  return {
    size: BigInt(file.size),
    mtime: { seconds: file.mtimeSeconds, nanoseconds: file.mtimeNanoseconds },
    ctime: { seconds: file.ctimeSeconds, nanoseconds: file.ctimeNanoseconds },
  };
}

const wccOf = ({ before, after }: WccData): Wcc => ({
  before: before && beforeOf(before),
  after: after && attributesOf(after),
});

function client<Name extends RepliedName>(name: Name, result: unknown): Nfs3Reply<Name> {
  return parseNfs3Results(name, encoded(name, result));
}

describe('a client reads', () => {
  const status = fc.constantFrom(...Object.values(NFSSTAT3));

  it('any attributes', () => {
    fc.assert(
      fc.property(fattr3, (file) => {
        expect(client('GETATTR', { status: 0, attributes: file })).toEqual({
          status: 0,
          attributes: attributesOf(file),
        });
      }),
    );
  });

  it('any attributes of before and after, and within the size that the table says', () => {
    fc.assert(
      fc.property(status, wccData, wccData, (one, from, to) => {
        const expected = { status: one, from: wccOf(from), to: wccOf(to) };
        expect(client('RENAME', { status: one, from, to })).toEqual(expected);
      }),
    );
  });

  it('any handles, with attributes or without', () => {
    fc.assert(
      fc.property(fc.option(handle, { nil: undefined }), postOpAttr, wccData, (made, file, wcc) => {
        expect(client('CREATE', { status: 0, handle: made, attributes: file, wcc })).toEqual({
          status: 0,
          handle: made,
          attributes: file && attributesOf(file),
          wcc: wccOf(wcc),
        });
      }),
    );
  });

  it('the largest results that there are', () => {
    const wcc = { before: FILE, after: FILE };
    const long = new Uint8Array(64);
    const full: [RepliedName, unknown][] = [
      ['GETATTR', { status: 0, attributes: FILE }],
      ['SETATTR', { status: 0, wcc }],
      ['LOOKUP', { status: 0, handle: long, attributes: FILE, directory: FILE }],
      ['READLINK', { status: 0, attributes: FILE, path: new Uint8Array(4096) }],
      ['CREATE', { status: 0, handle: long, attributes: FILE, wcc }],
      ['RENAME', { status: 0, from: wcc, to: wcc }],
      ['LINK', { status: 0, attributes: FILE, wcc }],
    ];
    for (const [name, result] of full)
      expect(encoded(name, result)).toHaveLength(NFS3_PROCEDURES[name].resultBytesMax);
  });
});

describe('READ', () => {
  const data = Uint8Array.from({ length: 4099 }, (_, i) => i * 7);

  function read(result: ReadResult, writer = dirty(readResultBytes(data.length) + 4, 4)): Uint8Array {
    const at = writer.offset;
    if (result.status === 0) writer.bytes.set(data.subarray(0, result.count), readDataOffset(writer));
    NFS3_PROCEDURES.READ.encode(writer, result);
    return writer.bytes.slice(at, writer.offset);
  }

  it.each([0, 1, 3, 4, 5, 4096, 4097, 4099])('sends %i bytes from where they were read to', (count) => {
    for (const attributes of [FILE, undefined])
      expect(parseNfs3Results('READ', read({ status: 0, attributes, count, eof: count < 100 }))).toEqual({
        status: 0,
        attributes: attributes && attributesOf(attributes),
        count,
        eof: count < 100,
        data: data.slice(0, count),
      });
  });

  it('is the bytes of RFC 1813', () => {
    expect(read({ status: 0, attributes: undefined, count: 5, eof: true })).toEqual(
      hex('00000000 00000000 00000005 00000001 00000005 00070e15 1c000000'),
    );
    expect(read({ status: 5, attributes: undefined })).toEqual(hex('00000005 00000000'));
  });

  it('takes no more room than it says', () => {
    for (const count of [0, 1, 4096, TRANSFER_BYTES_MAX]) {
      const writer = dirty(readResultBytes(count));
      NFS3_PROCEDURES.READ.encode(writer, { status: 0, attributes: FILE, count, eof: false });
      expect(writer.offset).toBe(readResultBytes(count));
    }
    expect(readResultBytes(0xffff_ffff)).toBe(NFS3_PROCEDURES.READ.resultBytesMax);
  });
});
