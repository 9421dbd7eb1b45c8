// Owns the HTTP server under the API: its limits, what is answered to what is no HTTP, and its end. Where it listens is
// listen.ts; what requests mean is server.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions as TlsOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import ipaddr from 'ipaddr.js';
import type { Logger } from 'pino';
import { Failure } from '../lib/failure.ts';
import { BODY_BYTES_MAX } from './body.ts';
import { failureResponse, RequestFailure } from './failures.ts';
import { nowAndThen } from './now_and_then.ts';
import type { Api } from './server.ts';

export type ServerLimits = {
  readonly connectionsMax: number;
  /** Of one network of clients: an IPv4 address, or a /64 of IPv6. */
  readonly networkConnectionsMax: number;
  /** For the head of a request, from its first byte; also for a TLS handshake. */
  readonly headTimeoutMs: number;
  /** For a whole request. Answers may take as long as they need. */
  readonly requestTimeoutMs: number;
  /** How long a connection may be without a request. */
  readonly idleTimeoutMs: number;
  /** How long requests may still take once the server closes. */
  readonly closeWaitMs: number;
};

export const SERVER_LIMITS: ServerLimits = {
  connectionsMax: 256,
  networkConnectionsMax: 256,
  headTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  closeWaitMs: 5_000,
};

const HEAD_BYTES_MAX = 16 << 10;
const HEADERS_MAX = 100;
/** Node.js looks for connections that are too late this often. */
const CHECK_INTERVAL_MS = 1_000;
const CLOSE_INTERVAL_MS = 50;
/** Finds clients that vanished while a stream waits for something to say. */
const TCP_KEEP_ALIVE_MS = 30_000;

type Log = Pick<Logger, 'info' | 'warn'>;

export class HttpServer {
  readonly server: Server;
  readonly #limits: ServerLimits;
  /** With their networks; undefined for a Unix socket. */
  readonly #sockets = new Map<Socket, string | undefined>();
  readonly #answers = new WeakMap<Duplex, ServerResponse>();
  /** Whose handshake is over, with a certificate that counts. */
  readonly #known = new Set<TLSSocket>();

  /** Over TLS where there are options for it. */
  constructor(api: Pick<Api, 'fetch'>, log: Log, limits: ServerLimits, tls?: TlsOptions) {
    this.#limits = limits;
    const options = {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: limits.headTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    };
    this.server =
      tls === undefined
        ? createServer(options)
        : createSecureServer({ ...options, ...tls, handshakeTimeout: limits.headTimeoutMs });
    this.server.maxConnections = limits.connectionsMax;
    this.server.maxHeadersCount = HEADERS_MAX;
    this.#answer(api);
    this.#refuse(log);
    if (tls !== undefined) this.#reportStrangers(log);
  }

  /** Takes no more requests, lets those that have begun finish, and then ends what is left. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.server.close(() => resolve());
    // A connection whose last answer ends now would stay for its next request.
    const idle = setInterval(() => this.server.closeIdleConnections(), CLOSE_INTERVAL_MS);
    const late = setTimeout(() => {
      for (const socket of this.#sockets.keys()) socket.destroy();
    }, this.#limits.closeWaitMs);
    await promise;
    clearInterval(idle);
    clearTimeout(late);
  }

  /** Whose handshake is over. */
  clients(): readonly TLSSocket[] {
    return [...this.#known];
  }

  #answer(api: Pick<Api, 'fetch'>): void {
    const listener = getRequestListener(api.fetch, {
      overrideGlobalObjects: false,
      errorHandler: (error) => {
        const reason = error instanceof Error ? error.message : String(error);
        return failureResponse(new Failure('invalid', 'The request cannot be understood.', { reason }));
      },
    });
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answers.set(request.socket, response);
      // Whatever a client calls us, it has reached us; the adapter would judge the name.
      request.headers.host = 'holdfast';
      void listener(request, response);
    };
    this.server.on('request', answer);
    this.server.on('checkExpectation', answer);
    this.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      if (Number(request.headers['content-length'] ?? 0) <= BODY_BYTES_MAX) response.writeContinue();
      answer(request, response);
    });
  }

  #refuse(log: Log): void {
    const { server } = this;
    const dropped = nowAndThen((record) => log.warn(record, 'too many API connections'));
    server.on('connection', (socket: Socket) => {
      const network = networkOf(socket.remoteAddress);
      const others = [...this.#sockets.values()].filter((it) => it === network).length;
      const { networkConnectionsMax: max } = this.#limits;
      if (network !== undefined && others >= max) {
        dropped({ address: socket.remoteAddress, max });
        socket.destroy();
        return;
      }
      this.#sockets.set(socket, network);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const begun = this.#answers.get(socket)?.headersSent === true;
      // Before the handshake is over nothing can be said, and who has not shown a certificate is told nothing.
      const secret = socket instanceof TLSSocket && !this.#known.has(socket);
      if (error.code === 'ECONNRESET' || !socket.writable || begun || secret) socket.destroy();
      else sayAndClose(socket, failureOfClient(error, this.#limits));
    });
    server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      sayAndClose(
        socket,
        new Failure('invalid', 'holdfastd is no proxy.', { reason: 'The method is CONNECT.' }),
      );
    });
    server.on('drop', (data?: { remoteAddress?: string }) => {
      dropped({ address: data?.remoteAddress, max: this.#limits.connectionsMax });
    });
    server.on('error', (error) => {
      // Before, it is the business of who made it listen.
      if (server.listening) log.warn({ err: error }, 'the API cannot take a connection');
    });
  }

  /** A client whose certificate does not count is told nothing, so its operator can only find the cause in our log. */
  #reportStrangers(log: Log): void {
    this.server.on('secureConnection', (socket: TLSSocket) => {
      this.#known.add(socket);
      socket.once('close', () => this.#known.delete(socket));
    });
    const refused = nowAndThen((record) => log.info(record, 'TLS clients were refused'));
    this.server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      refused({ address: socket.remoteAddress, cause: socket.authorizationError ?? error.message });
    });
  }
}

/**
 * What one stranger is likely to have, and no more; undefined: no address. A link-local address comes with the name of the
 * interface, which may be any: it says nothing more of the network.
 */
export function networkOf(remoteAddress: string | undefined): string | undefined {
  if (remoteAddress === undefined) return undefined;
  const address = ipaddr.process(remoteAddress.replace(/%.*$/s, ''));
  return address.kind() === 'ipv6' ? address.toByteArray().slice(0, 8).join() : address.toString();
}

/** For what Node.js does not even make a request of. */
function failureOfClient(error: NodeJS.ErrnoException, limits: ServerLimits): Failure {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return new RequestFailure(
      'headersTooLarge',
      `The head of the request is longer than ${HEAD_BYTES_MAX} bytes.`,
      {
        reason: 'Path and headers count together.',
        remedy: 'Leave some out.',
      },
    );
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const { headTimeoutMs, requestTimeoutMs } = limits;
    return new RequestFailure('requestTimeout', 'The request did not come in time.', {
      reason: `Its head may take ${headTimeoutMs / 1_000} s, all of it ${requestTimeoutMs / 1_000} s.`,
      remedy: 'Send it faster.',
    });
  }
  return new Failure('invalid', 'This is not HTTP/1.1.', { reason: error.message });
}

function sayAndClose(socket: Duplex, failure: Failure): void {
  const { status, headers } = failureResponse(failure);
  const body = JSON.stringify(failure.body);
  const head = [
    `HTTP/1.1 ${status} Refused`,
    `Content-Type: ${headers.get('content-type')}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
