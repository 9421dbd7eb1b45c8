import { describe, expect, it } from 'vitest';
import { COMMANDS, type CommandName } from '../../../../control/disk/scsi/codec/commands.ts';
import {
  A,
  B,
  C,
  CLEAR,
  CONFLICT,
  EA,
  PREEMPT,
  PREEMPT_AND_ABORT,
  REGISTER_AND_IGNORE,
  RELEASE,
  RESERVE,
  readReservation,
  register,
  registered,
  TYPES,
  WE,
  WEAR,
  WERO,
} from './reservation_support.ts';
import { digits, expectGood, keys, reserveOut, rig, send } from './support.ts';

describe('the conflict matrix', () => {
  // SPC-4 table 66 and SBC-3 table 13, by column: another holds Write Exclusive; Exclusive Access; for registrants or all
  // registrants, from a registered nexus; Write Exclusive for those, from one that is not; Exclusive Access likewise.
  const WRITES = 'C C A C C';
  const READS = 'A C A A C';
  const ALWAYS = 'A A A A A';
  const TABLE: Record<
    Exclude<CommandName, `PERSISTENT RESERVE OUT ${string}` | 'RESERVE(6)' | 'RELEASE(6)'>,
    string
  > = {
    'TEST UNIT READY': ALWAYS,
    'REQUEST SENSE': ALWAYS,
    INQUIRY: ALWAYS,
    'REPORT LUNS': ALWAYS,
    'REPORT TARGET PORT GROUPS': ALWAYS,
    'READ CAPACITY(10)': ALWAYS,
    'READ CAPACITY(16)': ALWAYS,
    'PERSISTENT RESERVE IN READ KEYS': ALWAYS,
    'PERSISTENT RESERVE IN READ RESERVATION': ALWAYS,
    'PERSISTENT RESERVE IN REPORT CAPABILITIES': ALWAYS,
    'PERSISTENT RESERVE IN READ FULL STATUS': ALWAYS,
    'MODE SENSE(6)': READS,
    'MODE SENSE(10)': READS,
    'MODE SELECT(6)': WRITES,
    'MODE SELECT(10)': WRITES,
    'SEND DIAGNOSTIC': WRITES,
    'REPORT SUPPORTED OPERATION CODES': READS,
    'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS': READS,
    'EXTENDED COPY(LID1)': WRITES,
    'RECEIVE COPY STATUS(LID1)': WRITES,
    'RECEIVE COPY OPERATING PARAMETERS': WRITES,
    'PREVENT ALLOW MEDIUM REMOVAL': ALWAYS,
    'START STOP UNIT': WRITES,
    'READ(6)': READS,
    'READ(10)': READS,
    'READ(12)': READS,
    'READ(16)': READS,
    'VERIFY(10)': READS,
    'VERIFY(12)': READS,
    'VERIFY(16)': READS,
    'PRE-FETCH(10)': READS,
    'PRE-FETCH(16)': READS,
    'GET LBA STATUS': READS,
    'READ DEFECT DATA(10)': READS,
    'READ DEFECT DATA(12)': READS,
    'WRITE(6)': WRITES,
    'WRITE(10)': WRITES,
    'WRITE(12)': WRITES,
    'WRITE(16)': WRITES,
    'WRITE AND VERIFY(10)': WRITES,
    'WRITE AND VERIFY(12)': WRITES,
    'WRITE AND VERIFY(16)': WRITES,
    'WRITE ATOMIC(16)': WRITES,
    'WRITE SAME(10)': WRITES,
    'WRITE SAME(16)': WRITES,
    'COMPARE AND WRITE': WRITES,
    'ORWRITE(16)': WRITES,
    UNMAP: WRITES,
    'SANITIZE OVERWRITE': WRITES,
    'SANITIZE BLOCK ERASE': WRITES,
    'SANITIZE EXIT FAILURE MODE': WRITES,
    'SYNCHRONIZE CACHE(10)': WRITES,
    'SYNCHRONIZE CACHE(16)': WRITES,
  };
  const column = (type: number, isRegistered: boolean): number => {
    if (type === WE) return 0;
    if (type === EA) return 1;
    if (isRegistered) return 2;
    return type === WERO || type === WEAR ? 3 : 4;
  };
  const command = (name: string): string => {
    const form = COMMANDS.find((each) => each.name === name)!;
    return digits(
      Uint8Array.from(form.usage, (_, at) => {
        if (at === 0) return form.operationCode;
        return at === 1 ? (form.serviceAction ?? 0) : 0;
      }),
    );
  };

  it('knows every command', () => {
    const judged = COMMANDS.map(({ name }) => name).filter(
      (name) => !name.startsWith('PERSISTENT RESERVE OUT') && name !== 'RESERVE(6)' && name !== 'RELEASE(6)',
    );
    expect(judged.toSorted()).toEqual(Object.keys(TABLE).toSorted());
  });

  for (const type of TYPES)
    it.each(Object.entries(TABLE))(`type ${type}: %s is %s`, async (name, columns) => {
      for (const isRegistered of [true, false]) {
        const r = rig({ atomicWriteBytesMax: 4096 });
        expectGood(await register(r, A, 0xa));
        if (isRegistered) expectGood(await register(r, B, 0xb));
        expectGood(await reserveOut(r.unit, A, RESERVE, type, keys(0xa, 0)));
        const allowed = columns.split(' ')[column(type, isRegistered)] === 'A';
        const { status } = await send(r.unit, B, command(name));
        expect(status === CONFLICT, `from ${isRegistered ? 'a registered' : 'another'} nexus`).toBe(!allowed);
        // The holder itself is never in the way of itself.
        expect((await send(r.unit, A, command(name))).status).not.toBe(CONFLICT);
      }
    });

  it('lets START and allowing removal through, whatever is held', async () => {
    const r = await registered({ [A]: 1 }, EA);
    expectGood(await send(r.unit, B, '1b 00 00 00 01 00'));
    expect((await send(r.unit, B, '1b 00 00 00 00 00')).status).toBe(CONFLICT);
    expectGood(await send(r.unit, B, '1e 00 00 00 00 00'));
    expect((await send(r.unit, B, '1e 00 00 00 01 00')).status).toBe(CONFLICT);
  });

  // SPC-4 table 68.
  it.each(TYPES)('type %i: what PERSISTENT RESERVE OUT may do for whom', async (type) => {
    const actions = [RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT];
    for (const action of actions) {
      const r = await registered({ [A]: 0xa }, type);
      expect((await reserveOut(r.unit, B, action, type, keys(0, 0xa))).status).toBe(CONFLICT);
    }
    const r = await registered({ [A]: 0xa, [B]: 0xb }, type);
    const again = await reserveOut(r.unit, B, RESERVE, type, keys(0xb, 0));
    expect(again.status).toBe(type >= WEAR ? 0 : CONFLICT);
    expectGood(await register(r, C, 0xc));
    expectGood(await reserveOut(r.unit, C, REGISTER_AND_IGNORE, 0, keys(0xdead, 0xcc)));
    if (type < WEAR) expectGood(await reserveOut(r.unit, B, RELEASE, type, keys(0xb, 0)));
    expect(await readReservation(r)).toBe(`${type >= WEAR ? '0' : 'a'} type ${type}`);
  });
});
