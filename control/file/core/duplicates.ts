// Owns the cache of duplicate requests of one node: who repeats a call that is not idempotent gets the first answer,
// and while there is none yet, none. Which procedures that is about says their table (`idempotent`); a copy at a peer
// node is somebody else's.

export interface DuplicateLimits {
  readonly entriesMax: number;
  /** Of answers: a ring of this size, which is there from the beginning. */
  readonly answerBytesMax: number;
  /** Older answers are forgotten: clients repeat after 60 s (TCP), and after a failover. */
  readonly ageMs: number;
}

/** With keys and entries, which take 550 bytes each (measured with 100,000), 52 MB when it is full. */
export const DUPLICATE_LIMITS: DuplicateLimits = {
  entriesMax: 65_536,
  answerBytesMax: 16 << 20,
  ageMs: 300_000,
};

/** Of long arguments, the first and the last so many bytes are looked at: a WRITE's data must not cost its time. */
const CHECKSUM_END_BYTES = 512;

interface Entry {
  readonly key: string;
  /** Where the answer lies in the ring; -1 while the call is being done. */
  offset: number;
  length: number;
  answeredMs: number;
  newer: Entry | undefined;
}

/**
 * `new`: do it, then `answer` or `abandon`. `in progress`: do not answer. Bytes: answer with them; they count until
 * the next answer is taken in.
 */
export type Found = 'new' | 'in progress' | Uint8Array;

export class Duplicates {
  /** For metrics. `early`: forgotten for want of room before they were old. `tooLong`: answers that are not kept. */
  readonly counts = { hits: 0, inProgress: 0, misses: 0, early: 0, tooLong: 0 };
  readonly #limits: DuplicateLimits;
  /** What is answered, and what is being done: no more than requests in flight. */
  readonly #entries = new Map<string, Entry>();
  /** Answers, oldest first: in the list as in the ring. A Map finds its first only behind all that was deleted. */
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  #answered = 0;
  readonly #ring: Uint8Array;
  /** Where the next answer goes; behind it lies the oldest one. */
  #head = 0;

  constructor(limits: DuplicateLimits = DUPLICATE_LIMITS) {
    this.#limits = limits;
    this.#ring = new Uint8Array(limits.answerBytesMax);
  }

  /** Answers that are kept. */
  get size(): number {
    return this.#answered;
  }

  begin(key: string, nowMs: number): Found {
    this.expire(nowMs);
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.counts.misses += 1;
      this.#entries.set(key, { key, offset: -1, length: 0, answeredMs: 0, newer: undefined });
      return 'new';
    }
    if (known.offset < 0) {
      this.counts.inProgress += 1;
      return 'in progress';
    }
    this.counts.hits += 1;
    return this.#ring.subarray(known.offset, known.offset + known.length);
  }

  /** What `begin` called new was done; `record` is copied. */
  answer(key: string, record: Uint8Array, nowMs: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.offset >= 0) throw new Error(`nothing is being done for ${key}`);
    if (record.length > this.#ring.length) {
      this.counts.tooLong += 1;
      this.#entries.delete(key);
      return;
    }
    if (this.#answered >= this.#limits.entriesMax) this.#giveWay();
    entry.offset = this.#place(record.length);
    entry.length = record.length;
    entry.answeredMs = nowMs;
    this.#ring.set(record, entry.offset);
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    this.#answered += 1;
  }

  /** What `begin` called new was not done: who repeats it is to get it done. */
  abandon(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.offset < 0) this.#entries.delete(key);
  }

  expire(nowMs: number): void {
    while (this.#oldest !== undefined && nowMs - this.#oldest.answeredMs >= this.#limits.ageMs)
      this.#forgetOldest();
  }

  /** Room in the ring, in one piece. What lies there are the oldest answers. */
  #place(length: number): number {
    if (this.#head + length > this.#ring.length) {
      while (this.#oldest !== undefined && this.#oldest.offset >= this.#head) this.#giveWay();
      this.#head = 0;
    }
    const end = this.#head + length;
    while (this.#oldest !== undefined && this.#oldest.offset >= this.#head && this.#oldest.offset < end)
      this.#giveWay();
    const offset = this.#head;
    this.#head = end;
    return offset;
  }

  #giveWay(): void {
    this.#forgetOldest();
    this.counts.early += 1;
  }

  #forgetOldest(): void {
    const oldest = this.#oldest!;
    this.#oldest = oldest.newer;
    if (oldest.newer === undefined) this.#newest = undefined;
    this.#answered -= 1;
    this.#entries.delete(oldest.key);
  }
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
