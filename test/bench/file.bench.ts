// The file service, as one NFSv3 client sees it, side by side with nfs-ganesha on the same directory. Until there is a
// server of ours to compare, it tells what ganesha does here.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Ganesha } from '../lab/vm/ganesha.ts';
import { Site } from '../lab/vm/site.ts';
import { FILE_CASES, figureOf, type MeasuredServer, measure, measureListing } from './file/cases.ts';
import { FileLoad } from './file/load.ts';
import type { Report } from './lib/report.ts';

export const description = 'NFSv3 calls by one asynchronous client on one connection: nfs-ganesha';

/** In memory: what is compared is servers, not disks. */
const STORAGE = '/dev/shm';
const ROUNDS = 3;

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

async function measureAll(report: Report, site: Site, directory: string): Promise<void> {
  const { netns, address4: address } = site;
  const path = join(directory, 'shared');
  mkdirSync(path);
  const options = {
    netns,
    address,
    directory: site.path('ganesha'),
    exports: [{ path }],
    record: site.record,
  };
  const ganesha = new Ganesha(options);
  await ganesha.start();
  try {
    const { port, mountPort, pid } = ganesha;
    const server: MeasuredServer = { name: 'ganesha', address, port, mountPort, path, directory: path };
    const load = new FileLoad(netns);
    for (const [samples, it] of await rounds(load, server))
      report.add({ case: it.name, unit: it.unit, samples });
    const { peakMb, entriesPerSecond } = await measureListing(load, { ...server, pid: pid! });
    report.add({ case: 'readdirplus-1m', unit: 'MB', value: peakMb });
    report.add({ case: 'readdirplus-1m-speed', unit: 'entries/s', value: entriesPerSecond });
  } finally {
    await ganesha.stop();
  }
}

async function rounds(load: FileLoad, server: MeasuredServer) {
  const samples = FILE_CASES.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, it] of FILE_CASES.entries())
      samples[index]!.push(figureOf(it, await measure(load, server, it)));
  return FILE_CASES.map((it, index) => [samples[index]!, it] as const);
}
