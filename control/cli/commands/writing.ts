// Owns the options of commands that change something.
import type { Given, Options } from '../command.ts';

/** Every change of objects has them. */
export const WRITE_OPTIONS = {
  dryRun: { type: 'flag', describe: 'Show what would change, and change nothing' },
  force: { type: 'flag', describe: 'Also what stops traffic' },
  wait: {
    type: 'flag',
    describe: 'Until every slot that moves is clean; Ctrl-C ends the waiting, not the change',
  },
  watch: { type: 'flag', describe: 'The same, and show how far it is' },
} as const satisfies Options;

/** Those that take something away ask first, in a terminal. */
export const REMOVE_OPTIONS = {
  ...WRITE_OPTIONS,
  yes: { type: 'flag', short: 'y', describe: 'Do not ask' },
} as const satisfies Options;

/** Of what is about nodes: nodes list tells how far it is. */
export const NODE_WRITE_OPTIONS = {
  dryRun: WRITE_OPTIONS.dryRun,
  force: { type: 'flag', describe: 'Also what may break flows' },
  yes: REMOVE_OPTIONS.yes,
} as const satisfies Options;

export type WriteGiven = Pick<Given<typeof WRITE_OPTIONS>, 'dryRun' | 'force'> & {
  readonly wait?: boolean;
  readonly watch?: boolean;
  readonly yes?: boolean;
};
