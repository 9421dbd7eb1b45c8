// Owns the command line of scripts/sim: runs seeds, tells what they came to, and shortens the history of one that breaks
// a rule.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ALONE } from './lib/judgement.ts';
import { HostPrograms } from './lib/nodes.ts';
import { type Scenario, scenarioOf } from './lib/scenario.ts';
import { shrink } from './lib/shrink.ts';
import { type Result, simulate } from './lib/simulation.ts';
import { summaryLine, toleratedText, violationText } from './lib/telling.ts';

const SEEDS_DEFAULT = 20;
const SEEDS_MAX = 1_000_000;
const SEED_LIMIT = 2 ** 32;
const OUT = 'out/sim';

function fail(text: string): never {
  console.error(`scripts/sim: ${text}`);
  process.exit(2);
}

function numberOf(name: string, text: string | undefined, absent: number, min: number, max: number): number {
  const value = text === undefined ? absent : Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    fail(`--${name} must be ${min}-${max}, got ${text}`);
  return value;
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        scenario: { type: 'string' },
        strict: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

function* scenarios({ seeds, seed, scenario }: ReturnType<typeof readArguments>): Generator<Scenario> {
  if (scenario !== undefined) {
    yield JSON.parse(readFileSync(scenario, 'utf8')) as Scenario;
    return;
  }
  const count = numberOf('seeds', seeds, SEEDS_DEFAULT, 1, SEEDS_MAX);
  // Whoever names no seed wants others than last time; the seeds are printed.
  const first = numberOf('seed', seed, Math.floor(Math.random() * (SEED_LIMIT - count)), 0, SEED_LIMIT - 1);
  for (let at = 0; at < count; at++) yield scenarioOf((first + at) % SEED_LIMIT);
}

/** Tells of a broken rule, and keeps the short history for test/sim/regressions. */
async function tell(result: Result, run: (scenario: Scenario) => Promise<Result>): Promise<void> {
  const { seed } = result.scenario;
  const shortest = await shrink(result, run);
  mkdirSync(OUT, { recursive: true });
  const path = join(OUT, `seed-${seed}.json`);
  writeFileSync(path, `${JSON.stringify(shortest.scenario, null, 2)}\n`);
  console.log(`\nseed ${seed}: ${violationText(result, shortest)}\n`);
  console.log(`again: scripts/sim --seed ${seed} --seeds 1`);
  console.log(`the short history: scripts/sim --scenario ${path}; to keep it: test/sim/regressions/`);
}

const given = readArguments();
const tolerance = given.strict ? {} : ALONE;
const hosts = await HostPrograms.load();
const run = async (scenario: Scenario): Promise<Result> => {
  try {
    return await simulate(scenario, hosts.decaps, { tolerance });
  } catch (cause) {
    throw new Error(`seed ${scenario.seed} could not be carried out`, { cause });
  }
};
const total = { seeds: 0, packets: 0, broken: 0 };
const reasons: Record<string, number> = {};
const tolerated: Record<string, number> = {};
const add = (sums: Record<string, number>, counts: Readonly<Record<string, number>>): void => {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
};
try {
  for (const scenario of scenarios(given)) {
    const result = await run(scenario);
    console.log(summaryLine(result));
    if (given.trace) for (const { text } of result.trace) console.log(text);
    total.seeds++;
    total.packets += result.summary.packets;
    total.broken += result.summary.ends.broken;
    add(reasons, result.summary.reasons);
    add(tolerated, result.summary.tolerated);
    if (result.violations.length === 0) continue;
    await tell(result, run);
    process.exitCode = 1;
    break;
  }
} finally {
  hosts.close();
}
const verdict = process.exitCode === 1 ? 'the last one broke a rule' : 'no rule broken';
console.log(`packets by reason: ${JSON.stringify(reasons)}`);
console.log(
  `${total.seeds} seeds, ${total.packets} packets: ${verdict}; tolerated: ${toleratedText(tolerated, total.broken)}`,
);
