// Owns one connection of the file service between its socket and its procedures: bytes in → requests, replies in any
// order → bytes out, limits and times. It has no socket and no clock; a driver reads into `space`, asks `next` for
// requests, answers them, and writes what `flush` gives.
import type { AnyProcedure, Programs } from '../codec/procedure.ts';
import { beginRecord, endRecord, MARK_BYTES } from '../codec/record.ts';
import {
  ACCEPT_STATS,
  encodeAccepted,
  encodeAuthError,
  REFUSAL_BYTES_MAX,
  REPLY_HEAD_BYTES,
} from '../codec/rpc.ts';
import type { Credentials } from '../codec/rpc_credentials.ts';
import type { XdrWriter } from '../codec/xdr.ts';
import { CallReader, type Refusal } from './call_reader.ts';
import type { ClientBudget } from './client_budget.ts';
import { type InputBuffers, type InputFailure, RecordInput } from './record_input.ts';
import { type Flush, ReplyOutput, type ReplySlabs } from './reply_output.ts';

const HEAD_BYTES = MARK_BYTES + REPLY_HEAD_BYTES;

export interface ConnectionTimes {
  /** Nothing came, nothing is being done, nothing is to be sent. */
  readonly idleMs: number;
  /** A record began and did not end. */
  readonly recordMs: number;
  /** The client does not take its replies. */
  readonly sendMs: number;
}

/** Linux clients leave idle connections after five minutes by themselves. */
export const CONNECTION_TIMES: ConnectionTimes = { idleMs: 360_000, recordMs: 60_000, sendMs: 120_000 };

export type CloseReason = InputFailure | 'not a call' | 'idle' | 'record too slow' | 'replies not taken';

export interface ConnectionParts {
  readonly programs: Programs;
  readonly buffers: InputBuffers;
  readonly slabs: ReplySlabs;
  readonly client: ClientBudget<Connection>;
  readonly times?: ConnectionTimes;
  readonly nowMs: number;
  /** Hears of every call that is refused here. */
  readonly refused?: (refusal: Refusal) => void;
}

/**
 * A call that is to be answered once: by `begin` and `end`, `replay`, `refuse`, `deny` or `drop`. `arguments` count
 * until the next call of `next`, `bytes` until the next one of `space`: who answers later copies what it needs.
 */
export interface Request {
  readonly xid: number;
  readonly procedure: AnyProcedure;
  readonly program: number;
  readonly version: number;
  readonly arguments: unknown;
  readonly credentials: Credentials;
  /** The arguments on the wire, which the spans in `arguments` lie in. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** What it counts for while it is in flight. */
  readonly chargedBytes: number;
  /** Room that `begin` makes for the result. */
  readonly resultBytes: number;
}

export class Connection {
  /** Why it is to be closed, once what `flush` gives is written. No more requests come. */
  closing: CloseReason | undefined;
  readonly client: ClientBudget<Connection>;
  readonly #input: RecordInput;
  readonly #output: ReplyOutput;
  readonly #calls: CallReader;
  readonly #times: ConnectionTimes;
  readonly #refused: ((refusal: Refusal) => void) | undefined;
  /** What of the client's budget is this connection's. */
  #requests = 0;
  #requestBytes = 0;
  #slabBytes = 0;
  #paused = false;
  #closed = false;
  /** Where the reply being written begins; -1: none is. */
  #reply = -1;
  #lastStart = 0;
  #heardMs: number;
  #recordMs = -1;
  #unsent = 0;
  #sentMs: number;

  constructor({ programs, buffers, slabs, client, times, nowMs, refused }: ConnectionParts) {
    this.client = client;
    this.#input = new RecordInput(buffers);
    this.#output = new ReplyOutput(slabs);
    this.#calls = new CallReader(programs);
    this.#times = times ?? CONNECTION_TIMES;
    this.#refused = refused;
    this.#heardMs = nowMs;
    this.#sentMs = nowMs;
  }

  /** The client has too much in flight: read no more until `client.resumable()` names this connection. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Requests that were given out and are not answered. */
  get inFlight(): number {
    return this.#requests;
  }

  /**
   * Where the next bytes from the socket are to go, once `next` gave undefined. Empty when no more are wanted
   * (`paused`, `closing`). Takes back the bytes of requests given before.
   */
  space(): Uint8Array {
    if (this.#paused || this.closing !== undefined || this.#closed) return NO_SPACE;
    const space = this.#input.space();
    this.closing = this.#input.failure;
    return space;
  }

  /** So many bytes were read into `space`. */
  received(count: number, nowMs: number): void {
    this.#input.filled(count);
    this.#heardMs = nowMs;
  }

  /** The next request; undefined: read more, unless `paused` or `closing`. Calls that name nothing are answered here. */
  next(nowMs: number): Request | undefined {
    if (this.closing !== undefined || this.#closed) return undefined;
    if (this.#reply >= 0) throw new Error('a reply is being written');
    if (this.#paused) {
      this.#paused = false;
      this.#heardMs = nowMs;
    }
    while (this.#mayGoOn(0) && this.#input.next()) {
      this.#recordMs = -1;
      const { bytes, start, end } = this.#input;
      const refusal = this.#calls.read(bytes, start, end);
      if (refusal === undefined) return this.#admit(bytes, start, end);
      this.#refused?.(refusal);
      if (refusal === 'not a call') {
        this.closing = refusal;
        return undefined;
      }
      const writer = this.#room(MARK_BYTES + REFUSAL_BYTES_MAX);
      const record = beginRecord(writer);
      this.#calls.encodeRefusal(writer, refusal);
      endRecord(writer, record);
    }
    this.closing = this.#input.failure;
    if (this.#recordMs < 0 && !this.#paused && this.#input.partial) this.#recordMs = nowMs;
    return undefined;
  }

  /** The writer, where the result begins, with room for it. One reply is written at a time. */
  begin(request: Request): XdrWriter {
    if (this.#reply >= 0) throw new Error('a reply is being written');
    const writer = this.#room(HEAD_BYTES + request.resultBytes);
    this.#reply = beginRecord(writer);
    encodeAccepted(writer, request.xid, ACCEPT_STATS.SUCCESS);
    return writer;
  }

  /** The result is written. */
  end(request: Request): void {
    const { writer } = this.#output;
    if (this.#reply < 0) throw new Error('no reply is being written');
    endRecord(writer, this.#reply);
    this.#lastStart = this.#reply;
    this.#reply = -1;
    this.#release(request);
  }

  /** The record that `end` ended last, for the cache of duplicates: it counts until the next reply is begun. */
  get lastReply(): Uint8Array {
    const { bytes, offset } = this.#output.writer;
    return bytes.subarray(this.#lastStart, offset);
  }

  /** Answers with what was `lastReply` for the same call before. */
  replay(request: Request, record: Uint8Array): void {
    const writer = this.#room(record.length);
    writer.bytes.set(record, writer.offset);
    writer.offset += record.length;
    this.#release(request);
  }

  /** Answers without a result; takes back one that was begun. */
  refuse(request: Request, acceptStat: number = ACCEPT_STATS.SYSTEM_ERR): void {
    const writer = this.#refusalRecord();
    encodeAccepted(writer, request.xid, acceptStat);
    this.#endRefusal(request);
  }

  /** The caller may not, as it presents itself: a value of AUTH_STATS. */
  deny(request: Request, authStat: number): void {
    const writer = this.#refusalRecord();
    encodeAuthError(writer, request.xid, authStat);
    this.#endRefusal(request);
  }

  /** Does not answer: the same call is being done already. */
  drop(request: Request): void {
    this.#release(request);
  }

  /** All replies that are ready; each is one write. To be asked whenever no more requests are at hand. */
  flush(nowMs: number): readonly Flush[] {
    const flushes = this.#output.flush();
    if (this.#unsent === 0) this.#sentMs = nowMs;
    this.#unsent += flushes.length;
    return flushes;
  }

  /** The bytes are written, or never will be. */
  sent(flush: Flush, nowMs: number): void {
    this.#output.sent(flush);
    this.#unsent -= 1;
    this.#sentMs = nowMs;
    this.#chargeSlabs();
  }

  /** When `expire` is to be asked next. */
  get deadlineMs(): number {
    const quiet = this.#requests === 0 && this.#unsent === 0 && !this.#paused;
    const idle = quiet ? Math.max(this.#heardMs, this.#sentMs) + this.#times.idleMs : Infinity;
    const record = this.#recordMs < 0 ? Infinity : this.#recordMs + this.#times.recordMs;
    const send = this.#unsent === 0 ? Infinity : this.#sentMs + this.#times.sendMs;
    return Math.min(idle, record, send);
  }

  /** Sets `closing` if a time is over. */
  expire(nowMs: number): CloseReason | undefined {
    if (this.closing !== undefined || nowMs < this.deadlineMs) return this.closing;
    if (this.#unsent > 0 && nowMs >= this.#sentMs + this.#times.sendMs) this.closing = 'replies not taken';
    else if (this.#recordMs >= 0 && nowMs >= this.#recordMs + this.#times.recordMs)
      this.closing = 'record too slow';
    else this.closing = 'idle';
    return this.closing;
  }

  /** The socket is gone. Requests in flight may still be answered, into nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#input.close();
    this.#output.close();
    this.client.requests -= this.#requests;
    this.client.bytes -= this.#requestBytes;
    this.#requests = 0;
    this.#requestBytes = 0;
    this.#chargeSlabs();
    this.client.forget(this);
  }

  #mayGoOn(bytes: number): boolean {
    if (this.client.allows(bytes)) return true;
    this.#paused = true;
    // While it is paused, it is not the client that is slow.
    this.#recordMs = -1;
    this.client.wait(this, bytes);
    return false;
  }

  #admit(bytes: Uint8Array, recordStart: number, end: number): Request | undefined {
    const { head, argumentsStart, arguments: args } = this.#calls;
    const procedure = this.#calls.procedure!;
    const resultBytes = procedure.resultBytes?.(args) ?? procedure.resultBytesMax;
    const chargedBytes = end - recordStart + resultBytes;
    if (!this.#mayGoOn(chargedBytes)) {
      this.#input.hold();
      return undefined;
    }
    this.#requests += 1;
    this.#requestBytes += chargedBytes;
    this.client.requests += 1;
    this.client.bytes += chargedBytes;
    const { xid, program, version, credentials } = head;
    return {
      xid,
      procedure,
      program,
      version,
      arguments: args,
      credentials,
      bytes,
      start: argumentsStart,
      end,
      chargedBytes,
      resultBytes,
    };
  }

  #release(request: Request): void {
    if (this.#closed) {
      this.#output.close();
      this.#chargeSlabs();
      return;
    }
    this.#requests -= 1;
    this.#requestBytes -= request.chargedBytes;
    this.client.requests -= 1;
    this.client.bytes -= request.chargedBytes;
  }

  #room(bytes: number): XdrWriter {
    const writer = this.#output.room(bytes);
    this.#chargeSlabs();
    return writer;
  }

  #chargeSlabs(): void {
    this.client.bytes += this.#output.slabBytes - this.#slabBytes;
    this.#slabBytes = this.#output.slabBytes;
  }

  #refusalRecord(): XdrWriter {
    if (this.#reply >= 0) this.#output.writer.offset = this.#reply;
    const writer = this.#room(MARK_BYTES + REFUSAL_BYTES_MAX);
    this.#reply = beginRecord(writer);
    return writer;
  }

  #endRefusal(request: Request): void {
    endRecord(this.#output.writer, this.#reply);
    this.#reply = -1;
    this.#release(request);
  }
}

const NO_SPACE = new Uint8Array(0);
