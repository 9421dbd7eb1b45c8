// MOUNT, the port mapper, names and errors of the host.
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { MOUNT_LIST_BYTES_MAX, MOUNT3, MOUNT3_PROCEDURES } from '../../../control/file/codec/mount.ts';
import { checkName, isDotOrDotDot, NFSSTAT3 } from '../../../control/file/codec/nfs3_constants.ts';
import { ERRNO_STATUSES, statusOfErrno } from '../../../control/file/codec/nfs3_errno.ts';
import { PORTMAP2_PROCEDURES, RPCBIND_PROCEDURES } from '../../../control/file/codec/portmap.ts';
import { type Procedure, Programs } from '../../../control/file/codec/procedure.ts';
import { type Span, XdrReader, XdrWriter } from '../../../control/file/codec/xdr.ts';
import {
  buildMapping,
  buildPath,
  buildRpcb,
  parseDump,
  parseExports,
  parseMappings,
  parseMnt,
  parseRpcbList,
} from '../../lib/nfs/other_programs.ts';
import { hex } from './fixtures/hex.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

// biome-ignore lint/suspicious/noExplicitAny: arguments and results of any procedure
type Any = Procedure<any, any>;

function encoded({ encode, resultBytesMax }: Any, result: unknown): Uint8Array {
  const writer = new XdrWriter();
  writer.write(new Uint8Array(resultBytesMax).fill(0xee));
  encode(writer, result);
  return writer.bytes.slice(0, writer.offset);
}

function decoded<Arguments>({ decode }: Procedure<Arguments, never>, wire: Uint8Array) {
  const reader = new XdrReader();
  reader.read(wire);
  const args = decode(reader);
  const at = ({ offset, length }: Span) => new TextDecoder().decode(wire.subarray(offset, offset + length));
  return { args, at, malformed: reader.malformed };
}

describe('MOUNT', () => {
  it('has the procedures of RFC 1813 at their numbers', () => {
    expect(MOUNT3.procedures.map((one) => one!.name)).toEqual([
      'NULL',
      'MNT',
      'DUMP',
      'UMNT',
      'UMNTALL',
      'EXPORT',
    ]);
    for (const [i, procedure] of MOUNT3.procedures.entries()) expect(procedure!.number).toBe(i);
  });

  it('reads a path, of 1,024 bytes at most', () => {
    const { args, at } = decoded(MOUNT3_PROCEDURES.MNT, hex('00000005 2f686f6d 65000000'));
    expect(at(args.path)).toBe('/home');
    expect(decoded(MOUNT3_PROCEDURES.UMNT, buildPath('x'.repeat(1024))).malformed).toBe(false);
    expect(decoded(MOUNT3_PROCEDURES.UMNT, buildPath('x'.repeat(1025))).malformed).toBe(true);
  });

  it('answers MNT with a handle and flavors, or a status', () => {
    const wire = encoded(MOUNT3_PROCEDURES.MNT, { status: 0, handle: Uint8Array.of(1, 2, 3), flavors: [1] });
    expect(wire).toEqual(hex('00000000 00000003 01020300 00000001 00000001'));
    expect(parseMnt(wire)).toEqual({ status: 0, handle: Uint8Array.of(1, 2, 3), flavors: [1] });
    expect(encoded(MOUNT3_PROCEDURES.MNT, { status: 13 })).toEqual(hex('0000000d'));
  });

  it('answers DUMP and EXPORT with lists', () => {
    const mounts = [{ hostname: text('mars'), directory: text('/a') }];
    const dump = encoded(MOUNT3_PROCEDURES.DUMP, { mounts });
    expect(dump).toEqual(hex('00000001 00000004 6d617273 00000002 2f610000 00000000'));
    expect(parseDump(dump)).toEqual([{ hostname: 'mars', directory: '/a' }]);
    const exports = [
      { directory: text('/a'), groups: [text('10.0.0.0/8'), text('m')] },
      { directory: text('/b'), groups: [] },
    ];
    const list = encoded(MOUNT3_PROCEDURES.EXPORT, { exports });
    expect(list).toEqual(
      hex(`00000001 00000002 2f610000
          00000001 0000000a 31302e30 2e302e30 2f380000 00000001 00000001 6d000000 00000000
        00000001 00000002 2f620000 00000000 00000000`),
    );
    expect(parseExports(list)).toEqual([
      { directory: '/a', groups: ['10.0.0.0/8', 'm'] },
      { directory: '/b', groups: [] },
    ]);
  });

  it('cuts lists that are too long between two of their items', () => {
    const exports = Array.from({ length: 20_000 }, (_, i) => ({
      directory: text(`/${i}`),
      groups: [text('*')],
    }));
    const list = encoded(MOUNT3_PROCEDURES.EXPORT, { exports });
    expect(list.length).toBeGreaterThan(MOUNT_LIST_BYTES_MAX - 64);
    expect(parseExports(list).length).toBeLessThan(20_000);
    const mounts = Array.from({ length: 30_000 }, (_, i) => ({
      hostname: text(`${i}`),
      directory: text('/a'),
    }));
    expect(parseDump(encoded(MOUNT3_PROCEDURES.DUMP, { mounts })).length).toBeGreaterThan(15_000);
  });
});

describe('the port mapper', () => {
  const mapping = { program: 100_003, version: 3, protocol: 6, port: 2049 };

  it('reads what is asked for', () => {
    const wire = hex('000186a3 00000003 00000006 00000801');
    expect(buildMapping(mapping)).toEqual(wire);
    expect(decoded(PORTMAP2_PROCEDURES.GETPORT, wire).args).toEqual(mapping);
    const rpcb = hex('000186a3 00000003 00000004 74637036 00000000 00000001 78000000');
    expect(buildRpcb({ program: 100_003, version: 3, netid: 'tcp6', address: '', owner: 'x' })).toEqual(rpcb);
    const { args, at } = decoded(RPCBIND_PROCEDURES.GETADDR, rpcb);
    expect([args.program, args.version, at(args.netid), at(args.owner)]).toEqual([100_003, 3, 'tcp6', 'x']);
  });

  it('answers with a port, an address or lists', () => {
    expect(encoded(PORTMAP2_PROCEDURES.GETPORT, { port: 2049 })).toEqual(hex('00000801'));
    expect(encoded(PORTMAP2_PROCEDURES.SET, { done: false })).toEqual(hex('00000000'));
    expect(encoded(RPCBIND_PROCEDURES.GETADDR, { address: text('::.8.1') })).toEqual(
      hex('00000006 3a3a2e38 2e310000'),
    );
    const dump = encoded(PORTMAP2_PROCEDURES.DUMP, { mappings: [mapping] });
    expect(dump).toEqual(hex('00000001 000186a3 00000003 00000006 00000801 00000000'));
    expect(parseMappings(dump)).toEqual([mapping]);
    const one = { program: 100_005, version: 3, netid: 'tcp', address: '0.0.0.0.8.1', owner: 'superuser' };
    const mappings = [{ ...one, netid: text('tcp'), address: text(one.address), owner: text(one.owner) }];
    expect(parseRpcbList(encoded(RPCBIND_PROCEDURES.DUMP, { mappings }))).toEqual([one]);
  });

  it('says where nothing is mapped', () => {
    expect(encoded(RPCBIND_PROCEDURES.GETADDR, { address: text('') })).toEqual(hex('00000000'));
  });

  it('never exceeds what its table says', () => {
    const long = text('x'.repeat(100));
    const mappings = Array.from({ length: 100 }, () => ({
      ...mapping,
      netid: long,
      address: long,
      owner: long,
    }));
    expect(parseMappings(encoded(PORTMAP2_PROCEDURES.DUMP, { mappings }))).toHaveLength(64);
    expect(encoded(RPCBIND_PROCEDURES.DUMP, { mappings })).toHaveLength(
      RPCBIND_PROCEDURES.DUMP.resultBytesMax,
    );
  });
});

describe('programs', () => {
  it('say how long the longest reply is', () => {
    expect(new Programs([MOUNT3]).replyBytesMax).toBe(28 + MOUNT_LIST_BYTES_MAX);
  });
});

describe('a name', () => {
  const check = (name: Uint8Array) => checkName(name, 0, name.length);

  it.each([
    ['.', 'NFS3_OK'],
    ['..', 'NFS3_OK'],
    ['a b', 'NFS3_OK'],
    ['x'.repeat(255), 'NFS3_OK'],
    ['x'.repeat(256), 'NFS3ERR_NAMETOOLONG'],
    ['', 'NFS3ERR_ACCES'],
    ['a/b', 'NFS3ERR_ACCES'],
    ['/', 'NFS3ERR_ACCES'],
    ['a\0', 'NFS3ERR_ACCES'],
    ['\0', 'NFS3ERR_ACCES'],
  ] as const)('%j is %s', (name, status) => {
    expect(check(text(name))).toBe(NFSSTAT3[status]);
  });

  it('may be any other bytes', () => {
    expect(check(Uint8Array.of(0xff, 0xc0, 0x80, 0x01))).toBe(NFSSTAT3.NFS3_OK);
  });

  it('is looked at only where it lies', () => {
    expect(checkName(text('/ab/'), 1, 2)).toBe(NFSSTAT3.NFS3_OK);
    expect(isDotOrDotDot(text('a..a'), 1, 2)).toBe(true);
  });

  it('may be a dot or two', () => {
    const dots = (name: string) => isDotOrDotDot(text(name), 0, name.length);
    expect(['.', '..'].map(dots)).toEqual([true, true]);
    expect(['', '...', '.a', 'a.', 'a', '.\0'].map(dots)).toEqual([false, false, false, false, false, false]);
  });
});

describe('errors of the host', () => {
  it('have the numbers of Linux', () => {
    const numbers: Record<string, number> = constants.errno;
    for (const [name, errno] of ERRNO_STATUSES)
      if (numbers[name] !== undefined) expect([name, errno]).toEqual([name, numbers[name]]);
    expect(new Set(ERRNO_STATUSES.map(([, errno]) => errno)).size).toBe(ERRNO_STATUSES.length);
  });

  it.each([
    ['ENOSPC', 28, 'NFS3ERR_NOSPC'],
    ['EROFS', 30, 'NFS3ERR_ROFS'],
    ['EDQUOT', 122, 'NFS3ERR_DQUOT'],
    ['ESTALE', 116, 'NFS3ERR_STALE'],
    ['ENOTEMPTY', 39, 'NFS3ERR_NOTEMPTY'],
    ['EIO', 5, 'NFS3ERR_IO'],
    ['ETIMEDOUT', 110, 'NFS3ERR_JUKEBOX'],
    ['an unknown one', 4095, 'NFS3ERR_IO'],
    ['none', 0, 'NFS3ERR_IO'],
  ] as const)('%s (%i) is %s', (_, errno, status) => {
    expect(statusOfErrno(errno)).toBe(NFSSTAT3[status]);
  });
});
