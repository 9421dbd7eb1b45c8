// Owns one exchange with the daemon over HTTP: where it listens, limits on time and size, and what a connection that
// fails means to a user. What is said is client.ts.
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { RequestOptions as HttpsRequestOptions } from 'node:https';
import { Failure } from '../../lib/failure.ts';
import { connectionFailure, timeoutFailure } from './connection_failure.ts';
import type { Endpoint } from './endpoint.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export type Asked = {
  readonly method: Method;
  /** With its query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
};

export type Answer = { readonly status: number; readonly text: string };

const ANSWER_BYTES_MAX = 64 << 20;
export const TIMEOUT_MS_DEFAULT = 10_000;

export class Exchange {
  readonly #endpoint: Endpoint;
  readonly #timeoutMs: number;
  readonly #connectTimeoutMs: number | undefined;
  readonly #agent: string;

  /** `connectTimeoutMs`: within `timeoutMs`, for a host that is away; one that is busy is connected to nevertheless. */
  constructor(
    endpoint: Endpoint,
    options: { timeoutMs: number; connectTimeoutMs?: number | undefined; userAgent: string },
  ) {
    this.#endpoint = endpoint;
    this.#timeoutMs = options.timeoutMs;
    this.#connectTimeoutMs = options.connectTimeoutMs;
    this.#agent = options.userAgent;
  }

  /** The whole answer, whatever its status. The time limit covers all of it. */
  async answer(asked: Asked): Promise<Answer> {
    return await this.#timed(asked, async (response) => ({
      status: response.statusCode ?? 0,
      text: await readText(response, asked),
    }));
  }

  /** The answer once its head is there; the time limit covers no more than that. */
  async stream(asked: Asked): Promise<IncomingMessage> {
    return await this.#timed(asked, async (response) => response);
  }

  /** Chunks of a streamed answer until it ends or `signal` is aborted. */
  async *chunks(response: IncomingMessage, asked: Asked): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of response) yield chunk as Uint8Array;
    } catch (error) {
      if (asked.signal?.aborted !== true) throw connectionFailure(error, this.#endpoint, asked);
    } finally {
      response.destroy();
    }
  }

  async #timed<Result>(asked: Asked, read: (response: IncomingMessage) => Promise<Result>): Promise<Result> {
    const expired = new AbortController();
    const timer = setTimeout(() => expired.abort(), this.#timeoutMs);
    try {
      return await read(await this.#open(asked, expired.signal));
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (expired.signal.aborted) throw timeoutFailure(this.#endpoint, asked, this.#timeoutMs);
      if (asked.signal?.aborted === true) throw asked.signal.reason;
      throw connectionFailure(error, this.#endpoint, asked);
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(asked: Asked, expired: AbortSignal): Promise<IncomingMessage> {
    const body = asked.body === undefined ? undefined : JSON.stringify(asked.body);
    const endpoint = this.#endpoint;
    const { request } = 'url' in endpoint ? await import('node:https') : await import('node:http');
    const options: HttpsRequestOptions = {
      ...addressed(endpoint),
      method: asked.method,
      path: asked.path,
      // A pooled connection would keep the process alive after its last answer.
      agent: false,
      signal: asked.signal === undefined ? expired : AbortSignal.any([asked.signal, expired]),
      headers: {
        accept: asked.accept ?? 'application/json',
        'user-agent': this.#agent,
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    };
    return await new Promise((resolve, reject) => {
      const asking = request(options).once('response', resolve).on('error', reject);
      if (this.#connectTimeoutMs !== undefined) limitConnecting(asking, this.#connectTimeoutMs);
      asking.end(body);
    });
  }
}

function limitConnecting(asking: ClientRequest, limitMs: number): void {
  asking.once('socket', (socket) => {
    const late = Object.assign(new Error(`no connection within ${limitMs} ms`), { code: 'ETIMEDOUT' });
    const timer = setTimeout(() => asking.destroy(late), limitMs);
    const stop = () => clearTimeout(timer);
    socket.once('connect', stop).once('close', stop);
  });
}

function addressed(endpoint: Endpoint): HttpsRequestOptions {
  if (!('url' in endpoint)) return { socketPath: endpoint.socketPath };
  const { url, certificate, key, authority, verify } = endpoint;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port,
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    ...(authority === undefined ? {} : { ca: authority }),
    ...(verify === undefined ? {} : { checkServerIdentity: (_host, it) => verify(it) }),
    minVersion: 'TLSv1.3',
  };
}

async function readText(response: IncomingMessage, asked: Asked): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Uint8Array).length;
    if (size > ANSWER_BYTES_MAX) {
      response.destroy();
      throw new Failure('limit', `The answer to ${asked.method} ${asked.path} is too long.`, {
        reason: `It is longer than ${ANSWER_BYTES_MAX} bytes.`,
      });
    }
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}
