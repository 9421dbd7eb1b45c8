// Owns `holdfast affinity …`.
import type { AffinitiesQuery, Client } from '../../api/client.ts';
import { AFFINITIES_PAGE_DEFAULT, AFFINITIES_PAGE_MAX } from '../../api/schema/affinity.ts';
import type {
  Affinities,
  AffinityEntry,
  AffinityExplanation,
  AffinityRelease,
  AffinityReport,
} from '../../api/schema.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { count, span } from '../format.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { unansweredTexts } from '../unanswered_text.ts';
import { UsageError } from '../usage_error.ts';
import { wrapped } from '../wrap.ts';
import { holderText } from './flows.ts';
import { splitBackend } from './objects.ts';

/** Rows that one command prints, at most. */
const LIST_MAX = 100_000;

type ListGiven = {
  readonly service: string | undefined;
  readonly backend: string | undefined;
  readonly client: string | undefined;
  readonly local: boolean;
  readonly limit: number | undefined;
};

export async function list(session: Session, given: ListGiven): Promise<void> {
  const { limit = AFFINITIES_PAGE_DEFAULT, ...selection } = given;
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= LIST_MAX)) {
    throw new UsageError(`--limit cannot be "${limit}".`, { reason: `It is 1 to ${LIST_MAX}.` });
  }
  if (selection.backend !== undefined) splitBackend(selection.backend);
  const found = await pages(await session.client(), selection, limit);
  if (session.json) session.printJson(found);
  else session.out.print(affinitiesText(session.out, found));
}

/** Page by page: a page is of one node, and may be empty. */
async function pages(client: Client, selection: AffinitiesQuery, limit: number): Promise<Affinities> {
  const items: AffinityEntry[] = [];
  const unanswered: Affinities['unanswered'] = [];
  let after: string | undefined;
  do {
    const wanted = Math.min(limit - items.length, AFFINITIES_PAGE_MAX);
    const page = await client.affinities({ ...selection, limit: wanted, after });
    items.push(...page.items);
    unanswered.push(...page.unanswered);
    after = page.next;
  } while (after !== undefined && items.length < limit);
  const more = after !== undefined || items.length > limit;
  return { items: items.slice(0, limit), unanswered, ...(more && { next: after ?? 'more' }) };
}

const RULES: Readonly<Record<AffinityEntry['rule'], string>> = {
  clean: 'clean slot',
  recorded: 'recorded',
  base: 'base',
  unknown: 'not known',
};

export function affinitiesText(screen: Screen, { items, next, unanswered }: Affinities): string {
  const columns: Column<AffinityEntry>[] = [
    { head: 'CLIENT', cell: ({ client }) => client, style: () => 'bold' },
    { head: 'SERVICE', cell: ({ services }) => services.join(' or '), narrow: 'cut' },
    {
      head: 'BACKEND',
      cell: ({ backend, isOld }) => `${backend ?? '?'}${isOld ? ' (old)' : ''}`,
      style: ({ isOld }) => (isOld ? 'yellow' : undefined),
      narrow: 'cut',
    },
    {
      head: 'RULE',
      cell: ({ rule }) => RULES[rule],
      style: ({ rule }) => (rule === 'clean' ? 'green' : rule === 'unknown' ? 'red' : 'cyan'),
    },
    { head: 'SLOT', cell: ({ pool, slot }) => `${pool}:${slot}`, right: true },
    {
      head: 'SEEN',
      cell: ({ seenAgoMs }) => (seenAgoMs === undefined ? '' : `${span(seenAgoMs)} ago`),
      right: true,
    },
    {
      head: 'TIMEOUT',
      cell: ({ timeoutMs }) => (timeoutMs === undefined ? '' : span(timeoutMs)),
      right: true,
    },
    { head: 'NODE', cell: ({ node = '' }) => node },
  ];
  return [
    items.length === 0
      ? 'no such client is recorded: of clean slots nothing is, and the hash says who answers (--client ADDRESS)'
      : table(screen, columns, items),
    ...(next === undefined
      ? []
      : [screen.paint('dim', `there are more than ${count(items.length)}: give --limit`)]),
    ...unansweredTexts(screen, unanswered),
  ].join('\n\n');
}

export async function explain(
  session: Session,
  given: {
    readonly client: string;
    readonly service: string | undefined;
    readonly without: string | undefined;
    readonly local: boolean;
  },
): Promise<void> {
  const { client, ...options } = given;
  if (options.without !== undefined) splitBackend(options.without);
  const found = await (await session.client()).affinity(client, options);
  if (session.json) session.printJson(found);
  else session.out.print(explanationText(session.out, found));
}

export function explanationText(screen: Screen, { items, unanswered }: AffinityExplanation): string {
  return [...items.map((it) => reportText(screen, it)), ...unansweredTexts(screen, unanswered)].join('\n\n');
}

function reportText(screen: Screen, it: AffinityReport): string {
  const { leaving } = it;
  const width = String(it.conclusions.length).length;
  const said = it.conclusions.map(
    (sentence, index) =>
      `${screen.paint('dim', String(index + 1).padStart(width))}  ${wrapped(sentence, width + 2, screen.columns)}`,
  );
  return [
    facts(screen, [
      ['client', screen.paint('bold', it.client)],
      ['service', `${it.service} at ${it.address}`],
      [
        'backend',
        it.backend === undefined ? screen.paint('red', 'not known') : screen.paint('bold', it.backend),
      ],
      ['rule', RULES[it.rule]],
      ['since', sinceText(it)],
      ['until', untilText(it)],
      ['slot', `${count(it.slot)} of pool ${it.pool}`],
      ['change', it.change && `${it.change}, step ${it.step}`],
      ['current', it.rule === 'clean' ? undefined : it.current],
      ['base', it.base],
      ['owner', it.owner && holderText(it.owner)],
      ['backup', it.backup && holderText(it.backup)],
      ['without', leaving && leavingText(leaving)],
    ]),
    said.join('\n'),
  ].join('\n\n');
}

function sinceText({ since: { what, agoMs } }: AffinityReport): string {
  return agoMs === undefined ? what : `${what}, ${span(agoMs)} ago`;
}

function untilText({ rule, timeoutMs, timeoutLeftMs }: AffinityReport): string {
  if (rule === 'clean') return 'the slot gets another backend';
  if (timeoutLeftMs === undefined) return `silent for ${span(timeoutMs)} once it is recorded`;
  return timeoutLeftMs === 0
    ? `silent for ${span(timeoutMs)}, which it has been`
    : `silent for ${span(timeoutMs)}: ${span(timeoutLeftMs)} left`;
}

function leavingText({ backend, to, drained, dead }: NonNullable<AffinityReport['leaving']>): string {
  if (dead === 'unchanged' && drained === 'unchanged') return `${backend}: nothing changes now`;
  return `${backend}: ${to ?? 'nobody'}, at once if it is dead, after the timeout if it is drained`;
}

type ReleaseGiven = {
  readonly client: string;
  readonly service: string | undefined;
  readonly dryRun: boolean;
  readonly force: boolean;
  readonly yes: boolean;
};

/** In a terminal it asks; who says yes has forced it. */
export async function release(session: Session, given: ReleaseGiven): Promise<number | undefined> {
  const { client: name, service, dryRun, force, yes } = given;
  const client = await session.client();
  let agreed = force;
  if (!dryRun && !force && !yes && session.canAsk) {
    const preview = await client.releaseAffinity(name, { service, dryRun: true, force: true });
    if (preview.action === 'release') {
      session.remark(`${preview.effects.join('\n')}\n`);
      if (!(await session.confirm(`Let client ${preview.client} go?`))) {
        session.remark('nothing was changed');
        return EXIT_INTERRUPTED;
      }
      agreed = true;
    }
  }
  const done = await client.releaseAffinity(name, { service, dryRun, force: agreed });
  if (session.json) session.printJson(done);
  else session.out.print(releaseText(session.out, done));
  return undefined;
}

export function releaseText(
  screen: Screen,
  { dryRun, action, client, effects, unanswered }: AffinityRelease,
): string {
  const end =
    action === 'none'
      ? screen.paint('dim', 'nothing to change')
      : dryRun
        ? screen.paint('yellow', `dry run, nothing was changed: ${client} would be let go`)
        : screen.paint('green', `${client} is let go`);
  return [[...effects, '', end].join('\n'), ...unansweredTexts(screen, unanswered)].join('\n\n');
}
