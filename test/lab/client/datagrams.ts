// Owns UDP from a client's side: one datagram a flow, each from a port of its own, echoed and compared.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { streamBytes } from '../payload.ts';
import { ECHO_PORT } from '../plan.ts';
import type { DatagramLoad, LoadResult } from '../protocol.ts';
import { concurrently, Tally } from './tally.ts';

const LINE_FEED = 10;

export async function sendDatagrams(load: DatagramLoad): Promise<LoadResult> {
  const tally = new Tally();
  await concurrently(load.count, load.concurrency, async (index) => {
    const startedMs = performance.now();
    try {
      const address = load.addresses[index % load.addresses.length]!;
      const backend = await echo(address, streamBytes(index, load.sizeBytes), load.timeoutMs);
      tally.succeeded(backend, performance.now() - startedMs);
    } catch (error) {
      tally.failed(error);
    }
  });
  return tally.result();
}

async function echo(address: string, payload: Buffer, timeoutMs: number): Promise<string> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const failed = new AbortController();
  try {
    const signal = AbortSignal.any([failed.signal, AbortSignal.timeout(timeoutMs)]);
    const answered = once(socket, 'message', { signal });
    socket.send(payload, ECHO_PORT, address, (error) => error && failed.abort(error));
    const [message] = (await answered.catch((error: unknown) => {
      throw failed.signal.aborted ? failed.signal.reason : new Error('no answer', { cause: error });
    })) as [Buffer];
    const end = message.indexOf(LINE_FEED);
    if (!message.subarray(end + 1).equals(payload)) throw new Error('the echo differs');
    return message.subarray(0, end).toString();
  } finally {
    socket.close();
  }
}
