// A new flow that may be one that found no place a moment ago: what was answered then, base, is where it stays.
import { BASE, CHAIN, CURRENT, newer, OTHER, type Row, STATES } from '../../lib/tracked_case.ts';
import { FLAG } from '../../lib/wire_reference.ts';
import { answer, asked, home, longHeader, recorded, recordTo } from './common.ts';

const { newFlow, unrecorded } = FLAG;
/** 3.2 s of flow time: longer than handshakes may be silent. */
const HELD = 12;

const decides = (name: string, backend: number, refusedAgo: number, more: Partial<Row> = {}): Row => ({
  name,
  packet: 'syn',
  chain: CHAIN.owner,
  refusedAgo,
  comes: asked(),
  reason: 'ASK_RECORD',
  events: [backend === CURRENT ? 'FLOW_NEW' : 'FLOW_BASE'],
  leaves: recordTo(3, backend),
  entry: { backend, state: STATES.nascent },
  refused: refusedAgo,
  ...more,
});

/** The client's packet itself. */
const { comes: _, ...inPlace } = decides('of its own clients, too', BASE, 4, {
  leaves: { ...recordTo(3, BASE), header: { flags: newFlow, hops: 1, ...answer(BASE) } },
});

export const refused: Row[] = [
  decides('sent again when there is a place, it is at base, and recorded', BASE, 4),
  decides('until it has been silent for longer than handshakes may be', BASE, HELD),
  decides('then it is new', CURRENT, HELD + 1),
  decides('a QUIC Initial likewise', BASE, 4, {
    service: 'quic',
    packet: { data: longHeader(1, 0) },
    comes: asked({ flags: newFlow }),
  }),
  inPlace,
  decides('where there is no backend at base any more it is new', CURRENT, 4, {
    before: (mux) => mux.setBackend(BASE, { present: false }),
  }),
  {
    name: 'a flow that is known stays where it is',
    packet: 'syn',
    chain: CHAIN.owner,
    refusedAgo: 4,
    known: { backend: OTHER, state: 'nascent' },
    comes: asked(),
    reason: 'ASK_RECORD',
    events: ['FLOW_KNOWN'],
    leaves: recordTo(3, OTHER),
    entry: { backend: OTHER },
  },
  {
    name: 'of a flow that is known to a place that is gone a SYN is new',
    packet: 'syn',
    chain: CHAIN.owner,
    refusedAgo: 4,
    known: { backend: OTHER },
    before: (mux) => mux.setBackend(OTHER, { present: false }),
    comes: asked(),
    reason: 'ASK_RECORD',
    events: ['FLOW_REDECIDED'],
    leaves: recordTo(3, CURRENT),
    entry: { backend: CURRENT },
  },
  {
    name: 'what another owner decided stands',
    packet: 'syn',
    chain: newer(CHAIN.owner),
    refusedAgo: 4,
    comes: recorded(),
    reason: 'ASK_RECORD',
    events: ['FLOW_NEW', 'FLOW_CHAIN_NEWER_HERE'],
    leaves: recordTo(3, CURRENT, newer(CHAIN.owner)),
    entry: { backend: CURRENT },
  },
  {
    name: 'the backup has no place either for what may be the same flow once more',
    packet: 'syn',
    chain: CHAIN.backup,
    refusedAgo: HELD,
    comes: recorded(),
    reason: 'ASK_RETURNED',
    events: ['FLOW_RECORD_FULL'],
    leaves: { mux: 1, operation: 'ask', by: CHAIN.backup, header: { flags: newFlow | unrecorded } },
    entry: null,
    unrecorded: true,
    refused: 0,
  },
  ...(
    [
      ['the backup has a place for what is at base', BASE, 4, {}],
      ['the backup has a place when the handshake is over', CURRENT, HELD + 1, {}],
      ['the backup has a place for what it knows', CURRENT, 4, { known: { backend: OTHER } }],
      ['the backup has a place for what is not new', CURRENT, 4, { packet: 'data' }],
    ] as const
  ).map(
    ([name, backend, refusedAgo, more]): Row => ({
      name,
      packet: 'syn',
      chain: CHAIN.backup,
      refusedAgo,
      comes: recorded(answer(backend)),
      reason: 'ASK_ANSWER',
      events: ['FLOW_RECORDED'],
      leaves: home(backend, CHAIN.backup),
      entry: { backend },
      refused: refusedAgo,
      ...more,
    }),
  ),
];
