// Shows Holdfast at work on this machine: raises a lab, drives real traffic through it while things change, says what
// was promised and what was seen, takes the lab down. Progress goes to standard error, the report to standard output.
import yargs from 'yargs';
import { reportOf } from './demo/report.ts';
import { type Findings, PARTS, runScenario } from './demo/scenario.ts';
import { elapsedMs, stageFor } from './demo/stage.ts';
import { drawTopology, paint } from './drawing.ts';
import { Lab, leftovers, removeLab } from './lab.ts';
import { nextSteps } from './next_steps.ts';
import { BACKENDS_MAX, MUXES_MAX, planLab } from './plan.ts';
import { PROOF_BACKENDS_MIN, PROOF_MUXES_MIN } from './proof/story.ts';

const KEPT_NAME = 'lab';
/** One backend's weight is changed, another is drained. */
const BACKENDS_MIN = 2;

const CONNECTIONS_MAX = 40_000;

const options = await yargs(process.argv.slice(2))
  .scriptName('scripts/demo')
  .usage('$0\n\nRaises muxes, backends and clients in network namespaces and drives traffic through them.')
  .option('keep', { type: 'boolean', default: false, describe: 'leave the lab up' })
  .option('json', { type: 'boolean', default: false, describe: 'print one JSON document' })
  .option('backends', { type: 'number', default: 6, describe: `${BACKENDS_MIN} to ${BACKENDS_MAX}` })
  .option('muxes', { type: 'number', default: 3, describe: `1 to ${MUXES_MAX}` })
  .option('part', {
    choices: PARTS,
    describe: 'play this part only: the tour, or the proof that nothing breaks',
  })
  .option('connections', {
    type: 'number',
    default: 10_000,
    describe: `that the proof holds, 1 to ${CONNECTIONS_MAX}`,
  })
  .option('name', { type: 'string', describe: 'of the lab, where there are several' })
  .check(
    ({ backends }) => backends >= BACKENDS_MIN || `--backends must be ${BACKENDS_MIN} to ${BACKENDS_MAX}`,
  )
  .check(
    ({ muxes, backends, part }) =>
      part === 'tour' ||
      (muxes >= PROOF_MUXES_MIN && backends >= PROOF_BACKENDS_MIN) ||
      `the proof needs --muxes ${PROOF_MUXES_MIN} and --backends ${PROOF_BACKENDS_MIN} at least; --part tour does not`,
  )
  .check(
    ({ connections }) =>
      (Number.isInteger(connections) && connections >= 1 && connections <= CONNECTIONS_MAX) ||
      `--connections must be 1 to ${CONNECTIONS_MAX}`,
  )
  .strict()
  .help()
  .version(false)
  .parseAsync();

const name = options.name ?? (options.keep ? KEPT_NAME : 'demo');
const stage = stageFor(process.stderr);
let isInterrupted = false;

for (const [signal, status] of [
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  // Also when it comes again: what is being taken down must not be left half way.
  process.on(signal, () => {
    if (isInterrupted) return;
    isInterrupted = true;
    stage.close();
    process.stderr.write('interrupted: taking the lab down\n');
    void removeLab(name)
      .catch((error: Error) => process.stderr.write(`${error.message}\n`))
      .finally(() => process.exit(status));
  });
}

try {
  process.exitCode = await demonstrate();
} catch (error) {
  stage.close();
  // What fails then, fails because the lab goes away; the signal's exit status is on its way.
  if (!isInterrupted) {
    process.stderr.write(`${paint('red', 'failed:', process.stderr)} ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}

async function demonstrate(): Promise<number> {
  const { backends, muxes, connections, part } = options;
  const size = { name, backends, muxes, store: 'etcd', routes: 'bird' } as const;
  if (!options.json) process.stdout.write(`\n${drawTopology(planLab(size), process.stdout.columns)}\n\n`);
  stage.now('raising the lab');
  const lab = await Lab.raise(size);
  const raisedMs = elapsedMs();
  let found: Findings;
  try {
    found = await runScenario(lab, stage, { connections, parts: part === undefined ? PARTS : [part] });
  } catch (error) {
    await lab.down();
    throw error;
  }
  const problems = found.acts.flatMap(({ title, checks }) =>
    checks.filter(({ kept }) => !kept).map(({ expected, seen }) => `${title}: ${expected}: ${seen}`),
  );
  if (options.keep) {
    await lab.keep();
  } else {
    stage.now('taking the lab down');
    await lab.down();
    problems.push(...leftovers(name).map((what) => `left behind: ${what}`));
  }
  stage.close();
  const outcome = { problems, raisedMs, totalMs: elapsedMs() };
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ plan: lab.plan, ...found, ...outcome, kept: options.keep })}\n`);
  } else {
    process.stdout.write(reportOf(found, outcome));
    if (options.keep) process.stdout.write(`\nThe lab stays up. ${nextSteps(lab.plan)}\n`);
  }
  return problems.length === 0 ? 0 : 1;
}
