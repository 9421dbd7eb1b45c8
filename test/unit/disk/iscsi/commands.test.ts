// Full feature phase: commands, data for the initiator, residuals, numbering, digests, and what is rejected.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Command, CommandResult } from '../../../../control/disk/iscsi/core/command.ts';
import { counted, type HostOptions, host, IN, INITIATOR, READ, WRITE } from '../../../lib/iscsi/initiator.ts';
import { ISID, NO_TAG, type TargetPdu } from '../../../lib/iscsi/wire.ts';

const GOOD = { status: 0, residual: 0 };

function ready(keys: Readonly<Record<string, string | number>> = {}, options?: HostOptions) {
  const at = host(options);
  const one = at.connect();
  one.logIn(keys);
  return { ...at, one };
}

const opcodes = (pdus: readonly TargetPdu[]) => pdus.map(({ opcode }) => opcode);

/** Key, ASC, ASCQ of fixed sense data behind its length. */
const senseOf = ({ data }: TargetPdu) => [data[0], data[1], data[2 + 2], data[2 + 12], data[2 + 13]];

describe('a command without data', () => {
  it('is handed out with all that it says, and answered', () => {
    const { one } = ready();
    const cdb = counted(16, 1);
    expect(one.say(one.command({ flags: 0x82, ITT: 0x77, lun: [0, 5, 0, 0, 0, 0, 0, 0], cdb }))).toEqual([]);
    const [command] = one.commands;
    expect(command).toMatchObject({
      kind: 'command',
      initiator: { name: INITIATOR, isid: Uint8Array.from(ISID) },
      lun: 5,
      cdb,
      dataInMax: 0,
      attribute: 'ordered',
      aborted: false,
    });
    expect(command!.dataOut).toHaveLength(0);
    expect(one.connection.executing.size).toBe(1);
    expect(one.connection.complete(command!, GOOD)).toBe(true);
    const [answer] = one.heard();
    expect(answer).toMatchObject({
      opcode: IN.RESPONSE,
      flags: 0x80,
      byte2: 0,
      byte3: 0,
      ITT: 0x77,
      word36: 0,
      word44: 0,
    });
    expect(answer!.data).toHaveLength(0);
    expect(one.connection.executing.size).toBe(0);
  });

  it('has its sense data in the answer', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81 }));
    const sense = counted(18, 0x70);
    one.connection.complete(one.commands[0]!, { status: 2, sense, residual: 0 });
    const [answer] = one.heard();
    expect(answer).toMatchObject({ opcode: IN.RESPONSE, byte3: 2 });
    expect([...answer!.data]).toEqual([0, 18, ...sense]);
  });

  it.each([
    [0, 'simple'],
    [1, 'simple'],
    [2, 'ordered'],
    [3, 'head'],
    [4, 'simple'],
  ])('has the attribute of ATTR %i: %s', (ATTR, attribute) => {
    const { one } = ready();
    one.say(one.command({ flags: 0x80 | ATTR }));
    expect(one.commands[0]).toMatchObject({ attribute });
  });

  it('has a reference that no other command has', () => {
    const at = host();
    const references = [1, 2].flatMap((number) => {
      const one = at.connect();
      one.logIn({}, { isid: [0, 0, 0, 0, 0, number] });
      one.say(one.command({ flags: 0x81 }), one.command({ flags: 0x81 }));
      return one.commands.map(({ reference }) => reference);
    });
    expect(new Set(references).size).toBe(4);
    expect(references[1]! - references[0]!).toBe(1n);
    for (const reference of references) expect(reference).toBeLessThan(2n ** 64n);
  });

  it('is answered once', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81 }));
    one.connection.complete(one.commands[0]!, GOOD);
    expect(() => one.connection.complete(one.commands[0]!, GOOD)).toThrow('answered already');
  });
});

describe('data for the initiator', () => {
  function read(
    keys: Readonly<Record<string, string | number>>,
    EDTL: number,
    result: CommandResult,
  ): TargetPdu[] {
    const { one } = ready(keys);
    one.say(one.command({ flags: READ, EDTL, ITT: 0x99 }));
    expect(one.commands[0]).toMatchObject({ dataInMax: EDTL });
    one.connection.complete(one.commands[0]!, result);
    return one.heard();
  }

  it('has the status with it', () => {
    const dataIn = counted(512);
    const [answer, ...more] = read({}, 512, { status: 0, dataIn, residual: 0 });
    expect(more).toEqual([]);
    expect(answer).toMatchObject({
      opcode: IN.DATA,
      flags: 0x81,
      byte3: 0,
      ITT: 0x99,
      TTT: NO_TAG,
      data: dataIn,
    });
    expect(answer).toMatchObject({ word36: 0, word40: 0, word44: 0 });
  });

  it('goes in PDUs that the initiator takes and in sequences as agreed', () => {
    const dataIn = counted(2600);
    const keys = { MaxRecvDataSegmentLength: 600, MaxBurstLength: 1024 };
    const pdus = read(keys, 2600, { status: 0, dataIn, residual: 0 });
    expect(pdus.map(({ data, flags, word36, word40 }) => [word36, word40, data.length, flags])).toEqual([
      [0, 0, 600, 0x00],
      [1, 600, 424, 0x80],
      [2, 1024, 600, 0x00],
      [3, 1624, 424, 0x80],
      [4, 2048, 552, 0x81],
    ]);
    expect(Buffer.concat(pdus.map(({ data }) => data)).equals(dataIn)).toBe(true);
  });

  it('that is larger than any buffer arrives whole, with digests', () => {
    const dataIn = counted(1_000_001);
    const { one } = ready({
      MaxRecvDataSegmentLength: 262_144,
      HeaderDigest: 'CRC32C',
      DataDigest: 'CRC32C',
    });
    one.say(one.command({ flags: READ, EDTL: dataIn.length }));
    one.connection.complete(one.commands[0]!, { status: 0, dataIn, residual: 0 });
    const pdus = one.heard();
    expect(opcodes(pdus)).toEqual(Array(4).fill(IN.DATA));
    expect(Buffer.concat(pdus.map(({ data }) => data)).equals(dataIn)).toBe(true);
  });

  it.each([
    ['less than was expected', 512, { status: 0, dataIn: counted(100), residual: 412 }, 0x83, 412],
    ['more than was expected', 100, { status: 0, dataIn: counted(100), residual: -412 }, 0x85, 412],
  ] as const)('says how much it is %s', (_, EDTL, result, flags, residual) => {
    expect(read({}, EDTL, result)).toMatchObject([{ opcode: IN.DATA, flags, word44: residual }]);
  });

  it('that there is none of is a residual', () => {
    expect(read({}, 512, { status: 0, residual: 512 })).toMatchObject([
      { opcode: IN.RESPONSE, flags: 0x82, word44: 512 },
    ]);
  });

  it('with a status that is not good has its answer apart', () => {
    const pdus = read({}, 512, { status: 2, dataIn: counted(100), sense: counted(18), residual: 412 });
    expect(opcodes(pdus)).toEqual([IN.DATA, IN.RESPONSE]);
    expect(pdus[0]).toMatchObject({ flags: 0x80, StatSN: 0, word44: 0 });
    // ExpDataSN is the count of Data-Ins.
    expect(pdus[1]).toMatchObject({ flags: 0x82, byte3: 2, word36: 1, word44: 412 });
  });

  it('is never promised beyond what one command may have', () => {
    const { one } = ready();
    one.say(one.command({ flags: READ, EDTL: 0xffff_ffff }));
    expect(one.commands[0]!.dataInMax).toBe(16 << 20);
    one.connection.complete(one.commands[0]!, { status: 0, dataIn: counted(10), residual: (16 << 20) - 10 });
    expect(one.heard()).toMatchObject([{ flags: 0x83, word44: 0xffff_ffff - 10 }]);
  });

  it('of many commands waits until that of others is taken', () => {
    const { one } = ready();
    const reads = Array.from({ length: 10 }, () => one.command({ flags: READ, EDTL: 1 << 20 }));
    one.say(...reads);
    expect(one.commands).toHaveLength(8);
    one.connection.complete(one.commands[0]!, { ...GOOD, residual: 1 << 20 });
    one.heard();
    expect(one.commands).toHaveLength(9);
  });
});

describe('numbers of commands', () => {
  it('move on with what comes, and let in as many as are answered', () => {
    const { one } = ready();
    const before = one.say(one.pdu({ opcode: 0x40, ITT: 1 }))[0]!;
    expect([before.ExpCmdSN, before.MaxCmdSN]).toEqual([100, 227]);
    one.say(one.command({ flags: 0x81 }), one.command({ flags: 0x81 }));
    const during = one.say(one.pdu({ opcode: 0x40, ITT: 1 }))[0]!;
    expect([during.ExpCmdSN, during.MaxCmdSN]).toEqual([102, 227]);
    one.connection.complete(one.commands[1]!, GOOD);
    const [after] = one.heard();
    expect([after!.ExpCmdSN, after!.MaxCmdSN]).toEqual([102, 228]);
  });

  it('go on behind 2^32', () => {
    const one = host().connect();
    one.CmdSN = 0xffff_fffe;
    one.logIn();
    one.say(...Array.from({ length: 4 }, () => one.command({ flags: 0x81 })));
    expect(one.commands).toHaveLength(4);
  });

  it('that are not let in are ignored', () => {
    const { one } = ready();
    for (const CmdSN of [99, 228, 100 + 2 ** 31])
      expect(one.say(one.pdu({ opcode: 1, flags: 0x81, CmdSN }))).toEqual([]);
    expect(one.commands).toEqual([]);
    expect(one.connection.closing).toBeUndefined();
  });

  it('let in no more than there is room for', () => {
    const { one } = ready();
    one.say(...Array.from({ length: 200 }, () => one.command({ flags: 0x81 })));
    expect(one.commands).toHaveLength(128);
    for (const command of one.commands) one.connection.complete(command, GOOD);
    const last = one.heard().at(-1)!;
    expect([last.ExpCmdSN, last.MaxCmdSN]).toEqual([228, 355]);
  });

  it('decide the order, whatever comes first', () => {
    const { one } = ready({ InitialR2T: 'No' });
    const pdus = [0, 1, 2, 3].map((at) => one.command({ flags: 0x81, cdb: [at], ITT: at }));
    const write = one.command({ flags: 0x21, cdb: [4], EDTL: 10, ITT: 4 });
    const nop = one.pdu({ opcode: 0x00, ITT: 99, CmdSN: 105 }, { data: counted(5) });
    expect(
      one.say(pdus[3]!, nop, pdus[1]!, write, one.dataOut(4, NO_TAG, 0, 0, counted(10)), pdus[2]!),
    ).toEqual([]);
    expect(one.commands).toEqual([]);
    const [echo] = one.say(pdus[0]!);
    expect(one.commands.map(({ cdb }) => cdb[0])).toEqual([0, 1, 2, 3, 4]);
    expect(one.commands[4]!.dataOut).toEqual(counted(10));
    expect(echo).toMatchObject({ opcode: IN.NOP, ITT: 99, data: counted(5), ExpCmdSN: 106 });
  });

  it('that come twice before their turn count once', () => {
    const { one } = ready();
    const first = one.command({ flags: 0x81 });
    const second = one.command({ flags: 0x81 });
    one.say(second, second, first);
    expect(one.commands).toHaveLength(2);
  });

  it('before their turn end the connection when they are too many bytes', () => {
    const { one } = ready();
    one.CmdSN += 1;
    const pdus = Array.from({ length: 20 }, (_, at) =>
      one.pdu({ opcode: 0x00, ITT: at, CmdSN: 101 + at }, { data: counted(100_000) }),
    );
    one.say(...pdus);
    expect(one.connection.closing).toBe('commands out of order');
  });

  it('are not those of immediate commands', () => {
    const { one } = ready();
    one.say(one.pdu({ opcode: 0x41, flags: 0x81, ITT: 1, CmdSN: 5 }));
    expect(one.commands).toHaveLength(1);
    one.connection.complete(one.commands[0]!, GOOD);
    expect(one.heard()).toMatchObject([{ ExpCmdSN: 100, MaxCmdSN: 227 }]);
  });

  it('of immediate commands are bounded otherwise', () => {
    const { one } = ready();
    const pdus = Array.from({ length: 17 }, (_, at) => one.pdu({ opcode: 0x41, flags: 0x81, ITT: at }));
    expect(one.say(...pdus)).toMatchObject([
      { opcode: IN.REJECT, byte2: 0x06, data: pdus[16]!.subarray(0, 48) },
    ]);
    expect(one.commands).toHaveLength(16);
    one.connection.complete(one.commands[0]!, GOOD);
    one.say(pdus[0]!);
    expect(one.commands).toHaveLength(17);
  });
});

describe('digests', () => {
  const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C', ImmediateData: 'No' };
  const spoiled = (pdu: Uint8Array, at: number) => pdu.with(at, pdu[at]! ^ 0x10);

  it('guard headers: one that is wrong ends the connection', () => {
    const { one } = ready(keys);
    expect(one.say(spoiled(one.command({ flags: 0x81 }), 20))).toEqual([]);
    expect(one.connection.closing).toBe('header digest error');
  });

  it('guard lengths before they are believed', () => {
    const { one } = ready(keys);
    one.say(spoiled(one.command({ flags: 0x81 }), 5));
    expect(one.connection.closing).toBe('header digest error');
  });

  it('guard data: what is spoiled is rejected, and its command ends', () => {
    const { one } = ready({ ...keys, MaxBurstLength: 1024 });
    const [asked] = one.say(one.command({ flags: WRITE, EDTL: 1024, ITT: 5 }));
    const wrong = spoiled(one.dataOut(5, asked!.TTT, 0, 0, counted(512), false), 200);
    const [reject] = one.say(wrong);
    expect(reject).toMatchObject({ opcode: IN.REJECT, byte2: 0x02, data: wrong.subarray(0, 48) });
    const [answer] = one.say(one.dataOut(5, asked!.TTT, 1, 512, counted(512)));
    expect(answer).toMatchObject({ opcode: IN.RESPONSE, ITT: 5, byte3: 2 });
    expect(senseOf(answer!)).toEqual([0, 18, 0x0b, 0x47, 0x05]);
    expect(one.commands).toEqual([]);
    expect(one.connection.closing).toBeUndefined();
  });

  it('guard commands: one with spoiled data is rejected, and ends the connection', () => {
    const { one } = ready({ ...keys, ImmediateData: 'Yes' });
    const wrong = spoiled(one.command({ flags: WRITE, EDTL: 100 }, { data: counted(100) }), 60);
    expect(one.say(wrong)).toMatchObject([{ opcode: IN.REJECT, byte2: 0x02 }]);
    expect(one.connection.closing).toBe('data digest error');
  });

  it('cover padding and additional segments', () => {
    const { one } = ready({ ...keys, ImmediateData: 'Yes' });
    const ahs = Uint8Array.of(0, 2, 1, 0, 0x55, 0, 0, 0);
    one.say(one.command({ flags: WRITE, EDTL: 5 }, { ahs, data: counted(5) }));
    expect(one.commands[0]!.cdb).toHaveLength(17);
    expect(one.commands[0]!.dataOut).toEqual(counted(5));
  });
});

describe('what cannot be', () => {
  it.each([
    ['a command that neither writes nor is complete', { opcode: 1, flags: 0x01 }, {}, 0x09],
    ['data for a command that does not write', { opcode: 1, flags: 0xc1 }, { data: counted(4) }, 0x09],
    ['an attribute that is none', { opcode: 1, flags: 0x86 }, {}, 0x09],
    ['a command without a tag', { opcode: 1, flags: 0x81, ITT: NO_TAG }, {}, 0x09],
    ['an additional segment that is none', { opcode: 1, flags: 0x81 }, { ahs: new Uint8Array(4) }, 0x09],
    ['an opcode that is none', { opcode: 0x1c }, {}, 0x05],
    ['an opcode of targets', { opcode: 0x21 }, {}, 0x05],
    ['asking for what was sent again', { opcode: 0x10 }, {}, 0x03],
  ])('is rejected: %s', (_, fields, extra, reason) => {
    const { one } = ready();
    const pdu = one.pdu({ ITT: 9, ...fields }, extra);
    expect(one.say(pdu)).toMatchObject([
      { opcode: IN.REJECT, byte2: reason, ITT: NO_TAG, data: pdu.subarray(0, 48) },
    ]);
    expect(one.commands).toEqual([]);
    expect(one.connection.closing).toBeUndefined();
    one.CmdSN = (fields.opcode & 0x3f) === 1 ? 101 : 100;
    one.say(one.command({ flags: 0x81 }));
    expect(one.commands).toHaveLength(1);
  });

  it('is rejected: a tag that another command has', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81, ITT: 5 }));
    expect(one.say(one.command({ flags: 0x81, ITT: 5 }))).toMatchObject([{ opcode: IN.REJECT, byte2: 0x07 }]);
    expect(one.commands).toHaveLength(1);
  });

  it('ends the connection: a second login', () => {
    const { one } = ready();
    expect(one.say(one.pdu({ opcode: 0x43 }))).toMatchObject([{ opcode: IN.REJECT, byte2: 0x04 }]);
    expect(one.connection.closing).toBe('protocol error');
  });

  it('ends the connection: a data segment that is longer than declared', () => {
    const { one } = ready();
    one.say(one.pdu({ opcode: 0x00 }, { data: new Uint8Array(262_145) }).subarray(0, 48));
    expect(one.connection.closing).toBe('data segment too long');
  });
});

describe('bytes', () => {
  it('may come in any pieces: the same is answered', () => {
    const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C', InitialR2T: 'No' };
    const talk = (chunkBytes: number): readonly unknown[] => {
      const { one } = ready(keys);
      one.chunkBytes = chunkBytes;
      const data = counted(70_000);
      const said = [
        one.command({ flags: 0x21, EDTL: 70_000, ITT: 1 }, { data: data.subarray(0, 1000) }),
        one.dataOut(1, NO_TAG, 0, 1000, data.subarray(1000, 30_001), false),
        one.dataOut(1, NO_TAG, 1, 30_001, data.subarray(30_001, 65_536)),
        one.command({ flags: READ, EDTL: 300, ITT: 2 }),
        one.pdu({ opcode: 0x40, ITT: 3 }, { data: counted(33) }),
      ];
      const heard = one.say(...said);
      heard.push(...one.say(one.dataOut(1, heard[0]!.TTT, 0, 65_536, data.subarray(65_536))));
      for (const command of one.commands) {
        const dataIn = command.dataInMax > 0 ? { dataIn: counted(command.dataInMax) } : {};
        one.connection.complete(command as Command, { ...GOOD, ...dataIn });
      }
      const written = one.commands.map(({ dataOut, cdb }) => [dataOut.slice(), cdb]);
      return [...heard, ...one.heard(), ...written, one.connection.closing];
    };
    const whole = talk(Infinity);
    expect(whole).toHaveLength(7);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (chunkBytes) => {
        expect(talk(chunkBytes)).toEqual(whole);
      }),
      { numRuns: 25 },
    );
    expect(talk(1)).toEqual(whole);
  });
});
