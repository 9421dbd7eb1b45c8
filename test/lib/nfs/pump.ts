// Owns what a driver does with a connection of the file service, without a socket: bytes in, replies out.
import type { Connection, Request } from '../../../control/file/core/connection.ts';
import type { Flush } from '../../../control/file/core/reply_output.ts';
import { concatenated } from './rpc.ts';

/** Feeds as much of `bytes` as is wanted, in pieces of `chunkBytes`; gives how much that was. */
export function feed(
  connection: Connection,
  bytes: Uint8Array,
  handle: (request: Request) => void,
  { chunkBytes = Infinity, nowMs = 0 } = {},
): number {
  let at = 0;
  while (at < bytes.length) {
    const space = connection.space();
    const count = Math.min(space.length, chunkBytes, bytes.length - at);
    if (count === 0) break;
    space.set(bytes.subarray(at, at + count));
    at += count;
    connection.received(count, nowMs);
    drain(connection, handle, nowMs);
  }
  return at;
}

export function drain(connection: Connection, handle: (request: Request) => void, nowMs = 0): void {
  for (let request = connection.next(nowMs); request !== undefined; request = connection.next(nowMs))
    handle(request);
}

/** What would be written, as if it were at once. */
export function taken(connection: Connection, nowMs = 0): Uint8Array {
  const flushes: readonly Flush[] = connection.flush(nowMs);
  const bytes = concatenated(flushes.map((flush) => flush.bytes));
  for (const flush of flushes) connection.sent(flush, nowMs);
  return bytes;
}
