// Nanoseconds a packet in the filter program, above a program that only returns, against the floor of xdp.bench.ts: what
// an encapsulating balancer pays. Every server pays for every packet, so what is not for it must cost next to nothing.
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type LoadedObject, openObject, type Program } from 'libbpf-ts';
import { DataplaneClock } from '../../control/dataplane/clock.ts';
import { AffinityCommand } from '../../control/dataplane/generated/layout.ts';
import { accepted } from '../bpf/lib/filter_packets.ts';
import { FilterServer, OWN_MAC } from '../bpf/lib/filter_server.ts';
import { moved } from '../bpf/lib/rig.ts';
import { measureSegment } from './affinity/lab.ts';
import { measureSimulated } from './affinity/simulated.ts';
import { type Frame, frame, frameOfRepeat } from './lib/frames.ts';
import type { Must, Report } from './lib/report.ts';
import { statistics } from './lib/statistics.ts';

export const description = 'cost of a packet in the filter program, against parse + IPIP + TX';

const HARNESS = fileURLToPath(new URL('../../out/test-bpf/harness.bpf.o', import.meta.url));
const TEMPLATE_BYTES = 80;
const REPEATS = 1_000_000;
/** Where code and tables come to lie differs from load to load and matters: each load is one sample. */
const LOADS = 7;
const ROUNDS = 4;
// Words of struct state in harness.bpf.c.
const [REPEAT, STARTED_NS, ENDED_NS, UNRESTORED] = [0, 1, 2, 3];
const [XDP_DROP, XDP_PASS] = [1, 2];
const SELF = 2;
const CLIENTS = 65_536;
/** A million places. */
const BUCKETS = 262_144;
const SLOT_COUNT = 65_537;
/** All of a client's number goes to its address: the service has client affinity. */
const ADDRESS_SHIFT = 0;
/** Of the clients, at most: those that found the near part of the table taken, or their bucket. */
const CROWDED_MAX = 0.04;

const SERVICE = {
  address: '198.18.0.10',
  port: 80,
  protocol: 6,
  slotBase: 0,
  slotCount: SLOT_COUNT,
  pool: 5,
  affinity: { prefixLength4: 32, prefixLength6: 128 },
};

type Case = { name: string; current: number; clients: number; verdict: number; reason: string; must: Must };
const CASES: readonly Case[] = [
  {
    name: 'not-mine',
    current: 3,
    clients: CLIENTS,
    verdict: XDP_DROP,
    reason: 'DROP_NOT_MINE',
    must: { atMost: 0.6 },
  },
  {
    name: 'affinity-here-1',
    current: SELF,
    clients: 1,
    verdict: XDP_PASS,
    reason: 'ACCEPT_AFFINITY',
    must: { atMost: 2.5 },
  },
  {
    name: 'affinity-here-64k',
    current: SELF,
    clients: CLIENTS,
    verdict: XDP_PASS,
    reason: 'ACCEPT_AFFINITY',
    must: { atMost: 4 },
  },
];

const SENT = frame({
  version: 4,
  protocol: 'tcp',
  destination: Uint8Array.of(198, 18, 0, 10),
  port: SERVICE.port,
});

export async function run(report: Report): Promise<void> {
  setPriority(constants.priority.PRIORITY_HIGHEST);
  const costs = new Map<Case, number[]>(CASES.map((it) => [it, []]));
  const floors: number[] = [];
  // Loads of all cases in turn: a machine that grows slower does so for every case.
  for (let load = 0; load < LOADS; load++) {
    for (const [it, samples] of costs) {
      const { filter, floor } = await measure(it);
      samples.push(filter);
      floors.push(floor);
    }
  }
  const referenceValue = statistics(floors).median;
  for (const [it, samples] of costs)
    report.add({ case: it.name, unit: 'ns', samples, reference: 'floor', referenceValue, must: it.must });
  setPriority(constants.priority.PRIORITY_NORMAL);
  measureSimulated(report);
  await measureSegment(report);
}

/** Net costs of one load, ns a packet. */
async function measure(it: Case): Promise<{ filter: number; floor: number }> {
  const server = await loadServer(it);
  try {
    using harness = loadHarness(it);
    const programs = {
      bare: harness.program('bare'),
      floor: harness.program('floor_ipip'),
      filter: server.object.program('filter'),
    };
    const costs = { bare: [] as number[], floor: [] as number[], filter: [] as number[] };
    // The first round warms caches and is not counted.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const name of ['bare', 'floor', 'filter'] as const) {
        const before = server.counts();
        const { cost, verdict, output } = time(harness, programs[name]);
        if (name === 'filter') verify(it, verdict, output, moved(before, server.counts()));
        if (round > 0) costs[name].push(cost);
      }
    }
    // What else the machine does only ever adds time: of one load the fastest round is the least disturbed.
    const least = (name: keyof typeof costs): number => Math.min(...costs[name]);
    return { filter: least('filter') - least('bare'), floor: least('floor') - least('bare') };
  } finally {
    server.close();
  }
}

/** A server that knows all clients whose buckets are its own. */
async function loadServer(it: Case): Promise<FilterServer> {
  const server = new FilterServer({
    id: SELF,
    drivenTime: false,
    affinityBuckets: BUCKETS,
    slotCapacity: SLOT_COUNT,
    site: { http: SERVICE },
  });
  const sample = () => {
    const { now_ns, jiffies } = server.command({ command: AffinityCommand.AFFINITY_COMMAND_CLOCK }).request;
    return { ns: now_ns, jiffies };
  };
  await new DataplaneClock(sample, false, server.map('.data.clock').mmap()).ready();
  server.setBuckets('http', it.current);
  if (it.current !== SELF) return server;
  const before = server.counts();
  for (let client = 0; client < it.clients; client++) {
    const sent = frameOf(client, it);
    for (const flags of [0x02, 0x10]) {
      sent[14 + 20 + 13] = flags;
      server.run(sent);
    }
  }
  const { AFFINITY_RECORDED: recorded = 0 } = moved(before, server.counts());
  if (recorded < it.clients) throw new Error(`of ${it.clients} clients ${recorded} were recorded`);
  return server;
}

const frameOf = (repeat: number, it: Case): Uint8Array =>
  frameOfRepeat(SENT, repeat, it.clients - 1, ADDRESS_SHIFT);

function loadHarness(it: Case): LoadedObject {
  const opened = openObject(HARNESS);
  opened.setConstants({
    packet_template: [...new BigUint64Array(SENT.bytes.slice(0, TEMPLATE_BYTES).buffer)],
    frame_bytes: SENT.bytes.byteLength,
    client_address_offset: SENT.clientAddressOffset,
    client_port_offset: SENT.clientPortOffset,
    client_address_shift: ADDRESS_SHIFT,
    flow_mask: it.clients - 1,
    repeats: BigInt(REPEATS),
  });
  return opened.load();
}

/** Runs the harness once over all repeats; ns a packet. */
function time(harness: LoadedObject, program: Program) {
  const state = new BigUint64Array(harness.map('.data.state').mmap(), 0, 4);
  harness.map('under_test').update(new Uint8Array(4), Uint32Array.of(program.fd));
  state.fill(0n);
  const { retval, dataOut } = harness.program('restore').testRun({
    data: (SENT as Frame).bytes,
    dataOutSize: 2048,
    repeat: REPEATS + 1,
  });
  if (state[REPEAT] !== BigInt(REPEATS + 1)) throw new Error('the test run was interrupted: run it again');
  if (state[UNRESTORED] !== 0n) throw new Error(`${state[UNRESTORED]} packets could not be restored`);
  const cost = Number(state[ENDED_NS]! - state[STARTED_NS]!) / REPEATS;
  return { cost, verdict: retval, output: dataOut! };
}

/** Every packet of the run was counted for what it is, and the last one left as it has to. */
function verify(it: Case, verdict: number, output: Uint8Array, counted: Record<string, number>): void {
  const wanted = counted[it.reason] ?? 0;
  const all = Object.values(counted).reduce((sum, by) => sum + by, 0);
  if (all !== REPEATS + 1 || wanted < all * (1 - CROWDED_MAX))
    throw new Error(`${it.name}: counted ${JSON.stringify(counted)}`);
  if (verdict !== it.verdict) throw new Error(`${it.name}: verdict ${verdict}, expected ${it.verdict}`);
  const last = frameOf(REPEATS, it);
  const expected = it.verdict === XDP_PASS ? accepted(last, OWN_MAC(SELF)) : last;
  if (Buffer.compare(expected, output) !== 0)
    throw new Error(`${it.name}: the packet is not as it has to be`);
}
