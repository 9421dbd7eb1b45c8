// Owns the commands about flows: what they are called and what they take.
import { type Command, command, type Options } from '../command.ts';

const FLOW = {
  required: true,
  many: true,
  describe: "tcp|udp CLIENT:PORT ADDRESS:PORT, or 'CLIENT:PORT>ADDRESS:PORT/tcp'; [IPv6]:PORT",
} as const;

const SELECTION = {
  service: { type: 'text', describe: 'Only of this service', source: 'services' },
  backend: { type: 'text', describe: 'Only on this backend, POOL/NAME', source: 'backends' },
  pool: { type: 'text', describe: 'Only of this pool', source: 'pools' },
  slot: { type: 'number', describe: 'Only of this slot; with --pool' },
  state: {
    type: 'text',
    choices: ['nascent', 'unproven', 'trusted'],
    describe: 'Only of this state: its SYN alone was seen; unknown when it came; in use',
  },
  client: { type: 'text', describe: 'Only of this client address or prefix; of IPv6 32 bits count' },
  old: { type: 'flag', describe: 'Only on another backend than the current one of their slot' },
  local: { type: 'flag', describe: 'Only of this mux: no other is asked' },
} as const satisfies Options;

const actions = () => import('../actions/flows.ts');

export const FLOW_COMMANDS: readonly Command[] = [
  command({
    path: 'flows list',
    summary: 'Live flows of slots that are being moved',
    details:
      'Clean slots keep no state, so their flows are nowhere. Each flow is shown once, from the table of its owner. Other ' +
      'muxes are asked where their API is on the network, with the certificate of this node.',
    options: {
      ...SELECTION,
      copies: { type: 'flag', describe: 'Those that muxes keep as backups, instead' },
      limit: { type: 'number', describe: 'So many at most', standard: '100' },
    },
    examples: [
      ['flows list --old', 'whom does a drained backend still serve?'],
      ['flows list --client 192.0.2.0/24 --service web', ''],
    ],
    run: async (session, given) => (await actions()).list(session, given),
  }),
  command({
    path: 'flows show',
    summary: 'One flow: its slot, who keeps it, what they know, and where its next packet goes',
    arguments: { flow: FLOW },
    options: { local: SELECTION.local },
    examples: [
      ['flows show tcp 192.0.2.7:4242 198.18.0.10:80', ''],
      ["flows show '192.0.2.7:4242>198.18.0.10:80/tcp'", 'as the API names it'],
    ],
    run: async (session, given) => (await actions()).show(session, given),
  }),
  command({
    path: 'flows owner',
    summary: 'Which muxes decide about a flow, and where they are',
    arguments: { flow: FLOW },
    run: async (session, given) => (await actions()).owner(session, given),
  }),
  command({
    path: 'flows top',
    summary: 'Who has most live flows of slots that are being moved',
    options: {
      by: {
        type: 'text',
        choices: ['backend', 'service', 'client', 'slot', 'mux'],
        describe: 'What is counted together; mux: the owner',
        standard: 'backend',
      },
      ...SELECTION,
      limit: { type: 'number', describe: 'So many at most', standard: '20' },
    },
    examples: [['flows top --by client --old', 'who keeps a drain from ending?']],
    run: async (session, given) => (await actions()).top(session, given),
  }),
];
