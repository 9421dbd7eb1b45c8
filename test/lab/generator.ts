// Owns the packet generator: floods of small packets out of one end of a veth pair towards the program at the other.
// Generator, program and counting share one CPU: figures compare with each other, not with a network adapter's.
import { setTimeout as sleep } from 'node:timers/promises';
import { Rtnetlink, withNetns } from '@holdfast/linux';
import type { LoadedObject } from 'libbpf-ts';
import { ECHO_PORT, GENERATOR_NETWORK, type LabNode, type LabPlan, netnsPath } from './plan.ts';
import { type LabPorts, openTestObject } from './programs.ts';

export const FRAME_BYTES = 64;
const BATCH_PACKETS = 64;
/** Packets of one test run; the process stands still meanwhile. */
const RUN_PACKETS = 500_000;
const RUNS_MAX = 64;
const DRAIN_MS = 50;
const TRICKLE_FLOWS = 4_096;
const TRICKLE_BURSTS_MAX = 20_000;
const PROTOCOLS = { tcp: 6, udp: 17 } as const;
// Words of struct state in generator.bpf.c.
const [SENT, WANTED, STARTED_NS, ENDED_NS] = [0, 1, 2, 3];

export type GeneratorOptions = {
  /** Path of the namespace, and the interface in it that the packets leave by. */
  readonly netns: string;
  readonly device: string;
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** IPv4 */
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** A power of two, 65,536 at most. */
  readonly flows: number;
};

export class Generator {
  readonly #object: LoadedObject;
  readonly #state: BigUint64Array;
  readonly #netns: string;
  readonly #ifindex: number;
  readonly #template: Uint8Array;
  readonly #macs: readonly number[];

  constructor(options: GeneratorOptions) {
    using rtnetlink = new Rtnetlink({ netns: options.netns });
    const ifindex = rtnetlink.link(options.device)?.ifindex;
    if (ifindex === undefined) throw new Error(`${options.netns} has no link ${options.device}`);
    const open = openTestObject('generator');
    this.#macs = [...macBytes(options.destinationMac), ...macBytes(options.sourceMac)];
    open.setConstants({
      macs: [...new Uint32Array(Uint8Array.from(this.#macs).buffer)],
      client_network: storedAddress(GENERATOR_NETWORK),
      flow_mask: options.flows - 1,
    });
    this.#object = open.load();
    this.#state = new BigUint64Array(this.#object.map('.data.state').mmap(), 0, 4);
    this.#netns = options.netns;
    this.#ifindex = ifindex;
    this.#template = templateFrame(options);
  }

  /** Sends so many packets or, where the kernel broke the run off and began anew, more; ns from the first to the last. */
  run(packets: number): { readonly sent: number; readonly durationNs: number } {
    this.#state.fill(0n);
    this.#state[WANTED] = BigInt(packets);
    const ctx = { ingressIfindex: this.#ifindex };
    const data = this.#template;
    withNetns(this.#netns, () => {
      const program = this.#object.program('generate');
      program.testRun({ data, ctx, repeat: packets, liveFrames: true, batchSize: BATCH_PACKETS });
    });
    const durationNs = Number(this.#state[ENDED_NS]! - this.#state[STARTED_NS]!);
    return { sent: Number(this.#state[SENT]!), durationNs };
  }

  /** The frame of a flow, as the program makes it. */
  frameOf(flow: number): Uint8Array {
    const frame = this.#template.slice();
    const view = new DataView(frame.buffer);
    frame.set(this.#macs, 0);
    view.setUint16(12, 0x0800);
    frame.set(GENERATOR_NETWORK.split('.').map(Number), 26);
    view.setUint16(28, flow);
    view.setUint16(34, 1024 + (flow & 0x3fff));
    return frame;
  }

  close(): void {
    this.#object.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

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

/**
 * Sends UDP towards nodes in bursts that their receive rings hold, and counts what comes back: what is missing was not
 * lost for lack of room. The caller closes it.
 */
export class Trickle {
  readonly #generators: readonly Generator[];
  readonly #ports: LabPorts;

  constructor(plan: LabPlan, ports: LabPorts, ...towards: readonly LabNode[]) {
    this.#generators = towards.map((node) => generatorTowards(plan, node, TRICKLE_FLOWS));
    this.#ports = ports;
  }

  /** Bursts until `done` says so; packets sent, and those that came back in a tunnel. */
  async run(done: () => boolean): Promise<{ sent: number; tunnelled: number }> {
    const before = this.#ports.returned().tunnelled;
    let sent = 0;
    for (let bursts = 0; bursts < TRICKLE_BURSTS_MAX && !done(); bursts++) {
      for (const generator of this.#generators) sent += generator.run(BATCH_PACKETS).sent;
      await sleep(1);
    }
    await sleep(DRAIN_MS);
    return { sent, tunnelled: this.#ports.returned().tunnelled - before };
  }

  close(): void {
    for (const generator of this.#generators) generator.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Floods a node for about `durationMs` with UDP; counts what comes back. */
export async function flood(
  plan: LabPlan,
  ports: LabPorts,
  towards: LabNode,
  options: { durationMs: number; flows: number },
): Promise<FloodResult> {
  using generator = generatorTowards(plan, towards, options.flows);
  // The first run warms up caches and pages.
  generator.run(RUN_PACKETS / 10);
  await sleep(DRAIN_MS);
  const before = ports.returned();
  let [sent, durationNs] = [0, 0];
  for (let runs = 0; runs < RUNS_MAX && durationNs < options.durationMs * 1e6; runs += 1) {
    const run = generator.run(RUN_PACKETS);
    sent += run.sent;
    durationNs += run.durationNs;
  }
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
    durationMs: Math.round(durationNs / 1e6),
    mpps: Math.round((returned / durationNs) * 1e6) / 1000,
    nsPerPacket: Math.round(durationNs / Math.max(returned, 1)),
  };
}

function generatorTowards(plan: LabPlan, towards: LabNode, flows: number): Generator {
  return new Generator({
    netns: netnsPath(plan.router.netns),
    device: towards.name,
    sourceMac: towards.gatewayMac,
    destinationMac: towards.mac,
    destination: plan.services4[0]!,
    protocol: 'udp',
    port: ECHO_PORT,
    flows,
  });
}

/** What no program under test changes; the generator fills in the rest. */
function templateFrame({ destination, protocol, port }: GeneratorOptions): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint8(14, 0x45);
  view.setUint16(16, FRAME_BYTES - 14);
  view.setUint8(22, 64);
  view.setUint8(23, PROTOCOLS[protocol]);
  frame.set(destination.split('.').map(Number), 30);
  view.setUint16(36, port);
  // A TCP header of 20 bytes with ACK: an established flow.
  if (protocol === 'tcp') frame.set([0x50, 0x10], 46);
  else view.setUint16(38, FRAME_BYTES - 34);
  return frame;
}

function macBytes(mac: string): number[] {
  return mac.split(':').map((octet) => Number.parseInt(octet, 16));
}

/** An IPv4 address in network order, as a number that this machine stores. */
function storedAddress(text: string): number {
  return new DataView(Uint8Array.from(text.split('.').map(Number)).buffer).getUint32(0, true);
}
