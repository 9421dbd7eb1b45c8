import { describe, expect, it } from 'vitest';
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
  NAA,
  type Rig,
  rig,
  send,
} from './support.ts';

const A = 'iqn.a';
const B = 'iqn.b';
const INVALID_FIELD_IN_CDB = 0x2400;
const INVALID_FIELD_IN_LIST = 0x2600;
const LIST_LENGTH = 0x1a00;

const unmap = (r: Rig, ...ranges: readonly [lba: number | bigint, blocks: number][]) => {
  const list = ranges.map(([lba, blocks]) => `${be(lba, 8)}${be(blocks, 4)}00000000`).join('');
  const dataOut = hex(`${be(6 + ranges.length * 16, 2)}${be(ranges.length * 16, 2)}00000000${list}`);
  return send(r.unit, A, `42 00 00000000 00 ${be(dataOut.length, 2)} 00`, { dataOut });
};

async function status(r: Rig, lba: number, room = 4096): Promise<string[]> {
  const bytes = Buffer.from(
    expectGood(await send(r.unit, A, `9e 12 ${be(lba, 8)} ${be(room, 4)} 00 00`)).dataIn!,
  );
  const list: string[] = [];
  for (let at = 8; at + 16 <= bytes.length; at += 16)
    list.push(
      `${bytes.readBigUInt64BE(at)}+${bytes.readUInt32BE(at + 8)} ${bytes[at + 12] === 0 ? 'mapped' : 'free'}`,
    );
  return list;
}

describe('UNMAP and GET LBA STATUS', () => {
  it('give blocks back, which read as zeros, and say which have been', async () => {
    const r = rig();
    expect(await status(r, 0)).toEqual(['0+256 free']);
    expectGood(await send(r.unit, A, cdb.ten('2a', 0, 20), { dataOut: filled(20, 1) }));
    expectGood(await unmap(r, [3, 2], [10, 1]));
    expect(await status(r, 0)).toEqual([
      '0+3 mapped',
      '3+2 free',
      '5+5 mapped',
      '10+1 free',
      '11+9 mapped',
      '20+236 free',
    ]);
    expect(await status(r, 4, 24)).toEqual(['4+1 free']);
    const read = expectGood(await send(r.unit, A, cdb.ten('28', 3, 3))).dataIn!;
    expect(read).toEqual(new Uint8Array([...filled(2, 0), ...filled(1, 1)]));
  });

  it('take nothing, and zero blocks anywhere', async () => {
    const r = rig();
    expectGood(await unmap(r));
    expectGood(await unmap(r, [0, 0], [BLOCKS, 0]));
    expectGood(await send(r.unit, A, '42 00 00000000 00 0000 00', { dataOut: new Uint8Array(0) }));
  });

  it('refuse what is beyond, too much, too many or cut short, and change nothing', async () => {
    const r = rig();
    expectGood(await send(r.unit, A, cdb.ten('2a', 0, 4), { dataOut: filled(4, 1) }));
    expectSense(await unmap(r, [0, 1], [BLOCKS - 1, 2]), 5, 0x2100);
    expectSense(await unmap(r, [1n << 63n, 1]), 5, 0x2100);
    expectSense(
      await unmap(r, ...Array.from({ length: 257 }, (): [number, number] => [0, 1])),
      5,
      INVALID_FIELD_IN_LIST,
    );
    const big = rig({ sizeBytes: 8 * BLOCK, logicalBlockBytes: 512 });
    expectSense(await unmap(big, [0, 9]), 5, 0x2100);
    for (const list of ['00', '0016001000000000', '0006001000000000'])
      expectSense(
        await send(r.unit, A, `42 00 00000000 00 ${be(list.length / 2, 2)} 00`, { dataOut: hex(list) }),
        5,
        LIST_LENGTH,
      );
    expect(await status(r, 0)).toEqual(['0+4 mapped', '4+252 free']);
  });

  it.each([BLOCKS, BLOCKS + 1, 1n << 63n, (1n << 64n) - 1n])(
    'GET LBA STATUS of %s is out of range',
    async (lba) => {
      expectSense(await send(rig().unit, A, `9e 12 ${be(lba, 8)} 00000018 00 00`), 5, 0x2100);
    },
  );
});

describe('WRITE SAME', () => {
  it.each([
    ['10', (lba: number, blocks: number, flags: number) => cdb.ten('41', lba, blocks, flags)],
    ['16', (lba: number, blocks: number, flags: number) => cdb.sixteen('93', lba, blocks, flags)],
  ] as const)('(%s) writes one block many times', async (_, make) => {
    const r = rig({ sizeBytes: 8192 * BLOCK });
    expectGood(await send(r.unit, A, make(5, 5000, 0), { dataOut: filled(1, 0xa6) }));
    expect(
      Buffer.compare(r.image.bytes, Buffer.concat([filled(5, 0), filled(5000, 0xa6), filled(3187, 0)])),
    ).toBe(0);
    // Zeros take space, unless UNMAP is asked for; other data is written also with UNMAP.
    expectGood(await send(r.unit, A, make(5, 1, 0), { dataOut: filled(1, 0) }));
    expectGood(await send(r.unit, A, make(7, 2, 8), { dataOut: filled(1, 0) }));
    expectGood(await send(r.unit, A, make(10, 1, 8), { dataOut: filled(1, 9) }));
    expect(await status(r, 4)).toEqual([
      '4+1 free',
      '5+2 mapped',
      '7+2 free',
      '9+4996 mapped',
      '5005+3187 free',
    ]);
    expect(r.image.bytes[10 * BLOCK]).toBe(9);
  });

  it('without data (NDOB) writes zeros', async () => {
    const r = rig();
    r.image.bytes.fill(1);
    expectGood(await send(r.unit, A, cdb.sixteen('93', 2, 3, 1), { dataOut: new Uint8Array(0) }));
    expect(r.image.bytes.subarray(BLOCK, 6 * BLOCK)).toEqual(
      new Uint8Array([...filled(1, 1), ...filled(3, 0), ...filled(1, 1)]),
    );
  });

  it('refuses zero blocks, another length than a block, and what is beyond', async () => {
    const r = rig();
    expectSense(
      await send(r.unit, A, cdb.ten('41', 0, 0), { dataOut: filled(1, 1) }),
      5,
      INVALID_FIELD_IN_CDB,
    );
    expectSense(await send(r.unit, A, cdb.ten('41', BLOCKS + 1, 0), { dataOut: filled(1, 1) }), 5, 0x2100);
    expectSense(await send(r.unit, A, cdb.ten('41', BLOCKS - 1, 2), { dataOut: filled(1, 1) }), 5, 0x2100);
    for (const bytes of [256, 1024])
      expectSense(
        await send(r.unit, A, cdb.ten('41', 0, 1, 8), { dataOut: new Uint8Array(bytes) }),
        5,
        0x0e03,
      );
    expectSense(
      await send(r.unit, A, cdb.ten('41', 0, 1, 0x10), { dataOut: filled(1, 1) }),
      5,
      INVALID_FIELD_IN_CDB,
    );
    expect(r.image.writes).toEqual([]);
  });
});

describe('SANITIZE', () => {
  const overwrite = (r: Rig, list: string, length?: number, flags = 1) => {
    const dataOut = hex(list);
    return send(r.unit, A, `48 ${be(flags, 1)} 0000000000 ${be(length ?? dataOut.length, 2)} 00`, {
      dataOut,
    });
  };

  it('BLOCK ERASE leaves nothing mapped', async () => {
    const r = rig();
    r.image.bytes.fill(1);
    r.image.mapped.fill(true);
    expectGood(await send(r.unit, A, '48 02 0000000000 0000 00', { dataOut: new Uint8Array(0) }));
    expect(await status(r, 0)).toEqual(['0+256 free']);
    expect(r.image.bytes.every((byte) => byte === 0)).toBe(true);
    expectSense(await overwrite(r, '0000000000000000', 8, 2), 5, INVALID_FIELD_IN_CDB);
  });

  it('OVERWRITE writes the pattern from the beginning of every block', async () => {
    const r = rig();
    expectGood(await overwrite(r, '01 00 0003 aabbcc'.replaceAll(' ', '')));
    expect(digits(r.image.bytes.subarray(0, 4))).toBe('aabbccaa');
    expect(digits(r.image.bytes.subarray(BLOCK, BLOCK + 4))).toBe('aabbccaa');
    expectGood(await overwrite(r, '82 00 0001 0f'.replaceAll(' ', '')));
    expect(r.image.bytes.every((byte) => byte === 0x0f)).toBe(true);
    expect(r.image.writes.length).toBe(3);
  });

  it('refuses lists that say nothing', async () => {
    const r = rig();
    for (const length of [0, 1, 4, BLOCK + 5])
      expectSense(await overwrite(r, '00'.repeat(BLOCK + 8), length), 5, INVALID_FIELD_IN_CDB);
    for (const list of ['0000000100', '0100000000', '0100000200', '6100000100'])
      expectSense(await overwrite(r, list), 5, INVALID_FIELD_IN_LIST);
    for (let action = 0; action < 0x20; action += 1)
      if (![1, 2, 0x1f].includes(action))
        expectSense(await send(r.unit, A, `48 ${be(action, 1)} 0000000000 0000 00`), 5, INVALID_FIELD_IN_CDB);
  });

  it('goes on through aborts and resets; others hear how far it is', async () => {
    const r = rig();
    const gate = Promise.withResolvers<void>();
    r.image.gate = gate.promise;
    const running = overwrite(r, '0100000155');
    const immediately = ['00 00000000 00', cdb.ten('28', 0, 1), '1b 00 00 00 01 00'];
    for (const command of immediately) {
      const sense = expectSense(await send(r.unit, B, command), 2, 0x041b);
      expect(sense.byte).toBe(0);
    }
    expectGood(await send(r.unit, B, '12 00 00 00ff 00'));
    await r.unit.reset('logical unit');
    expectSense(await send(r.unit, B, '00 00000000 00'), 6, 0x2903);
    expectSense(await send(r.unit, B, '00 00000000 00'), 2, 0x041b);
    gate.resolve();
    expectGood(await running);
    await send(r.unit, A, '00 00000000 00');
    expectGood(await send(r.unit, B, cdb.ten('28', 0, 1)));
    expect(r.image.bytes.every((byte) => byte === 0x55)).toBe(true);
  });

  it('in the background (IMMED) is done when the unit is ready again', async () => {
    const r = rig();
    expectGood(await overwrite(r, '0100000166', undefined, 0x81));
    await r.unit.drained();
    expectGood(await send(r.unit, A, '00 00000000 00'));
    expect(r.image.bytes.every((byte) => byte === 0x66)).toBe(true);
  });

  it('that fails is said until somebody ends that', async () => {
    const r = rig();
    r.image.fault = { fault: 'io' };
    expectSense(await overwrite(r, '0100000155'), 3, 0x0c00);
    r.image.fault = undefined;
    expectSense(await send(r.unit, A, cdb.ten('28', 0, 1)), 3, 0x3103);
    expectGood(await send(r.unit, A, '48 1f 0000000000 0000 00', { dataOut: new Uint8Array(0) }));
    expectGood(await send(r.unit, A, cdb.ten('28', 0, 1)));
  });
});

describe('EXTENDED COPY', () => {
  const target = (designator: Uint8Array = NAA, type = 'e4'): string =>
    `${type}000000 01030010 ${digits(designator).padEnd(40, '0')} 00000200`.replaceAll(' ', '');
  const segment = (from: number, to: number, blocks: number, source = 0, destination = 0): string =>
    `02000018 ${be(source, 2)}${be(destination, 2)} 0000${be(blocks, 2)} ${be(from, 8)}${be(to, 8)}`.replaceAll(
      ' ',
      '',
    );
  const list = (targets: string[], segments: string[], usage = 0, id = 1): Uint8Array => {
    const [first, second] = [targets.join(''), segments.join('')];
    return hex(
      `${be(id, 1)}${be(usage << 3, 1)}${be(first.length / 2, 2)}00000000${be(second.length / 2, 4)}00000000${first}${second}`,
    );
  };
  const copy = (r: Rig, dataOut: Uint8Array) =>
    send(r.unit, A, `83 00 0000000000000000 ${be(dataOut.length, 4)} 00 00`, { dataOut });
  const copyStatus = (r: Rig, id: number) =>
    send(r.unit, A, `84 00 ${be(id, 1)} 00000000000000 00000100 00 00`);

  it('copies blocks, also over each other', async () => {
    const r = rig();
    r.image.bytes.set(r.image.bytes.map((_, at) => Math.floor(at / BLOCK)));
    expectGood(await copy(r, list([target()], [segment(0, 100, 10), segment(0, 4, 20)])));
    const blocks = Array.from({ length: BLOCKS }, (_, at) => r.image.bytes[at * BLOCK + 17]!);
    expect(blocks.slice(100, 110)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(blocks.slice(4, 24)).toEqual(Array.from({ length: 20 }, (_, at) => at));
  });

  it('copies by bytes where the segment says so', async () => {
    const r = rig();
    r.image.bytes.fill(3, 0, 2 * BLOCK);
    const byBytes =
      `0a00001c 00000000 ${be(1024, 4)} ${be(0, 8)}${be(8, 8)} ${be(512, 2)}${be(512, 2)}`.replaceAll(
        ' ',
        '',
      );
    expectGood(await copy(r, list([target()], [byBytes])));
    expect([r.image.bytes[8 * BLOCK], r.image.bytes[9 * BLOCK], r.image.bytes[10 * BLOCK]]).toEqual([
      0, 3, 0,
    ]);
  });

  it('is asked about afterwards, if it wants to be', async () => {
    const r = rig();
    expectSense(await copyStatus(r, 1), 5, INVALID_FIELD_IN_CDB);
    expectGood(await copy(r, list([target()], [segment(0, 8, 4)], 0, 1)));
    expectGood(await copy(r, list([target()], [segment(0, 8, 4)], 2, 2)));
    const bytes = expectGood(await copyStatus(r, 1)).dataIn;
    expect(digits(bytes)).toBe(`00000008 81 0001 00 ${be(4 * BLOCK, 4)}`.replaceAll(' ', ''));
    expectSense(await copyStatus(r, 2), 5, INVALID_FIELD_IN_CDB);
    for (let id = 3; id < 40; id += 1) expectGood(await copy(r, list([target()], [segment(0, 8, 1)], 0, id)));
    expectSense(await copyStatus(r, 1), 5, INVALID_FIELD_IN_CDB);
    expectGood(await copyStatus(r, 39));
  });

  it('refuses lists that do not fit, and does nothing without any', async () => {
    const r = rig();
    expectGood(await copy(r, new Uint8Array(0)));
    const good = list([target()], [segment(0, 8, 1)]);
    for (const bytes of [10, 47, 16 + 32 + 27])
      expectSense(await copy(r, good.subarray(0, bytes)), 5, LIST_LENGTH);
    expectSense(await copy(r, list(Array(17).fill(target()), [segment(0, 8, 1)])), 5, 0x2606);
    expectSense(await copy(r, list([target()], Array(257).fill(segment(0, 8, 1)))), 5, 0x2608);
    expectSense(
      await copy(r, list(Array(17).fill(target()), Array(257).fill(segment(0, 8, 1)))),
      5,
      LIST_LENGTH,
    );
    expectSense(await copy(r, list([target(NAA, 'e0')], [segment(0, 8, 1)])), 5, 0x2607);
    expectSense(await copy(r, list([target()], [segment(0, 8, 1).replace(/^02/, '03')])), 5, 0x2609);
    const inline = list([target()], [segment(0, 8, 1)]);
    inline[15] = 1;
    expectSense(await copy(r, inline), 5, 0x260b);
    expect(r.image.writes).toEqual([]);
  });

  it('ends where a target is not there, or a segment does not fit', async () => {
    const r = rig();
    expectSense(await copy(r, list([target()], [segment(0, 8, 1, 0, 1)])), 0xa, 0x0804);
    expectSense(await copy(r, list([target(new Uint8Array(16).fill(9))], [segment(0, 8, 1)])), 0xa, 0x0804);
    expectSense(await copy(r, list([target()], [segment(0, BLOCKS - 1, 2)])), 0xa, 0);
    expectSense(await copy(r, list([target()], [segment(BLOCKS - 1, 0, 2)])), 0xa, 0);
    expectSense(
      await copy(r, list([target()], [`0a00001c00000000${be(512, 4)}${be(0, 16)}00010000`])),
      0xa,
      0,
    );
    expect(r.image.writes).toEqual([]);
  });

  it('reaches other disks that it is told of', async () => {
    const other = rig();
    other.image.bytes.fill(7);
    const name = new Uint8Array(16).fill(0x61);
    const r = rig(
      {},
      {
        copyEnd: (designator) =>
          digits(designator) === digits(name) ? { image: other.image, writable: false } : undefined,
      },
    );
    expectGood(await copy(r, list([target(name), target()], [segment(0, 5, 2, 0, 1)])));
    expect([r.image.bytes[4 * BLOCK], r.image.bytes[5 * BLOCK], r.image.bytes[7 * BLOCK]]).toEqual([0, 7, 0]);
    expectSense(await copy(r, list([target(name), target()], [segment(0, 5, 2, 1, 0)])), 7, 0x2700);
  });

  it('says what it can', async () => {
    const bytes = Buffer.from(
      expectGood(await send(rig().unit, A, '84 03 0000000000000000 00000100 00 00')).dataIn!,
    );
    expect([
      bytes.readUInt32BE(0),
      bytes.readUInt16BE(8),
      bytes.readUInt16BE(10),
      bytes.readUInt32BE(16),
    ]).toEqual([bytes.length - 4, 16, 256, 256 * 1024 * 1024]);
    expect(bytes.subarray(43).toString('hex')).toBe('03020ae4');
  });
});
