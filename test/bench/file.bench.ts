// The file service, as one NFSv3 client sees it: ours and nfs-ganesha, side by side on the same directory. Both enforce
// credentials and answer repeated calls from a cache.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastFiles } from '../lab/vm/file_server.ts';
import { Ganesha } from '../lab/vm/ganesha.ts';
import { Site } from '../lab/vm/site.ts';
import {
  FILE_CASES,
  type FileCase,
  figureOf,
  LISTING_MUST_MB,
  type MeasuredServer,
  measure,
  measureListing,
} from './file/cases.ts';
import { FileLoad } from './file/load.ts';
import type { Report } from './lib/report.ts';

export const description = 'NFSv3 calls by one asynchronous client on one connection: ours and nfs-ganesha';

/** In memory: what is compared is servers, not disks. */
const STORAGE = process.env.HOLDFAST_BENCH_STORAGE ?? '/dev/shm';
const ROUNDS = Number(process.env.HOLDFAST_BENCH_ROUNDS ?? 3);
const LISTING = 'readdirplus-1m';
/** HOLDFAST_BENCH_CASES=read-4k-qd16,read-1m: only these. */
const CHOSEN = process.env.HOLDFAST_BENCH_CASES?.split(',');

export async function run(report: Report): Promise<void> {
  const directory = mkdtempSync(join(STORAGE, 'holdfast-bench-'));
  const site = await Site.raise(`b${process.pid}`);
  try {
    await measureAll(report, site, directory);
  } finally {
    await site.down();
    rmSync(directory, { recursive: true });
  }
}

/** One runs at a time: both have the port of NFS. */
type Runs = {
  readonly name: string;
  /** Where clients mount the directory. */
  readonly path: string;
  readonly start: () => Promise<{
    readonly port: number;
    readonly mountPort: number;
    readonly pid: number | undefined;
    readonly stop: () => Promise<void>;
  }>;
};

async function measureAll(report: Report, site: Site, directory: string): Promise<void> {
  const { netns, address4: address, record } = site;
  const path = join(directory, 'shared');
  mkdirSync(path);
  const servers: readonly Runs[] = [
    {
      name: 'ganesha',
      path,
      start: () =>
        started(
          new Ganesha({ netns, address, directory: site.path('ganesha'), exports: [{ path }], record }),
        ),
    },
    {
      name: 'ours',
      path: '/shared',
      start: () =>
        started(
          new HoldfastFiles({
            ...{ netns, address, record },
            directory: site.path('ours'),
            exports: [{ name: 'shared', path }],
          }),
        ),
    },
  ];
  const load = new FileLoad(netns);
  const cases = FILE_CASES.filter(({ name }) => CHOSEN?.includes(name) ?? true);
  const figures = new Map(servers.map(({ name }) => [name, cases.map((): number[] => [])]));
  // In turn, so that what else the machine does meets both.
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, path: mounted, start } of servers) {
      const running = await start();
      const { port, mountPort } = running;
      const server: MeasuredServer = { name, address, port, mountPort, path: mounted, directory: path };
      try {
        for (const [index, it] of cases.entries())
          figures.get(name)![index]!.push(figureOf(it, await measure(load, server, it)));
      } finally {
        await running.stop();
      }
    }
  }
  for (const [index, it] of cases.entries())
    addCase(report, it, figures.get('ours')![index]!, figures.get('ganesha')![index]!);
  if (CHOSEN?.includes(LISTING) === false) return;
  const listings = [];
  for (const { name, path: mounted, start } of servers) {
    const running = await start();
    const { port, mountPort, pid } = running;
    const server = { name, address, port, mountPort, path: mounted, directory: path, pid: pid! };
    listings.push(await measureListing(load, server));
    await running.stop();
  }
  const [theirs, ours] = listings;
  const must = { atMost: LISTING_MUST_MB };
  // The value counts, not the ratio.
  report.add({ case: LISTING, unit: 'MB', value: ours!.peakMb, must });
  report.add({ case: 'readdirplus-1m-ganesha', unit: 'MB', value: theirs!.peakMb });
  report.add({
    case: 'readdirplus-1m-speed',
    unit: 'entries/s',
    value: ours!.entriesPerSecond,
    reference: 'ganesha',
    referenceValue: theirs!.entriesPerSecond,
  });
}

function addCase(
  report: Report,
  { name, unit, mustRatio }: FileCase,
  samples: number[],
  theirs: number[],
): void {
  const sorted = [...theirs].sort((a, b) => a - b);
  const referenceValue = sorted[sorted.length >> 1]!;
  report.add({
    case: name,
    unit,
    samples,
    reference: 'ganesha',
    referenceValue,
    must: { atLeast: mustRatio },
  });
}

async function started<T extends { start: () => Promise<void>; stop: () => Promise<void> }>(server: T) {
  await server.start();
  return server;
}
