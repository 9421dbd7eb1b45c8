// Owns one socket of a client: bytes into the connection of the core, requests to its session, replies out; and stopping to
// read while the client has too much in flight. What requests come to is the service's.
import { Socket } from 'node:net';
import { type CloseReason, Connection } from '../core/connection.ts';
import type { InputBuffers } from '../core/record_input.ts';
import type { ReplySlabs } from '../core/reply_output.ts';
import { type Client, textOf } from './clients.ts';
import type { Service, Session } from './service.ts';

const SCRATCH_BYTES = 64 << 10;

export type ClientSocketParts = {
  readonly service: Service;
  readonly client: Client;
  readonly buffers: InputBuffers;
  readonly slabs: ReplySlabs;
  readonly nowMs: () => number;
  readonly onRefused: (reason: string) => void;
  /** Called once. `reason`: why the server closed it; undefined: the client did. */
  readonly onClosed: (socket: ClientSocket, reason: CloseReason | undefined) => void;
};

// Which socket reads for a connection: a budget names connections that may go on, of any socket of the client.
const socketOf = new WeakMap<Connection, ClientSocket>();

export class ClientSocket {
  readonly client: Client;
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #parts: ClientSocketParts;
  readonly #socket: Socket;
  /** Where bytes go that are read when the connection takes none, until it does. */
  #scratch: Uint8Array | undefined;
  #scratchBytes = 0;
  /** The next bytes from the socket go there. */
  #isScratchNext = false;
  #isFlushing = false;

  /** `accepted` is of a server that pauses on connect: nothing was read from it. */
  constructor(accepted: Socket, parts: ClientSocketParts) {
    const { service, client, buffers, slabs, nowMs, onRefused } = parts;
    this.client = client;
    this.#parts = parts;
    this.#connection = new Connection({
      programs: service.programs,
      buffers,
      slabs,
      client: client.budget,
      nowMs: nowMs(),
      refused: onRefused,
    });
    this.#session = service.session(this.#connection, {
      address: client.address,
      answered: () => this.#answered(),
      ...(accepted.localAddress !== undefined && { localAddress: textOf(accepted.localAddress) }),
    });
    socketOf.set(this.#connection, this);
    this.#socket = readingInto(
      accepted,
      () => this.#space(),
      (count) => this.#received(count),
    );
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 60_000);
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#close());
    this.#socket.resume();
  }

  /** To be called from time to time. */
  expire(nowMs: number): void {
    if (nowMs >= this.#connection.deadlineMs && this.#connection.expire(nowMs) !== undefined) this.#end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The budget of the client has room for what this one waits for. */
  resume(): void {
    if (this.#socket.destroyed) return;
    this.#pump();
    if (this.#scratchBytes > 0) this.#takeScratch();
    if (this.#wants) this.#socket.resume();
  }

  #space(): Uint8Array {
    const space = this.#connection.space();
    this.#isScratchNext = space.length === 0;
    if (!this.#isScratchNext) {
      this.#scratch = undefined;
      return space;
    }
    // A buffer has to be there before it is known whether anything will be read.
    this.#scratch ??= new Uint8Array(SCRATCH_BYTES);
    return this.#scratch;
  }

  /** False: read no more. */
  #received(count: number): boolean {
    if (this.#isScratchNext) {
      this.#scratchBytes = count;
      this.#takeScratch();
    } else {
      this.#connection.received(count, this.#parts.nowMs());
      this.#pump();
    }
    return this.#wants;
  }

  get #wants(): boolean {
    return this.#scratchBytes === 0 && !this.#connection.paused && this.#connection.closing === undefined;
  }

  /** Gives the connection what came while it took nothing, as far as it takes it. */
  #takeScratch(): void {
    const scratch = this.#scratch!;
    let from = 0;
    while (from < this.#scratchBytes) {
      const space = this.#connection.space();
      if (space.length === 0) break;
      const count = Math.min(space.length, this.#scratchBytes - from);
      space.set(scratch.subarray(from, from + count));
      from += count;
      this.#connection.received(count, this.#parts.nowMs());
      this.#pump();
    }
    scratch.copyWithin(0, from, this.#scratchBytes);
    this.#scratchBytes -= from;
  }

  /** All requests that are at hand, and their replies. */
  #pump(): void {
    const { nowMs } = this.#parts;
    const connection = this.#connection;
    for (let request = connection.next(nowMs()); request !== undefined; request = connection.next(nowMs()))
      this.#session.serve(request);
    this.#flush();
  }

  /** Replies that become ready in the same turn are one write. */
  #answered(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { nowMs } = this.#parts;
    const connection = this.#connection;
    const flushes = connection.flush(nowMs());
    if (flushes.length > 1) this.#socket.cork();
    for (const flush of flushes) {
      this.#socket.write(flush.bytes, () => {
        connection.sent(flush, nowMs());
        this.#resumeOthers();
      });
    }
    if (flushes.length > 1) this.#socket.uncork();
    if (connection.closing !== undefined) this.#end();
    this.#resumeOthers();
  }

  /** What one connection gives back may be what another one of the client waits for. */
  #resumeOthers(): void {
    for (
      let connection = this.client.budget.resumable();
      connection !== undefined;
      connection = this.client.budget.resumable()
    )
      resume(connection);
  }

  /** What is written goes out first; a client that does not take it has no claim to it. */
  #end(): void {
    if (this.#connection.closing === 'replies not taken') this.#socket.destroy();
    else this.#socket.destroySoon();
  }

  #close(): void {
    const { closing } = this.#connection;
    this.#connection.close();
    this.#parts.onClosed(this, closing);
    this.#resumeOthers();
  }
}

function resume(connection: Connection): void {
  socketOf.get(connection)?.resume();
}

/**
 * The same socket, reading into the connection's own memory: Node.js offers that (`onread`) for sockets that are made, not
 * for those that a server accepts, so the handle changes its owner.
 */
function readingInto(
  accepted: Socket,
  space: () => Uint8Array,
  received: (count: number) => boolean,
): Socket {
  const open = accepted as unknown as { _handle: unknown };
  const handle = open._handle;
  open._handle = null;
  accepted.destroy();
  const options = {
    handle,
    readable: true,
    writable: true,
    onread: { buffer: space, callback: received },
  };
  return new Socket(options as ConstructorParameters<typeof Socket>[0]);
}
