import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, BLOCKS, cdb, digits, expectGood, expectSense, filled, rig, send } from './support.ts';

const A = 'iqn.a';
const LBA_OUT_OF_RANGE = 0x2100;
const INVALID_FIELD_IN_CDB = 0x2400;
const WRONG_DATA_OUT = 0x0e03;

describe('READ and WRITE', () => {
  const forms = [
    { name: '6', write: cdb.write6, read: cdb.read6 },
    {
      name: '10',
      write: (l: number, n: number) => cdb.ten('2a', l, n),
      read: (l: number, n: number) => cdb.ten('28', l, n),
    },
    {
      name: '12',
      write: (l: number, n: number) => cdb.twelve('aa', l, n),
      read: (l: number, n: number) => cdb.twelve('a8', l, n),
    },
    {
      name: '16',
      write: (l: number, n: number) => cdb.sixteen('8a', l, n),
      read: (l: number, n: number) => cdb.sixteen('88', l, n),
    },
  ];
  it.each(forms)('of $name bytes give back what was written', async ({ write, read }) => {
    const { unit } = rig();
    expectGood(await send(unit, A, write(7, 3), { dataOut: filled(3, 0xa5) }));
    const result = expectGood(await send(unit, A, read(6, 5), { dataInMax: 5 * BLOCK }));
    expect(result.dataIn).toEqual(new Uint8Array([...filled(1, 0), ...filled(3, 0xa5), ...filled(1, 0)]));
    expect(result.residual).toBe(0);
  });

  it.each(forms)(
    'of $name bytes are refused beyond the last block, with where that is',
    async ({ read, write }) => {
      const { unit, image } = rig();
      const sense = expectSense(await send(unit, A, read(BLOCKS - 1, 2)), 5, LBA_OUT_OF_RANGE);
      expect(sense.information).toBe(BLOCKS);
      expectSense(await send(unit, A, write(BLOCKS - 1, 2), { dataOut: filled(2, 1) }), 5, LBA_OUT_OF_RANGE);
      expect(image.writes).toEqual([]);
      expectGood(await send(unit, A, read(BLOCKS - 1, 1)));
    },
  );

  it('refuse an LBA of 64 bits that is not there, rounded or not', async () => {
    const { unit } = rig();
    for (const lba of [1n << 63n, (1n << 64n) - 1n, 1n << 54n, 1n << 55n])
      expectSense(await send(unit, A, cdb.sixteen('88', lba, 1)), 5, LBA_OUT_OF_RANGE);
  });

  it('take zero blocks as 256 in six bytes, and as nothing in ten', async () => {
    const { unit } = rig();
    expect((await send(unit, A, cdb.read6(0, 0), { dataInMax: 1 << 20 })).dataIn?.length).toBe(256 * BLOCK);
    const nothing = expectGood(await send(unit, A, cdb.ten('28', 0, 0), { dataInMax: 0 }));
    expect(nothing.dataIn).toBeUndefined();
    expectSense(await send(unit, A, cdb.ten('28', BLOCKS + 1, 0)), 5, LBA_OUT_OF_RANGE);
  });

  it('refuse more than one transfer may have', async () => {
    const { unit } = rig({ sizeBytes: 64 * 1024 * 1024 });
    const tooMany = (8 * 1024 * 1024) / BLOCK + 1;
    const sense = expectSense(await send(unit, A, cdb.ten('28', 0, tooMany)), 5, INVALID_FIELD_IN_CDB);
    expect(sense.byte).toBe(7);
  });

  it.each([1, 2, 3, 4, 5, 6, 7])('refuse protection information of kind %i', async (protect) => {
    const { unit } = rig();
    for (const code of ['28', '2a', '2e', '2f', '41'])
      expectSense(
        await send(unit, A, cdb.ten(code, 0, 1, protect << 5), { dataOut: filled(1, 0) }),
        5,
        INVALID_FIELD_IN_CDB,
      );
  });

  it('take DPO, FUA and the former FUA_NV; FUA is on stable storage', async () => {
    const { unit, image } = rig();
    for (const flags of [0x10, 0x08, 0x02]) {
      expectGood(await send(unit, A, cdb.ten('28', 0, 1, flags)));
      expectGood(await send(unit, A, cdb.ten('2a', 0, 1, flags), { dataOut: filled(1, 1) }));
    }
    expect(image.writes.map(({ fua }) => fua)).toEqual([false, true, false]);
  });

  it('put what is read where the transport says', async () => {
    const { unit, image } = rig();
    image.bytes.fill(9, 0, BLOCK);
    const slab = new Uint8Array(4096);
    const result = await unit.execute({
      initiator: { name: A },
      reference: 1n,
      cdb: Uint8Array.from(Buffer.from(cdb.ten('28', 0, 1).replaceAll(' ', ''), 'hex')),
      dataOut: new Uint8Array(0),
      dataInMax: BLOCK,
      attribute: 'simple',
      space: (bytes) => slab.subarray(1024, 1024 + bytes),
    });
    expect(result.dataIn?.buffer).toBe(slab.buffer);
    expect(slab.subarray(1024, 1024 + BLOCK)).toEqual(filled(1, 9));
  });
});

describe('residuals', () => {
  it.each([
    { blocks: 1, expected: 0, residual: -512, shown: 0 },
    { blocks: 1, expected: 10_000, residual: 10_000 - 512, shown: 512 },
    { blocks: 1, expected: 200, residual: 200 - 512, shown: 200 },
    { blocks: 2, expected: 512, residual: -512, shown: 512 },
  ])(
    'READ of $blocks for $expected bytes leaves $residual',
    async ({ blocks, expected, residual, shown }) => {
      const { unit } = rig();
      const result = expectGood(await send(unit, A, cdb.ten('28', 0, blocks), { dataInMax: expected }));
      expect([result.residual, result.dataIn?.length ?? 0]).toEqual([residual, shown]);
    },
  );

  it.each(['2a', '2e'])('%s writes what came in whole blocks and nothing beyond it', async (code) => {
    const { unit, image } = rig();
    image.bytes.fill(0x61);
    const more = expectGood(await send(unit, A, cdb.ten(code, 0, 1), { dataOut: filled(2, 0x62) }));
    expect(more.residual).toBe(BLOCK);
    const less = expectGood(await send(unit, A, cdb.ten(code, 4, 2), { dataOut: filled(1, 0x62) }));
    expect(less.residual).toBe(-BLOCK);
    const none = expectGood(await send(unit, A, cdb.ten(code, 8, 1), { dataOut: new Uint8Array(0) }));
    expect(none.residual).toBe(-BLOCK);
    const part = await send(unit, A, cdb.ten(code, 12, 1), { dataOut: new Uint8Array(200).fill(0x62) });
    expectSense(part, 5, WRONG_DATA_OUT);
    expect(part.residual).toBe(200 - BLOCK);
    const changed = [...image.bytes].map((byte, at) => (byte === 0x62 ? at : -1)).filter((at) => at >= 0);
    expect([changed.length, changed[0], changed[BLOCK]]).toEqual([2 * BLOCK, 0, 4 * BLOCK]);
  });
});

describe('VERIFY', () => {
  it.each(['2f', 'af', '8f'])('%s compares with what is sent where BYTCHK says so', async (code) => {
    const { unit, image } = rig();
    image.bytes.fill(7, 0, 2 * BLOCK);
    const make = code === '2f' ? cdb.ten : code === 'af' ? cdb.twelve : cdb.sixteen;
    const wrong = filled(2, 7);
    wrong[600] = 8;
    expectGood(await send(unit, A, make(code, 0, 2, 2), { dataOut: filled(2, 7) }));
    expectSense(await send(unit, A, make(code, 0, 2, 2), { dataOut: wrong }), 0xe, 0x1d00);
    expectGood(await send(unit, A, make(code, 0, 2, 0), { dataOut: wrong }));
    expectGood(await send(unit, A, make(code, 0, 2, 6), { dataOut: filled(1, 7) }));
    expectSense(await send(unit, A, make(code, 0, 3, 6), { dataOut: filled(1, 7) }), 0xe, 0x1d00);
    expectSense(await send(unit, A, make(code, 0, 2, 4), { dataOut: wrong }), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(unit, A, make(code, BLOCKS, 1, 0)), 5, LBA_OUT_OF_RANGE);
    expectSense(await send(unit, A, make(code, 0, 2, 2), { dataOut: filled(1, 7) }), 5, WRONG_DATA_OUT);
  });

  it('after WRITE finds what the storage made of it', async () => {
    const { unit, image } = rig();
    const write = image.write.bind(image);
    image.write = (offset, bytes, options) =>
      write(
        offset,
        bytes.map((byte) => byte ^ 1),
        options,
      );
    expectSense(await send(unit, A, cdb.ten('2e', 0, 1, 2), { dataOut: filled(1, 7) }), 0xe, 0x1d00);
    expect(image.writes[0]?.fua).toBe(true);
  });
});

describe('COMPARE AND WRITE', () => {
  it('writes where the blocks are as expected', async () => {
    const { unit, image } = rig();
    image.bytes.fill(1, 0, 2 * BLOCK);
    const both = new Uint8Array([...filled(2, 1), ...filled(2, 2)]);
    expectGood(await send(unit, A, cdb.compareAndWrite(0, 2), { dataOut: both }));
    expect(image.bytes.subarray(0, 2 * BLOCK)).toEqual(filled(2, 2));
  });

  it('says at which byte they are not, and writes nothing', async () => {
    const { unit, image } = rig();
    for (const at of [0, 1, 255, 511]) {
      const expected = filled(1, 0);
      expected[at] = 1;
      const both = new Uint8Array([...expected, ...filled(1, 2)]);
      const sense = expectSense(
        await send(unit, A, cdb.compareAndWrite(3, 1), { dataOut: both }),
        0xe,
        0x1d00,
      );
      expect(sense.information).toBe(at);
    }
    expect(image.writes).toEqual([]);
  });

  it('refuses data of another length than twice the blocks', async () => {
    const { unit } = rig();
    for (const blocks of [1, 3])
      expectSense(
        await send(unit, A, cdb.compareAndWrite(0, blocks), { dataOut: filled(4, 0) }),
        5,
        WRONG_DATA_OUT,
      );
    expectGood(await send(unit, A, cdb.compareAndWrite(0, 0), { dataOut: new Uint8Array(0) }));
  });

  it('of several initiators at once loses no update', async () => {
    const { unit, image } = rig();
    const read = image.read.bind(image);
    // The storage takes its time between the two halves.
    image.read = async (offset, into) => {
      await read(offset, into);
      await new Promise((resolve) => setImmediate(resolve));
    };
    let done = 0;
    const one = async (name: string): Promise<void> => {
      for (let round = 0; round < 40; ) {
        const present = (await send(unit, name, cdb.ten('28', 0, 1), { dataInMax: BLOCK })).dataIn!;
        const next = new Uint8Array(present);
        new DataView(next.buffer).setUint32(0, new DataView(next.buffer).getUint32(0) + 1);
        const both = new Uint8Array([...present, ...next]);
        const result = await send(unit, name, cdb.compareAndWrite(0, 1), { dataOut: both });
        if (result.status !== 0) continue;
        round += 1;
        done += 1;
      }
    };
    await Promise.all(['iqn.a', 'iqn.b', 'iqn.c'].map(one));
    expect(new DataView(image.bytes.buffer).getUint32(0)).toBe(done);
    expect(done).toBe(120);
  });
});

describe('other writes', () => {
  it('ORWRITE sets bits', async () => {
    const { unit, image } = rig();
    image.bytes.fill(0xa0, 0, BLOCK);
    expectGood(await send(unit, A, cdb.sixteen('8b', 0, 1), { dataOut: filled(1, 0x05) }));
    expect(image.bytes.subarray(0, BLOCK)).toEqual(filled(1, 0xa5));
    expectSense(await send(unit, A, cdb.sixteen('8b', 0, 2), { dataOut: filled(1, 1) }), 5, WRONG_DATA_OUT);
    expectSense(
      await send(unit, A, cdb.sixteen('8b', BLOCKS, 1), { dataOut: filled(1, 1) }),
      5,
      LBA_OUT_OF_RANGE,
    );
  });

  const atomic = (lba: number, blocks: number, boundary = 0): string =>
    `9c 00 ${'0'.repeat(12)}${lba.toString(16).padStart(4, '0')} ${boundary.toString(16).padStart(4, '0')} ${blocks.toString(16).padStart(4, '0')} 00 00`;

  it('WRITE ATOMIC exists where the image can do it, up to what it can', async () => {
    const { unit, image } = rig({ atomicWriteBytesMax: 16 * BLOCK });
    expectGood(await send(unit, A, atomic(3, 16), { dataOut: filled(16, 3) }));
    expect(image.writes).toEqual([{ fua: false, atomic: true, offset: 3 * BLOCK, length: 16 * BLOCK }]);
    expectSense(await send(unit, A, atomic(0, 17), { dataOut: filled(17, 3) }), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(unit, A, atomic(0, 1, 1), { dataOut: filled(1, 3) }), 5, INVALID_FIELD_IN_CDB);
    expectSense(await send(unit, A, atomic(0, 2), { dataOut: filled(1, 3) }), 5, WRONG_DATA_OUT);
    expectSense(await send(rig().unit, A, atomic(0, 1), { dataOut: filled(1, 3) }), 5, 0x2000);
  });

  it('SYNCHRONIZE CACHE and PRE-FETCH look at the range', async () => {
    const { unit, image } = rig();
    expectGood(await send(unit, A, cdb.ten('35', 0, 0)));
    expectGood(await send(unit, A, cdb.sixteen('91', 5, 9, 2)));
    expect(image.flushes).toBe(2);
    expectGood(await send(unit, A, cdb.ten('34', 0, 0, 2)));
    for (const command of [
      cdb.ten('35', BLOCKS, 1),
      cdb.ten('34', BLOCKS, 1),
      cdb.sixteen('90', BLOCKS + 1, 0),
    ])
      expectSense(await send(unit, A, command), 5, LBA_OUT_OF_RANGE);
  });
});

describe('an image that cannot', () => {
  it.each([
    { fault: 'full', write: [7, 0x2707], read: [7, 0x2707] },
    { fault: 'io', write: [3, 0x0c00], read: [3, 0x1100] },
    { fault: 'lost', write: [2, 0x3a00], read: [2, 0x3a00] },
    { fault: 'read only', write: [7, 0x2700], read: [7, 0x2700] },
  ] as const)('because of "$fault" says so in sense data', async ({ fault, write, read }) => {
    const { unit, image } = rig();
    image.fault = { fault, offset: 4 * BLOCK };
    const sense = expectSense(
      await send(unit, A, cdb.ten('2a', 0, 8), { dataOut: filled(8, 1) }),
      write[0],
      write[1],
    );
    if (fault === 'full' || fault === 'io') expect(sense.information).toBe(4);
    expectSense(await send(unit, A, cdb.ten('28', 0, 8)), read[0], read[1]);
    image.fault = undefined;
    expectGood(await send(unit, A, cdb.ten('28', 0, 8)));
    expect(unit.depth).toBe(0);
  });

  it('be written takes no write of any kind', async () => {
    const { unit, image } = rig({ readOnly: true, atomicWriteBytesMax: 4096 });
    const writes: [string, Uint8Array][] = [
      [cdb.write6(0, 1), filled(1, 1)],
      [cdb.ten('2a', 0, 1), filled(1, 1)],
      [cdb.twelve('aa', 0, 1), filled(1, 1)],
      [cdb.sixteen('8a', 0, 1), filled(1, 1)],
      [cdb.ten('2e', 0, 1), filled(1, 1)],
      [cdb.ten('41', 0, 1), filled(1, 1)],
      [cdb.sixteen('93', 0, 1, 8), filled(1, 0)],
      [cdb.sixteen('8b', 0, 1), filled(1, 1)],
      [cdb.compareAndWrite(0, 1), filled(2, 0)],
      [
        '42 00 00000000 00 0018 00',
        Buffer.from('0016001000000000000000000000000000000001 00000000'.replace(' ', ''), 'hex'),
      ],
      ['48 02 0000000000 0000 00', new Uint8Array(0)],
    ];
    for (const [command, dataOut] of writes)
      expectSense(await send(unit, A, command, { dataOut }), 7, 0x2700);
    expect([image.writes.length, digits(image.bytes.subarray(0, 4))]).toEqual([0, '00000000']);
    expectGood(await send(unit, A, cdb.ten('28', 0, 1)));
  });
});

describe('any sequence of commands', () => {
  const lba = fc.integer({ min: 0, max: BLOCKS + 2 });
  const blocks = fc.integer({ min: 0, max: 9 });
  const byte = fc.integer({ min: 0, max: 255 });
  const step = fc.record({
    what: fc.constantFrom('read', 'write', 'same', 'unmap', 'or', 'compare'),
    lba,
    blocks,
    byte,
  });

  it('does to the disk what it does to a plain array', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { unit, image } = rig();
        const model = new Uint8Array(BLOCKS * BLOCK);
        for (const one of steps) await play(unit, model, one);
        expect(Buffer.compare(image.bytes, model)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  type Step = { what: string; lba: number; blocks: number; byte: number };

  async function play(unit: ReturnType<typeof rig>['unit'], model: Uint8Array, one: Step): Promise<void> {
    const from = one.lba * BLOCK;
    const bytes = one.blocks * BLOCK;
    const fits = one.lba + one.blocks <= BLOCKS;
    const piece = model.subarray(from, from + bytes);
    const data = filled(one.blocks, one.byte);
    if (one.what === 'read') {
      const result = await send(unit, A, cdb.sixteen('88', one.lba, one.blocks), { dataInMax: bytes });
      if (!fits) return void expectSense(result, 5, LBA_OUT_OF_RANGE);
      expect(Buffer.compare(expectGood(result).dataIn ?? new Uint8Array(0), piece)).toBe(0);
    } else if (one.what === 'write') {
      const result = await send(unit, A, cdb.sixteen('8a', one.lba, one.blocks), { dataOut: data });
      expect(result.status).toBe(fits ? 0 : 2);
      if (fits) piece.set(data);
    } else if (one.what === 'same') {
      const flags = one.byte % 2 === 0 ? 8 : 0;
      const block = filled(1, one.byte % 3 === 0 ? 0 : one.byte);
      const result = await send(unit, A, cdb.sixteen('93', one.lba, one.blocks, flags), { dataOut: block });
      expect(result.status).toBe(fits && one.blocks > 0 ? 0 : 2);
      if (result.status === 0) piece.fill(block[0]!);
    } else if (one.what === 'unmap') {
      const list = `0016 0010 00000000 ${one.lba.toString(16).padStart(16, '0')} ${one.blocks.toString(16).padStart(8, '0')} 00000000`;
      const dataOut = Uint8Array.from(Buffer.from(list.replaceAll(' ', ''), 'hex'));
      const result = await send(unit, A, '42 00 00000000 00 0018 00', { dataOut });
      expect(result.status).toBe(fits ? 0 : 2);
      if (fits) piece.fill(0);
    } else if (one.what === 'or') {
      const result = await send(unit, A, cdb.sixteen('8b', one.lba, one.blocks), { dataOut: data });
      expect(result.status).toBe(fits ? 0 : 2);
      if (fits) piece.set(piece.map((old) => old | one.byte));
    } else if (one.what === 'compare') {
      const expected = new Uint8Array(bytes);
      if (fits) expected.set(piece);
      const isWrong = one.byte % 2 === 1 && bytes > 0;
      if (isWrong) expected[bytes - 1]! ^= 1;
      const dataOut = new Uint8Array([...expected, ...data]);
      const result = await send(unit, A, cdb.compareAndWrite(one.lba, one.blocks), { dataOut });
      expect(result.status).toBe(fits && !isWrong ? 0 : 2);
      if (result.status === 0) piece.set(data);
    }
  }
});
