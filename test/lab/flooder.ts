// A process that floods a mux over a veth pair, run by run, until its parent ends it. Frames are handled on the CPU that
// makes them, so that a run is over when each of its packets has come back or is lost.
import { setImmediate as turn } from 'node:timers/promises';
import { Rtnetlink, withNetns } from '@holdfast/linux';
import { frameOf } from '../../control/dataplane/frame.ts';
import { GENERATOR_NETWORK, GUE_PORT } from './plan.ts';
import { openTestObject } from './programs.ts';

export type FlooderOptions = {
  netns: string;
  device: string;
  service: string;
  port: number;
  /** As a mux would send it to this address, by GUE. */
  tunnelTo?: string;
};

export type FlooderCount = { sent: number; tunnelled: number; bare: number };

const FLOWS = 4096;
const BATCH_PACKETS = 64;
const ETHERNET_BYTES = 14;
const PACKET_BYTES = 46;
const UDP_OVER_IPV4_BYTES = 28;
/** As the generator has it. */
const TUNNEL_BYTES = 48;
/** Of one run, some 10 ms. */
const RUN_PACKETS = 20_000;

const { netns, device, service, port, tunnelTo } = JSON.parse(process.argv[2]!) as FlooderOptions;
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

let sent = 0;
let isEnding = false;

function count(): FlooderCount {
  const words = (ports.map('returned').lookupPerCpu(new Uint8Array(4)) ?? []).map(
    (bytes) => new BigUint64Array(bytes.slice().buffer),
  );
  const sum = (index: number): number => Number(words.reduce((total, each) => total + each[index]!, 0n));
  return { sent, tunnelled: sum(0), bare: sum(1) };
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
  sent += RUN_PACKETS;
  await turn();
}
process.disconnect?.();
