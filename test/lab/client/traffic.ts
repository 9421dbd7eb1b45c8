// Owns requests without end, as many users make them: each over a connection of its own, sent once more where its
// connection breaks, counted by the period in which it began.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HTTP_PORT } from '../plan.ts';
import type { BrokenRequest, Traffic, TrafficPeriod } from '../protocol.ts';
import { hello } from './http.ts';
import { Tally } from './tally.ts';

const PERIODS_MAX = 100;
/**
 * Local ports, each used once for a destination before the first comes again. The kernel's own choice comes back to ports
 * within a few thousand connections; what a mux recorded of a flow stands for its idle time, and is right to.
 */
const LOCAL_PORTS = { first: 1_024, count: 31_744 } as const;
/** Of a period; more are counted, and not told. */
const BROKEN_TOLD_MAX = 100;

interface Period {
  readonly tally: Tally;
  readonly broken: BrokenRequest[];
  sentAgain: number;
}

export class TrafficSource {
  readonly #nonce: string;
  #periods: Period[] = [];
  #workers: Promise<void>[] = [];
  #isStopping = false;
  #requests = 0;
  /** By address. */
  readonly #connections = new Map<string, number>();

  constructor(nonce: string) {
    this.#nonce = nonce;
  }

  start(traffic: Traffic): void {
    if (this.#workers.length > 0) throw new Error('there is traffic already');
    this.#isStopping = false;
    this.#periods = [];
    this.mark();
    this.#workers = Array.from({ length: traffic.concurrency }, () => this.#work(traffic));
  }

  mark(): void {
    if (this.#periods.length === PERIODS_MAX) throw new Error(`${PERIODS_MAX} periods are enough`);
    this.#periods.push({ tally: new Tally(), broken: [], sentAgain: 0 });
  }

  /** Of the last period; null while there is no traffic. */
  status(): TrafficPeriod | null {
    return this.#workers.length === 0 ? null : told(this.#periods.at(-1)!);
  }

  async stop(): Promise<TrafficPeriod[]> {
    this.#isStopping = true;
    await Promise.all(this.#workers);
    this.#workers = [];
    return this.#periods.map(told);
  }

  async #work({ addresses, timeoutMs, intervalMs = 0 }: Traffic): Promise<void> {
    for (let nextMs = performance.now(); !this.#isStopping; nextMs += intervalMs) {
      const pauseMs = nextMs - performance.now();
      if (pauseMs > 0) await sleep(pauseMs);
      else nextMs = performance.now();
      const number = this.#requests++;
      const address = addresses[number % addresses.length]!;
      const period = this.#periods.at(-1)!;
      const ask = (attempt: string) =>
        askOver(period, address, this.#localPort(address), `${this.#nonce}-${number}-${attempt}`, timeoutMs);
      const startedMs = performance.now();
      try {
        const backend = await ask('first').catch(() => {
          period.sentAgain += 1;
          return ask('second');
        });
        period.tally.succeeded(backend, performance.now() - startedMs);
      } catch (error) {
        period.tally.failed(error);
      }
    }
  }

  #localPort(address: string): number {
    const number = this.#connections.get(address) ?? 0;
    this.#connections.set(address, number + 1);
    return LOCAL_PORTS.first + (number % LOCAL_PORTS.count);
  }
}

async function askOver(
  period: Period,
  address: string,
  localPort: number,
  nonce: string,
  timeoutMs: number,
): Promise<string> {
  let socket: Socket | undefined;
  try {
    socket = connect({ host: address, port: HTTP_PORT, localPort, noDelay: true });
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) });
    const connected = socket;
    return await hello(address, nonce, timeoutMs, { createConnection: () => connected });
  } catch (error) {
    if (period.broken.length < BROKEN_TOLD_MAX) {
      const { code, message } = error as NodeJS.ErrnoException;
      const from = { source: socket?.localAddress ?? '', sourcePort: localPort };
      const to = { destination: address, destinationPort: HTTP_PORT };
      period.broken.push({ ...from, ...to, error: code ?? message, atMs: Date.now() });
    }
    throw error;
  } finally {
    socket?.destroy();
  }
}

function told({ tally, broken, sentAgain }: Period): TrafficPeriod {
  return { result: tally.result(), broken, sentAgain };
}
