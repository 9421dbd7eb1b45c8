// Owns bringing the newest value to a place that takes one at a time: values that were overtaken are left out, and one
// that failed is tried again.
export type LatestOptions<T> = {
  readonly apply: (value: T) => Promise<void>;
  readonly onFailure: (error: unknown, value: T) => void;
  readonly onSuccess: (value: T) => void;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
};

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 15_000;

export class Latest<T> {
  readonly #options: LatestOptions<T>;
  #wanted: { value: T } | undefined;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs: number;
  #closed = false;

  constructor(options: LatestOptions<T>) {
    this.#options = options;
    this.#retryMs = options.retryMinMs ?? RETRY_MIN_MS;
  }

  set(value: T): void {
    if (this.#closed) return;
    this.#wanted = { value };
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#running ??= this.#run();
  }

  /** What is on its way is finished; nothing else begins. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wanted = undefined;
    clearTimeout(this.#retry);
    await this.#running;
  }

  async #run(): Promise<void> {
    // Whoever sets several values in a row has them taken together.
    await Promise.resolve();
    while (this.#wanted !== undefined) {
      const { value } = this.#wanted;
      this.#wanted = undefined;
      try {
        await this.#options.apply(value);
        this.#retryMs = this.#options.retryMinMs ?? RETRY_MIN_MS;
        this.#options.onSuccess(value);
      } catch (error) {
        this.#options.onFailure(error, value);
        if (this.#wanted === undefined) this.#later(value);
      }
    }
    this.#running = undefined;
  }

  #later(value: T): void {
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.set(value), this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, this.#options.retryMaxMs ?? RETRY_MAX_MS);
  }
}
