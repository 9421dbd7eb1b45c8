// Owns what a report of the file server is in the words of the API: statuses and links by name. Pure.
import type { FileClient, FileFigures, FilesStats } from '../../api/schema.ts';
import { MOUNT3, MOUNTSTAT3 } from '../../file/codec/mount.ts';
import { NFS3 } from '../../file/codec/nfs3.ts';
import { NFSSTAT3 } from '../../file/codec/nfs3_constants.ts';
import { type Figures, LATENCY_ENDS_US, quantileUs } from '../../file/core/statistics.ts';
import type { Namespace } from '../../file/namespace/document.ts';
import { pathOf } from '../../file/namespace/lookup.ts';
import type { FileReport } from '../../file/server/messages.ts';

const namesOf = (statuses: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(statuses).map(([name, value]) => [value, name]));

const PROGRAMS: ReadonlyMap<
  number,
  { readonly name: string; readonly statuses: ReadonlyMap<number, string> }
> = new Map([
  [NFS3.number, { name: 'nfs', statuses: namesOf(NFSSTAT3) }],
  [MOUNT3.number, { name: 'mount', statuses: namesOf(MOUNTSTAT3) }],
]);
const OTHER_PROGRAM = { name: 'portmap', statuses: new Map<number, string>() };

export function statsOf(
  report: FileReport,
  { namespace, nowMs }: { readonly namespace: () => Namespace | undefined; readonly nowMs: () => number },
): FilesStats {
  const { startedAtMs, connections, slow, closed, refused, duplicates, storages } = report;
  const known = namespace();
  return {
    atMs: nowMs(),
    startedAtMs,
    connections,
    clientsConnected: report.clients.filter((it) => it.connections > 0).length,
    slow,
    latencyEndsUs: [...LATENCY_ENDS_US],
    procedures: report.procedures.map(({ program, name, statuses, ...figures }) => {
      const table = PROGRAMS.get(program) ?? OTHER_PROGRAM;
      return {
        program: table.name,
        procedure: name,
        statuses: Object.fromEntries(
          statuses.map(([status, count]) => [table.statuses.get(status) ?? String(status), count]),
        ),
        ...figuresOf(figures),
      };
    }),
    links: report.links.flatMap(({ id, ...figures }) => {
      const path = known && pathOf(known, id);
      return path === undefined ? [] : [{ path, id, ...figuresOf(figures) }];
    }),
    otherLinks: figuresOf(report.otherLinks),
    closed: { ...closed },
    refused: { ...refused },
    duplicates: { ...duplicates },
    storages: storages.map((it) => ({ ...it })),
  };
}

export function clientsOf({ clients, mounts }: FileReport): FileClient[] {
  const mounted = Map.groupBy(mounts, ({ client }) => client);
  return clients.map(({ address, connections, inFlight, waiting, idleMs, ...figures }) => ({
    address,
    connections,
    inFlight,
    waiting,
    idleMs,
    mounts: (mounted.get(address) ?? []).map(({ path }) => path),
    ...figuresOf(figures),
  }));
}

function figuresOf({ requests, errors, inBytes, outBytes, totalUs, latencies }: Figures): FileFigures {
  const finite = (us: number | undefined) => (us === undefined || us === Infinity ? undefined : us);
  const [p50Us, p99Us] = [0.5, 0.99].map((share) => finite(quantileUs(latencies, share)));
  return {
    requests,
    errors,
    inBytes,
    outBytes,
    totalUs: Math.round(totalUs),
    latencies: [...latencies],
    ...(p50Us !== undefined && { p50Us }),
    ...(p99Us !== undefined && { p99Us }),
  };
}
