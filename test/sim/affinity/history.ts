// Owns carrying out one history, and what came of it.
import type { Finding, FindingKind } from './oracle.ts';
import { SECOND } from './port.ts';
import { type Rules, rulesWithout } from './rules.ts';
import type { Scenario } from './scenario.ts';
import { ModelServer } from './server.ts';
import { type MakeServer, World } from './world.ts';

const EVENTS_MAX = 5_000_000;
const TRACE_LINES_MAX = 2_000_000;

export type TraceLine = { readonly line: string; readonly key?: number; readonly bucket?: number };

export type HistoryResult = {
  readonly scenario: Scenario;
  readonly findings: readonly Finding[];
  readonly found: Readonly<Record<FindingKind, number>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  readonly trace: readonly TraceLine[];
};

export type HistoryOptions = {
  readonly rules?: Rules;
  readonly isTraced?: boolean;
  readonly makeServer?: MakeServer;
};

const makeModel: MakeServer = (...given) => new ModelServer(...given);

export async function runHistory(scenario: Scenario, options: HistoryOptions = {}): Promise<HistoryResult> {
  const trace: TraceLine[] = [];
  const note = (line: string, key?: number, bucket?: number): void => {
    if (trace.length < TRACE_LINES_MAX)
      trace.push({ line, ...(key !== undefined && { key }), ...(bucket !== undefined && { bucket }) });
  };
  const world = new World(
    scenario,
    options.rules ?? rulesWithout(),
    options.makeServer ?? makeModel,
    options.isTraced ? note : undefined,
  );
  const isComplete = await world.agenda.run(scenario.seconds * SECOND, EVENTS_MAX, () => false);
  if (!isComplete) throw new Error(`${EVENTS_MAX} events were not enough`);
  return {
    scenario,
    findings: world.oracle.findings,
    found: world.oracle.counts,
    counts: { ...world.counts, events: world.agenda.count },
    reasons: Object.fromEntries([...world.reasons].sort()),
    trace,
  };
}

/** The last that happened to one client before a finding. */
export function story({ trace }: HistoryResult, of: Finding, lines: number): string {
  const end = trace.findIndex(
    ({ line }) =>
      line.startsWith(`${(of.atNs / 1_000_000).toFixed(2).padStart(9)} ms`) && line.includes(of.text),
  );
  return trace
    .slice(0, end + 1)
    .filter(
      ({ key, bucket }) =>
        key === of.key || (key === undefined && (bucket === undefined || bucket === of.bucket)),
    )
    .slice(-lines)
    .map(({ line }) => line)
    .join('\n');
}
