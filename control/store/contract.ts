// Owns the contract of the coordination store: what every implementation gives and what its users may rely on. The
// suite in test/contract/store.ts holds each implementation to it. Modelled on etcd's v3 API, so that etcd can be one.

/** Names of at most this many bytes of UTF-8, parts separated by `/`. */
export const KEY_BYTES_MAX = 512;
/** Of one value, bytes of UTF-8: etcd refuses requests beyond 1.5 MiB. */
export const VALUE_BYTES_MAX = 1 << 20;
/** Comparisons, and operations, in one transaction: etcd's default. */
export const TXN_OPERATIONS_MAX = 128;

/**
 * Revisions number the states of the whole store, from 1: each transaction that changes something makes the next. Every
 * put is a change, the same value again too; to delete a key that is not there is none. Others may use what the store
 * stands on (an etcd): their changes make revisions too, in which nothing happens here.
 */
export type Revision = number;

export type Entry = {
  readonly key: string;
  readonly value: string;
  /** When the key came to exist, and when it changed last. */
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** The entry goes when this lease does. */
  readonly leaseId?: string;
};

/** Holds where the key's modRevision is this; 0: where there is no such key. */
export type Comparison = { readonly key: string; readonly modRevision: Revision };

export type Operation =
  | { readonly put: string; readonly value: string; readonly leaseId?: string }
  | { readonly delete: string };

export type TxnResult =
  | { readonly succeeded: true; readonly revision: Revision }
  /** Nothing was changed. `revision` is the store's, at which the comparison failed. */
  | { readonly succeeded: false; readonly revision: Revision };

export type Change =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: Revision };

export type WatchEvent =
  /** All that one revision changed under the prefix; never a part of it. */
  | { readonly kind: 'changes'; readonly revision: Revision; readonly changes: readonly Change[] }
  /** Revisions up to `oldest` - 1 are forgotten: list again and watch from there. The watch has ended. */
  | { readonly kind: 'compacted'; readonly oldest: Revision };

export interface Lease {
  readonly id: string;
  /** As granted, which may be more than was asked for: etcd counts whole seconds, and knows a shortest time. */
  readonly ttlMs: number;
  /** Counts the time to live anew. False where the lease has ended: it will not come back. */
  renew(): Promise<boolean>;
  /** Ends it and removes its entries. */
  revoke(): Promise<void>;
}

/** Leadership among those who campaign for the same name. */
export interface Leadership {
  /** Grows from leader to leader of a name: the revision at which it was won. */
  readonly epoch: Revision;
  /** The entry that exists exactly as long as the leadership: compare it in transactions that only a leader may do. */
  readonly comparison: Comparison;
  /** Aborted when the leadership is lost. */
  readonly lost: AbortSignal;
  resign(): Promise<void>;
}

/**
 * Reads are linearizable; transactions are serializable. All methods throw a Failure: `unavailable` where the store
 * does not answer (it is not known then whether a transaction happened), `invalid` for keys and `limit` for sizes
 * beyond the limits above, before anything is sent. Keys and values are well-formed Unicode (`invalid` otherwise).
 */
export interface Store {
  get(key: string): Promise<Entry | undefined>;
  /** Entries whose key begins with `prefix`, by key in order of bytes, all at one revision. */
  list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly revision: Revision }>;
  /**
   * All comparisons hold: all operations happen at one new revision. No key may be named by two operations. A put under
   * a lease that has ended is `not_found`, and nothing happens.
   */
  txn(comparisons: readonly Comparison[], operations: readonly Operation[]): Promise<TxnResult>;
  /**
   * Changes under `prefix` from `fromRevision` on, it included, in order and none left out, until `signal` is aborted
   * (the iteration then ends) or compaction. Throws `unavailable` where the store is lost: watch again from the
   * revision after the last one seen.
   */
  watch(prefix: string, fromRevision: Revision, signal?: AbortSignal): AsyncIterable<WatchEvent>;
  /** Time to live of at least 100 ms. The caller renews it. It ends no sooner, and may end up to a second later. */
  lease(ttlMs: number): Promise<Lease>;
  /** Waits until it leads `name`; renews its lease of `ttlMs` by itself. `signal` gives up the wait: throws its reason. */
  campaign(
    name: string,
    value: string,
    options: { ttlMs: number; signal?: AbortSignal },
  ): Promise<Leadership>;
  /** Who leads `name` now: the value it campaigned with. */
  leader(name: string): Promise<{ readonly value: string; readonly epoch: Revision } | undefined>;
  /** Forgets revisions before `revision`, which must exist; entries stay. Implementations also forget by themselves. */
  compact(revision: Revision): Promise<void>;
  /** Watches throw, leaderships are lost, leases run out; everything else throws `unavailable` from now on. */
  close(): Promise<void>;
}
