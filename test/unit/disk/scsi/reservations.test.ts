import { describe, expect, it } from 'vitest';
import {
  A,
  attention,
  B,
  C,
  CLEAR,
  CONFLICT,
  EA,
  EAAR,
  EARO,
  PREEMPT,
  PREEMPT_AND_ABORT,
  PREEMPTED,
  REGISTER,
  REGISTER_AND_IGNORE,
  REGISTER_AND_MOVE,
  REGISTRATION_PREEMPTED,
  RELEASE,
  RELEASED,
  RESERVE,
  readKeys,
  readReservation,
  register,
  registered,
  TYPES,
  WE,
  WEAR,
  WERO,
} from './reservation_support.ts';
import {
  allSettled,
  be,
  cdb,
  digits,
  expectGood,
  expectSense,
  filled,
  hex,
  keys,
  reserveOut,
  rig,
  send,
} from './support.ts';

describe('REGISTER', () => {
  it('registers, changes the key and unregisters, with the key that is registered alone', async () => {
    const r = rig();
    expect((await reserveOut(r.unit, A, REGISTER, 0, keys(1, 2))).status).toBe(CONFLICT);
    expectGood(await register(r, A, 0xa));
    expect((await register(r, A, 0xb)).status).toBe(CONFLICT);
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0xa, 0xb)));
    expect(await readKeys(r)).toEqual({ generation: 2, keys: ['b'] });
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0xb, 0)));
    expect(await readKeys(r)).toEqual({ generation: 3, keys: [] });
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0, 0)));
    expect((await readKeys(r)).keys).toEqual([]);
  });

  it('AND IGNORE EXISTING KEY needs no key', async () => {
    const r = rig();
    expectGood(await reserveOut(r.unit, A, REGISTER_AND_IGNORE, 0, keys(0x77, 0xa)));
    expectGood(await reserveOut(r.unit, A, REGISTER_AND_IGNORE, 0, keys(0x78, 0xb)));
    expect((await readKeys(r)).keys).toEqual(['b']);
    expectGood(await reserveOut(r.unit, A, REGISTER_AND_IGNORE, 0, keys(0x79, 0)));
    expect((await readKeys(r)).keys).toEqual([]);
  });

  it.each([
    { type: WE, told: undefined, after: 'none' },
    { type: EA, told: undefined, after: 'none' },
    { type: WERO, told: RELEASED, after: 'none' },
    { type: EARO, told: RELEASED, after: 'none' },
    { type: WEAR, told: undefined, after: '0 type 7' },
    { type: EAAR, told: undefined, after: '0 type 8' },
  ])(
    'of the holder with key zero ends a reservation of type $type, or not',
    async ({ type, told, after }) => {
      const r = await registered({ [A]: 0xa, [B]: 0xb }, type);
      expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0xa, 0)));
      expect(await readReservation(r)).toBe(after);
      expect([await attention(r, A), await attention(r, B)]).toEqual([undefined, told]);
      expectGood(await reserveOut(r.unit, B, REGISTER, 0, keys(0xb, 0)));
      expect(await readReservation(r)).toBe('none');
    },
  );

  it('keeps the reservation of a holder that changes its key', async () => {
    const r = await registered({ [A]: 0xa }, EA);
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0xa, 0xaa)));
    expect(await readReservation(r)).toBe('aa type 3');
    expectGood(await send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) }));
  });

  it('knows an initiator by its name, whatever its ISID', async () => {
    const r = rig();
    const list = keys(0, 0xa);
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, list, { isid: hex('800000000001') }));
    expectGood(await reserveOut(r.unit, A, RESERVE, EA, keys(0xa, 0), { isid: hex('80ffffffffff') }));
    expect((await readKeys(r)).keys).toEqual(['a']);
  });

  it('tells sessions apart by ISID where that counts', async () => {
    const r = rig({}, { isidCounts: true });
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0, 0xa), { isid: hex('800000000001') }));
    const other = await reserveOut(r.unit, A, RESERVE, EA, keys(0xa, 0), { isid: hex('80ffffffffff') });
    expect(other.status).toBe(CONFLICT);
  });

  const transportId = (name: string): string => {
    const text = Buffer.from(name).toString('hex');
    const size = Math.max(20, (name.length + 4) & ~3);
    return `05 00 ${be(size, 2)} ${text.padEnd(size * 2, '0')}`;
  };
  const withIds = (...names: string[]): Uint8Array => {
    const ids = hex(names.map(transportId).join(' '));
    return keys(0, 0xa, 0x08, `${be(ids.length, 4)} ${digits(ids)}`);
  };

  it('registers others by SPEC_I_PT: all of them or none', async () => {
    const r = rig();
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, withIds(B, C)));
    expect((await readKeys(r)).keys).toEqual(['a', 'a', 'a']);
    expectGood(await reserveOut(r.unit, B, RESERVE, WE, keys(0xa, 0)));
    const other = await registered({ [B]: 0xb });
    expect((await reserveOut(other.unit, A, REGISTER, 0, withIds(C, B))).status).toBe(CONFLICT);
    expect((await readKeys(other)).keys).toEqual(['b']);
  });

  it('refuses SPEC_I_PT where it does not belong, and TransportIDs that are none', async () => {
    const r = await registered({ [A]: 0xa });
    const list = withIds(B);
    list.set(hex(be(0xa, 8)), 0);
    expectSense(await reserveOut(r.unit, A, REGISTER, 0, list), 5, 0x2600);
    expectSense(await reserveOut(r.unit, C, REGISTER_AND_IGNORE, 0, withIds(B)), 5, 0x2600);
    for (const [at, value] of [
      [28, 0x06],
      [29, 1],
      [31, 19],
      [31, 24],
      [32, 0],
    ] as const) {
      const broken = withIds(B);
      broken[at] = value;
      expectSense(await reserveOut(r.unit, C, REGISTER, 0, broken), 5, 0x2600);
    }
    expectSense(await reserveOut(r.unit, C, REGISTER, 0, withIds(B).subarray(0, 40)), 5, 0x1a00);
    expect((await readKeys(r)).keys).toEqual(['a']);
  });

  it('with ALL_TG_PT counts through every target port, without it through one', async () => {
    const r = rig();
    expectGood(await reserveOut(r.unit, A, REGISTER, 0, keys(0, 0xa, 0x04), { port: 1 }));
    expectGood(await reserveOut(r.unit, A, RESERVE, EA, keys(0xa, 0), { port: 2 }));
    expectGood(await send(r.unit, A, cdb.ten('28', 0, 1), { port: 1 }));
    const other = rig();
    expectGood(await register(other, A, 0xa, 1));
    expect((await reserveOut(other.unit, A, RESERVE, EA, keys(0xa, 0), { port: 2 })).status).toBe(CONFLICT);
    expectGood(await reserveOut(other.unit, A, RESERVE, EA, keys(0xa, 0), { port: 1 }));
    expect((await send(other.unit, A, cdb.ten('28', 0, 1), { port: 2 })).status).toBe(CONFLICT);
  });
});

describe('RESERVE, RELEASE and CLEAR', () => {
  it.each(TYPES)(
    'type %i is held until the holder releases it, who tells registrants if it was theirs',
    async (type) => {
      const r = await registered({ [A]: 0xa, [B]: 0xb }, type);
      expectGood(await reserveOut(r.unit, A, RESERVE, type, keys(0xa, 0)));
      const other = type === WE ? EA : WE;
      expect((await reserveOut(r.unit, A, RESERVE, other, keys(0xa, 0))).status).toBe(CONFLICT);
      expectSense(await reserveOut(r.unit, A, RELEASE, other, keys(0xa, 0)), 5, 0x2604);
      expect((await reserveOut(r.unit, A, RELEASE, type, keys(0xb, 0))).status).toBe(CONFLICT);
      expectGood(await reserveOut(r.unit, A, RELEASE, type, keys(0xa, 0)));
      expect(await readReservation(r)).toBe('none');
      expect([await attention(r, A), await attention(r, B)]).toEqual([
        undefined,
        type >= WERO ? RELEASED : undefined,
      ]);
      expectGood(await reserveOut(r.unit, A, RELEASE, type, keys(0xa, 0)));
      expect((await readKeys(r)).generation).toBe(2);
    },
  );

  it('CLEAR ends all, and every other registrant hears of it', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb, [C]: 0xc }, WE);
    expect((await reserveOut(r.unit, B, CLEAR, 0, keys(0xa, 0))).status).toBe(CONFLICT);
    expectGood(await reserveOut(r.unit, B, CLEAR, 0, keys(0xb, 0)));
    expect([await readReservation(r), await readKeys(r)]).toEqual(['none', { generation: 4, keys: [] }]);
    expect([await attention(r, A), await attention(r, B), await attention(r, C)]).toEqual([
      PREEMPTED,
      undefined,
      PREEMPTED,
    ]);
  });

  it('refuse a scope, a type or a list that does not exist', async () => {
    const r = await registered({ [A]: 0xa });
    for (const type of [0, 2, 4, 9, 0xf])
      expectSense(await reserveOut(r.unit, A, RESERVE, type, keys(0xa, 0)), 5, 0x2400);
    expectSense(await reserveOut(r.unit, A, RESERVE, 0x11, keys(0xa, 0)), 5, 0x2400);
    expectSense(await reserveOut(r.unit, A, RESERVE, WE, keys(0xa, 0).subarray(0, 23)), 5, 0x1a00);
    expectSense(await reserveOut(r.unit, A, RESERVE, WE, keys(0xa, 0, 0, '00')), 5, 0x1a00);
    for (const action of [8, 9, 0x1f])
      expectSense(await reserveOut(r.unit, A, action, WE, keys(0xa, 0)), 5, 0x2400);
  });
});

describe('PREEMPT', () => {
  it.each([PREEMPT, PREEMPT_AND_ABORT])(
    '(%i) takes the reservation of the key that is named',
    async (action) => {
      const r = await registered({ [A]: 0xa, [B]: 0xb, [C]: 0xc }, WERO);
      expectGood(await reserveOut(r.unit, B, action, EARO, keys(0xb, 0xa)));
      expect(await readReservation(r)).toBe('b type 6');
      expect(await readKeys(r)).toEqual({ generation: 4, keys: ['b', 'c'] });
      expect([await attention(r, A), await attention(r, B), await attention(r, C)]).toEqual([
        REGISTRATION_PREEMPTED,
        undefined,
        RELEASED,
      ]);
      expect((await send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) })).status).toBe(CONFLICT);
    },
  );

  it('tells nobody of a release where the type stays', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb, [C]: 0xc }, WERO);
    expectGood(await reserveOut(r.unit, B, PREEMPT, WERO, keys(0xb, 0xa)));
    expect(await attention(r, C)).toBeUndefined();
  });

  it('removes registrations alone where the key does not hold', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb, [C]: 0xb }, WE);
    expectGood(await reserveOut(r.unit, A, PREEMPT, EA, keys(0xa, 0xb)));
    expect([await readReservation(r), (await readKeys(r)).keys]).toEqual(['a type 1', ['a']]);
    expect([await attention(r, B), await attention(r, C)]).toEqual([
      REGISTRATION_PREEMPTED,
      REGISTRATION_PREEMPTED,
    ]);
  });

  it('refuses a key that nobody has, and key zero where one holds', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb }, WE);
    expect((await reserveOut(r.unit, B, PREEMPT, WE, keys(0xb, 0x99))).status).toBe(CONFLICT);
    expectSense(await reserveOut(r.unit, B, PREEMPT, WE, keys(0xb, 0)), 5, 0x2600);
    expect((await reserveOut(r.unit, B, PREEMPT, WE, keys(0xa, 0xa))).status).toBe(CONFLICT);
    expect(await readReservation(r)).toBe('a type 1');
  });

  it('of one for all registrants takes it with key zero, and with another key leaves it to the rest', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb, [C]: 0xc }, WEAR);
    expectGood(await reserveOut(r.unit, B, PREEMPT, WE, keys(0xb, 0xc)));
    expect([await readReservation(r), (await readKeys(r)).keys]).toEqual(['0 type 7', ['a', 'b']]);
    expectGood(await reserveOut(r.unit, B, PREEMPT, EA, keys(0xb, 0)));
    expect([await readReservation(r), (await readKeys(r)).keys]).toEqual(['b type 3', ['b']]);
    expect([await attention(r, A), await attention(r, C)]).toEqual([
      REGISTRATION_PREEMPTED,
      REGISTRATION_PREEMPTED,
    ]);
  });

  it('of the own key keeps the one that asks, without the others of that key', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xa }, WE);
    expectGood(await reserveOut(r.unit, A, PREEMPT, EA, keys(0xa, 0xa)));
    expect([await readReservation(r), (await readKeys(r)).keys]).toEqual(['a type 3', ['a']]);
  });

  it('AND ABORT answers when no write of the preempted one can reach the medium any more', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb }, WERO);
    const gate = Promise.withResolvers<void>();
    r.image.gate = gate.promise;
    const running = send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) });
    const waiting = send(r.unit, A, cdb.ten('2a', 0, 2), { dataOut: filled(2, 2) });
    let answered = false;
    const preempting = reserveOut(r.unit, B, PREEMPT_AND_ABORT, WERO, keys(0xb, 0xa)).then((result) => {
      answered = true;
      return result;
    });
    // What waits ends at once, before the storage has answered anything.
    expect((await waiting).status).toBe(0x40);
    await allSettled();
    expect(answered).toBe(false);
    gate.resolve();
    expectGood(await preempting);
    expect((await running).status).toBe(0x40);
    const written = r.image.writes.length;
    expect(await attention(r, A)).toBe(REGISTRATION_PREEMPTED);
    expect((await send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) })).status).toBe(CONFLICT);
    expect(r.image.writes.length).toBe(written);
  });
});

describe('REGISTER AND MOVE', () => {
  const move = (key: number, serviceActionKey: number, name: string, flags = 0, port = 1): Uint8Array => {
    const size = Math.max(20, (name.length + 4) & ~3);
    const id = `05 00 ${be(size, 2)} ${Buffer.from(name)
      .toString('hex')
      .padEnd(size * 2, '0')}`;
    return hex(
      `${be(key, 8)} ${be(serviceActionKey, 8)} 00 ${be(flags, 1)} ${be(port, 2)} ${be(size + 4, 4)} ${id}`,
    );
  };

  it('hands the reservation to another initiator', async () => {
    const r = await registered({ [A]: 0xa }, EA);
    expectGood(await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B)));
    expect([await readReservation(r), (await readKeys(r)).keys.toSorted()]).toEqual(['b type 3', ['a', 'b']]);
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
    expect((await send(r.unit, A, cdb.ten('28', 0, 1))).status).toBe(CONFLICT);
  });

  it('unregisters the one that asks if it wants that', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0x1 }, EA);
    expectGood(await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B, 0x02)));
    expect([await readReservation(r), (await readKeys(r)).keys]).toEqual(['b type 3', ['b']]);
  });

  it('is for the holder of a reservation of one initiator alone', async () => {
    const none = await registered({ [A]: 0xa });
    expect((await reserveOut(none.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B))).status).toBe(CONFLICT);
    const all = await registered({ [A]: 0xa }, WEAR);
    expect((await reserveOut(all.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B))).status).toBe(CONFLICT);
    const other = await registered({ [A]: 0xa, [B]: 0xb }, WE);
    expect((await reserveOut(other.unit, B, REGISTER_AND_MOVE, 0, move(0xb, 0xc, C))).status).toBe(CONFLICT);
  });

  it('refuses key zero, itself, a port that is not there, and a wrong list', async () => {
    const r = await registered({ [A]: 0xa }, WE);
    expectSense(await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0, B)), 5, 0x2600);
    expectSense(await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, A)), 5, 0x2600);
    expectSense(await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B, 0, 9)), 5, 0x2600);
    expectSense(
      await reserveOut(r.unit, A, REGISTER_AND_MOVE, 0, move(0xa, 0xb, B).subarray(0, 30)),
      5,
      0x1a00,
    );
    expect(await readReservation(r)).toBe('a type 1');
  });
});

describe('PERSISTENT RESERVE IN', () => {
  it('says what there is in full, whatever room there is for it', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb }, WE);
    const data = Buffer.from(expectGood(await send(r.unit, C, '5e 03 0000000000 4000 00')).dataIn!);
    expect(data.readUInt32BE(4)).toBe(data.length - 8);
    const first = data.subarray(8);
    expect([
      first.readBigUInt64BE(0),
      first[12],
      first[13],
      first.readUInt16BE(18),
      first.readUInt32BE(20),
    ]).toEqual([0xan, 0x01, WE, 1, 24]);
    expect(first.subarray(24, 28).toString('hex')).toBe('05000014');
    expect(first.subarray(28, 33).toString()).toBe(A);
    const second = first.subarray(48);
    expect([second.readBigUInt64BE(0), second[12], second[13]]).toEqual([0xbn, 0, 0]);
    const cut = expectGood(await send(r.unit, C, '5e 00 0000000000 000a 00'));
    expect([cut.dataIn?.length, Buffer.from(cut.dataIn!).readUInt32BE(4)]).toEqual([10, 16]);
  });

  it('says what it can, and refuses what there is not', async () => {
    const r = rig();
    const data = expectGood(await send(r.unit, A, '5e 02 0000000000 4000 00')).dataIn;
    expect(digits(data)).toBe('00081d81ea010000');
    for (let action = 4; action < 0x20; action += 1)
      expectSense(await send(r.unit, A, `5e ${be(action, 1)} 0000000000 4000 00`), 5, 0x2400);
  });
});

describe('what is reserved', () => {
  it('is durable before GOOD, and not in force before it is durable', async () => {
    const r = await registered({ [A]: 0xa });
    const disk = Promise.withResolvers<void>();
    r.store.save = () => disk.promise;
    let answered = false;
    const reserving = reserveOut(r.unit, A, RESERVE, EA, keys(0xa, 0)).then((result) => {
      answered = true;
      return result;
    });
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
    expect([answered, await readReservation(r)]).toEqual([false, 'none']);
    disk.resolve();
    expectGood(await reserving);
    expect((await send(r.unit, B, cdb.ten('28', 0, 1))).status).toBe(CONFLICT);
  });

  it('is not, where the store fails', async () => {
    const r = await registered({ [A]: 0xa });
    r.store.save = async () => {
      throw new Error('no quorum');
    };
    expectSense(await reserveOut(r.unit, A, RESERVE, EA, keys(0xa, 0)), 4, 0x4400);
    expect(await readReservation(r)).toBe('none');
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
  });

  it('is known to the next owner, as it was stored', async () => {
    const first = await registered({ [A]: 0xa, [B]: 0xb }, EARO);
    const stored = JSON.parse(JSON.stringify(first.saved.at(-1)));
    const r = rig({}, { reservations: stored });
    expect([await readReservation(r), await readKeys(r)]).toEqual([
      'a type 6',
      { generation: 2, keys: ['a', 'b'] },
    ]);
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
    expect((await send(r.unit, C, cdb.ten('28', 0, 1))).status).toBe(CONFLICT);
    expectGood(await reserveOut(r.unit, A, RELEASE, EARO, keys(0xa, 0)));
  });

  it('stays over resets and logouts; who is away hears of what happened when it comes back', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb }, WE);
    await r.unit.nexusLost({ name: A });
    await r.unit.reset('logical unit');
    expect(await attention(r, B)).toBe(0x2903);
    expectGood(await reserveOut(r.unit, B, PREEMPT, WE, keys(0xb, 0xa)));
    expect([await attention(r, A), await attention(r, A)]).toEqual([0x2903, REGISTRATION_PREEMPTED]);
  });

  it('has a limit', async () => {
    const r = rig();
    for (let at = 0; at < 1024; at += 1) expectGood(await register(r, `iqn.${at}`, at + 1));
    expectSense(await register(r, 'iqn.more', 7), 5, 0x5504);
    expect((await readKeys(r)).keys.length).toBe(1024);
  });
});

describe('RESERVE(6)', () => {
  const reserve = '16 00000000 00';
  const release = '17 00000000 00';

  it('keeps others out, but for what tells them about it', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, reserve));
    expectGood(await send(r.unit, A, reserve));
    for (const command of [
      reserve,
      '00 00000000 00',
      cdb.ten('28', 0, 1),
      '1a 003f00ff00',
      '5e 00 0000000000 4000 00',
    ])
      expect((await send(r.unit, B, command)).status).toBe(CONFLICT);
    for (const command of ['12 000000ff00', '03 000000ff00', 'a0 00 00 000000 00000100 0000', release])
      expectGood(await send(r.unit, B, command));
    expect((await send(r.unit, A, '5e 00 0000000000 4000 00')).status).toBe(CONFLICT);
    expectGood(await send(r.unit, A, cdb.ten('28', 0, 1)));
    expectGood(await send(r.unit, A, release));
    expectGood(await send(r.unit, B, reserve));
  });

  it('ends with a reset and with the initiator', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, reserve));
    await r.unit.nexusLost({ name: A });
    expectGood(await send(r.unit, B, reserve));
    await r.unit.reset('logical unit');
    expect(await attention(r, A)).toBe(0x2903);
    expectGood(await send(r.unit, A, reserve));
  });

  it('beside persistent reservations is for those that have everything anyway', async () => {
    const r = await registered({ [A]: 0xa, [B]: 0xb }, WERO);
    expectGood(await send(r.unit, A, reserve));
    expectGood(await send(r.unit, B, reserve));
    expect((await send(r.unit, C, reserve)).status).toBe(CONFLICT);
    expectGood(await send(r.unit, A, release));
    expect((await readKeys(r)).keys).toEqual(['a', 'b']);
  });
});
