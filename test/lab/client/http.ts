// Owns HTTP from a client's side: many small requests on connections of their own, large transfers, probes.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { streamChunks, streamDigest } from '../payload.ts';
import { HTTP_PORT } from '../plan.ts';
import type { LoadResult, Probe, ProbeResult, RequestLoad, Transfer, TransferResult } from '../protocol.ts';
import { concurrently, round, Tally } from './tally.ts';

export async function requests(load: RequestLoad, nonce: string): Promise<LoadResult> {
  const tally = new Tally();
  await concurrently(load.count, load.concurrency, async (index) => {
    const address = load.addresses[index % load.addresses.length]!;
    const startedMs = performance.now();
    try {
      const backend = await hello(address, `${nonce}-${index}`, load.timeoutMs);
      tally.succeeded(backend, performance.now() - startedMs);
    } catch (error) {
      tally.failed(error);
    }
  });
  return tally.result();
}

/** A request, and the backend that answered this very one. */
export async function hello(
  address: string,
  nonce: string,
  timeoutMs: number,
  options: RequestOptions = {},
): Promise<string> {
  const body = await text(await send(address, `/hello/${nonce}`, timeoutMs, options));
  const { backend, nonce: returned } = JSON.parse(body) as { backend: string; nonce: string };
  if (returned !== nonce) throw new Error('the answer is to another request');
  return backend;
}

export async function transfer(what: Transfer): Promise<TransferResult> {
  const startedMs = performance.now();
  const { backend, sizeBytes, sha256 } =
    what.direction === 'download' ? await download(what) : await upload(what);
  return {
    backend,
    intact: sizeBytes === what.sizeBytes && sha256 === streamDigest(what.sizeBytes),
    sizeBytes,
    durationMs: round(performance.now() - startedMs),
  };
}

/** The handshake takes whatever mux; the request, on the same connection, the mux that the class names. */
export async function probe({ address, trafficClass, timeoutMs }: Probe): Promise<ProbeResult> {
  const socket = connect({ host: address, port: HTTP_PORT, signal: AbortSignal.timeout(timeoutMs) });
  try {
    await once(socket, 'connect');
    socket.setTypeOfService(trafficClass);
    const startedMs = performance.now();
    const response = await send(address, '/hello/probe', timeoutMs, { createConnection: () => socket });
    const { backend } = JSON.parse(await text(response)) as { backend: string };
    return { backend, roundTripMs: round(performance.now() - startedMs) };
  } finally {
    socket.destroy();
  }
}

async function download(what: Transfer): Promise<Received> {
  const response = await send(what.address, `/bytes/${what.sizeBytes}`, what.timeoutMs);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    hash.update(chunk);
  }
  return { backend: String(response.headers['x-backend']), sizeBytes, sha256: hash.digest('hex') };
}

async function upload(what: Transfer): Promise<Received> {
  const body = Readable.from(streamChunks(what.sizeBytes));
  const response = await send(what.address, '/digest', what.timeoutMs, { method: 'POST' }, body);
  return JSON.parse(await text(response)) as Received;
}

interface Received {
  readonly backend: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

async function send(
  host: string,
  path: string,
  timeoutMs: number,
  options: RequestOptions = {},
  body?: Readable,
): Promise<IncomingMessage> {
  const request = httpRequest({
    host,
    port: HTTP_PORT,
    path,
    // An agent, even one of its own, would open another connection than the one that is given.
    ...(options.createConnection === undefined && { agent: false }),
    signal: AbortSignal.timeout(timeoutMs),
    ...options,
  });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  // Whichever fails first says why; the other's failure follows from it.
  answered.catch(() => undefined);
  if (body === undefined) request.end();
  else await pipeline(body, request);
  const [response] = await answered;
  if (response.statusCode !== 200) {
    response.resume();
    throw new Error(`HTTP status ${response.statusCode}`);
  }
  return response;
}

async function text(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
