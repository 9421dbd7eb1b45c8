// Owns `holdfast nodes …`.
import type { NodeChange, NodeView } from '../../api/schema.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { count, counted, dateTime, span } from '../format.ts';
import { routeFacts } from '../routes_text.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { wrapped } from '../wrap.ts';

type NodeWriteGiven = {
  readonly name: string;
  readonly dryRun: boolean;
  readonly force: boolean;
  readonly yes: boolean;
};

export async function list(session: Session, { matrix }: { readonly matrix: boolean }): Promise<void> {
  const items = await (await session.client()).nodes();
  if (session.json) session.printJson({ items });
  else session.out.print(matrix ? matrixText(session.out, items) : nodesText(session.out, items));
}

const STATE_STYLES: Partial<Readonly<Record<NodeView['state'], Style>>> = {
  member: 'green',
  joining: 'cyan',
  draining: 'yellow',
  drained: 'yellow',
  gone: ['bold', 'red'],
};

export function nodesText(screen: Screen, nodes: readonly NodeView[]): string {
  const columns: Column<NodeView>[] = [
    {
      head: 'NODE',
      cell: ({ name, self }) => `${name}${self ? '*' : ''}`,
      style: () => 'bold',
      narrow: 'cut',
    },
    { head: 'ROLES', cell: ({ roles }) => roles.join(', ') },
    { head: 'STATE', cell: stateOf, style: (it) => (it.pastDeadline ? 'red' : STATE_STYLES[it.state]) },
    { head: 'ID', cell: ({ id }) => (id === undefined ? '' : String(id)), right: true },
    { head: 'ADDRESS', cell: ({ address }) => address ?? '', narrow: 'cut' },
    {
      head: 'VERSION',
      cell: ({ version, behind = 0 }) =>
        version === undefined ? '' : `${version}${behind === 0 ? '' : ` (-${behind})`}`,
      right: true,
      style: ({ behind = 0 }) => (behind > 0 ? 'yellow' : undefined),
    },
    { head: 'HEARD', cell: heardOf, right: true },
    {
      head: 'LEASE',
      cell: ({ leaseLeftMs }) => (leaseLeftMs === undefined ? '' : span(leaseLeftMs)),
      right: true,
    },
    { head: 'OWNS', cell: ({ chains }) => (chains === undefined ? '' : count(chains.owned)), right: true },
    { head: 'BACKS', cell: ({ chains }) => (chains === undefined ? '' : count(chains.backed)), right: true },
    { head: 'FLOWS', cell: ({ flows }) => (flows === undefined ? '' : count(flows.kept)), right: true },
  ];
  const problems = nodes.flatMap(({ name, problems }) => problems.map((problem) => ({ name, problem })));
  const width = Math.max(0, ...problems.map(({ name }) => name.length));
  return [
    table(screen, columns, nodes),
    problems.length === 0
      ? screen.paint('green', 'no problems')
      : problems
          .map(
            ({ name, problem }) =>
              `${screen.paint(['bold', 'red'], name.padEnd(width))}  ${wrapped(problem, width + 2, screen.columns)}`,
          )
          .join('\n'),
    screen.paint(
      'dim',
      '* answers this command: how long ago it heard others, and its lease, are its own knowledge',
    ),
  ].join('\n\n');
}

function stateOf({ state, pastDeadline, heard }: NodeView): string {
  const suspecting = heard.filter(({ suspects }) => suspects).length;
  return [
    state,
    ...(pastDeadline ? ['past deadline'] : []),
    ...(suspecting === 0 ? [] : [`suspected by ${suspecting}`]),
  ].join(', ');
}

/** By the node that answers. */
function heardOf({ self, heard }: NodeView): string {
  if (self || heard.length === 0) return '';
  const agoMs = heard.find((it) => it.agoMs !== undefined)?.agoMs;
  return agoMs === undefined ? 'never' : `${ago(agoMs)} ago`;
}

function ago(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : span(ms);
}

/** A line for each mux that listens, a column for each that it should hear. */
export function matrixText(screen: Screen, nodes: readonly NodeView[]): string {
  const muxes = nodes.filter(({ heard }) => heard.length > 0);
  if (muxes.length < 2) return 'there are no two muxes, so nobody hears anybody';
  const cell = (observer: string, observed: NodeView): string => {
    if (observer === observed.name) return '-';
    const found = observed.heard.find(({ by }) => by === observer);
    if (found === undefined) return '?';
    if (found.suspects) return 'silent';
    return found.agoMs === undefined ? 'hears' : ago(found.agoMs);
  };
  const columns: Column<NodeView>[] = [
    { head: 'HEARS', cell: ({ name, self }) => `${name}${self ? '*' : ''}`, style: () => 'bold' },
    ...muxes.map(
      (observed): Column<NodeView> => ({
        head: observed.name,
        cell: ({ name }) => cell(name, observed),
        right: true,
        style: ({ name }) => {
          const text = cell(name, observed);
          return text === 'silent' ? ['bold', 'red'] : text === '-' ? 'dim' : 'green';
        },
      }),
    ),
  ];
  return [
    table(screen, columns, muxes),
    screen.paint('dim', '* answers this command; of the others it is known whom they do not hear'),
  ].join('\n\n');
}

export async function show(session: Session, { name }: { readonly name: string }): Promise<void> {
  const it = await (await session.client()).node(name);
  if (session.json) session.printJson(it);
  else session.out.print(nodeText(session.out, it));
}

export function nodeText(screen: Screen, it: NodeView): string {
  const hearing = it.heard.map(({ by, agoMs, suspects }) => {
    if (suspects) return screen.paint('red', `${by} does not`);
    return agoMs === undefined ? by : `${by} ${ago(agoMs)} ago`;
  });
  return facts(screen, [
    ['node', `${screen.paint('bold', it.name)} (${it.roles.join(', ')})${it.self ? ', answers this' : ''}`],
    ['state', screen.paint(it.pastDeadline ? 'red' : STATE_STYLES[it.state], stateOf(it))],
    ['gone', it.goneSinceMs === undefined ? undefined : `since ${dateTime(it.goneSinceMs)}, as seen here`],
    ['software', it.software && `holdfastd ${it.software}`],
    ['mux', it.id === undefined ? undefined : `id ${it.id}, incarnation ${it.incarnation ?? '?'}`],
    ['address', it.address && `${it.address}, UDP port ${it.askPort}`],
    ['api', it.api ?? (it.id === undefined ? undefined : 'not on the network')],
    [
      'version',
      it.version === undefined
        ? undefined
        : `${it.version}${it.behind ? screen.paint('yellow', `, ${counted(it.behind, 'version')} behind`) : ', the newest'}`,
    ],
    ['lease', it.leaseLeftMs === undefined ? undefined : `${span(it.leaseLeftMs)} left`],
    ['heard by', hearing.length === 0 ? undefined : wrapped(hearing.join(', '), 10, screen.columns)],
    [
      'keeps',
      it.chains && `${counted(it.chains.owned, 'slot')} as owner, ${count(it.chains.backed)} as backup`,
    ],
    ['flows', it.flows && `${count(it.flows.kept)}, ${count(it.flows.old)} on an old backend`],
    ...routeFacts(screen, it.routes),
    ...it.problems.map(
      (problem) => ['problem', screen.paint('red', wrapped(problem, 10, screen.columns))] as const,
    ),
  ]);
}

export async function drain(
  session: Session,
  given: NodeWriteGiven & { readonly undo: boolean },
): Promise<number | undefined> {
  const client = await session.client();
  const { name, undo } = given;
  return await change(session, given, (options) => client.drainNode(name, { ...options, undo }));
}

export async function rotateKey(session: Session): Promise<void> {
  const begun = await (await session.client()).rotateKeys();
  if (session.json) session.printJson(begun);
  else session.out.print(session.out.paint('green', `the key is being changed: step ${begun.step}`));
  if (!session.json)
    session.remark('if it does not come to its end, holdfast doctor says which mux it waits for');
}

export async function remove(session: Session, given: NodeWriteGiven): Promise<number | undefined> {
  const client = await session.client();
  return await change(session, given, (options) => client.removeNode(given.name, options));
}

const QUESTIONS: Readonly<Record<NodeChange['action'], string>> = {
  drain: 'Drain',
  'undo drain': 'Undo the drain of',
  remove: 'Forget',
  none: '',
};

/** In a terminal it asks, except to take a drain back. */
async function change(
  session: Session,
  { name, dryRun, force, yes }: NodeWriteGiven,
  write: (options: { dryRun: boolean; force: boolean }) => Promise<NodeChange>,
): Promise<number | undefined> {
  if (!dryRun && !yes && session.canAsk) {
    const preview = await write({ dryRun: true, force });
    if (preview.action === 'drain' || preview.action === 'remove') {
      session.remark(`${preview.effects.join('\n')}\n`);
      if (!(await session.confirm(`${QUESTIONS[preview.action]} ${name}?`))) {
        session.remark('nothing was changed');
        return EXIT_INTERRUPTED;
      }
    }
  }
  const done = await write({ dryRun, force });
  if (session.json) session.printJson(done);
  else session.out.print(changeText(session.out, done));
  return undefined;
}

const DONE: Readonly<Record<NodeChange['action'], string>> = {
  drain: 'drains',
  'undo drain': 'is not drained any more',
  remove: 'is forgotten',
  none: 'is so already',
};
const WOULD: Readonly<Record<NodeChange['action'], string>> = {
  drain: 'would drain',
  'undo drain': 'would not be drained any more',
  remove: 'would be forgotten',
  none: 'is so already',
};

export function changeText(screen: Screen, { dryRun, action, node, effects }: NodeChange): string {
  const end = dryRun
    ? screen.paint('yellow', `dry run, nothing was changed: ${node.name} ${WOULD[action]}`)
    : screen.paint('green', `${node.name} ${DONE[action]}`);
  return [...effects, ...(effects.length > 0 ? [''] : []), end].join('\n');
}
