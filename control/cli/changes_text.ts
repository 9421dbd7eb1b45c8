// Owns what changes look like: slots of each pool by state, each change in a line or with its steps, and the end of it.
import type { Changes, FinishedChange, OpenChange, SlotStates, StepView } from '../api/schema.ts';
import { bar, count, counted, dateTime, share, span } from './format.ts';
import { moveLines } from './plan_text.ts';
import type { Screen, Style } from './screen.ts';
import { type Column, facts, table } from './table.ts';
import { wrapped } from './wrap.ts';

const POOL_COLUMNS = 40;
const STEP_COLUMNS = 20;

const STATES = [
  { state: 'clean', style: 'green', block: '█' },
  { state: 'track', style: 'yellow', block: '▒' },
  { state: 'commit', style: 'cyan', block: '▓' },
  { state: 'settle', style: 'blue', block: '░' },
] as const satisfies readonly { state: keyof SlotStates; style: Style; block: string }[];

/** The whole picture. `detailed`: each change with its steps, or in a line. */
export function changesText(
  screen: Screen,
  it: Changes,
  options: { readonly detailed: boolean; readonly finished: boolean },
): string {
  const details = it.open.map((change) => changeText(screen, change));
  const body =
    it.open.length === 0 ? [idleText(screen, it)] : options.detailed ? details : [openTable(screen, it.open)];
  return [
    headText(screen, it),
    ...(it.open.length === 0 ? [] : [poolTable(screen, it.pools)]),
    ...body,
    ...(options.finished ? [finishedTable(screen, it.finished)] : []),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function headText(screen: Screen, it: Changes): string {
  const behind = it.version - it.applied;
  return facts(screen, [
    [
      'version',
      it.version === 0
        ? screen.paint('yellow', 'none yet')
        : `${it.version}${behind === 0 ? ', in effect here' : screen.paint('yellow', `, ${it.applied} in effect here`)}`,
    ],
    ['edits', `up to revision ${it.publishedRevision}`],
    ['leader', it.leader ?? screen.paint('red', 'none')],
    ...it.waitsFor.map((wait) => ['note', screen.paint('yellow', wrapped(wait, 9, screen.columns))] as const),
  ]);
}

function idleText(screen: Screen, { version }: Changes): string {
  return version === 0
    ? 'no mux has anything to do yet'
    : screen.paint('green', 'no change is open: every slot is clean');
}

/** Slots by state; only pools that have others than clean ones, unless none has. */
export function poolTable(screen: Screen, pools: readonly SlotStates[]): string {
  const shown = pools.filter(({ clean, of }) => clean < of);
  if (shown.length === 0) return '';
  const columns: Column<SlotStates>[] = [
    { head: 'POOL', cell: ({ pool }) => pool, style: () => 'bold', narrow: 'cut' },
    { head: 'SLOTS', cell: ({ of }) => count(of), right: true },
    ...STATES.map(
      ({ state, style }): Column<SlotStates> => ({
        head: state.toUpperCase(),
        cell: (row) => count(row[state]),
        right: true,
        style: () => style,
      }),
    ),
    ...(screen.hasBlocks ? [{ head: '', cell: (row: SlotStates) => poolBar(screen, row) }] : []),
  ];
  return table(screen, columns, shown);
}

/** Each state has its part; what is there has one column at least. */
export function poolBar(screen: Screen, states: SlotStates): string {
  const parts = STATES.map(({ state, style, block }) => ({ amount: states[state], style, block })).filter(
    ({ amount }) => amount > 0,
  );
  const widths = parts.map(({ amount }) => Math.max(1, Math.round(share(amount, states.of) * POOL_COLUMNS)));
  // Rounding up the small ones is the largest one's loss.
  const excess = widths.reduce((sum, it) => sum + it, 0) - POOL_COLUMNS;
  const largest = widths.indexOf(Math.max(...widths));
  widths[largest]! -= excess;
  return parts.map(({ style, block }, index) => screen.paint(style, block.repeat(widths[index]!))).join('');
}

function openTable(screen: Screen, open: readonly OpenChange[]): string {
  const columns: Column<OpenChange>[] = [
    { head: 'CHANGE', cell: ({ id }) => id, style: () => 'bold' },
    { head: 'STEP', cell: ({ step }) => step, style: ({ urgent }) => (urgent ? 'red' : 'cyan') },
    { head: 'SINCE', cell: (it) => span(sinceOf(it)), right: true },
    { head: 'SLOTS', cell: ({ slots }) => count(slots.tracked), right: true },
    { head: 'FLOWS', cell: ({ flows }) => (flows === undefined ? '?' : count(flows.known)), right: true },
    {
      head: 'OLD',
      cell: ({ flows }) => (flows === undefined ? '?' : count(flows.old)),
      right: true,
      style: ({ flows }) => ((flows?.old ?? 0) > 0 ? 'yellow' : undefined),
    },
    {
      head: 'NEXT STEP',
      cell: ({ nextStepInMs }) => (nextStepInMs === undefined ? '' : `in ${span(nextStepInMs)}`),
      right: true,
    },
    { head: 'WAITS', cell: ({ waitsFor }) => waitsFor.join(' '), narrow: 'wrap' },
  ];
  return table(screen, columns, open);
}

/** All about one change. */
export function changeText(screen: Screen, it: OpenChange): string {
  const { flows } = it;
  const steps = it.steps.map((step) => stepLine(screen, step));
  const parts =
    it.parts.length < 2
      ? []
      : it.parts.map(
          ({ step, version, slots, reason }) =>
            ['part', `${step} since version ${version}, ${counted(slots, 'slot')}: ${reason}`] as const,
        );
  const known = facts(screen, [
    [
      'change',
      `${screen.paint('bold', it.id)}, since ${span(it.ageMs)}${it.urgent ? screen.paint('red', ', urgent') : ''}`,
    ],
    ['edits', it.reason],
    ...parts,
    ...steps.map((line, index) => [index === 0 ? 'steps' : '', line] as const),
    [
      'slots',
      `${count(it.slots.tracked)} of ${count(it.slots.of)} tracked, ${count(it.slots.moved)} with another base`,
    ],
    ...moveLines(screen, it.moves).map((line) => ['', line] as const),
    [
      'flows',
      flows === undefined
        ? 'not reported yet'
        : `${count(flows.known)} recorded, ${flows.old === 0 ? 'none' : screen.paint('yellow', count(flows.old))} on an old backend`,
    ],
    ...lostLines(it).map((line, index) => [index === 0 ? 'lost' : '', screen.paint('red', line)] as const),
    ...it.waitsFor.map(
      (wait, index) => [index === 0 ? 'waits' : '', wrapped(wait, 11, screen.columns)] as const,
    ),
    ['next step', it.nextStepInMs === undefined ? undefined : `in ${span(it.nextStepInMs)} at the earliest`],
  ]);
  return `${known}\n\n${nodeTable(screen, it)}`;
}

function lostLines({ lostSlots, lostBriefly }: OpenChange): string[] {
  const all = lostSlots - lostBriefly;
  return [
    ...(all > 0
      ? [`owner and backup of ${counted(all, 'slot')} at once: flows may have lost their server`]
      : []),
    ...(lostBriefly > 0
      ? [`an owner while a mux left: flows of ${counted(lostBriefly, 'slot')} that began in those seconds`]
      : []),
  ];
}

const MARKS: Readonly<Record<StepView['state'], readonly [block: string, plain: string]>> = {
  done: ['✓', 'done'],
  now: ['▶', 'now'],
  next: ['·', 'next'],
  skipped: ['-', 'left out'],
};

/** How far a step is: of its time, where that is what it takes. */
export function stepLine(screen: Screen, it: StepView): string {
  const { step, state, leastMs, sinceMs, leftMs } = it;
  const [block, plain] = MARKS[state];
  const mark = screen.hasBlocks ? block : plain.padEnd('left out'.length);
  const whole = Math.max(leastMs, (sinceMs ?? 0) + (leftMs ?? 0));
  const done = state === 'done' ? 1 : state === 'now' && whole > 0 ? 1 - (leftMs ?? 0) / whole : 0;
  const blocks = bar(done, STEP_COLUMNS);
  const drawn = screen.hasBlocks
    ? `${screen.paint('cyan', blocks)}${' '.repeat(STEP_COLUMNS - blocks.length + 2)}`
    : '';
  const times = [
    ...(sinceMs === undefined ? [] : [state === 'now' ? `for ${span(sinceMs)}` : span(sinceMs)]),
    ...(state === 'now' && leftMs !== undefined && leftMs > 0 ? [`${span(leftMs)} left`] : []),
    ...(state === 'next' && leastMs > 0 ? [`${span(leastMs)} at least`] : []),
  ];
  const style: Style | undefined = state === 'now' ? 'bold' : state === 'done' ? 'green' : 'dim';
  return `${screen.paint(style, `${mark} ${step.padEnd('commit'.length)}`)}  ${drawn}${times.join(', ')}`.trimEnd();
}

function nodeTable(screen: Screen, { nodes }: OpenChange): string {
  type Row = OpenChange['nodes'][number];
  const columns: Column<Row>[] = [
    { head: 'MUX', cell: ({ node }) => node, style: () => 'bold', narrow: 'cut' },
    {
      head: 'ACKNOWLEDGED',
      cell: ({ acknowledged }) => (acknowledged ? 'yes' : 'no'),
      style: ({ acknowledged }) => (acknowledged ? undefined : 'red'),
    },
    {
      head: 'COPIED',
      cell: ({ copied }) => (copied ? 'yes' : 'no'),
      style: ({ copied }) => (copied ? undefined : 'yellow'),
    },
    { head: 'FLOWS', cell: ({ flows }) => (flows === undefined ? '?' : count(flows)), right: true },
    {
      head: 'OLD',
      cell: ({ oldFlows }) => (oldFlows === undefined ? '?' : count(oldFlows)),
      right: true,
      style: ({ oldFlows = 0 }) => (oldFlows > 0 ? 'yellow' : undefined),
    },
    {
      head: 'UNRECORDED',
      cell: ({ unrecordedAgoMs }) => (unrecordedAgoMs === undefined ? '' : `${span(unrecordedAgoMs)} ago`),
      right: true,
      style: () => 'yellow',
    },
  ];
  return table(screen, columns, nodes);
}

export function finishedTable(screen: Screen, finished: readonly FinishedChange[]): string {
  if (finished.length === 0) return screen.paint('dim', 'no change has ended since holdfastd began');
  const columns: Column<FinishedChange>[] = [
    { head: 'ENDED', cell: ({ finishedAtMs }) => dateTime(finishedAtMs) },
    { head: 'CHANGE', cell: ({ id }) => id, style: () => 'bold' },
    { head: 'TOOK', cell: (it) => `${it.seenWhole ? '' : 'over '}${span(it.tookMs)}`, right: true },
    { head: 'SLOTS', cell: ({ slots }) => count(slots), right: true },
    {
      head: 'STEPS',
      cell: ({ steps }) => steps.map(({ step, tookMs }) => `${step} ${span(tookMs)}`).join(', '),
      narrow: 'wrap',
    },
    { head: 'EDITS', cell: ({ reason }) => reason, narrow: 'wrap' },
  ];
  return table(screen, columns, finished);
}

/** A line that is only written again when something of it changes: for pipes and logs. */
export function progressLine({ id, step, slots, flows, waitsFor }: OpenChange): string {
  const old = flows === undefined ? '' : `, ${counted(flows.old, 'flow')} on old backends`;
  return `${id}: ${step}, ${counted(slots.tracked, 'slot')} tracked${old}${waitsFor[0] === undefined ? '' : `; ${waitsFor[0]}`}`;
}

function sinceOf({ steps, ageMs }: OpenChange): number {
  return steps.find(({ state }) => state === 'now')?.sinceMs ?? ageMs;
}
