// Owns following changes until they have ended: on a live screen, as lines, or silently.
import type { Client } from '../api/client.ts';
import type { Change, Changes } from '../api/schema.ts';
import { Failure } from '../lib/failure.ts';
import { changesText, progressLine } from './changes_text.ts';
import { EXIT_INTERRUPTED, failureLines } from './exit.ts';
import { dateTime } from './format.ts';
import { onLiveScreen, pause } from './live_screen.ts';
import type { Session } from './session.ts';

export type Following = {
  readonly everyMs: number;
  readonly show: 'screen' | 'lines' | 'nothing';
  /** Those that are waited for; asked each time. */
  readonly open: (changes: Changes) => Changes['open'];
  /** Something else that is waited for first. */
  readonly isReady: (changes: Changes) => boolean;
};

/** Exit code: 0 once nothing is open any more, or that of an interruption. */
export async function follow(session: Session, client: Client, following: Following): Promise<number> {
  const { everyMs, show } = following;
  // What fails at once fails before the screen is taken.
  let changes = await client.changes();
  const isDone = () => following.isReady(changes) && following.open(changes).length === 0;
  const watch = async (draw: (text: string) => void, note: (failure: Failure) => void): Promise<number> => {
    for (;;) {
      draw(show === 'screen' ? textOf(session, changes, following) : '');
      if (isDone()) return 0;
      if (!(await pause(everyMs, session.signal))) return EXIT_INTERRUPTED;
      try {
        changes = await client.changes();
      } catch (error) {
        // A daemon that is away comes back, and the change goes on without it.
        if (!(error instanceof Failure) || session.signal.aborted) throw error;
        note(error);
      }
    }
  };
  if (show === 'screen' && session.out.isTerminal && !session.json) {
    let exit = 0;
    await onLiveScreen(session.out, async (draw) => {
      exit = await watch(draw, (failure) =>
        draw([dateTime(Date.now()), '', ...failureLines(session.out, failure.body)].join('\n')),
      );
    });
    return exit;
  }
  const tell = show === 'nothing' ? () => {} : teller(session, () => changes, following);
  return await watch(tell, (failure) => session.remark(failure.message));
}

/** Whether the edit's own slots have moved: those of its pools that were open once it was published. */
export function ownChanges({ revision, moved }: Change): Pick<Following, 'open' | 'isReady'> {
  const pools = new Set(moved.filter(({ slots }) => slots > 0).map(({ pool }) => pool));
  let own: ReadonlySet<string> | undefined;
  const isReady = (changes: Changes) => changes.publishedRevision >= revision;
  return {
    isReady,
    open: (changes) => {
      if (!isReady(changes)) return changes.open.filter(({ pool }) => pools.has(pool));
      own ??= new Set(changes.open.filter(({ pool }) => pools.has(pool)).map(({ id }) => id));
      return changes.open.filter(({ id }) => own!.has(id));
    },
  };
}

function textOf({ out }: Session, changes: Changes, { open }: Following): string {
  const shown = { ...changes, open: open(changes) };
  return `${dateTime(changes.atMs)}\n\n${changesText(out, shown, { detailed: true, finished: false })}`;
}

/** A line of JSON each time, or a line for people where something is new. */
function teller(session: Session, changes: () => Changes, { open, isReady }: Following): () => void {
  const told = new Map<string, string>();
  let saidWaiting = false;
  return () => {
    const now = changes();
    if (session.json) return session.printJsonLine({ ...now, open: open(now) });
    if (!isReady(now) && !saidWaiting) {
      saidWaiting = true;
      session.out.print(
        `${dateTime(now.atMs)}  waits for a version: ${now.waitsFor.join(' ') || 'the leader makes one'}`,
      );
    }
    const shown = open(now);
    for (const change of shown) {
      const line = progressLine(change);
      if (told.get(change.id) === line) continue;
      told.set(change.id, line);
      session.out.print(`${dateTime(now.atMs)}  ${line}`);
    }
    for (const id of [...told.keys()].filter((it) => shown.every((change) => change.id !== it))) {
      told.delete(id);
      session.out.print(`${dateTime(now.atMs)}  ${id}: has ended, all its slots are clean`);
    }
  };
}
