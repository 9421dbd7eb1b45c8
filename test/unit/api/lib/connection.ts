// Owns talking to an API that listens: whole requests through Node.js's client, and raw bytes through a socket.
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';

export type HttpAnswer = { status: number; headers: IncomingMessage['headers']; text: string };

/** Through a connection of its own unless there is an agent. */
export async function ask(
  options: RequestOptions & { protocol?: string },
  body?: string | Buffer,
): Promise<HttpAnswer> {
  const response = await head(options, body);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode!, headers: response.headers, text: Buffer.concat(chunks).toString() };
}

/** As soon as the status is there; the body is still to be read. */
export async function head(
  options: RequestOptions & { protocol?: string },
  body?: string | Buffer,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const start = options.protocol === 'https:' ? httpsRequest : httpRequest;
  const request = start({ agent: false, ...options });
  request.once('response', resolve);
  request.once('error', reject);
  request.end(body);
  return await promise;
}

export async function opened(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => {});
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** What comes until the other side closes. */
export async function exchange(path: string, bytes: string | Buffer): Promise<string> {
  const socket = await opened(path);
  socket.write(bytes);
  return await untilClosed(socket);
}

export async function untilClosed(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks).toString();
}

/** Of the last answer in raw bytes. */
export function parsed(raw: string): { status: number; head: string; body: unknown } {
  const at = raw.indexOf('\r\n\r\n');
  const text = raw.slice(at + 4);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(raw)?.[1]);
  return { status, head: raw.slice(0, at).toLowerCase(), body: text === '' ? undefined : JSON.parse(text) };
}
