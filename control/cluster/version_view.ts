// Owns following versions in the store: each of them in order, kept until it is taken; after compaction the newest. A
// store that has none any more, or begins anew with one of nothing, has lost the cluster: the last version stays.
import { Failure } from '../lib/failure.ts';
import type { Entry, Store } from '../store/contract.ts';
import { Following, tell } from './following.ts';
import { BLOBS_PREFIX, blobKey, HEAD_KEY, VERSIONS_PREFIX } from './keys.ts';
import type { Version } from './version.ts';
import { VersionDecoder } from './version_layout.ts';

/** Of versions that nobody has taken yet the oldest go first: to apply what comes after them at once does no harm. */
export const VERSIONS_KEPT_MAX = 32;
/** Parts that come before their head; more are read when it is there. */
const PARTS_COMING_MAX = 256;

export type VersionListener = (head: Version) => void;

/** A version as the store had it: its head and all that this names. */
export type StoredVersion = { readonly version: Version; readonly entries: ReadonlyMap<string, Entry> };

/** Undefined where entries that a node has kept of a store have no version, or not all of it. */
export async function storedVersion(entries: ReadonlyMap<string, Entry>): Promise<StoredVersion | undefined> {
  const head = entries.get(HEAD_KEY);
  if (head === undefined) return undefined;
  const version = await new VersionDecoder().decode(
    head,
    async (digest) => entries.get(blobKey(digest))?.value,
  );
  return version && { version, entries };
}

export class VersionView {
  readonly #store: Pick<Store, 'get' | 'list' | 'watch'>;
  readonly #listeners = new Set<VersionListener>();
  readonly #following: Following;
  readonly #decoder = new VersionDecoder();
  /** In order; the last is the head. */
  #kept: Version[] = [];
  #headRevision = 0;
  /** The head's, with the parts that it names. */
  #entries: ReadonlyMap<string, Entry> = new Map();
  /** Parts that were written since the last head. */
  readonly #coming = new Map<string, Entry>();
  #isLost = false;

  /** `saved`: begins with this one, until the store gives another. */
  constructor(store: Pick<Store, 'get' | 'list' | 'watch'>, saved?: StoredVersion) {
    this.#store = store;
    this.#following = new Following(store, {
      prefix: HEAD_KEY,
      // Parts are told of as they are written: nobody has to ask for them.
      watched: VERSIONS_PREFIX,
      what: 'versions in the store',
      whole: async (entries) => {
        const entry = entries.find(({ key }) => key === HEAD_KEY);
        if (entry !== undefined) await this.#read(entry);
        else if (this.head !== undefined) this.#lose(this.head);
      },
      changed: async ({ changes }) => {
        const entries = changes.flatMap((it) => (it.kind === 'put' ? [it.entry] : []));
        for (const entry of entries) if (entry.key.startsWith(BLOBS_PREFIX)) this.#comes(entry);
        const head = entries.find(({ key }) => key === HEAD_KEY);
        if (head !== undefined) await this.#read(head);
      },
    });
    if (saved === undefined) return;
    this.#kept = [saved.version];
    this.#entries = saved.entries;
    this.#following.begun();
  }

  /** Resolves when the store was read: there may be no version yet. */
  start(): Promise<void> {
    return this.#following.start();
  }

  /** The newest that was read. */
  get head(): Version | undefined {
    return this.#kept.at(-1);
  }

  /** The store has no version of this cluster any more: `head` is of the time before. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** What `head` was read from. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** The head's modRevision, for transactions that only hold while it is the head; 0: there is none. */
  get headRevision(): number {
    return this.#headRevision;
  }

  /**
   * The version to apply by who has `applied`: the next, or the oldest that is kept of those after it; of another life of
   * the cluster the newest. undefined: there is nothing newer. What is older than asked for is not kept any more.
   */
  next(applied: Pick<Version, 'number' | 'cluster'> | undefined): Version | undefined {
    const { head } = this;
    if (head === undefined || applied === undefined) return head;
    if (head.cluster !== applied.cluster) return head;
    this.#kept = this.#kept.filter((version) => version === head || version.number > applied.number);
    return this.#kept.find((version) => version.number > applied.number);
  }

  /** Called with each head that is read; returns how to end it. */
  onChange(listener: VersionListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called when the connection is lost, with the problem, and when it is back. */
  onConnection(listener: (problem: Failure | undefined) => void): () => void {
    return this.#following.onConnection(listener);
  }

  /** Follows no more; the store stays open. */
  async close(): Promise<void> {
    await this.#following.close();
  }

  /** Another store's count of revisions begins anew. */
  #lose(last: Version): void {
    this.#isLost = true;
    this.#headRevision = 0;
    tell(this.#listeners, last);
  }

  #comes(part: Entry): void {
    if (this.#coming.size >= PARTS_COMING_MAX) this.#coming.clear();
    this.#coming.set(part.key, part);
  }

  /** A version whose blobs are gone is not read: its followers are on their way. */
  async #read(entry: Entry): Promise<void> {
    if (entry.modRevision === this.#headRevision) return;
    const parts = new Map<string, Entry>();
    const read = async (digest: string) => {
      const key = blobKey(digest);
      const part = this.#entries.get(key) ?? this.#coming.get(key) ?? (await this.#store.get(key));
      if (part !== undefined) parts.set(key, part);
      return part?.value;
    };
    const version = await this.#decoder.decode(entry, read);
    if (version === undefined) {
      const newest = await this.#store.get(HEAD_KEY);
      if (newest !== undefined && newest.modRevision > entry.modRevision) return;
      throw new Failure('internal', 'the newest version in the store lacks a part', {
        remedy: 'put back a copy of the store, or delete version/head: the leader makes another',
      });
    }
    const last = this.head;
    if (last !== undefined && isOfNothing(version, last)) return this.#lose(last);
    for (const key of this.#decoder.names.map(blobKey)) {
      const kept = parts.get(key) ?? this.#entries.get(key);
      if (kept !== undefined) parts.set(key, kept);
    }
    this.#entries = parts.set(HEAD_KEY, entry);
    this.#coming.clear();
    this.#headRevision = entry.modRevision;
    this.#isLost = false;
    if (this.head?.cluster !== version.cluster) this.#kept = [];
    this.#kept.push(version);
    if (this.#kept.length > VERSIONS_KEPT_MAX) this.#kept.shift();
    tell(this.#listeners, version);
  }
}

/** Who found the store empty and knew of no cluster has begun one. */
function isOfNothing({ cluster, objects }: Version, last: Version): boolean {
  return cluster !== last.cluster && objects.revision === 0 && last.objects.revision > 0;
}
