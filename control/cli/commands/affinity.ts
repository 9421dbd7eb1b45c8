// Owns the commands about clients with affinity: what they are called and what they take.
import { type Command, command } from '../command.ts';
import { NODE_WRITE_OPTIONS } from './writing.ts';

const CLIENT = {
  required: true,
  describe: 'Address of the client; with subnet affinity its prefix will do',
} as const;
const SERVICE = { type: 'text', describe: 'Only for this service', source: 'services' } as const;
const LOCAL = { type: 'flag', describe: 'Only what this node knows: no other is asked' } as const;

const actions = () => import('../actions/affinity.ts');

export const AFFINITY_COMMANDS: readonly Command[] = [
  command({
    path: 'affinity list',
    summary: 'Clients with affinity that are recorded: who answers them',
    details:
      'A client is recorded while its slot is being moved. In a clean slot nothing is recorded, and the hash says who ' +
      'answers: such a client is shown where --client is its address. Other muxes are asked as for flows list. Of IPv6 ' +
      'clients tables have the first 32 bits alone.',
    options: {
      service: SERVICE,
      backend: {
        type: 'text',
        describe: 'Only clients that this backend answers, POOL/NAME',
        source: 'backends',
      },
      client: { type: 'text', describe: 'Only this client, or clients of this prefix' },
      local: LOCAL,
      limit: { type: 'number', describe: 'So many at most', standard: '100' },
    },
    examples: [
      ['affinity list --backend web/web1', 'whom does a drained backend still serve?'],
      ['affinity list --client 192.0.2.7', 'who answers one client, recorded or not?'],
    ],
    run: async (session, given) => (await actions()).list(session, given),
  }),
  command({
    path: 'affinity explain',
    summary: 'Who answers a client, by which rule, since when, until when, and what would change that',
    details:
      'Any node can be asked. Without --without it says what would become of the client if the backend that answers it ' +
      'left: drained, or dead.',
    arguments: { client: CLIENT },
    options: {
      service: SERVICE,
      without: { type: 'text', describe: 'Backend that would leave, POOL/NAME', source: 'backends' },
      local: LOCAL,
    },
    examples: [
      ['affinity explain 192.0.2.7', ''],
      ['affinity explain 192.0.2.7 --without web/web1', 'would the drain of web1 move it?'],
    ],
    run: async (session, given) => (await actions()).explain(session, given),
  }),
  command({
    path: 'affinity release',
    summary: 'Let a client go to where new clients of its slot go',
    details:
      'What is recorded of it at owner and backup, and what all muxes have learnt, is changed. Its open connections go ' +
      'to the other backend, too, and break there: in a terminal it asks, elsewhere that needs --force. In a clean slot ' +
      'there is nothing to let go: the slot has one backend.',
    arguments: { client: CLIENT },
    options: { service: SERVICE, ...NODE_WRITE_OPTIONS },
    examples: [['affinity release 192.0.2.7 --service www', '']],
    run: async (session, given) => (await actions()).release(session, given),
  }),
];
