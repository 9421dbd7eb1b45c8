// Owns the store on etcd: the contract, said in requests of etcd's v3 JSON gateway. Revisions, leases and comparisons are
// etcd's own. Not here: who is asked and how (client.ts), the form of it (messages.ts), leadership (election.ts).
//
// Why not the package etcd3: it has had no release for years, brings gRPC along, and its watches go on by themselves
// after history was lost, which the contract forbids. The gateway needs an HTTP client.
import { Failure } from '../../lib/failure.ts';
import { checkFrom, checkKey, checkPrefix, checkTtl, checkTxn } from '../check.ts';
import type {
  Comparison,
  Entry,
  Leadership,
  Lease,
  Operation,
  Revision,
  Store,
  TxnResult,
  WatchEvent,
} from '../contract.ts';
import { campaign, leader } from '../election.ts';
import { EtcdClient, type Login, type Question } from './client.ts';
import type { CertificatePaths } from './exchange.ts';
import { NOT_FOUND, OUT_OF_RANGE, Refused, refusalFailure } from './failure.ts';
import {
  base64,
  encodeTxn,
  entryOf,
  grantSchema,
  type KeyValue,
  keepAliveSchema,
  plainSchema,
  prefixRange,
  rangeSchema,
  txnSchema,
} from './messages.ts';
import { StreamLost, watchOnce } from './watch.ts';

/** Entries of one answer: of 1 MiB each at most, in base64. */
const PAGE_ENTRIES = 16;
/** `list` begins again where history was forgotten between two pages. */
const LIST_ATTEMPTS_MAX = 5;
/** etcd's own --max-request-bytes, 1.5 MiB unless set, decides below this. */
const TXN_BYTES_MAX = 10 << 20;
/** etcd changes its leader while a lease is renewed: rarely once. */
const RENEW_ATTEMPTS_MAX = 3;
/** Of a lease's time to live: until another member is asked to renew it. */
const RENEW_TIMEOUT_SHARE = 1 / 5;
const RENEW_TIMEOUT_MS_MIN = 200;
const RENEW_TIMEOUT_MS_MAX = 3_000;

export type EtcdOptions = {
  readonly urls: readonly URL[];
  /** Of every key of ours in etcd; not empty. */
  readonly prefix: string;
  readonly certificates: CertificatePaths;
  readonly login?: Login | undefined;
  /** Only counts, and is never set. */
  readonly nowMs: () => number;
};

/** Asks nothing yet: etcd may be away. @throws Failure `configuration` where a file that it names cannot be read. */
export function openEtcdStore(options: EtcdOptions): Store {
  return new EtcdStore(options);
}

class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #root: string;
  readonly #nowMs: () => number;
  readonly #closed = new AbortController();

  constructor(options: EtcdOptions) {
    this.#client = new EtcdClient(options);
    this.#root = options.prefix;
    this.#nowMs = options.nowMs;
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    const { answer } = await this.#ask({
      path: '/v3/kv/range',
      body: { key: base64(this.#root + key) },
      schema: rangeSchema,
      repeatable: true,
    });
    return answer.kvs[0] === undefined ? undefined : entryOf(answer.kvs[0], this.#root);
  }

  async list(prefix: string): Promise<{ entries: readonly Entry[]; revision: Revision }> {
    checkPrefix(prefix);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#listOnce(prefix);
      } catch (error) {
        const forgotten = error instanceof Failure && isForgotten(error.cause);
        if (!forgotten || attempt === LIST_ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** In pages, all at the revision of the first: an answer has a bound, a cluster may have many tables. */
  async #listOnce(prefix: string): Promise<{ entries: readonly Entry[]; revision: Revision }> {
    const range = prefixRange(this.#root + prefix);
    const found: KeyValue[] = [];
    let revision: Revision | undefined;
    for (;;) {
      const last = found.at(-1);
      const { answer } = await this.#ask({
        path: '/v3/kv/range',
        body: {
          ...range,
          ...(last !== undefined && { key: keyAfter(last.key) }),
          ...(revision !== undefined && { revision: String(revision) }),
          limit: String(PAGE_ENTRIES),
        },
        schema: rangeSchema,
        repeatable: true,
      });
      revision ??= answer.header.revision;
      found.push(...answer.kvs);
      if (!answer.more || answer.kvs.length === 0) break;
    }
    return { entries: found.map((it) => entryOf(it, this.#root)), revision };
  }

  async txn(comparisons: readonly Comparison[], operations: readonly Operation[]): Promise<TxnResult> {
    checkTxn(comparisons, operations);
    checkSize(operations);
    const { answer } = await this.#ask({
      path: '/v3/kv/txn',
      body: encodeTxn(comparisons, operations, this.#root),
      schema: txnSchema,
      // What was done once is not done again: its own comparisons may fail then.
      repeatable: operations.length === 0,
    }).catch((error: unknown) => {
      if (error instanceof Failure && isRefused(error.cause, NOT_FOUND)) {
        throw new Failure('not_found', 'a lease of the transaction has ended', { cause: error.cause });
      }
      throw error;
    });
    return { succeeded: answer.succeeded, revision: answer.header.revision };
  }

  async *watch(prefix: string, fromRevision: Revision, signal?: AbortSignal): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix);
    checkFrom(fromRevision);
    const ended = signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    let next = fromRevision;
    // Members that took the watch and lost it again without an event.
    let fruitless = 0;
    for (;;) {
      if (signal?.aborted) return;
      if (this.#closed.signal.aborted) throw closedFailure();
      try {
        const options = { client: this.#client, root: this.#root, prefix, from: next, signal: ended };
        for await (const event of watchOnce(options)) {
          if (ended.aborted) break;
          yield event;
          if (event.kind === 'compacted') return;
          next = event.revision + 1;
          fruitless = 0;
        }
      } catch (error) {
        if (ended.aborted) continue;
        fruitless++;
        if (error instanceof StreamLost && fruitless <= this.#client.members) continue;
        throw failureOf(error);
      }
    }
  }

  async lease(ttlMs: number): Promise<Lease> {
    checkTtl(ttlMs);
    const { answer } = await this.#ask({
      path: '/v3/lease/grant',
      // Whole seconds; etcd makes more of them where its election timeout wants it.
      body: { TTL: String(Math.ceil(ttlMs / 1_000)) },
      schema: grantSchema,
      // One that nobody learns of ends by itself.
      repeatable: true,
    });
    const { ID: id } = answer;
    const grantedMs = answer.TTL * 1_000;
    return {
      id,
      ttlMs: grantedMs,
      renew: () => this.#renew(id, grantedMs),
      revoke: () => this.#revoke(id),
    };
  }

  campaign(
    name: string,
    value: string,
    options: { ttlMs: number; signal?: AbortSignal },
  ): Promise<Leadership> {
    return campaign(this, name, value, { ...options, closed: this.#closed.signal, nowMs: this.#nowMs });
  }

  leader(name: string): Promise<{ value: string; epoch: Revision } | undefined> {
    return leader(this, name);
  }

  /** Of all of etcd, others' history too: see `oldest` in watch.ts for why it is one less. */
  async compact(revision: Revision): Promise<void> {
    checkFrom(revision);
    const { answer } = await this.#ask(this.#look());
    if (revision > answer.header.revision) {
      throw new Failure('invalid', `revision ${revision} of the store is still to come`);
    }
    if (revision === 1) return;
    await this.#ask({
      path: '/v3/kv/compaction',
      body: { revision: String(revision - 1) },
      schema: plainSchema,
      repeatable: true,
    }).catch((error: unknown) => {
      if (!(error instanceof Failure && isForgotten(error.cause))) throw error;
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#client.close();
  }

  /**
   * etcd's leader renews leases without asking the others, so one that was replaced and does not know it yet may renew
   * what the new one lets end. So first a read, which only the true leader can answer; then the renewal, at the same
   * member in the same term. A leader elected after the read gives every lease its whole time anew.
   */
  async #renew(id: string, ttlMs: number): Promise<boolean> {
    const timeoutMs = Math.min(
      RENEW_TIMEOUT_MS_MAX,
      Math.max(RENEW_TIMEOUT_MS_MIN, ttlMs * RENEW_TIMEOUT_SHARE),
    );
    for (let attempt = 1; attempt <= RENEW_ATTEMPTS_MAX; attempt++) {
      const { answer: before, url } = await this.#ask({ ...this.#look(), timeoutMs });
      const after = await this.#guarded(() =>
        this.#client.askAt(url, {
          path: '/v3/lease/keepalive',
          body: { ID: id },
          schema: keepAliveSchema,
          isStream: true,
          repeatable: true,
          timeoutMs,
          signal: this.#closed.signal,
        }),
      );
      if (after.header.raft_term !== before.header.raft_term) continue;
      return after.TTL > 0;
    }
    throw new Failure('unavailable', 'etcd changes its leader all the time', {
      reason: `it did so during each of ${RENEW_ATTEMPTS_MAX} renewals of a lease`,
      remedy: 'see the log of etcd',
    });
  }

  async #revoke(id: string): Promise<void> {
    await this.#ask({
      path: '/v3/lease/revoke',
      body: { ID: id },
      schema: plainSchema,
      repeatable: true,
    }).catch((error: unknown) => {
      if (!(error instanceof Failure && isRefused(error.cause, NOT_FOUND))) throw error;
    });
  }

  /** The newest revision, and nothing else. */
  #look() {
    return {
      path: '/v3/kv/range',
      body: { ...prefixRange(this.#root), count_only: true },
      schema: plainSchema,
      repeatable: true,
    };
  }

  #ask<T>(question: Question<T>): Promise<{ answer: T; url: URL }> {
    return this.#guarded(() => this.#client.ask({ ...question, signal: this.#closed.signal }));
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed.signal.aborted) throw closedFailure();
    try {
      return await work();
    } catch (error) {
      if (this.#closed.signal.aborted) throw closedFailure();
      throw failureOf(error);
    }
  }
}

function checkSize(operations: readonly Operation[]): void {
  const bytes = operations.reduce(
    (sum, it) => sum + ('put' in it ? Buffer.byteLength(it.put) + Buffer.byteLength(it.value) : 0),
    0,
  );
  if (bytes <= TXN_BYTES_MAX) return;
  throw new Failure(
    'limit',
    `a transaction of the store has ${bytes} bytes; at most ${TXN_BYTES_MAX} are possible`,
    { remedy: 'change less at once' },
  );
}

function keyAfter(key: string): string {
  return Buffer.concat([Buffer.from(key, 'base64'), Buffer.of(0)]).toString('base64');
}

function isRefused(error: unknown, code: number): error is Refused {
  return error instanceof Refused && error.code === code;
}

function isForgotten(error: unknown): boolean {
  return isRefused(error, OUT_OF_RANGE) && /compacted/.test(error.message);
}

/** Callers of the store know no other errors. */
function failureOf(error: unknown): unknown {
  if (error instanceof Refused) return refusalFailure(error);
  if (error instanceof StreamLost) {
    if (error.cause instanceof Failure) return error.cause;
    return new Failure('unavailable', 'etcd ends every watch at once', {
      reason: error.message,
      remedy: 'see the log of etcd, and whether a proxy stands in between',
      cause: error,
    });
  }
  return error;
}

function closedFailure(): Failure {
  return new Failure('unavailable', 'the store is closed');
}
