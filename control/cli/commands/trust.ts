// Owns the commands about trust: what they are called and what they take.
import { API_ROLES } from '../../config/api_roles.ts';
import { type Command, command } from '../command.ts';
import { REMOVE_OPTIONS } from './writing.ts';

const cluster = () => import('../actions/cluster.ts');
const users = () => import('../actions/users.ts');

const USER = { required: true, describe: 'Name of a user', source: 'users' } as const;
const yes = REMOVE_OPTIONS.yes;

export const TRUST_COMMANDS: readonly Command[] = [
  command({
    path: 'cluster init',
    summary: "Make the cluster's authority, with this node as its first member",
    details:
      'Once, on the first node. The others join with a token of cluster token. Private keys stay where they are made; that of ' +
      'the authority is in the store, sealed with a secret that only muxes have.',
    run: async (session) => (await cluster()).init(session),
  }),
  command({
    path: 'cluster token',
    summary: 'Make a token with which one node can join, once',
    details:
      'Whoever has it can join while it counts: hand it over as a password. It says where to join, and whom to believe.',
    options: {
      role: {
        type: 'text',
        many: true,
        choices: ['mux', 'backend', 'filter', 'file'],
        describe: 'What the node may be; muxes also make certificates',
      },
      ttl: { type: 'number', describe: 'Minutes that it counts, up to 10080', standard: '60' },
      remove: { type: 'text', describe: 'Take this one back instead: the ID that cluster members shows' },
    },
    examples: [
      ['cluster token', 'for another mux'],
      ['cluster token --role backend --ttl 10', 'for a backend, now'],
    ],
    run: async (session, given) => (await cluster()).token(session, given),
  }),
  command({
    path: 'cluster join',
    summary: 'Have this node join the cluster of a token',
    arguments: {
      token: { describe: 'As cluster token has printed it; without, it is read from standard input' },
    },
    examples: [['cluster join < token', 'so that it is in no list of processes']],
    run: async (session, given) => (await cluster()).join(session, given),
  }),
  command({
    path: 'cluster leave',
    summary: 'Give the certificate of this node back: it does not count any more',
    details:
      'A mux is drained first: nodes drain. What the cluster remembers of it goes with nodes remove, on another node.',
    options: { force: { type: 'flag', describe: 'Also while it keeps flows' }, yes },
    run: async (session, given) => (await cluster()).leave(session, given),
  }),
  command({
    path: 'cluster members',
    summary: 'Who has a certificate of the cluster, until when; and join tokens',
    run: async (session) => (await cluster()).members(session),
  }),
  command({
    path: 'cluster rotate',
    summary: 'Have all nodes take new certificates, and replace the authority if asked to',
    details:
      'Nodes renew their certificates by themselves; this does it now. With --new-authority another one signs from now on, and ' +
      'both are believed until nobody has a certificate of the one before: users get theirs with users add. Nobody is ' +
      'refused meanwhile. The key between muxes is changed with nodes rotate-key.',
    options: {
      newAuthority: { type: 'flag', describe: 'Replace the authority as well' },
      finish: {
        type: 'flag',
        describe: 'Forget the authority before now: who has a certificate of it is refused',
      },
      yes,
    },
    run: async (session, given) => (await cluster()).rotate(session, given),
  }),
  command({
    path: 'users list',
    summary: 'Users of the API, their roles and certificates',
    run: async (session) => (await users()).list(session),
  }),
  command({
    path: 'users add',
    summary: 'Make a certificate for a user of the API, in one file to hand over',
    details:
      'The private key is made here and is in the file alone: holdfast --profile FILE uses it. view: see; operate: also drain, ' +
      'weights, attach, captures; admin: everything. A user that there is gets another certificate, and the role.',
    arguments: { name: { required: true, describe: 'Name of the user' } },
    options: {
      role: { type: 'text', choices: API_ROLES, describe: 'What the user may do', standard: 'view' },
      out: { type: 'text', describe: 'File to write', standard: 'NAME.holdfast', source: 'files' },
      days: { type: 'number', describe: 'Days that the certificate counts', standard: '365' },
    },
    examples: [['users add alice --role operate', 'writes alice.holdfast']],
    run: async (session, given) => (await users()).add(session, given),
  }),
  command({
    path: 'users set',
    summary: 'Give a user another role',
    arguments: { name: USER },
    options: { role: { type: 'text', required: true, choices: API_ROLES, describe: 'What the user may do' } },
    run: async (session, given) => (await users()).set(session, given),
  }),
  command({
    path: 'users remove',
    summary: 'Remove a user: the certificate does not count any more',
    arguments: { name: USER },
    options: { yes },
    run: async (session, given) => (await users()).remove(session, given),
  }),
];
