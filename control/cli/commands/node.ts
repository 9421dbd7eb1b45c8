// Owns the commands about this node and this command: what they are called and what they take.
import { type Command, command } from '../command.ts';

const NODE_FILE = { describe: '/etc/holdfast/holdfastd.yaml unless given', source: 'files' } as const;

export const NODE_COMMANDS: readonly Command[] = [
  command({
    path: 'attach',
    summary: 'Attach the program to an interface',
    arguments: {
      interface: { describe: 'All that are configured, unless given', source: 'interfaces' },
    },
    options: {
      mode: {
        type: 'text',
        choices: ['auto', 'native', 'generic'],
        describe: 'native needs a driver with XDP, generic is slow; what is configured unless given',
      },
    },
    run: async (session, given) => (await import('../actions/attach.ts')).attach(session, given),
  }),
  command({
    path: 'detach',
    summary: 'Take the program off an interface: its traffic is not balanced any more',
    details: 'In a terminal it asks first.',
    arguments: {
      interface: { describe: 'All that the program is attached to, unless given', source: 'interfaces' },
    },
    options: { yes: { type: 'flag', short: 'y', describe: 'Do not ask' } },
    run: async (session, given) => (await import('../actions/attach.ts')).detach(session, given),
  }),
  command({
    path: 'config check',
    summary: "Whether holdfastd could use this node's file, and every mistake in it",
    details: 'The file is read here: the daemon need not run. Its exit code is 78 where there are mistakes.',
    arguments: { file: NODE_FILE },
    examples: [['config check /tmp/holdfastd.yaml', 'before it is put into place']],
    run: async (session, given) => (await import('../actions/config.ts')).check(session, given),
  }),
  command({
    path: 'config show',
    summary: "This node's file with the defaults of what it leaves out",
    arguments: { file: NODE_FILE },
    run: async (session, given) => (await import('../actions/config.ts')).show(session, given),
  }),
  command({
    path: 'config schema',
    summary: "The JSON Schema of this node's file, for editors",
    run: async (session) => (await import('../actions/config.ts')).schema(session),
  }),
  command({
    path: 'completion',
    summary: 'The script that makes a shell complete commands, options and names',
    arguments: { shell: { required: true, choices: ['bash', 'zsh'], describe: 'Which shell' } },
    examples: [
      ['completion bash > /etc/bash_completion.d/holdfast', 'for every bash of this host'],
      ["completion zsh > '/usr/local/share/zsh/site-functions/_holdfast'", 'for every zsh'],
    ],
    run: async (session, given) => (await import('../actions/completion.ts')).completion(session, given),
  }),
];
