// Owns how a change is made by every command that makes one: dry runs, the question before something goes, and what
// has changed.
import type { Change } from '../../api/schema.ts';
import type { WriteGiven } from '../commands/writing.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { count, counted, percent, share } from '../format.ts';
import { planText } from '../plan_text.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../usage_error.ts';

export type Write = (options: { dryRun: boolean; force: boolean }) => Promise<Change>;

export type ChangeOptions = {
  /** Words after the change, such as how to take it back. */
  readonly after?: (change: Change) => string | undefined;
  /** Standard input is read for something else, so that nobody can answer there. */
  readonly inputIsTaken?: boolean;
};

const FOLLOW_EVERY_MS = 1_000;

/** The exit code, where it is not 0. */
export async function makeChange(
  session: Session,
  given: WriteGiven,
  write: Write,
  options: ChangeOptions = {},
): Promise<number | undefined> {
  const { dryRun, force, yes = true, wait = false, watch = false } = given;
  if (dryRun && (wait || watch)) {
    throw new UsageError(`--dry-run changes nothing, so there is nothing to ${wait ? 'wait for' : 'watch'}.`);
  }
  const asks = !dryRun && !yes && session.err.isTerminal && (session.canAsk || options.inputIsTaken === true);
  const preview = asks ? await write({ dryRun: true, force }) : undefined;
  const asked = preview !== undefined && removals(preview) > 0 ? preview : undefined;
  // The plan is of the dry run alone.
  const shown = asked && diffText(session.err, { ...asked, plan: undefined });
  if (preview !== undefined && asked !== undefined) {
    session.remark(`${diffText(session.err, asked)}\n`);
    if (!(await agreed(session, preview, options))) {
      session.remark('nothing was changed');
      return EXIT_INTERRUPTED;
    }
  }
  const change = await write({ dryRun, force });
  if (session.json && watch) session.printJsonLine(change);
  else if (session.json) session.printJson(change);
  else session.out.print(changeResultText(session.out, change, shown === diffText(session.err, change)));
  const after = options.after?.(change);
  if (after !== undefined && !session.json) session.remark(after);
  if (!(wait || watch) || change.changes.length === 0) return undefined;
  const { follow, ownChanges } = await import('../follow.ts');
  return await follow(session, await session.client(), {
    everyMs: FOLLOW_EVERY_MS,
    show: watch ? 'screen' : 'nothing',
    ...ownChanges(change),
  });
}

async function agreed(session: Session, preview: Change, options: ChangeOptions): Promise<boolean> {
  const removed = preview.changes.filter(({ action }) => action === 'remove');
  const what =
    removed.length === 1 ? `${removed[0]!.kind} ${removed[0]!.name}` : counted(removed.length, 'object');
  if (options.inputIsTaken) {
    throw new UsageError(`This would remove ${what}, and nobody can be asked.`, {
      reason: 'Standard input, where the answer would come from, is the file.',
      remedy: 'Give --yes, or the name of a file.',
    });
  }
  return await session.confirm(`Remove ${what}?`);
}

function removals({ changes }: Change): number {
  return changes.filter(({ action }) => action === 'remove').length;
}

/** What has changed, or on a dry run would; without the list where just that was shown before. */
export function changeResultText(screen: Screen, change: Change, shown = false): string {
  if (change.changes.length === 0) return `nothing to change at revision ${change.revision}`;
  const end = change.dryRun
    ? screen.paint('yellow', `dry run, nothing was changed: ${amountsText(change)}`)
    : screen.paint('green', `${amountsText(change)}: revision ${change.revision}`);
  return shown ? end : `${diffText(screen, change)}\n\n${end}`;
}

export const SIGNS = { add: '+', change: '~', remove: '-' } as const;
export const DONE = { add: 'added', change: 'changed', remove: 'removed' } as const;
export const STYLES: Readonly<Record<keyof typeof SIGNS, Style>> = {
  add: 'green',
  change: 'yellow',
  remove: 'red',
};

/** 2 to add, 1 to remove; or 2 added, 1 removed */
function amountsText({ dryRun, changes }: Change): string {
  return (['add', 'change', 'remove'] as const)
    .map((action) => ({ action, amount: changes.filter((it) => it.action === action).length }))
    .filter(({ amount }) => amount > 0)
    .map(({ action, amount }) => `${count(amount)} ${dryRun ? `to ${action}` : DONE[action]}`)
    .join(', ');
}

/** A line for each object and each changed field, and what becomes of the slots. */
function diffText(
  screen: Screen,
  {
    changes,
    moved,
    plan,
  }: Pick<Change, 'changes' | 'moved'> & { readonly plan?: Change['plan'] | undefined },
): string {
  const lines = changes.flatMap(({ action, kind, name, before, after }) => [
    screen.paint(STYLES[action], `${SIGNS[action]} ${kind} ${name}`),
    ...fieldLines(screen, action, before, after),
  ]);
  const slots = moved
    .filter((it) => it.slots > 0)
    .map(
      ({ pool, slots, of }) =>
        `pool ${pool}: ${count(slots)} of ${count(of)} slots get another backend (${percent(share(slots, of))})`,
    );
  if (plan !== undefined && plan.length > 0) return [...lines, '', planText(screen, plan)].join('\n');
  return [...lines, ...(slots.length === 0 ? [] : ['', ...slots])].join('\n');
}

export function fieldLines(
  screen: Screen,
  action: keyof typeof SIGNS,
  before: unknown,
  after: unknown,
): string[] {
  const old = fieldsOf(before);
  const now = fieldsOf(after);
  if (action === 'add') {
    return [...now].filter(([name]) => name !== 'name').map(([name, value]) => `    ${name}: ${value}`);
  }
  if (action === 'remove') return [];
  const names = [...new Set([...old.keys(), ...now.keys()])];
  return names
    .filter((name) => old.get(name) !== now.get(name))
    .map((name) => {
      const from = old.get(name) ?? screen.paint('dim', '(none)');
      const to = now.get(name) ?? screen.paint('dim', '(none)');
      return `    ${name}: ${from} → ${to}`;
    });
}

/** `affinity.prefixLength4` of what is nested; lists on one line. */
function fieldsOf(value: unknown, prefix = ''): Map<string, string> {
  const found = new Map<string, string>();
  if (typeof value !== 'object' || value === null) return found;
  for (const [name, field] of Object.entries(value)) {
    if (Array.isArray(field)) found.set(`${prefix}${name}`, field.join(', '));
    else if (typeof field === 'object' && field !== null) {
      for (const [inner, text] of fieldsOf(field, `${prefix}${name}.`)) found.set(inner, text);
    } else if (field !== undefined) found.set(`${prefix}${name}`, String(field));
  }
  return found;
}
