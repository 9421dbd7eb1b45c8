// Owns the probe that asks a server for its health over gRPC: grpc.health.v1.Health/Check (the GRPC Health Checking Protocol),
// one unary call over HTTP/2, plain or over TLS.
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { Result } from '../checks_core.ts';
import { bad, failed, good, inUrl, type Probe } from './probe.ts';
import { connected, end } from './stream.ts';

const PATH = '/grpc.health.v1.Health/Check';
/** A response has one byte of content; whoever sends more is no health service. */
const MESSAGE_BYTES_MAX = 4_096;
const PREFIX_BYTES = 5;
/** HealthCheckResponse.ServingStatus. */
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;
const GRPC_OK = '0';
const GRPC_UNIMPLEMENTED = '12';
const GRPC_NOT_FOUND = '5';

export const probeGrpc: Probe = async (question, signal) => {
  const { health, address, port } = question;
  const { host, grpcService = '', tls: settings } = health;
  try {
    const { socket, tls } = await connected(
      question,
      signal,
      settings === undefined ? undefined : { host, settings, alpn: ['h2'] },
    );
    const scheme = settings === undefined ? 'http' : 'https';
    const authority = host ?? `${inUrl(address)}:${port}`;
    const session = connect(`${scheme}://${authority}`, {
      createConnection: () => tls ?? socket,
      maxSessionMemory: 1,
      settings: { enablePush: false },
    });
    try {
      return await call(session, { scheme, authority, service: grpcService });
    } finally {
      session.destroy();
      end(socket);
    }
  } catch (error) {
    return failed(error);
  }
};

type Call = { readonly scheme: string; readonly authority: string; readonly service: string };

function call(session: ClientHttp2Session, { scheme, authority, service }: Call): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  session.on('error', reject);
  session.once('close', () => reject(new Error('connection closed before an answer')));
  const stream = session.request({
    ':method': 'POST',
    ':scheme': scheme,
    ':authority': authority,
    ':path': PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'holdfast-health',
  });
  let status: string | undefined;
  let httpStatus = 0;
  let message = Buffer.alloc(0);
  stream.on('response', (headers) => {
    httpStatus = Number(headers[':status'] ?? 0);
    status = headers['grpc-status'] as string | undefined;
  });
  stream.on('trailers', (trailers) => {
    status = trailers['grpc-status'] as string | undefined;
  });
  stream.on('data', (chunk: Buffer) => {
    message = Buffer.concat([message, chunk]);
    if (message.length <= MESSAGE_BYTES_MAX) return;
    stream.close(constants.NGHTTP2_CANCEL);
    resolve(bad(`the answer is longer than ${MESSAGE_BYTES_MAX} bytes`));
  });
  stream.on('error', reject);
  stream.on('end', () => resolve(judge(httpStatus, status, message)));
  stream.end(requestOf(service));
  return promise;
}

/** HealthCheckRequest { string service = 1; }, with gRPC's length prefix. */
export function requestOf(service: string): Buffer {
  const name = Buffer.from(service);
  const content = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(content.length, 1);
  return Buffer.concat([prefix, content]);
}

function judge(httpStatus: number, status: string | undefined, message: Buffer): Result {
  if (httpStatus !== 200) return bad(`HTTP status ${httpStatus}`);
  if (status === GRPC_UNIMPLEMENTED) return bad('the server has no grpc.health.v1.Health service');
  if (status === GRPC_NOT_FOUND) return bad('the server does not know the service that is asked about');
  if (status !== GRPC_OK) return bad(status === undefined ? 'no grpc-status' : `gRPC status ${status}`);
  const serving = servingStatusOf(message);
  if (serving === undefined) return bad('the answer is no HealthCheckResponse');
  const word = STATUSES[serving] ?? String(serving);
  return serving === SERVING ? good(word) : bad(word);
}

/** HealthCheckResponse { ServingStatus status = 1; }; absent is 0. Undefined: it is none, or compressed. */
export function servingStatusOf(message: Buffer): number | undefined {
  if (message.length < PREFIX_BYTES || message[0] !== 0) return undefined;
  if (message.readUInt32BE(1) !== message.length - PREFIX_BYTES) return undefined;
  let at = PREFIX_BYTES;
  let status = 0;
  const varintAt = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < message.length) {
    const tag = varintAt();
    const value = varintAt();
    if (tag === undefined || value === undefined) return undefined;
    if (tag === 0x08) status = value;
    // Fields of later versions: their content is skipped by its length, others are numbers that were read.
    else if ((tag & 7) === 2) at += value;
    else if ((tag & 7) !== 0) return undefined;
  }
  return at === message.length ? status : undefined;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}
