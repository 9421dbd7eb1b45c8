// Packets of established flows that reach another server than theirs, of a million: policies by histories. The same
// clients, network and changes for all; ours with the real program and the real control plane.

import { SECOND } from '../sim/protocol/place.ts';
import { World } from '../sim/protocol/world.ts';
import { FIRST_HOSTS, HISTORIES, MUXES, TRAFFIC, WEATHER } from './lib/histories.ts';
import { PlainDirector } from './lib/plain.ts';
import { ConsistentHash, FlowTable, type Policy, SecondChance } from './lib/policies.ts';
import type { Report } from './lib/report.ts';

export const description =
  'packets of established flows that reach another server, per million, by policy and history';

const SEED = 1;
const MILLION = 1e6;
const EVENTS_MAX = 50_000_000;

const POLICIES: readonly (() => Policy)[] = [
  () => new ConsistentHash('slots'),
  () => new ConsistentHash('maglev'),
  () => new FlowTable(),
  () => new SecondChance(),
];

export async function run(report: Report): Promise<void> {
  for (const [name, actions] of Object.entries(HISTORIES)) {
    for (const make of POLICIES) {
      const policy = make();
      const world = new World({
        seed: SEED,
        fleet: policy,
        traffic: TRAFFIC,
        outside: WEATHER,
        inside: WEATHER,
      });
      const director = new PlainDirector(world, policy, MUXES, FIRST_HOSTS);
      for (const action of actions) world.agenda.at(action.atNs, () => director.perform(action));
      await world.agenda.run(1_000 * SECOND, EVENTS_MAX, () => false);
      world.balance();
      const { misdirected, established } = world.oracle.counts;
      report.add({
        case: `${name}: ${policy.name}`,
        unit: 'misdirected packets per million',
        value: (misdirected / established) * MILLION,
      });
    }
  }
}
