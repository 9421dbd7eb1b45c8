// Every kind of message between muxes as somebody makes it who has no key, or only what was said before; and as a node
// makes it that is configured otherwise. All of it is dropped, counted once, and changes nothing.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterMux } from './lib/cluster_mux.ts';
import { flowHash, parseHashKey, slotOf } from './lib/reference.ts';
import { testKey } from './lib/site.ts';
import { BASE, CHAIN, CURRENT, flowOf, packetOf, says } from './lib/tracked_case.ts';
import {
  ASK_KEY,
  type Chain,
  GENERATION,
  hashOf,
  IDLE,
  INCARNATION,
  SELF,
  SITE,
  slotInPool,
} from './lib/tracked_mux.ts';
import {
  carrying,
  flowsMessage,
  HEADER_BYTES,
  type Key,
  OP,
  type Outer,
  type WireHeader,
  wireFrame,
} from './lib/wire_frames.ts';

const PEER = 3;
const ROUND = 9;
const OTHER_KEY: Key = [0x1122334455667788n, 0x99aabbccddeeff00n];
const IPV4_BYTES = 20;
const HEADER_AT = 14 + IPV4_BYTES + 8;
const REASON = /^(PASS|FORWARD|DROP|REPLY|ASK|RELAY|NOTED)_?/;

const flow = flowOf('tcp');
const hash = hashOf('tcp', flow);
const { slotCount, pool } = SITE.tcp;
const slotAmong = (count: number): number => slotOf({ ...SITE.tcp, slotBase: 0, slotCount: count }, hash);
const slot = slotInPool('tcp', hash);
const decided = { backend: CURRENT, generation: GENERATION };
const packet = packetOf({ name: '', reason: '' }, flow);

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
afterAll(() => mux?.close());

/** What a message is made of, so that it can be made wrong. */
type Made = {
  header: Partial<WireHeader>;
  last?: bigint;
  key?: Key;
  inner?: Uint8Array;
  outer?: Partial<Outer>;
};
type Kind = {
  readonly chain: Chain;
  readonly reason: string;
  /** Says whom it is for; absent: it is for whoever gets it. */
  readonly names?: (mux: number) => Partial<WireHeader>;
  /** UDP's payload. */
  readonly data: (made?: Made) => Uint8Array;
};

const carried = (operation: number, chain: Chain, asker: number, reason: string): Kind => ({
  chain,
  reason,
  data: ({ header, last = hash, key = ASK_KEY, inner = packet.bytes } = { header: {} }) => {
    const said = {
      operation,
      asker,
      askerIncarnation: INCARNATION(asker),
      ...says('tcp', hash, chain, decided),
      ...header,
    };
    return carrying(mux.sign(said, last, key), { bytes: inner });
  },
});
const message = (operation: number, slotSaid: number, reason: string): Kind => ({
  chain: CHAIN.backup,
  reason,
  data: ({ header, last = 0n, key = ASK_KEY, inner = new Uint8Array(0) } = { header: {} }) =>
    Buffer.concat([
      mux.sign({ operation, asker: PEER, owner: SELF, slot: slotSaid, ...header }, last, key),
      inner,
    ]),
});
const entry = {
  fingerprint: hash,
  slot,
  trackEpoch: CHAIN.backup.trackEpoch,
  chainEpoch: CHAIN.backup.chainEpoch,
  backend: CURRENT,
  generation: GENERATION,
  ageUnits: 1,
  idleTime: IDLE,
  state: 3,
};
const flows: Kind = {
  chain: CHAIN.backup,
  reason: 'REPLY_FLOWS',
  data: ({ header, key = ASK_KEY, inner = new Uint8Array(0) } = { header: {} }) => {
    const asking = { asker: PEER, askerIncarnation: INCARNATION(PEER), time: mux.ticks, version: 9 };
    const said = { ...asking, operation: OP.flows, owner: SELF, slot: ROUND * 2048 + 1, pool, ...header };
    return Buffer.concat([flowsMessage(said, key, [entry]), inner]);
  },
};

const ownerOf = (mux: number) => ({ owner: mux, ownerIncarnation: INCARNATION(mux) });
const backupOf = (mux: number) => ({ backup: mux, backupIncarnation: INCARNATION(mux) });
const askerOf = (mux: number) => ({ asker: mux, askerIncarnation: INCARNATION(mux) });
const receiver = (mux: number) => ({ owner: mux });

const KINDS: Readonly<Record<string, Kind>> = {
  ask: { ...carried(OP.ask, CHAIN.owner, 4, 'ASK_RECORD'), names: ownerOf },
  record: { ...carried(OP.record, CHAIN.backup, 4, 'ASK_ANSWER'), names: backupOf },
  answer: { ...carried(OP.answer, CHAIN.others, SELF, 'FORWARD_ANSWERED'), names: askerOf },
  relay: carried(OP.relay, CHAIN.others, PEER, 'ASK'),
  probe: message(OP.probe, 7, 'REPLY_PROBE'),
  'answer to a probe': { ...message(OP.probeAnswer, 7, 'NOTED_PROBE'), names: receiver },
  flows: { ...flows, names: receiver },
  'answer to flows': { ...message(OP.flowsTaken, ROUND * 2048 + 1, 'NOTED_FLOWS'), names: receiver },
};
const rows = Object.entries(KINDS);
const isCarrying = (name: string): boolean => ['ask', 'record', 'answer', 'relay'].includes(name);

function prepare({ chain }: Kind): void {
  mux.reset();
  mux.setSlots('tcp', CURRENT, BASE, chain);
  mux.setPool(pool, SITE.tcp.slotBase, slotCount);
  mux.setPeerState(PEER, { copy_round: ROUND });
}
const framed = (data: Uint8Array, outer: Partial<Outer> = {}): Uint8Array =>
  wireFrame(mux.from(PEER, outer), data);

/** Tables, but for the mark that a bucket will be needed. */
const stateOf = () => ({
  entries: [...mux.entries()],
  cached: mux.cached(),
  peers: Buffer.from(mux.map('.data.peer_states').mmap().slice(0)).toString('hex'),
});

/** The one reason that a frame leaves for. */
function judged(frame: Uint8Array): { verdict: string; reason: string } {
  const { verdict, counted } = mux.judge(frame);
  const reasons = Object.entries(counted).filter(([name]) => REASON.test(name));
  expect(reasons.length, JSON.stringify(counted)).toBe(1);
  expect(reasons[0]![1]).toBe(1);
  return { verdict, reason: reasons[0]![0] };
}

describe.each(rows)('%s', (name, kind) => {
  let before: ReturnType<typeof stateOf>;
  beforeEach(() => {
    prepare(kind);
    before = stateOf();
  });
  const expectRefused = (frame: Uint8Array, reasons: string | RegExp, what = ''): void => {
    const { verdict, reason } = judged(frame);
    expect(reason, what).toMatch(typeof reasons === 'string' ? new RegExp(`^${reasons}$`) : reasons);
    expect(verdict, what).not.toBe('TX');
    expect(stateOf(), what).toEqual(before);
  };

  it('is taken as it should be', () => {
    expect(judged(framed(kind.data())).reason).toBe(kind.reason);
  });

  it('is forged: without the key, from elsewhere, with a tag of zeros', () => {
    expectRefused(framed(kind.data({ header: {}, key: OTHER_KEY })), 'DROP_ASK_TAG');
    expectRefused(framed(kind.data(), { from: '192.0.2.77' }), 'DROP_ASK_SOURCE');
    expectRefused(framed(kind.data(), { from: mux.addressOf(SELF) }), 'DROP_ASK_SOURCE');
    const untagged = kind.data().fill(0, HEADER_BYTES - 8, HEADER_BYTES);
    expectRefused(framed(untagged), 'DROP_ASK_TAG');
  });

  it('is changed in any bit of its header', () => {
    const whole = framed(kind.data());
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const frame = whole.slice();
      frame[HEADER_AT + (bit >> 3)]! ^= 1 << (bit & 7);
      expectRefused(frame, /^DROP_ASK_(TAG|FORMAT|SIZE|SOURCE)$/, `bit ${bit}`);
    }
  });

  it('is said again when its time has passed', () => {
    const frame = framed(kind.data());
    mux.wait(6_000);
    if (name === 'probe') {
      // It is answered, for the prober looks at the number of the answer; but nobody was heard.
      expect(judged(frame).reason).toBe('REPLY_PROBE');
      expect(stateOf()).toEqual(before);
    } else if (name === 'answer to a probe') {
      // It tells the time, so it cannot be judged by it: numbers only go up.
      expect(judged(frame).reason).toBe('NOTED_PROBE');
      before = stateOf();
      mux.wait(6_000);
      expectRefused(frame, 'NOTED_LATE');
    } else {
      expectRefused(frame, 'DROP_ASK_TIME');
    }
  });

  it('is from the future', () => {
    if (name.includes('probe')) return;
    expectRefused(framed(kind.data({ header: { time: mux.ticks + 5_000 } })), 'DROP_ASK_TIME');
  });

  it('is cut off anywhere, by the wire or by its sender', () => {
    const whole = framed(kind.data());
    for (let length = 14; length < whole.length; length++)
      expectRefused(whole.slice(0, length), /^(PASS|DROP)_/, `frame of ${length}`);
    const data = kind.data();
    for (let length = 0; length < data.length; length++) {
      // What is no whole IP header says no length that could be wrong.
      const isHeaderCut = isCarrying(name) && length > HEADER_BYTES && length < HEADER_BYTES + IPV4_BYTES;
      const reason = isHeaderCut ? 'DROP_ASK_SERVICE' : 'DROP_ASK_SIZE';
      expectRefused(framed(data.slice(0, length)), reason, `${length} bytes`);
    }
  });

  it('is for another mux, and said again to this one', () => {
    for (const other of [1, 4]) {
      const header = kind.names?.(other);
      if (header === undefined) continue;
      expectRefused(framed(kind.data({ header })), 'DROP_ASK_INCARNATION', `for mux ${other}`);
    }
  });

  it('is longer than what it says', () => {
    for (const bytes of [1, 8, 32, 1000]) {
      const longer = Buffer.concat([kind.data(), new Uint8Array(bytes)]);
      expectRefused(framed(longer), 'DROP_ASK_SIZE', `${bytes} more`);
    }
  });

  it('is in fragments', () => {
    const { verdict, counted } = mux.judge(framed(kind.data(), { ip: { moreFragments: true } }));
    expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
    expect(stateOf()).toEqual(before);
  });
});

describe('a node of another configuration', () => {
  const seeded = flowHash(parseHashKey(testKey('another')), SITE.tcp, flow);

  it.each(rows.filter(([name]) => isCarrying(name)))(
    'has another seed: its %s is of another flow',
    (_, kind) => {
      prepare(kind);
      const header = { slot: slotInPool('tcp', seeded) };
      expect(judged(framed(kind.data({ header, last: seeded }))).reason).toBe('DROP_ASK_TAG');
    },
  );

  it.each(rows.filter(([name]) => isCarrying(name) && name !== 'relay'))(
    'has another M: its %s is of another slot',
    (_, kind) => {
      prepare(kind);
      const other = [3, 7, 11, 65_537].map(slotAmong).filter((it) => it !== slot);
      expect(other.length).toBeGreaterThan(1);
      const before = stateOf();
      for (const wrong of other) {
        const { verdict, reason } = judged(framed(kind.data({ header: { slot: wrong } })));
        expect({ verdict, reason }).toEqual({ verdict: 'DROP', reason: 'DROP_ASK_SLOT' });
      }
      expect(stateOf()).toEqual(before);
    },
  );
});
