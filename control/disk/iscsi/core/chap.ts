// Owns the CHAP exchange of a login (RFC 7143, section 12.1.3; RFC 1994): what the target answers to each message, and
// whether the initiator has proved who it is. Knows no PDU.
import { encodeBinary, parseBinary, parseNumber, type TextPair } from '../codec/text.ts';
import { CHAP_HASHES, type ChapHash, type ChapSecret, type Cryptography } from './ports.ts';

const CHALLENGE_BYTES = 32;
/** Section 12.1.3: the longest binary value. */
const BINARY_BYTES_MAX = 1024;
const PREFERENCE = Object.keys(CHAP_HASHES) as ChapHash[];
const encoder = new TextEncoder();

export type ChapOutcome =
  | { readonly answers: readonly TextPair[]; readonly authenticated: boolean }
  | 'failed'
  | 'malformed';

export class Chap {
  readonly #secret: ChapSecret;
  readonly #mutual: ChapSecret | undefined;
  readonly #cryptography: Cryptography;
  /** Once the algorithm is chosen. */
  #hash: ChapHash | undefined;
  #identifier = 0;
  #challenge: Uint8Array = new Uint8Array(0);
  #over = false;

  constructor(secret: ChapSecret, mutual: ChapSecret | undefined, cryptography: Cryptography) {
    this.#secret = secret;
    this.#mutual = mutual;
    this.#cryptography = cryptography;
  }

  /** A message of the initiator: first CHAP_A, then CHAP_N and CHAP_R, and CHAP_I and CHAP_C with them. */
  step(values: ReadonlyMap<string, string>): ChapOutcome {
    if (this.#over) return 'malformed';
    return this.#hash === undefined
      ? this.#challengeBy(values.get('CHAP_A'))
      : this.#judge(this.#hash, values);
  }

  #challengeBy(algorithms: string | undefined): ChapOutcome {
    if (algorithms === undefined) return 'malformed';
    // The initiator's order is its preference (section 12.1.3), but a list in a strange order must not weaken anybody.
    const offered = new Set(algorithms.split(',').map((name) => parseNumber(name)));
    this.#hash = PREFERENCE.find((name) => offered.has(CHAP_HASHES[name]));
    if (this.#hash === undefined) return 'failed';
    const random = this.#cryptography.random(1 + CHALLENGE_BYTES);
    this.#identifier = random[0]!;
    this.#challenge = random.subarray(1);
    const answers = [
      { key: 'CHAP_A', value: String(CHAP_HASHES[this.#hash]) },
      { key: 'CHAP_I', value: String(this.#identifier) },
      { key: 'CHAP_C', value: encodeBinary(this.#challenge) },
    ];
    return { answers, authenticated: false };
  }

  #judge(hash: ChapHash, values: ReadonlyMap<string, string>): ChapOutcome {
    this.#over = true;
    const name = values.get('CHAP_N');
    const response = parseBinary(values.get('CHAP_R') ?? '', BINARY_BYTES_MAX);
    if (name === undefined || response === undefined) return 'malformed';
    const expected = this.#response(hash, this.#identifier, this.#secret, this.#challenge);
    // Both are compared whatever the other is: neither is to be found out by time.
    const sameName = equal(encoder.encode(name), encoder.encode(this.#secret.name));
    if (!equal(response, expected) || !sameName) return 'failed';
    if (!values.has('CHAP_I') && !values.has('CHAP_C')) return { answers: [], authenticated: true };
    return this.#prove(hash, values);
  }

  /** Mutual: the initiator asks the target. */
  #prove(hash: ChapHash, values: ReadonlyMap<string, string>): ChapOutcome {
    const identifier = parseNumber(values.get('CHAP_I') ?? '');
    const challenge = parseBinary(values.get('CHAP_C') ?? '', BINARY_BYTES_MAX);
    if (identifier === undefined || identifier > 255 || challenge === undefined) return 'malformed';
    if (this.#mutual === undefined) return 'failed';
    // Section 9.2.1: whoever sends our challenge back wants us to answer it.
    if (equal(challenge, this.#challenge)) return 'failed';
    const proof = this.#response(hash, identifier, this.#mutual, challenge);
    const answers = [
      { key: 'CHAP_N', value: this.#mutual.name },
      { key: 'CHAP_R', value: encodeBinary(proof) },
    ];
    return { answers, authenticated: true };
  }

  /** RFC 1994, section 4.1. */
  #response(hash: ChapHash, identifier: number, { secret }: ChapSecret, challenge: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(1 + secret.length + challenge.length);
    bytes[0] = identifier;
    bytes.set(secret, 1);
    bytes.set(challenge, 1 + secret.length);
    return this.#cryptography.hash(hash, bytes);
  }
}

/** Takes as long for a wrong first byte as for a wrong last one. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < b.length; at++) difference |= (a[at] ?? 0) ^ b[at]!;
  return difference === 0;
}
