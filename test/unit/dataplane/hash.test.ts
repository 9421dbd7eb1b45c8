import { describe, expect, it } from 'vitest';
import { hashKeyFromSecret, readHashKey } from '../../../control/dataplane/hash.ts';
import { TrafficLedger } from '../../../control/dataplane/traffic_ledger.ts';

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

describe('the traffic ledger', () => {
  it('starts a new owner from zero and lets a moved one keep its count', () => {
    const counters = [5n, 100n];
    const ledger = new TrafficLedger<string>((place) => ({
      packets: counters[place]!,
      bytes: 0n,
      newFlows: 0n,
    }));
    ledger.moved('a', 0);
    expect(ledger.count('a').packets).toBe(0n);
    counters[0] = 7n;
    ledger.moved('a', 1);
    counters[1] = 101n;
    expect(ledger.count('a').packets).toBe(3n);
    ledger.moved('b', 0);
    expect(ledger.count('b').packets).toBe(0n);
    ledger.closed('a');
    expect(ledger.count('a').packets).toBe(0n);
  });
});
