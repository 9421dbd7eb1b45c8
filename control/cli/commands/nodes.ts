// Owns the commands about the nodes of the cluster: what they are called and what they take.
import { type Command, command } from '../command.ts';
import { NODE_WRITE_OPTIONS } from './writing.ts';

const NODE = { required: true, describe: 'Name of a node', source: 'nodes' } as const;

const actions = () => import('../actions/nodes.ts');

export const NODES_COMMANDS: readonly Command[] = [
  command({
    path: 'nodes list',
    summary: 'All nodes: who takes part, how far each is, and what is not as it should be',
    options: {
      matrix: { type: 'flag', describe: 'Who hears whom instead; times are of this node alone' },
    },
    examples: [['nodes list --matrix', 'is it the node, or the way to it?']],
    run: async (session, given) => (await actions()).list(session, given),
  }),
  command({
    path: 'nodes show',
    summary: 'One node with all that is known of it',
    arguments: { name: NODE },
    run: async (session, given) => (await actions()).show(session, given),
  }),
  command({
    path: 'nodes drain',
    summary: 'Let a mux hand over the flows that it keeps, and leave',
    details:
      'It returns at once; nodes list shows draining, then drained. The mux stays away, also after a restart, until ' +
      'the drain is undone.',
    arguments: { name: NODE },
    options: { undo: { type: 'flag', describe: 'Let it take part again' }, ...NODE_WRITE_OPTIONS },
    examples: [
      ['nodes drain mux2', 'before maintenance'],
      ['nodes drain --undo mux2', 'after it'],
    ],
    run: async (session, given) => (await actions()).drain(session, given),
  }),
  command({
    path: 'nodes rotate-key',
    summary: 'Change the key that muxes sign what they tell each other with',
    details:
      'It returns at once. Every mux learns the new key, then signs with it, then forgets the old one: no packet is lost. ' +
      'The leader does the same by itself when the key is older than cluster.keyAgeMs.',
    run: async (session) => (await actions()).rotateKey(session),
  }),
  command({
    path: 'nodes remove',
    summary: 'Forget a node that is gone: its id becomes free',
    details:
      'A node that is alive is refused; with --force it is forgotten, and comes back by itself under another id. ' +
      'A mux that was the only one has no deadline: where it is gone, changes wait until it is back or removed with --force, ' +
      'which says that it forwards no more.',
    arguments: { name: NODE },
    options: NODE_WRITE_OPTIONS,
    run: async (session, given) => (await actions()).remove(session, given),
  }),
];
