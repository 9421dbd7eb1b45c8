// Slot tables: the time to build and to change one, and how many flows of backends that stay move to another one when
// others leave, against Maglev hashing.
import { assignSlots } from '../../control/pool/assignment.ts';
import { maglevTable } from './lib/maglev.ts';
import type { Report } from './lib/report.ts';
import { statistics } from './lib/statistics.ts';

export const description =
  'building and changing slot tables of 65,537 slots, and the flows that a change moves';

const SLOTS = 65_537;
const BACKENDS = 1_000;
/** Of them, in a change: as many others come. */
const REPLACED = 10;
const ROUNDS = 15;
const SURVIVOR_BACKENDS = 100;
const SURVIVOR_ROUNDS = 10;

export async function run(report: Report): Promise<void> {
  const samples = { build: [] as number[], change: [] as number[] };
  // The first round warms up and is not counted.
  for (let round = 0; round <= ROUNDS; round++) {
    const before = equalWeights(range(1, BACKENDS));
    const [table, buildMs] = timed(() => assignSlots(new Uint16Array(SLOTS), before));
    const after = equalWeights([
      ...range(1, BACKENDS).filter((backend) => backend % (BACKENDS / REPLACED) !== round),
      ...range(BACKENDS + 1, REPLACED),
    ]);
    const [changed, changeMs] = timed(() => assignSlots(table, after));
    verifyShares(table, before);
    verifyShares(changed, after);
    verifyMoves(table, changed, after);
    if (round === 0) continue;
    samples.build.push(buildMs);
    samples.change.push(changeMs);
  }
  report.add({ case: `build-${BACKENDS}`, unit: 'ms', samples: samples.build, must: { atMost: 50 } });
  report.add({ case: `change-${BACKENDS}`, unit: 'ms', samples: samples.change, must: { atMost: 50 } });
  for (const leaving of [1, 10]) reportSurvivors(report, leaving);
}

/** Percent of the flows of backends that stay, a slot standing for as many flows as any other. */
function reportSurvivors(report: Report, leaving: number): void {
  const all = range(1, SURVIVOR_BACKENDS);
  const ours = assignSlots(new Uint16Array(SLOTS), equalWeights(all));
  const maglev = maglevTable(all, SLOTS);
  const percents = { ours: [] as number[], maglev: [] as number[] };
  for (let round = 0; round < SURVIVOR_ROUNDS; round++) {
    const gone = new Set(
      range(0, leaving).map((at) => 1 + ((round + at * SURVIVOR_ROUNDS) % SURVIVOR_BACKENDS)),
    );
    const staying = all.filter((backend) => !gone.has(backend));
    percents.ours.push(movedPercent(ours, assignSlots(ours, equalWeights(staying)), gone));
    percents.maglev.push(movedPercent(maglev, maglevTable(staying, SLOTS), gone));
  }
  report.add({
    case: `moved-survivors-${leaving}-of-${SURVIVOR_BACKENDS}`,
    unit: '% of flows',
    samples: percents.ours,
    reference: 'Maglev',
    referenceValue: statistics(percents.maglev).median,
    must: { atMost: 0 },
  });
}

function movedPercent(before: Uint16Array, after: Uint16Array, gone: ReadonlySet<number>): number {
  const surviving = [...before.keys()].filter((slot) => !gone.has(before[slot]!));
  return (100 * surviving.filter((slot) => before[slot] !== after[slot]).length) / surviving.length;
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first + at);
}

function equalWeights(backends: readonly number[]): Map<number, number> {
  return new Map(backends.map((backend) => [backend, 100]));
}

function timed<T>(work: () => T): [T, number] {
  const started = performance.now();
  const result = work();
  return [result, performance.now() - started];
}

/** Every backend has its share but for one slot, and nobody else has any. */
function verifyShares(table: Uint16Array, weights: ReadonlyMap<number, number>): void {
  const counts = new Map([...weights.keys()].map((backend) => [backend, 0]));
  for (const backend of table) {
    if (!counts.has(backend)) throw new Error(`a slot has backend ${backend}, which is not there`);
    counts.set(backend, counts.get(backend)! + 1);
  }
  for (const [backend, count] of counts) {
    if (Math.abs(count - table.length / weights.size) >= 1)
      throw new Error(`backend ${backend} has ${count} slots`);
  }
}

/** Only what backends had that are gone. */
function verifyMoves(before: Uint16Array, after: Uint16Array, staying: ReadonlyMap<number, number>): void {
  const wrong = before.findIndex((backend, slot) => staying.has(backend) !== (after[slot] === backend));
  if (wrong !== -1) throw new Error(`slot ${wrong} went from backend ${before[wrong]} to ${after[wrong]}`);
}
