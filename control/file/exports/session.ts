// Owns the calls of one connection between its requests and its replies: duplicates, the procedure, the reply now or
// later. It has no socket; its connection has none either.
import type { AddressBytes } from '../../lib/address.ts';
import type { Connection, Request } from '../core/connection.ts';
import { duplicateKey } from '../core/duplicates.ts';
import { Call } from './call.ts';
import type { Exports } from './exports.ts';
import { Shown } from './folders.ts';
import { Grants } from './grants.ts';
import type { AnyServed } from './nfs3/served.ts';

export type SessionParts = {
  readonly address: AddressBytes;
  /** The address that the client came to: what a port mapper answers with. */
  readonly localAddress?: string;
  /** A reply was written after `serve` had returned: flush it soon. */
  readonly answered: () => void;
};

export class Session {
  readonly client: string;
  readonly grants: Grants;
  readonly shown: Shown;
  readonly localEnd: { readonly host: string; readonly netid: 'tcp' | 'tcp6' };
  readonly #exports: Exports;
  readonly #connection: Connection;
  readonly #answered: () => void;

  /** Made by `Exports.session`. */
  constructor(exports: Exports, connection: Connection, { address, localAddress, answered }: SessionParts) {
    this.client = connection.client.name;
    this.grants = new Grants(exports.view, exports.storages, exports.quotas, address);
    this.shown = new Shown(exports.view, address);
    const host = localAddress ?? '0.0.0.0';
    this.localEnd = { host, netid: host.includes(':') ? 'tcp6' : 'tcp' };
    this.#exports = exports;
    this.#connection = connection;
    this.#answered = answered;
  }

  /** Answers the request, now or later. Throws for nothing that clients send. */
  serve(request: Request): void {
    const exports = this.#exports;
    const startedMs = exports.nowMs();
    const { procedure } = request;
    const key = procedure.idempotent ? '' : duplicateKey(this.client, request);
    const call = new Call(exports, this, request, startedMs, key);
    if (key !== '' && this.#isRepeated(call, key)) return;
    const served = exports.served(request.program, request.version, procedure.number);
    try {
      const raw = served.run(request.arguments, call);
      if (raw instanceof Promise) this.#later(call, served, raw);
      else this.#reply(call, served, raw);
    } catch (bug) {
      this.#fail(call, bug);
    }
  }

  #isRepeated(call: Call, key: string): boolean {
    const found = this.#exports.duplicates.begin(key, call.startedMs);
    if (found === 'new') return false;
    if (found === 'in progress') {
      call.outcome = 'dropped';
      this.#connection.drop(call.request);
    } else {
      call.outcome = 'replayed';
      call.bytesOut = found.length;
      this.#connection.replay(call.request, found);
    }
    this.#finish(call);
    return true;
  }

  #later(call: Call, served: AnyServed, raw: Promise<unknown>): void {
    raw.then(
      (done) => {
        try {
          this.#reply(call, served, done);
        } catch (bug) {
          this.#fail(call, bug);
        }
        this.#answered();
      },
      (bug: unknown) => {
        this.#fail(call, bug);
        this.#answered();
      },
    );
  }

  #reply(call: Call, served: AnyServed, raw: unknown): void {
    const { request } = call;
    const connection = this.#connection;
    const writer = connection.begin(request);
    const start = writer.offset;
    const result = served.result(raw, call, writer);
    request.procedure.encode(writer, result as never);
    call.status = (result as { readonly status?: number } | undefined)?.status ?? 0;
    call.bytesOut = writer.offset - start;
    connection.end(request);
    call.replied = true;
    if (call.duplicateKey !== '')
      this.#exports.duplicates.answer(call.duplicateKey, connection.lastReply, this.#exports.nowMs());
    this.#finish(call);
  }

  #fail(call: Call, bug: unknown): void {
    if (!call.replied) {
      call.replied = true;
      call.outcome = 'failed';
      if (call.duplicateKey !== '') this.#exports.duplicates.abandon(call.duplicateKey);
      this.#connection.refuse(call.request);
      this.#finish(call);
    }
    this.#exports.bug(bug, call);
  }

  #finish(call: Call): void {
    const { finished } = this.#exports;
    if (finished === undefined) return;
    call.durationMs = this.#exports.nowMs() - call.startedMs;
    finished(call);
  }
}
