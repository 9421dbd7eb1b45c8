// Owns what the demo says at the end: the figures in tables, then act by act what was promised and what was seen.
import { drawBar, drawTable, paint } from '../drawing.ts';
import type { FloodResult } from '../generator.ts';
import type { LoadResult } from '../protocol.ts';
import { type Account, count, percent } from './act.ts';
import type { Findings, TourFindings } from './scenario.ts';
import { seconds } from './stage.ts';

const BAR_COLUMNS = 24;

export type Outcome = {
  readonly raisedMs: number;
  readonly totalMs: number;
  /** What was not as promised; empty in a good run. */
  readonly problems: readonly string[];
};

export function reportOf(found: Findings, outcome: Outcome): string {
  const { tour, proof, acts } = found;
  const blocks = [
    ...(tour === undefined ? [] : [...trafficTables(tour), ...changeTable(tour), ...packetTables(tour)]),
    ...(proof === undefined ? [] : proofTable(proof)),
    ...account(acts, outcome),
  ];
  return `${blocks.join('\n')}\n`;
}

function trafficTables({ traffic, shares }: TourFindings): string[] {
  const { http4, http6, datagrams, largeDatagrams, transfers } = traffic;
  const row = (what: string, { succeeded, failed, latency }: LoadResult): string[] => [
    what,
    count(succeeded),
    good(failed === 0, count(failed)),
    `${latency.p50Ms.toFixed(1)} ms`,
    `${latency.p99Ms.toFixed(1)} ms`,
  ];
  const connections = shares.shares.reduce((sum, share) => sum + share.connections, 0);
  return [
    heading('Traffic'),
    drawTable(
      ['', 'answered', 'failed', 'p50', 'p99'],
      [
        row('HTTP over IPv4, a connection each', http4),
        row('HTTP over IPv6, a connection each', http6),
        row('UDP echo, 64 bytes', datagrams),
        row('UDP echo, 8192 bytes in fragments', largeDatagrams),
      ],
    ),
    '',
    drawTable(
      ['transfer', 'service', 'backend', 'checksum', 'rate'],
      transfers.map(({ direction, address, backend, intact, sizeBytes, durationMs }) => [
        `${direction}, ${sizeBytes >> 20} MiB`,
        address,
        backend,
        good(intact, intact ? 'equal' : 'DIFFERS'),
        `${((sizeBytes * 8) / durationMs / 1e6).toFixed(2)} Gbit/s`,
      ]),
    ),
    heading(`${count(connections)} new connections, and the ideal share (│)`),
    ...shareRows(shares.shares),
  ];
}

/** After both changes; the drain came last. */
function changeTable({ weight, drain }: TourFindings): string[] {
  return [weight, drain].flatMap(({ command, rows }) => {
    const largest = Math.max(1, ...rows.map(({ connections, ideal }) => Math.max(connections, ideal)));
    const connections = rows.reduce((sum, row) => sum + row.connections, 0);
    return [
      heading(`$ ${command}`),
      drawTable(
        [
          'backend',
          'weight',
          'slots before',
          'after',
          `of ${count(connections)} new connections`,
          '',
          'ideal',
        ],
        rows.map((row) => [
          row.backend,
          String(row.weight),
          count(row.slotsBefore),
          count(row.slotsAfter),
          drawBar({ value: row.connections, mark: row.ideal, largest, columns: BAR_COLUMNS }, paint),
          count(row.connections),
          count(Math.round(row.ideal)),
        ]),
      ),
    ];
  });
}

function shareRows(shares: TourFindings['shares']['shares']): string[] {
  const largest = Math.max(1, ...shares.map(({ connections, ideal }) => Math.max(connections, ideal)));
  return shares.map(({ backend, connections, ideal, deviationPercent }) => {
    const bar = drawBar({ value: connections, mark: ideal, largest, columns: BAR_COLUMNS }, paint);
    const deviation = `${deviationPercent >= 0 ? '+' : ''}${deviationPercent.toFixed(1)} %`;
    return `  ${backend.padEnd(10)} ${bar} ${String(connections).padStart(6)}  ${deviation.padStart(8)}`;
  });
}

function packetTables({ muxPackets, backendPackets, generator }: TourFindings): string[] {
  const mux = Object.entries(muxPackets);
  const backend = Object.entries(backendPackets);
  const rows = Array.from({ length: Math.max(mux.length, backend.length) }, (_, line) =>
    [mux[line], backend[line]].flatMap((entry) =>
      entry === undefined ? ['', ''] : [entry[0], count(entry[1])],
    ),
  );
  const flood = (what: string, { flows, sent, returned, mpps, nsPerPacket }: FloodResult): string[] => [
    what,
    count(flows),
    count(sent),
    count(returned),
    mpps.toFixed(2),
    String(nsPerPacket),
  ];
  return [
    heading('Packets by verdict and reason'),
    drawTable(['muxes', 'packets', 'backends', 'packets'], rows),
    heading('Packet generator, 64-byte frames, generator and program on one CPU'),
    drawTable(
      ['towards', 'flows', 'sent', 'returned', 'Mpps', 'ns each'],
      [flood('bare XDP_TX reflector', generator.reflector), flood('mux', generator.mux)],
    ),
    `  the mux runs at ${percent(generator.ratio)} of the reflector: ${generator.addedNsPerPacket} ns more a packet`,
  ];
}

function proofTable({ totals, losses }: NonNullable<Findings['proof']>): string[] {
  const { held, broken, corrupted, rounds, requests, failed } = totals;
  return [
    heading('What was held while everything changed'),
    drawTable(
      ['', 'in all', 'lost'],
      [
        ['connections, all the while', count(held + broken + corrupted), good(broken === 0, count(broken))],
        ['chunks there and back, each compared', count(rounds), good(corrupted === 0, count(corrupted))],
        ['HTTP requests, a connection each', count(requests), good(failed === 0, count(failed))],
      ],
    ),
    ...losses.map((loss) => `  ${loss}`),
  ];
}

function account(acts: readonly Account[], { problems, raisedMs, totalMs }: Outcome): string[] {
  return [
    heading('What was promised, and what was seen'),
    ...acts.flatMap(({ title, checks }, index) => [
      `${index + 1} ${paint('bold', title)}`,
      ...checks.map(
        ({ expected, seen, kept }) =>
          `  ${kept ? paint('green', '✓') : paint('red', '✗')} ${expected}: ${kept ? paint('dim', seen) : paint('red', seen)}`,
      ),
    ]),
    '',
    problems.length === 0
      ? paint('green', 'Everything was as promised.')
      : paint('red', `Not as promised: ${problems.length}`),
    ...problems.map((problem) => `  ${problem}`),
    `The lab was up after ${seconds(raisedMs)}; all took ${seconds(totalMs)}.`,
  ];
}

function heading(text: string): string {
  return `\n${paint('bold', text)}`;
}

function good(isGood: boolean, text: string): string {
  return paint(isGood ? 'green' : 'red', text);
}
