// Owns running one history of file nodes.
import { Completions } from '../../../control/file/namespace/cluster/completion.ts';
import { FileNodeCore } from '../../../control/file/namespace/cluster/node.ts';
import type { Scenario } from './scenario.ts';
import { type Cores, type Faults, NO_FAULTS, World } from './world.ts';

export async function runHistory(
  scenario: Scenario,
  options: { readonly cores?: Cores; readonly faults?: Partial<Faults>; readonly isTraced?: boolean } = {},
): Promise<World> {
  const { cores = { FileNodeCore, Completions }, faults = {}, isTraced = false } = options;
  const world = new World(scenario, cores, { ...NO_FAULTS, ...faults }, isTraced);
  await world.run();
  return world;
}
