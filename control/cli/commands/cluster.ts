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
    ],
    run: async (session, given) => (await import('../actions/apply.ts')).apply(session, given),
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
