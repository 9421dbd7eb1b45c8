// Owns following the cluster in the store: the last good state, kept while the store is away; reading it once.
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterState, EMPTY_STATE } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import type { Entry, Revision, Store, WatchEvent } from '../store/contract.ts';
import { CLUSTER_PREFIX, decodeState, OBJECTS_KEY } from './layout.ts';

/** Pauses before the store is asked again grow from the one to the other; each is shortened by up to half, by chance. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;

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
  const entries = new Map(list.map((entry) => [entry.key, entry]));
  const state = decodeState(entries, revision, known);
  return { state, entries, objectsRevision: entries.get(OBJECTS_KEY)?.modRevision ?? 0 };
}

export async function readState(store: Pick<Store, 'list'>): Promise<ClusterState> {
  return (await readSnapshot(store)).state;
}

export type ChangeListener = (state: ClusterState, before: ClusterState) => void;
export type ConnectionListener = (problem: Failure | undefined) => void;

export class ClusterView {
  readonly #store: Pick<Store, 'list' | 'watch'>;
  readonly #listeners = new Set<ChangeListener>();
  readonly #connectionListeners = new Set<ConnectionListener>();
  readonly #closed = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #following: Promise<void> | undefined;
  #entries = new Map<string, Entry>();
  #state = EMPTY_STATE;
  #connected = false;
  #problem: Failure | undefined;

  constructor(store: Pick<Store, 'list' | 'watch'>) {
    this.#store = store;
  }

  /** Resolves with the first state, however long the store is away; at once where the view is closed before. */
  start(): Promise<void> {
    this.#following ??= this.#follow();
    return this.#ready.promise;
  }

  /** The last good one. Revision 0: none has been read yet, which is not an empty cluster. */
  get state(): ClusterState {
    return this.#state;
  }

  /** Of the entry that every edit writes; 0: there is none yet. */
  get objectsRevision(): Revision {
    return this.#entries.get(OBJECTS_KEY)?.modRevision ?? 0;
  }

  /** Whether changes are seen as they happen. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Why not. */
  get problem(): Failure | undefined {
    return this.#problem;
  }

  /** Called after each revision of the cluster; returns how to end it. A listener that throws is a bug: it is uncaught. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called when the connection is lost, with the problem, and when it is back. */
  onConnection(listener: ConnectionListener): () => void {
    this.#connectionListeners.add(listener);
    return () => void this.#connectionListeners.delete(listener);
  }

  /** Follows no more; the store stays open. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#following;
    this.#connected = false;
    this.#ready.resolve();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted; failures++) {
      const startedMs = performance.now();
      try {
        await this.#followOnce(signal);
      } catch (error) {
        if (!signal.aborted) this.#disconnected(error);
      }
      // It worked for a while: this is another trouble than the last.
      if (performance.now() - startedMs > PAUSE_MS_MAX) failures = 0;
      const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(failures, 10));
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until the view is closed or history was forgotten before it was read here. */
  async #followOnce(signal: AbortSignal): Promise<void> {
    const { state, entries } = await readSnapshot(this.#store, this.#state);
    if (signal.aborted) return;
    this.#entries = entries;
    this.#become(state);
    for await (const event of this.#store.watch(CLUSTER_PREFIX, state.revision + 1, signal)) {
      if (event.kind === 'compacted') return;
      this.#apply(event);
    }
  }

  #apply({ revision, changes }: WatchEvent & { kind: 'changes' }): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#become(decodeState(this.#entries, revision, this.#state));
  }

  #become(state: ClusterState): void {
    const before = this.#state;
    this.#state = state;
    this.#connection(true, undefined);
    this.#ready.resolve();
    if (state.revision === before.revision) return;
    for (const listener of this.#listeners) guarded(() => listener(state, before));
  }

  #disconnected(error: unknown): void {
    const problem =
      error instanceof Failure
        ? error
        : new Failure('internal', 'following the cluster in the store failed', { cause: error });
    this.#connection(false, problem);
  }

  #connection(connected: boolean, problem: Failure | undefined): void {
    const changed = this.#connected !== connected || this.#problem?.message !== problem?.message;
    this.#connected = connected;
    this.#problem = problem;
    if (changed) for (const listener of this.#connectionListeners) guarded(() => listener(problem));
  }
}

function guarded(call: () => void): void {
  try {
    call();
  } catch (error) {
    // Not a trouble of the store, and no reason to keep it from the next listener.
    queueMicrotask(() => {
      throw error;
    });
  }
}
