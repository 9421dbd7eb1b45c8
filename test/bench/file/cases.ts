// Owns what `scripts/bench file` measures of an NFS server: the cases, what each must reach, and the order that leaves
// every case the file and the directory that it expects. Servers are others'.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { FileLoad, LoadFigures, LoadTarget } from './load.ts';

export type FileCase = {
  readonly name: string;
  readonly unit: 'op/s' | 'MB/s';
  /** Of the client. */
  readonly line: string;
  /** Times ganesha's. */
  readonly mustRatio: number;
};

export type MeasuredServer = LoadTarget & {
  readonly name: string;
  /** Where this host has what the server exports as `path`. */
  readonly directory: string;
};

const FILE = '--file bench.data --bytes 67108864';
const FILES = '--directory bench.directory --count 20000 --depth 16';
const SECONDS = '--seconds 2';
const MIB = `--block 1048576 --depth 4 --sequential`;
/** Peak memory of the server that lists it. */
export const LISTING_MUST_MB = 400;
const LARGE_DIRECTORY_FILES = 1_000_000;
const BATCH = 10_000;

export const FILE_CASES: readonly FileCase[] = [
  { name: 'null-qd16', unit: 'op/s', line: `--depth 16 ${SECONDS} null`, mustRatio: 1.8 },
  { name: 'getattr-qd16', unit: 'op/s', line: `--depth 16 ${FILE} ${SECONDS} getattr`, mustRatio: 1.8 },
  ...[1, 16, 64].map((depth): FileCase => {
    const line = `--depth ${depth} ${FILE} ${SECONDS} read`;
    return { name: `read-4k-qd${depth}`, unit: 'op/s', line, mustRatio: depth === 1 ? 0.6 : 2 };
  }),
  { name: 'read-1m', unit: 'MB/s', line: `${MIB} ${FILE} ${SECONDS} read`, mustRatio: 0.9 },
  { name: 'write-4k-unstable-qd16', unit: 'op/s', line: `--depth 16 ${FILE} ${SECONDS} write`, mustRatio: 1 },
  { name: 'overwrite-1m-commit', unit: 'MB/s', line: `${MIB} ${FILE} ${SECONDS} overwrite`, mustRatio: 0.9 },
  { name: 'create-qd16', unit: 'op/s', line: `${FILES} create`, mustRatio: 0.8 },
  { name: 'remove-qd16', unit: 'op/s', line: `${FILES} remove`, mustRatio: 0.8 },
];

export function figureOf({ unit }: FileCase, { opsPerSecond, bytesPerSecond }: LoadFigures): number {
  return unit === 'op/s' ? opsPerSecond : bytesPerSecond / 1e6;
}

/** Runs one case; `create` comes before `remove`. */
export async function measure(load: FileLoad, server: LoadTarget, it: FileCase): Promise<LoadFigures> {
  if (it.line.includes(FILE)) await load.run(server, `${FILE} --block 1048576 --depth 4 fill`);
  return await load.run(server, it.line);
}

export type ListingFigures = {
  readonly entriesPerSecond: number;
  readonly seconds: number;
  readonly peakMb: number;
};

/** A directory of a million files, listed completely; and the most memory that the server ever had. */
export async function measureListing(
  load: FileLoad,
  server: MeasuredServer & { readonly pid: number },
): Promise<ListingFigures> {
  const directory = join(server.directory, 'large');
  mkdirSync(directory);
  try {
    for (let first = 0; first < LARGE_DIRECTORY_FILES; first += BATCH) {
      const names = Array.from(
        { length: BATCH },
        (_, index) => `file${String(first + index).padStart(7, '0')}`,
      );
      execFileSync('xargs', ['touch', '--'], { cwd: directory, input: names.join('\n') });
    }
    const line = `--directory large --count ${LARGE_DIRECTORY_FILES} --depth 1 list`;
    const { opsPerSecond, seconds } = await load.run(server, line);
    return { entriesPerSecond: opsPerSecond, seconds, peakMb: peakMemoryMb(server.pid) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function peakMemoryMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const peakKb = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (peakKb === undefined) throw new Error(`/proc/${pid}/status has no VmHWM`);
  return Number(peakKb) / 1024;
}
