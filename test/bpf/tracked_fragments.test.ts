// Fragments of flows of tracked slots: the mux that keeps them asks for the first one, and later ones follow it wherever
// it went, whatever becomes of the slot.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEADLINE_ALONE } from '../../control/dataplane/self.ts';
import { ClusterMux } from './lib/cluster_mux.ts';
import { be, type Datagram, fragmentHeader, frame, ipv4, ipv6, payload, raw } from './lib/packets.ts';
import { encapsulated, laterFragmentHash, parseHashKey } from './lib/reference.ts';
import { hex } from './lib/rig.ts';
import { BASE, CHAIN, CURRENT, flowOf, OTHER, packetOf, says } from './lib/tracked_case.ts';
import {
  BACKENDS,
  GENERATION,
  hashOf,
  INCARNATION,
  KEY_BYTES,
  MUXES,
  SELF,
  SOURCES,
  wayTo,
} from './lib/tracked_mux.ts';
import { carrying, FLAGS, OP, queueOf, type WireHeader, wireFrame } from './lib/wire_frames.ts';

const PEER = 3;
/** Of the first fragment. */
const CUT = 48;

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
afterAll(() => mux?.close());

describe.each(['tcp', 'tcp6'] as const)('fragments of a tracked slot: %s', (service) => {
  const flow = flowOf(service);
  const hash = hashOf(service, flow);
  const whole = packetOf({ name: '', reason: '' }, flow).bytes;
  const segment = Buffer.concat([whole.subarray(service === 'tcp' ? 20 : 40), payload(60)]);
  const ends = { source: flow.source, destination: flow.destination };
  let identification = 0x4000;

  const piece = (offset: number): Datagram => {
    const more = offset === 0;
    const bytes = more ? segment.subarray(0, CUT) : segment.subarray(CUT);
    if (service === 'tcp')
      return ipv4(
        { ...ends, identification, fragmentOffset: offset, moreFragments: more },
        raw(6, Uint8Array.from(bytes)),
      );
    const extensions = [fragmentHeader({ identification, offset, more })];
    return ipv6({ ...ends, extensions }, raw(6, Uint8Array.from(bytes)));
  };
  const first = () => piece(0);
  const later = () => piece(CUT);
  const laterHash = (): bigint =>
    laterFragmentHash(parseHashKey(KEY_BYTES), be(identification, service === 'tcp' ? 2 : 4), flow.source);

  beforeEach(() => {
    mux.reset();
    identification++;
    for (const backend of BACKENDS) mux.setBackend(backend, { present: true });
  });

  const carried = (datagram: Datagram, last: bigint, header: Partial<WireHeader> = {}): Uint8Array =>
    wireFrame(mux.from(PEER), carrying(mux.sign({ operation: OP.relay, ...header }, last), datagram));
  const relayed = (datagram: Datagram, last = hash) => mux.judge(carried(datagram, last));
  const answered = (backend: number, flags = 0) =>
    mux.judge(
      carried(
        first(),
        hash,
        says(service, hash, CHAIN.others, {
          operation: OP.answer,
          asker: SELF,
          askerIncarnation: INCARNATION(SELF),
          backend,
          generation: GENERATION,
          hops: 4,
          flags,
        }),
      ),
    );
  const expectLaterAt = (backend: number): void => {
    const { output, counted } = relayed(later(), laterHash());
    expect(counted).toEqual({ FORWARD_LATER_FRAGMENT: 1 });
    expect(hex(output)).toBe(hex(encapsulated(later(), wayTo(backend), laterHash(), SOURCES, 0)));
  };

  it('go to the mux that keeps them, undecided, the first one, too', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
    const receivers = new Set<string>();
    for (let i = 0; i < 40; i++, identification++) {
      const one = mux.judge(frame(first()));
      const other = mux.judge(frame(later()));
      if ('ASK_RECORD' in one.counted) {
        receivers.add('here');
        expect(other.counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
        continue;
      }
      expect([one.counted, other.counted]).toEqual([{ RELAY_FRAGMENT: 1 }, { RELAY_FRAGMENT: 1 }]);
      const [to, otherTo] = [one, other].map(({ output }) => [...output.subarray(30, 34)].join('.'));
      expect(otherTo).toBe(to);
      receivers.add(to!);
    }
    expect(receivers.size).toBe(MUXES.length);
  });

  it('the first one that was relayed here asks as any packet does, and later ones wait for its answer', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.others);
    const { output, counted } = relayed(first());
    expect(counted).toEqual({ ASK: 1 });
    const header = mux.sign(
      {
        ...says(service, hash, CHAIN.others, { asker: SELF, askerIncarnation: INCARNATION(SELF), hops: 2 }),
        operation: OP.ask,
      },
      hash,
    );
    expect(hex(output)).toBe(hex(wireFrame(mux.to(1, queueOf(hash)), carrying(header, first()))));
    expect(relayed(later(), laterHash()).counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
    expect(answered(OTHER).counted).toEqual({ FORWARD_ANSWERED: 1, FLOW_CACHED: 1 });
    expectLaterAt(OTHER);
  });

  it('follow a first one that nobody remembers', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.others);
    expect(answered(BASE, FLAGS.unrecorded).counted).toEqual({ FORWARD_UNRECORDED: 1 });
    expect(mux.findCached(hash, CHAIN.others.trackEpoch)).toBeUndefined();
    expectLaterAt(BASE);
  });

  it('go by the cache, and follow the first one whatever becomes of cache and slot', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.others);
    answered(OTHER);
    identification++;
    expect(relayed(first()).counted).toEqual({ FORWARD_CACHED: 1 });
    mux.clearTables();
    mux.setSlots(service, BASE, BASE);
    expectLaterAt(OTHER);
  });

  it('of a flow are sent on with the decision and its record', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
    const ask = says(service, hash, CHAIN.owner, {
      operation: OP.ask,
      asker: 4,
      askerIncarnation: INCARNATION(4),
    });
    const { output, counted } = mux.judge(carried(first(), hash, ask));
    expect(counted).toEqual({ ASK_RECORD: 1, FLOW_BASE: 1 });
    const decided = { operation: OP.record, backend: BASE, generation: GENERATION, hops: 2 };
    const record = mux.sign({ ...ask, ...decided }, hash);
    expect(hex(output)).toBe(hex(wireFrame(mux.to(3, queueOf(hash)), carrying(record, first()))));

    mux.clearTables();
    mux.setSlots(service, CURRENT, BASE, CHAIN.backup);
    const recorded = mux.judge(
      carried(first(), hash, { ...ask, ...says(service, hash, CHAIN.backup, decided) }),
    );
    expect(recorded.counted).toEqual({ ASK_ANSWER: 1, FLOW_RECORDED: 1 });
    expect(mux.entries().get(hash)).toMatchObject({ backend: BASE });
  });

  it('go alone where nobody can be asked, and together', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.others);
    mux.set({ deadline: DEADLINE_ALONE });
    mux.putEntry(hash, { backend: OTHER, track_epoch: CHAIN.others.trackEpoch });
    expect(relayed(first()).counted).toEqual({ FORWARD_ALONE: 1 });
    const { output, counted } = relayed(later(), laterHash());
    expect(counted).toEqual({ FORWARD_ALONE: 1 });
    expect(hex(output)).toBe(hex(encapsulated(later(), wayTo(OTHER), laterHash(), SOURCES, 0)));
  });

  it('a later one is in no question: it has no flow', () => {
    mux.setSlots(service, CURRENT, BASE, CHAIN.owner);
    for (const operation of [OP.ask, OP.record]) {
      const header = says(service, hash, CHAIN.owner, {
        operation,
        asker: 4,
        askerIncarnation: INCARNATION(4),
      });
      const { verdict, counted } = mux.judge(carried(later(), laterHash(), header));
      expect({ verdict, counted }).toEqual({ verdict: 'DROP', counted: { DROP_ASK_SLOT: 1 } });
    }
    expect(mux.entries().size).toBe(0);
  });
});
