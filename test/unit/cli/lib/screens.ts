// Owns screens of a given size, without a terminal.
import { Writable } from 'node:stream';
import { Screen } from '../../../../control/cli/screen.ts';

/** Text in a pipe. */
export const PIPE = new Screen(new Writable(), { LANG: 'C.UTF-8' });

export function terminal(columns: number, env: Readonly<Record<string, string>> = {}, rows = 24): Screen {
  const stream = Object.assign(new Writable(), { isTTY: true, columns, rows });
  return new Screen(stream, { LANG: 'C.UTF-8', TERM: 'xterm', ...env });
}

/** A terminal that wants no colours, so that its text can be compared. */
export function plainTerminal(columns: number, rows = 24): Screen {
  return terminal(columns, { NO_COLOR: '1' }, rows);
}
