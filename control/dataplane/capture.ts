// Owns copying packets out: what to copy, and reading the copies.
import type { BpfMap } from 'libbpf-ts';
import { RingBuffer } from 'libbpf-ts';
import { networkOrder16, parseAddress, wordsOf } from '../lib/address.ts';
import type { ReasonName } from './counters.ts';
import { captureFilterCodec, Limit, REASON_NAMES, Reason } from './generated/layout.ts';

/** Absent fields match everything. */
export type CaptureFilter = {
  reasons: readonly ReasonName[];
  client?: string;
  address?: string;
  clientPort?: number;
  port?: number;
  /** IP protocol number. */
  protocol?: number;
};

export type CaptureRecord = {
  /** CLOCK_MONOTONIC, ns. */
  timeNs: bigint;
  reason: ReasonName;
  ifindex: number;
  /** Of the frame as it left the program, bytes. */
  length: number;
  /** The frame, cut where it is longer than a record. */
  bytes: Uint8Array;
};

const HEADER_BYTES = 24;
const NO_ADDRESS = [0, 0, 0, 0];

/** Writes the filter where the program reads it. */
export function writeCaptureFilter(mapped: ArrayBuffer, filter: CaptureFilter): void {
  const words = (text: string | undefined): number[] =>
    text === undefined ? NO_ADDRESS : wordsOf(parseAddress(text));
  captureFilterCodec.write(new DataView(mapped), 0, {
    reasons: maskOfReasons(filter.reasons),
    client: { word: words(filter.client) },
    address: { word: words(filter.address) },
    client_port: networkOrder16(filter.clientPort ?? 0),
    port: networkOrder16(filter.port ?? 0),
    protocol: filter.protocol ?? 0,
  });
}

/** Words of 64 bits, a bit a reason. */
function maskOfReasons(reasons: readonly ReasonName[]): bigint[] {
  const words = Array.from({ length: Limit.LIMIT_REASONS / 64 }, () => 0n);
  for (const name of reasons) words[Math.floor(Reason[name] / 64)]! |= 1n << BigInt(Reason[name] % 64);
  return words;
}

/** The copies of a capturing program. */
export class CaptureReader {
  readonly #ring: RingBuffer;

  constructor(captures: BpfMap) {
    this.#ring = new RingBuffer(captures);
  }

  /** What has come since the last call. */
  drain(): CaptureRecord[] {
    const { data, offsets, count } = this.#ring.drain();
    return Array.from({ length: count }, (_, index) =>
      decode(data.subarray(offsets[index]!, offsets[index + 1]!)),
    );
  }

  close(): void {
    this.#ring.close();
  }
}

function decode(record: Uint8Array): CaptureRecord {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const captured = view.getUint32(20, true);
  return {
    timeNs: view.getBigUint64(0, true),
    reason: REASON_NAMES[view.getUint32(8, true)] as ReasonName,
    ifindex: view.getUint32(12, true),
    length: view.getUint32(16, true),
    bytes: record.slice(HEADER_BYTES, HEADER_BYTES + captured),
  };
}
