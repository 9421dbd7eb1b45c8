// Whatever the bytes on a connection of an iSCSI target: whole PDUs as answers, numbers that never go back, or the
// connection's end; never more memory than its limits say, and nothing left behind.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PduView } from '../../control/disk/iscsi/codec/pdu.ts';
import { encodeText, parseBinary, parseText } from '../../control/disk/iscsi/codec/text.ts';
import { FIRST_BURST_BYTES_MAX } from '../../control/disk/iscsi/core/limits.ts';
import { host, IN, INITIATOR, type Initiator, TARGET } from '../lib/iscsi/initiator.ts';
import { buildPdu, type Digests, loginPdu, NO_TAG, type TargetPdu, text } from '../lib/iscsi/wire.ts';

const long = process.argv.includes('--long');
const numRuns = long ? 200_000 : 10_000;

const u32 = fc.oneof(fc.nat(8), fc.constantFrom(NO_TAG, 0x8000_0000, 0xffff_fffe), fc.nat(0xffff_ffff));
/** Near where commands are numbered. */
const CmdSN = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 96, max: 112 }) },
  { weight: 1, arbitrary: u32 },
);
const ITT = fc.oneof({ weight: 8, arbitrary: fc.nat(6) }, { weight: 1, arbitrary: u32 });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.nat(3000).map((length) => new Uint8Array(length)),
);

interface Step {
  readonly fields: Readonly<Record<string, number>>;
  readonly data: Uint8Array;
  readonly ahs: Uint8Array;
}

const step: fc.Arbitrary<Step> = fc.record({
  fields: fc.record({
    opcode: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(0x00, 0x01, 0x02, 0x04, 0x05, 0x41, 0x42, 0x40, 0x44) },
      { weight: 1, arbitrary: fc.nat(255) },
    ),
    flags: fc.oneof(fc.constantFrom(0x80, 0xa1, 0x21, 0xc1, 0xe1, 0x81, 0x85), fc.nat(255)),
    ITT,
    TTT: fc.oneof(fc.constant(NO_TAG), fc.nat(6), fc.constantFrom(100, 4096, 1 << 20), u32),
    CmdSN,
    RefCmdSN: CmdSN,
    DataSN: fc.nat(2),
    offset: fc.oneof(fc.constant(0), fc.nat(5000)),
  }),
  data: bytes,
  ahs: fc.oneof(
    { weight: 9, arbitrary: fc.constant(new Uint8Array(0)) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 8, maxLength: 8 }) },
  ),
});

/** What else happens: a request is answered, the initiator answers an R2T, a byte is not what it was. */
const event = fc.oneof(
  { weight: 6, arbitrary: step.map((given) => ({ kind: 'say' as const, given })) },
  { weight: 3, arbitrary: fc.nat(20).map((which) => ({ kind: 'complete' as const, which })) },
  { weight: 3, arbitrary: fc.boolean().map((final) => ({ kind: 'data' as const, final })) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('spoil' as const),
      given: step,
      at: fc.nat(80),
      by: fc.nat(255),
    }),
  },
);

interface Numbers {
  StatSN: number;
  MaxCmdSN: number;
}

function judge(pdus: readonly TargetPdu[], numbers: Numbers): TargetPdu[] {
  for (const { opcode, flags, StatSN, ITT: tag, MaxCmdSN } of pdus) {
    expect(MaxCmdSN).toBeGreaterThanOrEqual(numbers.MaxCmdSN);
    numbers.MaxCmdSN = MaxCmdSN;
    const ping = opcode === IN.NOP && tag === NO_TAG;
    if (opcode === IN.R2T || ping || (opcode === IN.DATA && (flags & 1) === 0)) continue;
    expect(StatSN).toBe(numbers.StatSN);
    numbers.StatSN += 1;
  }
  return pdus.filter(({ opcode }) => opcode === IN.R2T);
}

/** Answers a request, whatever it is; gives whether there was one. */
function completeOne(one: Initiator, which: number): void {
  const request = one.requests[which % one.requests.length];
  if (request === undefined) return;
  one.requests.splice(one.requests.indexOf(request), 1);
  if (request.kind === 'task management') {
    one.connection.completeTaskManagement(request, which % 2 === 0 ? 0 : 255);
    return;
  }
  const dataIn = new Uint8Array(Math.min(request.dataInMax, 5000));
  one.connection.complete(request, {
    status: which % 3 === 0 ? 2 : 0,
    dataIn,
    ...(which % 3 === 0 && { sense: new Uint8Array(18) }),
    residual: request.dataInMax - dataIn.length,
  });
}

const session = fc.record({
  keys: fc.record({
    InitialR2T: fc.constantFrom('Yes', 'No'),
    ImmediateData: fc.constantFrom('Yes', 'No'),
    HeaderDigest: fc.constantFrom('None', 'CRC32C'),
    DataDigest: fc.constantFrom('None', 'CRC32C'),
    MaxRecvDataSegmentLength: fc.constantFrom(512, 8192),
    MaxBurstLength: fc.constantFrom(512, 4096),
    FirstBurstLength: fc.constantFrom(512, 2048),
    MaxOutstandingR2T: fc.constantFrom(1, 4),
  }),
  chunkBytes: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 200 })),
  events: fc.array(event, { maxLength: 40 }),
});

test('a session says what it may, and leaves nothing behind', () => {
  fc.assert(
    fc.property(session, ({ keys, chunkBytes, events }) => {
      const limits = { dataBytesPerInitiatorMax: 16 << 10 };
      const at = host({ limits });
      const one = at.connect();
      const { StatSN, MaxCmdSN } = one.logIn(keys);
      one.chunkBytes = chunkBytes;
      const numbers = { StatSN: StatSN + 1, MaxCmdSN };
      const { initiator } = one.connection.session!;
      const asked: TargetPdu[] = [];
      const digests: Digests = one.digests;
      for (const what of events) {
        if (one.connection.closing !== undefined) break;
        let said: TargetPdu[] = [];
        if (what.kind === 'complete') {
          completeOne(one, what.which);
          said = one.heard();
        } else if (what.kind === 'data') {
          const R2T = asked.shift();
          if (R2T === undefined) continue;
          const data = new Uint8Array(Math.min(R2T.word44, 8192));
          said = one.say(one.dataOut(R2T.ITT, R2T.TTT, 0, R2T.word40, data, what.final));
        } else {
          const { fields, data, ahs } = what.given;
          const pdu = buildPdu(fields, { data, ahs, digests });
          if (what.kind === 'spoil') pdu[what.at % pdu.length]! ^= what.by;
          said = one.say(pdu);
        }
        asked.push(...judge(said, numbers));
        // Unasked data of what is let in, and what was asked for.
        expect(initiator.dataBytes).toBeLessThan(
          limits.dataBytesPerInitiatorMax + 144 * FIRST_BURST_BYTES_MAX,
        );
        expect(one.connection.executing.size).toBeLessThanOrEqual(144);
      }
      one.connection.close();
      while (one.requests.length > 0) completeOne(one, 0);
      expect([initiator.dataBytes, one.connection.executing.size]).toEqual([0, 0]);
      expect([at.sessions.count, at.sessions.initiators.size, at.inputs.largeInUse]).toEqual([0, 0, 0]);
    }),
    { numRuns },
  );
});

const KEYS = [
  'InitiatorName',
  'TargetName',
  'SessionType',
  'AuthMethod',
  'CHAP_A',
  'CHAP_N',
  'CHAP_R',
  'CHAP_I',
  'CHAP_C',
  'HeaderDigest',
  'MaxBurstLength',
  'FirstBurstLength',
  'MaxRecvDataSegmentLength',
  'InitialR2T',
  'TaskReporting',
  'X-com.example',
];
const VALUES = [
  INITIATOR,
  TARGET,
  'Discovery',
  'CHAP,None',
  'None',
  '5',
  '7',
  '0x00',
  '0bAA==',
  'CRC32C',
  '512',
  'Yes',
];

test('a login without the secret never succeeds', () => {
  const pairs = fc.dictionary(fc.constantFrom(...KEYS), fc.oneof(fc.constantFrom(...VALUES), fc.string()), {
    maxKeys: 6,
  });
  const request = fc.record({
    pairs: fc.oneof(
      { weight: 4, arbitrary: pairs.map((those) => text(those as Record<string, string>)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) },
    ),
    fields: fc.record({
      CSG: fc.constantFrom(0, 0, 0, 1, 2, 3),
      NSG: fc.constantFrom(1, 1, 3, 3, 0),
      transit: fc.boolean(),
      continues: fc.boolean(),
      TSIH: fc.constantFrom(0, 0, 0, 1),
    }),
  });
  const grant = { secret: { name: INITIATOR, secret: new Uint8Array(16) } };
  const begin = loginPdu(
    { InitiatorName: INITIATOR, TargetName: TARGET, AuthMethod: 'CHAP' },
    { transit: false },
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(request, { maxLength: 6 }), (begun, requests) => {
      const at = host({ grant });
      const one = at.connect();
      if (begun) one.say(begin);
      for (const each of requests) {
        for (const { opcode } of one.say(loginPdu(each.pairs, each.fields))) expect(opcode).toBe(IN.LOGIN);
      }
      expect(one.connection.session).toBeUndefined();
      expect(at.sessions.count).toBe(0);
      one.connection.close();
    }),
    { numRuns },
  );
});

test('text is refused, or is what is written again', () => {
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc
      .array(fc.constantFrom('A', 'b', '=', '\0', 'ü', '.', '0'), { maxLength: 30 })
      .map((parts) => Buffer.from(parts.join(''))),
  );
  fc.assert(
    fc.property(input, (from) => {
      const pairs = parseText(from);
      if (pairs !== undefined) expect(parseText(encodeText(pairs))).toEqual(pairs);
    }),
    { numRuns },
  );
  fc.assert(
    fc.property(fc.string(), (value) => {
      const binary = parseBinary(value, 8);
      if (binary !== undefined) expect(binary.length).toBeLessThanOrEqual(8);
    }),
    { numRuns },
  );
});

test('additional header segments never lead outside the header', () => {
  const words = fc.uint8Array({ maxLength: 40 }).map((ahs) => ahs.subarray(0, ahs.length & ~3));
  fc.assert(
    fc.property(words, (ahs) => {
      const view = new PduView();
      // Exactly the header: a read behind it would throw.
      view.read(buildPdu({ opcode: 1 }, { ahs }), 0, 48 + ahs.length);
      expect(view.command()?.cdb.length ?? 16).toBeLessThanOrEqual(16 + ahs.length);
    }),
    { numRuns },
  );
});
