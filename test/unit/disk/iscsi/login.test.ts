// Logging in: stages, who may, proofs of both sides, what is agreed, and how logins end that must not succeed.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type ChapHash, NO_GRANTS } from '../../../../control/disk/iscsi/core/ports.ts';
import { nodeCryptography } from '../../../lib/iscsi/cryptography.ts';
import {
  granting,
  type HostOptions,
  host,
  IN,
  INITIATOR,
  PORTAL,
  TARGET,
} from '../../../lib/iscsi/initiator.ts';
import { buildPdu, loginPdu, parsePairs, type TargetPdu, text } from '../../../lib/iscsi/wire.ts';

const WHO = { InitiatorName: INITIATOR, TargetName: TARGET };
const OPERATIONAL = { CSG: 1, NSG: 3 };
const bytes = (from: string): Uint8Array => new TextEncoder().encode(from);
const secret = { name: 'vm', secret: bytes('twelve bytes') };
const mutual = { name: 'target', secret: bytes('other twelve') };

const connect = (options?: HostOptions) => host(options).connect();
const pairsOf = (pdu: TargetPdu | undefined) => Object.fromEntries(parsePairs(pdu!.data));
const status = (pdus: readonly TargetPdu[]) => pdus.map(({ opcode, word36 }) => [opcode, word36 >>> 16]);

describe('a login', () => {
  it('goes through both stages to a session with a TSIH', () => {
    const one = connect();
    const [security] = one.say(loginPdu({ ...WHO, AuthMethod: 'CHAP,None' }));
    expect(security).toMatchObject({ opcode: IN.LOGIN, flags: 0x81, ITT: 7, TSIH: 0, word36: 0 });
    expect(parsePairs(security!.data)).toEqual([
      ['TargetPortalGroupTag', '1'],
      ['AuthMethod', 'None'],
    ]);
    expect(one.connection.session).toBeUndefined();
    const [operational] = one.say(loginPdu({ MaxRecvDataSegmentLength: 65_536 }, OPERATIONAL));
    expect(operational).toMatchObject({ opcode: IN.LOGIN, flags: 0x87, ITT: 7, TSIH: 1, word36: 0 });
    expect(parsePairs(operational!.data)).toEqual([['MaxRecvDataSegmentLength', '262144']]);
    expect(operational!.StatSN).toBe(security!.StatSN + 1);
    expect([operational!.ExpCmdSN, operational!.MaxCmdSN]).toEqual([100, 227]);
    expect(one.connection.session).toMatchObject({ initiatorName: INITIATOR, targetName: TARGET, TSIH: 1 });
    expect(one.connection.closing).toBeUndefined();
  });

  it('echoes the ISID', () => {
    const [answer] = connect().say(loginPdu(WHO, { isid: [0x80, 9, 8, 7, 6, 5] }));
    expect([...answer!.header.subarray(8, 14)]).toEqual([0x80, 9, 8, 7, 6, 5]);
  });

  it('answers without going on while the initiator has more to say', () => {
    const one = connect();
    const all = text({ ...WHO, HeaderDigest: 'CRC32C' });
    const first = { CSG: 1, transit: false, continues: true };
    const [empty] = one.say(loginPdu(all.subarray(0, 20), first));
    expect(empty).toMatchObject({ flags: 0x04, word36: 0, data: new Uint8Array(0) });
    const [answer] = one.say(loginPdu(all.subarray(20), OPERATIONAL));
    expect(pairsOf(answer)).toMatchObject({ HeaderDigest: 'CRC32C' });
    expect(one.connection.session).toBeDefined();
  });

  it.each([
    ['no initiator', { TargetName: TARGET }, {}, 0x0207],
    ['no target', { InitiatorName: INITIATOR }, {}, 0x0207],
    ['a name that is too long', { ...WHO, InitiatorName: 'i'.repeat(224) }, {}, 0x0207],
    ['an unknown target', { ...WHO, TargetName: 'iqn.x:y' }, {}, 0x0203],
    ['an unknown type of session', { ...WHO, SessionType: 'Boot' }, {}, 0x0209],
    ['a version to come', WHO, { versionMin: 1 }, 0x0205],
    ['a session that does not exist', WHO, { ...OPERATIONAL, TSIH: 9 }, 0x020a],
    ['a stage that is none', WHO, { CSG: 2, NSG: 3 }, 0x0200],
    ['a stage that is over before it begins', WHO, { CSG: 3, NSG: 3 }, 0x0200],
    ['a step back', WHO, { CSG: 1, NSG: 1 }, 0x0200],
    ['going on with more to say', WHO, { continues: true }, 0x0200],
    ['a length that is none', { ...WHO, MaxRecvDataSegmentLength: 100 }, OPERATIONAL, 0x0200],
    ['a key of another stage', { ...WHO, MaxBurstLength: 1024 }, {}, 0x0200],
    ['a proof nobody asked for', { ...WHO, CHAP_N: 'a', CHAP_R: '0x00' }, {}, 0x0200],
    ['authentication that is not configured', { ...WHO, AuthMethod: 'CHAP' }, {}, 0x0201],
    ['unknown authentication', { ...WHO, AuthMethod: 'KRB5' }, {}, 0x0201],
  ] as const)('ends with %s', (_, keys, fields, expected) => {
    const at = host();
    const one = at.connect();
    const answers = one.say(loginPdu(keys as Record<string, string>, fields));
    expect(status(answers)).toEqual([[IN.LOGIN, expected]]);
    expect(one.connection.closing).toBe('login failed');
    expect(one.connection.space()).toHaveLength(0);
    expect(at.sessions.count).toBe(0);
    expect(at.refused).toHaveLength(1);
  });

  it.each([
    ['text that is none', bytes('no text'), 0x0200],
    [
      'a key twice',
      bytes(`InitiatorName=a\0TargetName=${TARGET}\0HeaderDigest=None\0HeaderDigest=None\0`),
      0x0200,
    ],
    ['two names', bytes(`InitiatorName=a\0InitiatorName=b\0TargetName=${TARGET}\0`), 0x0200],
  ])('ends with %s', (_, data, expected) => {
    expect(status(connect().say(loginPdu(data, OPERATIONAL)))).toEqual([[IN.LOGIN, expected]]);
  });

  it('hears who speaks in each stage, if it is the same', () => {
    const one = connect();
    one.say(loginPdu({ ...WHO, AuthMethod: 'None' }));
    const [answer] = one.say(loginPdu({ ...WHO, SessionType: 'Normal' }, OPERATIONAL));
    expect(answer).toMatchObject({ word36: 0, TSIH: 1 });
    const other = connect();
    other.say(loginPdu({ ...WHO, AuthMethod: 'None' }));
    expect(status(other.say(loginPdu({ ...WHO, TargetName: 'iqn.x:y' }, OPERATIONAL)))).toEqual([
      [IN.LOGIN, 0x0200],
    ]);
  });

  it('ends when another session or connection goes on with it', () => {
    for (const change of [{ isid: [0, 0, 0, 0, 0, 1] }, { CID: 1 }, { TSIH: 3 }]) {
      const one = connect();
      one.say(loginPdu(WHO));
      expect(status(one.say(loginPdu({}, { ...OPERATIONAL, ...change })))).toEqual([[IN.LOGIN, 0x0200]]);
    }
  });

  it('ends with whatever is no login', () => {
    const one = connect();
    expect(status(one.say(buildPdu({ opcode: 0x01, ITT: 9 })))).toEqual([[IN.LOGIN, 0x020b]]);
    expect(one.connection.closing).toBe('login failed');
  });

  it('ends after requests without end, and after text without end', () => {
    const many = connect();
    const again = loginPdu(WHO, { transit: false });
    const answers = Array.from({ length: 33 }, () => many.say(again)).flat();
    expect(status(answers).at(-2)).toEqual([IN.LOGIN, 0]);
    expect(status(answers).at(-1)).toEqual([IN.LOGIN, 0x0200]);
    const long = connect();
    const piece = loginPdu(new Uint8Array(8192).fill(0x41), { transit: false, continues: true });
    const pieces = Array.from({ length: 9 }, () => long.say(piece)).flat();
    expect(status(pieces).slice(7)).toEqual([
      [IN.LOGIN, 0],
      [IN.LOGIN, 0x0200],
    ]);
  });

  it('ends when it takes too long', () => {
    const one = connect();
    one.say(loginPdu(WHO));
    expect(one.connection.deadlineMs).toBe(15_000);
    expect(one.connection.expire(14_999)).toBeUndefined();
    expect(one.connection.expire(15_000)).toBe('login too slow');
  });

  it('is refused to everybody as long as nobody is granted anything', () => {
    const options = { authority: NO_GRANTS };
    expect(status(connect(options).say(loginPdu(WHO)))).toEqual([[IN.LOGIN, 0x0203]]);
    const discovery = { InitiatorName: INITIATOR, SessionType: 'Discovery' };
    expect(status(connect(options).say(loginPdu(discovery)))).toEqual([[IN.LOGIN, 0x0202]]);
  });

  it('tells where a target is that moved', () => {
    const authority = {
      ...NO_GRANTS,
      authorize: () => ({ refused: 'TARGET_MOVED_TEMPORARILY', targetAddress: '192.0.2.9:3260' }) as const,
    };
    const [answer] = connect({ authority }).say(loginPdu(WHO));
    expect(answer!.word36 >>> 16).toBe(0x0101);
    expect(pairsOf(answer)).toEqual({ TargetAddress: '192.0.2.9:3260' });
  });

  it('asks for grants by who asks for what, and where', () => {
    const asked: unknown[] = [];
    const authority = {
      ...granting(),
      authorize: (...what: readonly unknown[]) => {
        asked.push(what);
        return { targetAlias: 'a disk' };
      },
    };
    const [answer] = connect({ authority }).say(loginPdu(WHO));
    expect(asked).toEqual([[INITIATOR, TARGET, PORTAL]]);
    expect(pairsOf(answer)).toMatchObject({ TargetAlias: 'a disk' });
  });
});

describe('what is agreed', () => {
  it.each([
    ['HeaderDigest', 'CRC32C,None', 'CRC32C'],
    ['HeaderDigest', 'None,CRC32C', 'None'],
    ['DataDigest', 'X-sum,CRC32C', 'CRC32C'],
    ['DataDigest', 'X-sum', 'Reject'],
    ['MaxConnections', '8', '1'],
    ['MaxConnections', '0', 'Reject'],
    ['InitialR2T', 'No', 'No'],
    ['InitialR2T', 'Yes', 'Yes'],
    ['InitialR2T', 'yes', 'Reject'],
    ['ImmediateData', 'Yes', 'Yes'],
    ['ImmediateData', 'No', 'No'],
    ['MaxBurstLength', '16776192', '1048576'],
    ['MaxBurstLength', '0x2000', '8192'],
    ['MaxBurstLength', '511', 'Reject'],
    ['FirstBurstLength', '16776192', '262144'],
    ['FirstBurstLength', '512', '512'],
    ['FirstBurstLength', 'many', 'Reject'],
    ['DefaultTime2Wait', '2', '2'],
    ['DefaultTime2Retain', '20', '0'],
    ['DefaultTime2Retain', '3601', 'Reject'],
    ['MaxOutstandingR2T', '1', '1'],
    ['MaxOutstandingR2T', '65535', '8'],
    ['DataPDUInOrder', 'No', 'Yes'],
    ['DataSequenceInOrder', 'Yes', 'Yes'],
    ['DataSequenceInOrder', 'maybe', 'Reject'],
    ['ErrorRecoveryLevel', '2', '0'],
    ['ErrorRecoveryLevel', '3', 'Reject'],
    ['iSCSIProtocolLevel', '2', '1'],
    ['TaskReporting', 'FastAbort,RFC3720', 'RFC3720'],
    ['TaskReporting', 'FastAbort', 'Reject'],
    ['IFMarker', 'No', 'Reject'],
    ['OFMarkInt', '1~2', 'Reject'],
    ['X-com.example.a', '1', 'NotUnderstood'],
    ['InitiatorAlias', 'one', undefined],
    ['X-com.example.b', 'NotUnderstood', undefined],
    ['ProtocolLevel', 'Irrelevant', undefined],
  ])('for %s=%s is %s', (key, offered, expected) => {
    const one = connect();
    const answer = one.logIn({ [key]: offered });
    expect(pairsOf(answer)[key]).toBe(expected);
  });

  it('keeps the first burst within a burst, in whatever order they are offered', () => {
    const answer = connect().logIn({ FirstBurstLength: 262_144, MaxBurstLength: 4096 });
    expect(pairsOf(answer)).toMatchObject({ FirstBurstLength: '4096', MaxBurstLength: '4096' });
  });

  it('is less in a discovery session', () => {
    const one = connect();
    const keys = {
      InitiatorName: INITIATOR,
      SessionType: 'Discovery',
      HeaderDigest: 'None',
      MaxBurstLength: 4096,
    };
    const [answer] = one.say(loginPdu(keys, OPERATIONAL));
    expect(parsePairs(answer!.data)).toEqual([
      ['HeaderDigest', 'None'],
      ['MaxBurstLength', 'Irrelevant'],
      ['MaxRecvDataSegmentLength', '262144'],
    ]);
  });
});

describe('CHAP', () => {
  const NUMBERS: readonly (readonly [ChapHash, number, string])[] = [
    ['MD5', 5, 'md5'],
    ['SHA-256', 7, 'sha256'],
    ['SHA3-256', 8, 'sha3-256'],
  ];

  /** RFC 1994, section 4.1. */
  function proof(hash: string, identifier: number, key: Uint8Array, challenge: string): string {
    const digest = createHash(hash).update(Uint8Array.of(identifier)).update(key);
    return `0x${digest.update(Buffer.from(challenge.slice(2), 'hex')).digest('hex')}`;
  }

  function challenged(options: HostOptions, algorithms: string) {
    const one = connect(options);
    const [chosen] = one.say(loginPdu({ ...WHO, AuthMethod: 'CHAP,None' }));
    expect(pairsOf(chosen)).toMatchObject({ AuthMethod: 'CHAP' });
    expect(chosen!.flags).toBe(0);
    const [asked] = one.say(loginPdu({ CHAP_A: algorithms }, { transit: false }));
    return { one, asked: asked!, keys: pairsOf(asked) };
  }

  it.each(NUMBERS)('lets in whoever knows the secret, by %s', (_, number, hash) => {
    const { one, keys } = challenged({ grant: { secret } }, String(number));
    expect(keys).toMatchObject({ CHAP_A: String(number), CHAP_C: expect.stringMatching(/^0x[0-9a-f]{64}$/) });
    const CHAP_R = proof(hash, Number(keys.CHAP_I), secret.secret, keys.CHAP_C!);
    const [answer] = one.say(loginPdu({ CHAP_N: 'vm', CHAP_R }));
    expect(answer).toMatchObject({ flags: 0x81, word36: 0, data: new Uint8Array(0) });
    expect(one.say(loginPdu({}, OPERATIONAL))).toMatchObject([{ flags: 0x87, word36: 0, TSIH: 1 }]);
  });

  it('takes the strongest of what the initiator can, whatever comes first', () => {
    const { keys } = challenged({ grant: { secret } }, '5,6,8,7');
    expect(keys.CHAP_A).toBe('8');
  });

  it('asks each one something else', () => {
    const challenges = [1, 2, 3].map(() => challenged({ grant: { secret } }, '5').keys.CHAP_C);
    expect(new Set(challenges).size).toBe(3);
  });

  it.each([
    ['another secret', 'vm', bytes('twelve bites')],
    ['another name', 'vn', secret.secret],
    ['no name', '', secret.secret],
    ['a longer name', 'vm2', secret.secret],
  ])('keeps out %s', (_, CHAP_N, key) => {
    const { one, keys } = challenged({ grant: { secret } }, '7');
    const CHAP_R = proof('sha256', Number(keys.CHAP_I), key, keys.CHAP_C!);
    expect(status(one.say(loginPdu({ CHAP_N, CHAP_R })))).toEqual([[IN.LOGIN, 0x0201]]);
  });

  it.each([
    ['algorithms that nobody may use', { CHAP_A: '6' }, 0x0201],
    ['no algorithm', { CHAP_N: 'vm', CHAP_R: '0x00' }, 0x0200],
  ])('keeps out %s', (_, keys, expected) => {
    const one = connect({ grant: { secret } });
    one.say(loginPdu({ ...WHO, AuthMethod: 'CHAP' }));
    expect(status(one.say(loginPdu(keys as Record<string, string>, { transit: false })))).toEqual([
      [IN.LOGIN, expected],
    ]);
  });

  it.each([
    ['no response', { CHAP_N: 'vm' }],
    ['a response that is none', { CHAP_N: 'vm', CHAP_R: 'none' }],
    ['a response without end', { CHAP_N: 'vm', CHAP_R: `0x${'00'.repeat(1025)}` }],
  ])('ends with %s', (_, keys) => {
    const { one } = challenged({ grant: { secret } }, '7');
    expect(status(one.say(loginPdu(keys as Record<string, string>)))).toEqual([[IN.LOGIN, 0x0200]]);
  });

  it.each([
    ['that offers no authentication', { ...WHO, AuthMethod: 'None' }, {}],
    ['that goes past it', WHO, {}],
    ['that begins behind it', WHO, OPERATIONAL],
    ['that begins behind it and goes nowhere', WHO, { CSG: 1, transit: false }],
    ['that wants all at once', WHO, { CSG: 0, NSG: 3 }],
  ])('keeps out an initiator %s', (_, keys, fields) => {
    expect(
      status(connect({ grant: { secret } }).say(loginPdu(keys as Record<string, string>, fields))),
    ).toEqual([[IN.LOGIN, 0x0201]]);
  });

  it('does not go on before the proof', () => {
    const { one, asked } = challenged({ grant: { secret } }, '7');
    expect(asked.flags).toBe(0);
    expect(status(one.say(loginPdu({}, OPERATIONAL)))).toEqual([[IN.LOGIN, 0x0200]]);
  });

  it('gives one try', () => {
    const { one, keys } = challenged({ grant: { secret } }, '7');
    one.say(loginPdu({ CHAP_N: 'vm', CHAP_R: '0x00' }));
    const CHAP_R = proof('sha256', Number(keys.CHAP_I), secret.secret, keys.CHAP_C!);
    expect(one.say(loginPdu({ CHAP_N: 'vm', CHAP_R }))).toEqual([]);
  });

  it('guards discovery, too', () => {
    const keys = { InitiatorName: INITIATOR, SessionType: 'Discovery', AuthMethod: 'None' };
    expect(status(connect({ grant: { secret } }).say(loginPdu(keys)))).toEqual([[IN.LOGIN, 0x0201]]);
  });

  describe('of the target', () => {
    const CHAP_C = `0x${'5a'.repeat(16)}`;
    const answering = (
      grant: HostOptions['grant'],
      more: (keys: Record<string, string>) => Record<string, string>,
    ) => {
      const { one, keys } = challenged(grant === undefined ? {} : { grant }, '7');
      const CHAP_R = proof('sha256', Number(keys.CHAP_I), secret.secret, keys.CHAP_C!);
      return one.say(loginPdu({ CHAP_N: 'vm', CHAP_R, ...more(keys) }));
    };

    it('is given to whoever has proved who it is and asks', () => {
      const [answer] = answering({ secret, mutual }, () => ({ CHAP_I: '33', CHAP_C }));
      expect(answer).toMatchObject({ flags: 0x81, word36: 0 });
      expect(pairsOf(answer)).toEqual({
        CHAP_N: 'target',
        CHAP_R: proof('sha256', 33, mutual.secret, CHAP_C),
      });
    });

    it('is not given for its own challenge', () => {
      const answers = answering({ secret, mutual }, (keys) => ({ CHAP_I: '33', CHAP_C: keys.CHAP_C! }));
      expect(status(answers)).toEqual([[IN.LOGIN, 0x0201]]);
    });

    it('is not given where there is none', () => {
      expect(status(answering({ secret }, () => ({ CHAP_I: '33', CHAP_C })))).toEqual([[IN.LOGIN, 0x0201]]);
    });

    it.each([{ CHAP_I: '33' }, { CHAP_C }, { CHAP_I: '256', CHAP_C }, { CHAP_I: '1', CHAP_C: '0x' }])(
      'is not given for %j',
      (keys) => {
        const answers = answering({ secret, mutual }, () => keys as Record<string, string>);
        expect(status(answers)).toEqual([[IN.LOGIN, 0x0200]]);
      },
    );
  });

  it('uses the numbers it is given', () => {
    const random = (count: number) => new Uint8Array(count).fill(0xa5);
    const { keys } = challenged({ grant: { secret }, cryptography: { ...nodeCryptography, random } }, '5');
    expect(keys).toEqual({ CHAP_A: '5', CHAP_I: '165', CHAP_C: `0x${'a5'.repeat(32)}` });
  });
});
