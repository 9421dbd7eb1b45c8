// Owns running the XDP benchmark's harness over tracked slots: net nanoseconds a packet of one load. As for clean slots
// what leaves is held against models, and every packet must have been counted.
import { fileURLToPath } from 'node:url';
import { type LoadedObject, openObject, type Program } from 'libbpf-ts';
import type { TrackedMux } from '../../bpf/lib/tracked_mux.ts';
import { type Frame, frame } from './frames.ts';
import {
  askFlows,
  askOf,
  cachedOf,
  cleanOf,
  type Exchange,
  FLOWS,
  giveAskFlows,
  loadTrackedMux,
  synchronise,
} from './tracked.ts';

const HARNESS = fileURLToPath(new URL('../../../out/test-bpf/harness.bpf.o', import.meta.url));
const ROUNDS = 4;
const TEMPLATE_BYTES = 80;
const ASK_TEMPLATE_BYTES = 160;
const XDP_TX = 3;
/** Outer IPv4, UDP and the signed header. */
const ASK_BYTES = 20 + 8 + 56;
/** Of the flows of a run, at most: those that found their bucket's places taken, or lost theirs in the cache. */
const CROWDED_MAX = 0.01;
// Words of struct state in harness.bpf.c.
const [REPEAT, STARTED_NS, ENDED_NS, UNRESTORED] = [0, 1, 2, 3];

const ESTABLISHED = clientFrame(0x10);
const SYN = clientFrame(0x02);

function clientFrame(tcpFlags: number): Frame {
  const made = frame({ version: 4, protocol: 'tcp', destination: Uint8Array.of(198, 18, 0, 10), port: 80 });
  made.bytes[14 + 20 + 13] = tcpFlags;
  return made;
}

type Measured = { restore: string; sent: Frame; frameBytes: number; repeats: number };

/**
 * Each flow of 65,536 is in the cache, at first because the mux asked itself: it is alone. Its flow table is there for a
 * million flows, and is not touched by what is measured.
 */
export async function measureCached(): Promise<number> {
  const mux = await loadTrackedMux(0, true);
  const what = {
    restore: 'restore',
    sent: ESTABLISHED,
    frameBytes: ESTABLISHED.bytes.length,
    repeats: 1_000_000,
  };
  using harness = loadHarness(what, new Uint8Array(ASK_TEMPLATE_BYTES));
  try {
    for (let repeat = 0; repeat < FLOWS; repeat++) mux.run(cachedOf(ESTABLISHED, repeat).input);
    verifySome(mux, (repeat) => cachedOf(ESTABLISHED, repeat));
    return measure(harness, mux, what, {
      exchange: (repeat) => cachedOf(ESTABLISHED, repeat),
      counted: (moved) => ({
        wanted: moved('FORWARD_CACHED'),
        crowded: moved('FORWARD_ANSWERED') + moved('FORWARD_UNRECORDED'),
      }),
    });
  } finally {
    mux.close();
  }
}

/**
 * Each packet is the ask for another flow's SYN, 65,536 of them a run, with a tag of its own; the table is emptied before
 * each run, so that none is known.
 */
export async function measureNewAtOwner(): Promise<number> {
  const flows = askFlows(SYN);
  const mux = await loadTrackedMux(2, true);
  const first = askOf(SYN, 0).input;
  const what = { restore: 'restore_ask', sent: SYN, frameBytes: first.length, repeats: FLOWS - 1 };
  using harness = loadHarness(what, templateOf(first));
  giveAskFlows(harness, flows);
  try {
    synchronise(mux);
    verifySome(mux, (repeat) => askOf(SYN, repeat));
    return measure(harness, mux, what, {
      exchange: (repeat) => askOf(SYN, repeat),
      counted: (moved) => ({ wanted: moved('FLOW_NEW'), crowded: moved('FLOW_TABLE_FULL') }),
      before: () => {
        mux.clearTables();
        synchronise(mux);
      },
    });
  } finally {
    mux.close();
  }
}

/** What 65,536 flows of clean slots leave behind, in table and cache. */
export async function entriesAfterCleanTraffic(): Promise<number> {
  const mux = await loadTrackedMux(2, false);
  try {
    for (let repeat = 0; repeat < FLOWS; repeat++) {
      const { input, output } = cleanOf(ESTABLISHED, repeat);
      const run = mux.run(input);
      if (repeat % 257 === 0 && Buffer.compare(run.output, output) !== 0)
        throw new Error(`the packet of clean flow ${repeat} went elsewhere`);
    }
    return mux.allEntries().length + mux.cached().length;
  } finally {
    mux.close();
  }
}

type Checks = {
  exchange(repeat: number): Exchange;
  counted(moved: (name: string) => number): { wanted: number; crowded: number };
  before?: () => void;
};

/** Net cost: the fastest round of the mux, less that of a program that only returns. The first round warms caches. */
function measure(harness: LoadedObject, mux: TrackedMux, what: Measured, checks: Checks): number {
  const costs = { bare: [] as number[], mux: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    const bare = time(harness, harness.program('bare'), what).cost;
    checks.before?.();
    const before = mux.counts();
    const { cost, verdict, output } = time(harness, mux.object.program('mux'), what);
    const after = mux.counts();
    verify(checks.exchange(what.repeats).output, verdict, output);
    const { wanted, crowded } = checks.counted((name) => Number(after[name]! - before[name]!));
    const runs = what.repeats + 1;
    if (wanted + crowded !== runs || crowded > runs * CROWDED_MAX)
      throw new Error(
        `of ${runs} packets ${wanted} were what was to be measured, and ${crowded} crowded out`,
      );
    if (round === 0) continue;
    costs.bare.push(bare);
    costs.mux.push(cost);
  }
  return Math.min(...costs.mux) - Math.min(...costs.bare);
}

function time(harness: LoadedObject, program: Program, { restore, sent, frameBytes, repeats }: Measured) {
  const state = new BigUint64Array(harness.map('.data.state').mmap(), 0, 4);
  const data = new Uint8Array(frameBytes);
  data.set(sent.bytes.subarray(0, frameBytes));
  harness.map('under_test').update(new Uint8Array(4), Uint32Array.of(program.fd));
  state.fill(0n);
  const run = harness.program(restore).testRun({ data, dataOutSize: 2048, repeat: repeats + 1 });
  if (state[REPEAT] !== BigInt(repeats + 1)) throw new Error('the test run was interrupted: run it again');
  if (state[UNRESTORED] !== 0n) throw new Error(`${state[UNRESTORED]} packets could not be restored`);
  const cost = Number(state[ENDED_NS]! - state[STARTED_NS]!) / repeats;
  return { cost, verdict: run.retval, output: run.dataOut! };
}

function verifySome(mux: TrackedMux, exchange: (repeat: number) => Exchange): void {
  for (let repeat = 0; repeat < 256; repeat++) {
    const { input, output } = exchange(repeat * 256);
    const run = mux.run(input);
    verify(output, run.verdict === 'TX' ? XDP_TX : -1, run.output);
  }
}

function verify(wanted: Uint8Array, verdict: number, output: Uint8Array): void {
  if (verdict !== XDP_TX) throw new Error(`verdict ${verdict}, expected ${XDP_TX}`);
  if (Buffer.compare(wanted, output) !== 0)
    throw new Error(
      `the packet is not as it has to be:\n${Buffer.from(output).toString('hex')}\n${Buffer.from(wanted).toString('hex')}`,
    );
}

/** A frame's head as the harness writes it; what differs from flow to flow it writes over. */
function templateOf(input: Uint8Array): Uint8Array {
  const template = input.slice(0, ASK_TEMPLATE_BYTES);
  const client = SYN.bytes.subarray(SYN.clientAddressOffset, SYN.clientAddressOffset + 4);
  template.set(client, SYN.clientAddressOffset + ASK_BYTES);
  return template;
}

function loadHarness(
  { restore, sent, frameBytes, repeats }: Measured,
  askTemplate: Uint8Array,
): LoadedObject {
  const opened = openObject(HARNESS);
  const moved = restore === 'restore_ask' ? ASK_BYTES : 0;
  const words = (bytes: Uint8Array) => [...new BigUint64Array(bytes.slice().buffer)];
  opened.setConstants({
    packet_template: words(sent.bytes.slice(0, TEMPLATE_BYTES)),
    ask_template: words(askTemplate),
    frame_bytes: frameBytes,
    client_address_offset: sent.clientAddressOffset + moved,
    client_port_offset: sent.clientPortOffset + moved,
    flow_mask: FLOWS - 1,
    repeats: BigInt(repeats),
  });
  return opened.load();
}
