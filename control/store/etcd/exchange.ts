// Owns one exchange with one member of etcd over HTTP: connections, certificates, limits on time and size. What a
// failure means is failure.ts; who is asked next is client.ts.
import { readFileSync } from 'node:fs';
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { Failure } from '../../lib/failure.ts';
import { tooLong } from './lines.ts';

/** A member that is there accepts within this; a host that is gone says nothing at all. */
export const CONNECT_TIMEOUT_MS = 1_000;
/** Of one answer, or one line of a stream. A page of `list` is the longest. */
export const ANSWER_BYTES_MAX = 48 << 20;
/** Idle connections carry probes of TCP after this, so that one that leads nowhere is found and others are kept open. */
const KEEP_ALIVE_MS = 5_000;
const SOCKETS_MAX = 64;
/** A certificate that was renewed on the disk is taken up when the old one is refused, so often at most. */
const READ_AGAIN_MS = 1_000;

export type CertificatePaths = {
  readonly certificateAuthority?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
};

export type Asked = {
  readonly path: string;
  readonly body: object;
  readonly timeoutMs: number;
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type Answer = { readonly status: number; readonly text: string };

/** Why there is no answer. `sent`: the other end may have done what it was asked. */
export class ExchangeError extends Error {
  readonly sent: boolean;
  readonly code: string;

  constructor(cause: unknown, sent: boolean) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = (cause as NodeJS.ErrnoException).code ?? '';
    this.sent = sent;
  }
}

export class Exchange {
  readonly #paths: CertificatePaths;
  readonly #http = new HttpAgent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxSockets: SOCKETS_MAX });
  #https: HttpsAgent;
  #readAtMs = performance.now();

  /** @throws Failure `configuration` where a certificate cannot be read. */
  constructor(paths: CertificatePaths) {
    this.#paths = paths;
    this.#https = newHttpsAgent(paths);
  }

  /** The whole answer, whatever its status, within the time. */
  async answer(url: URL, asked: Asked): Promise<Answer> {
    return await this.#timed(url, asked, async (response) => ({
      status: response.statusCode ?? 0,
      text: await readText(response),
    }));
  }

  /** A stream once its head is there, or the whole refusal: within the time. Who takes the stream destroys it. */
  async stream(url: URL, asked: Asked): Promise<{ response: IncomingMessage } | Answer> {
    return await this.#timed(url, asked, async (response) =>
      response.statusCode === 200
        ? { response }
        : { status: response.statusCode ?? 0, text: await readText(response) },
    );
  }

  /** After a refusal of our certificate, or of theirs: perhaps others have been put in their place. */
  readCertificatesAgain(): void {
    if (performance.now() - this.#readAtMs < READ_AGAIN_MS) return;
    this.#readAtMs = performance.now();
    try {
      const agent = newHttpsAgent(this.#paths);
      // Requests that are under way keep their connections.
      this.#https = agent;
    } catch {
      // Half written, or gone: the ones we have may still do.
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  async #timed<T>(url: URL, asked: Asked, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
    asked.signal?.throwIfAborted();
    const progress = { sent: false, expired: false };
    const { request, response } = this.#open(url, asked, progress);
    // Not AbortSignal.any(): our signals live as long as the store, and would remember every request.
    const stop = () => request.destroy();
    const timer = setTimeout(() => {
      progress.expired = true;
      request.destroy();
    }, asked.timeoutMs);
    asked.signal?.addEventListener('abort', stop, { once: true });
    try {
      return await read(await response);
    } catch (error) {
      if (error instanceof Failure) throw error;
      asked.signal?.throwIfAborted();
      const late = () => timedOut(`no answer within ${asked.timeoutMs} ms`);
      throw new ExchangeError(progress.expired ? late() : error, progress.sent);
    } finally {
      clearTimeout(timer);
      asked.signal?.removeEventListener('abort', stop);
    }
  }

  #open(
    url: URL,
    asked: Asked,
    progress: { sent: boolean },
  ): { request: ClientRequest; response: Promise<IncomingMessage> } {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const body = JSON.stringify(asked.body);
    const secure = url.protocol === 'https:';
    const request = (secure ? requestHttps : requestHttp)(new URL(asked.path, url), {
      method: 'POST',
      agent: secure ? this.#https : this.#http,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        // A member that has no leader says so at once, and ends its streams, instead of waiting for one.
        'grpc-metadata-hasleader': 'true',
        ...(asked.token !== undefined && { authorization: asked.token }),
      },
    });
    request.once('socket', (socket) => {
      if (!socket.connecting) {
        progress.sent = true;
        return;
      }
      const tooLate = setTimeout(
        () => request.destroy(timedOut(`no connection within ${CONNECT_TIMEOUT_MS} ms`)),
        CONNECT_TIMEOUT_MS,
      );
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        clearTimeout(tooLate);
        progress.sent = true;
      });
      socket.once('close', () => clearTimeout(tooLate));
    });
    request.once('response', resolve).on('error', reject).end(body);
    return { request, response: promise };
  }
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

function newHttpsAgent({ certificateAuthority, certificate, key }: CertificatePaths): HttpsAgent {
  return new HttpsAgent({
    keepAlive: true,
    keepAliveMsecs: KEEP_ALIVE_MS,
    maxSockets: SOCKETS_MAX,
    ...(certificateAuthority !== undefined && {
      ca: readConfigured(certificateAuthority, 'certificateAuthority'),
    }),
    ...(certificate !== undefined && { cert: readConfigured(certificate, 'certificate') }),
    ...(key !== undefined && { key: readConfigured(key, 'key') }),
  });
}

/** A file that the configuration names under `etcd`. */
export function readConfigured(path: string, field: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Failure('configuration', `etcd.${field} cannot be read`, {
      cause,
      remedy: `put the file in its place, or correct etcd.${field} in the configuration of this node`,
    });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Uint8Array).length;
    if (size > ANSWER_BYTES_MAX) {
      response.destroy();
      throw tooLong(ANSWER_BYTES_MAX);
    }
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString();
}
