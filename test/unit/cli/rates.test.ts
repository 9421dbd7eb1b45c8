// From counts to rates, and who moved most.
import { describe, expect, it } from 'vitest';
import type { Stats } from '../../../control/api/schema.ts';
import { moversBetween, type Rates, ratesBetween } from '../../../control/cli/rates.ts';
import { divide, figuresText, moversText } from '../../../control/cli/stats_text.ts';
import { STATS } from './lib/answers.ts';
import { PIPE, plainTerminal } from './lib/screens.ts';

const counts = (atMs: number, packets: number, more: Partial<Stats> = {}): Stats => ({
  atMs,
  packets: { FORWARD: packets },
  reasons: { FORWARD: packets },
  services: [{ name: 'web', packets, bytes: packets * 100, newFlows: packets / 10 }],
  backends: [{ pool: 'web', name: 'b1', packets, bytes: packets * 100, newFlows: packets / 10 }],
  flowEvents: {},
  muxes: [],
  ...more,
});

describe('rates', () => {
  it('are differences per second', () => {
    expect(ratesBetween(counts(1_000, 100), counts(3_000, 300))).toEqual({
      atMs: 3_000,
      seconds: 2,
      packets: { FORWARD: 100 },
      reasons: { FORWARD: 100 },
      services: [{ name: 'web', packets: 100, bytes: 10_000, newFlows: 10 }],
      backends: [{ pool: 'web', name: 'b1', packets: 100, bytes: 10_000, newFlows: 10 }],
    });
  });

  it('begin anew with the count', () => {
    expect(ratesBetween(counts(1_000, 500), counts(2_000, 40)).packets).toEqual({ FORWARD: 40 });
  });

  it('of what is new are its whole count', () => {
    const rates = ratesBetween(counts(0, 5, { services: [], reasons: {} }), counts(1_000, 30));
    expect(rates.services[0]!.packets).toBe(30);
    expect(rates.reasons).toEqual({ FORWARD: 30 });
  });

  it('do not divide by nothing', () => {
    expect(ratesBetween(counts(5, 1), counts(5, 2)).packets.FORWARD).toBe(1_000);
  });
});

describe('movers', () => {
  const rates = (reasons: Record<string, number>): Rates => ({
    atMs: 0,
    seconds: 1,
    packets: {},
    reasons,
    services: [],
    backends: [],
  });

  it('are those whose packets changed most, up or down', () => {
    const was = rates({ FORWARD: 1_000, PASS_NOT_IP: 100, REPLY_ECHO: 50 });
    const is = rates({ FORWARD: 400, PASS_NOT_IP: 101, REPLY_ECHO: 500, DROP_ECN: 3 });
    expect(moversBetween(was, is, 2)).toEqual([
      { what: 'FORWARD', was: 1_000, is: 400 },
      { what: 'REPLY_ECHO', was: 50, is: 500 },
    ]);
    expect(moversText(PIPE, moversBetween(was, is, 9))).toBe(
      'moved: ↓ FORWARD 1,000 → 400, ↑ REPLY_ECHO 50 → 500, ↑ DROP_ECN 0 → 3.0',
    );
  });

  it('are not those that changed little', () => {
    expect(moversBetween(rates({ FORWARD: 1_000 }), rates({ FORWARD: 1_050, DROP_ECN: 0.5 }), 9)).toEqual([]);
    expect(moversText(PIPE, [])).toBe('moved: nothing much');
  });
});

describe('figures', () => {
  const many: Stats = {
    ...STATS,
    backends: Array.from({ length: 40 }, (_, index) => ({
      pool: 'web',
      name: `b${index}`,
      packets: index * 10,
      bytes: 0,
      newFlows: 0,
    })),
  };

  it('are the busiest first, and leave out what never happened', () => {
    const text = figuresText(PIPE, STATS, { perSecond: false });
    expect(text).not.toContain('DECAP');
    expect(text.split('\n').slice(0, 5)).toEqual([
      'VERDICT    PACKETS   SHARE',
      'FORWARD  1,234,567  99.9 %',
      'PASS         1,200   0.1 %',
      'DROP            45  <0.1 %',
      'REPLY            3  <0.1 %',
    ]);
  });

  it('fit into the lines that there are, and say what is left out', () => {
    for (const rows of [12, 20, 30, 40]) {
      const text = figuresText(plainTerminal(100), many, { perSecond: true, rows });
      expect(text.split('\n').length).toBeLessThanOrEqual(rows);
      expect(text).toMatch(/\nand \d+ more$/);
    }
    expect(figuresText(PIPE, many, { perSecond: true })).not.toContain('more');
  });

  it('may be none', () => {
    const none = { packets: { DROP: 0 }, reasons: {}, services: [], backends: [] };
    expect(figuresText(PIPE, none, { perSecond: false })).toBe('nothing was counted');
    expect(figuresText(PIPE, none, { perSecond: true })).toBe('no packets');
  });
});

describe('lines', () => {
  it('are divided evenly, and what few need is left to the others', () => {
    expect(divide([2, 10, 10], 12)).toEqual([2, 5, 5]);
    expect(divide([1, 1, 1], 12)).toEqual([1, 1, 1]);
    expect(divide([5, 5], undefined)).toEqual([5, 5]);
  });

  it('are at least one for each', () => {
    expect(divide([5, 5, 5], -3)).toEqual([1, 1, 1]);
  });
});
