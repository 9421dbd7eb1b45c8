// Owns CRC32C, the digest of iSCSI (RFC 7143, section 13.1; RFC 3385): eight bytes a step, by tables made at start.
// Digests go on the wire with the lowest byte first, as the examples of RFC 7143, appendix A, do.

/** Castagnoli's polynomial with its bits reversed. */
const POLYNOMIAL = 0x82f6_3b78;
const STRIDE = 8;

/** TABLES[256 × k + b]: what byte b becomes when k zero bytes follow. */
const TABLES = tables();

/** What to begin with; and `finishCrc32c` at the end. */
export const CRC32C_START = 0xffff_ffff | 0;

/** Goes on with `crc` over the bytes from `start` to `end`. */
export function updateCrc32c(crc: number, bytes: Uint8Array, start: number, end: number): number {
  const T = TABLES;
  let at = start;
  for (const last = end - STRIDE; at <= last; at += STRIDE) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      T[1792 + (low & 0xff)]! ^
      T[1536 + ((low >>> 8) & 0xff)]! ^
      T[1280 + ((low >>> 16) & 0xff)]! ^
      T[1024 + (low >>> 24)]! ^
      T[768 + bytes[at + 4]!]! ^
      T[512 + bytes[at + 5]!]! ^
      T[256 + bytes[at + 6]!]! ^
      T[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = T[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return crc;
}

/** Goes on over so many zeros. */
export function padCrc32c(crc: number, count: number): number {
  for (let left = count; left > 0; left--) crc = TABLES[crc & 0xff]! ^ (crc >>> 8);
  return crc;
}

/** The digest, as a number that is written with its lowest byte first. */
export function finishCrc32c(crc: number): number {
  return ~crc >>> 0;
}

export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  return finishCrc32c(updateCrc32c(CRC32C_START, bytes, start, end));
}

function tables(): Int32Array {
  const table = new Int32Array(256 * STRIDE);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc;
  }
  for (let at = 256; at < table.length; at++) {
    const before = table[at - 256]!;
    table[at] = table[before & 0xff]! ^ (before >>> 8);
  }
  return table;
}
