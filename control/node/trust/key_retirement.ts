// Owns that muxes sign with another key after a node was removed, for it knows the one they had. The removal stands in the
// store until that key is on its way, so a mux that is restarted, or another one, brings it about as well.
import { ASK_KEYS_KEY } from '../../cluster/keys.ts';
import { rotateKeys } from '../../cluster/member_store.ts';
import { Failure } from '../../lib/failure.ts';
import type { Removal } from '../../trust/layout.ts';
import type { SealedStore } from '../../trust/sealed_store.ts';
import type { Trust } from '../../trust/trust.ts';
import type { TrustView } from '../../trust/trust_view.ts';

/** A change of keys that is under way takes some seconds; then there is another one. */
const ATTEMPT_INTERVAL_MS = 1_000;
/** The mux that has removed the node is first. */
const OTHERS_AFTER_MS = 3_000;

export type KeyRetirementOptions = {
  readonly store: Pick<SealedStore, 'get' | 'txn'>;
  readonly view: Pick<TrustView, 'state' | 'refresh'>;
  readonly trust: Pick<Trust, 'isIssuer' | 'changes'>;
  /** Undefined: there is none. */
  readonly problem: (failure: Failure | undefined) => void;
};

export class KeyRetirement {
  readonly #options: KeyRetirementOptions;
  /** The removal that was seen last, and when it was first. */
  #seen: { readonly modRevision: number; readonly atMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempt: Promise<void> | undefined;

  constructor(options: KeyRetirementOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), ATTEMPT_INTERVAL_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#attempt;
  }

  /** This node has removed another one, and its view knows. Resolves after one attempt; more follow where that fails. */
  async begin(): Promise<void> {
    await this.#attempt;
    const { removal } = this.#options.view.state;
    if (removal === undefined) return;
    this.#seen = { modRevision: removal.modRevision, atMs: Number.NEGATIVE_INFINITY };
    await this.#try(removal);
  }

  #look(): void {
    const { view, trust, problem } = this.#options;
    const { removal } = view.state;
    if (removal === undefined && this.#seen !== undefined) problem(undefined);
    if (removal?.modRevision !== this.#seen?.modRevision) {
      this.#seen = removal && { modRevision: removal.modRevision, atMs: performance.now() };
    }
    if (removal === undefined || this.#seen === undefined || !trust.isIssuer) return;
    if (performance.now() - this.#seen.atMs < OTHERS_AFTER_MS) return;
    void this.#try(removal);
  }

  #try(removal: Removal): Promise<void> {
    this.#attempt ??= this.#retire(removal).finally(() => {
      this.#attempt = undefined;
    });
    return this.#attempt;
  }

  /** A change that is under way does not do: the node may have heard of its key before it was removed. */
  async #retire(removal: Removal): Promise<void> {
    const { store, view, trust, problem } = this.#options;
    try {
      // Where nobody has made a key there is none to know.
      if ((await store.get(ASK_KEYS_KEY)) !== undefined) await rotateKeys(store, Date.now());
      await trust.changes.forgetRemoval(removal);
      await view.refresh();
      problem(undefined);
    } catch (cause) {
      problem(
        new Failure(
          'unavailable',
          `the key that muxes sign with is one that ${removal.node} knows, which was removed`,
          { cause, remedy: 'it is tried again until it is done; holdfast doctor says what is in the way' },
        ),
      );
    }
  }
}
