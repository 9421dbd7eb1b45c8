// Owns the counting of a load: what succeeded, where, how fast, and what went wrong.
import type { LoadResult } from '../protocol.ts';

export class Tally {
  readonly #perBackend = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #latenciesMs: number[] = [];
  readonly #startedMs = performance.now();

  succeeded(backend: string, latencyMs: number): void {
    count(this.#perBackend, backend);
    this.#latenciesMs.push(latencyMs);
  }

  failed(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException;
    count(this.#failures, code ?? message);
  }

  result(): LoadResult {
    const sorted = this.#latenciesMs.sort((a, b) => a - b);
    const at = (share: number) => round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
    return {
      succeeded: sorted.length,
      failed: [...this.#failures.values()].reduce((sum, times) => sum + times, 0),
      failures: Object.fromEntries(this.#failures),
      perBackend: Object.fromEntries([...this.#perBackend].sort()),
      latency: { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) },
      durationMs: round(performance.now() - this.#startedMs),
    };
  }
}

export function count(table: Map<string, number>, key: string): void {
  table.set(key, (table.get(key) ?? 0) + 1);
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** Runs `task` for 0 … count - 1, so many at a time. */
export async function concurrently(
  total: number,
  concurrency: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < total; index = next++) await task(index);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, worker));
}
