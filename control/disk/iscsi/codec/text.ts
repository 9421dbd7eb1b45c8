// Owns the text format of iSCSI (RFC 7143, sections 6.1 and 6.2): keys and values as they lie in data segments, and the
// forms of values. Knows no key.

export interface TextPair {
  readonly key: string;
  readonly value: string;
}

/** Section 6.1: a key has at most 63 characters, a value 255 unless its key says otherwise; CHAP's are the longest. */
export const KEY_BYTES_MAX = 63;
export const VALUE_BYTES_MAX = 8192;
/** Pairs in one exchange; initiators send about twenty. */
export const PAIRS_MAX = 128;

/** Section 6.1 wants a capital letter first, and section 13.24 names a key iSCSIProtocolLevel. */
const KEY = /^[A-Za-z][A-Za-z0-9.\-+@_]*$/;
const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;
const HEXADECIMAL = /^0[xX][0-9a-fA-F]+$/;
const BASE64 = /^0[bB](?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Undefined: not text as it must be. */
export function parseText(bytes: Uint8Array, start = 0, end = bytes.length): TextPair[] | undefined {
  const pairs: TextPair[] = [];
  for (let at = start; at < end; ) {
    const stop = zeroFrom(bytes, at, end);
    if (stop === at) {
      // Initiators pad with zeros that they count in.
      at += 1;
      continue;
    }
    const pair = parsePair(bytes, at, stop);
    // The last pair must be ended, too: what is behind it is another PDU's.
    if (pair === undefined || stop === end || pairs.length === PAIRS_MAX) return undefined;
    pairs.push(pair);
    at = stop + 1;
  }
  return pairs;
}

export function encodeText(pairs: readonly TextPair[]): Uint8Array {
  return encoder.encode(pairs.map(({ key, value }) => `${key}=${value}\0`).join(''));
}

/** A number of section 6.1, decimal or hexadecimal, that is exact. */
export function parseNumber(value: string): number | undefined {
  if (!DECIMAL.test(value) && !HEXADECIMAL.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

export function parseYesNo(value: string): boolean | undefined {
  return value === 'Yes' ? true : value === 'No' ? false : undefined;
}

/** A binary value, in hexadecimal or base64, of at most `bytesMax` bytes. */
export function parseBinary(value: string, bytesMax: number): Uint8Array | undefined {
  if (value.length > 2 + 2 * bytesMax + 2) return undefined;
  const bytes = HEXADECIMAL.test(value)
    ? parseHexadecimal(value.slice(2))
    : BASE64.test(value)
      ? Uint8Array.from(atob(value.slice(2)), (character) => character.charCodeAt(0))
      : undefined;
  return bytes !== undefined && bytes.length > 0 && bytes.length <= bytesMax ? bytes : undefined;
}

export function encodeBinary(bytes: Uint8Array): string {
  let text = '0x';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

function zeroFrom(bytes: Uint8Array, at: number, end: number): number {
  const zero = bytes.indexOf(0, at);
  return zero < 0 || zero > end ? end : zero;
}

function parsePair(bytes: Uint8Array, start: number, end: number): TextPair | undefined {
  const equals = bytes.indexOf(0x3d, start);
  if (equals < 0 || equals >= end) return undefined;
  if (equals - start > KEY_BYTES_MAX || end - equals - 1 > VALUE_BYTES_MAX) return undefined;
  try {
    const key = decoder.decode(bytes.subarray(start, equals));
    return KEY.test(key) ? { key, value: decoder.decode(bytes.subarray(equals + 1, end)) } : undefined;
  } catch {
    return undefined;
  }
}

function parseHexadecimal(digits: string): Uint8Array {
  const even = digits.length % 2 === 0 ? digits : `0${digits}`;
  const bytes = new Uint8Array(even.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(even.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}
