// Capture files: pcap and pcapng, in both byte orders, whole and damaged, of several link layers.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FilePacket, frameOf, packetsOf } from '../../../control/cli/packet_file.ts';
import { wholeBlocks } from '../../../control/cli/pcapng.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { all } from './lib/all.ts';
import * as files from './lib/capture_files.ts';

const packet = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 7 + seed) & 0xff);

const read = (file: Uint8Array): FilePacket[] => [...packetsOf(file, 'x.pcap')];
const failureOf = (act: () => unknown): object => {
  try {
    act();
  } catch (error) {
    if (error instanceof Failure) return error.body;
    throw error;
  }
  throw new Error('did not fail');
};

const ORDERS = ['little', 'big'] as const;
const [one, other] = [packet(61), packet(40, 9)];
const CUT = { bytes: one, lengthBytes: 1514 };

describe('packets of a pcap', () => {
  for (const order of ORDERS) {
    for (const magic of [0xa1b2c3d4, 0xa1b23c4d]) {
      it(`are read, ${order}-endian, ${magic === 0xa1b2c3d4 ? 'micro' : 'nano'}seconds`, () => {
        const file = files.pcap([CUT, { bytes: other }], { order, magic });
        expect(read(file)).toEqual([
          { linkType: 1, lengthBytes: 1514, bytes: one },
          { linkType: 1, lengthBytes: 40, bytes: other },
        ]);
      });
    }
  }

  it('may be none', () => expect(read(files.pcap([]))).toEqual([]));

  it('know their link type also where frames end with a check sequence', () => {
    expect(read(files.pcap([{ bytes: one }], { linkType: 0x1400_0001 }))[0]!.linkType).toBe(1);
  });
});

describe('packets of a pcapng', () => {
  for (const order of ORDERS) {
    it(`are read, ${order}-endian, in blocks of every kind`, () => {
      const file = Buffer.concat([
        files.sectionHeader(order),
        files.block(order, 0xbad, [[7, 4]]),
        files.interfaceDescription(order),
        files.interfaceDescription(order, 101),
        files.enhancedPacket(order, CUT),
        files.enhancedPacket(order, { bytes: other }, 1),
        files.simplePacket(order, { bytes: one }),
        files.obsoletePacket(order, { bytes: other }),
      ]);
      expect(read(file)).toEqual([
        { linkType: 1, lengthBytes: 1514, bytes: one },
        { linkType: 101, lengthBytes: 40, bytes: other },
        { linkType: 1, lengthBytes: 61, bytes: one },
        { linkType: 1, lengthBytes: 40, bytes: other },
      ]);
    });
  }

  it('belong to the interfaces of their section, whose byte order may differ', () => {
    const file = Buffer.concat([
      files.pcapng([{ bytes: one }], { order: 'big' }),
      files.pcapng([{ bytes: other }], { order: 'little', linkType: 101 }),
    ]);
    expect(read(file).map(({ linkType }) => linkType)).toEqual([1, 101]);
  });
});

describe('a file that is none', () => {
  const pcap = files.pcap([{ bytes: one }]);
  const pcapng = files.pcapng([{ bytes: one }]);
  const changed = (file: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(file);
    copy[at] = value;
    return copy;
  };
  const begin = files.sectionHeader('little').length;
  const cases: readonly [string, Uint8Array, object][] = [
    ['is empty', new Uint8Array(), { message: 'x.pcap is no capture file.', cause: 'It is empty.' }],
    [
      'is something else',
      Buffer.from('hello, world'),
      { message: 'x.pcap is no capture file.', cause: 'It begins neither as pcap nor as pcapng does.' },
    ],
    [
      'is compressed',
      Buffer.from([0x1f, 0x8b, 8, 0]),
      {
        message: 'x.pcap is no capture file.',
        cause: 'It is compressed.',
        remedy: 'Unpack it with gunzip first.',
      },
    ],
    [
      'ends within its header',
      pcap.subarray(0, 20),
      { message: 'x.pcap is damaged.', cause: 'At byte 0: the file ends within its header.' },
    ],
    [
      'ends within the header of a packet',
      pcap.subarray(0, 30),
      { message: 'x.pcap is damaged.', cause: 'At byte 24: the file ends within a packet.' },
    ],
    [
      'ends within a packet',
      pcap.subarray(0, -1),
      { message: 'x.pcap is damaged.', cause: 'At byte 24: the file ends within a packet.' },
    ],
    [
      'ends within a block',
      pcapng.subarray(0, -1),
      { message: 'x.pcap is damaged.', cause: `At byte ${begin + 20}: the file ends within a block.` },
    ],
    [
      'has blocks of odd lengths',
      changed(pcapng, begin + 4, 21),
      { message: 'x.pcap is damaged.', cause: `At byte ${begin}: a block of 21 bytes cannot be.` },
    ],
    [
      'has blocks of two lengths',
      changed(pcapng, begin + 16, 24),
      { message: 'x.pcap is damaged.', cause: `At byte ${begin}: the two lengths of a block differ.` },
    ],
    [
      'has an unknown byte order',
      changed(pcapng, 8, 0),
      { message: 'x.pcap is damaged.', cause: 'At byte 0: the byte order of a section is unknown.' },
    ],
    [
      'has packets of no interface',
      Buffer.concat([files.sectionHeader('little'), files.enhancedPacket('little', { bytes: one })]),
      { message: 'x.pcap is damaged.', cause: expect.stringMatching(/there is no interface 0\.$/) },
    ],
    [
      'has packets longer than their block',
      Buffer.concat([
        files.sectionHeader('little'),
        files.interfaceDescription('little'),
        files.block('little', 6, [[0, 4], [0, 4], [0, 4], [99, 4], [99, 4], one]),
      ]),
      { message: 'The capture is damaged.', cause: 'A block is shorter than its fields.' },
    ],
  ];
  for (const [what, file, body] of cases) {
    it(what, () => expect(failureOf(() => read(file))).toEqual({ code: 'invalid', ...body }));
  }

  it('never makes more than a failure', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(fc.constantFrom(pcap, pcapng), fc.nat(), fc.nat(255))
        .map(([file, at, value]) => changed(file, at % file.length, value)),
    );
    fc.assert(
      fc.property(bytes, (file) => {
        try {
          read(file).map(frameOf);
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a packet as an Ethernet frame', () => {
  const ipv4 = Uint8Array.from([0x45, ...packet(30)]);
  const ipv6 = Uint8Array.from([0x60, ...packet(50)]);
  const zeros = Array.from({ length: 12 }, () => 0);
  const frame = (linkType: number, bytes: Uint8Array, lengthBytes = bytes.length) =>
    frameOf({ linkType, lengthBytes, bytes });

  it('is itself where it is one', () => {
    expect(frame(1, one)).toEqual({ bytes: one, missingBytes: 0 });
  });

  it('has zeros for what was not captured', () => {
    expect(frame(1, one, 70)).toEqual({
      bytes: Uint8Array.from([...one, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
      missingBytes: 9,
    });
  });

  it('gets a header where the capture has IP alone', () => {
    expect([...frame(101, ipv4).bytes]).toEqual([...zeros, 0x08, 0x00, ...ipv4]);
    expect([...frame(229, ipv6).bytes]).toEqual([...zeros, 0x86, 0xdd, ...ipv6]);
  });

  it('gets a header in place of that of tcpdump -i any', () => {
    const sll = Uint8Array.from([...packet(14), 0x86, 0xdd, ...ipv6]);
    const sll2 = Uint8Array.from([0x08, 0x00, ...packet(18), ...ipv4]);
    expect([...frame(113, sll).bytes]).toEqual([...zeros, 0x86, 0xdd, ...ipv6]);
    expect([...frame(276, sll2).bytes]).toEqual([...zeros, 0x08, 0x00, ...ipv4]);
  });

  it('has a limit', () => {
    const cause = 'Longer ones are several packets, which the host put together before they were captured.';
    const remedy = 'Capture with that switched off: ethtool -K INTERFACE gro off lro off';
    expect(frame(1, packet(3_000)).bytes).toHaveLength(3_000);
    for (const length of [3_001, 0xffff_ffff]) {
      expect(failureOf(() => frame(1, one, length))).toEqual({
        code: 'limit',
        message: `The packet has ${length} bytes, and can have 3000.`,
        cause,
        remedy,
      });
    }
  });

  it('cannot be made of everything', () => {
    const refused = {
      code: 'invalid',
      message: 'The packet has no Ethernet header.',
      cause: 'Its link type is 105.',
      remedy: 'Capture on one interface: tcpdump -i INTERFACE -w FILE',
    };
    expect(failureOf(() => frame(105, one))).toEqual(refused);
    expect(failureOf(() => frame(113, packet(15)))).toEqual({ ...refused, cause: 'Its link type is 113.' });
  });
});

describe('a stream of pcapng', () => {
  async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
    let from = 0;
    for (const size of sizes) {
      yield bytes.subarray(from, from + size);
      from += size;
    }
    yield bytes.subarray(from);
  }

  it('comes in whole blocks wherever it is cut, and without an unfinished end', async () => {
    const size = fc.integer({ min: 0, max: 60 });
    const whole = files.pcapng([{ bytes: one }, { bytes: other }]);
    await fc.assert(
      fc.asyncProperty(fc.array(size), fc.nat(40), fc.constantFrom(...ORDERS), async (sizes, rest, order) => {
        const stream = Buffer.concat([files.pcapng([{ bytes: one }], { order }), whole]);
        const unfinished = files.enhancedPacket('little', { bytes: packet(200) }).subarray(0, rest);
        const blocks = await all(wholeBlocks(cut(Buffer.concat([stream, unfinished]), sizes)));
        expect(Buffer.concat(blocks.map(({ bytes }) => bytes))).toEqual(stream);
        expect(blocks.flatMap((it) => it.blocks).map(({ type }) => type)).toEqual([
          0x0a0d0d0a, 1, 6, 0x0a0d0d0a, 1, 6, 6,
        ]);
      }),
    );
  });

  it('that is none is refused', async () => {
    await expect(all(wholeBlocks(cut(Buffer.from('{"code":"unavailable"}'), [])))).rejects.toMatchObject({
      message: 'The stream of packets is damaged.',
      reason: 'At byte 0: it does not begin with a section header.',
    });
  });
});
