import { describe, expect, it } from 'vitest';
import { hashKeyFromSecret, readHashKey } from '../../../control/dataplane/hash.ts';

describe('the hash key', () => {
  it('is the same for the same secret and another for another', () => {
    const one = hashKeyFromSecret(new Uint8Array(32).fill(1));
    expect(hashKeyFromSecret(new Uint8Array(32).fill(1))).toEqual(one);
    expect(hashKeyFromSecret(new Uint8Array(32).fill(2))).not.toEqual(one);
  });

  it('has odd multipliers, and one without is refused', () => {
    const key = hashKeyFromSecret(new Uint8Array(16));
    expect(readHashKey(key).flow & readHashKey(key).place & 1n).toBe(1n);
    const even = key.slice();
    even[0]! &= 0xfe;
    expect(() => readHashKey(even)).toThrow(/odd/);
  });

  it('is refused where it is short, as is the secret', () => {
    expect(() => readHashKey(new Uint8Array(95))).toThrow(/96 bytes/);
    expect(() => hashKeyFromSecret(new Uint8Array(15))).toThrow(/16 bytes/);
  });
});
