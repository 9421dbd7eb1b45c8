// Owns `holdfast changes`.
import { Failure } from '../../lib/failure.ts';
import { changesText, changeText, finishedTable } from '../changes_text.ts';
import { follow } from '../follow.ts';
import { secondsOf } from '../seconds.ts';
import type { Session } from '../session.ts';

type ChangesGiven = {
  readonly id: string | undefined;
  readonly watch: string | undefined;
  readonly finished: boolean;
};

export async function changes(
  session: Session,
  { id, watch, finished }: ChangesGiven,
): Promise<number | undefined> {
  const client = await session.client();
  if (watch !== undefined) {
    return await follow(session, client, {
      everyMs: secondsOf('--watch', watch) * 1_000,
      show: 'screen',
      open: ({ open }) => open.filter((it) => id === undefined || it.id === id),
      isReady: () => true,
    });
  }
  const found = await client.changes();
  if (id !== undefined) {
    const open = found.open.filter((it) => it.id === id);
    const ended = found.finished.filter((it) => it.id === id);
    if (open.length + ended.length === 0) throw noSuchChange(id);
    if (session.json) session.printJson({ open, finished: ended });
    else {
      const texts = open.map((it) => changeText(session.out, it));
      session.out.print(
        [...texts, ...(ended.length > 0 ? [finishedTable(session.out, ended)] : [])].join('\n\n'),
      );
    }
  } else if (session.json) session.printJson(found);
  else session.out.print(changesText(session.out, found, { detailed: false, finished }));
  return undefined;
}

function noSuchChange(id: string): Failure {
  return new Failure('not_found', `There is no change ${id}.`, {
    reason: 'A node forgets those that have ended when its holdfastd begins again.',
    remedy: 'See those there are: holdfast changes --finished',
  });
}
