// A process that floods a mux over a veth pair, run by run, until its parent ends it. Frames are handled on the CPU that
// makes them, so that a run is over when each of its packets has come back or is lost.
import { execFileSync } from 'node:child_process';
import { basename } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Rtnetlink, withNetns } from '@holdfast/linux';
import { frameOf } from '../../control/dataplane/frame.ts';
import { GENERATOR_NETWORK, GUE_PORT } from './plan.ts';
import { openTestObject } from './programs.ts';

export type FlooderOptions = {
  /** The end of the veth pair that sends, by name and path, and the other one. */
  netns: string;
  device: string;
  peerNetns: string;
  peerDevice: string;
  service: string;
  port: number;
  /** As a mux would send it to this address, by GUE. */
  tunnelTo?: string;
};

export type FlooderCount = {
  /** Without those that found the queue towards the other end full: no program has seen them. */
  sent: number;
  /** Came back, in a tunnel and otherwise. */
  tunnelled: number;
  bare: number;
  /** Found the queue back full, when the program was done with them. */
  stuck: number;
};

const FLOWS = 4096;
const BATCH_PACKETS = 64;
const ETHERNET_BYTES = 14;
const PACKET_BYTES = 46;
const UDP_OVER_IPV4_BYTES = 28;
/** As the generator has it. */
const TUNNEL_BYTES = 48;
/** Of one run, some 10 ms. */
const RUN_PACKETS = 20_000;

const options = JSON.parse(process.argv[2]!) as FlooderOptions;
const { netns, device, service, port, tunnelTo } = options;
const swapped = ((GUE_PORT & 0xff) << 8) | (GUE_PORT >> 8);
const openPorts = openTestObject('port');
openPorts.setConstants({ gue_port: swapped });
using ports = openPorts.load();
using _link = ports.program('port').attachXdp({ interface: device, netns, mode: 'native' });

const source = '198.19.0.1';
const flow = { protocol: 'udp', source, destination: service, destinationPort: port } as const;
const plain = frameOf({ ...flow, lengthBytes: PACKET_BYTES });
const data = tunnelTo === undefined ? plain : tunnelled(plain.subarray(ETHERNET_BYTES), tunnelTo);

const openGenerator = openTestObject('generator');
const network = new DataView(Uint8Array.from(GENERATOR_NETWORK.split('.').map(Number)).buffer);
openGenerator.setConstants({
  macs: [0x0000_0002, 0x0002_0100, 0x0200_0000],
  client_network: network.getUint32(0, true),
  flow_mask: FLOWS - 1,
  in_tunnel: tunnelTo !== undefined,
  tunnel: [...new Uint32Array(data.slice(0, TUNNEL_BYTES).buffer)],
});
using generator = openGenerator.load();
const program = generator.program('generate');
using rtnetlink = new Rtnetlink({ netns });
const ingressIfindex = rtnetlink.link(device)!.ifindex;

function tunnelled(inner: Uint8Array, destination: string): Uint8Array {
  const lengthBytes = UDP_OVER_IPV4_BYTES + inner.length;
  const outer = { protocol: 'udp', source, destination, destinationPort: GUE_PORT, lengthBytes } as const;
  const frame = frameOf(outer);
  frame.set(inner, ETHERNET_BYTES + UDP_OVER_IPV4_BYTES);
  return frame;
}

// The generator counts itself: a run that the kernel breaks off is begun again.
const made = new BigUint64Array(generator.map('.data.state').mmap(), 0, 1);
let isEnding = false;

function count(): FlooderCount {
  const words = (ports.map('returned').lookupPerCpu(new Uint8Array(4)) ?? []).map(
    (bytes) => new BigUint64Array(bytes.slice().buffer),
  );
  const sum = (index: number): number => Number(words.reduce((total, each) => total + each[index]!, 0n));
  return {
    sent: Number(made[0]!) - overrunsOf(options.netns, options.device),
    tunnelled: sum(0),
    bare: sum(1),
    stuck: overrunsOf(options.peerNetns, options.peerDevice),
  };
}

/** On a busy host a queue may run full while its softirq waits for its turn. */
function overrunsOf(path: string, name: string): number {
  const command = ['netns', 'exec', basename(path), 'ethtool', '-S', name];
  const lines = execFileSync('ip', command, { encoding: 'utf8' }).split('\n');
  const counts = lines.map((line) => /xdp_(?:xmit|tx)_errors: (\d+)/.exec(line)?.[1] ?? 0).map(Number);
  return counts.reduce((total, each) => total + each, 0);
}

process.on('message', (message) => {
  if (message === 'end') isEnding = true;
  process.send!(count());
});
process.on('disconnect', () => {
  isEnding = true;
});
process.send!(count());
while (!isEnding) {
  withNetns(netns, () =>
    program.testRun({
      data,
      ctx: { ingressIfindex },
      repeat: RUN_PACKETS,
      liveFrames: true,
      batchSize: BATCH_PACKETS,
    }),
  );
  await turn();
}
process.disconnect?.();
