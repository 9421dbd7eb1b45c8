// Owns looking at a lab from outside the process that raised it: a request through each mux, what runs, what the
// programs have counted.
import { join } from 'node:path';
import type { Status } from '../../control/api/schema.ts';
import { ClientAgent } from './agent.ts';
import { placeOf } from './configuration.ts';
import { LabDaemon } from './daemon.ts';
import type { ImpairStatus } from './impairment.ts';
import { standingLab } from './lab.ts';
import { impairedLinks } from './links.ts';
import type { LabNode, LabPlan } from './plan.ts';
import { endProcesses, isAlive } from './processes.ts';
import { labDirectory, readState } from './state.ts';

const PROBE_TIMEOUT_MS = 3_000;

export type ProbeRow = { readonly mux: string; readonly address: string } & (
  | { readonly backend: string; readonly roundTripMs: number }
  | { readonly error: string }
);

/** One request through each mux to each service address. */
export async function probeAll(agent: ClientAgent, plan: LabPlan): Promise<ProbeRow[]> {
  const rows: ProbeRow[] = [];
  for (const mux of plan.muxes) {
    for (const address of [...plan.services4, ...plan.services6]) {
      const where = { mux: mux.name, address };
      try {
        const { trafficClass } = mux;
        const argument = { address, trafficClass, timeoutMs: PROBE_TIMEOUT_MS };
        rows.push({ ...where, ...(await agent.call('probe', argument)) });
      } catch (error) {
        rows.push({ ...where, error: (error as Error).message });
      }
    }
  }
  return rows;
}

/** probeAll() in a lab that was kept, with a process for the purpose. */
export async function ping(plan: LabPlan): Promise<ProbeRow[]> {
  const agent = await ClientAgent.start(plan.clients[0]!, join(labDirectory(plan.name), 'ping.log'));
  try {
    return await probeAll(agent, plan);
  } finally {
    agent.close();
    await endProcesses([agent.started.identity]);
  }
}

export type DaemonStatus = Pick<Status, 'adopted' | 'appliedRevision'> & {
  readonly problems: readonly string[];
};

export type LabStatus = {
  readonly name: string;
  readonly state: 'down' | 'up' | 'held' | 'broken';
  /** The process that a lab of state `held` ends with. */
  readonly owner?: number;
  readonly processes: { readonly alive: number; readonly ended: number };
  /** By node, where the network stands. */
  readonly daemons: Readonly<Record<string, DaemonStatus | { readonly error: string }>>;
  /** Packets by reason, of every node whose daemon answers. */
  readonly packets: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** By node, what its link is impaired by; `broken` where the process for it is gone. */
  readonly impaired: Readonly<Record<string, ImpairStatus | 'broken'>>;
};

export async function labStatus(name: string, plan: LabPlan | undefined): Promise<LabStatus> {
  const state = readState(name);
  if (state === undefined) {
    return { name, state: 'down', processes: { alive: 0, ended: 0 }, daemons: {}, packets: {}, impaired: {} };
  }
  const alive = state.processes.filter(isAlive).length;
  const standing = standingLab(name);
  const held = state.owner !== undefined && isAlive(state.owner);
  return {
    name,
    state: held ? 'held' : plan === undefined ? 'broken' : 'up',
    ...(state.owner && { owner: state.owner.pid }),
    processes: { alive, ended: state.processes.length - alive },
    daemons: standing === undefined ? {} : await daemonsOf(standing),
    packets: standing === undefined ? {} : await countsOf(standing),
    impaired: plan === undefined ? {} : impairedLinks(plan, state),
  };
}

async function daemonsOf(plan: LabPlan): Promise<LabStatus['daemons']> {
  const statuses = [...plan.muxes, ...plan.backends].map(async (node) => {
    try {
      const { adopted, appliedRevision, problems } = await clientOf(plan, node).status();
      return [
        node.name,
        { adopted, appliedRevision, problems: problems.map(({ message }) => message) },
      ] as const;
    } catch (error) {
      return [node.name, { error: (error as Error).message }] as const;
    }
  });
  return Object.fromEntries(await Promise.all(statuses));
}

async function countsOf(plan: LabPlan): Promise<LabStatus['packets']> {
  const nodes = [...plan.muxes, ...plan.backends];
  const counts = nodes.map(async (node) => {
    return [node.name, nonZero((await clientOf(plan, node).stats()).reasons)] as const;
  });
  const answered = (await Promise.allSettled(counts)).filter((it) => it.status === 'fulfilled');
  return Object.fromEntries(answered.map(({ value }) => value));
}

function clientOf(plan: LabPlan, node: LabNode): LabDaemon['client'] {
  return new LabDaemon(placeOf(plan, node), () => {}).client;
}

export function nonZero(reasons: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(reasons).filter(([, packets]) => packets > 0));
}
