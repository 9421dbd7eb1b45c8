// Owns what one client, an address without a port, may have in flight over all its connections, and which of them wait
// for it. Says when; what goes on then is the connection's.

export interface ClientLimits {
  /** Requests that were given out and are not answered. */
  readonly requestsMax: number;
  /** Bytes of those requests, of what their results may take, and of slabs with replies that are not sent. */
  readonly bytesMax: number;
}

export const CLIENT_LIMITS: ClientLimits = { requestsMax: 256, bytesMax: 64 << 20 };

export class ClientBudget<Waiter = unknown> {
  /** The client's address, as text: a key of the cache of duplicates. */
  readonly name: string;
  readonly limits: ClientLimits;
  requests = 0;
  bytes = 0;
  /** And the bytes that each needs. */
  readonly #waiting = new Map<Waiter, number>();

  constructor(name: string, limits: ClientLimits = CLIENT_LIMITS) {
    this.name = name;
    this.limits = limits;
  }

  /** Something is always allowed for a client that has nothing in flight, however large. */
  allows(bytes: number): boolean {
    if (this.requests >= this.limits.requestsMax) return false;
    return this.bytes === 0 || this.bytes + bytes <= this.limits.bytesMax;
  }

  wait(waiter: Waiter, bytes: number): void {
    this.#waiting.set(waiter, bytes);
  }

  forget(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  /** One that waits and may try again, longest waiting first. Ask until there is none, after replies and writes. */
  resumable(): Waiter | undefined {
    if (this.#waiting.size === 0) return undefined;
    const [waiter, bytes] = this.#waiting.entries().next().value!;
    if (!this.allows(bytes)) return undefined;
    this.#waiting.delete(waiter);
    return waiter;
  }
}
