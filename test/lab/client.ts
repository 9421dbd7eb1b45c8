// A client's process: makes the lab's connections and checks what comes back. Reads calls from standard input and
// answers on standard output (protocol.ts); ends with its input.
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { sendDatagrams } from './client/datagrams.ts';
import { Holder } from './client/hold.ts';
import { probe, requests, transfer } from './client/http.ts';
import { Streams } from './client/stream.ts';
import { TrafficSource } from './client/traffic.ts';
import type { Call, OperationName, Operations, Reply } from './protocol.ts';

type Handlers = {
  [K in OperationName]: (argument: Operations[K]['argument']) => Promise<Operations[K]['result']>;
};

const holder = new Holder();
const streams = new Streams();
const traffic = new TrafficSource(randomBytes(4).toString('hex'));

const handlers: Handlers = {
  requests: (load) => requests(load, randomBytes(4).toString('hex')),
  datagrams: (load) => sendDatagrams(load),
  startStream: async (what) => {
    await streams.start(what);
    return {};
  },
  streamStatus: async ({ sourcePort }) => streams.status(sourcePort),
  stopStream: ({ sourcePort }) => streams.stop(sourcePort),
  transfer: (what) => transfer(what),
  probe: (what) => probe(what),
  hold: (what) => holder.hold(what),
  steerHeld: ({ trafficClass }) => holder.steer(trafficClass),
  heldStatus: async () => holder.status(),
  heldConnections: async () => holder.connections(),
  release: async () => holder.release(),
  startTraffic: async (what) => {
    traffic.start(what);
    return {};
  },
  markTraffic: async () => {
    traffic.mark();
    return {};
  },
  trafficStatus: async () => traffic.status(),
  stopTraffic: () => traffic.stop(),
};

const input = createInterface({ input: process.stdin });
input.on('line', (line) => void handle(JSON.parse(line) as Call));
input.on('close', () => process.exit(0));
process.stdout.write('{"ready":true}\n');

async function handle(call: Call): Promise<void> {
  let reply: Reply;
  try {
    const handler = handlers[call.operation] as (argument: unknown) => Promise<unknown>;
    reply = { id: call.id, result: await handler(call.argument) };
  } catch (error) {
    reply = { id: call.id, error: error instanceof Error ? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
