// Owns the metrics of the file service, as metrics_table.ts has the rest. Labels are bounded: procedures and statuses are of
// tables, links and clients those that the server counts one by one, and of clients only so many, the busiest.
import type { Distribution, Metric, Sample, Value } from './metrics_table.ts';
import type { FileClient, FileFigures, FilesStats } from './schema.ts';

/** Clients that have series of their own; the rest is told by procedure and link all the same. */
export const CLIENT_SERIES_MAX = 200;
/** Links that have series of their own. */
export const LINK_SERIES_MAX = 500;

export type FilesSample = { readonly stats: FilesStats; readonly clients: readonly FileClient[] };

type Labelled = FileFigures & { readonly labels: Readonly<Record<string, string>> };

const busiest = <T extends FileFigures>(all: readonly T[], most: number): readonly T[] =>
  all.length <= most ? all : [...all].sort((a, b) => b.requests - a.requests).slice(0, most);

const procedures = ({ stats }: FilesSample): Labelled[] =>
  stats.procedures.map((it) => ({ ...it, labels: { program: it.program, procedure: it.procedure } }));
const links = ({ stats }: FilesSample): Labelled[] =>
  busiest(stats.links, LINK_SERIES_MAX).map((it) => ({ ...it, labels: { link: it.path } }));
const clients = ({ clients }: FilesSample): Labelled[] =>
  busiest(clients, CLIENT_SERIES_MAX).map((it) => ({ ...it, labels: { client: it.address } }));

/** Nothing of a node that does not serve files, or whose server is away. */
const of =
  <T>(read: (files: FilesSample) => readonly T[]) =>
  ({ files }: Sample): readonly T[] =>
    files === undefined ? [] : read(files);

const values = (rows: (it: FilesSample) => Labelled[], field: 'requests' | 'errors') =>
  of((it) => rows(it).map((row): Value => ({ labels: row.labels, value: row[field] })));

const bytes = (rows: (it: FilesSample) => Labelled[]) =>
  of((it) =>
    rows(it).flatMap(({ labels, inBytes, outBytes }): Value[] => [
      { labels: { ...labels, direction: 'in' }, value: inBytes },
      { labels: { ...labels, direction: 'out' }, value: outBytes },
    ]),
  );

const durations = (rows: (it: FilesSample) => Labelled[]) =>
  of((it) => rows(it).map((row) => distributionOf(row, it.stats.latencyEndsUs)));

function distributionOf(
  { labels, latencies, totalUs, requests }: Labelled,
  endsUs: readonly number[],
): Distribution {
  let sum = 0;
  const buckets = endsUs.map((end, bucket) => {
    sum += latencies[bucket] ?? 0;
    return [end / 1e6, sum] as const;
  });
  return { labels, buckets, sum: totalUs / 1e6, count: requests };
}

function byWhat(
  name: string,
  labels: readonly string[],
  what: string,
  rows: (it: FilesSample) => Labelled[],
): Metric[] {
  return [
    {
      name: `holdfast_file_${name}requests_total`,
      type: 'counter',
      labels,
      help: `Requests of the file service, by ${what}.`,
      read: values(rows, 'requests'),
    },
    ...(name === ''
      ? []
      : [
          {
            name: `holdfast_file_${name}errors_total`,
            type: 'counter' as const,
            labels,
            help: `Answers of the file service other than OK, by ${what}.`,
            read: values(rows, 'errors'),
          },
        ]),
    {
      name: `holdfast_file_${name}bytes_total`,
      type: 'counter',
      labels: [...labels, 'direction'],
      help: `Bytes of requests (in) and replies (out), by ${what}.`,
      read: bytes(rows),
    },
    {
      name: `holdfast_file_${name}duration_seconds`,
      type: 'histogram',
      labels,
      help: `How long requests of the file service took, by ${what}.`,
      distributions: durations(rows),
    },
  ];
}

const one = (read: (it: FilesSample) => number) => of((it) => [{ labels: {}, value: read(it) }]);

export const FILE_METRICS: readonly Metric[] = [
  ...byWhat('', ['program', 'procedure'], 'procedure', procedures),
  {
    name: 'holdfast_file_errors_total',
    type: 'counter',
    labels: ['program', 'procedure', 'status'],
    help: 'Answers of the file service other than OK, by procedure and status.',
    read: of(({ stats }) =>
      stats.procedures.flatMap(({ program, procedure, statuses }) =>
        Object.entries(statuses).map(([status, value]) => ({
          labels: { program, procedure, status },
          value,
        })),
      ),
    ),
  },
  ...byWhat('link_', ['link'], `link, of the ${LINK_SERIES_MAX} busiest`, links),
  ...byWhat('client_', ['client'], `client, of the ${CLIENT_SERIES_MAX} busiest`, clients),
  {
    name: 'holdfast_file_connections',
    type: 'gauge',
    labels: [],
    help: 'Connections of clients of the file service.',
    read: one(({ stats }) => stats.connections),
  },
  {
    name: 'holdfast_file_slow_requests_total',
    type: 'counter',
    labels: [],
    help: 'Requests that took longer than file.slowRequestMs.',
    read: one(({ stats }) => stats.slow),
  },
  {
    name: 'holdfast_file_closed_connections_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Connections that the file service closed or did not take, by reason.',
    read: of(({ stats }) =>
      Object.entries(stats.closed).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
  },
  {
    name: 'holdfast_file_duplicate_requests_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Requests that are not to be done twice: answered as before (hit), still being done (inProgress), new (miss).',
    read: of(({ stats: { duplicates } }) =>
      (['hits', 'inProgress', 'misses'] as const).map((it) => ({
        labels: { outcome: it === 'inProgress' ? it : it === 'hits' ? 'hit' : 'miss' },
        value: duplicates[it],
      })),
    ),
  },
  {
    name: 'holdfast_file_storage_pending',
    type: 'gauge',
    labels: ['storage'],
    help: 'Operations that a storage has not answered; absent: it is not served.',
    read: of(({ stats }) =>
      stats.storages.flatMap(({ name, pending }) =>
        pending === undefined ? [] : [{ labels: { storage: name }, value: pending }],
      ),
    ),
  },
];
