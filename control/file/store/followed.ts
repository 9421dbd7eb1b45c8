// Owns following the namespace in the store: the last good one, kept while the store is away or has something that cannot
// be read, and told why.
import { Following } from '../../cluster/following.ts';
import type { Failure } from '../../lib/failure.ts';
import type { Entry, Store } from '../../store/contract.ts';
import type { Namespace } from '../namespace/document.ts';
import { NamespaceView } from '../namespace/view.ts';
import { DOCUMENT_PREFIX, DocumentReader, lostNamespace, NAMESPACE_HEAD_KEY } from './layout.ts';

export class FollowedNamespace {
  readonly view = new NamespaceView();
  readonly #following: Following;
  readonly #reader = new DocumentReader();
  #entries = new Map<string, Entry>();
  #isKnown = false;

  constructor(store: Pick<Store, 'list' | 'watch'>) {
    this.#following = new Following(store, {
      prefix: DOCUMENT_PREFIX,
      what: 'the namespace in the store',
      whole: (list) => this.#become(new Map(list.map((entry) => [entry.key, entry]))),
      changed: ({ changes }) => {
        const entries = new Map(this.#entries);
        for (const change of changes) {
          if (change.kind === 'put') entries.set(change.entry.key, change.entry);
          else entries.delete(change.key);
        }
        this.#become(entries);
      },
    });
  }

  /** Resolves with the first one, however long the store is away; at once where this is closed before. */
  start(): Promise<void> {
    return this.#following.start();
  }

  /** False: none has been read yet, which is not an empty one. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Why changes are not seen as they happen; undefined: they are, or it has not begun. */
  get problem(): Failure | undefined {
    return this.#following.problem;
  }

  /** Called when the connection is lost, with the problem, and when it is back. */
  onConnection(listener: (problem: Failure | undefined) => void): () => void {
    return this.#following.onConnection(listener);
  }

  /** Resolves once a namespace is seen that `is` says yes to; false: it was not within `limitMs`. */
  async until(is: (namespace: Namespace) => boolean, limitMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const look = () => is(this.view.namespace) && resolve(true);
    const end = this.view.onChange(look);
    const timer = setTimeout(() => resolve(false), limitMs);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      end();
    }
  }

  /** Follows no more; the store stays open. */
  async close(): Promise<void> {
    await this.#following.close();
  }

  #become(entries: Map<string, Entry>): void {
    if (this.#entries.has(NAMESPACE_HEAD_KEY) && !entries.has(NAMESPACE_HEAD_KEY)) throw lostNamespace();
    // Read whole again after a trouble, it is mostly what it was.
    if (this.#isKnown && isSame(this.#entries, entries)) return;
    const namespace = this.#reader.read(entries);
    this.#entries = entries;
    this.#isKnown = true;
    this.view.become(namespace);
  }
}

function isSame(a: ReadonlyMap<string, Entry>, b: ReadonlyMap<string, Entry>): boolean {
  return a.size === b.size && [...a].every(([key, { value }]) => b.get(key)?.value === value);
}
