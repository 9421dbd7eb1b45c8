// Guessing what was meant.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mistakesBetween, nearest } from '../../../control/cli/nearest.ts';

describe('mistakes between two words', () => {
  it('are letters wrong, missing, too many or exchanged', () => {
    const cases: readonly [string, string, number][] = [
      ['status', 'status', 0],
      ['status', 'statsu', 1],
      ['status', 'statu', 1],
      ['status', 'sttatus', 1],
      ['status', 'stetus', 1],
      ['', 'abc', 3],
      ['kitten', 'sitting', 3],
    ];
    for (const [one, other, count] of cases)
      expect(mistakesBetween(one, other), `${one} ${other}`).toBe(count);
  });

  it('are as many in both directions, and none only for the same word', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 });
    fc.assert(
      fc.property(word, word, (one, other) => {
        const count = mistakesBetween(one, other);
        expect(mistakesBetween(other, one)).toBe(count);
        expect(count === 0).toBe(one === other);
        expect(count).toBeLessThanOrEqual(Math.max(one.length, other.length));
        expect(count).toBeGreaterThanOrEqual(Math.abs(one.length - other.length));
      }),
    );
  });
});

describe('the nearest word', () => {
  const commands = ['status', 'stats', 'services', 'explain', 'export', 'rm'];

  it('has the fewest mistakes, and few of them', () => {
    expect(nearest('statsu', commands)).toBe('status');
    expect(nearest('stat', commands)).toBe('status');
    expect(nearest('expl', commands)).toBe('explain');
    expect(nearest('exprot', commands)).toBe('export');
    expect(nearest('r', commands)).toBe('rm');
    expect(nearest('frobnicate', commands)).toBeUndefined();
    expect(nearest('x', [])).toBeUndefined();
  });

  it('counts no dashes', () => {
    expect(nearest('--wieght', ['--weight', '--address'])).toBe('--weight');
    expect(nearest('--no', ['--json', '--key'])).toBeUndefined();
  });
});
