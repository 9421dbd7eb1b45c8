// Heartbeats and pledges: what the program answers, and what it notes of answers.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterMux } from './lib/cluster_mux.ts';
import { payload } from './lib/packets.ts';
import { hex } from './lib/rig.ts';
import { ASK_KEY, SELF } from './lib/tracked_mux.ts';
import { FLAGS, type Key, OP, type Outer, type WireHeader, wireFrame } from './lib/wire_frames.ts';

const PEER = 3;
const NEW_KEY: Key = [5n, 6n];

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
beforeEach(() => mux.reset());
afterAll(() => mux?.close());

const message = (header: Partial<WireHeader> & Pick<WireHeader, 'operation'>, outer: Partial<Outer> = {}) =>
  wireFrame(mux.from(PEER, outer), mux.sign({ asker: PEER, ...header }, 0n));
const probe = (header: Partial<WireHeader> = {}, outer: Partial<Outer> = {}) =>
  message({ operation: OP.probe, slot: 77, ...header }, outer);
const answer = (slot: number, header: Partial<WireHeader> = {}) =>
  message({ operation: OP.probeAnswer, owner: SELF, slot, ...header });

/** The frame that a probe is turned into. */
function answered(
  header: Partial<WireHeader> = {},
  outer: Partial<Outer> = {},
  key: Key = ASK_KEY,
): Uint8Array {
  const came = mux.from(PEER, outer);
  const back = { ...came, from: came.to, to: came.from, fromMac: came.toMac, toMac: came.fromMac };
  return wireFrame(
    { ...back, sourcePort: 0xc000 },
    mux.sign({ operation: OP.probeAnswer, asker: SELF, owner: PEER, slot: 77, ...header }, 0n, key),
  );
}

describe('a probe', () => {
  it.each([
    ['IPv4', 4, []],
    ['IPv4 behind a tag', 4, [{ tci: 9 }]],
    ['IPv6', 6, []],
  ] as const)('is turned round: %s', (_, version, tags) => {
    if (version === 6) mux.useIpv6();
    const trafficClass = 0xc0;
    const { verdict, output, counted } = mux.judge(probe({}, { tags, trafficClass: trafficClass | 3 }));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { REPLY_PROBE: 1 } });
    expect(hex(output)).toBe(hex(answered({}, { tags, trafficClass })));
  });

  it('says version, incarnation and time of who answers, at any time of the prober', () => {
    mux.set({ version: 41, incarnation: 17, time_offset: 1000 });
    const { output } = mux.judge(probe({ time: 0 }));
    expect(hex(output)).toBe(hex(answered({ version: 41, askerIncarnation: 17, time: mux.ticks + 1000 })));
  });

  it('is answered past the deadline, with that', () => {
    mux.setDeadline(-1);
    expect(hex(mux.judge(probe()).output)).toBe(hex(answered({ flags: FLAGS.pastDeadline })));
  });

  it('is answered under the key that it came with', () => {
    mux.setKey(1, NEW_KEY);
    const frame = wireFrame(
      mux.from(PEER),
      mux.sign({ operation: OP.probe, asker: PEER, slot: 77, keyId: 1 }, 0n, NEW_KEY),
    );
    expect(hex(mux.judge(frame).output)).toBe(hex(answered({ keyId: 1 }, {}, NEW_KEY)));
  });

  it('from a socket with a checksum and padding is answered all the same', () => {
    const padded = Buffer.concat([probe({}, { udp: { zeroChecksum: false } }), Buffer.alloc(6)]);
    expect(hex(mux.judge(padded).output)).toBe(hex(answered()));
  });

  it.each([
    ['who is not who it says', () => probe({ asker: 1 }), 'DROP_ASK_SOURCE'],
    ['nobody known', () => probe({}, { from: '192.0.2.9' }), 'DROP_ASK_SOURCE'],
    [
      'another key',
      () => wireFrame(mux.from(PEER), mux.sign({ operation: OP.probe, asker: PEER }, 0n, NEW_KEY)),
      'DROP_ASK_TAG',
    ],
    [
      'one with something behind it',
      () =>
        wireFrame(
          mux.from(PEER),
          Buffer.concat([mux.sign({ operation: OP.probe, asker: PEER }, 0n), payload(8)]),
        ),
      'DROP_ASK_SIZE',
    ],
  ])('is not taken from %s', (_, make, reason) => {
    expect(mux.judge(make())).toMatchObject({ verdict: 'DROP', counted: { [reason]: 1 } });
    expect(mux.peerState(PEER).pledged_ns).toBe(0n);
  });

  it('is hearing its sender, whether it may decide or not', () => {
    mux.judge(probe({ flags: FLAGS.pastDeadline }));
    expect(mux.peerState(PEER)).toMatchObject({ heard_ns: mux.nowNs, flags: 1, echo: 0, incarnation: 0 });
    mux.judge(probe());
    expect(mux.peerState(PEER)).toMatchObject({ heard_ns: mux.nowNs, flags: 0 });
  });

  it('that was held up is answered, and is not hearing its sender', () => {
    expect(mux.judge(probe({ time: mux.ticks - 5_000 })).counted).toEqual({ REPLY_PROBE: 1 });
    expect(mux.peerState(PEER).heard_ns).toBe(0n);
  });
});

describe('a pledge', () => {
  it('is given to who has this version or a newer one, and noted', () => {
    for (const version of [9, 12]) {
      mux.wait(5);
      const { output } = mux.judge(probe({ flags: FLAGS.pledge, version }));
      expect(hex(output)).toBe(hex(answered({ flags: FLAGS.pledge })));
      expect(mux.peerState(PEER)).toMatchObject({ pledged_ns: mux.nowNs, pledged_version: 9 });
    }
  });

  it('is refused to who has an older one, and what was pledged before stands', () => {
    mux.judge(probe({ flags: FLAGS.pledge, version: 9 }));
    const before = mux.peerState(PEER);
    mux.wait(5);
    mux.set({ version: 10 });
    const { output } = mux.judge(probe({ flags: FLAGS.pledge, version: 9 }));
    expect(hex(output)).toBe(hex(answered({ version: 10 })));
    expect(mux.peerState(PEER)).toEqual({ ...before, heard_ns: mux.nowNs });
  });

  it('is not given to who has not asked for it', () => {
    mux.judge(probe());
    expect(mux.peerState(PEER).pledged_ns).toBe(0n);
  });
});

describe('an answer', () => {
  it('is noted: who, when, what', () => {
    const { verdict, counted } = mux.judge(answer(5, { version: 12, time: 99, askerIncarnation: 8 }));
    expect({ verdict, counted }).toEqual({ verdict: 'DROP', counted: { NOTED_PROBE: 1 } });
    expect(mux.peerState(PEER)).toMatchObject({
      heard_ns: mux.nowNs,
      echo: 5,
      version: 12,
      time: 99,
      incarnation: 8,
      flags: 0,
      pledge_echo: 0n,
    });
  });

  it('counts once: a repeated or older one is not heard now', () => {
    mux.judge(answer(0xffff_fff0));
    const heard = mux.nowNs;
    mux.wait(700);
    for (const slot of [0xffff_fff0, 0xffff_ffef, 0x8000_0000])
      expect(mux.judge(answer(slot)).counted).toEqual({ NOTED_LATE: 1 });
    expect(mux.peerState(PEER).heard_ns).toBe(heard);
    // Numbers go round.
    expect(mux.judge(answer(3)).counted).toEqual({ NOTED_PROBE: 1 });
    expect(mux.peerState(PEER)).toMatchObject({ heard_ns: mux.nowNs, echo: 3 });
  });

  it('with a pledge is kept until the peer turns out to be further', () => {
    mux.judge(answer(1, { flags: FLAGS.pledge }));
    mux.judge(answer(2, { flags: FLAGS.pastDeadline }));
    expect(mux.peerState(PEER)).toMatchObject({ flags: 3, pledge_echo: 1n, echo: 2 });
    mux.judge(answer(3, { version: 10 }));
    expect(mux.peerState(PEER)).toMatchObject({ flags: 0, pledge_echo: 1n });
  });

  it.each([0, 1])('for mux %i is none for this one', (owner) => {
    expect(mux.judge(answer(9, { owner })).counted).toEqual({ DROP_ASK_INCARNATION: 1 });
    expect(mux.peerState(PEER).heard_ns).toBe(0n);
  });

  it('of another peer is not of this one', () => {
    const frame = wireFrame(
      mux.from(1),
      mux.sign({ operation: OP.probeAnswer, asker: PEER, owner: SELF, slot: 9 }, 0n),
    );
    expect(mux.judge(frame).counted).toEqual({ DROP_ASK_SOURCE: 1 });
    expect(mux.peerState(PEER).heard_ns).toBe(0n);
  });

  it('in an IP packet of another length is not taken', () => {
    const frame = answer(1);
    for (let length = 14; length < frame.length; length++)
      expect(mux.run(frame.slice(0, length)).verdict).not.toBe('TX');
    expect(mux.peerState(PEER).heard_ns).toBe(0n);
  });
});
