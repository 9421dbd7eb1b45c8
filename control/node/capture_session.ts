// Owns a capture that somebody asked for: from the request's words to the filter, and from the ring to batches, until
// its limits are reached. One at a time, as the program that copies replaces the one that does not.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CapturedPacket } from '../api/node_port.ts';
import type { CaptureRequest } from '../api/schema.ts';
import type { CaptureFilter, CaptureRecord } from '../dataplane/capture.ts';
import { REASON_LIST, type ReasonName } from '../dataplane/counters.ts';
import { VERDICTS } from '../dataplane/reasons.ts';
import { isAddress } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

/** The ring holds some 500 of the longest packets. */
const POLL_MS = 5;
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

/** A program that copies packets out. */
export type CaptureSource = {
  drainCapture(): CaptureRecord[];
  stopCapture(): void;
};

/** @throws Failure `invalid` where a reason does not exist or an address is none. */
export function filterOf(request: CaptureRequest): CaptureFilter {
  const { client, address, clientPort, port, protocol } = request;
  return {
    reasons: request.reasons.length === 0 ? REASON_LIST : [...new Set(request.reasons.flatMap(reasonsNamed))],
    ...(client !== undefined && { client: checkedAddress(client, 'client') }),
    ...(address !== undefined && { address: checkedAddress(address, 'address') }),
    ...(clientPort !== undefined && { clientPort }),
    ...(port !== undefined && { port }),
    ...(protocol !== undefined && { protocol: PROTOCOLS[protocol] }),
  };
}

/** Batches from a source that copies already; it is stopped in the end, whatever happens. */
export async function* packetsOf(
  source: CaptureSource,
  request: CaptureRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly CapturedPacket[]> {
  const endMs = performance.now() + request.seconds * 1_000;
  const epochNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  let left = request.packets;
  try {
    while (left > 0 && !signal.aborted && performance.now() < endMs) {
      const records = source.drainCapture().slice(0, left);
      left -= records.length;
      if (records.length > 0) yield records.map((record) => packetOf(record, epochNs));
      else await sleep(POLL_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    source.stopCapture();
  }
}

function checkedAddress(text: string, what: string): string {
  if (isAddress(text)) return text;
  throw new Failure('invalid', `${what} ${JSON.stringify(text)} is no IPv4 or IPv6 address`);
}

function reasonsNamed(text: string): readonly ReasonName[] {
  const wanted = text.toUpperCase();
  const found = REASON_LIST.filter((name) => name === wanted || name.startsWith(`${wanted}_`));
  if (found.length > 0) return found;
  throw new Failure('invalid', `there is no reason ${text}`, {
    remedy: `name a verdict (${VERDICTS.join(', ')}) or one of ${REASON_LIST.join(', ')}`,
  });
}

function packetOf(
  { timeNs, reason, ifindex, length, bytes }: CaptureRecord,
  epochNs: bigint,
): CapturedPacket {
  return { atNs: epochNs + timeNs, reason, ifindex, lengthBytes: length, bytes };
}
