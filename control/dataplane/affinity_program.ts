// Owns running the program `affinity` of a filter: a request and its answer are one page, which a test run takes and gives
// back. What is asked of it, and when, is control/affinity's.
import type { Program } from 'libbpf-ts';
import type { ClockSample } from './clock.ts';
import {
  AffinityCommand,
  type AffinityEntry,
  type AffinityRequest,
  AskFlag,
  affinityEntryCodec,
  affinityPageCodec,
  affinityRequestCodec,
  Limit,
  queryHeaderCodec,
} from './generated/layout.ts';

const { sizeBytes: REQUEST_BYTES } = affinityRequestCodec;
const { sizeBytes: HEADER_BYTES } = queryHeaderCodec;
const { sizeBytes: ENTRY_BYTES } = affinityEntryCodec;
const EMPTY_REQUEST = affinityRequestCodec.read(new DataView(new ArrayBuffer(REQUEST_BYTES)), 0);
export const ENTRIES_MAX = Limit.LIMIT_AFFINITY_ENTRIES;

export type AffinityAnswer = {
  readonly request: AffinityRequest;
  readonly header: Uint8Array<ArrayBuffer>;
  readonly entries: readonly AffinityEntry[];
};

export type SweepPage = {
  /** Where to go on; undefined: that was all. */
  readonly next: number | undefined;
  readonly expired: number;
  readonly live: number;
  readonly nascent: number;
};

export class AffinityProgram {
  readonly #program: Program;
  readonly #buckets: number;

  constructor(program: Program, buckets: number) {
    this.#program = program;
    this.#buckets = buckets;
  }

  sample(): ClockSample {
    const { request } = this.#run({ command: AffinityCommand.AFFINITY_COMMAND_CLOCK });
    return { ns: request.now_ns, jiffies: request.jiffies };
  }

  /** A signed datagram for any server's ask port. */
  probe({ number, isPledge }: { number: number; isPledge: boolean }): Uint8Array {
    const flags = isPledge ? AskFlag.ASK_PLEDGE : 0;
    return this.#run({ command: AffinityCommand.AFFINITY_COMMAND_PROBE, number, flags }).header;
  }

  /** Takes out what has expired from bucket `at` on, and marks in held_slots where the rest is held from becoming clean. */
  sweep(at: number): SweepPage {
    const { request } = this.#run({
      command: AffinityCommand.AFFINITY_COMMAND_SWEEP,
      bucket: at,
      buckets: Limit.LIMIT_AFFINITY_BUCKETS,
    });
    const { bucket, count: expired, live, nascent } = request;
    return { next: bucket < this.#buckets ? bucket : undefined, expired, live, nascent };
  }

  list(at: number): { readonly next: number | undefined; readonly entries: readonly AffinityEntry[] } {
    const { request, entries } = this.#run({
      command: AffinityCommand.AFFINITY_COMMAND_LIST,
      bucket: at,
      buckets: Limit.LIMIT_AFFINITY_BUCKETS,
    });
    return { next: request.bucket < this.#buckets ? request.bucket : undefined, entries };
  }

  /** The affinity of a key here, and which other server is known to have it. */
  lookUp(hash: bigint): { readonly own?: AffinityEntry; readonly foreign?: AffinityEntry } {
    const { entries } = this.#run({ command: AffinityCommand.AFFINITY_COMMAND_LOOK_UP, hash });
    const [own, foreign] = entries;
    return {
      ...(own !== undefined && own.lifetime > 0 && { own }),
      ...(foreign !== undefined && foreign.server !== 0 && { foreign }),
    };
  }

  /** How many there were. At most ENTRIES_MAX hashes. */
  release(hashes: readonly bigint[]): number {
    const entries = hashes.map((hash): AffinityEntry => ({ ...NO_ENTRY, hash }));
    return this.#run({ command: AffinityCommand.AFFINITY_COMMAND_RELEASE }, entries).request.count;
  }

  /** Forgets which other servers are known to have clients. How many were. At most ENTRIES_MAX hashes. */
  forget(hashes: readonly bigint[]): number {
    const entries = hashes.map((hash): AffinityEntry => ({ ...NO_ENTRY, hash }));
    return this.#run({ command: AffinityCommand.AFFINITY_COMMAND_RELEASE, flags: 1 }, entries).request.count;
  }

  /** Takes what other servers hold for known. How many found a place. At most ENTRIES_MAX. */
  learn(entries: readonly AffinityEntry[]): number {
    return this.#run({ command: AffinityCommand.AFFINITY_COMMAND_LEARN }, entries).request.count;
  }

  /** @throws Error where the program refuses: a request that cannot be. */
  #run(
    request: Partial<AffinityRequest> & Pick<AffinityRequest, 'command'>,
    given: readonly AffinityEntry[] = [],
  ): AffinityAnswer {
    if (given.length > ENTRIES_MAX)
      throw new RangeError(`${given.length} entries are more than ${ENTRIES_MAX}`);
    const data = new Uint8Array(affinityPageCodec.sizeBytes);
    const view = new DataView(data.buffer);
    affinityRequestCodec.write(view, 0, { ...EMPTY_REQUEST, count: given.length, ...request });
    const place = (index: number) => REQUEST_BYTES + HEADER_BYTES + index * ENTRY_BYTES;
    for (const [index, entry] of given.entries()) affinityEntryCodec.write(view, place(index), entry);
    const out = this.#program.testRun({ data, dataOutSize: data.byteLength }).dataOut;
    const page = out && new DataView(out.slice().buffer);
    const answer = page && affinityRequestCodec.read(page, 0);
    if (answer?.done !== 1) throw new Error(`the program affinity refused command ${request.command}`);
    return {
      request: answer,
      header: new Uint8Array(page!.buffer, REQUEST_BYTES, HEADER_BYTES).slice() as Uint8Array<ArrayBuffer>,
      entries: Array.from({ length: Math.min(answer.count, ENTRIES_MAX) }, (_, index) =>
        affinityEntryCodec.read(page!, place(index)),
      ),
    };
  }
}

const NO_ENTRY = affinityEntryCodec.read(new DataView(new ArrayBuffer(ENTRY_BYTES)), 0);
