// Owns the commands about serving files: what they are called and what they take.
import { type Command, command } from '../command.ts';
import { TOP_BY } from '../file_rates.ts';

const files = () => import('../actions/files.ts');

export const FILES_COMMANDS: readonly Command[] = [
  command({
    path: 'files clients',
    summary: 'Clients of the file service of this node: connections, requests, what they have mounted',
    run: async (session) => (await files()).clients(session),
  }),
  command({
    path: 'files stats',
    summary: 'What the file service of this node has done: requests by procedure and link, errors, times',
    details: 'Without --watch: counts since its server began. With it: rates per second, by procedure.',
    options: {
      watch: {
        type: 'optional',
        short: 'w',
        describe: 'Rates, again and again, every so many seconds; 1 unless given',
      },
    },
    run: async (session, given) => (await files()).stats(session, given),
  }),
  command({
    path: 'files top',
    summary: 'Who keeps the file service busy: clients, links or procedures, the busiest on top',
    options: {
      by: { type: 'text', choices: [...TOP_BY], describe: 'What is counted', standard: 'clients' },
      every: { type: 'text', describe: 'Seconds between two counts', standard: '1' },
    },
    examples: [
      ['files top --by links', 'which share is busy?'],
      ['files top --json', 'a line of JSON every second'],
    ],
    run: async (session, given) => (await files()).top(session, given),
  }),
];
