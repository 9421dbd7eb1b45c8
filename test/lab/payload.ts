// Owns the bytes that travel in the lab: a stream that both ends can make and check at any place, without storing it.
import { createHash } from 'node:crypto';
import type { Connection } from './protocol.ts';

// Prime, so that the stream does not repeat in step with packets, pages or chunks.
const PERIOD_BYTES = 65_521;
const CHUNK_BYTES = 64 * 1024;

const block = makeBlock();
/** Two periods, so that every place has PERIOD_BYTES contiguous bytes behind it. */
const doubled = Buffer.concat([block, block]);

/** `length` bytes of the stream from `offset` on; a view, not to be written to. */
export function streamBytes(offset: number, length: number): Buffer {
  if (length > PERIOD_BYTES) throw new RangeError(`at most ${PERIOD_BYTES} bytes at a time, got ${length}`);
  const start = offset % PERIOD_BYTES;
  return doubled.subarray(start, start + length);
}

/** Whether these are the bytes of the stream from `offset` on. */
export function isOfStream(bytes: Uint8Array, offset: number): boolean {
  for (let at = 0; at < bytes.length; at += PERIOD_BYTES) {
    const part = bytes.subarray(at, at + PERIOD_BYTES);
    if (!streamBytes(offset + at, part.length).equals(part)) return false;
  }
  return true;
}

/** Where a connection's stream begins: each its own place, so that bytes of another connection are not taken for its own. */
export function streamStart({ source, sourcePort, destination }: Connection): number {
  const digest = createHash('sha256').update(`${source} ${sourcePort} ${destination}`).digest();
  return digest.readUInt32LE() % PERIOD_BYTES;
}

export function* streamChunks(sizeBytes: number): Generator<Buffer> {
  for (let offset = 0; offset < sizeBytes; ) {
    const length = Math.min(CHUNK_BYTES - 64, sizeBytes - offset);
    yield streamBytes(offset, length);
    offset += length;
  }
}

export function streamDigest(sizeBytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of streamChunks(sizeBytes)) hash.update(chunk);
  return hash.digest('hex');
}

function makeBlock(): Buffer {
  const parts: Buffer[] = [];
  for (let size = 0, counter = 0; size < PERIOD_BYTES; size += 32, counter += 1) {
    parts.push(createHash('sha256').update(`holdfast ${counter}`).digest());
  }
  return Buffer.concat(parts).subarray(0, PERIOD_BYTES);
}
