// Owns following the cluster in the store: the last good state, kept while the store is away; reading it once.
import { type ClusterState, EMPTY_STATE } from '../config/cluster_state.ts';
import type { Failure } from '../lib/failure.ts';
import type { Entry, Revision, Store } from '../store/contract.ts';
import { type Changes, Following, tell } from './following.ts';
import { CLUSTER_PREFIX, decodeState, lostCluster, OBJECTS_KEY } from './layout.ts';
import { isSameState, withSameParts } from './same_parts.ts';
import type { SavedState } from './saved_state.ts';

export type ClusterSnapshot = {
  readonly state: ClusterState;
  /** Of the entry that every edit writes; 0: there was none yet. */
  readonly objectsRevision: Revision;
};

/** The cluster as it is now. Parts that `known` has at the same modRevision are the same objects. */
export async function readSnapshot(
  store: Pick<Store, 'list'>,
  known: ClusterState = EMPTY_STATE,
): Promise<ClusterSnapshot & { entries: Map<string, Entry> }> {
  const { entries: list, revision } = await store.list(CLUSTER_PREFIX);
  const entries = byKey(list);
  const state = decodeState(entries, revision, known);
  return { state, entries, objectsRevision: entries.get(OBJECTS_KEY)?.modRevision ?? 0 };
}

function byKey(entries: readonly Entry[]): Map<string, Entry> {
  return new Map(entries.map((entry) => [entry.key, entry]));
}

export type ChangeListener = (state: ClusterState, before: ClusterState) => void;
export type ConnectionListener = (problem: Failure | undefined) => void;

export class ClusterView {
  readonly #listeners = new Set<ChangeListener>();
  readonly #following: Following;
  #entries = new Map<string, Entry>();
  /** Those that #state was read from. */
  #read: ReadonlyMap<string, Entry> = new Map();
  #state = EMPTY_STATE;

  /** `saved`: begins with this one, until the store gives another. */
  constructor(store: Pick<Store, 'list' | 'watch'>, saved?: SavedState) {
    this.#following = new Following(store, {
      prefix: CLUSTER_PREFIX,
      what: 'the cluster in the store',
      whole: (list, revision) => {
        const entries = byKey(list);
        // Read for itself: modRevisions of before prove nothing.
        const fresh = decodeState(entries, revision, EMPTY_STATE);
        this.#checkKept(entries);
        this.#entries = entries;
        this.#become(withSameParts(fresh, this.#state));
      },
      changed: (event) => this.#apply(event),
    });
    if (saved === undefined) return;
    this.#state = decodeState(saved.entries, saved.revision, EMPTY_STATE);
    this.#read = saved.entries;
    this.#following.begun();
  }

  /** Resolves with the first state, however long the store is away; at once where the view is closed before. */
  start(): Promise<void> {
    return this.#following.start();
  }

  /** The last good one. Revision 0: none has been read yet, which is not an empty cluster. */
  get state(): ClusterState {
    return this.#state;
  }

  /** What `state` was read from. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#read;
  }

  /** Of the entry that every edit writes; 0: there is none yet. */
  get objectsRevision(): Revision {
    return this.#read.get(OBJECTS_KEY)?.modRevision ?? 0;
  }

  /** Whether changes are seen as they happen. */
  get connected(): boolean {
    return this.#following.connected;
  }

  /** Why not. */
  get problem(): Failure | undefined {
    return this.#following.problem;
  }

  /** Called after each revision of the cluster; returns how to end it. A listener that throws is a bug: it is uncaught. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called when the connection is lost, with the problem, and when it is back. */
  onConnection(listener: ConnectionListener): () => void {
    return this.#following.onConnection(listener);
  }

  /** Follows no more; the store stays open. */
  async close(): Promise<void> {
    await this.#following.close();
  }

  #apply({ revision, changes }: Changes): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#checkKept(this.#entries);
    this.#become(decodeState(this.#entries, revision, this.#state));
  }

  #checkKept(entries: ReadonlyMap<string, Entry>): void {
    if (this.#read.has(OBJECTS_KEY) && !entries.has(OBJECTS_KEY)) throw lostCluster();
  }

  #become(state: ClusterState): void {
    const before = this.#state;
    this.#state = state;
    this.#read = new Map(this.#entries);
    if (!isSameState(state, before)) tell(this.#listeners, state, before);
  }
}
