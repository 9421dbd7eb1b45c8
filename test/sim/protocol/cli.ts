// Owns the command line of scripts/sim: has histories run on every CPU, and tells how far they are and what they came to.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ATTACKS, type AttackName, attackOf } from './attacks.ts';
import { type Scenario, scenarioOf } from './scenario.ts';
import { summaryLine } from './telling.ts';
import { Total } from './total.ts';
import { type Answer, Workers } from './workers.ts';

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
    return parseArgs({
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        scenario: { type: 'string' },
        attack: { type: 'string' },
        packets: { type: 'string' },
        trace: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

const given = readArguments();
if (given.attack !== undefined && !(given.attack in ATTACKS))
  fail(`--attack is one of ${Object.keys(ATTACKS).join(', ')}`);

/** Attacks and random histories in turn, unless one attack is asked for. */
function historyOf(seed: number): Scenario {
  if (given.attack !== undefined) return attackOf(given.attack as AttackName, seed);
  const names = Object.keys(ATTACKS) as AttackName[];
  const turn = seed % (2 * names.length);
  return turn < names.length ? attackOf(names[turn]!, seed) : scenarioOf(seed);
}

function tell({ result, short }: Answer): void {
  const { seed } = result.scenario;
  mkdirSync(OUT, { recursive: true });
  const path = join(OUT, `seed-${seed}.json`);
  writeFileSync(path, `${JSON.stringify(short!.scenario, null, 2)}\n`);
  console.log(`\n${short!.text}\n`);
  if (given.scenario === undefined)
    console.log(
      `the whole history:  scripts/sim --seed ${seed} --seeds 1${given.attack ? ` --attack ${given.attack}` : ''}`,
    );
  console.log(`this short one:     scripts/sim --scenario ${path} --trace`);
  console.log('to keep it:         move it to test/sim/protocol/regressions/, which the tests run\n');
}

function scenarioAt(seed: number): Scenario {
  return given.scenario === undefined
    ? historyOf(seed)
    : (JSON.parse(readFileSync(given.scenario, 'utf8')) as Scenario);
}

// A history in a file is one history; --packets runs as many as it takes.
const packets = numberOf('packets', given.packets, Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER);
const absent = given.packets === undefined ? SEEDS_DEFAULT : SEEDS_MAX;
const count = given.scenario === undefined ? numberOf('seeds', given.seeds, absent, 1, SEEDS_MAX) : 1;
// Whoever names no seed wants others than last time; the seeds are printed.
const random = Math.floor(Math.random() * (SEED_LIMIT - count));
const first = numberOf('seed', given.seed, random, 0, SEED_LIMIT - 1);
const startedMs = performance.now();
const secondsSoFar = (): number => (performance.now() - startedMs) / 1_000;
const total = new Total();
const workers = new Workers();
let begun = 0;
// One history after the other in each worker: none begins after one that broke a rule.
await Promise.all(
  Array.from({ length: Math.min(count, workers.count) }, async () => {
    while (begun < count && total.broken === 0 && total.count('delivered') < packets) {
      const scenario = scenarioAt((first + begun++) % SEED_LIMIT);
      const answer = await workers.run({ scenario, options: { isTraced: given.trace }, isShortened: true });
      total.add(answer.result);
      const of = given.packets === undefined ? `${total.histories}/${count}` : `${total.histories}`;
      console.log(`${of} ${secondsSoFar().toFixed(0).padStart(4)} s  ${summaryLine(answer.result)}`);
      if (given.trace) for (const { line } of answer.result.trace) console.log(line);
      if (answer.result.findings.length > 0) tell(answer);
    }
  }),
);
workers.close();
console.log(`packets by reason: ${JSON.stringify(total.reasons)}`);
console.log(`events of flows: ${JSON.stringify(total.events)}`);
console.log(total.line(secondsSoFar()));
process.exitCode = total.broken === 0 ? 0 : 1;
