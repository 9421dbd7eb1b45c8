// Owns long-lived connections: each sends a chunk of its stream, waits for the echo, compares, pauses, and so on until
// it is released. A connection that ends, errs, stalls or brings other bytes is broken.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamBytes } from '../payload.ts';
import { ECHO_PORT } from '../plan.ts';
import type { Connection, HeldConnection, Hold, HoldStatus } from '../protocol.ts';
import { connectionOf } from './connection.ts';
import { count } from './tally.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than a handful of retransmissions. */
const STALL_TIMEOUT_MS = 10_000;
const STEER_TIMEOUT_MS = 15_000;
const POLL_MS = 5;

interface Held {
  readonly connection: Connection;
  readonly socket: Socket;
  readonly reader: ExactReader;
  readonly backend: string;
  rounds: number;
  failure: string | undefined;
}

export class Holder {
  #held: Held[] = [];
  #releasing = false;

  async hold(what: Hold): Promise<HoldStatus> {
    if (this.#held.length > 0) throw new Error('connections are held already');
    this.#releasing = false;
    this.#held = await Promise.all(
      Array.from({ length: what.connections }, (_, index) =>
        open(what.addresses[index % what.addresses.length]!),
      ),
    );
    for (const held of this.#held) void this.#exchange(held, what);
    await this.#everyoneExchanged();
    return this.status();
  }

  async steer(trafficClass: number): Promise<HoldStatus> {
    for (const { socket, failure } of this.#held) {
      if (failure === undefined) socket.setTypeOfService(trafficClass);
    }
    await this.#everyoneExchanged();
    return this.status();
  }

  status(): HoldStatus {
    const failures = new Map<string, number>();
    const perBackend = new Map<string, number>();
    for (const { backend, failure } of this.#held) {
      count(perBackend, backend);
      if (failure !== undefined) count(failures, failure);
    }
    const broken = this.#held.filter(({ failure }) => failure !== undefined).length;
    const rounds = this.#held.map((held) => held.rounds);
    return {
      held: this.#held.length - broken,
      broken,
      failures: Object.fromEntries(failures),
      fewestRounds: Math.min(...rounds),
      rounds: rounds.reduce((sum, each) => sum + each, 0),
      perBackend: Object.fromEntries([...perBackend].sort()),
    };
  }

  connections(): HeldConnection[] {
    return this.#held.map(({ connection, backend, failure }) => ({
      ...connection,
      backend,
      ...(failure !== undefined && { failure }),
    }));
  }

  release(): HoldStatus {
    const last = this.status();
    this.#releasing = true;
    for (const { socket } of this.#held) socket.destroy();
    this.#held = [];
    return last;
  }

  async #exchange(held: Held, { chunkBytes, intervalMs }: Hold): Promise<void> {
    const { socket, reader } = held;
    try {
      for (let offset = 0; !this.#releasing; offset += chunkBytes) {
        const sent = streamBytes(offset, chunkBytes);
        socket.write(sent);
        if (!(await reader.read(chunkBytes)).equals(sent)) throw new Error('the echo differs');
        held.rounds += 1;
        await sleep(intervalMs);
      }
    } catch (error) {
      if (this.#releasing) return;
      const { code, message } = error as NodeJS.ErrnoException;
      held.failure = code ?? message;
      socket.destroy();
    }
  }

  /** Two round trips each from now: the first may have been under way. */
  async #everyoneExchanged(): Promise<void> {
    const deadline = Date.now() + STEER_TIMEOUT_MS;
    const wanted = this.#held.map((held) => held.rounds + 2);
    while (this.#held.some((held, index) => held.failure === undefined && held.rounds < wanted[index]!)) {
      if (Date.now() > deadline) throw new Error('connections stand still');
      await sleep(POLL_MS);
    }
  }
}

async function open(address: string): Promise<Held> {
  const socket = connect({ host: address, port: ECHO_PORT, noDelay: true });
  const reader = new ExactReader(socket);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    const connection = connectionOf(socket);
    for (let name = ''; ; ) {
      name += (await reader.read(1)).toString();
      if (name.endsWith('\n')) {
        return { connection, socket, reader, backend: name.trim(), rounds: 0, failure: undefined };
      }
    }
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Reads exact numbers of bytes, one read at a time. What arrives is bounded by what was sent to be echoed. */
class ExactReader {
  #buffered: Buffer = Buffer.alloc(0);
  #ended: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.#buffered = this.#buffered.length === 0 ? bytes : Buffer.concat([this.#buffered, bytes]);
      this.#wake();
    });
    const end = (error: Error): void => {
      this.#ended ??= error;
      this.#wake();
    };
    socket.on('error', end);
    socket.on('close', () => end(new Error('the connection ended')));
    socket.on('end', () => end(new Error('the connection ended')));
  }

  async read(sizeBytes: number): Promise<Buffer> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('the connection stalled')), STALL_TIMEOUT_MS);
    try {
      while (this.#buffered.length < sizeBytes) {
        if (this.#ended !== undefined) throw this.#ended;
        await Promise.race([promise, this.#more()]);
      }
    } finally {
      clearTimeout(timer);
    }
    const bytes = this.#buffered.subarray(0, sizeBytes);
    this.#buffered = this.#buffered.subarray(sizeBytes);
    return bytes;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
