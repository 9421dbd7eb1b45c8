// Muxes that run the real program and the real control cores: no packet of an established flow reaches another server,
// whatever happens. More histories: scripts/sim.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ATTACKS, type AttackName, attackOf } from './protocol/attacks.ts';
import { type Scenario, scenarioOf } from './protocol/scenario.ts';
import { Total } from './protocol/total.ts';
import { type Answer, Workers } from './protocol/workers.ts';

const RANDOM_SEEDS = 30;
const ATTACK_SEEDS = 2;
/** What the histories of these seeds deliver together, at least. */
const DELIVERED_MIN = 10_000_000;
const REGRESSIONS = join(import.meta.dirname, 'protocol/regressions');
/** Of one history that waits for its turn; with the search for a short one where it breaks a rule. */
const TIMEOUT_MS = 600_000;
const startedMs = performance.now();
const total = new Total();
const workers = new Workers();
afterAll(() => workers.close());

/** All begin now, in this order; each test waits for its own. */
const begin = (scenario: Scenario) => workers.run({ scenario, isShortened: true });
const attacks = (Object.keys(ATTACKS) as AttackName[]).map((name) => ({
  name,
  answers: Array.from({ length: ATTACK_SEEDS }, (_, at) => begin(attackOf(name, at + 1))),
}));
const histories = Array.from({ length: RANDOM_SEEDS }, (_, at) => ({
  seed: at + 1,
  answer: begin(scenarioOf(at + 1)),
}));

async function expectNothing(answer: Promise<Answer>): Promise<number> {
  const { result, short } = await answer;
  total.add(result);
  expect(result.findings, short?.text).toEqual([]);
  return result.counts.lostFlows!;
}

describe('the attacks that broke earlier versions', { timeout: TIMEOUT_MS }, () => {
  it.each(attacks)('$name breaks no rule', async ({ name, answers }) => {
    let lost = 0;
    for (const answer of answers) lost += await expectNothing(answer);
    // More than is promised, so that it is seen that it would be told.
    if (name === 'twoDeaths') expect(lost).toBeGreaterThan(0);
    else expect(lost).toBe(0);
  });
});

describe('random histories', { timeout: TIMEOUT_MS }, () => {
  it.each(histories)('seed $seed breaks no rule', async ({ answer }) => {
    expect(await expectNothing(answer)).toBe(0);
  });
});

it(`deliver ${DELIVERED_MIN} packets together, and none to another server`, () => {
  console.log(`${total.line((performance.now() - startedMs) / 1_000)}, ${availableParallelism()} CPUs`);
  expect(total.count('delivered')).toBeGreaterThanOrEqual(DELIVERED_MIN);
  expect(total.count('misdirected')).toBe(0);
});

it('have everything in them, together', () => {
  const seen = [total.reasons, total.events].flatMap((counts) =>
    Object.keys(counts).filter((name) => counts[name]! > 0),
  );
  for (const reason of [
    'FORWARD',
    'FORWARD_CACHED',
    'FORWARD_ANSWERED',
    'FORWARD_UNRECORDED',
    'FORWARD_ALONE',
    'FORWARD_ICMP_ERROR',
    'FORWARD_LATER_FRAGMENT',
    'ASK',
    'ASK_RECORD',
    'ASK_ANSWER',
    'ASK_RETURNED',
    'RELAY_DEADLINE',
    'RELAY_FRAGMENT',
    'REPLY_PROBE',
    'REPLY_FLOWS',
    'NOTED_PROBE',
    'NOTED_FLOWS',
    'NOTED_LATE',
    'DROP_ASK_TAG',
    'DROP_ASK_TIME',
    'DROP_ASK_SIZE',
    'DROP_ASK_SOURCE',
    'DROP_ASK_EPOCH',
    'DROP_ASK_INCARNATION',
    'DROP_ASK_FENCED',
    'FLOW_NEW',
    'FLOW_BASE',
    'FLOW_KNOWN',
    'FLOW_PROMOTED',
    'FLOW_TABLE_FULL',
    'FLOW_REDECIDED',
    'FLOW_RECORDED',
    'FLOW_RECORD_KEPT',
    'FLOW_RECORD_FULL',
    'FLOW_TAKEN_BACK',
    'FLOW_CHAIN_NEWER_HERE',
    'FLOW_CHAIN_NEWER_THERE',
    'FLOW_LOOKED_UP',
    'FLOW_REFRESHED',
    'FLOW_COPIED',
  ])
    expect(seen, reason).toContain(reason);
});

describe('a seed', { timeout: TIMEOUT_MS }, () => {
  it('leads to the same history twice, and another seed to another', async () => {
    const told: string[] = [];
    for (const seed of [7, 7, 8]) {
      const scenario = scenarioOf(seed);
      const traffic = { ...scenario.traffic, endNs: scenario.traffic.endNs / 3 };
      const job = { scenario: { ...scenario, traffic }, options: { isTraced: true } };
      const { result } = await workers.run(job);
      told.push(result.trace.map(({ line }) => line).join('\n'));
    }
    expect(told[0]!.length).toBeGreaterThan(10_000);
    expect(told[1]).toBe(told[0]);
    expect(told[2]).not.toBe(told[0]);
  });
});

describe('histories that broke a rule once', { timeout: TIMEOUT_MS }, () => {
  const files = existsSync(REGRESSIONS)
    ? readdirSync(REGRESSIONS).filter((name) => name.endsWith('.json'))
    : [];

  it.each(files)('%s breaks none any more', async (name) => {
    const scenario = JSON.parse(readFileSync(join(REGRESSIONS, name), 'utf8')) as Scenario;
    await expectNothing(begin(scenario));
  });
});
