// Owns that secrets of the cluster are in the store only sealed: who can read the store, or a copy of it, learns none of
// them. The cluster's secret opens them; nodes get it when they join. What the store has otherwise is as it was.
//
//   sealed1: + base64 of a nonce (12 bytes), AES-256-GCM of the value with the key's name as additional data, its tag
//
// A value that was written before the cluster had a secret is read as it is, and sealed when it is written again. Who can
// write to the store can do that as well, and much else: sealing keeps readers out, not writers.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ASK_KEYS_KEY, FILE_KEY_KEY } from '../cluster/keys.ts';
import { Failure } from '../lib/failure.ts';
import type {
  Change,
  Comparison,
  Entry,
  Leadership,
  Lease,
  Operation,
  Revision,
  Store,
  TxnResult,
  WatchEvent,
} from '../store/contract.ts';
import { AUTHORITY_KEYS_KEY } from './layout.ts';

const SEALED_KEYS: ReadonlySet<string> = new Set([ASK_KEYS_KEY, AUTHORITY_KEYS_KEY, FILE_KEY_KEY]);
const MARK = 'sealed1:';
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const CLUSTER_SECRET_BYTES = 32;

export class SealedStore implements Store {
  readonly #store: Store;
  #secret: Uint8Array | undefined;
  /** Aborted when there is another secret: what was left out before is read again. */
  #another = new AbortController();

  constructor(store: Store, secret?: Uint8Array) {
    this.#store = store;
    this.#secret = secret;
  }

  get hasSecret(): boolean {
    return this.#secret !== undefined;
  }

  /** Undefined: this node is no longer of the cluster. */
  useSecret(secret: Uint8Array | undefined): void {
    if (Buffer.compare(secret ?? NOTHING, this.#secret ?? NOTHING) === 0) return;
    this.#secret = secret;
    this.#another.abort();
    this.#another = new AbortController();
  }

  /** @throws Failure `forbidden` for a sealed value that this node cannot open. */
  async get(key: string): Promise<Entry | undefined> {
    const entry = await this.#store.get(key);
    return entry && this.#opened(entry);
  }

  /** Without those that this node cannot open. */
  async list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly revision: Revision }> {
    const { entries, revision } = await this.#store.list(prefix);
    return { entries: entries.flatMap((entry) => this.#openedOrNone(entry)), revision };
  }

  txn(comparisons: readonly Comparison[], operations: readonly Operation[]): Promise<TxnResult> {
    return this.#store.txn(
      comparisons,
      operations.map((it) =>
        'put' in it && this.#secret !== undefined && SEALED_KEYS.has(it.put)
          ? { ...it, value: seal(it.put, it.value, this.#secret) }
          : it,
      ),
    );
  }

  /** As list(). Ends as after a compaction where there is another secret: list again. */
  async *watch(prefix: string, fromRevision: Revision, signal?: AbortSignal): AsyncIterable<WatchEvent> {
    const another = this.#another.signal;
    const either = signal === undefined ? another : AbortSignal.any([signal, another]);
    for await (const event of this.#store.watch(prefix, fromRevision, either)) {
      yield event.kind === 'compacted'
        ? event
        : { ...event, changes: event.changes.flatMap((it) => this.#openedChange(it)) };
    }
    if (another.aborted && signal?.aborted !== true) yield { kind: 'compacted', oldest: fromRevision };
  }

  lease(ttlMs: number): Promise<Lease> {
    return this.#store.lease(ttlMs);
  }

  campaign(
    name: string,
    value: string,
    options: { ttlMs: number; signal?: AbortSignal },
  ): Promise<Leadership> {
    return this.#store.campaign(name, value, options);
  }

  leader(name: string): Promise<{ readonly value: string; readonly epoch: Revision } | undefined> {
    return this.#store.leader(name);
  }

  compact(revision: Revision): Promise<void> {
    return this.#store.compact(revision);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #opened(entry: Entry): Entry {
    if (!SEALED_KEYS.has(entry.key) || !entry.value.startsWith(MARK)) return entry;
    if (this.#secret === undefined) throw notJoined(entry.key);
    const value = open(entry.key, entry.value, this.#secret);
    if (value === undefined) throw anotherSecret(entry.key);
    return { ...entry, value };
  }

  #openedOrNone(entry: Entry): Entry[] {
    try {
      return [this.#opened(entry)];
    } catch (error) {
      if (error instanceof Failure) return [];
      throw error;
    }
  }

  #openedChange(change: Change): Change[] {
    if (change.kind === 'delete') return [change];
    return this.#openedOrNone(change.entry).map((entry) => ({ ...change, entry }));
  }
}

const NOTHING = new Uint8Array();

function seal(key: string, value: string, secret: Uint8Array): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce).setAAD(Buffer.from(key));
  const sealed = Buffer.concat([nonce, cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return MARK + sealed.toString('base64');
}

/** Undefined where it was sealed with another secret, for another key, or was changed since. */
function open(key: string, text: string, secret: Uint8Array): string | undefined {
  const sealed = Buffer.from(text.slice(MARK.length), 'base64');
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, secret, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(key)).setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    const opened = [decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()];
    return Buffer.concat(opened).toString('utf8');
  } catch {
    return undefined;
  }
}

function notJoined(key: string): Failure {
  return new Failure('forbidden', 'this node has not joined the cluster', {
    reason: `${key} in the store is sealed, and only nodes that have joined can open it.`,
    remedy: 'on a mux of the cluster: holdfast cluster token; then here: holdfast cluster join TOKEN',
  });
}

function anotherSecret(key: string): Failure {
  return new Failure('forbidden', `${key} in the store cannot be opened with the secret of this node`, {
    reason: 'It was sealed with another one, or was changed by somebody who does not have it.',
    remedy: 'check that store is that of the cluster that this node has joined',
  });
}
