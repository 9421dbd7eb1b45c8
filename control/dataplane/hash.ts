// Owns the keyed hash in user space: the key itself, and where a service stands in the table. bpf/hash.h is the
// definition; the program computes the same from a packet.
import { hkdfSync } from 'node:crypto';
import { networkOrder16 } from '../lib/address.ts';
import type { HashKey } from './generated/layout.ts';
import { hashKeyCodec } from './generated/layout.ts';

const U64 = (1n << 64n) - 1n;

/**
 * The key of all muxes of a cluster from its secret (HKDF, RFC 5869), ready for `hash_key` in bpf/config.h.
 * @throws RangeError where the secret is shorter than 16 bytes.
 */
export function hashKeyFromSecret(secret: Uint8Array): Uint8Array {
  if (secret.byteLength < 16)
    throw new RangeError(`the secret must be 16 bytes or more, got ${secret.byteLength}`);
  const bytes = new Uint8Array(hkdfSync('sha256', secret, '', 'holdfast hash key 1', hashKeyCodec.sizeBytes));
  return makeOdd(bytes);
}

/** Multipliers must be odd: an even one loses a bit. */
function makeOdd(key: Uint8Array): Uint8Array {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const parsed = hashKeyCodec.read(view, 0);
  hashKeyCodec.write(view, 0, { ...parsed, flow: parsed.flow | 1n, place: parsed.place | 1n });
  return key;
}

export function readHashKey(key: Uint8Array): HashKey {
  if (key.byteLength !== hashKeyCodec.sizeBytes) {
    throw new RangeError(`the hash key must be ${hashKeyCodec.sizeBytes} bytes, got ${key.byteLength}`);
  }
  const parsed = hashKeyCodec.read(new DataView(key.buffer, key.byteOffset, key.byteLength), 0);
  if (!(parsed.flow & 1n) || !(parsed.place & 1n))
    throw new RangeError('the multipliers of the hash key must be odd');
  return parsed;
}

/** service_digest() of bpf/hash.h. `words` as wordsOf() of control/lib/address.ts gives them. */
export function serviceDigest(
  key: HashKey,
  words: readonly number[],
  port: number,
  protocol: number,
  version: 4 | 6,
): bigint {
  const from = version === 4 ? 3 : 0;
  let digest = BigInt(networkOrder16(port) * 256 + protocol) * key.service_port;
  for (let index = from; index < 4; index++) digest += BigInt(words[index]!) * key.service[index]!;
  return digest & U64;
}

/** service_place() of bpf/hash.h, before the table's size is applied. */
export function servicePlace(key: HashKey, digest: bigint): number {
  return Number(((digest * key.place) & U64) >> 40n);
}

/** may_be_service() of bpf/service.h: the byte of the address filter that an address falls on. */
export function filterPlace(words: readonly number[], version: 4 | 6): number {
  const word = version === 4 ? words[3]! : (words[1]! + words[2]! + words[3]!) >>> 0;
  return Math.imul(word, 0x9e3779b1) >>> 20;
}
