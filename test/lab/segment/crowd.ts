// Owns the lab's end of the crowd (crowd.c): what has become of its requests, and what of them went wrong.
import { once } from 'node:events';
import type { Started } from '../processes.ts';

export type CrowdCounts = {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  /** Clients that found another server than the time before. */
  readonly moved: number;
  /** Requests that the server had not counted, or counted twice. */
  readonly missed: number;
  /** Longer than half a second. */
  readonly slow: number;
  readonly slowestMs: number;
  readonly atMs: number;
};

export type CrowdEvent = {
  readonly what: 'failed' | 'moved' | 'missed';
  /** Of what failed, why; else the server of before. */
  readonly detail: string;
  readonly client: number;
  readonly kind: string;
  readonly connected?: boolean;
  /** Of what failed, the client's server; else the one that it has now. */
  readonly server: string;
  readonly beganMs: number;
  readonly atMs: number;
};

const STOP_LIMIT_MS = 20_000;

export class Crowd {
  readonly events: CrowdEvent[] = [];
  readonly #started: Started;
  #counts: CrowdCounts | undefined;
  #onCounts: () => void = () => {};
  #isDone = false;

  constructor(started: Started) {
    this.#started = started;
    started.lines.on('line', (line) => this.#take(JSON.parse(line) as Record<string, unknown>));
  }

  get counts(): CrowdCounts | undefined {
    return this.#counts;
  }

  /** As soon as so many requests have been answered. */
  async answered(count: number, limitMs: number): Promise<CrowdCounts> {
    const deadline = Date.now() + limitMs;
    while ((this.#counts?.answered ?? 0) < count) {
      if (this.#isDone || Date.now() > deadline)
        throw new Error(`${count} requests were not answered: ${JSON.stringify(this.#counts)}`);
      await this.#nextCounts(deadline);
    }
    return this.#counts!;
  }

  async stop(): Promise<CrowdCounts> {
    this.#started.child.stdin?.write('stop\n');
    const timer = setTimeout(() => this.#started.child.kill('SIGKILL'), STOP_LIMIT_MS);
    if (this.#started.child.exitCode === null) await once(this.#started.child, 'exit');
    clearTimeout(timer);
    if (!this.#isDone) throw new Error('the crowd did not end by itself');
    return this.#counts!;
  }

  async #nextCounts(deadline: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(0, deadline - Date.now()));
    this.#onCounts = resolve;
    await promise;
    clearTimeout(timer);
  }

  #take(line: Record<string, unknown>): void {
    if ('done' in line) this.#isDone = true;
    else if ('sent' in line) this.#counts = line as CrowdCounts;
    else {
      const what = (['failed', 'moved', 'missed'] as const).find((name) => name in line)!;
      this.events.push({ ...line, what, detail: line[what] } as CrowdEvent);
      return;
    }
    this.#onCounts();
  }
}
