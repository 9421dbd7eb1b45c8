// Owns what the demo does with a lab: the traffic it drives and what it finds. Showing it is demo.ts's.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabDaemon } from './daemon.ts';
import { type Share, sharesOf } from './drawing.ts';
import { type FloodResult, flood } from './generator.ts';
import { nonZero, type ProbeRow, probeAll } from './inspect.ts';
import type { Lab } from './lab.ts';
import type { HoldStatus, LoadResult, TransferResult } from './protocol.ts';

const CONNECTIONS_PER_FAMILY = 1_500;
const DATAGRAMS_PER_FAMILY = 300;
const LARGE_DATAGRAM_BYTES = 8_192;
const TRANSFER_BYTES = 64 << 20;
const HELD_CONNECTIONS = 60;
const WITHDRAWN_MS = 2_000;
/** Both in turn; the fastest of each counts, as whatever else the machine does can only slow them down. */
const FLOOD_ROUNDS = 6;
const FLOOD_MS = 250;
const FLOOD_FLOWS = 65_536;
const REQUEST_TIMEOUT_MS = 10_000;
const TRANSFER_TIMEOUT_MS = 20_000;

export type Findings = {
  readonly http4: LoadResult;
  readonly http6: LoadResult;
  readonly shares: readonly Share[];
  readonly datagrams: LoadResult;
  readonly largeDatagrams: LoadResult;
  readonly transfers: readonly (TransferResult & { readonly direction: string; readonly address: string })[];
  readonly probes: readonly ProbeRow[];
  /** The same connections through one mux after the other; `forwarded` says that they really went there. */
  readonly steered: readonly {
    readonly mux: string;
    readonly forwarded: number;
    readonly status: HoldStatus;
  }[];
  readonly withdrawal: {
    readonly mux: string;
    readonly forwardedBefore: number;
    readonly forwardedAfter: number;
    readonly status: HoldStatus;
  };
  readonly floods: {
    readonly mux: FloodResult;
    readonly reflector: FloodResult;
    /** Packets per second of the mux by those of the bare reflector. */
    readonly ratio: number;
    readonly addedNsPerPacket: number;
  };
  /** Packets by reason: all muxes together, all backends together. */
  readonly muxPackets: Readonly<Record<string, number>>;
  readonly backendPackets: Readonly<Record<string, number>>;
  /** What was not as it should be; empty in a good run. */
  readonly problems: readonly string[];
};

export async function runScenario(lab: Lab, progress: (text: string) => void): Promise<Findings> {
  const { plan } = lab;
  const agent = await lab.client();
  const load = { concurrency: 48, timeoutMs: REQUEST_TIMEOUT_MS };
  const everywhere = [...plan.services4, ...plan.services6];

  progress(`${CONNECTIONS_PER_FAMILY} HTTP requests over IPv4, a connection each`);
  const http = { ...load, count: CONNECTIONS_PER_FAMILY };
  const http4 = await agent.call('requests', { ...http, addresses: plan.services4 });
  progress(`${CONNECTIONS_PER_FAMILY} HTTP requests over IPv6, a connection each`);
  const http6 = await agent.call('requests', { ...http, addresses: plan.services6 });

  progress('datagrams, small and in fragments');
  const udp = { ...load, addresses: everywhere, count: 2 * DATAGRAMS_PER_FAMILY, timeoutMs: 3_000 };
  const datagrams = await agent.call('datagrams', { ...udp, sizeBytes: 64 });
  const large = { ...udp, count: 64, concurrency: 4, sizeBytes: LARGE_DATAGRAM_BYTES };
  const largeDatagrams = await agent.call('datagrams', large);

  progress(`transfers of ${TRANSFER_BYTES >> 20} MiB each way`);
  const transfers: Findings['transfers'][number][] = [];
  for (const address of [plan.services4[0]!, plan.services6[0]!]) {
    for (const direction of ['download', 'upload'] as const) {
      const what = { address, direction, sizeBytes: TRANSFER_BYTES, timeoutMs: TRANSFER_TIMEOUT_MS };
      transfers.push({ direction, address, ...(await agent.call('transfer', what)) });
    }
  }

  progress('a request through each mux');
  const probes = await probeAll(agent, plan);

  progress(`${HELD_CONNECTIONS} connections through one mux after the other`);
  await agent.call('hold', {
    addresses: everywhere,
    connections: HELD_CONNECTIONS,
    chunkBytes: 4_000,
    intervalMs: 20,
  });
  const steered = await steerThroughEach(lab);
  progress('withdrawing a mux under these connections');
  const withdrawal = await withdrawMux(lab);
  await agent.call('release', {});

  progress('packet generator against a mux and against a bare reflector');
  // Counted before: the flood would drown everything else.
  const muxPackets = sumOf(await reasonsOf(lab.muxes));
  const backendPackets = sumOf(await reasonsOf(lab.backends));
  const floods = await compareFloods(lab);

  const names = plan.backends.map(({ name }) => name);
  const found = {
    http4,
    http6,
    shares: sharesOf(addCounts(http4.perBackend, http6.perBackend), names),
    datagrams,
    largeDatagrams,
    transfers,
    probes,
    steered,
    withdrawal,
    floods,
    muxPackets,
    backendPackets,
  };
  return { ...found, problems: problemsOf(found) };
}

async function steerThroughEach(lab: Lab): Promise<Findings['steered']> {
  const agent = await lab.client();
  const rows: Findings['steered'][number][] = [];
  for (const mux of lab.muxes) {
    const before = await mux.daemon.packets('FORWARD');
    const status = await agent.call('steerHeld', { trafficClass: mux.node.trafficClass });
    const forwarded = (await mux.daemon.packets('FORWARD')) - before;
    rows.push({ mux: mux.node.name, forwarded, status });
  }
  await agent.call('steerHeld', { trafficClass: 0 });
  return rows;
}

async function withdrawMux(lab: Lab): Promise<Findings['withdrawal']> {
  const agent = await lab.client();
  const [withdrawn, ...others] = lab.muxes;
  const forwarded = () => withdrawn!.daemon.packets('FORWARD');
  const before = await forwarded();
  await sleep(WITHDRAWN_MS / 4);
  const forwardedBefore = (await forwarded()) - before;
  if (others.length > 0) lab.useMuxes(...others);
  // What was on its way to the mux has arrived by then.
  await sleep(WITHDRAWN_MS / 4);
  const after = await forwarded();
  await sleep(WITHDRAWN_MS / 2);
  const status = await agent.call('heldStatus', {});
  const forwardedAfter = (await forwarded()) - after;
  lab.useMuxes(...lab.muxes);
  return { mux: withdrawn!.node.name, forwardedBefore, forwardedAfter, status };
}

async function compareFloods(lab: Lab): Promise<Findings['floods']> {
  const options = { durationMs: FLOOD_MS, flows: FLOOD_FLOWS };
  const rounds: { mux: FloodResult; reflector: FloodResult }[] = [];
  for (let round = 0; round < FLOOD_ROUNDS; round += 1) {
    rounds.push({
      reflector: await flood(lab.plan, lab.ports, lab.plan.reflector, options),
      mux: await flood(lab.plan, lab.ports, lab.muxes[0]!.node, options),
    });
  }
  const fastest = (results: readonly FloodResult[]) =>
    results.reduce((best, each) => (each.mpps > best.mpps ? each : best));
  const mux = fastest(rounds.map((round) => round.mux));
  const reflector = fastest(rounds.map((round) => round.reflector));
  return {
    mux,
    reflector,
    ratio: Math.round((mux.mpps / reflector.mpps) * 1000) / 1000,
    addedNsPerPacket: mux.nsPerPacket - reflector.nsPerPacket,
  };
}

function problemsOf(found: Omit<Findings, 'problems'>): string[] {
  const problems: string[] = [];
  const loads = {
    'HTTP over IPv4': found.http4,
    'HTTP over IPv6': found.http6,
    datagrams: found.datagrams,
    'fragmented datagrams': found.largeDatagrams,
  };
  for (const [what, { failed, failures }] of Object.entries(loads)) {
    if (failed > 0) problems.push(`${what}: ${failed} failed (${JSON.stringify(failures)})`);
  }
  for (const { direction, address, intact } of found.transfers) {
    if (!intact) problems.push(`${direction} over ${address}: the bytes differ`);
  }
  for (const row of found.probes) {
    if ('error' in row) problems.push(`probe of ${row.address} through ${row.mux}: ${row.error}`);
  }
  for (const { mux, forwarded, status } of found.steered) {
    if (status.broken > 0) problems.push(`${status.broken} connections broke through ${mux}`);
    if (forwarded < status.held) problems.push(`${mux} did not carry the connections steered to it`);
  }
  const { withdrawal, floods } = found;
  if (withdrawal.status.broken > 0)
    problems.push(`${withdrawal.status.broken} connections broke at the withdrawal`);
  if (withdrawal.forwardedBefore === 0)
    problems.push(`${withdrawal.mux} carried nothing before its withdrawal`);
  if (withdrawal.forwardedAfter > 0) problems.push(`${withdrawal.mux} was not withdrawn`);
  if (floods.mux.tunnelled < floods.mux.sent / 2) problems.push('less than half of the flood came back');
  for (const { backend, connections } of found.shares) {
    if (connections === 0) problems.push(`${backend} got no connection`);
  }
  return problems;
}

function reasonsOf(nodes: readonly { readonly daemon: LabDaemon }[]) {
  return Promise.all(nodes.map(async ({ daemon }) => (await daemon.client.stats()).reasons));
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  return all.map(nonZero).reduce(addCounts, {});
}

function addCounts(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum = { ...a };
  for (const [key, value] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
}
