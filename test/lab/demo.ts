// Shows Holdfast at work on this machine: raises a lab, drives real traffic through it, prints what happened, takes the
// lab down. Progress goes to standard error, the report to standard output.
import yargs from 'yargs';
import { drawShares, drawTable, drawTopology, paint } from './drawing.ts';
import type { FloodResult } from './generator.ts';
import { Lab, leftovers, removeLab } from './lab.ts';
import { BACKENDS_MAX, MUXES_MAX } from './plan.ts';
import type { LoadResult } from './protocol.ts';
import { type Findings, runScenario } from './scenario.ts';

const KEPT_NAME = 'lab';
const startedMs = performance.now();

const options = await yargs(process.argv.slice(2))
  .scriptName('scripts/demo')
  .usage('$0\n\nRaises muxes, backends and clients in network namespaces and drives traffic through them.')
  .option('keep', { type: 'boolean', default: false, describe: 'leave the lab up' })
  .option('json', { type: 'boolean', default: false, describe: 'print one JSON document' })
  .option('backends', { type: 'number', default: 6, describe: `1 to ${BACKENDS_MAX}` })
  .option('muxes', { type: 'number', default: 3, describe: `1 to ${MUXES_MAX}` })
  .strict()
  .help()
  .version(false)
  .parseAsync();

const name = options.keep ? KEPT_NAME : 'demo';

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    progress('interrupted: taking the lab down');
    void removeLab(name).finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  });
}

try {
  process.exitCode = await demonstrate();
} catch (error) {
  process.stderr.write(`${paint('red', 'failed:', process.stderr)} ${(error as Error).message}\n`);
  process.exitCode = 1;
}

async function demonstrate(): Promise<number> {
  progress('raising the lab');
  const lab = await Lab.raise({ name, backends: options.backends, muxes: options.muxes });
  const raisedMs = elapsedMs();
  if (!options.json) process.stdout.write(`\n${drawTopology(lab.plan)}\n\n`);
  let findings: Findings;
  try {
    findings = await runScenario(lab, progress);
  } catch (error) {
    await lab.down();
    throw error;
  }
  const problems = [...findings.problems];
  if (options.keep) {
    await lab.keep();
  } else {
    progress('taking the lab down');
    await lab.down();
    problems.push(...leftovers(name).map((what) => `left behind: ${what}`));
  }
  const { plan } = lab;
  const totalMs = elapsedMs();
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ plan, ...findings, problems, raisedMs, totalMs, kept: options.keep })}\n`,
    );
  } else {
    process.stdout.write(report(findings, problems, { raisedMs, totalMs }));
    if (options.keep) process.stdout.write(lookAround(plan.services4[0]!));
  }
  return problems.length === 0 ? 0 : 1;
}

function report(
  found: Findings,
  problems: readonly string[],
  times: { raisedMs: number; totalMs: number },
): string {
  const { withdrawal, floods } = found;
  const total = found.http4.succeeded + found.http6.succeeded;
  const blocks = [
    heading('Traffic'),
    drawTable(['', 'succeeded', 'failed', 'p50', 'p99'], loadRows(found)),
    '',
    drawTable(
      ['transfer', 'service', 'backend', 'checksum', 'rate'],
      found.transfers.map(({ direction, address, backend, intact, sizeBytes, durationMs }) => [
        `${direction}, ${sizeBytes >> 20} MiB`,
        address,
        backend,
        intact ? paint('green', 'equal') : paint('red', 'DIFFERS'),
        `${((sizeBytes * 8) / durationMs / 1e6).toFixed(2)} Gbit/s`,
      ]),
    ),
    heading(`Connections per backend: ${total}, ${Math.round(total / found.shares.length)} would be even`),
    drawShares(found.shares),
    heading('Which mux a connection takes does not matter'),
    drawTable(
      ['connections steered to', 'packets there', 'held', 'broken'],
      found.steered.map(({ mux, forwarded, status }) => [
        mux,
        String(forwarded),
        String(status.held),
        good(status.broken === 0, String(status.broken)),
      ]),
    ),
    `  ${withdrawal.mux} withdrawn from the router's routes under ${withdrawal.status.held + withdrawal.status.broken} ` +
      `connections with checked byte streams:`,
    `  its packets in half a second before: ${withdrawal.forwardedBefore}, after: ${withdrawal.forwardedAfter}; ` +
      `held ${withdrawal.status.held}, broken ${good(withdrawal.status.broken === 0, String(withdrawal.status.broken))}`,
    heading('Packets by verdict and reason'),
    drawTable(['muxes', 'packets', '', 'backends', 'packets'], reasonRows(found)),
    heading('Packet generator, 64-byte frames, generator and program on one CPU'),
    drawTable(
      ['towards', 'flows', 'sent', 'returned', 'Mpps', 'ns each'],
      [floodRow('bare XDP_TX reflector', floods.reflector), floodRow('mux', floods.mux)],
    ),
    `  the mux runs at ${(floods.ratio * 100).toFixed(0)} % of the reflector: ${floods.addedNsPerPacket} ns more a packet`,
    heading(problems.length === 0 ? paint('green', 'Everything as it should be') : paint('red', 'Problems')),
    ...problems.map((problem) => `  ${problem}`),
    `  lab raised in ${seconds(times.raisedMs)}, all in ${seconds(times.totalMs)}`,
  ];
  return `${blocks.join('\n')}\n`;
}

function loadRows({ http4, http6, datagrams, largeDatagrams }: Findings): string[][] {
  const row = (what: string, { succeeded, failed, latency }: LoadResult): string[] => [
    what,
    String(succeeded),
    good(failed === 0, String(failed)),
    `${latency.p50Ms.toFixed(2)} ms`,
    `${latency.p99Ms.toFixed(2)} ms`,
  ];
  return [
    row('HTTP, a TCP connection each, IPv4', http4),
    row('HTTP, a TCP connection each, IPv6', http6),
    row('UDP echo, 64 bytes', datagrams),
    row('UDP echo, 8192 bytes in fragments', largeDatagrams),
  ];
}

function reasonRows({ muxPackets, backendPackets }: Findings): string[][] {
  const mux = Object.entries(muxPackets);
  const backend = Object.entries(backendPackets);
  return Array.from({ length: Math.max(mux.length, backend.length) }, (_, line) => [
    mux[line]?.[0] ?? '',
    String(mux[line]?.[1] ?? ''),
    '',
    backend[line]?.[0] ?? '',
    String(backend[line]?.[1] ?? ''),
  ]);
}

function floodRow(what: string, { flows, sent, returned, mpps, nsPerPacket }: FloodResult): string[] {
  return [what, String(flows), String(sent), String(returned), mpps.toFixed(2), String(nsPerPacket)];
}

function lookAround(service: string): string {
  return [
    '',
    'The lab stays up. To look around:',
    '  scripts/lab ping                                    one request through each mux',
    '  scripts/lab status                                  packets by reason',
    `  scripts/lab exec client1 curl http://${service}/hello/you`,
    '  scripts/lab exec router ip route show               the routes over the muxes',
    '  scripts/lab exec backend1 tcpdump -ni eth0          what a backend gets, unwrapped',
    '  scripts/lab down                                    take it down',
    '',
  ].join('\n');
}

function heading(text: string): string {
  return `\n${paint('bold', text)}`;
}

function good(isGood: boolean, text: string): string {
  return paint(isGood ? 'green' : 'red', text);
}

function progress(text: string): void {
  process.stderr.write(`${paint('dim', seconds(elapsedMs()).padStart(7), process.stderr)} ${text}\n`);
}

function elapsedMs(): number {
  return Math.round(performance.now() - startedMs);
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
