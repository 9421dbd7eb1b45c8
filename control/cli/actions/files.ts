// Owns `holdfast files …`.
import type { Client } from '../../api/client.ts';
import type { FileClient, FilesStats } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';
import { failureLines } from '../exit.ts';
import {
  countRows,
  type FileCounts,
  type FileRates,
  type FileRow,
  type FilesTopBy,
  fileRatesBetween,
  namedFigures,
} from '../file_rates.ts';
import { byteCount, count, counted, dateTime, duration, rate, span } from '../format.ts';
import { onLiveScreen, pause } from '../live_screen.ts';
import type { Screen } from '../screen.ts';
import { secondsOf } from '../seconds.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';

export async function clients(session: Session): Promise<void> {
  const items = await (await session.client()).fileClients();
  if (session.json) session.printJson({ items });
  else session.out.print(clientsText(session.out, items));
}

export async function stats(session: Session, given: { readonly watch: string | undefined }): Promise<void> {
  const client = await session.client();
  if (given.watch !== undefined)
    return await follow(session, client, secondsOf('--watch', given.watch) * 1_000, 'procedures');
  const found = await client.filesStats();
  if (session.json) session.printJson(found);
  else session.out.print(statsText(session.out, found));
}

export async function top(
  session: Session,
  given: { readonly by: FilesTopBy | undefined; readonly every: string | undefined },
): Promise<void> {
  const client = await session.client();
  const { by = 'clients', every = '1' } = given;
  await follow(session, client, secondsOf('--every', every) * 1_000, by);
}

/** On a terminal until it is interrupted, as everywhere where rates are watched; else a table or a line of JSON each time. */
async function follow(session: Session, client: Client, everyMs: number, by: FilesTopBy): Promise<void> {
  const { out } = session;
  if (session.json) return await eachRates(session, client, everyMs, by, (it) => session.printJsonLine(it));
  if (!out.isTerminal)
    return await eachRates(session, client, everyMs, by, (it) => out.print(`${ratesText(out, it, by)}\n`));
  // What fails at once fails before the screen is taken.
  await client.filesStats();
  await onLiveScreen(out, async (draw) => {
    draw(`first rates in ${everyMs / 1_000} s; Ctrl-C ends`);
    while (!session.signal.aborted) {
      try {
        await eachRates(session, client, everyMs, by, (it) => draw(ratesText(out, it, by)));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        draw([dateTime(Date.now()), '', ...failureLines(out, error.body)].join('\n'));
        await pause(everyMs, session.signal);
      }
    }
  });
}

async function eachRates(
  session: Session,
  client: Client,
  everyMs: number,
  by: FilesTopBy,
  show: (rates: FileRates) => void,
): Promise<void> {
  let before = await countsOf(client, by);
  while (await pause(everyMs, session.signal)) {
    const after = await countsOf(client, by);
    show(fileRatesBetween(before, after, by));
    before = after;
  }
}

async function countsOf(client: Client, by: FilesTopBy): Promise<FileCounts> {
  const [stats, clients] = await Promise.all([
    client.filesStats(),
    by === 'clients' ? client.fileClients() : [],
  ]);
  return { stats, clients };
}

function clientsText(screen: Screen, items: readonly FileClient[]): string {
  if (items.length === 0) return 'no client was here since the server began';
  const rows = [...items].sort((a, b) => b.connections - a.connections || a.idleMs - b.idleMs);
  return table(screen, CLIENT_COLUMNS, rows);
}

const CLIENT_COLUMNS: readonly Column<FileClient>[] = [
  { head: 'CLIENT', cell: ({ address }) => address },
  { head: 'CONNECTIONS', right: true, cell: ({ connections }) => count(connections) },
  {
    head: 'IN FLIGHT',
    right: true,
    cell: ({ inFlight, waiting }) => (waiting ? `${count(inFlight)}, waits` : count(inFlight)),
    style: ({ waiting }) => (waiting ? 'yellow' : undefined),
  },
  { head: 'REQUESTS', right: true, cell: ({ requests }) => count(requests) },
  { head: 'ERRORS', right: true, cell: ({ errors }) => count(errors) },
  { head: 'IN', right: true, cell: ({ inBytes }) => byteCount(inBytes) },
  { head: 'OUT', right: true, cell: ({ outBytes }) => byteCount(outBytes) },
  { head: 'LAST', right: true, cell: ({ idleMs }) => `${span(idleMs)} ago` },
  { head: 'MOUNTS', narrow: 'cut', cell: ({ mounts }) => mounts.join(' ') },
];

function statsText(screen: Screen, it: FilesStats): string {
  const { duplicates, closed } = it;
  const reasons = Object.entries(closed).map(([reason, amount]) => `${count(amount)} ${reason}`);
  const head = facts(screen, [
    ['server', `up ${duration(it.atMs - it.startedAtMs)}, ${counted(it.connections, 'connection')}`],
    ['slow', counted(it.slow, 'request')],
    ['repeated', `${count(duplicates.hits)} answered as before, ${count(duplicates.kept)} answers kept`],
    ['closed', reasons.length === 0 ? undefined : reasons.join(', ')],
    ...it.storages.map(
      ({ name, directory, type }) =>
        ['storage', `${name} ${directory}, ${type ?? screen.paint('red', 'not served')}`] as const,
    ),
  ]);
  const rows = countRows(namedFigures({ stats: it, clients: [] }, 'procedures'), it.latencyEndsUs);
  const links = countRows(namedFigures({ stats: it, clients: [] }, 'links'), it.latencyEndsUs);
  return [
    head,
    table(
      screen,
      countColumns('PROCEDURE'),
      [...rows].sort((a, b) => b.requests - a.requests),
    ),
    ...(links.length === 0
      ? []
      : [
          table(
            screen,
            countColumns('LINK'),
            [...links].sort((a, b) => b.requests - a.requests),
          ),
        ]),
  ].join('\n\n');
}

function countColumns(what: string): readonly Column<FileRow>[] {
  return [
    { head: what, cell: (it) => it.what },
    { head: 'REQUESTS', right: true, cell: ({ requests }) => count(requests) },
    { head: 'ERRORS', right: true, cell: ({ errors }) => count(errors) },
    { head: 'IN', right: true, cell: ({ inBytes }) => byteCount(inBytes) },
    { head: 'OUT', right: true, cell: ({ outBytes }) => byteCount(outBytes) },
    ...TIME_COLUMNS,
  ];
}

const TIME_COLUMNS: readonly Column<FileRow>[] = [
  { head: 'MEAN', right: true, cell: ({ meanUs }) => micros(meanUs) },
  { head: 'P99', right: true, cell: ({ p99Us }) => (p99Us === Infinity ? '>10 s' : micros(p99Us, '≤')) },
];

const HEADS = { clients: 'CLIENT', links: 'LINK', procedures: 'PROCEDURE' } as const;

function ratesText(screen: Screen, { atMs, seconds, connections, rows }: FileRates, by: FilesTopBy): string {
  const head = `${dateTime(atMs)}  ${screen.paint('dim', `per second, over ${seconds.toFixed(1)} s; ${counted(connections, 'connection')}`)}`;
  const columns: readonly Column<FileRow>[] = [
    { head: HEADS[by], cell: (it) => it.what },
    { head: 'REQUESTS', right: true, cell: ({ requests }) => rate(requests) },
    { head: 'ERRORS', right: true, cell: ({ errors }) => rate(errors) },
    { head: 'IN', right: true, cell: ({ inBytes }) => byteCount(Math.round(inBytes)) },
    { head: 'OUT', right: true, cell: ({ outBytes }) => byteCount(Math.round(outBytes)) },
    ...TIME_COLUMNS,
  ];
  const shown = screen.isTerminal ? rows.slice(0, Math.max(1, screen.rows - 4)) : rows;
  return [head, '', rows.length === 0 ? 'no requests' : table(screen, columns, shown)].join('\n');
}

function micros(us: number | undefined, sign = ''): string {
  if (us === undefined) return '-';
  if (us < 1_000) return `${sign}${Math.round(us)} µs`;
  return us < 1_000_000 ? `${sign}${(us / 1_000).toFixed(1)} ms` : `${sign}${(us / 1_000_000).toFixed(1)} s`;
}
