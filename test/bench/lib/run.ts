// Owns the command line of scripts/bench: lists the benchmarks, or runs some and writes what they report to out/bench.
//
// Results go to file descriptor 3, which scripts/bench makes the real standard output; standard output is where the
// benchmarks, and the programs they start, may say what they like.
import { mkdirSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatBars } from './bars.ts';
import { plot } from './plot.ts';
import { type BenchRecord, Report } from './report.ts';
import { formatTable } from './table.ts';

interface Bench {
  readonly description: string;
  /** Its values lie orders of magnitude apart: they are shown as bars, too. */
  readonly bars?: boolean;
  run(report: Report): Promise<void>;
}

const BENCHES = join(import.meta.dirname, '..');
const OUT = 'out/bench';
const SUFFIX = '.bench.ts';
const RESULTS_FD = 3;

function print(text: string): void {
  writeSync(RESULTS_FD, `${text}\n`);
}

function names(): string[] {
  const files = readdirSync(BENCHES).filter((file) => file.endsWith(SUFFIX));
  return files.map((file) => file.slice(0, -SUFFIX.length)).sort();
}

async function load(name: string): Promise<Bench> {
  const bench = (await import(join(BENCHES, `${name}${SUFFIX}`))) as Partial<Bench>;
  if (typeof bench.description !== 'string' || typeof bench.run !== 'function') {
    throw new TypeError(`test/bench/${name}${SUFFIX} must export description and run(report)`);
  }
  return bench as Bench;
}

async function list(): Promise<void> {
  if (names().length === 0) print('there are no benchmarks yet: one is test/bench/NAME.bench.ts');
  const width = Math.max(...names().map((name) => name.length));
  for (const name of names()) print(`${name.padEnd(width)}  ${(await load(name)).description}`);
}

async function runOne(name: string, json: boolean): Promise<readonly BenchRecord[]> {
  const { description, bars = false, run } = await load(name);
  if (!json) print(`${name}: ${description}`);
  // JSON goes out case by case: a reader sees progress, and an interrupted run keeps what it had.
  const report = new Report(name, (record) => json && print(JSON.stringify(record)));
  await run(report);
  if (report.records.length === 0) throw new Error(`${name} reported nothing`);
  mkdirSync(OUT, { recursive: true });
  writeFileSync(join(OUT, `${name}.svg`), plot(name, description, report.records));
  writeFileSync(
    join(OUT, `${name}.jsonl`),
    report.records.map((record) => `${JSON.stringify(record)}\n`).join(''),
  );
  if (json) return report.records;
  print(formatTable(report.records));
  if (bars) print(`\n${formatBars(report.records)}\n`);
  print(`${OUT}/${name}.svg\n`);
  return report.records;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, check: { type: 'boolean', default: false } },
});

const unknown = positionals.filter((name) => !names().includes(name));
if (unknown.length > 0) {
  console.error(`no benchmark is named ${unknown.join(', ')}; there are: ${names().join(', ') || 'none'}`);
  process.exitCode = 2;
} else if (positionals.length === 0) {
  await list();
} else {
  let missed = 0;
  for (const name of positionals) {
    try {
      const records = await runOne(name, values.json);
      missed += records.filter((record) => record.ok === false).length;
    } catch (error) {
      // The other benchmarks still run: their hour must not be lost.
      console.error(`${name}:`, error);
      process.exitCode = 1;
    }
  }
  if (missed > 0) console.error(`${missed} of the musts missed`);
  if (missed > 0 && values.check) process.exitCode = 1;
}
