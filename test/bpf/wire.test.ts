// What comes to the ask port: which headers are taken, and the one reason that each other is dropped for.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterMux, RELAYED, tcpPacket } from './lib/cluster_mux.ts';
import { type Datagram, icmp4, ipv4, ipv6, padded, payload, raw, tcp } from './lib/packets.ts';
import { ECN_AFTER_DECAPSULATION, encapsulated } from './lib/reference.ts';
import { hex } from './lib/rig.ts';
import { says } from './lib/tracked_case.ts';
import { ASK_KEY, CLIENT, INCARNATION, SELF, SERVICE, SITE, SOURCES, wayTo } from './lib/tracked_mux.ts';
import {
  carrying,
  FLAGS,
  HEADER_BYTES,
  type Key,
  OP,
  type Outer,
  type WireHeader,
  wireFrame,
} from './lib/wire_frames.ts';
import { sipHash } from './lib/wire_reference.ts';

const { datagram, hash } = tcpPacket(4001);
const OTHER_KEY: Key = [0x1122334455667788n, 0x99aabbccddeeff00n];
const ETHERNET = 14;
const OUTER4 = ETHERNET + 20 + 8;

describe('SipHash-2-4 of the tests', () => {
  // vectors_sip64 of the reference implementation: key 00 01 … 0f, messages 00 01 ….
  const VECTORS: Record<number, string> = {
    0: '310e0edd47db6f72',
    8: '6224939a79f5f593',
    16: 'db9bc2577fcc2a3f',
    24: '94af49f6c650adb8',
  };
  it.each(Object.entries(VECTORS))('of %s bytes is as the reference has it', (bytes, expected) => {
    const words = Array.from({ length: Number(bytes) / 8 }, (_, word) =>
      Buffer.from(Array.from({ length: 8 }, (_, i) => word * 8 + i)).readBigUInt64LE(),
    );
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(sipHash([0x0706050403020100n, 0x0f0e0d0c0b0a0908n], words));
    expect(out.toString('hex')).toBe(expected);
  });
});

describe('a header from a peer', () => {
  let mux: ClusterMux;
  beforeAll(() => {
    mux = ClusterMux.make();
  });
  beforeEach(() => mux.reset());
  afterAll(() => mux?.close());

  const relayed = (
    header: Partial<WireHeader> = {},
    outer: Partial<Outer> = {},
    inner: Pick<Datagram, 'bytes'> = datagram,
    last = hash,
  ): Uint8Array =>
    wireFrame(mux.from(RELAYED, outer), carrying(mux.sign({ operation: OP.relay, ...header }, last), inner));
  const asked = (header: Partial<WireHeader> = {}): Uint8Array => {
    const chain = { owner: SELF, backup: 4, trackEpoch: 5, chainEpoch: 5 };
    return relayed({ operation: OP.ask, ...says('tcp', hash, chain, header) });
  };
  const reasonOf = (frame: Uint8Array): string => {
    const { verdict, counted } = mux.judge(frame);
    const reasons = Object.keys(counted).filter((it) =>
      /^(PASS|FORWARD|DROP|REPLY|ASK|RELAY|NOTED)/.test(it),
    );
    expect(reasons, `${verdict}`).toHaveLength(1);
    return reasons[0]!;
  };

  it('has its packet taken as if it had come by itself', () => {
    const { verdict, output, counted } = mux.judge(relayed());
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { FORWARD: 1 } });
    expect(hex(output)).toBe(hex(encapsulated(datagram, wayTo(1), hash, SOURCES, 0)));
  });

  it.each([
    ['one tag', [{ tci: 7 }]],
    ['two tags', [{ tpid: 0x88a8, tci: 7 }, { tci: 9 }]],
  ])('may come behind %s', (_, tags) => {
    const { verdict, output } = mux.judge(relayed({}, { tags }));
    expect(verdict).toBe('TX');
    expect(hex(output)).toBe(hex(encapsulated(datagram, wayTo(1), hash, SOURCES, 0)));
  });

  it('may come over IPv6, with and without tags', () => {
    mux.useIpv6();
    for (const tags of [[], [{ tci: 7 }]]) {
      const { verdict, output } = mux.judge(relayed({}, { tags }));
      expect(verdict).toBe('TX');
      expect(hex(output)).toBe(hex(encapsulated(datagram, wayTo(1), hash, SOURCES, 0)));
    }
  });

  it("is the host's where it is for another address or port, or this mux is in no cluster", () => {
    for (const change of [{ to: '192.0.2.77' }, { port: 7446 }] as const) {
      const frame = relayed({}, change);
      const { verdict, output, counted } = mux.judge(frame);
      expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
      expect(hex(output)).toBe(hex(frame));
    }
    mux.set({ id: 0 });
    expect(reasonOf(relayed())).toBe('PASS_NOT_A_SERVICE');
  });

  it('must come from a peer', () => {
    expect(reasonOf(relayed({}, { from: '192.0.2.77' }))).toBe('DROP_ASK_SOURCE');
    expect(reasonOf(relayed({}, { from: mux.addressOf(SELF) }))).toBe('DROP_ASK_SOURCE');
    mux.setPeer(RELAYED, { present: false });
    expect(reasonOf(relayed())).toBe('DROP_ASK_SOURCE');
  });

  describe('of a mux that was removed', () => {
    const GONE = 8;
    beforeEach(() => mux.changePeer(RELAYED, { flags: GONE }));

    it('has the packet that it relays taken, under all other checks', () => {
      expect(reasonOf(relayed())).toBe('FORWARD');
      expect(reasonOf(relayed({}, { from: '192.0.2.77' }))).toBe('DROP_ASK_SOURCE');
      expect(reasonOf(relayed({ asker: 4 }))).toBe('DROP_ASK_SOURCE');
      expect(reasonOf(relayed({ time: mux.ticks - 5000 }))).toBe('DROP_ASK_TIME');
      expect(reasonOf(relayed({ hops: 5 }))).toBe('DROP_ASK_HOPS');
      const signedByOther = mux.sign({ operation: OP.relay }, hash, OTHER_KEY);
      expect(reasonOf(wireFrame(mux.from(RELAYED), carrying(signedByOther, datagram)))).toBe('DROP_ASK_TAG');
    });

    it('is told who is there, but not pledged to', () => {
      const probe = { operation: OP.probe, flags: FLAGS.pledge, version: 0xffff_ffff };
      const { verdict, output, counted } = mux.judge(wireFrame(mux.from(RELAYED), mux.sign(probe, 0n)));
      expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { REPLY_PROBE: 1 } });
      const header = output.subarray(42);
      expect([header[40], header[46]]).toEqual([OP.probeAnswer, 0]);
    });

    it.each(Object.entries(OP).filter(([name]) => name !== 'relay' && name !== 'probe'))(
      'has no other say: %s',
      (_, operation) => {
        const frame =
          operation < OP.probe
            ? asked({ operation })
            : wireFrame(mux.from(RELAYED), mux.sign({ operation }, 0n));
        expect(reasonOf(frame)).toBe('DROP_ASK_SOURCE');
        mux.setPeer(RELAYED, { present: true });
        expect(reasonOf(frame)).not.toBe('DROP_ASK_SOURCE');
      },
    );
  });

  it('may come from any peer: who passes an ask on is not who asked', () => {
    for (const from of [1, 3, 4])
      expect(reasonOf(relayed({}, { from: mux.addressOf(from) }))).toBe('FORWARD');
  });

  it.each([
    ['a UDP length beyond the frame', { udp: { length: 400 } }],
    ['a UDP length short of the header', { udp: { length: 60 } }],
    ['an IP length that is not that of UDP', { ip: { totalLength: 130 } }],
    ['IP options', { ip: { options: Uint8Array.of(1, 1, 1, 1) } }],
  ] as [string, Partial<Outer>][])('has a size of its own: not with %s', (_, outer) => {
    expect(reasonOf(relayed({}, outer))).toBe('DROP_ASK_SIZE');
  });

  it('ends where its packet ends', () => {
    const longer = { bytes: Buffer.concat([datagram.bytes, Buffer.alloc(1)]) };
    const shorter = { bytes: datagram.bytes.subarray(0, datagram.bytes.length - 1) };
    expect(reasonOf(relayed({}, {}, longer))).toBe('DROP_ASK_SIZE');
    expect(reasonOf(relayed({}, {}, shorter))).toBe('DROP_ASK_SIZE');
    expect(reasonOf(relayed({}, {}, { bytes: new Uint8Array(0) }))).toBe('DROP_ASK_SIZE');
    expect(reasonOf(Buffer.concat([relayed(), Buffer.alloc(9)]))).toBe('FORWARD');
  });

  it('goes nowhere cut at any length', () => {
    const whole = relayed();
    for (let length = ETHERNET; length < whole.length; length++) {
      const { verdict } = mux.run(whole.slice(0, length));
      expect(verdict, `cut to ${length}`).not.toBe('TX');
    }
  });

  it.each([
    ['another format', { format: 2 }],
    ['a reserved byte', { reserved: 1 }],
    ['a byte that is not signed', { unsignedByte: 1 }],
    ['no operation', { operation: 0, hops: 1 }],
    ['an unknown operation', { operation: 9, hops: 1 }],
    ['an unknown flag', { flags: 64 }],
    ['nobody as asker', { asker: 0 }],
    ['an asker that cannot be', { asker: 64 }],
    ['an owner that cannot be', { owner: 64 }],
    ['a backup that cannot be', { backup: 255 }],
    ['no hop taken', { hops: 0 }],
  ])('has a format of its own: not with %s', (_, header) => {
    expect(reasonOf(relayed(header))).toBe('DROP_ASK_FORMAT');
  });

  it('is not taken with any bit of it changed', () => {
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const frame = relayed();
      frame[OUTER4 + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(reasonOf(frame), `bit ${bit}`).toMatch(/^DROP_ASK_(TAG|FORMAT|SIZE)$/);
    }
  });

  it('is for the flow that it was made for', () => {
    expect(reasonOf(relayed({}, {}, tcpPacket(4002).datagram))).toBe('DROP_ASK_TAG');
  });

  it('is signed by a key that is known: install, use, remove', () => {
    const signed = (keyId: number, key: Key): Uint8Array =>
      wireFrame(mux.from(RELAYED), carrying(mux.sign({ operation: OP.relay, keyId }, hash, key), datagram));
    expect(reasonOf(signed(0, OTHER_KEY))).toBe('DROP_ASK_TAG');
    expect(reasonOf(signed(1, OTHER_KEY))).toBe('DROP_ASK_TAG');
    mux.setKey(1, OTHER_KEY);
    expect(reasonOf(signed(1, OTHER_KEY))).toBe('FORWARD');
    expect(reasonOf(signed(0, ASK_KEY))).toBe('FORWARD');
    mux.setKey(0, undefined);
    expect(reasonOf(signed(0, ASK_KEY))).toBe('DROP_ASK_TAG');
    expect(reasonOf(signed(0, [0n, 0n]))).toBe('DROP_ASK_TAG');
    expect(reasonOf(signed(1, OTHER_KEY))).toBe('FORWARD');
  });

  it('is of now, by the time of the cluster', () => {
    mux.set({ time_offset: 0xfffffff0 });
    const now = (mux.ticks + 0xfffffff0) >>> 0;
    for (const [offset, reason] of [
      [0, 'FORWARD'],
      [4096, 'FORWARD'],
      [-4096, 'FORWARD'],
      [4097, 'DROP_ASK_TIME'],
      [-4097, 'DROP_ASK_TIME'],
      [0x80000000, 'DROP_ASK_TIME'],
    ] as const)
      expect(reasonOf(relayed({ time: (now + offset) >>> 0 })), `${offset}`).toBe(reason);
  });

  it.each([
    [
      'for another address',
      ipv4({ source: CLIENT, destination: '203.0.113.99' }, tcp({ sourcePort: 1, destinationPort: 443 })),
    ],
    [
      'for another port',
      ipv4({ source: CLIENT, destination: SERVICE }, tcp({ sourcePort: 1, destinationPort: 444 })),
    ],
    [
      'an echo request',
      ipv4({ source: CLIENT, destination: SERVICE }, icmp4({ type: 8, code: 0, data: payload(8) })),
    ],
    ['of another protocol', ipv4({ source: CLIENT, destination: SERVICE }, raw(47, payload(40)))],
    ['no IP at all', { bytes: payload(60, 0x11) }],
  ])('carries what is for a service: not a packet %s', (_, inner) => {
    expect(reasonOf(relayed({}, {}, inner))).toBe('DROP_ASK_SERVICE');
  });

  it('counts slots as this mux does', () => {
    expect(reasonOf(asked({ slot: SITE.tcp.slotCount }))).toBe('DROP_ASK_SLOT');
    expect(reasonOf(asked({ pool: SITE.udp.pool }))).toBe('DROP_ASK_SLOT');
  });

  it.each([
    ['owner', { operation: OP.ask, ownerIncarnation: INCARNATION(SELF) + 1 }],
    ['backup', { operation: OP.record, owner: 4, backup: SELF, backupIncarnation: 1 }],
    ['asker', { operation: OP.answer, asker: SELF, askerIncarnation: 1 }],
  ])('is for this incarnation of its %s', (_, header) => {
    expect(reasonOf(asked(header))).toBe('DROP_ASK_INCARNATION');
  });

  it('has taken no more hops than may be', () => {
    expect(reasonOf(relayed({ hops: 4 }))).toBe('FORWARD');
    expect(reasonOf(relayed({ hops: 5 }))).toBe('DROP_ASK_HOPS');
    expect(reasonOf(relayed({ hops: 255 }))).toBe('DROP_ASK_HOPS');
  });

  it('is not decided about past the deadline', () => {
    mux.setDeadline(-1);
    expect(reasonOf(asked())).toBe('DROP_ASK_FENCED');
    expect(
      reasonOf(asked({ operation: OP.record, owner: 4, backup: SELF, backupIncarnation: INCARNATION(SELF) })),
    ).toBe('DROP_ASK_FENCED');
  });

  describe('takes congestion from the outer header', () => {
    const DSCP = 0xb8;
    const packetOf = (ecn: number): Datagram => tcpPacket(4001, { trafficClass: DSCP | ecn }).datagram;

    it.each([0, 1, 2, 3].flatMap((outer) => [0, 1, 2, 3].map((inner) => [outer, inner] as const)))(
      'outer %i, inner %i',
      (outer, inner) => {
        const expected = ECN_AFTER_DECAPSULATION[inner]![outer];
        const frame = relayed({}, { trafficClass: outer }, packetOf(inner));
        if (expected === undefined) {
          expect(reasonOf(frame)).toBe('DROP_ECN');
          return;
        }
        const { verdict, output } = mux.judge(frame);
        expect(verdict).toBe('TX');
        expect(hex(output)).toBe(
          hex(encapsulated(packetOf(expected), wayTo(1), hash, SOURCES, DSCP | expected)),
        );
      },
    );
  });

  it('carries IPv6 over IPv4: its own services only', () => {
    const six = ipv6(
      { source: '2001:db8:c::1', destination: '2001:db8:5::9' },
      tcp({ sourcePort: 1, destinationPort: 443 }),
    );
    expect(reasonOf(relayed({}, {}, six))).toBe('DROP_ASK_SERVICE');
  });

  it('of no mux: other traffic of the host at no other price', () => {
    const frame = padded(wireFrame(mux.from(RELAYED, { port: 53, to: '192.0.2.77' }), payload(4)));
    expect(reasonOf(frame)).toBe('PASS_NOT_A_SERVICE');
  });
});
