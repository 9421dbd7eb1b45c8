// Owns carrying out one history with real programs and real control cores, and what came of it.
import { Director, type DirectorFaults } from './director.ts';
import type { Finding } from './oracle.ts';
import { IDLE_MS, MS, SECOND } from './place.ts';
import { ProgramFleet } from './programs.ts';
import type { Scenario } from './scenario.ts';
import { World } from './world.ts';

export type HistoryResult = {
  readonly scenario: Scenario;
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<string, number>>;
  readonly ends: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  /** What became of flows: as programs count it. */
  readonly events: Readonly<Record<string, number>>;
  readonly versions: number;
  readonly trace: readonly { readonly line: string; readonly flow?: number }[];
};

export type HistoryOptions = {
  readonly faults?: DirectorFaults;
  readonly isTraced?: boolean;
  readonly objectPath?: string;
};

/** Flows that are open so long after the last has begun end. */
const LAST_FLOWS_IDLE_TIMES = 5;
const EVENTS_MAX = 20_000_000;
/** After the last flow has ended: changes come to their end, entries expire. */
const COOL_DOWN_IDLE_TIMES = 30;
/** What was under way between muxes when the last slot became clean has come. */
const LATE_NS = 2 * SECOND;
/** After it no packet is under way, and none that was said again at each of its hops. */
const STRAY_NS = 45 * SECOND;
const TRACE_LINES_MAX = 2_000_000;

export async function runHistory(scenario: Scenario, options: HistoryOptions = {}): Promise<HistoryResult> {
  const { seed, muxes, version, hosts, idleMs = IDLE_MS, traffic, outside, inside } = scenario;
  const { times, settings, flowTable, actions } = scenario;
  const trace: { line: string; flow?: number }[] = [];
  const note = (line: string, flow?: number): void => {
    if (trace.length < TRACE_LINES_MAX) trace.push({ line, ...(flow !== undefined && { flow }) });
  };
  let world: World;
  const fleet = new ProgramFleet({
    version,
    report: (kind, text, flow) => world.oracle.report(kind, text, flow),
    flowTable,
    ...(options.objectPath !== undefined && { objectPath: options.objectPath }),
  });
  let director: Director | undefined;
  world = new World({
    seed,
    fleet,
    traffic,
    outside,
    inside,
    idleNs: idleMs * MS,
    maySend: (mux, { identity }, host) =>
      director?.daemon(mux)?.maySend(identity.pool, identity.slot, host) ?? true,
    ...(options.isTraced && { trace: note }),
  });
  director = new Director({
    world,
    fleet,
    version,
    hosts,
    idleMs,
    times,
    settings,
    faults: options.faults ?? {},
  });
  try {
    for (let mux = 0; mux < muxes; mux++) director.boot(mux);
    for (const action of actions) world.agenda.at(action.atNs, () => director.perform(action));
    let isQuiet = false;
    const look = (): void => {
      isQuiet = world.openFlows === 0 && director.isClean;
      if (!isQuiet) world.agenda.after(SECOND, look);
    };
    world.agenda.at(traffic.endNs, look);
    world.agenda.at(traffic.endNs + LAST_FLOWS_IDLE_TIMES * idleMs * MS, () => world.endFlows());
    const isOver = () => isQuiet || world.oracle.findings.some(({ kind }) => kind !== 'leftover');
    const ended = await world.agenda.run(
      traffic.endNs + COOL_DOWN_IDLE_TIMES * idleMs * MS,
      EVENTS_MAX,
      isOver,
    );
    if (!ended) world.oracle.report('endless', `${EVENTS_MAX} events were not enough`);
    else if (isQuiet) await settle(world, fleet, director);
    else if (world.oracle.findings.length === 0) world.oracle.report('stuck', describe(director));
    return {
      scenario,
      findings: world.oracle.findings,
      counts: { ...world.counts, ...world.oracle.counts, events: world.agenda.count },
      ends: Object.fromEntries([...world.ends].sort()),
      reasons: Object.fromEntries([...world.reasons].sort()),
      events: fleet.events,
      versions: director.store.head?.number ?? 0,
      trace,
    };
  } finally {
    await fleet.close();
  }
}

/**
 * Nothing is tracked any more: the sweep that each mux makes once a minute leaves nothing, and nothing is under way once
 * the daemons are gone.
 */
async function settle(world: World, fleet: ProgramFleet, director: Director): Promise<void> {
  await world.agenda.run(world.nowNs + LATE_NS, EVENTS_MAX, () => false);
  for (const mux of director.muxes) {
    fleet.mux(mux).setTime(world.nowNs);
    const { flows } = fleet.mux(mux).program;
    let { cursor } = flows.sweep();
    while (cursor !== undefined) cursor = flows.sweep(cursor).cursor;
    let { items, cursor: rest } = flows.list();
    while (items.length === 0 && rest !== undefined) ({ items, cursor: rest } = flows.list({ cursor: rest }));
    const kept = items.length;
    if (kept > 0) world.oracle.report('leftover', `mux${mux} keeps ${kept} flows of slots that are clean`);
  }
  director.stop();
  await world.agenda.run(world.nowNs + STRAY_NS, EVENTS_MAX, () => false);
  world.balance();
}

function describe({ outcome, store }: Director): string {
  const waits = outcome?.open.map(
    ({ pool, trackEpoch, step, waits: why }) => `${pool} e${trackEpoch} ${step}: ${why.join(', ')}`,
  );
  return `version ${store.head?.number} is not the last: ${waits?.join('; ') || 'nobody says why'}`;
}
