// The head of calls, credentials and replies without results, against bytes written by hand from RFC 5531.
import { describe, expect, it } from 'vitest';
import { MOUNT3 } from '../../../control/file/codec/mount.ts';
import { NFS3 } from '../../../control/file/codec/nfs3.ts';
import { NFSACL_PROGRAM } from '../../../control/file/codec/nfs3_constants.ts';
import { PORTMAP2, RPCBIND3, RPCBIND4 } from '../../../control/file/codec/portmap.ts';
import { Programs } from '../../../control/file/codec/procedure.ts';
import { XdrWriter } from '../../../control/file/codec/xdr.ts';
import { CallReader } from '../../../control/file/core/call_reader.ts';
import { buildCall } from '../../lib/nfs/rpc.ts';
import { hex } from './fixtures/hex.ts';

const PROGRAMS = new Programs([NFS3, MOUNT3]);
const NONE = '00000000 00000000';
const TO_NULL = '00000002 000186a3 00000003 00000000';
/** stamp, "mars", uid 1000, gid 100, gids 4 and 24. */
const AUTH_SYS = '00000001 00000020 12345678 00000004 6d617273 000003e8 00000064 00000002 00000004 00000018';

/** What is answered to a message; nothing to a call that is done. */
function answer(reader: CallReader, message: Uint8Array): Uint8Array | string | undefined {
  const refusal = reader.read(message, 0, message.length);
  if (refusal === undefined) return undefined;
  if (refusal === 'not a call') return refusal;
  const writer = new XdrWriter();
  writer.write(new Uint8Array(32).fill(0xee));
  reader.encodeRefusal(writer, refusal);
  return writer.bytes.slice(0, writer.offset);
}

const answered = (text: string) => answer(new CallReader(PROGRAMS), hex(text));

describe('a call', () => {
  it('is found by its numbers', () => {
    const reader = new CallReader(PROGRAMS);
    expect(answer(reader, hex(`00000007 00000000 ${TO_NULL} ${NONE} ${NONE}`))).toBeUndefined();
    expect(reader.procedure?.name).toBe('NULL');
    expect(reader.head.xid).toBe(7);
    expect(reader.head.credentials).toMatchObject({ flavor: 0, uid: 0xffff_ffff });
    const mnt = hex(
      `00000008 00000000 00000002 000186a5 00000003 00000001 ${NONE} ${NONE} 00000002 2f610000`,
    );
    expect(answer(reader, mnt)).toBeUndefined();
    expect(reader.procedure?.name).toBe('MNT');
    expect(reader.arguments).toEqual({ path: { offset: 44, length: 2 } });
    expect(reader.argumentsStart).toBe(40);
  });

  it('may have bytes behind its arguments', () => {
    expect(answered(`00000007 00000000 ${TO_NULL} ${NONE} ${NONE} deadbeef`)).toBeUndefined();
  });

  const MISMATCH_3_3 = '00000001 00000000 00000000 00000000 00000002 00000003 00000003';
  it.each([
    [
      'another version of RPC',
      `00000003 000186a3 00000003 00000000 ${NONE} ${NONE}`,
      '00000001 00000001 00000000 00000002 00000002',
    ],
    [
      'a program that is not served',
      `00000002 000186a4 00000003 00000000 ${NONE} ${NONE}`,
      '00000001 00000000 00000000 00000000 00000001',
    ],
    [
      'access control lists',
      `00000002 000${NFSACL_PROGRAM.toString(16)} 00000003 00000000 ${NONE} ${NONE}`,
      '00000001 00000000 00000000 00000000 00000001',
    ],
    ['NFS version 2', `00000002 000186a3 00000002 00000000 ${NONE} ${NONE}`, MISMATCH_3_3],
    ['NFS version 4', `00000002 000186a3 00000004 00000000 ${NONE} ${NONE}`, MISMATCH_3_3],
    ['MOUNT version 1', `00000002 000186a5 00000001 00000000 ${NONE} ${NONE}`, MISMATCH_3_3],
    [
      'procedure 22',
      `00000002 000186a3 00000003 00000016 ${NONE} ${NONE}`,
      '00000001 00000000 00000000 00000000 00000003',
    ],
    [
      'procedure 4294967295',
      `00000002 000186a3 00000003 ffffffff ${NONE} ${NONE}`,
      '00000001 00000000 00000000 00000000 00000003',
    ],
    [
      'arguments that are no arguments',
      `00000002 000186a3 00000003 00000001 ${NONE} ${NONE} 00000041`,
      '00000001 00000000 00000000 00000000 00000004',
    ],
    [
      'no arguments',
      `00000002 000186a3 00000003 00000001 ${NONE} ${NONE}`,
      '00000001 00000000 00000000 00000000 00000004',
    ],
    ['a head that ends', '00000002 000186a3 00000003', '00000001 00000000 00000000 00000000 00000004'],
    ['nothing but its type', '', '00000001 00000000 00000000 00000000 00000004'],
  ])('for %s is answered', (_, call, reply) => {
    expect(answered(`00000007 00000000 ${call}`)).toEqual(hex(`00000007 ${reply}`));
  });

  it.each([
    ['nothing', ''],
    ['half an xid', '0000'],
    ['an xid', '00000007'],
    ['a reply', `00000007 00000001 00000000 ${NONE} 00000000`],
    ['another type', `00000007 00000002 ${TO_NULL} ${NONE} ${NONE}`],
  ])('that is %s has no answer', (_, message) => {
    expect(answered(message)).toBe('not a call');
  });
});

describe('programs', () => {
  it('say the versions that there are', () => {
    const programs = new Programs([PORTMAP2, RPCBIND3, RPCBIND4]);
    expect(programs.find(100_000, 1, 0)).toEqual({ what: 'version', low: 2, high: 4 });
    expect(programs.find(100_000, 4, 9)).toMatchObject({ name: 'GETVERSADDR' });
    expect(programs.find(100_000, 3, 9)).toEqual({ what: 'procedure' });
    expect(programs.find(100_000, 4, 1)).toEqual({ what: 'procedure' });
    // CALLIT would make this node call others for strangers.
    expect(programs.find(100_000, 2, 5)).toEqual({ what: 'procedure' });
  });
});

describe('AUTH_SYS', () => {
  const call = (credentials: string, verifier = NONE) =>
    `00000007 00000000 ${TO_NULL} ${credentials} ${verifier}`;

  it('says who calls', () => {
    const reader = new CallReader(PROGRAMS);
    expect(answer(reader, hex(call(AUTH_SYS)))).toBeUndefined();
    expect(reader.head.credentials).toEqual({
      flavor: 1,
      machineName: 'mars',
      uid: 1000,
      gid: 100,
      gids: [4, 24],
    });
  });

  it('is one object for one caller, whatever the stamp, and another for another one', () => {
    const reader = new CallReader(PROGRAMS);
    const of = (uid: number, stamp: number, gids: number[] = []) => {
      const head = { xid: 1, program: 100_003, version: 3, procedure: 0, auth: { uid, gid: 1, stamp, gids } };
      expect(answer(reader, buildCall(head, new Uint8Array(0)))).toBeUndefined();
      return reader.head.credentials;
    };
    const first = of(1, 1);
    expect(of(1, 2)).toBe(first);
    expect(of(2, 2)).toMatchObject({ uid: 2 });
    expect(of(1, 3)).toBe(first);
    expect(of(1, 3, [5])).toMatchObject({ uid: 1, gids: [5] });
    // Many users do not make it grow: the first one is forgotten.
    for (let uid = 100; uid < 200; uid++) expect(of(uid, 1).uid).toBe(uid);
    expect(of(1, 1)).not.toBe(first);
    expect(of(1, 1)).toEqual(first);
  });

  it('takes names of 255 bytes and 16 groups, and no more', () => {
    const reader = new CallReader(PROGRAMS);
    const reply = (machine: string, groups: number) => {
      const auth = { uid: 1, gid: 1, machine, gids: Array.from({ length: groups }, (_, i) => i) };
      const head = { xid: 7, program: 100_003, version: 3, procedure: 0, auth };
      return answer(reader, buildCall(head, new Uint8Array(0)));
    };
    const BADCRED = hex('00000007 00000001 00000001 00000001 00000001');
    expect(reply('m'.repeat(255), 16)).toBeUndefined();
    expect(reader.head.credentials.gids).toHaveLength(16);
    expect(reply('m'.repeat(256), 0)).toEqual(BADCRED);
    expect(reply('m', 17)).toEqual(BADCRED);
  });

  it.each([
    ['over 400 bytes', `00000001 00000194 ${'00'.repeat(404)}`, 1],
    ['as long as memory', '00000001 ffffffff', 1],
    ['empty', '00000001 00000000', 1],
    ['cut', '00000001 00000010 12345678 00000000 00000001 00000001', 1],
    ['with a name longer than itself', '00000001 00000014 12345678 00000100 00000001 00000001 00000000', 1],
    ['with more groups than there are', '00000001 00000014 12345678 00000000 00000001 00000001 00000002', 1],
    ['with bytes left over', '00000001 00000018 12345678 00000000 00000001 00000001 00000000 00000000', 1],
    ['AUTH_NONE with a body', '00000000 00000004 00000000', 1],
    ['AUTH_SHORT', '00000002 00000004 00000000', 2],
    ['RPCSEC_GSS', '00000006 00000004 00000000', 2],
  ])('that is %s is refused', (_, credentials, authStat) => {
    expect(answered(call(credentials))).toEqual(
      hex(`00000007 00000001 00000001 00000001 0000000${authStat}`),
    );
  });

  it.each([
    ['AUTH_SYS', '00000001 00000000'],
    ['not empty', '00000000 00000004 00000000'],
  ])('with a verifier that is %s is refused', (_, verifier) => {
    expect(answered(call(AUTH_SYS, verifier))).toEqual(hex('00000007 00000001 00000001 00000001 00000003'));
  });

  it('leaves nothing behind when it is refused', () => {
    const reader = new CallReader(PROGRAMS);
    expect(answer(reader, hex(call('00000001 00000000')))).toBeDefined();
    expect(answer(reader, hex(call(AUTH_SYS)))).toBeUndefined();
    expect(reader.head.credentials.uid).toBe(1000);
  });
});
