// Owns `holdfast events`.
import type { NodeEvent } from '../../api/schema.ts';
import { dateTime } from '../format.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';

export async function events(session: Session): Promise<void> {
  const client = await session.client();
  for await (const event of client.events()) {
    if (session.json) session.printJsonLine(event);
    else session.out.print(eventLine(session.out, event));
  }
}

const STYLES: Partial<Readonly<Record<NodeEvent['kind'], Style>>> = {
  problem: ['bold', 'red'],
  solved: 'green',
  attached: 'green',
  detached: 'yellow',
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
