// Owns `holdfast status`.
import type { Attachment, Status } from '../../api/schema.ts';
import { failureLines } from '../exit.ts';
import { bar, count, counted, duration, percent, share, span } from '../format.ts';
import { routeFacts } from '../routes_text.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';

export async function status(session: Session): Promise<void> {
  const found = await (await session.client()).status();
  if (session.json) session.printJson(found);
  else session.out.print(statusText(session.out, found, Date.now()));
}

export function statusText(screen: Screen, it: Status, nowMs: number): string {
  return [
    headline(screen, it, nowMs),
    attachmentTable(screen, it.attachments),
    limitTable(screen, it),
    problemText(screen, it),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

const ADOPTIONS = {
  fresh: 'new',
  adopted: 'taken over from the pins of the run before',
  migrated: 'copied from the pins of an older version',
} as const;

function headline(screen: Screen, it: Status, nowMs: number): string {
  const { store } = it;
  const connected = store.connected ? '' : screen.paint('red', ', not connected');
  const behind = store.revision - it.appliedRevision;
  const applied = behind === 0 ? 'applied' : screen.paint('yellow', `${it.appliedRevision} applied`);
  return facts(screen, [
    ['node', `${screen.paint('bold', it.node)} (${it.roles.join(', ')})`],
    [
      'daemon',
      `holdfastd ${it.version}, process ${it.pid}, up ${duration(nowMs - Date.parse(it.startedAt))}`,
    ],
    ['kernel', it.kernel],
    ['tables', ADOPTIONS[it.adopted]],
    ['store', `${store.kind} ${store.where}, revision ${store.revision}, ${applied}${connected}`],
    [
      'objects',
      `${counted(it.services, 'service')}, ${counted(it.pools, 'pool')}, ${counted(it.backends, 'backend')}`,
    ],
    ...clusterFacts(screen, it.cluster),
    ...routeFacts(screen, it.routes),
    ['files', fileText(screen, it.file)],
    ['capture', it.capturing ? screen.paint('yellow', 'running') : undefined],
  ]);
}

function fileText(screen: Screen, it: Status['file']): string | undefined {
  if (it === undefined) return undefined;
  if (it.pid === undefined) return screen.paint('red', 'the server does not run');
  const where = it.listening.length === 0 ? screen.paint('red', 'nowhere') : it.listening.join(', ');
  const storages = it.storages.map(
    ({ name, type }) => `${name} ${type ?? screen.paint('red', 'not served')}`,
  );
  const what = storages.length === 0 ? screen.paint('yellow', 'no storages') : storages.join(', ');
  return `process ${it.pid}, at ${where}; ${what}; namespace ${it.revision}`;
}

function clusterFacts(
  screen: Screen,
  it: Status['cluster'],
): readonly (readonly [string, string | undefined])[] {
  if (it === undefined) return [];
  const behind = it.head - it.version;
  const others = Math.max(0, it.members - 1);
  const isSilent = it.heard < others;
  return [
    [
      'version',
      `${it.version}${behind === 0 ? ', the newest' : screen.paint('yellow', `, ${it.head} is the newest`)}`,
    ],
    [
      'mux',
      `id ${it.id}, ${it.state === 'member' ? it.state : screen.paint('yellow', it.state)}; ` +
        screen.paint(
          isSilent ? 'red' : undefined,
          others === 0 ? 'the only one' : `hears ${it.heard} of ${counted(others, 'other')}`,
        ) +
        `; leader ${it.leader ?? screen.paint('red', 'none')}`,
    ],
    [
      'deadline',
      it.pastDeadline
        ? screen.paint(['bold', 'red'], 'has passed: it decides nothing, and relays to others')
        : it.leaseLeftMs === undefined
          ? 'none: it may decide for ever'
          : `in ${span(it.leaseLeftMs)}`,
    ],
    ...(it.changes.length === 0
      ? ([['changes', 'none open: every slot is clean']] as const)
      : it.changes.map(
          ({ id, waitsFor }, index) => [index === 0 ? 'changes' : '', `${id} ${waitsFor}`] as const,
        )),
  ];
}

export function attachmentTable(screen: Screen, attachments: readonly Attachment[]): string {
  if (attachments.length === 0) return screen.paint('yellow', 'no program is attached');
  const columns: Column<Attachment>[] = [
    { head: 'INTERFACE', cell: (it) => it.interface },
    { head: 'ROLE', cell: (it) => it.role },
    {
      head: 'MODE',
      cell: (it) => it.mode,
      style: (it) => (it.mode === 'generic' ? 'yellow' : undefined),
    },
    { head: 'PROGRAM', cell: (it) => String(it.programId), right: true },
    { head: 'TAG', cell: (it) => it.programTag ?? '' },
    {
      head: 'PINNED',
      cell: (it) => (it.pinned ? 'yes' : 'no'),
      style: (it) => (it.pinned ? undefined : 'yellow'),
    },
  ];
  return table(screen, columns, attachments);
}

const BAR_COLUMNS = 20;
const NEARLY_FULL = 0.9;

function limitTable(screen: Screen, it: Status): string {
  const limits = Object.entries(it.limits).map(([name, { used, max }]) => ({ name, used, max }));
  type Row = (typeof limits)[number];
  if (limits.length === 0) return '';
  const shareOf = ({ used, max }: Row) => share(used, max);
  const columns: Column<Row>[] = [
    { head: 'LIMIT', cell: ({ name }) => name },
    { head: 'USED', cell: ({ used }) => count(used), right: true },
    { head: 'OF', cell: ({ max }) => count(max), right: true },
    {
      head: '',
      cell: (row) => percent(shareOf(row)),
      right: true,
      style: (row) => (shareOf(row) >= NEARLY_FULL ? 'red' : undefined),
    },
    ...(screen.hasBlocks
      ? [{ head: '', cell: (row: Row) => bar(shareOf(row), BAR_COLUMNS), style: () => 'cyan' as const }]
      : []),
  ];
  return table(screen, columns, limits);
}

function problemText(screen: Screen, { problems }: Status): string {
  if (problems.length === 0) return screen.paint('green', 'no problems');
  const head = screen.paint(['bold', 'red'], counted(problems.length, 'problem'));
  const each = problems.map(({ code, message, cause, remedy }) =>
    failureLines(screen, {
      code,
      message,
      ...(cause === undefined ? {} : { cause }),
      ...(remedy === undefined ? {} : { remedy }),
    }).join('\n'),
  );
  return [head, ...each].join('\n\n');
}
