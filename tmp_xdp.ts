// Nanoseconds a packet in the mux program, above a program that only returns, against the floor: what any balancer that
// encapsulates pays. The unmodified program runs under a harness that restores the packet (bpf/harness.bpf.c).
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { LoadedObject, Program } from 'libbpf-ts';
import { openObject } from 'libbpf-ts';
import type { MuxProgram } from './control/dataplane/mux.ts';
import { type Frame, frame, frameOfRepeat, wrongEncapsulation } from './test/bench/lib/frames.ts';
import { loadBenchMux, SERVICE_PORT } from './test/bench/lib/mux.ts';
import type { Must, Report } from './test/bench/lib/report.ts';
import { statistics } from './test/bench/lib/statistics.ts';
import { entriesAfterCleanTraffic, measureCached, measureNewAtOwner } from './test/bench/lib/tracked_run.ts';

export const description = 'cost of a packet in the mux program, against parse + IPIP + TX';

const HARNESS = fileURLToPath(new URL('./out/test-bpf/harness.bpf.o', import.meta.url));
const TEMPLATE_BYTES = 80;
const REPEATS = 131_072;
/** Where code and tables come to lie differs from load to load and matters: each load is one sample. */
const LOADS = 7;
const ROUNDS = 60;
// Words of struct state in harness.bpf.c.
const [REPEAT, STARTED_NS, ENDED_NS, UNRESTORED] = [0, 1, 2, 3];
const XDP_PASS = 2;
const XDP_TX = 3;

const SERVICE4 = { text: '198.18.0.10', bytes: Uint8Array.of(198, 18, 0, 10) };
const SERVICE6 = {
  text: '2001:db8:0:10::10',
  bytes: Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x10),
};
const STRANGER = Uint8Array.of(198, 18, 0, 11);

type Case = {
  name: string;
  version: 4 | 6;
  protocol: 'tcp' | 'udp';
  flows: number;
  /** How backends are reached; absent: the packet is for no service. */
  tunnel?: { version: 4 | 6; gue: boolean };
  must: Must;
};

const IP4 = { version: 4, gue: false } as const;
const IP6 = { version: 6, gue: false } as const;
const GUE4 = { version: 4, gue: true } as const;

export const CASES: readonly Case[] = [
  { name: 'clean-v4-tcp-64k', version: 4, protocol: 'tcp', flows: 65536, tunnel: IP4, must: { atMost: 2.0 } },
  { name: 'clean-v4-tcp-1', version: 4, protocol: 'tcp', flows: 1, tunnel: IP4, must: { atMost: 1.8 } },
  { name: 'clean-v4-udp-64k', version: 4, protocol: 'udp', flows: 65536, tunnel: IP4, must: { atMost: 2.0 } },
  { name: 'clean-v6-tcp-64k', version: 6, protocol: 'tcp', flows: 65536, tunnel: IP6, must: { atMost: 2.2 } },
  {
    name: 'clean-v4-over-v6-64k',
    version: 4,
    protocol: 'tcp',
    flows: 65536,
    tunnel: IP6,
    must: { atMost: 2.4 },
  },
  { name: 'clean-gue-64k', version: 4, protocol: 'tcp', flows: 65536, tunnel: GUE4, must: { atMost: 3.0 } },
  { name: 'not-a-service', version: 4, protocol: 'tcp', flows: 65536, must: { atMost: 0.6 } },
];

export async function run(report: Report): Promise<void> {
  setPriority(constants.priority.PRIORITY_HIGHEST);
  const costs = new Map<Case, { mux: number; floor: number }[]>(CASES.map((it) => [it, []]));
  // The floor of an IP version is one quantity, whichever case it was measured beside.
  const floorOf = (version: 4 | 6): number => {
    const all = [...costs].filter(([it]) => it.version === version).flatMap(([, samples]) => samples);
    return statistics(all.map(({ floor }) => floor)).median;
  };
  // Loads of all cases in turn: a machine that grows slower does so for every case.
  const cached: number[] = [];
  const newAtOwner: number[] = [];
  for (let load = 0; load < LOADS; load++) {
    for (const [it, samples] of costs) samples.push(await measure(it));
    cached.push(await measureCached());
    newAtOwner.push(await measureNewAtOwner());
  }
  for (const [it, samples] of costs) {
    report.add({
      case: it.name,
      unit: 'ns',
      samples: samples.map(({ mux }) => mux),
      reference: 'floor',
      referenceValue: floorOf(it.version),
      must: it.must,
    });
  }
  const reference = { unit: 'ns', reference: 'floor', referenceValue: floorOf(4) };
  report.add({ case: 'tracked-cached-64k', samples: cached, ...reference, must: { atMost: 5 } });
  report.add({ case: 'tracked-new-at-owner', samples: newAtOwner, ...reference, must: { atMost: 14 } });
  report.add({
    case: 'steady-state-entries',
    unit: 'entries',
    value: await entriesAfterCleanTraffic(),
    must: { atMost: 0 },
  });
}

/** Net costs of one load, ns a packet. */
export async function measure(it: Case): Promise<{ mux: number; floor: number }> {
  const sent = frame({
    version: it.version,
    protocol: it.protocol,
    destination: it.tunnel === undefined ? STRANGER : it.version === 4 ? SERVICE4.bytes : SERVICE6.bytes,
    port: SERVICE_PORT,
  });
  using harness = loadHarness(sent, it.flows);
  const mux = await loadMux(it);
  try {
    const programs = {
      bare: harness.program('bare'),
      floor: harness.program('floor_ipip'),
      mux: mux.program,
    };
    const costs = { bare: [] as number[], floor: [] as number[], mux: [] as number[] };
    verifyOne(it, mux, sent);
    // The first round warms caches and is not counted.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const name of ['bare', 'floor', 'mux'] as const) {
        const before = totals(mux);
        const cost = time(harness, programs[name], it, sent, name === 'mux');
        if (name === 'mux') verifyCounters(it, before, totals(mux));
        if (round > 0) costs[name].push(cost);
      }
    }
    // What else the machine does only ever adds time: of one load the fastest round is the least disturbed.
    const least = (name: keyof typeof costs): number => Math.min(...costs[name]);
    return { mux: least('mux') - least('bare'), floor: least('floor') - least('bare') };
  } finally {
    mux.close();
  }
}

function loadHarness(sent: Frame, flows: number): LoadedObject {
  const opened = openObject(HARNESS);
  const template = new BigUint64Array(sent.bytes.slice(0, TEMPLATE_BYTES).buffer);
  opened.setConstants({
    packet_template: [...template],
    frame_bytes: sent.bytes.byteLength,
    client_address_offset: sent.clientAddressOffset,
    client_port_offset: sent.clientPortOffset,
    flow_mask: flows - 1,
    repeats: BigInt(REPEATS),
  });
  return opened.load();
}

function loadMux({ protocol, tunnel }: Case): Promise<MuxProgram> {
  return loadBenchMux({
    services: [SERVICE4.text, SERVICE6.text],
    protocol,
    tunnel: tunnel ?? IP4,
    muxMac: '02:00:00:00:00:02',
    nextHopMac: '02:00:00:00:00:01',
  });
}

/** Runs the harness once over all repeats; ns a packet. */
function time(harness: LoadedObject, program: Program, it: Case, sent: Frame, isMux: boolean): number {
  const state = new BigUint64Array(harness.map('.data.state').mmap(), 0, 4);
  harness.map('under_test').update(new Uint8Array(4), Uint32Array.of(program.fd));
  state.fill(0n);
  const { retval, dataOut } = harness.program('restore').testRun({
    data: sent.bytes,
    dataOutSize: 2048,
    repeat: REPEATS + 1,
  });
  if (state[REPEAT] !== BigInt(REPEATS + 1)) throw new Error('the test run was interrupted: run it again');
  if (state[UNRESTORED] !== 0n) throw new Error(`${state[UNRESTORED]} packets could not be restored`);
  if (isMux) verifyOutput(it, frameOfRepeat(sent, REPEATS, it.flows - 1), retval, dataOut!);
  return Number(state[ENDED_NS]! - state[STARTED_NS]!) / REPEATS;
}

/** Several flows one by one: verdict, bytes, and the same as in the long run. */
function verifyOne(it: Case, mux: MuxProgram, sent: Frame): void {
  for (let repeat = 0; repeat < 256; repeat++) {
    const input = frameOfRepeat(sent, repeat * 257, it.flows - 1);
    const { retval, dataOut } = mux.program.testRun({ data: input, dataOutSize: 2048 });
    verifyOutput(it, input, retval, dataOut!);
  }
}

function verifyOutput(it: Case, input: Uint8Array, verdict: number, output: Uint8Array): void {
  const expected = it.tunnel === undefined ? XDP_PASS : XDP_TX;
  if (verdict !== expected) throw new Error(`${it.name}: verdict ${verdict}, expected ${expected}`);
  const wrong =
    it.tunnel === undefined
      ? Buffer.compare(input, output) === 0
        ? undefined
        : 'was changed'
      : wrongEncapsulation(input, output, it.tunnel);
  if (wrong !== undefined) throw new Error(`${it.name}: the packet ${wrong}`);
}

function totals(mux: MuxProgram) {
  const { reasons, services, backends } = mux.counters();
  return {
    forwarded: reasons.FORWARD,
    passed: reasons.PASS_NOT_A_SERVICE,
    all: Object.values(reasons).reduce((sum, count) => sum + count, 0n),
    service: services.reduce((sum, count) => sum + count.packets, 0n),
    backend: backends.reduce((sum, count) => sum + count.packets, 0n),
  };
}

/** Every packet of the run was counted where it belongs. */
function verifyCounters(it: Case, before: ReturnType<typeof totals>, after: ReturnType<typeof totals>): void {
  const runs = BigInt(REPEATS + 1);
  const expected =
    it.tunnel === undefined
      ? { passed: runs, all: runs }
      : { forwarded: runs, all: runs, service: runs, backend: runs };
  for (const [name, count] of Object.entries(expected)) {
    const key = name as keyof typeof before;
    if (after[key] - before[key] !== count) {
      throw new Error(`${it.name}: ${name} counted ${after[key] - before[key]}, expected ${count}`);
    }
  }
}
