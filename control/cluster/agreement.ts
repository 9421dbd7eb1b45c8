// Owns that a node that runs agrees with the store: it is registered there once the store answers, and its hash key is of
// the secret that the store has. Not here: what it begins with (beginning.ts).
import type { Failure } from '../lib/failure.ts';
import type { Entry, Store } from '../store/contract.ts';
import { catchUp, type Registration } from './beginning.ts';
import { HASH_SECRET_KEY } from './layout.ts';
import { secretOf } from './registry.ts';

const RETRY_MS = 2_000;

/** The cluster as this node follows it. */
export interface FollowedCluster {
  readonly entries: ReadonlyMap<string, Entry>;
  onChange(listener: () => void): () => void;
  onConnection(listener: (problem: Failure | undefined) => void): () => void;
}

export type AgreementOptions = {
  readonly store: Pick<Store, 'get' | 'txn'>;
  readonly view: FollowedCluster;
  readonly node: Registration;
  /** It runs with this one. */
  readonly secret: Uint8Array;
  /** The store did not answer when it began. */
  readonly isBehind: boolean;
  /** Why it could not be told of this node yet; undefined: it is. */
  readonly onOutcome: (error: unknown) => void;
  readonly retryMs?: number;
};

export class Agreement {
  readonly #options: AgreementOptions;
  readonly #other = Promise.withResolvers<void>();
  #isBehind: boolean;
  #isConnected = false;
  /** The secret in the store. */
  #isDamaged = false;
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: AgreementOptions) {
    this.#options = options;
    this.#isBehind = options.isBehind;
    options.view.onConnection((problem) => {
      this.#isConnected = problem === undefined;
      // Whatever it is that comes back, it may not have what this node told it.
      this.#isBehind ||= !this.#isConnected;
      this.#compare();
      this.#tell();
    });
    // It may be another one at any time: people put a copy back, or apply at a node that came new.
    options.view.onChange(() => this.#compare());
  }

  /** Resolves where the store has another secret than the one this node runs with: slots of flows are others then. */
  get otherSecret(): Promise<void> {
    return this.#other.promise;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #compare(): void {
    const { view, secret, onOutcome } = this.#options;
    const entry = view.entries.get(HASH_SECRET_KEY);
    if (entry === undefined) return;
    try {
      if (Buffer.compare(secretOf(entry.value), secret) !== 0) this.#other.resolve();
      if (this.#isDamaged) onOutcome(undefined);
      this.#isDamaged = false;
    } catch (error) {
      this.#isDamaged = true;
      onOutcome(error);
    }
  }

  #tell(): void {
    if (!this.#isBehind || !this.#isConnected || this.#isRunning || this.#isClosed) return;
    const { store, node, secret, onOutcome, retryMs = RETRY_MS } = this.#options;
    clearTimeout(this.#timer);
    this.#isBehind = false;
    this.#isRunning = true;
    catchUp(store, node, secret)
      .then(
        (isOther) => {
          onOutcome(undefined);
          if (isOther) this.#other.resolve();
        },
        (error: unknown) => {
          this.#isBehind = true;
          onOutcome(error);
        },
      )
      .finally(() => {
        this.#isRunning = false;
        if (this.#isBehind && !this.#isClosed) this.#timer = setTimeout(() => this.#tell(), retryMs);
      });
  }
}
