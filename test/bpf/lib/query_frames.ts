// What filters send each other, byte by byte, from the design alone: the query header and its signature.

import { ASK_KEY } from './filter_server.ts';
import type { Datagram } from './packets.ts';
import { carrying, type Key, type Outer, queueOf, wireFrame } from './wire_frames.ts';
import { sipHash } from './wire_reference.ts';

export const QUERY_OP = { ask: 1, home: 2, probe: 3, probeAnswer: 4 } as const;
export const QUERY_FLAG = { begins: 1, pledge: 8, pastDeadline: 16, cut: 64, connection: 128 } as const;
export const QUERY_BYTES = 64;

export type QueryHeader = {
  format?: number;
  keyId?: number;
  operation: number;
  flags?: number;
  asker: number;
  pool?: number;
  askerIncarnation?: number;
  slot?: number;
  time: number;
  version?: number;
  record?: number;
  answerIncarnation?: number;
  holders?: readonly number[];
  answer?: number;
  sender: number;
  count?: number;
  position?: number;
  hops?: number;
  reserved?: number;
};

/** Signed over seven words and the hash of what is carried. */
export function queryHeader(it: QueryHeader, hash: bigint, key: Key = ASK_KEY): Uint8Array {
  const bytes = new Uint8Array(QUERY_BYTES);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value = 0): void => view.setUint32(at, value, true);
  const u16 = (at: number, value = 0): void => view.setUint16(at, value, true);
  bytes.set([it.format ?? 2, it.keyId ?? 0, it.operation, it.flags ?? 0]);
  u16(4, it.asker);
  u16(6, it.pool);
  u32(8, it.askerIncarnation);
  u32(12, it.slot);
  u32(16, it.time);
  u32(20, it.version);
  u32(24, it.record);
  u32(28, it.answerIncarnation);
  (it.holders ?? []).forEach((server, i) => void u16(32 + 2 * i, server));
  u16(48, it.answer);
  u16(50, it.sender);
  bytes.set([it.count ?? it.holders?.length ?? 0, it.position ?? 0, it.hops ?? 1, it.reserved ?? 0], 52);
  const words = Array.from({ length: 7 }, (_, i) => view.getBigUint64(i * 8, true));
  view.setBigUint64(56, sipHash(key, [...words, hash]), true);
  return bytes;
}

/** A frame from one server to another that carries `inner`. */
export function queryFrame(outer: Outer, header: Uint8Array, hash: bigint, inner: Pick<Datagram, 'bytes'>) {
  return wireFrame({ ...queueOf(hash), ...outer }, carrying(header, inner));
}
