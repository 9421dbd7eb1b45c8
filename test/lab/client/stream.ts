// Owns streams of numbered datagrams, one flow each, and what comes back of them: how many, and for how long nothing did.
// A tick that comes late sends what it missed, or some of it; a gap is of answers.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ECHO_PORT } from '../plan.ts';
import type { Stream, StreamResult } from '../protocol.ts';

const LINE_FEED = 10;
const DRAIN_MS = 300;
const STREAMS_MAX = 64;
/** More at once find no room in sockets. */
const CATCH_UP_MAX = 50;

export class Streams {
  readonly #streams = new Map<number, RunningStream>();

  async start(what: Stream): Promise<void> {
    if (this.#streams.size >= STREAMS_MAX) throw new Error(`more than ${STREAMS_MAX} streams`);
    if (this.#streams.has(what.sourcePort)) throw new Error(`port ${what.sourcePort} has a stream`);
    this.#streams.set(what.sourcePort, await RunningStream.start(what));
  }

  status(sourcePort: number): StreamResult {
    return this.#of(sourcePort).take();
  }

  async stop(sourcePort: number): Promise<StreamResult> {
    const stream = this.#of(sourcePort);
    this.#streams.delete(sourcePort);
    return await stream.stop();
  }

  #of(sourcePort: number): RunningStream {
    const stream = this.#streams.get(sourcePort);
    if (stream === undefined) throw new Error(`port ${sourcePort} has no stream`);
    return stream;
  }
}

class RunningStream {
  readonly #socket: Socket;
  readonly #what: Stream;
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #backends = new Map<string, number>();
  #total = 0;
  #sent = 0;
  #received = 0;
  #lastMs: number | undefined;
  #gapMs = 0;
  #gapAtMs = 0;

  private constructor(socket: Socket, what: Stream) {
    this.#socket = socket;
    this.#what = what;
    socket.on('message', (message) => this.#take(message));
    // An ICMP error about one datagram is a datagram lost.
    socket.on('error', () => undefined);
    this.#timer = setInterval(() => this.#send(), 1);
  }

  static async start(what: Stream): Promise<RunningStream> {
    const socket = createSocket(isIPv6(what.address) ? 'udp6' : 'udp4');
    socket.bind(what.sourcePort);
    await once(socket, 'listening');
    return new RunningStream(socket, what);
  }

  take(): StreamResult {
    const result = {
      sent: this.#sent,
      received: this.#received,
      gapMs: this.#gapMs,
      gapAtMs: this.#gapAtMs,
      perBackend: Object.fromEntries(this.#backends),
    };
    this.#sent = this.#received = this.#gapMs = this.#gapAtMs = 0;
    this.#backends.clear();
    return result;
  }

  async stop(): Promise<StreamResult> {
    clearInterval(this.#timer);
    await sleep(DRAIN_MS);
    this.#socket.close();
    return this.take();
  }

  #send(): void {
    const { address, packetsPerSecond } = this.#what;
    const due = Math.floor(((performance.now() - this.#startedMs) * packetsPerSecond) / 1_000);
    this.#total = Math.max(this.#total, due - CATCH_UP_MAX);
    for (; this.#total < due; this.#total += 1) {
      this.#sent += 1;
      this.#socket.send(`${this.#total}`, ECHO_PORT, address, () => undefined);
    }
  }

  #take(message: Buffer): void {
    const atMs = performance.now();
    const gapMs = atMs - (this.#lastMs ?? atMs);
    if (gapMs > this.#gapMs) {
      this.#gapMs = gapMs;
      this.#gapAtMs = performance.timeOrigin + atMs - gapMs;
    }
    this.#lastMs = atMs;
    this.#received += 1;
    const backend = message.subarray(0, message.indexOf(LINE_FEED)).toString();
    this.#backends.set(backend, (this.#backends.get(backend) ?? 0) + 1);
  }
}
