import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../../control/disk/scsi/codec/commands.ts';
import { decodeSense } from '../../../../control/disk/scsi/codec/sense.ts';
import { executeWithoutUnit } from '../../../../control/disk/scsi/core/logical_unit.ts';
import {
  BLOCK,
  BLOCKS,
  be,
  cdb,
  digits,
  expectGood,
  expectSense,
  filled,
  hex,
  IDENTITY,
  NAA,
  type Rig,
  rig,
  send,
  senseOf,
} from './support.ts';

const A = 'iqn.a';
const B = 'iqn.b';
const INVALID_FIELD_IN_CDB = 0x2400;

async function data(r: Rig, command: string, port?: number): Promise<Buffer> {
  const sent = port === undefined ? {} : { port };
  return Buffer.from(expectGood(await send(r.unit, A, command, sent)).dataIn!);
}

describe('INQUIRY', () => {
  it('says SPC-4, SBC-3, iSCSI, and who made it', async () => {
    const bytes = await data(rig(), '12 00 00 00ff 00');
    expect([bytes.length, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]]).toEqual([96, 0, 0, 6, 0x12, 91]);
    expect([bytes[5], bytes[6], bytes[7]]).toEqual([0x18, 0x10, 0x02]);
    expect(bytes.subarray(8, 36).toString()).toBe('HOLDFASTSHARED DISK     0001');
    expect(bytes.subarray(58, 66).toString('hex')).toBe('00a0046004c00960');
  });

  it('is cut at the allocation length, and says so as residual', async () => {
    const { unit } = rig();
    const result = expectGood(await send(unit, A, '12 00 00 0008 00', { dataInMax: 255 }));
    expect([result.dataIn?.length, result.residual]).toEqual([8, 247]);
  });

  it('lists its pages in order, and has every page that it lists', async () => {
    const r = rig();
    const list = await data(r, '12 01 00 00ff 00');
    const pages = [...list.subarray(4)];
    expect(pages).toEqual([0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2]);
    for (const page of pages) {
      const bytes = await data(r, `12 01 ${be(page, 1)} 0400 00`);
      expect([bytes[0], bytes[1], bytes.readUInt16BE(2)]).toEqual([0, page, bytes.length - 4]);
    }
    expectSense(await send(r.unit, A, '12 01 82 00ff 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, '12 00 83 00ff 00'), 5, INVALID_FIELD_IN_CDB);
  });

  it('names the disk alike through every port, and the port as it is', async () => {
    const r = rig();
    const designators = (bytes: Buffer): string[] => {
      const list: string[] = [];
      for (let at = 4; at < bytes.length; at += 4 + bytes[at + 3]!)
        list.push(
          `${bytes.subarray(at, at + 2).toString('hex')} ${bytes.subarray(at + 4, at + 4 + bytes[at + 3]!).toString('latin1')}`,
        );
      return list;
    };
    const [first, second] = [await data(r, '12 01 83 0400 00', 1), await data(r, '12 01 83 0400 00', 2)].map(
      designators,
    );
    expect(first![0]).toBe(`0103 ${Buffer.from(NAA).toString('latin1')}`);
    expect(first![1]).toBe('0201 HOLDFASTab12cd34');
    expect(first!.slice(0, 2)).toEqual(second!.slice(0, 2));
    expect(first!.slice(2)).toEqual([
      '5194 \0\0\0\x01',
      '5195 \0\0\0\x01',
      `5398 iqn.2026-01.test:disk,t,0x0001\0\0`,
      `53a8 iqn.2026-01.test:disk\0\0\0`,
    ]);
    expect(second![2]).toBe('5194 \0\0\0\x02');
  });

  it('says the limits that commands are held to', async () => {
    const r = rig({ sizeBytes: 1024 * BLOCK, physicalBlockBytes: 4096, atomicWriteBytesMax: 16 * BLOCK });
    const bytes = await data(r, '12 01 b0 00ff 00');
    expect(bytes.length).toBe(64);
    expect([bytes[4], bytes[5], bytes.readUInt16BE(6)]).toEqual([1, 255, 8]);
    expect([8, 12, 20, 24, 28, 44].map((at) => bytes.readUInt32BE(at))).toEqual([
      16_384, 2048, 0x10_0000, 256, 1, 16,
    ]);
    expect(bytes.readBigUInt64BE(36)).toBe(4_194_304n);
  });

  it('says thin or thick', async () => {
    expect((await data(rig(), '12 01 b2 00ff 00')).subarray(4).toString('hex')).toBe('00e40200');
    expect((await data(rig({ thin: false }), '12 01 b2 00ff 00')).subarray(4).toString('hex')).toBe(
      '00000100',
    );
    expect((await data(rig(), cdb.sixteen('9e', 0, 32).replace('9e 00', '9e 10')))[14]).toBe(0xc0);
    expect((await data(rig({ thin: false }), cdb.sixteen('9e', 0, 32).replace('9e 00', '9e 10')))[14]).toBe(
      0,
    );
  });
});

describe('READ CAPACITY', () => {
  it('gives the last block and the size of blocks', async () => {
    const r = rig({ logicalBlockBytes: 512, physicalBlockBytes: 4096 });
    expect((await data(r, cdb.ten('25', 0, 0))).toString('hex')).toBe(`${be(BLOCKS - 1, 4)}${be(512, 4)}`);
    const long = await data(r, '9e 10 0000000000000000 00000020 00 00');
    expect([long.length, long.readBigUInt64BE(0), long.readUInt32BE(8), long[13]]).toEqual([
      32,
      255n,
      512,
      3,
    ]);
    expectSense(await send(r.unit, A, cdb.ten('25', 1, 0)), 5, INVALID_FIELD_IN_CDB);
    for (let room = 0; room < 16; room += 1)
      expect((await data(r, `9e 10 0000000000000000 ${be(room, 4)} 00 00`)).length).toBe(room);
  });

  it('of 4096 byte blocks', async () => {
    const r = rig({ sizeBytes: 64 * 4096, logicalBlockBytes: 4096 });
    expect((await data(r, cdb.ten('25', 0, 0))).toString('hex')).toBe('0000003f00001000');
    expectGood(await send(r.unit, A, cdb.ten('2a', 63, 1), { dataOut: filled(1, 1, 4096) }));
    expectSense(await send(r.unit, A, cdb.ten('28', 64, 1)), 5, 0x2100);
  });
});

describe('mode pages', () => {
  it('are all there, and each alone', async () => {
    const r = rig();
    const all = await data(r, '1a 00 3f 00 ff 00');
    expect([all[0], all[1], all[2], all[3]]).toEqual([all.length - 1, 0, 0x10, 8]);
    expect(all.subarray(4, 12).toString('hex')).toBe(`${be(BLOCKS, 4)}00000200`);
    const codes: number[] = [];
    for (let at = 12; at < all.length; at += 2 + all[at + 1]!) codes.push(all[at]!);
    expect(codes).toEqual([0x01, 0x08, 0x0a, 0x1c]);
    for (const code of codes) expect((await data(r, `1a 08 ${be(code, 1)} 00 ff 00`))[4]).toBe(code);
    expectSense(await send(r.unit, A, '1a 00 07 00 ff 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, '1a 00 0a 01 ff 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, '1a 00 ff 00 ff 00'), 5, 0x3900);
    const long = await data(r, '5a 10 3f 00 000000 4000 00');
    expect([long.readUInt16BE(0), long[3], long[4], long.readUInt16BE(6)]).toEqual([
      long.length - 2,
      0x10,
      1,
      16,
    ]);
    expect([long.readBigUInt64BE(8), long.readUInt32BE(20)]).toEqual([BigInt(BLOCKS), 512]);
  });

  const control = (byte2: number, byte4: number): string =>
    `0a0a ${be(byte2, 1)}00 ${be(byte4, 1)} 40 0000 ffff 0000`;
  const select = (r: Rig, page: string, name = A) => {
    const list = hex(`00000000 ${page}`);
    return send(r.unit, name, `15 10 0000 ${be(list.length, 1)} 00`, { dataOut: list });
  };

  it('switch sense data to descriptors, for all; the others hear of it', async () => {
    const r = rig();
    expectGood(await send(r.unit, B, '00 00000000 00'));
    expectGood(await select(r, control(0x06, 0)));
    const heard = await send(r.unit, B, '00 00000000 00');
    expect(decodeSense(heard.sense!)).toEqual({ key: 6, code: 0x2a01 });
    expect(heard.sense![0]).toBe(0x72);
    const result = await send(r.unit, B, cdb.sixteen('88', 0x1_0000_0000, 1));
    expect(digits(result.sense)).toBe('72052100 0000000c 000a8000 0000000100000000'.replaceAll(' ', ''));
    expect((await data(r, '1a 08 0a 00 ff 00'))[6]).toBe(0x06);
    expect((await data(r, '1a 08 8a 00 ff 00'))[6]).toBe(0x02);
    expect((await data(r, '1a 08 4a 00 ff 00')).subarray(4).toString('hex')).toBe('0a0a04000800000000000000');
  });

  it('protect from writing, and switch the cache off', async () => {
    const r = rig();
    expectGood(await select(r, control(0x02, 0x08)));
    expectSense(await send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) }), 7, 0x2702);
    expect((await data(r, '1a 00 3f 00 ff 00'))[2]).toBe(0x90);
    expectGood(await select(r, control(0x02, 0)));
    expectGood(await select(r, `0812 00 ${'00'.repeat(17)}`));
    expectGood(await send(r.unit, A, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) }));
    expect(r.image.writes.at(-1)?.fua).toBe(true);
  });

  it('cannot be changed otherwise, nor half', async () => {
    const r = rig();
    expectSense(await select(r, control(0x22, 0)), 5, 0x2600);
    expectSense(await select(r, '0a0b 0200 0040 0000 ffff 000000'), 5, 0x2600);
    expectSense(await select(r, '0200'), 5, 0x2600);
    expectSense(await select(r, control(0x06, 0).replaceAll(' ', '').slice(0, 20)), 5, 0x1a00);
    expectSense(await send(r.unit, A, '15 10 0000 20 00', { dataOut: hex('00000000') }), 5, 0x1a00);
    expectSense(
      await send(r.unit, A, '15 11 0000 04 00', { dataOut: hex('00000000') }),
      5,
      INVALID_FIELD_IN_CDB,
    );
    expectGood(await send(r.unit, A, '15 10 0000 00 00', { dataOut: new Uint8Array(0) }));
    expect((await data(r, '1a 08 0a 00 ff 00'))[6]).toBe(0x02);
  });
});

describe('REPORT SUPPORTED OPERATION CODES', () => {
  it('lists every command once, with what one of them answers', async () => {
    const r = rig();
    const all = await data(r, 'a3 0c 00 00 0000 00010000 00 00');
    expect(all.readUInt32BE(0)).toBe(all.length - 4);
    const commands = COMMANDS.filter(({ name }) => name !== 'WRITE ATOMIC(16)');
    expect((all.length - 4) / 8).toBe(commands.length);
    for (let at = 4; at < all.length; at += 8) {
      const [code, action] = [all[at]!, all.readUInt16BE(at + 2)];
      const hasAction = (all[at + 5]! & 1) === 1;
      const ask = (options: number) =>
        `a3 0c ${be(options, 1)} ${be(code, 1)} ${be(action, 2)} 00001000 00 00`;
      const one = await data(r, ask(hasAction ? 2 : 1));
      expect([one[1], one.readUInt16BE(2), one[4]]).toEqual([3, all.readUInt16BE(at + 6), code]);
      expect(one.length).toBe(4 + one.readUInt16BE(2));
      if (hasAction) expect(one[5]! & 0x1f).toBe(action);
      expectSense(await send(r.unit, A, ask(hasAction ? 1 : 2)), 5, INVALID_FIELD_IN_CDB);
      expect((await data(r, ask(3)))[1]).toBe(3);
    }
    expect((await data(r, 'a3 0c 01 9c 0000 00001000 00 00'))[1]).toBe(1);
    expect((await data(r, 'a3 0c 01 ff 0000 00001000 00 00'))[1]).toBe(1);
  });

  it('has timeouts where they are asked for', async () => {
    const all = await data(rig(), 'a3 0c 80 00 0000 00010000 00 00');
    for (let at = 4; at < all.length; at += 20)
      expect([all[at + 5]! & 2, all.readUInt16BE(at + 8)]).toEqual([2, 10]);
    expect((all.length - 4) % 20).toBe(0);
  });

  it('goes with what the unit does: a bit that does not count is refused', async () => {
    const { unit } = rig({ atomicWriteBytesMax: 4096 });
    for (const form of COMMANDS) {
      for (let byte = 1; byte < form.usage.length - 1; byte += 1) {
        const first = byte === 1 && form.serviceAction !== undefined ? 5 : 0;
        for (let bit = first; bit < 8; bit += 1) {
          if ((form.usage[byte]! & (1 << bit)) !== 0) continue;
          const bytes = new Uint8Array(form.usage.length);
          bytes[0] = form.operationCode;
          bytes[1] = form.serviceAction ?? 0;
          bytes[byte] = bytes[byte]! | (1 << bit);
          const sense = expectSense(await send(unit, A, digits(bytes)), 5, INVALID_FIELD_IN_CDB);
          expect([form.name, sense.byte]).toEqual([form.name, byte]);
        }
      }
      const naca = new Uint8Array(form.usage.length);
      naca.set([form.operationCode, form.serviceAction ?? 0]);
      naca[naca.length - 1] = 0x04;
      expectSense(await send(unit, A, digits(naca)), 5, INVALID_FIELD_IN_CDB);
    }
  });
});

describe('other information', () => {
  it('REPORT LUNS', async () => {
    const r = rig();
    expect((await data(r, 'a0 00 00 000000 00000100 00 00')).toString('hex')).toBe(
      `00000008${'00'.repeat(12)}`,
    );
    expect((await data(r, 'a0 00 01 000000 00000100 00 00')).readUInt32BE(0)).toBe(0);
    expectSense(await send(r.unit, A, 'a0 00 03 000000 00000100 00 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, 'a0 00 00 000000 0000000f 00 00'), 5, INVALID_FIELD_IN_CDB);
  });

  it('REPORT TARGET PORT GROUPS says who owns the disk', async () => {
    const r = rig();
    const bytes = await data(r, 'a3 0a 00000000 00000100 00 00');
    expect(bytes.toString('hex')).toBe(
      ['00000018', '808f0001 00020001 00000001', '018f0002 00020001 00000002'].join('').replaceAll(' ', ''),
    );
    const extended = await data(r, 'a3 2a 00000000 00000100 00 00');
    expect([extended.readUInt32BE(0), extended[4], extended[5]]).toEqual([28, 0x10, 5]);
    expectSense(await send(r.unit, A, 'a3 4a 00000000 00000100 00 00'), 5, INVALID_FIELD_IN_CDB);
  });

  it('answers little in standby, and tells everybody when that changes', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, '00 00000000 00', { port: 2 }));
    r.unit.portGroupsChanged([
      { id: 1, state: 0, preferred: true },
      { id: 2, state: 2, preferred: false },
    ]);
    expectSense(await send(r.unit, A, '00 00000000 00', { port: 2 }), 6, 0x2a06);
    expectSense(await send(r.unit, A, cdb.ten('28', 0, 1), { port: 2 }), 2, 0x040b);
    expectGood(await send(r.unit, A, '12 00 00 00ff 00', { port: 2 }));
    expectGood(await send(r.unit, A, 'a3 0a 00000000 00000100 00 00', { port: 2 }));
    expectGood(await send(r.unit, A, cdb.ten('28', 0, 1), { port: 1 }));
    for (const [state, code] of [
      [3, 0x040c],
      [0xf, 0x040a],
    ] as const) {
      r.unit.portGroupsChanged([{ id: 2, state, preferred: false }]);
      await send(r.unit, A, '00 00000000 00', { port: 2 });
      expectSense(await send(r.unit, A, '00 00000000 00', { port: 2 }), 2, code);
    }
  });

  it('START STOP UNIT empties the cache and stops nobody', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, '1b 00 00 00 00 00'));
    expect(r.image.flushes).toBe(1);
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
    expectSense(await send(r.unit, A, '1b 00 00 00 02 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, '1b 00 00 00 30 00'), 5, INVALID_FIELD_IN_CDB);
  });

  it('a self-test passes, a list of defects is empty', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, '1d 04 00 0000 00'));
    expectSense(await send(r.unit, A, '1d 20 00 0000 00'), 5, INVALID_FIELD_IN_CDB);
    expect((await data(r, '37 00 1d 00000000 0020 00')).toString('hex')).toBe('001d0000');
    expect((await data(r, 'b7 1d 00000000 00000020 00 00')).toString('hex')).toBe('001d000000000000');
  });

  it('what is no command is refused', async () => {
    const r = rig();
    expectSense(await send(r.unit, A, 'ff 0000000000'), 5, 0x2000);
    expectSense(await send(r.unit, A, '9e 1f 0000000000000000 00000020 00 00'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, '28 00 0000'), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(r.unit, A, ''), 5, INVALID_FIELD_IN_CDB);
  });

  it('a logical unit number without disk says that there is none', () => {
    const ask = (command: string) =>
      executeWithoutUnit(
        {
          initiator: { name: A },
          reference: 1n,
          cdb: hex(command),
          dataOut: new Uint8Array(0),
          dataInMax: 255,
          attribute: 'simple',
        },
        IDENTITY,
        [new Uint8Array(8)],
      );
    expect(expectGood(ask('12 00 00 00ff 00')).dataIn?.[0]).toBe(0x7f);
    expect(expectGood(ask('a0 00 00 000000 00000100 00 00')).dataIn?.length).toBe(16);
    expect(senseOf({ status: 2, residual: 0, sense: expectGood(ask('03 000000ff00')).dataIn! }).code).toBe(
      0x2500,
    );
    expectSense(ask('00 00000000 00'), 5, 0x2500);
    expectSense(ask('ff 00000000 00'), 5, 0x2500);
  });
});

describe('unit attentions', () => {
  it('come once to each, before anything else but INQUIRY, REPORT LUNS and REQUEST SENSE', async () => {
    const r = rig({}, { startedBy: 'power on' });
    expectGood(await send(r.unit, A, '12 00 00 00ff 00'));
    expectGood(await send(r.unit, A, 'a0 00 00 000000 00000100 00 00'));
    expectSense(await send(r.unit, A, cdb.ten('28', 0, 1)), 6, 0x2900);
    expectGood(await send(r.unit, A, cdb.ten('28', 0, 1)));
    const sense = expectGood(await send(r.unit, B, '03 000000ff00')).dataIn!;
    expect([sense[2], Buffer.from(sense).readUInt16BE(12)]).toEqual([6, 0x2900]);
    expectGood(await send(r.unit, B, '00 00000000 00'));
  });

  it('tell of a new capacity', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, '00 00000000 00'));
    await r.image.resize(2 * BLOCKS * BLOCK);
    r.unit.capacityChanged();
    expectSense(await send(r.unit, A, '00 00000000 00'), 6, 0x2a09);
    expect((await data(r, cdb.ten('25', 0, 0))).readUInt32BE(0)).toBe(2 * BLOCKS - 1);
    expectGood(await send(r.unit, A, cdb.ten('28', BLOCKS, 1)));
  });

  it('of a reset stand for all that was to be told before', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, '00 00000000 00'));
    r.unit.capacityChanged();
    r.unit.lunsChanged();
    await r.unit.reset('target');
    expectSense(await send(r.unit, A, '00 00000000 00'), 6, 0x2902);
    expectGood(await send(r.unit, A, '00 00000000 00'));
  });
});
