// Owns long-lived connections, thousands of them: each sends a chunk of its stream, waits for the echo, compares, pauses,
// and so on until it is released. A connection that ends, errs, stalls or brings other bytes is broken.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isOfStream, streamBytes, streamStart } from '../payload.ts';
import { ECHO_PORT } from '../plan.ts';
import type { Connection, HeldConnection, Hold, HoldStatus } from '../protocol.ts';
import { connectionOf } from './connection.ts';
import { concurrently, count } from './tally.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** So many handshakes at a time. */
const CONNECTING_MAX = 100;
/** Longer than a handful of retransmissions. */
const STALL_TIMEOUT_MS = 10_000;
const STEER_TIMEOUT_MS = 15_000;
const NAME_MAX = 100;
const LINE_FEED = 10;
/** One look at all of them, instead of a timer each. */
const TICK_MS = 5;
const POLL_MS = 5;
const READ_BYTES = 64 * 1024;
/** Of all connections: what is read is compared at once, and not kept. */
const readBuffer = Buffer.alloc(READ_BYTES);

export class Holder {
  #held: Held[] = [];
  #timer: NodeJS.Timeout | undefined;

  async hold({ addresses, connections, chunkBytes, intervalMs }: Hold): Promise<HoldStatus> {
    if (this.#held.length > 0) throw new Error('connections are held already');
    const held: Held[] = [];
    try {
      await concurrently(connections, CONNECTING_MAX, async (index) => {
        const each = new Held(addresses[index % addresses.length]!, { chunkBytes, intervalMs });
        held.push(each);
        await each.opened();
        // They keep their distances from now on.
        each.begin(performance.now() + (intervalMs * index) / connections);
        this.#timer ??= setInterval(() => this.#tick(held), TICK_MS);
      });
    } catch (error) {
      this.#end(held);
      throw error;
    }
    this.#held = held;
    await this.#everyoneExchanged();
    return this.status();
  }

  async steer(trafficClass: number): Promise<HoldStatus> {
    for (const held of this.#held) held.steer(trafficClass);
    await this.#everyoneExchanged();
    return this.status();
  }

  status(): HoldStatus {
    const failures = new Map<string, number>();
    const perBackend = new Map<string, number>();
    let [broken, fewestRounds, all] = [0, Number.POSITIVE_INFINITY, 0];
    for (const { backend, failure, rounds } of this.#held) {
      count(perBackend, backend);
      fewestRounds = Math.min(fewestRounds, rounds);
      all += rounds;
      if (failure === undefined) continue;
      count(failures, failure.what);
      broken += 1;
    }
    return {
      held: this.#held.length - broken,
      broken,
      failures: Object.fromEntries(failures),
      fewestRounds,
      rounds: all,
      perBackend: Object.fromEntries([...perBackend].sort()),
    };
  }

  connections(): HeldConnection[] {
    return this.#held.map(({ connection, backend, failure }) => ({
      ...connection!,
      backend,
      ...(failure !== undefined && { failure: failure.what, brokenAtMs: failure.atMs }),
    }));
  }

  release(): HoldStatus {
    const last = this.status();
    this.#end(this.#held);
    this.#held = [];
    return last;
  }

  #tick(all: readonly Held[]): void {
    const nowMs = performance.now();
    for (const held of all) held.tick(nowMs);
  }

  #end(all: readonly Held[]): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const held of all) held.end();
  }

  /** Two round trips each from now: the first may have been under way. */
  async #everyoneExchanged(): Promise<void> {
    const intervalMs = Math.max(0, ...this.#held.slice(0, 1).map((held) => held.intervalMs));
    const deadline = Date.now() + STEER_TIMEOUT_MS + 2 * intervalMs;
    const wanted = this.#held.map(({ rounds }) => rounds + 2);
    while (
      this.#held.some(({ failure, rounds }, index) => failure === undefined && rounds < wanted[index]!)
    ) {
      if (Date.now() > deadline) throw new Error('connections stand still');
      await sleep(POLL_MS);
    }
  }
}

class Held {
  backend = '';
  rounds = 0;
  failure: { readonly what: string; readonly atMs: number } | undefined;
  connection: Connection | undefined;
  readonly intervalMs: number;
  readonly #chunkBytes: number;
  readonly #socket: Socket;
  readonly #named = Promise.withResolvers<void>();
  /** Where its stream begins, which both ends know. */
  #start = 0;
  #sent = 0;
  #checked = 0;
  /** When the next chunk is due; while one is away, when that is given up. */
  #dueMs = Number.POSITIVE_INFINITY;
  #isNamed = false;
  #isEnded = false;

  constructor(address: string, { chunkBytes, intervalMs }: { chunkBytes: number; intervalMs: number }) {
    this.#chunkBytes = chunkBytes;
    this.intervalMs = intervalMs;
    this.#named.promise.catch(() => undefined);
    const callback = (length: number, buffer: Uint8Array): boolean => {
      this.#take(buffer.subarray(0, length));
      return true;
    };
    const socket = connect({
      host: address,
      port: ECHO_PORT,
      noDelay: true,
      onread: { buffer: readBuffer, callback },
    });
    socket.on('error', ({ code, message }: NodeJS.ErrnoException) => this.#fail(code ?? message));
    socket.on('end', () => this.#fail('the connection ended'));
    socket.on('close', () => this.#fail('the connection ended'));
    this.#socket = socket;
  }

  /** Connected, and told the backend. */
  async opened(): Promise<void> {
    const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    await once(this.#socket, 'connect', { signal });
    this.connection = connectionOf(this.#socket);
    this.#start = streamStart(this.connection);
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(new Error('the server does not say its name'));
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await Promise.race([this.#named.promise, promise]);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  begin(atMs: number): void {
    this.#dueMs = atMs;
  }

  steer(trafficClass: number): void {
    if (this.failure === undefined) this.#socket.setTypeOfService(trafficClass);
  }

  tick(nowMs: number): void {
    if (nowMs < this.#dueMs || this.failure !== undefined) return;
    if (this.#checked < this.#sent) {
      this.#fail('the connection stalled');
      return;
    }
    this.#dueMs = nowMs + STALL_TIMEOUT_MS;
    const at = this.#start + this.#sent;
    this.#sent += this.#chunkBytes;
    this.#socket.write(streamBytes(at, this.#chunkBytes));
  }

  end(): void {
    this.#isEnded = true;
    this.#socket.destroy();
  }

  #take(bytes: Uint8Array): void {
    let rest = bytes;
    if (!this.#isNamed) {
      const feed = rest.indexOf(LINE_FEED);
      this.backend += Buffer.from(feed === -1 ? rest : rest.subarray(0, feed)).toString();
      if (this.backend.length > NAME_MAX) this.#fail('the server has no name');
      if (feed === -1) return;
      this.#isNamed = true;
      this.#named.resolve();
      rest = rest.subarray(feed + 1);
    }
    if (rest.length === 0 || this.failure !== undefined) return;
    if (this.#checked + rest.length > this.#sent || !isOfStream(rest, this.#start + this.#checked)) {
      this.#fail('the echo differs');
      return;
    }
    this.#checked += rest.length;
    if (this.#checked < this.#sent) return;
    this.rounds += 1;
    this.#dueMs = performance.now() + this.intervalMs;
  }

  #fail(what: string): void {
    if (this.#isEnded || this.failure !== undefined) return;
    this.failure = { what, atMs: Date.now() };
    this.#named.reject(new Error(what));
    this.#socket.destroy();
  }
}
