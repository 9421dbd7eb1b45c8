// Owns which links of a lab are impaired: starting and ending the pump of each, for labs of this process and for labs
// that were kept. What a pump does is impairment.ts's and pump.ts's.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  checkImpairOptions,
  type ImpairOptions,
  type ImpairStatus,
  openImpairTable,
  removeDetour,
  straighten,
} from './impairment.ts';
import { type LabNode, type LabPlan, nodesOf } from './plan.ts';
import { endProcesses, isAlive, leaveRunning, ready, startScript } from './processes.ts';
import { type LabState, labDirectory, writeState } from './state.ts';

const SCRIPT = new URL('pump.ts', import.meta.url).pathname;

/** The router's ports must be pinned. `state` is changed and written. */
export async function impairLink(
  plan: LabPlan,
  state: LabState,
  node: LabNode,
  options: ImpairOptions,
): Promise<void> {
  checkImpairOptions(options);
  const pump = state.pumps[node.name];
  if (pump === undefined || !isAlive(pump)) await startPump(plan, state, node);
  const table = openImpairTable(plan, node);
  if (table === undefined) throw new Error(`nothing holds the link of ${node.name}`);
  table.set(options);
}

export async function straightenLink(plan: LabPlan, state: LabState, node: LabNode): Promise<void> {
  const pump = state.pumps[node.name];
  if (pump === undefined) return;
  await endProcesses([pump]);
  // It has done so itself, unless it was killed.
  straighten(plan, node);
  removeDetour(plan, node);
  delete state.pumps[node.name];
  writeState(state);
}

export function impairStatus(plan: LabPlan, node: LabNode): ImpairStatus | undefined {
  return openImpairTable(plan, node)?.read();
}

export function impairedLinks(plan: LabPlan, state: LabState): Record<string, ImpairStatus | 'broken'> {
  const links = nodesOf(plan).flatMap((node) => {
    const pump = state.pumps[node.name];
    if (pump === undefined) return [];
    return [[node.name, (isAlive(pump) ? impairStatus(plan, node) : undefined) ?? 'broken'] as const];
  });
  return Object.fromEntries(links);
}

async function startPump(plan: LabPlan, state: LabState, node: LabNode): Promise<void> {
  const logPath = join(labDirectory(plan.name), `pump-${node.name}.log`);
  rmSync(logPath, { force: true });
  const started = startScript(plan.router.netns, SCRIPT, [plan.name, node.name], { detached: true, logPath });
  state.pumps[node.name] = started.identity;
  writeState(state);
  try {
    await ready(started, `the process that is to impair ${node.name}`);
  } catch (cause) {
    const said = readFileSync(logPath, 'utf8')
      .split('\n')
      .find((line) => /^\w*Error: /.test(line));
    await straightenLink(plan, state, node);
    throw new Error(`the link of ${node.name} cannot be impaired: ${said ?? (cause as Error).message}`, {
      cause,
    });
  }
  leaveRunning(started);
}
