// Owns join tokens: their text, and whether one may still be used. Pure. Not here: making secrets and hashes
// (issue.ts), the store (trust_store.ts).
//
//   holdfast-join- + base64url of:
//     1 byte     format, 1
//     8 bytes    id: what the store knows it by
//     32 bytes   secret: the store has its hash alone
//     32 bytes   SHA-256 of the authority's certificate: whom to believe before anything is said
//     n bytes    HOST:PORT of nodes that take it, separated by spaces
//     4 bytes    CRC-32 of all before, so that half a token is not taken for a wrong one

export type JoinToken = {
  /** TOKEN_ID_BYTES, hexadecimal. */
  readonly id: string;
  /** TOKEN_SECRET_BYTES. */
  readonly secret: Uint8Array;
  /** FINGERPRINT_BYTES. */
  readonly fingerprint: Uint8Array;
  /** HOST:PORT, one at least. */
  readonly addresses: readonly string[];
};

const TOKEN_PREFIX = 'holdfast-join-';
export const TOKEN_ID_BYTES = 8;
export const TOKEN_SECRET_BYTES = 32;
export const FINGERPRINT_BYTES = 32;
export const TOKEN_ADDRESSES_MAX = 4;
/** Of a text: more is no token. */
export const TOKEN_CHARACTERS_MAX = 1_024;
const FORMAT = 1;
const CRC_BYTES = 4;
const HEAD_BYTES = 1 + TOKEN_ID_BYTES + TOKEN_SECRET_BYTES + FINGERPRINT_BYTES;
const ADDRESS = /^(\[[0-9a-fA-F:.]{2,45}\]|[0-9.]{7,15}):([1-9]\d{0,4})$/;

/** Not used and not expired, at one time. */
export const TOKENS_MAX = 32;
/** A token that was used or has expired is remembered for so long, so that who uses it again is told. */
export const TOKEN_MEMORY_MS = 7 * 86_400_000;

export function formatToken({ id, secret, fingerprint, addresses }: JoinToken): string {
  if (secret.length !== TOKEN_SECRET_BYTES || fingerprint.length !== FINGERPRINT_BYTES) {
    throw new Error('a secret or a fingerprint of another length');
  }
  const content = Buffer.concat([
    Buffer.from([FORMAT]),
    Buffer.from(id, 'hex'),
    secret,
    fingerprint,
    Buffer.from(addresses.join(' '), 'latin1'),
  ]);
  const sum = Buffer.alloc(CRC_BYTES);
  sum.writeUInt32BE(crc32(content));
  return TOKEN_PREFIX + Buffer.concat([content, sum]).toString('base64url');
}

/** What is wrong is said in words; never what was in it. */
export function parseToken(text: string): JoinToken | { readonly wrong: string } {
  const trimmed = text.slice(0, TOKEN_CHARACTERS_MAX + 64).trim();
  if (!trimmed.startsWith(TOKEN_PREFIX)) return { wrong: `it does not begin with ${TOKEN_PREFIX}` };
  const encoded = trimmed.slice(TOKEN_PREFIX.length);
  if (trimmed.length > TOKEN_CHARACTERS_MAX) return { wrong: 'it is too long' };
  if (!/^[A-Za-z0-9_-]*$/.test(encoded)) return { wrong: 'it has characters that no token has' };
  const bytes = Buffer.from(encoded, 'base64url');
  if (bytes.toString('base64url') !== encoded || bytes.length <= HEAD_BYTES + CRC_BYTES) {
    return { wrong: 'a part of it is missing' };
  }
  const content = bytes.subarray(0, -CRC_BYTES);
  if (bytes.readUInt32BE(content.length) !== crc32(content)) return { wrong: 'a part of it is missing' };
  if (content[0] !== FORMAT)
    return { wrong: `it is of format ${content[0]}, of another version of Holdfast` };
  let at = 1;
  const take = (length: number) => {
    at += length;
    return content.subarray(at - length, at);
  };
  const id = take(TOKEN_ID_BYTES).toString('hex');
  const secret = new Uint8Array(take(TOKEN_SECRET_BYTES));
  const fingerprint = new Uint8Array(take(FINGERPRINT_BYTES));
  const addresses = content.subarray(at).toString('latin1').split(' ');
  if (addresses.length > TOKEN_ADDRESSES_MAX || !addresses.every(isEndpoint)) {
    return { wrong: 'an address in it is none' };
  }
  return { id, secret, fingerprint, addresses };
}

/** ADDRESS:PORT, IPv6 in brackets. */
export function isEndpoint(text: string): boolean {
  const port = ADDRESS.exec(text)?.[2];
  return port !== undefined && Number(port) <= 65_535;
}

/** A token as the store has it. */
export type TokenRecord = {
  /** SHA-256 of the secret, base64. */
  readonly hash: string;
  readonly roles: readonly string[];
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly used?: { readonly node: string; readonly atMs: number } | undefined;
};

export type TokenState = 'open' | 'used' | 'expired';

export function tokenState({ used, expiresAtMs }: TokenRecord, nowMs: number): TokenState {
  if (used !== undefined) return 'used';
  return nowMs < expiresAtMs ? 'open' : 'expired';
}

export function isForgotten({ used, expiresAtMs }: TokenRecord, nowMs: number): boolean {
  return nowMs > (used?.atMs ?? expiresAtMs) + TOKEN_MEMORY_MS;
}

/** IEEE 802.3. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return ~crc >>> 0;
}
