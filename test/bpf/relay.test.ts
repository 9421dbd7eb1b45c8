// When a packet is left to another mux, to which one, and what the bytes of that are.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEADLINE_ALONE } from '../../control/dataplane/self.ts';
import { ClusterMux, RELAYED, tcpPacket } from './lib/cluster_mux.ts';
import { type Datagram, frame, ipv4, link, payload, raw } from './lib/packets.ts';
import { encapsulated, laterFragmentHash, parseHashKey } from './lib/reference.ts';
import { hex } from './lib/rig.ts';
import { CLIENT, INCARNATION, KEY_BYTES, SELF, SERVICE, SOURCES, wayTo } from './lib/tracked_mux.ts';
import { carrying, OP, type Outer, queueOf, wireFrame } from './lib/wire_frames.ts';

const OTHERS = [1, 3, 4];
const NS_PER_MS = 1_000_000n;
/** Offsets within an IPv4 header. */
const DESTINATION_AT = 16;

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
beforeEach(() => mux.reset());
afterAll(() => mux?.close());

const hear = (...peers: number[]): void => {
  for (const peer of peers) mux.setPeerState(peer, { heard_ns: mux.nowNs });
};

/** The frame that this mux makes of a packet for `to`. */
function relayedTo(
  to: number,
  inner: Datagram,
  hash: bigint,
  outer: Partial<Outer> = {},
  hops = 1,
): Uint8Array {
  const header = mux.sign({ operation: OP.relay, asker: SELF, hops }, hash);
  return wireFrame(mux.to(to, { ...queueOf(hash), ...outer }), carrying(header, inner));
}

/** Which mux an IPv4 frame goes to. */
function receiverOf(output: Uint8Array): number {
  const view = output.subarray(14 + DESTINATION_AT, 14 + DESTINATION_AT + 4);
  return [1, 2, 3, 4].find((id) => mux.addressOf(id) === view.join('.')) ?? 0;
}

describe('past the deadline', () => {
  const { datagram, hash } = tcpPacket(4001, { trafficClass: 0xb9 });
  beforeEach(() => mux.setDeadline(-1));

  it('a packet of a clean slot goes to the peer that was heard, as it came', () => {
    hear(RELAYED);
    const { verdict, output, counted } = mux.judge(frame(datagram));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { RELAY_DEADLINE: 1 } });
    expect(hex(output)).toBe(hex(relayedTo(RELAYED, datagram, hash, { trafficClass: 0xb9 })));
  });

  it('a peer is reached as its record says: VLAN, IPv6, another interface', () => {
    hear(RELAYED);
    mux.changePeer(RELAYED, { flags: 7, vlan_tci: 0x2064 });
    const tags = [{ tci: 0x2064 }];
    const trafficClass = 0xb9;
    expect(hex(mux.run(frame(datagram)).output)).toBe(
      hex(relayedTo(RELAYED, datagram, hash, { trafficClass, tags })),
    );
    mux.useIpv6();
    expect(hex(mux.run(frame(datagram)).output)).toBe(
      hex(relayedTo(RELAYED, datagram, hash, { trafficClass, tags })),
    );
    mux.changePeer(RELAYED, { flags: 3, ifindex: 7 });
    const { verdict, output } = mux.run(frame(datagram, { tags: [{ tci: 5 }] }));
    expect(verdict).toBe('REDIRECT');
    expect(hex(output)).toBe(hex(relayedTo(RELAYED, datagram, hash, { trafficClass })));
  });

  it('a flow always goes to the same peer, and flows go to all', () => {
    hear(...OTHERS);
    const receivers = new Map<number, number>();
    for (let port = 5000; port < 5300; port++) {
      const packet = frame(tcpPacket(port).datagram);
      const receiver = receiverOf(mux.run(packet).output);
      expect(receiverOf(mux.run(packet).output)).toBe(receiver);
      receivers.set(receiver, (receivers.get(receiver) ?? 0) + 1);
    }
    expect([...receivers.keys()].sort()).toEqual(OTHERS);
    expect(Math.min(...receivers.values())).toBeGreaterThan(60);
  });

  it('a peer that goes moves its own flows only', () => {
    hear(...OTHERS);
    const packets = Array.from({ length: 100 }, (_, i) => frame(tcpPacket(6000 + i).datagram));
    const before = packets.map((it) => receiverOf(mux.run(it).output));
    mux.setPeer(4, { present: false });
    const after = packets.map((it) => receiverOf(mux.run(it).output));
    expect(after.filter((it, i) => it !== before[i] && before[i] !== 4)).toEqual([]);
    expect(after).not.toContain(4);
  });

  it.each([
    ['was never heard', () => {}],
    ['was heard too long ago', () => mux.setPeerState(RELAYED, { heard_ns: mux.nowNs - 501n * NS_PER_MS })],
    ['is past its own deadline', () => mux.setPeerState(RELAYED, { heard_ns: mux.nowNs, flags: 1 })],
    [
      'was removed',
      () => {
        hear(RELAYED);
        mux.changePeer(RELAYED, { flags: 8 });
      },
    ],
    [
      'is not in the table',
      () => {
        hear(RELAYED);
        mux.setPeer(RELAYED, { present: false });
      },
    ],
  ])('a peer that %s gets nothing: the mux goes on alone, once its daemon says so', (_, prepare) => {
    prepare();
    expect(mux.judge(frame(datagram))).toMatchObject({ verdict: 'DROP', counted: { DROP_ASK_FENCED: 1 } });
    mux.set({ deadline: DEADLINE_ALONE });
    const { verdict, output, counted } = mux.judge(frame(datagram));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { FORWARD_ALONE: 1 } });
    expect(hex(output)).toBe(hex(encapsulated(datagram, wayTo(1), hash, SOURCES, 0xb9)));
  });

  it('a peer that was heard just so long ago still is', () => {
    mux.setPeerState(RELAYED, { heard_ns: mux.nowNs - 500n * NS_PER_MS });
    expect(mux.judge(frame(datagram)).counted).toEqual({ RELAY_DEADLINE: 1 });
  });

  it('what was relayed here is relayed on, until it has been to too many', () => {
    hear(1);
    const relayed = (hops: number): Uint8Array =>
      wireFrame(mux.from(RELAYED), carrying(mux.sign({ operation: OP.relay, hops }, hash), datagram));
    const { output, counted } = mux.judge(relayed(3));
    expect(counted).toEqual({ RELAY_DEADLINE: 1 });
    expect(hex(output)).toBe(hex(relayedTo(1, datagram, hash, { trafficClass: 0xb9 }, 4)));
    expect(mux.judge(relayed(4))).toMatchObject({ verdict: 'DROP', counted: { DROP_ASK_HOPS: 1 } });
  });

  it('the deadline itself is not past it', () => {
    hear(RELAYED);
    mux.setDeadline(0);
    expect(mux.judge(frame(datagram)).counted).toEqual({ FORWARD: 1 });
    mux.wait(2);
    expect(mux.judge(frame(datagram)).counted).toEqual({ RELAY_DEADLINE: 1 });
  });

  it('the sender of what does not fit is told', () => {
    hear(RELAYED);
    mux.setPeer(RELAYED, { innerMtu: 1300 });
    const big = tcpPacket(4001, { data: payload(1261) }).datagram;
    expect(mux.judge(frame(big))).toMatchObject({ verdict: 'TX', counted: { REPLY_TOO_BIG: 1 } });
    const just = tcpPacket(4001, { data: payload(1260) }).datagram;
    expect(mux.judge(frame(just)).counted).toEqual({ RELAY_DEADLINE: 1 });
  });

  it('other traffic of the host is no concern', () => {
    hear(RELAYED);
    const other = ipv4({ source: CLIENT, destination: '203.0.113.99' }, raw(6, payload(40)));
    expect(mux.judge(frame(other))).toMatchObject({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
  });
});

describe('fragments', () => {
  const whole = tcpPacket(4001, { data: payload(80) });
  const segment = whole.datagram.bytes.subarray(20);
  const common = { source: CLIENT, destination: SERVICE };
  const firstOf = (identification: number): Datagram =>
    ipv4({ ...common, identification, moreFragments: true }, raw(6, segment.subarray(0, 48)));
  const laterOf = (identification: number): Datagram =>
    ipv4({ ...common, identification, fragmentOffset: 48 }, raw(6, segment.subarray(48)));
  const laterHash = (identification: number): bigint =>
    laterFragmentHash(
      parseHashKey(KEY_BYTES),
      Uint8Array.of(identification >> 8, identification & 255),
      CLIENT,
    );
  const relayedHere = (inner: Datagram, hash: bigint): Uint8Array =>
    wireFrame(mux.from(RELAYED), carrying(mux.sign({ operation: OP.relay }, hash), inner));
  /** Identifications by the mux that keeps their fragments. */
  const homes = (): Map<number, number[]> => {
    const found = new Map<number, number[]>();
    for (let id = 1; id < 200; id++) {
      const { output, counted } = mux.judge(frame(firstOf(id)));
      const home = 'FORWARD_FIRST_FRAGMENT' in counted ? SELF : receiverOf(output);
      found.set(home, [...(found.get(home) ?? []), id]);
    }
    return found;
  };

  it('of one datagram go to one mux, of others to others, whoever of the muxes sees them', () => {
    const here = homes();
    expect([...here.keys()].sort()).toEqual([1, 2, 3, 4]);
    for (const ids of here.values()) expect(ids.length).toBeGreaterThan(25);
    mux.set({ id: 4, incarnation: INCARNATION(4) });
    for (let id = 1; id < 200; id++) {
      const home = [...here].find(([, ids]) => ids.includes(id))![0];
      const { counted, output } = mux.judge(frame(firstOf(id)));
      expect('FORWARD_FIRST_FRAGMENT' in counted ? 4 : receiverOf(output)).toBe(home);
    }
  });

  it('first and later alike are relayed as they came', () => {
    const [id] = homes().get(RELAYED)!;
    for (const [datagram, hash] of [
      [firstOf(id!), whole.hash],
      [laterOf(id!), laterHash(id!)],
    ] as const) {
      const { verdict, output, counted } = mux.judge(frame(datagram));
      expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { RELAY_FRAGMENT: 1 } });
      expect(hex(output)).toBe(hex(relayedTo(RELAYED, datagram, hash)));
    }
  });

  it('are not relayed again for being fragments, and later ones follow the first', () => {
    const [id] = homes().get(1)!;
    expect(mux.judge(relayedHere(laterOf(id!), laterHash(id!))).counted).toEqual({
      DROP_FRAGMENT_UNKNOWN: 1,
    });
    const first = mux.judge(relayedHere(firstOf(id!), whole.hash));
    expect(first.counted).toEqual({ FORWARD_FIRST_FRAGMENT: 1 });
    expect(hex(first.output)).toBe(hex(encapsulated(firstOf(id!), wayTo(1), whole.hash, SOURCES, 0)));
    const later = mux.judge(relayedHere(laterOf(id!), laterHash(id!)));
    expect(later.counted).toEqual({ FORWARD_LATER_FRAGMENT: 1 });
    expect(hex(later.output)).toBe(hex(encapsulated(laterOf(id!), wayTo(1), laterHash(id!), SOURCES, 0)));
  });

  it('have no home at a mux that was removed', () => {
    const ids = homes().get(RELAYED)!;
    mux.changePeer(RELAYED, { flags: 8 });
    const now = homes();
    expect([...now.keys()].sort()).toEqual([1, 2, 4]);
    for (const id of ids) expect([...now.values()].flat()).toContain(id);
  });

  it('past the deadline all go to one peer, too', () => {
    const [id] = homes().get(SELF)!;
    mux.setDeadline(-1);
    hear(...OTHERS);
    const [first, later] = [firstOf(id!), laterOf(id!)].map((it) => mux.judge(frame(it)));
    expect([first!.counted, later!.counted]).toEqual([{ RELAY_DEADLINE: 1 }, { RELAY_DEADLINE: 1 }]);
    expect(receiverOf(later!.output)).toBe(receiverOf(first!.output));
  });

  it('of a mux without a cluster stay', () => {
    mux.set({ id: 0 });
    for (let id = 1; id < 50; id++)
      expect(mux.judge(frame(firstOf(id))).counted).toEqual({ FORWARD_FIRST_FRAGMENT: 1 });
  });

  it('that do not fit are dropped; a first one is answered where an answer can be', () => {
    const [id] = homes().get(RELAYED)!;
    mux.setPeer(RELAYED, { innerMtu: 60 });
    expect(mux.judge(frame(firstOf(id!))).counted).toEqual({ DROP_TOO_BIG: 1 });
    mux.setPeer(RELAYED, { innerMtu: 40 });
    expect(mux.judge(frame(laterOf(id!))).counted).toEqual({ DROP_TOO_BIG: 1 });
  });

  it("of no service are the host's", () => {
    const other = link({}, 0x0800, Uint8Array.from(laterOf(9).bytes).fill(99, 19, 20));
    expect(mux.judge(other).counted).toEqual({ PASS_NOT_A_SERVICE: 1 });
  });
});
