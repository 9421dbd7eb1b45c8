// Past the deadline with nobody to ask, once the daemon has said so: by what is known here, which lives on with its
// packets; what is not known goes to base, SYN or not, and nothing is learnt of it.
import { BASE, CHAIN, CURRENT, EPOCH, OTHER, type Row, STATES } from '../../lib/tracked_case.ts';
import { GENERATION, IDLE, type TrackedMux } from '../../lib/tracked_mux.ts';
import { crowd, fragmentationNeeded } from './common.ts';

/** DEADLINE_ALONE. */
const goAlone = (mux: TrackedMux): void => mux.setDeadline(1 - Number(mux.nowTicks()));

const goes = (name: string, backend: number, more: Partial<Row> = {}): Row => ({
  name,
  chain: CHAIN.others,
  before: goAlone,
  reason: 'FORWARD_ALONE',
  leaves: { backend },
  unrecorded: true,
  ...more,
});

export const alone: Row[] = [
  goes('a new flow: base, where what follows its SYN goes, too', BASE, {
    packet: 'syn',
    entry: null,
    caches: null,
  }),
  goes('a new flow where base is gone: current', CURRENT, {
    packet: 'syn',
    before: (mux) => {
      mux.setBackend(BASE, { present: false });
      goAlone(mux);
    },
  }),
  goes('an unknown flow: base', BASE, { entry: null, caches: null }),
  goes('a new flow of a client with affinity: base', BASE, { service: 'sticky', packet: 'syn' }),
  goes('a new flow of a slot without a chain: base', BASE, {
    packet: 'syn',
    chain: 'none',
    unrecorded: false,
  }),
  goes('a flow that the table knows, to which it is a sign of life and no more', OTHER, {
    known: { backend: OTHER, state: 'nascent', age: 9 },
    entry: { backend: OTHER, state: STATES.nascent, age: 0 },
    caches: null,
  }),
  goes('a SYN of a flow that the table knows', OTHER, {
    packet: 'syn',
    chain: CHAIN.backup,
    known: { backend: OTHER },
    entry: { backend: OTHER, state: STATES.trusted },
  }),
  goes('as owner, too, it decides nothing', BASE, { packet: 'syn', chain: CHAIN.owner, entry: null }),
  goes('a flow that the cache knows, to which it is a sign of life', OTHER, {
    cached: { backend: OTHER, age: 5 },
    caches: { backend: OTHER, syn: false, age: 0 },
  }),
  goes('a flow of which the cache knows the answer to its SYN', OTHER, {
    cached: { backend: OTHER, syn: true, age: 5 },
    caches: { backend: OTHER, syn: true, age: 0 },
  }),
  goes('by the cache before the table', OTHER, {
    cached: { backend: OTHER },
    known: { backend: CURRENT },
  }),
  goes('an entry of another period counts for nothing', BASE, {
    known: { backend: OTHER, trackEpoch: EPOCH - 1 },
  }),
  goes('an entry that has ended counts for nothing', BASE, { known: { backend: OTHER, age: 4 * IDLE + 1 } }),
  goes('a cached answer that was idle counts for nothing', BASE, {
    cached: { backend: OTHER, age: IDLE + 1 },
    events: ['FLOW_CACHE_STALE'],
  }),
  goes('an entry of a backend that is gone counts for nothing', BASE, {
    known: { backend: OTHER, generation: GENERATION - 1 },
  }),
  goes('an ICMP error goes where its flow goes, and is no sign of life', OTHER, {
    datagram: fragmentationNeeded,
    known: { backend: OTHER, age: 9 },
    entry: { backend: OTHER, state: STATES.trusted, age: 9 },
    unrecorded: false,
  }),
  goes('a full table is none of its business', BASE, {
    packet: 'syn',
    chain: CHAIN.owner,
    before: (mux, flow) => {
      crowd(7, 'trusted')(mux, flow);
      goAlone(mux);
    },
  }),
  {
    name: 'a flow of a clean slot',
    known: { backend: OTHER },
    before: goAlone,
    reason: 'FORWARD_ALONE',
    leaves: { backend: CURRENT },
  },
  {
    name: 'who was not told to go alone drops, whatever is known',
    chain: CHAIN.owner,
    known: { backend: OTHER },
    cached: { backend: OTHER },
    before: (mux) => mux.setDeadline(-1),
    reason: 'DROP_ASK_FENCED',
  },
];
