// Owns the commands about all objects of the cluster at once: what they are called and what they take.
import { type Command, command } from '../command.ts';
import { REMOVE_OPTIONS } from './writing.ts';

export const CLUSTER_COMMANDS: readonly Command[] = [
  command({
    path: 'apply',
    summary: 'Make the cluster be what a file says',
    details:
      'The file is what export writes: services, pools and backends, in YAML or JSON. What is not in it is removed. ' +
      'In a terminal it shows what would change, and asks before it removes anything.',
    options: {
      file: {
        type: 'text',
        short: 'f',
        required: true,
        describe: 'The file; - is standard input',
        source: 'files',
      },
      ...REMOVE_OPTIONS,
    },
    examples: [
      ['apply -f cluster.yaml --dry-run', 'what would change?'],
      ['apply -f - --yes < cluster.yaml', 'without a question, in a script'],
      ['apply -f cluster.yaml --wait && poweroff-old-server', 'once no flow is left on an old backend'],
    ],
    run: async (session, given) => (await import('../actions/apply.ts')).apply(session, given),
  }),
  command({
    path: 'plan',
    summary: 'How slots would move if a file were applied; without one, what is still to be done',
    details:
      'Nothing is changed. For each pool: which slots get another backend, in which steps, how long each takes at least, ' +
      'and what it waits for.',
    options: {
      file: {
        type: 'text',
        short: 'f',
        describe: 'As apply reads it; - is standard input. Without: the changes that are open',
        source: 'files',
      },
      force: { type: 'flag', describe: 'Also what stops traffic' },
    },
    examples: [['plan -f cluster.yaml', 'how long would it take?']],
    run: async (session, given) => (await import('../actions/plan.ts')).plan(session, given),
  }),
  command({
    path: 'changes',
    summary: 'Changes of slots that are under way, and what each waits for',
    details:
      'Slots that move are tracked until no flow is left on an old backend. With --watch it shows them again and again, ' +
      'and ends with exit code 0 once none is open. Times are as this node saw them.',
    arguments: {
      id: { describe: 'POOL@VERSION: all about this one; all in short unless given', source: 'changes' },
    },
    options: {
      watch: {
        type: 'optional',
        short: 'w',
        describe: 'Again and again, every so many seconds, until they have ended; 1 unless given',
      },
      finished: { type: 'flag', describe: 'Also those that have ended, the newest first' },
    },
    examples: [
      ['changes --watch', 'a live picture, until all is clean'],
      ['changes web@12', 'who has not acknowledged, and which flows are left?'],
    ],
    run: async (session, given) => (await import('../actions/changes.ts')).changes(session, given),
  }),
  command({
    path: 'export',
    summary: 'Write all services, pools and backends as apply reads them',
    options: {
      output: { type: 'text', short: 'o', describe: 'A file, instead of standard output', source: 'files' },
    },
    examples: [['export -o cluster.yaml', 'before a change, to be able to go back']],
    run: async (session, given) => (await import('../actions/export.ts')).exportDocument(session, given),
  }),
];
