// Data of the initiator: with commands, unasked and asked for, in memory that is bounded, and what does not fit.
import { describe, expect, it } from 'vitest';
import { DataBuffers } from '../../../../control/disk/iscsi/core/data_buffers.ts';
import { counted, type HostOptions, host, IN, INITIATOR, WRITE } from '../../../lib/iscsi/initiator.ts';
import { NO_TAG, type TargetPdu } from '../../../lib/iscsi/wire.ts';

const GOOD = { status: 0, residual: 0 };

function ready(keys: Readonly<Record<string, string | number>> = {}, options?: HostOptions) {
  const at = host(options);
  const one = at.connect();
  one.logIn(keys);
  return { ...at, one };
}

/** Key, ASC, ASCQ of fixed sense data behind its length. */
const senseOf = ({ data }: TargetPdu) => [data[0], data[1], data[2 + 2], data[2 + 12], data[2 + 13]];

describe('data of the initiator', () => {
  it('comes with the command', () => {
    const { one } = ready();
    const data = counted(513);
    one.say(one.command({ flags: WRITE, EDTL: 513 }, { data }));
    expect(one.commands[0]).toMatchObject({ dataInMax: 0 });
    expect(one.commands[0]!.dataOut).toEqual(data);
  });

  it('stays as it is until the command is answered', () => {
    const { one } = ready();
    one.say(one.command({ flags: WRITE, EDTL: 512 }, { data: counted(512) }));
    one.say(one.command({ flags: WRITE, EDTL: 512 }, { data: counted(512, 99) }));
    expect(one.commands[0]!.dataOut).toEqual(counted(512));
    expect(one.commands[1]!.dataOut).toEqual(counted(512, 99));
  });

  it('follows unasked, up to the first burst, and is asked for behind it', () => {
    const { one } = ready({
      InitialR2T: 'No',
      FirstBurstLength: 1024,
      MaxBurstLength: 1024,
      MaxOutstandingR2T: 1,
    });
    const data = counted(2500);
    const command = one.command({ flags: 0x21, EDTL: 2500, ITT: 5 }, { data: data.subarray(0, 300) });
    expect(one.say(command, one.dataOut(5, NO_TAG, 0, 300, data.subarray(300, 800), false))).toEqual([]);
    const [first] = one.say(one.dataOut(5, NO_TAG, 1, 800, data.subarray(800, 1024)));
    expect(first).toMatchObject({
      opcode: IN.R2T,
      flags: 0x80,
      ITT: 5,
      word36: 0,
      word40: 1024,
      word44: 1024,
    });
    const half = one.dataOut(5, first!.TTT, 0, 1024, data.subarray(1024, 1536), false);
    const [second] = one.say(half, one.dataOut(5, first!.TTT, 1, 1536, data.subarray(1536, 2048)));
    expect(second).toMatchObject({ opcode: IN.R2T, word36: 1, word40: 2048, word44: 452 });
    expect(second!.TTT).not.toBe(first!.TTT);
    expect(second!.StatSN).toBe(first!.StatSN);
    expect(one.commands).toEqual([]);
    one.say(one.dataOut(5, second!.TTT, 0, 2048, data.subarray(2048)));
    expect(one.commands[0]!.dataOut).toEqual(data);
    one.connection.complete(one.commands[0]!, GOOD);
    // ExpDataSN is the count of R2Ts.
    expect(one.heard()).toMatchObject([{ opcode: IN.RESPONSE, word36: 2, StatSN: first!.StatSN }]);
  });

  it('that came with the command is kept when there is more than was expected to come unasked', () => {
    const { one } = ready({ MaxBurstLength: 65_536 });
    const data = counted(50_000);
    const [asked] = one.say(
      one.command({ flags: WRITE, EDTL: 50_000, ITT: 5 }, { data: data.subarray(0, 100) }),
    );
    one.say(one.dataOut(5, asked!.TTT, 0, 100, data.subarray(100)));
    expect(one.commands[0]!.dataOut).toEqual(data);
  });

  it('is asked for in as many sequences at once as agreed', () => {
    const { one } = ready({ ImmediateData: 'No', MaxBurstLength: 512, MaxOutstandingR2T: 3 });
    const data = counted(2048);
    const asked = one.say(one.command({ flags: WRITE, EDTL: 2048, ITT: 5 }));
    expect(asked.map(({ word36, word40, word44 }) => [word36, word40, word44])).toEqual([
      [0, 0, 512],
      [1, 512, 512],
      [2, 1024, 512],
    ]);
    const answers = asked.map(({ TTT, word40 }) =>
      one.dataOut(5, TTT, 0, word40, data.subarray(word40, word40 + 512)),
    );
    const [last] = one.say(...answers);
    expect(last).toMatchObject({ opcode: IN.R2T, word36: 3, word40: 1536 });
    one.say(one.dataOut(5, last!.TTT, 0, 1536, data.subarray(1536)));
    expect(one.commands[0]!.dataOut).toEqual(data);
  });

  it('that was announced and not sent is asked for', () => {
    const { one } = ready({ InitialR2T: 'No' });
    const command = one.command({ flags: 0x21, EDTL: 1000, ITT: 5 });
    const [asked] = one.say(command, one.dataOut(5, NO_TAG, 0, 0, counted(400)));
    expect(asked).toMatchObject({ opcode: IN.R2T, word40: 400, word44: 600 });
  });

  it('may come in both directions', () => {
    const { one } = ready();
    const ahs = Uint8Array.of(0, 5, 2, 0, 0, 0, 2, 0);
    one.say(one.command({ flags: 0xe1, EDTL: 100, ITT: 5 }, { ahs, data: counted(100) }));
    const [command] = one.commands;
    expect(command!.dataInMax).toBe(512);
    expect(command!.dataOut).toEqual(counted(100));
    one.connection.complete(command!, { status: 0, dataIn: counted(500), residual: 12 });
    const [data, answer] = one.heard();
    expect(data).toMatchObject({ opcode: IN.DATA, flags: 0x80 });
    expect(answer).toMatchObject({ opcode: IN.RESPONSE, flags: 0x88, word40: 12, word44: 0 });
  });

  it.each([
    ['with the command although that was not agreed', { ImmediateData: 'No' }, 0xa1, 100],
    ['unasked although that was not agreed', { InitialR2T: 'Yes' }, 0x21, 100],
    ['beyond the first burst', { FirstBurstLength: 512 }, 0xa1, 600],
    ['beyond what was announced', {}, 0xa1, 1001],
  ])('ends the command when it comes %s', (_, keys, flags, bytes) => {
    const { one } = ready(keys);
    const [answer] = one.say(one.command({ flags, EDTL: 1000 }, { data: counted(bytes) }));
    expect(answer).toMatchObject({ opcode: IN.RESPONSE, byte3: 2 });
    expect(senseOf(answer!)).toEqual([0, 18, 0x0b, 0x0c, 0x0c]);
    expect(one.commands).toEqual([]);
    expect(one.connection.closing).toBeUndefined();
  });

  it('that is announced and is none needs no memory', () => {
    const { one } = ready({ InitialR2T: 'No' });
    one.say(one.command({ flags: 0x21, EDTL: 0 }));
    expect(one.commands[0]!.dataOut).toHaveLength(0);
    expect(one.connection.session!.initiator.dataBytes).toBe(0);
  });

  it('has memory of the next size, and never more than one command may have', () => {
    const buffers = new DataBuffers();
    const sizes = [0, 1, 4096, 4097, 1 << 20, 16 << 20].map((bytes) => buffers.take(bytes).length);
    expect(sizes).toEqual([4096, 4096, 4096, 8192, 1 << 20, 16 << 20]);
    expect(() => buffers.take((16 << 20) + 1)).toThrow('no command may have');
  });

  it('is not collected for more than one command may have', () => {
    const { one } = ready({ InitialR2T: 'No', FirstBurstLength: 512 });
    const EDTL = (16 << 20) + 1;
    const [answer] = one.say(one.command({ flags: WRITE, EDTL }));
    expect(senseOf(answer!)).toEqual([0, 18, 0x05, 0x24, 0x00]);
    // What was announced comes first.
    expect(one.say(one.command({ flags: 0x21, EDTL, ITT: 5 }, { data: counted(100) }))).toEqual([]);
    expect(one.say(one.dataOut(5, NO_TAG, 0, 100, counted(412)))).toMatchObject([{ ITT: 5, byte3: 2 }]);
    const [both] = one.say(one.command({ flags: 0x21, EDTL }, { data: counted(5000) }));
    expect(senseOf(both!)).toEqual([0, 18, 0x0b, 0x0c, 0x0c]);
  });

  it.each([
    ['DataSN 1 first', 1, 0, 500, [0x47, 0x05]],
    ['another offset', 0, 4, 500, [0x47, 0x05]],
    ['more than was asked for', 0, 0, 1100, [0x47, 0x05]],
    ['less than was asked for', 0, 0, 999, [0x0c, 0x0d]],
  ] as const)(
    'ends the command, and nothing else, when it comes with %s',
    (_, DataSN, offset, bytes, asc) => {
      const { one } = ready({ ImmediateData: 'No' });
      const [asked] = one.say(one.command({ flags: WRITE, EDTL: 1000, ITT: 5 }));
      const [answer] = one.say(one.dataOut(5, asked!.TTT, DataSN, offset, counted(bytes)));
      expect(answer).toMatchObject({ opcode: IN.RESPONSE, ITT: 5, byte3: 2 });
      expect(senseOf(answer!)).toEqual([0, 18, 0x0b, ...asc]);
      one.say(one.command({ flags: 0x81 }));
      expect(one.commands).toHaveLength(1);
    },
  );

  it('ends the command only after all that was asked for has come', () => {
    const { one } = ready({ ImmediateData: 'No', MaxBurstLength: 512, MaxOutstandingR2T: 2 });
    const [first, second] = one.say(one.command({ flags: WRITE, EDTL: 4096, ITT: 5 }));
    expect(one.say(one.dataOut(5, first!.TTT, 3, 0, counted(512)))).toEqual([]);
    const [answer, ...more] = one.say(one.dataOut(5, second!.TTT, 0, 512, counted(512)));
    expect(more).toEqual([]);
    expect(senseOf(answer!)).toEqual([0, 18, 0x0b, 0x47, 0x05]);
  });

  it('that nobody asked for ends the connection', () => {
    const { one } = ready({ ImmediateData: 'No' });
    const [asked] = one.say(one.command({ flags: WRITE, EDTL: 1000, ITT: 5 }));
    const wrong = one.dataOut(5, asked!.TTT + 1, 0, 0, counted(1000));
    const [reject] = one.say(wrong);
    expect(reject).toMatchObject({ opcode: IN.REJECT, byte2: 0x04, data: wrong.subarray(0, 48) });
    expect(one.connection.closing).toBe('protocol error');
  });

  it('of no command is dropped', () => {
    const { one } = ready();
    expect(one.say(one.dataOut(0x1234, NO_TAG, 0, 0, counted(100)))).toEqual([]);
    expect(one.connection.closing).toBeUndefined();
  });

  it('is asked for when the initiator has memory left for it', () => {
    const { one } = ready({ ImmediateData: 'No' }, { limits: { dataBytesPerInitiatorMax: 4096 } });
    const [asked, ...none] = one.say(
      one.command({ flags: WRITE, EDTL: 4096, ITT: 5 }),
      one.command({ flags: WRITE, EDTL: 1024, ITT: 6 }),
    );
    expect(none).toEqual([]);
    one.say(one.dataOut(5, asked!.TTT, 0, 0, counted(4096)));
    expect(one.commands).toHaveLength(1);
    one.connection.complete(one.commands[0]!, GOOD);
    expect(one.heard()).toMatchObject([
      { opcode: IN.RESPONSE, ITT: 5 },
      { opcode: IN.R2T, ITT: 6 },
    ]);
    expect(one.woken).toBeGreaterThan(0);
  });

  it('waits for memory that another session of the initiator has', () => {
    const at = host({ limits: { dataBytesPerInitiatorMax: 4096 } });
    const [one, two] = [1, 2].map((number) => {
      const initiator = at.connect();
      initiator.logIn({}, { isid: [0, 0, 0, 0, 0, number] });
      return initiator;
    }) as [ReturnType<typeof at.connect>, ReturnType<typeof at.connect>];
    one.say(one.command({ flags: WRITE, EDTL: 4096 }, { data: counted(4096) }));
    expect(two.say(two.command({ flags: WRITE, EDTL: 4096 }))).toEqual([]);
    one.connection.complete(one.commands[0]!, GOOD);
    expect(two.woken).toBe(1);
    expect(two.heard()).toMatchObject([{ opcode: IN.R2T, word44: 4096 }]);
    two.connection.close();
    expect(at.sessions.initiators.get(INITIATOR)!.dataBytes).toBe(0);
  });
});
