// Owns a daemon that is none: a small HTTP server on a Unix socket that answers as it is told and keeps what it was
// asked. It shares no code with the real server.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export type Seen = {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly accept: string | undefined;
  readonly type: string | undefined;
  readonly body: unknown;
};

/** A body to answer with status 200, or whatever a function does. */
export type Reply = object | string | ((seen: Seen, response: ServerResponse) => unknown);

/** By `GET /v1/status`. */
export type Replies = Readonly<Record<string, Reply>>;

export class FakeDaemon {
  readonly directory: string;
  readonly socket: string;
  readonly seen: Seen[] = [];
  readonly #replies: Map<string, Reply>;
  readonly #server: Server;

  private constructor(replies: Replies) {
    this.directory = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
    this.socket = join(this.directory, 'holdfast.sock');
    this.#replies = new Map(Object.entries(replies));
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(replies: Replies = {}): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(replies);
    await new Promise<void>((resolve) => daemon.#server.listen(daemon.socket, resolve));
    return daemon;
  }

  reply(replies: Replies): void {
    for (const [route, reply] of Object.entries(replies)) this.#replies.set(route, reply);
  }

  /** What was asked, as `GET /v1/backends?pool=web`. */
  get asked(): string[] {
    return this.seen.map(({ method, path, query }) => {
      const search = new URLSearchParams(query).toString();
      return `${method} ${path}${search === '' ? '' : `?${search}`}`;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://daemon');
    const sent = await text(request);
    const seen: Seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      accept: request.headers.accept,
      type: request.headers['content-type'],
      body: sent === '' ? undefined : JSON.parse(sent),
    };
    this.seen.push(seen);
    const reply = this.#replies.get(`${seen.method} ${seen.path}`);
    if (typeof reply === 'function') {
      const body: unknown = await reply(seen, response);
      if (body !== undefined) answerJson(response, 200, body);
    } else if (reply === undefined) {
      answerJson(response, 404, { code: 'not_found', message: `There is nothing at ${seen.path}.` });
    } else if (typeof reply === 'string') response.end(reply);
    else answerJson(response, 200, reply);
  }
}

export function answerJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A reply that is a failure. */
export function failure(status: number, body: object): Reply {
  return (_, response) => answerJson(response, status, body);
}

/** A reply that comes in these pieces, and ends. */
export function stream(...pieces: readonly (string | Uint8Array)[]): Reply {
  return async (_, response) => {
    response.writeHead(200);
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };
}
