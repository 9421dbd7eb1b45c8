// Owns the keyed hash in user space: the key itself, where a service stands in the table, and what a flow is known by. bpf/hash.h is the
// definition; the program computes the same from a packet.
import { hkdfSync } from 'node:crypto';
import { networkOrder16 } from '../lib/address.ts';
import type { HashKey } from './generated/layout.ts';
import { hashKeyCodec, ServiceFlag } from './generated/layout.ts';

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

/** What of a service decides how its flows are told apart. */
export type FlowKeyRule = {
  /** The key of its record. */
  readonly words: readonly number[];
  readonly port: number;
  readonly protocol: number;
  readonly version: 4 | 6;
  readonly flags: number;
  readonly clientMask: readonly number[];
};

/** Addresses as wordsOf() of control/lib/address.ts gives them. */
export type FlowEnds = {
  readonly source: readonly number[];
  readonly sourcePort: number;
  readonly destination: readonly number[];
  readonly destinationPort: number;
  readonly protocol: number;
};

/** flow_hash() of bpf/hash.h for a packet of a flow of a service: what a flow is remembered by. */
export function flowHash(key: HashKey, rule: FlowKeyRule, flow: FlowEnds): bigint {
  const { version } = rule;
  const isClient = (rule.flags & ServiceFlag.SERVICE_CLIENT_AFFINITY) !== 0;
  const service = isClient
    ? serviceDigest(key, rule.words, rule.port, rule.protocol, version)
    : serviceDigest(key, flow.destination, flow.destinationPort, flow.protocol, version);
  const source = flow.source.map((word, at) => (isClient ? (word & rule.clientMask[at]!) >>> 0 : word));
  const hasPort = !isClient && (rule.flags & ServiceFlag.SERVICE_NO_SOURCE_PORT) === 0;
  let client = hasPort ? BigInt(networkOrder16(flow.sourcePort)) * key.client_port : 0n;
  for (let index = version === 4 ? 3 : 0; index < 4; index++)
    client += BigInt(source[index]!) * key.client[index]!;
  const sum = (service + client) & U64;
  return ((sum ^ (sum >> 32n)) * key.flow) & U64;
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
