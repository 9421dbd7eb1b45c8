// What a backend serves, on every service address: HTTP on port 80, echo over TCP and UDP on port 7. Every answer says
// which backend gave it.
//
//   GET /hello/NONCE   {"backend", "nonce"}
//   GET /bytes/SIZE    SIZE bytes of the stream (payload.ts)
//   POST /digest       {"backend", "sizeBytes", "sha256"} of the request's body
//   GET /ready         {"backend", "ready"}, with 503 after POST /ready/off until POST /ready/on
//   TCP 7              the backend's name and a line feed, then what comes, where that is the connection's stream
//   UDP 7              the backend's name, a line feed and the datagram
//
// Started as: server.ts NAME ADDRESS…; says {"ready":true} when it listens everywhere.
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, isIPv6, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isOfStream, streamChunks, streamStart } from './payload.ts';
import { ECHO_PORT, HTTP_PORT } from './plan.ts';
import type { Connection } from './protocol.ts';

const BODY_LIMIT_BYTES = 1 << 30;
const LISTEN_BACKLOG = 4096;

const [name = '', ...addresses] = process.argv.slice(2);
let isReady = true;

await Promise.all(addresses.flatMap((address) => [serveHttp(address), echoTcp(address), echoUdp(address)]));
process.stdout.write('{"ready":true}\n');

async function serveHttp(address: string): Promise<void> {
  const server = createHttpServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.listen({ host: address, port: HTTP_PORT, ipv6Only: isIPv6(address), backlog: LISTEN_BACKLOG });
  await once(server, 'listening');
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, what = '', argument = ''] = (request.url ?? '').split('/');
  response.setHeader('x-backend', name);
  if (what === 'hello') {
    respond(response, { backend: name, nonce: argument });
  } else if (what === 'bytes') {
    const sizeBytes = Number(argument);
    if (!Number.isInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > BODY_LIMIT_BYTES) {
      response.writeHead(400).end();
      return;
    }
    response.setHeader('content-length', sizeBytes);
    await pipeline(Readable.from(streamChunks(sizeBytes)), response);
  } else if (what === 'digest') {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      hash.update(chunk);
    }
    respond(response, { backend: name, sizeBytes, sha256: hash.digest('hex') });
  } else if (what === 'ready') {
    if (request.method === 'POST') isReady = argument === 'on';
    else if (!isReady) response.statusCode = 503;
    respond(response, { backend: name, ready: isReady });
  } else {
    response.writeHead(404).end();
  }
}

function respond(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
}

async function echoTcp(address: string): Promise<void> {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    // A client that goes away is no event here.
    socket.on('error', () => socket.destroy());
    socket.write(`${name}\n`);
    const start = streamStart(connectionFrom(socket));
    let checked = 0;
    socket.on('data', (bytes: Buffer) => {
      // Whatever is wrong here is an echo that differs there.
      if (!isOfStream(bytes, start + checked)) socket.end('these bytes are not those of the stream\n');
      else if (!socket.write(bytes)) socket.pause();
      checked += bytes.length;
    });
    socket.on('drain', () => socket.resume());
  });
  server.listen({ host: address, port: ECHO_PORT, ipv6Only: isIPv6(address), backlog: LISTEN_BACKLOG });
  await once(server, 'listening');
}

/** As its client names it. */
function connectionFrom({ localAddress, remoteAddress, remotePort }: Socket): Connection {
  return {
    source: remoteAddress ?? '',
    sourcePort: remotePort ?? 0,
    destination: localAddress ?? '',
    destinationPort: ECHO_PORT,
  };
}

async function echoUdp(address: string): Promise<void> {
  const greeting = Buffer.from(`${name}\n`);
  const socket = createSocket(isIPv6(address) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
  socket.on('message', (message, peer) => {
    socket.send(Buffer.concat([greeting, message]), peer.port, peer.address, () => undefined);
  });
  socket.bind(ECHO_PORT, address);
  await once(socket, 'listening');
}
