// Owns big-endian fields of CDBs and parameter lists. Reading past the end gives zero bytes: who reads a list checks its
// length first. Knows no command.
//
// 64-bit fields are numbers: above 2^53 they are rounded and stay above `EXACT_MAX`, so that they can be refused.

/** Numbers up to this are exact. */
export const EXACT_MAX = Number.MAX_SAFE_INTEGER;
export const NO_BYTES = new Uint8Array(0);

/** An unsigned field of `size` bytes. */
export function field(bytes: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let at = offset; at < offset + size; at += 1) value = value * 256 + (bytes[at] ?? 0);
  return value;
}

export function setField(bytes: Uint8Array, offset: number, size: number, value: number): void {
  let rest = value;
  for (let at = offset + size - 1; at >= offset; at -= 1) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** A field as hexadecimal digits, for values that nobody calculates with. */
export function hexField(bytes: Uint8Array, offset: number, size: number): string {
  let text = '';
  for (let at = offset; at < offset + size; at += 1) text += (bytes[at] ?? 0).toString(16).padStart(2, '0');
  return text;
}

export function bytesOfHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0x7f);
}

/** Left-aligned, filled with spaces (SPC-4 section 4.4.1). */
export function padded(text: string, size: number): Uint8Array {
  return ascii(text.slice(0, size).padEnd(size, ' '));
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

/** Where the first differing byte of two equally long pieces is; -1: nowhere. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return at;
  return -1;
}
