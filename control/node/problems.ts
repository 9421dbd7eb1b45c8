// Owns what is wrong with this node right now, each by a key: what `status` lists until it is solved.
import type { NodeEvent } from '../api/schema.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';

export class Problems {
  readonly #current = new Map<string, FailureBody>();
  readonly #tell: (event: Pick<NodeEvent, 'kind' | 'message'>) => void;

  constructor(tell: (event: Pick<NodeEvent, 'kind' | 'message'>) => void) {
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
    this.#current.set(key, body);
    this.#tell({ kind: 'problem', message: body.message });
  }

  solve(key: string): void {
    const solved = this.#current.get(key);
    if (solved === undefined) return;
    this.#current.delete(key);
    this.#tell({ kind: 'solved', message: solved.message });
  }

  list(): FailureBody[] {
    return [...this.#current.values()];
  }
}
