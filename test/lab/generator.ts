// Owns the packet generator: floods of small UDP packets from the router's end of a veth pair towards a mux, or the
// reflector in the same position. Generator, program under test and counting share one CPU: figures compare with each
// other, not with a network adapter's.
import { setTimeout as sleep } from 'node:timers/promises';
import { Rtnetlink, withNetns } from '@holdfast/linux';
import { ECHO_PORT, GENERATOR_NETWORK, type LabNode, type LabPlan, netnsPath } from './plan.ts';
import { type LabPorts, openTestObject } from './programs.ts';

const FRAME_BYTES = 64;
const BATCH_PACKETS = 64;
/** Packets of one test run; the process stands still meanwhile. */
const RUN_PACKETS = 500_000;
const RUNS_MAX = 64;
const DRAIN_MS = 50;
const UDP = 17;

export type FloodResult = {
  readonly towards: string;
  readonly flows: number;
  readonly sent: number;
  /** Came back, in a tunnel or as they were. */
  readonly returned: number;
  readonly tunnelled: number;
  readonly durationMs: number;
  readonly mpps: number;
  readonly nsPerPacket: number;
};

/** Floods a node for about `durationMs`; counts what comes back. `flows` is a power of two, 65,536 at most. */
export async function flood(
  plan: LabPlan,
  ports: LabPorts,
  towards: LabNode,
  options: { durationMs: number; flows: number },
): Promise<FloodResult> {
  const routerPath = netnsPath(plan.router.netns);
  using rtnetlink = new Rtnetlink({ netns: routerPath });
  const ifindex = rtnetlink.link(towards.name)?.ifindex;
  if (ifindex === undefined) throw new Error(`the router has no link to ${towards.name}`);
  const open = openTestObject('generator');
  open.setConstants({
    macs: [
      ...new Uint32Array(Uint8Array.from([...macBytes(towards.mac), ...macBytes(towards.gatewayMac)]).buffer),
    ],
    client_network: storedAddress(GENERATOR_NETWORK),
    flow_mask: options.flows - 1,
  });
  using object = open.load();
  const program = object.program('generate');
  const data = templateFrame(plan.services4[0]!);
  const run = (repeat: number): void => {
    const ctx = { ingressIfindex: ifindex };
    program.testRun({ data, ctx, repeat, liveFrames: true, batchSize: BATCH_PACKETS });
  };

  // The first run warms up caches and pages.
  withNetns(routerPath, () => run(RUN_PACKETS / 10));
  await sleep(DRAIN_MS);
  const before = ports.returned();
  const startedMs = performance.now();
  let sent = 0;
  for (let runs = 0; runs < RUNS_MAX && performance.now() - startedMs < options.durationMs; runs += 1) {
    withNetns(routerPath, () => run(RUN_PACKETS));
    sent += RUN_PACKETS;
  }
  const durationMs = performance.now() - startedMs;
  await sleep(DRAIN_MS);
  const after = ports.returned();
  const tunnelled = after.tunnelled - before.tunnelled;
  const returned = tunnelled + after.bare - before.bare;
  return {
    towards: towards.name,
    flows: options.flows,
    sent,
    returned,
    tunnelled,
    durationMs: Math.round(durationMs),
    mpps: Math.round(returned / durationMs) / 1000,
    nsPerPacket: Math.round((durationMs * 1e6) / Math.max(returned, 1)),
  };
}

/** IPv4 and UDP headers that no program under test changes; the generator fills in the rest. */
function templateFrame(destination: string): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint8(14, 0x45);
  view.setUint16(16, FRAME_BYTES - 14);
  view.setUint8(22, 64);
  view.setUint8(23, UDP);
  frame.set(destination.split('.').map(Number), 30);
  view.setUint16(36, ECHO_PORT);
  view.setUint16(38, FRAME_BYTES - 34);
  return frame;
}

function macBytes(mac: string): number[] {
  return mac.split(':').map((octet) => Number.parseInt(octet, 16));
}

/** An IPv4 address in network order, as a number that this machine stores. */
function storedAddress(text: string): number {
  return new DataView(Uint8Array.from(text.split('.').map(Number)).buffer).getUint32(0, true);
}
