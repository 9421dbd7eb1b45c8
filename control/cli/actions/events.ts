// Owns `holdfast events`.
import type { NodeEvent } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';
import { dateTime } from '../format.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';

export async function events(session: Session): Promise<void> {
  const client = await session.client();
  let last: NodeEvent | undefined;
  for await (const event of client.events()) {
    last = event;
    if (session.json) session.printJsonLine(event);
    else session.out.print(eventLine(session.out, event));
  }
  // Whoever waits for an event must not take the end of the daemon for the end of what there was to tell.
  if (session.signal.aborted) return;
  throw new Failure('unavailable', 'There are no more events.', {
    reason: last?.kind === 'missed' ? 'This reader was too slow.' : 'holdfastd has ended, or begins again.',
    remedy: 'See holdfast status, and ask for events again.',
  });
}

const STYLES: Partial<Readonly<Record<NodeEvent['kind'], Style>>> = {
  problem: ['bold', 'red'],
  solved: 'green',
  attached: 'green',
  detached: 'yellow',
  version: 'cyan',
  step: 'cyan',
  member: 'yellow',
  routes: 'yellow',
  missed: 'yellow',
};

const KIND_COLUMNS = 'attached'.length;

export function eventLine(screen: Screen, { atMs, kind, message, revision }: NodeEvent): string {
  const at = screen.paint('dim', dateTime(atMs));
  const what = screen.paint(STYLES[kind], kind.padEnd(KIND_COLUMNS));
  const isSaid = revision === undefined || message.includes(`revision ${revision}`);
  const which = isSaid ? '' : screen.paint('dim', ` (revision ${revision})`);
  return `${at}  ${what}  ${message}${which}`;
}
