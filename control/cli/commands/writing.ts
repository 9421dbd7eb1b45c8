// Owns the options of commands that change something.
import type { Given, Options } from '../command.ts';

/** Every change of objects has them. */
export const WRITE_OPTIONS = {
  dryRun: { type: 'flag', describe: 'Show what would change, and change nothing' },
  force: { type: 'flag', describe: 'Also what stops traffic' },
} as const satisfies Options;

/** Those that take something away ask first, in a terminal. */
export const REMOVE_OPTIONS = {
  ...WRITE_OPTIONS,
  yes: { type: 'flag', short: 'y', describe: 'Do not ask' },
} as const satisfies Options;

export type WriteGiven = Given<typeof WRITE_OPTIONS> & { readonly yes?: boolean };
