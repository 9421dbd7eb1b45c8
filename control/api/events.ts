// Owns the events of the node as clients read them: the last of them kept for all clients together, and the stream of
// server-sent events (the HTML standard, section 9.2) that one client gets. What happens is told by the NodePort.
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodePort } from './node_port.ts';
import type { NodeEvent } from './schema.ts';

/** A client that is further behind has missed some. */
export const EVENTS_KEPT = 1_024;
/** Proxies close what is silent for longer, usually after a minute. */
export const KEEP_ALIVE_MS = 15_000;
/** After which a client that lost its connection comes back. */
const RECONNECT_MS = 2_000;
/** Before the node is asked for events anew where it stopped telling them. */
const FOLLOW_AGAIN_MS = 1_000;

type Kept = { readonly id: string; readonly event: NodeEvent };

/**
 * Events by number, the newest EVENTS_KEPT of them. A reader has a position of its own, so that a slow one costs
 * nothing and delays nobody: it falls out of what is kept.
 */
export class EventLog {
  readonly #run: string;
  #kept: NodeEvent[] = [];
  #first = 1;
  readonly #waiting = new Set<() => void>();

  /** `run` tells the ids of this process from those of the one before. */
  constructor(run: string) {
    this.#run = run;
  }

  get #next(): number {
    return this.#first + this.#kept.length;
  }

  append(event: NodeEvent): void {
    this.#kept.push(event);
    if (this.#kept.length > EVENTS_KEPT) {
      this.#kept.shift();
      this.#first++;
    }
    for (const wake of this.#waiting) wake();
  }

  /** Nobody knows what happened in the meantime, so every reader has missed something. */
  lose(): void {
    this.#first = this.#next + 1;
    this.#kept = [];
    for (const wake of this.#waiting) wake();
  }

  /** The position after an event that was read before; now, where none was. */
  after(id: string | undefined): number {
    if (id === undefined || id === '') return this.#next;
    const [, run, number] = /^([0-9a-z]+)-(\d{1,15})$/.exec(id) ?? [];
    const known = run === this.#run && Number(number) < this.#next;
    return known ? Number(number) + 1 : 0;
  }

  /** `missed` where the event is no longer kept, undefined where it has not happened yet. */
  read(position: number): Kept | 'missed' | undefined {
    if (position < this.#first) return 'missed';
    const event = this.#kept[position - this.#first];
    return event === undefined ? undefined : { id: this.#idOf(position), event };
  }

  get lastId(): string {
    return this.#idOf(this.#next - 1);
  }

  /** Whether something happened, or `signal` was aborted, within `timeoutMs`. */
  async more(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = () => resolve(true);
    const timer = setTimeout(() => resolve(false), timeoutMs);
    this.#waiting.add(wake);
    signal.addEventListener('abort', wake);
    if (signal.aborted) wake();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
      signal.removeEventListener('abort', wake);
    }
  }

  #idOf(number: number): string {
    return `${this.#run}-${number}`;
  }
}

/** Fills the log until `stopping` is aborted. */
export async function followEvents(
  node: NodePort,
  log: EventLog,
  stopping: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!stopping.aborted) {
    try {
      for await (const event of node.events(stopping)) log.append(event);
    } catch (error) {
      if (!stopping.aborted) onError(error);
    }
    if (stopping.aborted) return;
    await sleep(FOLLOW_AGAIN_MS, undefined, { signal: stopping, ref: false }).catch(() => {});
    log.lose();
  }
}

/**
 * The stream of one client, from `lastEventId` on or from now on. A client that missed events is told so by a last
 * event, whose id lets it come back for what happens next; what it knows it must read anew.
 */
export async function* eventStream(
  log: EventLog,
  lastEventId: string | undefined,
  options: { keepAliveMs: number; signal: AbortSignal; nowMs: () => number },
): AsyncGenerator<string> {
  let position = log.after(lastEventId);
  yield `retry: ${RECONNECT_MS}\n\n`;
  while (!options.signal.aborted) {
    const found = log.read(position);
    if (found === 'missed') {
      yield serverSentEvent({ id: log.lastId, event: missed(options.nowMs()) });
      return;
    }
    if (found !== undefined) {
      yield serverSentEvent(found);
      position++;
    } else if (!(await log.more(options.keepAliveMs, options.signal))) {
      yield ': nothing happened\n\n';
    }
  }
}

function missed(atMs: number): NodeEvent {
  return {
    atMs,
    kind: 'missed',
    message: `Events were missed: the last ${EVENTS_KEPT} are kept. Read the state anew, and connect again.`,
  };
}

// Without an event field, so that the plain `onmessage` of every client hears all of them; JSON has no line breaks.
function serverSentEvent({ id, event }: Kept): string {
  return `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
}
