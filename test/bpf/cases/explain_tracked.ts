import { DEADLINE_ALONE } from '../../../control/dataplane/self.ts';
import type { ClusterMux } from '../lib/cluster_mux.ts';
import { type Datagram, frame, icmp4, ipv4, payload, raw, TCP_FLAG, tcp } from '../lib/packets.ts';
import { CHAIN, CURRENT, EPOCH, flowOf, newer, OTHER, says } from '../lib/tracked_case.ts';
import {
  ASK_KEY,
  type Chain,
  CLIENT,
  GENERATION,
  hashOf,
  IDLE,
  INCARNATION,
  MUXES,
  SELF,
  SERVICE,
  SITE,
  slotInPool,
} from '../lib/tracked_mux.ts';
import { carrying, FLAGS, flowsMessage, OP, type WireHeader, wireFrame } from '../lib/wire_frames.ts';

const FLOW = flowOf('tcp');
const HASH = hashOf('tcp', FLOW);
const SLOT = slotInPool('tcp', HASH);
const PEER = 3;
const ROUND = 9;

export type ExplainRow = {
  name: string;
  chain?: Chain;
  before?: (mux: ClusterMux) => void;
  frame: (mux: ClusterMux) => Uint8Array;
  reason: string;
  /** Tables that the forwarding program changes, besides counters. */
  changes: readonly string[];
};

const segment = (flags: number, data: Uint8Array = new Uint8Array(0)): Datagram =>
  ipv4(
    { source: FLOW.source, destination: FLOW.destination, identification: 77 },
    tcp({ sourcePort: FLOW.sourcePort, destinationPort: FLOW.destinationPort, flags, data }),
  );
const syn = segment(TCP_FLAG.syn);
const data = segment(TCP_FLAG.ack);
const quoted = ipv4(
  { source: SERVICE, destination: CLIENT },
  tcp({ sourcePort: FLOW.destinationPort, destinationPort: FLOW.sourcePort, flags: TCP_FLAG.ack }),
);
const icmpError = ipv4(
  { source: '198.51.100.1', destination: SERVICE },
  icmp4({ type: 3, code: 4, rest: 1300, data: quoted.bytes.subarray(0, 28) }),
);
const whole = segment(TCP_FLAG.ack, payload(80)).bytes.subarray(20);
const ends = { source: CLIENT, destination: SERVICE, identification: 9 };
const firstFragment = ipv4({ ...ends, moreFragments: true }, raw(6, whole.subarray(0, 48)));
const laterFragment = ipv4({ ...ends, fragmentOffset: 48 }, raw(6, whole.subarray(48)));

const client = (packet: Datagram) => () => frame(packet);

function carried(operation: number, packet: Datagram, chain: Chain, more: Partial<WireHeader> = {}) {
  return (mux: ClusterMux): Uint8Array =>
    wireFrame(
      mux.from(PEER),
      carrying(mux.sign({ operation, asker: 4, ...says('tcp', HASH, chain, more) }, HASH), packet),
    );
}
const answerHeader = (more: Partial<WireHeader> = {}) => ({
  asker: SELF,
  askerIncarnation: INCARNATION(SELF),
  backend: OTHER,
  generation: GENERATION,
  ...more,
});

const message = (operation: number, more: Partial<WireHeader> = {}) => {
  return (mux: ClusterMux): Uint8Array =>
    wireFrame(mux.from(PEER), mux.sign({ operation, asker: PEER, owner: SELF, ...more }, 0n));
};

function flows(flags: number) {
  return (mux: ClusterMux): Uint8Array => {
    const header: WireHeader = {
      asker: PEER,
      askerIncarnation: INCARNATION(PEER),
      time: mux.ticks,
      version: 9,
      operation: OP.flows,
      owner: SELF,
      slot: ROUND * 2048 + 1,
      pool: SITE.tcp.pool,
      flags,
    };
    const entry = {
      fingerprint: HASH,
      slot: SLOT,
      trackEpoch: EPOCH,
      chainEpoch: EPOCH,
      backend: OTHER,
      generation: GENERATION,
      ageUnits: 1,
      idleTime: IDLE,
      state: 3,
    };
    return wireFrame(mux.from(PEER), flowsMessage(header, ASK_KEY, [entry]));
  };
}

const cached = (mux: ClusterMux): void =>
  mux.putCached(HASH, {
    backend: OTHER,
    syn: false,
    generation: GENERATION,
    slot: SITE.tcp.slotBase + SLOT,
    trackEpoch: EPOCH,
    seen: mux.now - 5,
  });
const known = (state: number) => (mux: ClusterMux) =>
  mux.putEntry(HASH, {
    backend: OTHER,
    slot: SITE.tcp.slotBase + SLOT,
    track_epoch: EPOCH,
    chain_epoch: EPOCH,
    state,
    seen: mux.now - 5,
  });
/** No place for a SYN. */
const crowded = (mux: ClusterMux): void => {
  for (let i = 1; i <= 3; i++)
    mux.putEntry(HASH ^ (BigInt(i) << 40n), { backend: OTHER, track_epoch: EPOCH, state: 1 });
};
const heard = (mux: ClusterMux): void => mux.setPeerState(PEER, { heard_ns: mux.nowNs });
/** Where fragments have their home here. */
const noPeers = (mux: ClusterMux): void => {
  for (const peer of MUXES) if (peer !== SELF) mux.setPeer(peer, { present: false });
};

export const CLIENTS: readonly ExplainRow[] = [
  { name: 'of a clean slot', frame: client(data), reason: 'FORWARD', changes: [] },
  {
    name: 'SYN, cached',
    chain: CHAIN.others,
    before: cached,
    frame: client(syn),
    reason: 'FORWARD_CACHED',
    changes: ['flow_cache'],
  },
  {
    name: 'other, cached',
    chain: CHAIN.others,
    before: cached,
    frame: client(data),
    reason: 'FORWARD_CACHED',
    changes: ['flow_cache'],
  },
  {
    name: 'ICMP error, cached',
    chain: CHAIN.others,
    before: cached,
    frame: client(icmpError),
    reason: 'FORWARD_CACHED',
    changes: [],
  },
  { name: 'SYN of another owner', chain: CHAIN.others, frame: client(syn), reason: 'ASK', changes: [] },
  { name: 'other of another owner', chain: CHAIN.others, frame: client(data), reason: 'ASK', changes: [] },
  {
    name: 'ICMP error of another owner',
    chain: CHAIN.others,
    frame: client(icmpError),
    reason: 'ASK',
    changes: [],
  },
  {
    name: 'SYN that this mux owns',
    chain: CHAIN.owner,
    frame: client(syn),
    reason: 'ASK_RECORD',
    changes: ['flow_table'],
  },
  {
    name: 'other that this mux owns',
    chain: CHAIN.owner,
    before: known(1),
    frame: client(data),
    reason: 'ASK_RECORD',
    changes: ['flow_table'],
  },
  {
    name: 'ICMP error that this mux owns',
    chain: CHAIN.owner,
    before: known(1),
    frame: client(icmpError),
    reason: 'FORWARD_ANSWERED',
    changes: [],
  },
  {
    name: 'SYN that this mux owns and has no place for',
    chain: CHAIN.owner,
    before: crowded,
    frame: client(syn),
    reason: 'FORWARD_UNRECORDED',
    changes: ['chains', 'flow_table'],
  },
  {
    name: 'SYN without a backup',
    chain: CHAIN.lonely,
    frame: client(syn),
    reason: 'FORWARD_ANSWERED',
    changes: ['flow_cache', 'flow_table'],
  },
  {
    name: 'that cannot be wrapped',
    chain: CHAIN.others,
    before: (mux) => mux.setPeer(1, { innerMtu: 30 }),
    frame: client(data),
    reason: 'FORWARD_UNRECORDED',
    changes: ['chains'],
  },
  {
    name: 'first fragment',
    before: noPeers,
    frame: client(firstFragment),
    reason: 'FORWARD_FIRST_FRAGMENT',
    changes: ['fragments'],
  },
  {
    name: 'first fragment, cached',
    chain: CHAIN.others,
    before: (mux) => {
      noPeers(mux);
      cached(mux);
    },
    frame: client(firstFragment),
    reason: 'FORWARD_CACHED',
    changes: ['flow_cache', 'fragments'],
  },
  {
    name: 'later fragment',
    before: noPeers,
    frame: client(laterFragment),
    reason: 'DROP_FRAGMENT_UNKNOWN',
    changes: [],
  },
  {
    name: 'past the deadline',
    chain: CHAIN.owner,
    before: (mux) => {
      heard(mux);
      mux.setDeadline(-1);
    },
    frame: client(syn),
    reason: 'RELAY_DEADLINE',
    changes: [],
  },
  {
    name: 'alone',
    chain: CHAIN.owner,
    before: (mux) => mux.set({ deadline: DEADLINE_ALONE }),
    frame: client(syn),
    reason: 'FORWARD_ALONE',
    changes: ['chains'],
  },
];

export const CARRIED: readonly ExplainRow[] = [
  {
    name: 'an ask, SYN',
    chain: CHAIN.owner,
    frame: carried(OP.ask, syn, CHAIN.owner, { flags: FLAGS.newFlow }),
    reason: 'ASK_RECORD',
    changes: ['flow_table'],
  },
  {
    name: 'an ask, other',
    chain: CHAIN.owner,
    before: known(1),
    frame: carried(OP.ask, data, CHAIN.owner),
    reason: 'ASK_RECORD',
    changes: ['flow_table'],
  },
  {
    name: 'a record that came back',
    chain: CHAIN.owner,
    before: (mux) =>
      mux.putEntry(HASH, { backend: CURRENT, track_epoch: EPOCH, chain_epoch: EPOCH, state: 1 }),
    frame: carried(OP.ask, syn, CHAIN.owner, {
      flags: FLAGS.newFlow | FLAGS.unrecorded,
      backend: CURRENT,
      generation: GENERATION,
    }),
    reason: 'ASK_ANSWER',
    changes: ['chains', 'flow_table'],
  },
  {
    name: 'a record of another backend than is known',
    chain: CHAIN.backup,
    before: known(3),
    frame: carried(OP.record, data, CHAIN.backup, { backend: CURRENT, generation: GENERATION }),
    reason: 'ASK_ANSWER',
    changes: ['flow_table'],
  },
  {
    name: 'a record without a place',
    chain: CHAIN.backup,
    before: crowded,
    frame: carried(OP.record, syn, CHAIN.backup, {
      flags: FLAGS.newFlow,
      backend: CURRENT,
      generation: GENERATION,
    }),
    reason: 'ASK_RETURNED',
    changes: ['chains', 'flow_table'],
  },
  {
    name: 'an ask to look up',
    chain: CHAIN.owner,
    before: known(1),
    frame: carried(OP.ask, icmpError, CHAIN.owner, { flags: FLAGS.lookUp }),
    reason: 'ASK_ANSWER',
    changes: ['flow_table'],
  },
  {
    name: 'an ask to pass on',
    chain: newer(CHAIN.others),
    frame: carried(OP.ask, syn, CHAIN.owner, { flags: FLAGS.newFlow }),
    reason: 'ASK_PASSED_ON',
    changes: ['flow_table'],
  },
  {
    name: 'a record, SYN',
    chain: CHAIN.backup,
    frame: carried(OP.record, syn, CHAIN.backup, {
      flags: FLAGS.newFlow,
      backend: CURRENT,
      generation: GENERATION,
    }),
    reason: 'ASK_ANSWER',
    changes: ['flow_table'],
  },
  {
    name: 'a record, other',
    chain: CHAIN.backup,
    before: known(1),
    frame: carried(OP.record, data, CHAIN.backup, { backend: OTHER, generation: GENERATION }),
    reason: 'ASK_ANSWER',
    changes: ['flow_table'],
  },
  {
    name: 'an answer',
    chain: CHAIN.others,
    frame: carried(OP.answer, data, CHAIN.others, answerHeader()),
    reason: 'FORWARD_ANSWERED',
    changes: ['flow_cache'],
  },
  {
    name: 'an answer to a SYN',
    chain: CHAIN.others,
    frame: carried(OP.answer, syn, CHAIN.others, answerHeader({ flags: FLAGS.newFlow })),
    reason: 'FORWARD_ANSWERED',
    changes: ['flow_cache'],
  },
  {
    name: 'an answer that nobody remembers',
    chain: CHAIN.others,
    frame: carried(OP.answer, data, CHAIN.others, answerHeader({ flags: FLAGS.unrecorded })),
    reason: 'FORWARD_UNRECORDED',
    changes: ['chains'],
  },
  {
    name: 'an answer, fragment',
    chain: CHAIN.others,
    frame: carried(OP.answer, firstFragment, CHAIN.others, answerHeader()),
    reason: 'FORWARD_ANSWERED',
    changes: ['flow_cache', 'fragments'],
  },
  { name: 'a relay', frame: carried(OP.relay, data, CHAIN.others), reason: 'FORWARD', changes: [] },
  {
    name: 'a relay, cached',
    chain: CHAIN.others,
    before: cached,
    frame: carried(OP.relay, data, CHAIN.others),
    reason: 'FORWARD_CACHED',
    changes: ['flow_cache'],
  },
  {
    name: 'a relay, fragment',
    frame: carried(OP.relay, firstFragment, CHAIN.others),
    reason: 'FORWARD_FIRST_FRAGMENT',
    changes: ['fragments'],
  },
];

export const MESSAGES: readonly ExplainRow[] = [
  {
    name: 'a probe',
    frame: message(OP.probe, { slot: 7 }),
    reason: 'REPLY_PROBE',
    changes: ['.data.peer_states'],
  },
  {
    name: 'a probe for a pledge',
    frame: message(OP.probe, { slot: 7, flags: FLAGS.pledge }),
    reason: 'REPLY_PROBE',
    changes: ['.data.peer_states'],
  },
  {
    name: 'an answer to a probe',
    frame: message(OP.probeAnswer, { slot: 7 }),
    reason: 'NOTED_PROBE',
    changes: ['.data.peer_states'],
  },
  {
    name: 'a pledge',
    frame: message(OP.probeAnswer, { slot: 7, flags: FLAGS.pledge }),
    reason: 'NOTED_PROBE',
    changes: ['.data.peer_states'],
  },
  { name: 'a copy', chain: CHAIN.backup, frame: flows(0), reason: 'REPLY_FLOWS', changes: ['flow_table'] },
  {
    name: 'a refresh',
    chain: CHAIN.backup,
    before: known(3),
    frame: flows(FLAGS.refresh),
    reason: 'REPLY_FLOWS',
    changes: ['flow_table'],
  },
  {
    name: 'an answer to a message of flows',
    before: (mux) => mux.setPeerState(PEER, { copy_round: ROUND }),
    frame: message(OP.flowsTaken, { slot: ROUND * 2048 + 1 }),
    reason: 'NOTED_FLOWS',
    changes: ['.data.copies_taken'],
  },
];
