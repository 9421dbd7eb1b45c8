// What a session has beside commands: task management, pings, text, logout, other sessions of the same name, limits,
// times, and the end.
import { describe, expect, it } from 'vitest';
import { OutputSlabs, PduOutput } from '../../../../control/disk/iscsi/core/pdu_output.ts';
import {
  counted,
  granting,
  type HostOptions,
  host,
  IN,
  INITIATOR,
  type Initiator,
  PORTAL,
  READ,
  TARGET,
  WRITE,
} from '../../../lib/iscsi/initiator.ts';
import { loginPdu, NO_TAG, parsePairs, text } from '../../../lib/iscsi/wire.ts';

const GOOD = { status: 0, residual: 0 };
const COMPLETE = 0;
const NO_SUCH_TASK = 1;
const [ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, LUN_RESET, TARGET_RESET, REASSIGN] = [1, 2, 3, 5, 6, 8];
const TIMES = { loginMs: 100, pduMs: 200, sendMs: 300, quietMs: 1000, pingMs: 50 };

function ready(keys: Readonly<Record<string, string | number>> = {}, options?: HostOptions) {
  const at = host(options);
  const one = at.connect();
  one.logIn(keys);
  return { ...at, one };
}

function discovering(options?: HostOptions): Initiator {
  const one = host(options).connect();
  one.say(loginPdu({ InitiatorName: INITIATOR, SessionType: 'Discovery' }, { CSG: 1, NSG: 3 }));
  return one;
}

const lun = (number: number) => [0, number, 0, 0, 0, 0, 0, 0];

describe('task management', () => {
  it('hands out a function with the commands it is about, and silences them', () => {
    const { one } = ready();
    one.say(
      one.command({ flags: 0x81, lun: lun(1), ITT: 1 }),
      one.command({ flags: 0x81, lun: lun(2), ITT: 2 }),
      one.command({ flags: 0x81, lun: lun(1), ITT: 3 }),
    );
    expect(one.say(one.manage(LUN_RESET!, { lun: lun(1), ITT: 9 }))).toEqual([]);
    const [reset] = one.functions;
    expect(reset).toMatchObject({ function: 'LOGICAL_UNIT_RESET', lun: 1, initiator: { name: INITIATOR } });
    expect(reset!.commands).toEqual([one.commands[0], one.commands[2]]);
    // What ended before the function did is answered still.
    expect(one.connection.complete(one.commands[2]!, GOOD)).toBe(true);
    one.connection.completeTaskManagement(reset!, COMPLETE);
    expect(one.heard()).toMatchObject([
      { opcode: IN.RESPONSE, ITT: 3 },
      { opcode: IN.TASK, ITT: 9, byte2: 0 },
    ]);
    expect(one.commands[0]!.aborted).toBe(true);
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(false);
    expect(one.connection.complete(one.commands[1]!, GOOD)).toBe(true);
    expect(one.heard()).toMatchObject([{ opcode: IN.RESPONSE, ITT: 2, MaxCmdSN: 230 }]);
    expect(() => one.connection.completeTaskManagement(reset!, COMPLETE)).toThrow('answered already');
  });

  it('leaves the commands alone when the unit did not do it', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81 }), one.manage(TARGET_RESET!));
    expect(one.functions[0]!.commands).toHaveLength(1);
    one.connection.completeTaskManagement(one.functions[0]!, 255);
    expect(one.heard()).toMatchObject([{ opcode: IN.TASK, byte2: 255 }]);
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(true);
  });

  it('ends commands that nobody executes by itself', () => {
    const { one } = ready({ ImmediateData: 'No' });
    const [asked] = one.say(one.command({ flags: WRITE, EDTL: 100, ITT: 5 }));
    expect(one.say(one.manage(ABORT_TASK!, { RTT: 5, RefCmdSN: 100 }))).toMatchObject([
      { opcode: IN.TASK, byte2: 0 },
    ]);
    expect(one.requests).toEqual([]);
    // What was asked for may be under way.
    expect(one.say(one.dataOut(5, asked!.TTT, 0, 0, counted(100)))).toEqual([]);
    expect(one.say(one.pdu({ opcode: 0x40, ITT: 1 }))).toMatchObject([{ ExpCmdSN: 101, MaxCmdSN: 228 }]);
  });

  it('asks the unit to abort what it executes', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81, ITT: 5 }), one.manage(ABORT_TASK!, { RTT: 5 }));
    expect(one.functions).toMatchObject([{ function: 'ABORT_TASK', commands: [one.commands[0]] }]);
  });

  it('knows no task by another unit or another tag', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81, ITT: 5 }));
    const answers = one.say(
      one.manage(ABORT_TASK!, { RTT: 5, lun: lun(1) }),
      one.manage(ABORT_TASK!, { RTT: 6, RefCmdSN: 90 }),
    );
    expect(answers.map(({ byte2 }) => byte2)).toEqual([NO_SUCH_TASK, NO_SUCH_TASK]);
  });

  it('passes over a command that has not come', () => {
    const { one } = ready();
    const [, second] = [one.command({ flags: 0x81, ITT: 1 }), one.command({ flags: 0x81, ITT: 2 })];
    one.say(second!);
    expect(one.commands).toEqual([]);
    const [answer] = one.say(one.manage(ABORT_TASK!, { RTT: 1, RefCmdSN: 100 }));
    expect(answer).toMatchObject({ opcode: IN.TASK, byte2: COMPLETE });
    expect(one.commands).toHaveLength(1);
    one.connection.complete(one.commands[0]!, GOOD);
    expect(one.heard()).toMatchObject([{ ITT: 2, ExpCmdSN: 102, MaxCmdSN: 229 }]);
  });

  it('ends a command before its turn', () => {
    const { one } = ready();
    const [first, second, third] = [1, 2, 3].map((ITT) => one.command({ flags: 0x81, ITT }));
    one.say(second!, third!);
    expect(one.say(one.manage(ABORT_TASK!, { RTT: 2, RefCmdSN: 101 }))).toMatchObject([{ byte2: COMPLETE }]);
    one.say(first!);
    expect(one.commands).toHaveLength(2);
    for (const command of one.commands) one.connection.complete(command, GOOD);
    expect(one.heard().at(-1)).toMatchObject({ ExpCmdSN: 103, MaxCmdSN: 230 });
  });

  it('is about commands before it, not behind it', () => {
    const { one } = ready();
    const behind = one.pdu({ opcode: 0x01, flags: 0x81, ITT: 2, CmdSN: 101 });
    const reset = one.pdu({ opcode: 0x02, flags: 0x80 | ABORT_TASK_SET!, ITT: 9, CmdSN: 100 });
    one.say(behind, reset);
    expect(one.functions).toMatchObject([{ function: 'ABORT_TASK_SET', commands: [] }]);
    expect(one.commands).toHaveLength(1);
    one.connection.completeTaskManagement(one.functions[0]!, COMPLETE);
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(true);
  });

  it('is about no command when it clears a condition', () => {
    const { one } = ready();
    one.say(one.command({ flags: 0x81 }), one.manage(CLEAR_ACA!));
    expect(one.functions).toMatchObject([{ function: 'CLEAR_ACA', commands: [] }]);
  });

  it('answers what it has not', () => {
    const { one } = ready();
    const answers = one.say(one.manage(REASSIGN!), one.manage(0x40));
    expect(answers.map(({ byte2 }) => byte2)).toEqual([4, 5]);
  });

  it('by another session ends commands without an answer', () => {
    const { one } = ready({ ImmediateData: 'No' });
    one.say(
      one.command({ flags: 0x81, lun: lun(1) }),
      one.command({ flags: WRITE, EDTL: 100, lun: lun(1) }),
      one.command({ flags: 0x81, lun: lun(2) }),
    );
    expect(one.connection.abortCommands(1)).toEqual([one.commands[0]]);
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(false);
    expect(one.say(one.pdu({ opcode: 0x40, ITT: 1 }))).toMatchObject([{ ExpCmdSN: 103, MaxCmdSN: 229 }]);
  });
});

describe('pings', () => {
  it('are answered with what they say', () => {
    const { one } = ready({ MaxRecvDataSegmentLength: 512 });
    const [echo] = one.say(one.pdu({ opcode: 0x40, ITT: 5, lun: lun(3) }, { data: counted(700) }));
    expect(echo).toMatchObject({ opcode: IN.NOP, flags: 0x80, ITT: 5, TTT: NO_TAG, data: counted(512) });
    expect([...echo!.header.subarray(8, 16)]).toEqual(lun(3));
  });

  it('that answer one are not answered', () => {
    const { one } = ready();
    expect(one.say(one.pdu({ opcode: 0x40, ITT: NO_TAG, TTT: 0x8000_0000 }))).toEqual([]);
  });

  it('go to an initiator that is silent, and end what does not answer', () => {
    const { one } = ready({}, { times: TIMES });
    expect(one.connection.deadlineMs).toBe(1000);
    expect(one.connection.expire(1000)).toBeUndefined();
    const [ping] = one.heard();
    expect(ping).toMatchObject({ opcode: IN.NOP, ITT: NO_TAG });
    expect(ping!.TTT).not.toBe(NO_TAG);
    expect(one.connection.deadlineMs).toBe(1050);
    one.nowMs = 1040;
    one.say(one.pdu({ opcode: 0x40, ITT: NO_TAG, TTT: ping!.TTT }));
    expect(one.connection.deadlineMs).toBe(2040);
    one.connection.expire(2040);
    // The ping took no number.
    expect(one.heard()).toMatchObject([{ opcode: IN.NOP, StatSN: ping!.StatSN }]);
    expect(one.connection.expire(2089)).toBeUndefined();
    expect(one.connection.expire(2090)).toBe('no answer to a ping');
  });
});

describe('text', () => {
  const ask = (one: Initiator, keys: Readonly<Record<string, string>>, fields = {}) =>
    one.say(one.pdu({ opcode: 0x44, ITT: 5, TTT: NO_TAG, ...fields }, { data: text(keys) }));

  it('finds targets in a discovery session', () => {
    const one = discovering();
    const [answer] = ask(one, { SendTargets: 'All' });
    expect(answer).toMatchObject({ opcode: IN.TEXT, flags: 0x80, ITT: 5, TTT: NO_TAG });
    expect(parsePairs(answer!.data)).toEqual([
      ['TargetName', TARGET],
      ['TargetAddress', '192.0.2.1:3260,1'],
    ]);
    expect(parsePairs(ask(one, { SendTargets: TARGET })[0]!.data)).toHaveLength(2);
    expect(ask(one, { SendTargets: 'iqn.x:y' })[0]!.data).toHaveLength(0);
    expect(parsePairs(ask(one, { SendTargets: '' })[0]!.data)).toEqual([['SendTargets', 'Reject']]);
  });

  it('tells an initiator of what it is granted alone', () => {
    const authority = {
      ...granting(),
      targets: (name: string) => (name === INITIATOR ? [] : [{ name: TARGET, portals: [PORTAL] }]),
    };
    expect(ask(discovering({ authority }), { SendTargets: 'All' })[0]!.data).toHaveLength(0);
  });

  it('tells in a normal session of its own target alone', () => {
    const { one } = ready();
    for (const wanted of ['', TARGET]) {
      expect(parsePairs(ask(one, { SendTargets: wanted })[0]!.data)[0]).toEqual(['TargetName', TARGET]);
    }
    for (const wanted of ['All', 'iqn.x:y']) {
      expect(parsePairs(ask(one, { SendTargets: wanted })[0]!.data)).toEqual([['SendTargets', 'Reject']]);
    }
  });

  it('that is long comes in as many pieces as the initiator takes', () => {
    const targets = Array.from({ length: 40 }, (_, at) => ({ name: `${TARGET}-${at}`, portals: [PORTAL] }));
    const at = host({ authority: { ...granting(), targets: () => targets } });
    const one = at.connect();
    const keys = { InitiatorName: INITIATOR, SessionType: 'Discovery', MaxRecvDataSegmentLength: 512 };
    one.say(loginPdu(keys, { CSG: 1, NSG: 3 }));
    const pieces = ask(one, { SendTargets: 'All' });
    while (pieces.at(-1)!.flags !== 0x80) {
      const { flags, TTT } = pieces.at(-1)!;
      expect(flags).toBe(0x40);
      pieces.push(...ask(one, {}, { TTT }));
    }
    expect(pieces.length).toBeGreaterThan(4);
    const all = Buffer.concat(pieces.map(({ data }) => data));
    expect(
      parsePairs(all)
        .filter(([key]) => key === 'TargetName')
        .map(([, value]) => value),
    ).toEqual(targets.map(({ name }) => name));
  });

  it('may be asked in pieces', () => {
    const one = discovering();
    const whole = text({ SendTargets: 'All' });
    const first = one.pdu({ opcode: 0x44, flags: 0x40, ITT: 5, TTT: NO_TAG }, { data: whole.subarray(0, 6) });
    const [empty] = one.say(first);
    expect(empty).toMatchObject({ opcode: IN.TEXT, flags: 0, data: new Uint8Array(0) });
    const rest = one.pdu({ opcode: 0x44, ITT: 5, TTT: empty!.TTT }, { data: whole.subarray(6) });
    expect(parsePairs(one.say(rest)[0]!.data)).toHaveLength(2);
  });

  it('goes on as long as the initiator wants', () => {
    const { one } = ready();
    const [answer] = ask(one, { SendTargets: '' }, { flags: 0 });
    expect(answer).toMatchObject({ flags: 0 });
    expect(answer!.TTT).not.toBe(NO_TAG);
    expect(ask(one, {}, { TTT: answer!.TTT })).toMatchObject([{ flags: 0x80, TTT: NO_TAG }]);
  });

  it('declares anew what the initiator takes, and changes nothing else', () => {
    const { one } = ready();
    const [answer] = ask(one, { MaxRecvDataSegmentLength: '512', MaxBurstLength: '512', 'X-a.b': '1' });
    expect(parsePairs(answer!.data)).toEqual([
      ['MaxBurstLength', 'Reject'],
      ['X-a.b', 'NotUnderstood'],
    ]);
    one.say(one.command({ flags: READ, EDTL: 1024 }));
    one.connection.complete(one.commands[0]!, { status: 0, dataIn: counted(1024), residual: 0 });
    expect(one.heard().map(({ data }) => data.length)).toEqual([512, 512]);
  });

  it.each([
    ['of an exchange that is none', { TTT: 77 }, text({})],
    ['that is none', {}, Uint8Array.of(1, 2, 3)],
    ['that ends and goes on', { flags: 0xc0 }, text({})],
    ['that cannot be', {}, text({ MaxRecvDataSegmentLength: '1' })],
  ])('is rejected %s', (_, fields, data) => {
    const { one } = ready();
    const pdu = one.pdu({ opcode: 0x44, ITT: 5, TTT: NO_TAG, ...fields }, { data });
    expect(one.say(pdu)).toMatchObject([{ opcode: IN.REJECT, byte2: 0x09 }]);
  });

  it('without end is rejected', () => {
    const { one } = ready();
    const data = new Uint8Array(40_000).fill(0x41);
    const [answer] = one.say(one.pdu({ opcode: 0x44, flags: 0x40, ITT: 5, TTT: NO_TAG }, { data }));
    const more = one.pdu({ opcode: 0x44, flags: 0x40, ITT: 5, TTT: answer!.TTT }, { data });
    expect(one.say(more)).toMatchObject([{ opcode: IN.REJECT, byte2: 0x09 }]);
  });
});

describe('a discovery session', () => {
  it.each([0x01, 0x02, 0x10])('has no units: opcode %i is rejected', (opcode) => {
    const one = discovering();
    expect(one.say(one.pdu({ opcode, ITT: 5 }))).toMatchObject([{ opcode: IN.REJECT, byte2: 0x05 }]);
  });
});

describe('logging out', () => {
  it('is answered, and ends the session with all that it has', () => {
    const { one, sessions } = ready();
    one.say(one.command({ flags: WRITE, EDTL: 100 }, { data: counted(100) }));
    expect(one.say(one.pdu({ opcode: 0x46, flags: 0x80, ITT: 5 }))).toMatchObject([
      { opcode: IN.LOGOUT, flags: 0x80, ITT: 5, byte2: 0 },
    ]);
    expect(one.connection.closing).toBe('logout');
    const { initiator } = one.connection.session!;
    one.connection.close();
    expect(sessions.count).toBe(0);
    expect(one.commands[0]).toMatchObject({ aborted: true });
    expect(one.connection.executing.size).toBe(1);
    // Its bytes are still lent.
    expect(one.commands[0]!.dataOut).toEqual(counted(100));
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(false);
    expect(initiator.dataBytes).toBe(0);
    expect(one.heard()).toEqual([]);
  });

  it('of this connection, of another, for recovery, for no reason', () => {
    const { one } = ready({}, {});
    const answers = [{ flags: 0x81, CID: 4 }, { flags: 0x82 }, { flags: 0x83 }, { flags: 0x81 }].map(
      (fields) => one.say(one.pdu({ opcode: 0x46, ITT: 5, ...fields }))[0]!,
    );
    expect(answers.map(({ opcode, byte2 }) => [opcode, byte2])).toEqual([
      [IN.LOGOUT, 1],
      [IN.LOGOUT, 2],
      [IN.REJECT, 9],
      [IN.LOGOUT, 0],
    ]);
    expect(one.connection.closing).toBe('logout');
  });
});

describe('sessions', () => {
  it('of the same name replace each other', () => {
    const { one, connect, sessions } = ready();
    one.say(one.command({ flags: WRITE, EDTL: 100 }, { data: counted(100) }));
    const two = connect();
    expect(two.logIn()).toMatchObject({ word36: 0, TSIH: 2 });
    expect(one.connection.closing).toBe('session reinstated');
    expect(one.woken).toBe(1);
    expect(one.commands[0]!.aborted).toBe(true);
    expect(sessions.count).toBe(1);
    expect(one.connection.complete(one.commands[0]!, GOOD)).toBe(false);
    one.connection.close();
    expect(sessions.count).toBe(1);
    expect(two.connection.closing).toBeUndefined();
  });

  it('are not replaced by whoever only says the name', () => {
    const secret = { name: 'vm', secret: counted(16) };
    const at = host({ grant: { secret } });
    const other = host().connect();
    other.logIn();
    const stranger = at.connect();
    stranger.say(loginPdu({ InitiatorName: INITIATOR, TargetName: TARGET, AuthMethod: 'CHAP' }));
    expect(at.sessions.count).toBe(0);
  });

  it.each([
    ['ISID', {}, { isid: [0x80, 0, 0, 0, 0, 9] }],
    ['initiator', { InitiatorName: 'iqn.other' }, {}],
  ])('of another %s stand beside each other', (_, keys, fields) => {
    const { one, connect, sessions } = ready();
    expect(connect().logIn(keys, fields)).toMatchObject({ word36: 0, TSIH: 2 });
    expect(sessions.count).toBe(2);
    expect(one.connection.closing).toBeUndefined();
  });

  it('are taken over by a connection of the same number', () => {
    const { one, connect, sessions } = ready();
    expect(connect().logIn({}, { TSIH: 1, CID: 3 }).word36 >>> 16).toBe(0x0206);
    expect(connect().logIn({}, { TSIH: 2 }).word36 >>> 16).toBe(0x020a);
    expect(one.connection.closing).toBeUndefined();
    expect(connect().logIn({}, { TSIH: 1 })).toMatchObject({ word36: 0, TSIH: 1 });
    expect(one.connection.closing).toBe('session reinstated');
    expect(sessions.count).toBe(1);
  });

  it.each([
    ['of one initiator', { sessionsPerInitiatorMax: 2 }, INITIATOR],
    ['of all', { sessionsMax: 2 }, 'iqn.other'],
  ])('%s are bounded', (_, limits, InitiatorName) => {
    const at = host({ limits });
    const logIn = (number: number, name = INITIATOR) =>
      at.connect().logIn({ InitiatorName: name }, { isid: [0, 0, 0, 0, 0, number] }).word36 >>> 16;
    expect([logIn(1), logIn(2), logIn(3, InitiatorName)]).toEqual([0, 0, 0x0302]);
    // Logging in again is no more than there was.
    expect(logIn(2)).toBe(0);
  });

  it('leave nothing behind', () => {
    const at = host();
    for (let round = 0; round < 70_000; round += 1_000) {
      const one = at.connect();
      one.logIn();
      one.connection.close();
      one.connection.close();
    }
    expect([at.sessions.count, at.sessions.initiators.size, at.inputs.largeInUse]).toEqual([0, 0, 0]);
  });
});

describe('a connection', () => {
  it('tells an initiator what it did not ask', () => {
    const { one } = ready();
    one.connection.notify({ event: 1, parameters: [0, 0, 30] });
    one.connection.notify({ event: 0, lun: 3, sense: counted(18) });
    const [logout, sense] = one.heard();
    expect(logout).toMatchObject({ opcode: IN.ASYNC, flags: 0x80, ITT: NO_TAG });
    expect([...logout!.header.subarray(36, 44)]).toEqual([1, 0, 0, 0, 0, 0, 0, 30]);
    expect([...sense!.header.subarray(8, 16)]).toEqual(lun(3));
    expect([...sense!.data]).toEqual([0, 18, ...counted(18)]);
    expect(sense!.StatSN).toBe(logout!.StatSN + 1);
  });

  it('ends when the target wants it', () => {
    const { one, sessions } = ready();
    one.connection.end('ended by the target');
    expect(one.connection.closing).toBe('ended by the target');
    expect(sessions.count).toBe(0);
    expect(one.connection.space()).toHaveLength(0);
  });

  it('ends when a PDU begins and does not end', () => {
    const { one } = ready({}, { times: TIMES });
    one.nowMs = 500;
    one.say(one.command({ flags: 0x81 }).subarray(0, 47));
    expect(one.connection.deadlineMs).toBe(700);
    expect(one.connection.expire(700)).toBe('PDU too slow');
  });

  it('ends when its answers are not taken', () => {
    const { one } = ready({}, { times: TIMES });
    one.connection.notify({ event: 1 });
    const flushes = one.connection.flush(10);
    expect(flushes).toHaveLength(1);
    expect(one.connection.deadlineMs).toBe(310);
    expect(one.connection.expire(310)).toBe('answers not taken');
  });

  it('reads no more while too much is not sent', () => {
    const { one } = ready({ MaxRecvDataSegmentLength: 262_144 });
    const ping = one.pdu({ opcode: 0x40, ITT: 1 }, { data: new Uint8Array(262_144) });
    const flushes = [];
    let pings = 0;
    for (; !one.connection.paused; pings++) {
      for (let at = 0; at < ping.length; ) {
        const space = one.connection.space();
        const count = Math.min(space.length, ping.length - at);
        space.set(ping.subarray(at, at + count));
        at += count;
        one.connection.received(count, 0);
        expect(one.connection.next(0)).toBeUndefined();
      }
      flushes.push(...one.connection.flush(0));
    }
    expect(pings).toBeLessThan(130);
    expect(one.connection.space()).toHaveLength(0);
    for (const flush of flushes) one.connection.sent(flush, 0);
    expect(one.connection.paused).toBe(false);
    expect(one.connection.space().length).toBeGreaterThan(0);
  });

  it('never has more to send than any initiator may ask for', () => {
    const output = new PduOutput(new OutputSlabs());
    const data = new Uint8Array(1 << 20);
    const sayMuch = () => {
      for (let times = 0; times < 200; times++) {
        output.begin(IN.NOP, 0x80, NO_TAG);
        output.end(data);
      }
    };
    expect(sayMuch).toThrow('more is said');
    expect(output.unsentBytes).toBeLessThanOrEqual(128 << 20);
    output.close();
    expect(output.unsentBytes).toBe(0);
  });

  it('ends when there is no memory for what is long', () => {
    const { one } = ready({}, { largeMax: 0 });
    one.say(one.pdu({ opcode: 0x40, ITT: 1 }, { data: new Uint8Array(100_000) }));
    expect(one.connection.closing).toBe('no memory for PDUs');
  });

  it('keeps a long buffer only while it needs it', () => {
    const { one, inputs } = ready();
    const long = one.pdu({ opcode: 0x40, ITT: 1 }, { data: counted(200_000) });
    one.say(long.subarray(0, 150_000));
    expect(inputs.largeInUse).toBe(1);
    one.say(long.subarray(150_000));
    one.say(one.pdu({ opcode: 0x40, ITT: 1 }));
    expect(inputs.largeInUse).toBe(0);
  });
});
