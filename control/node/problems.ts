// Owns what is wrong with this node right now, each by a key: what `status` lists until it is solved.
import type { NodeEvent } from '../api/schema.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';

export class Problems {
  readonly #current = new Map<string, FailureBody>();
  readonly #tell: (event: Pick<NodeEvent, 'kind' | 'message'>, failure?: Failure) => void;

  /** `failure` is that of a problem: for the log. */
  constructor(tell: (event: Pick<NodeEvent, 'kind' | 'message'>, failure?: Failure) => void) {
    this.#tell = tell;
  }

  /** Tells when it is new or has changed. What is no Failure is a bug, and named as one. */
  arise(key: string, error: unknown): void {
    const failure =
      error instanceof Failure
        ? error
        : new Failure('internal', `${key} failed`, {
            cause: error,
            remedy: 'this is a bug: please report it with the log of holdfastd',
          });
    const { body } = failure;
    if (this.#current.get(key)?.message === body.message) return;
    const isKnown = this.#says(body.message);
    this.#current.set(key, body);
    if (!isKnown) this.#tell({ kind: 'problem', message: body.message }, failure);
  }

  solve(key: string): void {
    const solved = this.#current.get(key);
    if (solved === undefined) return;
    this.#current.delete(key);
    if (!this.#says(solved.message)) this.#tell({ kind: 'solved', message: solved.message });
  }

  /** What several keys say is one problem: a store that is away, by all who ask it. */
  list(): FailureBody[] {
    return [
      ...new Map([...this.#current.values()].reverse().map((it) => [it.message, it])).values(),
    ].reverse();
  }

  #says(message: string): boolean {
    return [...this.#current.values()].some((it) => it.message === message);
  }
}
