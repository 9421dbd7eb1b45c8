// Owns `holdfast flows …`.
import type { Client, FlowsQuery } from '../../api/client.ts';
import { FLOWS_PAGE_DEFAULT, FLOWS_PAGE_MAX, TOP_DEFAULT, TOP_MAX } from '../../api/schema/flows.ts';
import type { FlowEntry, FlowHolder, FlowReport, Flows, FlowsTop, TopBy } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';
import { flowNameOf } from '../flow.ts';
import { bar, count, counted, percent, share, span } from '../format.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { unansweredTexts } from '../unanswered_text.ts';
import { UsageError } from '../usage_error.ts';
import { wrapped } from '../wrap.ts';
import { splitBackend } from './objects.ts';

type SelectionGiven = {
  readonly service: string | undefined;
  readonly backend: string | undefined;
  readonly pool: string | undefined;
  readonly slot: number | undefined;
  readonly state: 'nascent' | 'unproven' | 'trusted' | undefined;
  readonly client: string | undefined;
  readonly old: boolean;
  readonly local: boolean;
};

/** Rows that one command prints, at most. */
const LIST_MAX = 100_000;

export async function list(
  session: Session,
  given: SelectionGiven & { readonly copies: boolean; readonly limit: number | undefined },
): Promise<void> {
  const limit = limitOf(given.limit, FLOWS_PAGE_DEFAULT, LIST_MAX);
  const selection = { ...selectionOf(given), ...(given.copies ? { role: 'backup' as const } : {}) };
  const found = await pages(await session.client(), selection, limit);
  if (session.json) session.printJson(found);
  else session.out.print(flowsText(session.out, found));
}

/** Page by page: a page is of one mux, and may be empty. */
async function pages(client: Client, selection: FlowsQuery, limit: number): Promise<Flows> {
  const items: FlowEntry[] = [];
  const unanswered: Flows['unanswered'] = [];
  let after: string | undefined;
  do {
    const wanted = Math.min(limit - items.length, FLOWS_PAGE_MAX);
    const page = await client.flows({ ...selection, limit: wanted, after });
    items.push(...page.items);
    unanswered.push(...page.unanswered);
    after = page.next;
  } while (after !== undefined && items.length < limit);
  const more = after !== undefined || items.length > limit;
  return { items: items.slice(0, limit), unanswered, ...(more && { next: after ?? 'more' }) };
}

function selectionOf({
  service,
  backend,
  pool,
  slot,
  state,
  client,
  old,
  local,
}: SelectionGiven): FlowsQuery {
  if (slot !== undefined && pool === undefined) {
    throw new UsageError('--slot needs --pool.', { reason: 'Slots are numbered within their pool.' });
  }
  if (slot !== undefined && !(Number.isInteger(slot) && slot >= 0)) {
    throw new UsageError(`--slot cannot be "${slot}".`, { reason: 'Slots are counted from 0.' });
  }
  if (backend !== undefined) splitBackend(backend);
  return { service, backend, pool, slot, state, client, old, local };
}

function limitOf(given: number | undefined, standard: number, most: number): number {
  const limit = given ?? standard;
  if (Number.isInteger(limit) && limit >= 1 && limit <= most) return limit;
  throw new UsageError(`--limit cannot be "${limit}".`, { reason: `It is 1 to ${most}.` });
}

export function flowsText(screen: Screen, { items, next, unanswered }: Flows): string {
  const columns: Column<FlowEntry>[] = [
    { head: 'CLIENT', cell: ({ client }) => client, style: () => 'bold' },
    { head: 'SERVICE', cell: ({ services }) => services.join(' or '), narrow: 'cut' },
    {
      head: 'BACKEND',
      cell: ({ backend, isOld }) => `${backend ?? 'gone'}${isOld ? ' (old)' : ''}`,
      style: ({ isOld }) => (isOld ? 'yellow' : undefined),
      narrow: 'cut',
    },
    {
      head: 'STATE',
      cell: ({ state }) => state,
      style: ({ state }) => (state === 'trusted' ? 'green' : undefined),
    },
    { head: 'SLOT', cell: ({ pool, slot }) => `${pool}:${slot}`, right: true },
    { head: 'SEEN', cell: ({ seenAgoMs }) => `${span(seenAgoMs)} ago`, right: true },
    { head: 'IDLE AFTER', cell: ({ idleTimeoutMs }) => span(idleTimeoutMs), right: true },
    { head: 'MUX', cell: ({ node, role }) => (role === 'owner' ? node : `${node} (${role})`) },
  ];
  return [
    items.length === 0
      ? 'no such flow is kept: clean slots keep no state of their flows'
      : table(screen, columns, items),
    ...(next === undefined
      ? []
      : [screen.paint('dim', `there are more than ${count(items.length)}: give --limit`)]),
    ...unansweredTexts(screen, unanswered),
  ].join('\n\n');
}

export async function show(
  session: Session,
  given: { readonly flow: readonly string[]; readonly local: boolean },
): Promise<void> {
  const name = flowNameOf(given.flow);
  const found = await (await session.client()).flow(name, { local: given.local });
  if (session.json) session.printJson(found);
  else session.out.print(flowText(session.out, found));
}

export function flowText(screen: Screen, it: FlowReport): string {
  const width = String(it.conclusions.length).length;
  const said = it.conclusions.map(
    (sentence, index) =>
      `${screen.paint('dim', String(index + 1).padStart(width))}  ${wrapped(sentence, width + 2, screen.columns)}`,
  );
  return [
    facts(screen, [
      ['flow', screen.paint('bold', it.flow)],
      ['service', it.service],
      [
        'slot',
        `${count(it.slot)} of pool ${it.pool}, ${it.tracked ? screen.paint('cyan', 'tracked') : screen.paint('green', 'clean')}`,
      ],
      ['change', it.change && `${it.change}, step ${it.step}`],
      ['current', it.current],
      ['base', it.base],
      ['owner', it.owner && holderText(it.owner)],
      ['backup', it.backup && holderText(it.backup)],
    ]),
    said.join('\n'),
    ...unansweredTexts(screen, it.unanswered),
  ].join('\n\n');
}

export function holderText({ node, address, self }: FlowHolder): string {
  return `${node}${address === undefined ? '' : ` (${address})`}${self ? ', this node' : ''}`;
}

export async function owner(session: Session, given: { readonly flow: readonly string[] }): Promise<void> {
  const name = flowNameOf(given.flow);
  const { flow, pool, slot, tracked, owner, backup } = await (await session.client()).flow(name, {
    local: true,
  });
  const found = { flow, pool, slot, tracked, ...(owner && { owner }), ...(backup && { backup }) };
  if (session.json) return session.printJson(found);
  if (!tracked) {
    session.out.print(`nobody: slot ${slot} of pool ${pool} is clean, and no state is kept of its flows`);
    return;
  }
  if (owner === undefined) {
    throw new Failure('unavailable', `Nobody owns slot ${slot} of pool ${pool}.`, {
      reason: 'None of the muxes that could keep its flows is a member any more.',
      remedy: 'See holdfast nodes list and holdfast changes',
    });
  }
  session.out.print(
    facts(session.out, [
      ['owner', `${session.out.paint('bold', holderText(owner))}`],
      ['backup', backup === undefined ? session.out.paint('yellow', 'none') : holderText(backup)],
      [
        'ask',
        owner.self || owner.api === undefined
          ? undefined
          : `holdfast --url https://${owner.api} flows show '${flow}'`,
      ],
    ]),
  );
}

export async function top(
  session: Session,
  given: SelectionGiven & { readonly by: TopBy | undefined; readonly limit: number | undefined },
): Promise<void> {
  const limit = limitOf(given.limit, TOP_DEFAULT, TOP_MAX);
  const found = await (await session.client()).topFlows({ ...selectionOf(given), by: given.by, limit });
  if (session.json) session.printJson(found);
  else session.out.print(topText(session.out, found));
}

const BAR_COLUMNS = 20;

export function topText(screen: Screen, { by, flows, groups, others, unanswered }: FlowsTop): string {
  type Row = FlowsTop['groups'][number];
  const shareOf = (row: Row) => share(row.flows, flows);
  const columns: Column<Row>[] = [
    { head: by.toUpperCase(), cell: ({ name }) => name, style: () => 'bold', narrow: 'cut' },
    { head: 'FLOWS', cell: (row) => count(row.flows), right: true },
    {
      head: 'OLD',
      cell: ({ old }) => count(old),
      right: true,
      style: ({ old }) => (old > 0 ? 'yellow' : undefined),
    },
    { head: 'NASCENT', cell: ({ nascent }) => count(nascent), right: true },
    { head: 'SHARE', cell: (row) => percent(shareOf(row)), right: true },
    ...(screen.hasBlocks
      ? [{ head: '', cell: (row: Row) => bar(shareOf(row), BAR_COLUMNS), style: () => 'cyan' as const }]
      : []),
  ];
  return [
    groups.length === 0
      ? 'no such flow is kept: clean slots keep no state of their flows'
      : table(screen, columns, groups),
    ...(others.groups + others.flows === 0
      ? []
      : [screen.paint('dim', `and ${counted(others.flows, 'flow')} of ${count(others.groups)} others`)]),
    ...unansweredTexts(screen, unanswered),
  ].join('\n\n');
}
