// Owns what is counted of requests: by procedure, by link and by client, each with errors, bytes and how long it took. Every
// table has a named limit; what does not fit is counted together. Telling it is others'.

/** Upper ends, in microseconds: a cached read takes 20, a disk 10,000, a storage that hangs more. */
export const LATENCY_ENDS_US = [
  25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000,
] as const;

/** Links that are counted one by one: those that are used first. */
export const COUNTED_LINKS_MAX = 1_024;

export type Figures = {
  readonly requests: number;
  /** Answers other than OK; a name that is not there is one. */
  readonly errors: number;
  /** Of records, as they come and go. */
  readonly inBytes: number;
  readonly outBytes: number;
  readonly totalUs: number;
  /** Requests that took no longer than each of LATENCY_ENDS_US and longer than the one before; then the rest. */
  readonly latencies: readonly number[];
};

/** Of one procedure, link or client. */
export class Tally {
  requests = 0;
  errors = 0;
  inBytes = 0;
  outBytes = 0;
  totalUs = 0;
  readonly latencies = new Array<number>(LATENCY_ENDS_US.length + 1).fill(0);

  add(bucket: number, elapsedUs: number, isError: boolean, inBytes: number, outBytes: number): void {
    this.requests += 1;
    if (isError) this.errors += 1;
    this.inBytes += inBytes;
    this.outBytes += outBytes;
    this.totalUs += elapsedUs;
    this.latencies[bucket]! += 1;
  }

  /** Of another that is counted no more. */
  addAll(other: Figures): void {
    this.requests += other.requests;
    this.errors += other.errors;
    this.inBytes += other.inBytes;
    this.outBytes += other.outBytes;
    this.totalUs += other.totalUs;
    for (const [bucket, count] of other.latencies.entries()) this.latencies[bucket]! += count;
  }

  figures(): Figures {
    const { requests, errors, inBytes, outBytes, totalUs, latencies } = this;
    return { requests, errors, inBytes, outBytes, totalUs, latencies: [...latencies] };
  }
}

export type Counted = {
  readonly program: number;
  readonly procedure: { readonly name: string };
  /** 0: it was about none. */
  readonly linkId: number;
  /** 0: OK. */
  readonly status: number;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
};

class ProcedureTally extends Tally {
  readonly program: number;
  readonly name: string;
  /** How often each status other than OK. They are those of the tables of the protocol, so there are few. */
  readonly statuses = new Map<number, number>();

  constructor(program: number, name: string) {
    super();
    this.program = program;
    this.name = name;
  }
}

export type ProcedureFigures = Figures & {
  readonly program: number;
  readonly name: string;
  readonly statuses: readonly (readonly [status: number, count: number])[];
};

export class Statistics {
  /** There are as many as the tables of procedures have. */
  readonly #procedures = new Map<object, ProcedureTally>();
  readonly #links = new Map<number, Tally>();
  readonly #otherLinks = new Tally();

  /** `client`: undefined where it is forgotten. */
  count(client: Tally | undefined, it: Counted): void {
    const { procedure, linkId, status, bytesIn, bytesOut } = it;
    const elapsedUs = it.durationMs * 1_000;
    const bucket = bucketOf(elapsedUs);
    const isError = status !== 0;
    let tally = this.#procedures.get(procedure);
    if (tally === undefined) {
      tally = new ProcedureTally(it.program, procedure.name);
      this.#procedures.set(procedure, tally);
    }
    tally.add(bucket, elapsedUs, isError, bytesIn, bytesOut);
    if (isError) tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1);
    if (linkId !== 0) this.#link(linkId).add(bucket, elapsedUs, isError, bytesIn, bytesOut);
    client?.add(bucket, elapsedUs, isError, bytesIn, bytesOut);
  }

  /** What is gone is told no more; its requests stay among those of procedures. */
  forgetLinks(isGone: (linkId: number) => boolean): void {
    for (const id of this.#links.keys()) if (isGone(id)) this.#links.delete(id);
  }

  procedures(): ProcedureFigures[] {
    return [...this.#procedures.values()].map((it) => ({
      program: it.program,
      name: it.name,
      statuses: [...it.statuses],
      ...it.figures(),
    }));
  }

  links(): (Figures & { readonly id: number })[] {
    return [...this.#links].map(([id, tally]) => ({ id, ...tally.figures() }));
  }

  /** Of links beyond COUNTED_LINKS_MAX. */
  otherLinks(): Figures {
    return this.#otherLinks.figures();
  }

  #link(id: number): Tally {
    const known = this.#links.get(id);
    if (known !== undefined) return known;
    if (this.#links.size >= COUNTED_LINKS_MAX) return this.#otherLinks;
    const made = new Tally();
    this.#links.set(id, made);
    return made;
  }
}

function bucketOf(elapsedUs: number): number {
  let bucket = 0;
  while (bucket < LATENCY_ENDS_US.length && elapsedUs > LATENCY_ENDS_US[bucket]!) bucket += 1;
  return bucket;
}

/** The time that this share of requests did not take longer than: the upper end of its bucket, in microseconds. */
export function quantileUs(latencies: readonly number[], share: number): number | undefined {
  const total = latencies.reduce((sum, it) => sum + it, 0);
  if (total === 0) return undefined;
  let left = total * share;
  for (const [bucket, count] of latencies.entries()) {
    left -= count;
    if (left <= 0) return LATENCY_ENDS_US[bucket] ?? Infinity;
  }
  return Infinity;
}
