// Every hop of a question, between muxes that reach each other over IPv4 or IPv6, with and without a VLAN tag, about flows
// of either: the bytes that leave, and that they are read again.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterMux } from './lib/cluster_mux.ts';
import { type Datagram, frame } from './lib/packets.ts';
import { encapsulated, slotOf } from './lib/reference.ts';
import { hex } from './lib/rig.ts';
import { BASE, CHAIN, CURRENT, flowOf, OTHER, packetOf, says } from './lib/tracked_case.ts';
import {
  BACKENDS,
  type Chain,
  GENERATION,
  hashOf,
  INCARNATION,
  MUXES,
  SELF,
  SITE,
  SOURCES,
  wayTo,
} from './lib/tracked_mux.ts';
import { carrying, FLAGS, OP, type Outer, queueOf, type WireHeader, wireFrame } from './lib/wire_frames.ts';

const ASKER = 4;
const TAG = 0x2064;
const TRAFFIC_CLASS = 0x28;

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
afterAll(() => mux?.close());

const OUTER = [
  ['IPv4', 4, false],
  ['IPv4 behind a tag', 4, true],
  ['IPv6', 6, false],
  ['IPv6 behind a tag', 6, true],
] as const;
const INNER = [
  ['IPv4', 'tcp'],
  ['IPv6', 'tcp6'],
] as const;

describe.each(OUTER)('muxes that reach each other over %s', (_, version, isTagged) => {
  beforeEach(() => {
    mux.reset();
    for (const backend of BACKENDS) mux.setBackend(backend, { present: true });
    if (version === 6) mux.useIpv6();
    if (isTagged) for (const peer of MUXES) mux.changePeer(peer, { flags: 7, vlan_tci: TAG });
  });
  const tags = isTagged ? [{ tci: TAG }] : [];

  describe.each(INNER)('and a flow of %s', (_, service) => {
    const flow = flowOf(service);
    const hash = hashOf(service, flow);
    const packet = packetOf({ name: '', reason: '', packet: 'syn' }, flow);

    const signed = (operation: number, chain: Chain, more: Partial<WireHeader> = {}) => {
      const asker = { asker: ASKER, askerIncarnation: INCARNATION(more.asker ?? ASKER) };
      const header = says(service, hash, chain, { ...asker, flags: FLAGS.newFlow, ...more });
      return mux.sign({ ...header, operation }, hash);
    };
    const comes = (from: number, header: Uint8Array, inner: Datagram = packet, outer: Partial<Outer> = {}) =>
      wireFrame(mux.from(from, { tags, trafficClass: TRAFFIC_CLASS, ...outer }), carrying(header, inner));
    const leaves = (to: number, header: Uint8Array) =>
      hex(
        wireFrame(
          mux.to(to, { tags, trafficClass: TRAFFIC_CLASS, ...queueOf(hash) }),
          carrying(header, packet),
        ),
      );
    const decided = { backend: CURRENT, generation: GENERATION };

    it('an ask leaves for the owner', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.others);
      const { output, counted } = mux.judge(frame(packet));
      expect(counted).toEqual({ ASK: 1 });
      expect(hex(output)).toBe(leaves(1, signed(OP.ask, CHAIN.others, { asker: SELF, hops: 1 })));
    });

    it('an ask is decided, and its record leaves for the backup', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
      const { output, counted } = mux.judge(comes(ASKER, signed(OP.ask, CHAIN.owner, { hops: 1 })));
      expect(counted).toEqual({ ASK_RECORD: 1, FLOW_NEW: 1 });
      expect(hex(output)).toBe(leaves(3, signed(OP.record, CHAIN.owner, { hops: 2, ...decided })));
      expect(mux.entries().get(hash)).toMatchObject({
        backend: CURRENT,
        slot: slotOf(SITE[service], hash),
        protocol: service === 'tcp6' ? 0x86 : 6,
      });
    });

    it('a record is remembered, and the answer leaves for home', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.backup);
      const { output, counted } = mux.judge(
        comes(1, signed(OP.record, CHAIN.backup, { hops: 2, ...decided })),
      );
      expect(counted).toEqual({ ASK_ANSWER: 1, FLOW_RECORDED: 1 });
      expect(hex(output)).toBe(leaves(ASKER, signed(OP.answer, CHAIN.backup, { hops: 3, ...decided })));
      expect(mux.entries().get(hash)).toMatchObject({ backend: CURRENT });
    });

    it('a record without a place leaves for the owner, and is taken back there', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.backup);
      for (let i = 1; i <= 7; i++)
        mux.putEntry(hash ^ (BigInt(i) << 40n), { backend: OTHER, track_epoch: CHAIN.backup.trackEpoch });
      const { output, counted } = mux.judge(
        comes(1, signed(OP.record, CHAIN.backup, { hops: 2, ...decided })),
      );
      expect(counted).toEqual({ ASK_RETURNED: 1, FLOW_RECORD_FULL: 1 });
      const flags = FLAGS.newFlow | FLAGS.unrecorded;
      expect(hex(output)).toBe(leaves(1, signed(OP.ask, CHAIN.backup, { hops: 3, flags, ...decided })));

      mux.clearTables();
      mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
      const returned = signed(OP.ask, CHAIN.owner, { hops: 3, flags, ...decided });
      const home = mux.judge(comes(3, returned));
      const based = { backend: BASE, generation: GENERATION };
      expect(hex(home.output)).toBe(
        leaves(ASKER, signed(OP.answer, CHAIN.owner, { hops: 4, flags, ...based })),
      );
    });

    it('an answer is taken home', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.others);
      const header = signed(OP.answer, CHAIN.others, { asker: SELF, hops: 3, ...decided });
      const { output, counted } = mux.judge(comes(3, header));
      expect(counted).toEqual({ FORWARD_ANSWERED: 1, FLOW_CACHED: 1 });
      expect(hex(output)).toBe(hex(encapsulated(packet, wayTo(CURRENT), hash, SOURCES, TRAFFIC_CLASS)));
      expect(mux.findCached(hash, CHAIN.others.trackEpoch)).toMatchObject({ backend: CURRENT, syn: true });
    });

    it('a relay leaves, and what it carries is asked for by who gets it', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.others);
      mux.setDeadline(-1);
      mux.setPeerState(3, { heard_ns: mux.nowNs });
      const relayed = mux.sign({ operation: OP.relay, asker: SELF, hops: 1 }, hash);
      expect(hex(mux.judge(frame(packet)).output)).toBe(leaves(3, relayed));
      mux.setDeadline(undefined);
      const { output, counted } = mux.judge(comes(3, mux.sign({ operation: OP.relay, asker: 3 }, hash)));
      expect(counted).toEqual({ ASK: 1 });
      expect(hex(output)).toBe(leaves(1, signed(OP.ask, CHAIN.others, { asker: SELF, hops: 2 })));
    });

    it('congestion that was met between muxes is marked in what is carried', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.others);
      const header = signed(OP.answer, CHAIN.others, { asker: SELF, hops: 3, ...decided });
      const capable = packetOf(
        { name: '', reason: '', packet: 'syn', trafficClass: TRAFFIC_CLASS | 2 },
        flow,
      );
      const marked = packetOf({ name: '', reason: '', packet: 'syn', trafficClass: TRAFFIC_CLASS | 3 }, flow);
      const { output } = mux.judge(comes(3, header, capable, { trafficClass: TRAFFIC_CLASS | 3 }));
      expect(hex(output)).toBe(hex(encapsulated(marked, wayTo(CURRENT), hash, SOURCES, TRAFFIC_CLASS | 3)));
    });

    it('is dropped where one bit of its inner addresses differs', () => {
      mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
      const whole = comes(ASKER, signed(OP.ask, CHAIN.owner, { hops: 1 }));
      const innerAt = whole.length - packet.bytes.length;
      const source = innerAt + (service === 'tcp6' ? 23 : 15);
      whole[source]! ^= 1;
      expect(mux.judge(whole).counted).toMatchObject({ DROP_ASK_TAG: 1 });
      expect(mux.entries().size).toBe(0);
    });
  });
});
