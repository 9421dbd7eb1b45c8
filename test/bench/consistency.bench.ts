// Packets of established flows that reach another server than theirs, of a million: policies by histories. The same
// clients, network and changes for all; ours with the real program and the real control plane.

import type { Action } from '../sim/protocol/actions.ts';
import { runHistory } from '../sim/protocol/history.ts';
import { SECOND } from '../sim/protocol/place.ts';
import { type Scenario, SETTINGS, TIMES } from '../sim/protocol/scenario.ts';
import { World } from '../sim/protocol/world.ts';
import { FIRST_HOSTS, HISTORIES, MUXES, TRAFFIC, WEATHER } from './lib/histories.ts';
import { PlainDirector } from './lib/plain.ts';
import { ConsistentHash, FlowTable, type Policy, SecondChance } from './lib/policies.ts';
import type { Report } from './lib/report.ts';

export const description =
  'packets of established flows that reach another server, per million, by policy and history';

export const bars = true;

const SEED = 1;
const MILLION = 1e6;
const EVENTS_MAX = 50_000_000;
const END_NS = 1_000 * SECOND;
const UNIT = 'misdirected packets per million';

const POLICIES: readonly (() => Policy)[] = [
  () => new ConsistentHash('slots'),
  () => new ConsistentHash('maglev'),
  () => new FlowTable(),
  () => new SecondChance(),
];

/** Ours: the real program, and the real control cores in virtual time. */
const OURS = 'holdfast';
const REFERENCE = 'maglev';

export async function run(report: Report): Promise<void> {
  for (const [name, actions] of Object.entries(HISTORIES)) {
    let reference: number | undefined;
    for (const make of POLICIES) {
      const policy = make();
      const value = perMillion(await runPolicy(policy, actions));
      if (policy.name === REFERENCE) reference = value;
      report.add({ case: `${name}: ${policy.name}`, unit: UNIT, value });
    }
    const { counts, findings } = await runHistory(ourScenario(actions));
    const broken = findings.filter(({ kind }) => kind !== 'misdirected');
    if (broken.length > 0) throw new Error(`${name}: ${broken[0]!.kind}: ${broken[0]!.text}`);
    const compared =
      reference === undefined || reference === 0 ? {} : { reference: REFERENCE, referenceValue: reference };
    const value = perMillion({ misdirected: counts.misdirected!, established: counts.established! });
    report.add({ case: `${name}: ${OURS}`, unit: UNIT, value, must: { atMost: 0 }, ...compared });
  }
}

type Counts = { readonly misdirected: number; readonly established: number };

const perMillion = ({ misdirected, established }: Counts): number => (misdirected / established) * MILLION;

async function runPolicy(policy: Policy, actions: readonly Action[]): Promise<Counts> {
  const world = new World({ seed: SEED, fleet: policy, traffic: TRAFFIC, outside: WEATHER, inside: WEATHER });
  const director = new PlainDirector(world, policy, MUXES, FIRST_HOSTS);
  for (const action of actions) world.agenda.at(action.atNs, () => director.perform(action));
  await world.agenda.run(END_NS, EVENTS_MAX, () => false);
  world.balance();
  if (world.oracle.findings.some(({ kind }) => kind === 'lost'))
    throw new Error('packets are not accounted for');
  return world.oracle.counts;
}

function ourScenario(actions: readonly Action[]): Scenario {
  return {
    seed: SEED,
    muxes: MUXES,
    version: 4,
    hosts: FIRST_HOSTS,
    traffic: TRAFFIC,
    outside: WEATHER,
    inside: WEATHER,
    times: { ...TIMES, storeMs: 2, applyLagMs: 200 },
    settings: SETTINGS,
    flowTable: { entries: 7 * 8_192, cacheEntries: 4 * 8_192 },
    actions,
  };
}
