// Owns how a broken rule is told to people.
import type { HistoryResult } from './history.ts';
import { FINDINGS } from './oracle.ts';

const LINES_MAX = 80;

export function summaryLine({ scenario, counts, versions, findings }: HistoryResult): string {
  const found = findings.length === 0 ? '' : `  BROKEN: ${findings[0]!.kind}`;
  const lost = counts.lostFlows === 0 ? '' : `, ${counts.lostFlows} flows lost to a second death`;
  return (
    `seed ${String(scenario.seed).padEnd(10)} ${scenario.muxes} muxes, ${versions} versions, ` +
    `${counts.delivered} delivered, ${counts.hops} hops between muxes, ${counts.misdirected} misdirected${lost}${found}`
  );
}

/** The finding, and what happened to its flow and to the muxes before; of a traced history. */
export function findingText({ scenario, findings, trace }: HistoryResult): string {
  const [first] = findings;
  if (first === undefined) return '';
  const { actions, muxes, outside, inside } = scenario;
  // What daemons send, and other flows' packets, explain little.
  const lines = trace.filter(({ flow }) => flow === undefined || flow === first.flow).map(({ line }) => line);
  return [
    `${first.kind}: ${FINDINGS[first.kind]}`,
    `  ${first.text}`,
    `${muxes} muxes, weather outside ${JSON.stringify(outside)}, between muxes ${JSON.stringify(inside)}`,
    ...actions.map(
      ({ atNs, kind, ...rest }) =>
        `  ${(atNs / 1e6).toFixed(1).padStart(9)} ms  ${kind} ${JSON.stringify(rest)}`,
    ),
    'trace:',
    ...lines.slice(-LINES_MAX),
  ].join('\n');
}
