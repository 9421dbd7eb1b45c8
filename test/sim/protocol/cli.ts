// Owns the command line of scripts/sim: runs histories on every CPU, tells what they came to, and shortens one that breaks a
// rule.
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ATTACKS, type AttackName, attackOf } from './attacks.ts';
import { type HistoryResult, runHistory } from './history.ts';
import { type Scenario, scenarioOf } from './scenario.ts';
import { shrink } from './shrink.ts';
import { findingText, summaryLine } from './telling.ts';

const SEEDS_DEFAULT = 20;
const SEEDS_MAX = 1_000_000;
const SEED_LIMIT = 2 ** 32;
const OUT = 'out/sim';
/** A child's share of the seeds, told to it by its parent. */
const SHARE = 'HOLDFAST_SIM_SHARE';

type Total = {
  seeds: number;
  delivered: number;
  misdirected: number;
  broken: number;
  reasons: Record<string, number>;
};

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

async function tell(result: HistoryResult): Promise<void> {
  const { seed } = result.scenario;
  const shortest = await shrink(result, (scenario) => runHistory(scenario));
  const traced = await runHistory(shortest.scenario, { isTraced: true });
  mkdirSync(OUT, { recursive: true });
  const path = join(OUT, `seed-${seed}.json`);
  writeFileSync(path, `${JSON.stringify(shortest.scenario, null, 2)}\n`);
  console.log(`\nseed ${seed}: ${findingText(traced)}\n`);
  console.log(
    `again: scripts/sim --seed ${seed} --seeds 1${given.attack ? ` --attack ${given.attack}` : ''}`,
  );
  console.log(
    `the short history: scripts/sim --scenario ${path}; to keep it: test/sim/protocol/regressions/`,
  );
}

async function runSeeds(first: number, count: number, step: number, packets: number): Promise<Total> {
  const total: Total = { seeds: 0, delivered: 0, misdirected: 0, broken: 0, reasons: {} };
  for (let at = 0; at < count && total.delivered < packets; at += step) {
    const seed = (first + at) % SEED_LIMIT;
    const scenario =
      given.scenario === undefined
        ? historyOf(seed)
        : (JSON.parse(readFileSync(given.scenario, 'utf8')) as Scenario);
    const result = await runHistory(scenario, { isTraced: given.trace });
    console.log(summaryLine(result));
    if (given.trace) for (const { line } of result.trace) console.log(line);
    total.seeds++;
    total.delivered += result.counts.delivered!;
    total.misdirected += result.counts.misdirected!;
    for (const [name, times] of Object.entries(result.reasons))
      total.reasons[name] = (total.reasons[name] ?? 0) + times;
    if (result.findings.length === 0) continue;
    total.broken++;
    await tell(result);
    break;
  }
  return total;
}

const share = process.env[SHARE];
if (share !== undefined) {
  const [first, count, step, packets] = share.split(' ').map(Number) as [number, number, number, number];
  process.send!(await runSeeds(first, count, step, packets));
  process.disconnect();
} else {
  // A history in a file is one history; --packets runs as many as it takes.
  const packets = numberOf('packets', given.packets, Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER);
  const absent = given.packets === undefined ? SEEDS_DEFAULT : SEEDS_MAX;
  const count = given.scenario === undefined ? numberOf('seeds', given.seeds, absent, 1, SEEDS_MAX) : 1;
  // Whoever names no seed wants others than last time; the seeds are printed.
  const first = numberOf(
    'seed',
    given.seed,
    Math.floor(Math.random() * (SEED_LIMIT - count)),
    0,
    SEED_LIMIT - 1,
  );
  const jobs = Math.min(count, availableParallelism());
  const startedMs = performance.now();
  const totals = await Promise.all(
    Array.from({ length: jobs }, (_, job) =>
      inChild(`${first + job} ${count - job} ${jobs} ${Math.ceil(packets / jobs)}`),
    ),
  );
  const seconds = (performance.now() - startedMs) / 1_000;
  const sum = (pick: (total: Total) => number): number => totals.reduce((all, it) => all + pick(it), 0);
  const names = [...new Set(totals.flatMap(({ reasons }) => Object.keys(reasons)))].sort();
  const reasons = Object.fromEntries(names.map((name) => [name, sum((it) => it.reasons[name] ?? 0)]));
  console.log(`packets by reason: ${JSON.stringify(reasons)}`);
  const delivered = sum((it) => it.delivered);
  console.log(
    `${sum((it) => it.seeds)} histories, ${delivered} packets delivered, ${sum((it) => it.misdirected)} misdirected; ` +
      `${seconds.toFixed(0)} s, ${Math.round(delivered / seconds)} packets a second on ${jobs} CPUs: ` +
      (sum((it) => it.broken) === 0 ? 'no rule broken' : 'a rule was broken'),
  );
  process.exitCode = sum((it) => it.broken) === 0 ? 0 : 1;
}

function inChild(said: string): Promise<Total> {
  const child = fork(import.meta.filename, process.argv.slice(2), { env: { ...process.env, [SHARE]: said } });
  return new Promise((resolve, reject) => {
    let total: Total | undefined;
    child.on('message', (message) => {
      total = message as Total;
    });
    child.on('exit', (status) => {
      if (total !== undefined) resolve(total);
      else reject(new Error(`a simulation ended with status ${status}`));
    });
  });
}
