// Owns the command line of `scripts/sim --model affinity`: runs histories of the filter protocol one after the other, tells
// what they came to, and shows the shortest story of the first that breaks something.
import { parseArgs } from 'node:util';
import { ATTACKS, type AttackName, attackOf } from './attacks.ts';
import { type HistoryResult, runHistory, story } from './history.ts';
import { RULES, type Rule, rulesWithout } from './rules.ts';

const SEEDS_DEFAULT = 5;
const SEEDS_MAX = 1_000_000;
const STORY_LINES = 40;

function fail(text: string): never {
  console.error(`scripts/sim: ${text}`);
  process.exit(2);
}

function numberOf(name: string, text: string | undefined, absent: number): number {
  const value = text === undefined ? absent : Number(text);
  if (!Number.isInteger(value) || value < 1 || value > SEEDS_MAX)
    fail(`--${name} must be 1-${SEEDS_MAX}, got ${text}`);
  return value;
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        model: { type: 'string' },
        seeds: { type: 'string' },
        seed: { type: 'string' },
        attack: { type: 'string' },
        without: { type: 'string', multiple: true, default: [] },
        trace: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

const given = readArguments();
if (given.model !== 'affinity') fail(`--model is affinity, got ${given.model}`);
if (given.attack !== undefined && !(given.attack in ATTACKS))
  fail(`--attack is one of ${Object.keys(ATTACKS).join(', ')}`);
for (const rule of given.without)
  if (!(rule in RULES)) fail(`--without is one of ${Object.keys(RULES).join(', ')}`);
const rules = rulesWithout(...(given.without as Rule[]));
const first = numberOf('seed', given.seed, 1);
const count = numberOf('seeds', given.seeds, SEEDS_DEFAULT);
const names = given.attack === undefined ? Object.keys(ATTACKS) : [given.attack];

/** Of the history with the fewest events before something broke. */
async function tell({ scenario, findings }: HistoryResult, name: string): Promise<void> {
  const traced = await runHistory(scenario, { rules, isTraced: true });
  console.log(`\n${name}, seed ${scenario.seed}: ${findings[0]!.kind}, ${findings[0]!.text}`);
  console.log(`${story(traced, traced.findings[0]!, STORY_LINES)}\n`);
}

let broken = 0;
let requests = 0;
for (const name of names) {
  const sums: Record<string, number> = {};
  const seeds: number[] = [];
  let earliest: HistoryResult | undefined;
  for (let seed = first; seed < first + count; seed++) {
    const result = await runHistory(attackOf(name as AttackName, seed), { rules, isTraced: given.trace });
    if (given.trace) for (const { line } of result.trace) console.log(line);
    for (const [kind, found] of Object.entries({ ...result.counts, ...result.found }))
      sums[kind] = (sums[kind] ?? 0) + found;
    const at = result.findings[0]?.atNs ?? Number.POSITIVE_INFINITY;
    if (at < (earliest?.findings[0]?.atNs ?? Number.POSITIVE_INFINITY)) earliest = result;
    if (result.findings.length > 0) seeds.push(seed);
    broken += result.findings.length > 0 ? 1 : 0;
  }
  requests += sums.requests!;
  const { double, unanswered, unserved, reset, moved } = sums;
  if (given.seeds !== undefined && names.length === 1) console.log(`broken seeds: ${seeds.join(' ')}`);
  console.log(
    `${name.padEnd(14)} requests ${sums.requests} moves ${sums.moves} queries ${sums.queries}: double ${double} unanswered ${unanswered} unserved ${unserved} reset ${reset} moved ${moved}`,
  );
  if (earliest !== undefined) await tell(earliest, name);
}
console.log(`${names.length * count} histories, ${requests} requests, ${broken} broken`);
process.exitCode = broken === 0 ? 0 : 1;
