// Owns the mark in front of a fragment of a record on a stream (RFC 5531, section 11): a bit that says whether it is
// the last of its record, and its length. Joining fragments is the work of core/record_input.ts.
import type { XdrWriter } from './xdr.ts';

export const MARK_BYTES = 4;
export const LAST_FRAGMENT = 0x8000_0000;
export const FRAGMENT_LENGTH = 0x7fff_ffff;

/** Leaves room for the mark; gives what `endRecord` needs. */
export function beginRecord(writer: XdrWriter): number {
  const start = writer.offset;
  writer.offset = start + MARK_BYTES;
  return start;
}

/** A record is sent as one fragment. */
export function endRecord(writer: XdrWriter, start: number): void {
  writer.view.setUint32(start, LAST_FRAGMENT + (writer.offset - start - MARK_BYTES));
}
