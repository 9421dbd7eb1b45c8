// Owns the cache of duplicate requests of one node: who repeats a call that is not idempotent gets the first answer,
// and while there is none yet, none. Which procedures that is about says their table (`idempotent`); a copy at a peer
// node is somebody else's.

export interface DuplicateLimits {
  readonly entriesMax: number;
  /** Keys, answers and what an entry takes besides. */
  readonly bytesMax: number;
  /** Older answers are forgotten: clients repeat after 60 s (TCP), and after a failover. */
  readonly ageMs: number;
}

export const DUPLICATE_LIMITS: DuplicateLimits = { entriesMax: 65_536, bytesMax: 64 << 20, ageMs: 300_000 };

/** A map entry, a string, an array and its buffer, measured with 100,000 entries, rounded up. */
export const ENTRY_OVERHEAD_BYTES = 512;
/** Of long arguments, the first and the last so many bytes are looked at: a WRITE's data must not cost its time. */
const CHECKSUM_END_BYTES = 512;

interface Answered {
  readonly key: string;
  readonly record: Uint8Array;
  readonly answeredMs: number;
  newer: Answered | undefined;
}

/** `new`: do it, then `answer` or `abandon`. `in progress`: do not answer. Bytes: answer with them. */
export type Found = 'new' | 'in progress' | Uint8Array;

export class Duplicates {
  /** For metrics. `early`: forgotten for want of room before they were old. */
  readonly counts = { hits: 0, inProgress: 0, misses: 0, early: 0 };
  readonly #limits: DuplicateLimits;
  /** No more than requests in flight. */
  readonly #running = new Set<string>();
  readonly #answered = new Map<string, Answered>();
  /** A list of its own: the first of a Map whose first ones are deleted all the time takes 37 µs to find. */
  #oldest: Answered | undefined;
  #newest: Answered | undefined;
  #bytes = 0;

  constructor(limits: DuplicateLimits = DUPLICATE_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#answered.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin(key: string, nowMs: number): Found {
    this.expire(nowMs);
    if (this.#running.has(key)) {
      this.counts.inProgress += 1;
      return 'in progress';
    }
    const answered = this.#answered.get(key);
    if (answered !== undefined) {
      this.counts.hits += 1;
      return answered.record;
    }
    this.counts.misses += 1;
    this.#running.add(key);
    return 'new';
  }

  /** The call was done; `record` is copied. The first answer counts. */
  answer(key: string, record: Uint8Array, nowMs: number): void {
    this.#running.delete(key);
    if (this.#answered.has(key)) return;
    const answered = { key, record: record.slice(), answeredMs: nowMs, newer: undefined };
    this.#answered.set(key, answered);
    if (this.#newest === undefined) this.#oldest = answered;
    else this.#newest.newer = answered;
    this.#newest = answered;
    this.#bytes += entryBytes(answered);
    while (this.#answered.size > this.#limits.entriesMax || this.#bytes > this.#limits.bytesMax) {
      this.#forgetOldest();
      this.counts.early += 1;
    }
  }

  /** The call was not done: who repeats it is to get it done. */
  abandon(key: string): void {
    this.#running.delete(key);
  }

  expire(nowMs: number): void {
    while (this.#oldest !== undefined && nowMs - this.#oldest.answeredMs >= this.#limits.ageMs)
      this.#forgetOldest();
  }

  #forgetOldest(): void {
    const oldest = this.#oldest!;
    this.#oldest = oldest.newer;
    if (oldest.newer === undefined) this.#newest = undefined;
    this.#answered.delete(oldest.key);
    this.#bytes -= entryBytes(oldest);
  }
}

function entryBytes({ key, record }: Answered): number {
  return key.length + record.length + ENTRY_OVERHEAD_BYTES;
}

/**
 * Client without its port, which is another one after a reconnection; xid; procedure; caller, so that nobody reads the
 * answer to another user; checksum of the arguments, as clients use an xid again, and several may share an address.
 * Credentials as sent are no part of it: their stamp changes when a call is repeated.
 */
export function duplicateKey(
  client: string,
  request: {
    readonly xid: number;
    readonly program: number;
    readonly procedure: { readonly number: number };
    readonly credentials: { readonly uid: number };
    readonly bytes: Uint8Array;
    readonly start: number;
    readonly end: number;
  },
): string {
  const { xid, program, procedure, credentials, bytes, start, end } = request;
  const sum = checksum(bytes, start, end);
  return `${client}/${xid}/${program}/${procedure.number}/${credentials.uid}/${end - start}/${sum}`;
}

/** FNV-1a, of 32 bits, over both ends: it tells apart what clients send, not what they forge (they harm themselves). */
export function checksum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0x811c_9dc5;
  const firstEnd = Math.min(end, start + CHECKSUM_END_BYTES);
  for (let at = start; at < firstEnd; at++) sum = Math.imul(sum ^ bytes[at]!, 0x0100_0193);
  for (let at = Math.max(firstEnd, end - CHECKSUM_END_BYTES); at < end; at++)
    sum = Math.imul(sum ^ bytes[at]!, 0x0100_0193);
  return sum >>> 0;
}
