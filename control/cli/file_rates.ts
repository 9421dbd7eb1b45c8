// Owns what changed between two counts of the file service: per second, by procedure, link or client. Pure.
import type { FileClient, FileFigures, FilesStats } from '../api/schema.ts';

/** Of one procedure, link or client; counts, or per second. */
export type FileRow = {
  readonly what: string;
  readonly requests: number;
  readonly errors: number;
  readonly inBytes: number;
  readonly outBytes: number;
  /** Microseconds a request; undefined: there was none. */
  readonly meanUs: number | undefined;
  /** No request of 99 in 100 took longer than so long, or than the last bucket: Infinity. */
  readonly p99Us: number | undefined;
};

export type FileRates = {
  readonly atMs: number;
  readonly seconds: number;
  readonly connections: number;
  /** The busiest first. */
  readonly rows: readonly FileRow[];
};

type Named = FileFigures & { readonly what: string };

export const TOP_BY = ['clients', 'links', 'procedures'] as const;
export type FilesTopBy = (typeof TOP_BY)[number];

export type FileCounts = { readonly stats: FilesStats; readonly clients: readonly FileClient[] };

export function namedFigures({ stats, clients }: FileCounts, by: FilesTopBy): Named[] {
  if (by === 'clients') return clients.map((it) => ({ what: it.address, ...it }));
  if (by === 'links') {
    const { otherLinks, links } = stats;
    const others = otherLinks.requests === 0 ? [] : [{ what: 'other links', ...otherLinks }];
    return [...links.map((it) => ({ what: it.path, ...it })), ...others];
  }
  return stats.procedures.map((it) => ({ what: procedureName(it), ...it }));
}

export function procedureName({ program, procedure }: FilesStats['procedures'][number]): string {
  return program === 'nfs' ? procedure : `${program} ${procedure}`;
}

/** What was counted since the server began. */
export function countRows(figures: readonly Named[], endsUs: readonly number[]): FileRow[] {
  return figures.map((it) => rowOf(it, undefined, 1, endsUs));
}

export function fileRatesBetween(before: FileCounts, after: FileCounts, by: FilesTopBy): FileRates {
  const { atMs, latencyEndsUs, connections, startedAtMs } = after.stats;
  const seconds = Math.max(0.001, (atMs - before.stats.atMs) / 1_000);
  // Another server counts from the beginning.
  const isSame = before.stats.startedAtMs === startedAtMs;
  const was = new Map(isSame ? namedFigures(before, by).map((it) => [it.what, it]) : []);
  const rows = namedFigures(after, by)
    .map((it) => rowOf(it, was.get(it.what), seconds, latencyEndsUs))
    .filter(({ requests }) => requests > 0)
    .sort((a, b) => b.requests - a.requests || (a.what < b.what ? -1 : 1));
  return { atMs, seconds, connections, rows };
}

function rowOf(is: Named, was: Named | undefined, seconds: number, endsUs: readonly number[]): FileRow {
  const grown = (field: 'requests' | 'errors' | 'inBytes' | 'outBytes' | 'totalUs') =>
    Math.max(0, is[field] - (was?.[field] ?? 0));
  const requests = grown('requests');
  const latencies = is.latencies.map((count, bucket) => Math.max(0, count - (was?.latencies[bucket] ?? 0)));
  return {
    what: is.what,
    requests: requests / seconds,
    errors: grown('errors') / seconds,
    inBytes: grown('inBytes') / seconds,
    outBytes: grown('outBytes') / seconds,
    meanUs: requests === 0 ? undefined : grown('totalUs') / requests,
    p99Us: quantile(latencies, endsUs, 0.99),
  };
}

function quantile(
  latencies: readonly number[],
  endsUs: readonly number[],
  share: number,
): number | undefined {
  const total = latencies.reduce((sum, it) => sum + it, 0);
  if (total === 0) return undefined;
  let left = total * share;
  for (const [bucket, count] of latencies.entries()) {
    left -= count;
    if (left <= 0) return endsUs[bucket] ?? Infinity;
  }
  return Infinity;
}
