// Join tokens as text: what was written is read, and nothing else is taken for a token.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FINGERPRINT_BYTES,
  formatToken,
  isForgotten,
  type JoinToken,
  parseToken,
  TOKEN_CHARACTERS_MAX,
  TOKEN_ID_BYTES,
  TOKEN_MEMORY_MS,
  TOKEN_SECRET_BYTES,
  tokenState,
} from '../../../control/trust/token_core.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const port = fc.integer({ min: 1, max: 65_535 });
const address = fc.oneof(
  fc.tuple(fc.ipV4(), port).map(([host, it]) => `${host}:${it}`),
  fc.tuple(fc.ipV6(), port).map(([host, it]) => `[${host}]:${it}`),
);
const tokens: fc.Arbitrary<JoinToken> = fc.record({
  id: bytes(TOKEN_ID_BYTES).map((it) => Buffer.from(it).toString('hex')),
  secret: bytes(TOKEN_SECRET_BYTES),
  fingerprint: bytes(FINGERPRINT_BYTES),
  addresses: fc.array(address, { minLength: 1, maxLength: 4 }),
});
const EXAMPLE: JoinToken = {
  id: '0011223344556677',
  secret: new Uint8Array(TOKEN_SECRET_BYTES).fill(7),
  fingerprint: new Uint8Array(FINGERPRINT_BYTES).fill(9),
  addresses: ['192.0.2.1:7444'],
};
/** Made by hand, so that the form does not change unseen. */
const EXAMPLE_BYTES = Buffer.concat([
  Buffer.from('010011223344556677', 'hex'),
  Buffer.alloc(32, 7),
  Buffer.alloc(32, 9),
  Buffer.from('192.0.2.1:7444'),
]);

const wrong = (text: string) => {
  const parsed = parseToken(text);
  return 'wrong' in parsed ? parsed.wrong : 'nothing';
};

describe('a token', () => {
  it('is read as it was written, with space around it too', () => {
    fc.assert(
      fc.property(tokens, (token) => {
        const text = formatToken(token);
        expect(text.length).toBeLessThanOrEqual(TOKEN_CHARACTERS_MAX);
        expect(parseToken(text)).toEqual(token);
        expect(parseToken(` ${text}\n`)).toEqual(token);
      }),
    );
  });

  it('has the form that is documented', () => {
    const text = formatToken(EXAMPLE);
    expect(text.startsWith('holdfast-join-')).toBe(true);
    const all = Buffer.from(text.slice('holdfast-join-'.length), 'base64url');
    expect(all.subarray(0, -4)).toEqual(EXAMPLE_BYTES);
    // zlib's, of the bytes above.
    expect(all.readUInt32BE(all.length - 4)).toBe(0x97_01_c7_64);
  });

  it('is none where a character is another one, or a part is missing', () => {
    const text = formatToken(EXAMPLE);
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.constantFrom('A', 'b', '_', '0'), (at, character) => {
        fc.pre(text[at] !== character);
        expect(wrong(text.slice(0, at) + character + text.slice(at + 1))).not.toBe('nothing');
        expect(wrong(text.slice(0, at))).not.toBe('nothing');
      }),
    );
  });

  it('is no other text, however long, and never echoed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (noise) => {
        for (const text of [noise, `holdfast-join-${noise}`]) {
          const said = wrong(text);
          expect(said).not.toBe('nothing');
          if (noise.length > 8) expect(said).not.toContain(noise);
        }
      }),
    );
    expect(wrong(`holdfast-join-${'A'.repeat(1 << 20)}`)).toBe('it is too long');
  });

  it.each([
    ['of a name', ['mux1.example:7444']],
    ['without a port', ['192.0.2.1']],
    ['of port 0', ['192.0.2.1:0']],
    ['of port 65536', ['192.0.2.1:65536']],
    ['five of them', Array<string>(5).fill('192.0.2.1:7444')],
    ['none', []],
  ])('with an address %s is none', (_, addresses) => {
    expect(wrong(formatToken({ ...EXAMPLE, addresses }))).not.toBe('nothing');
  });
});

describe('the life of a token', () => {
  const record = { hash: '', roles: ['mux'], createdAtMs: 0, expiresAtMs: 1_000 };
  it('ends with its time, or with its use', () => {
    expect(tokenState(record, 999)).toBe('open');
    expect(tokenState(record, 1_000)).toBe('expired');
    expect(tokenState({ ...record, used: { node: 'mux2', atMs: 5 } }, 6)).toBe('used');
  });
  it('is remembered for a week, so that who uses it again is told', () => {
    expect(isForgotten(record, 1_000 + TOKEN_MEMORY_MS)).toBe(false);
    expect(isForgotten(record, 1_001 + TOKEN_MEMORY_MS)).toBe(true);
  });
});
