import { describe, expect, it } from 'vitest';
import { TrafficLedger } from '../../../control/dataplane/traffic_ledger.ts';

const ledgerOf = (counters: bigint[]) =>
  new TrafficLedger((place) => ({ packets: counters[place]!, bytes: 0n, newFlows: 0n }));

describe('the traffic ledger', () => {
  it('starts a new owner from zero', () => {
    const ledger = ledgerOf([5n, 100n]);
    ledger.joins('a', 0);
    expect(ledger.count('a').packets).toBe(0n);
    expect(ledger.count('b').packets).toBe(0n);
  });

  it('lets an owner that moves keep its count, and what is counted at the old place meanwhile', () => {
    const counters = [5n, 100n];
    const ledger = ledgerOf(counters);
    ledger.joins('a', 0);
    counters[0] = 7n;
    ledger.joins('a', 1);
    counters[0] = 8n;
    counters[1] = 110n;
    expect(ledger.count('a').packets).toBe(13n);
    ledger.settles('a', 1);
    ledger.joins('b', 0);
    counters[0] = 1000n;
    expect(ledger.count('a').packets).toBe(13n);
    expect(ledger.count('b').packets).toBe(992n);
    ledger.closes('a');
    expect(ledger.count('a').packets).toBe(0n);
  });

  it('goes on where it was saved, with what was counted since', () => {
    const counters = [5n, 0n];
    const ledger = ledgerOf(counters);
    ledger.joins('a', 0);
    ledger.joins('a', 1);
    const saved = JSON.parse(JSON.stringify(ledger.save()));
    counters[0] = 6n;
    counters[1] = 2n;
    const next = ledgerOf(counters);
    next.restore(saved);
    expect(next.count('a').packets).toBe(3n);
    next.settles('a', 1);
    expect(next.count('a').packets).toBe(3n);
  });
});
