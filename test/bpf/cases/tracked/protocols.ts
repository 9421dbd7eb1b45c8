// What is new, a sign of life, or neither, by protocol.
import { BASE, CHAIN, CURRENT, OTHER, type Row, STATES } from '../../lib/tracked_case.ts';
import { FLAG } from '../../lib/wire_reference.ts';
import { answer, asked, fragmentationNeeded, longHeader } from './common.ts';

const { newFlow, lookUp } = FLAG;

const quic = (name: string, data: Uint8Array, isNew: boolean): Row => ({
  name,
  service: 'quic',
  packet: { data },
  chain: CHAIN.owner,
  reason: 'ASK_RECORD',
  events: [isNew ? 'FLOW_NEW' : 'FLOW_BASE'],
  leaves: {
    mux: 3,
    operation: 'record',
    by: CHAIN.owner,
    header: { flags: isNew ? newFlow : 0, ...answer(isNew ? CURRENT : BASE) },
  },
  entry: { backend: isNew ? CURRENT : BASE, state: isNew ? STATES.nascent : STATES.unproven },
});

export const protocols: Row[] = [
  quic('an Initial of QUIC version 1 is new', longHeader(1, 0), true),
  quic('an Initial of QUIC version 2 is new', longHeader(0x6b3343cf, 1), true),
  quic('a Handshake packet of QUIC version 1 is not', longHeader(1, 2), false),
  quic('type 0 of QUIC version 2 (Retry) is not', longHeader(0x6b3343cf, 0), false),
  quic('any packet of another QUIC version is not', longHeader(0xff00001d, 0), false),
  quic('a short header is not', new Uint8Array(40).fill(0x40), false),
  {
    name: 'UDP is never new, whatever it looks like',
    service: 'udp',
    packet: { data: longHeader(1, 0) },
    chain: CHAIN.owner,
    reason: 'ASK_RECORD',
    events: ['FLOW_BASE'],
    leaves: { mux: 3, operation: 'record', by: CHAIN.owner, header: answer(BASE) },
    entry: { backend: BASE, state: STATES.unproven },
  },
  {
    name: 'a client with affinity goes to base, SYN or not',
    service: 'sticky',
    packet: 'syn',
    chain: CHAIN.owner,
    comes: asked(),
    reason: 'ASK_RECORD',
    events: ['FLOW_BASE'],
    leaves: { mux: 3, operation: 'record', by: CHAIN.owner, header: answer(BASE) },
    entry: { backend: BASE, state: STATES.nascent },
  },
  {
    name: 'a client with affinity that is known goes where it is known',
    service: 'sticky',
    packet: 'syn',
    chain: CHAIN.owner,
    known: { backend: OTHER },
    comes: asked(),
    reason: 'ASK_RECORD',
    events: ['FLOW_KNOWN'],
    leaves: { mux: 3, operation: 'record', by: CHAIN.owner, header: answer(OTHER) },
  },
  {
    name: 'an ICMP error goes by the cache and is no sign of life',
    datagram: fragmentationNeeded,
    chain: CHAIN.others,
    cached: { backend: OTHER, age: 5 },
    reason: 'FORWARD_CACHED',
    leaves: { backend: OTHER },
    caches: { backend: OTHER, syn: false, age: 5 },
  },
  {
    name: 'an ICMP error asks to look up',
    datagram: fragmentationNeeded,
    chain: CHAIN.others,
    reason: 'ASK',
    leaves: { mux: 1, operation: 'ask', by: CHAIN.others, header: { flags: lookUp } },
  },
];
