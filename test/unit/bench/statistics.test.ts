import { describe, expect, it } from 'vitest';
import { median, statistics } from '../../bench/lib/statistics.ts';

describe('statistics', () => {
  it('takes the middle, or the mean of the two in the middle', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([7])).toBe(7);
  });

  it('sorts by number, and leaves the series as it was', () => {
    const samples = [10, 9, 100];
    expect(median(samples)).toBe(10);
    expect(samples).toEqual([10, 9, 100]);
  });

  // numpy.percentile([1, 2, 3, 4], [25, 75]) is [1.75, 3.25].
  it('measures the spread between the quartiles as NumPy does', () => {
    expect(statistics([1, 2, 3, 4])).toEqual({ median: 2.5, spread: 1.5, min: 1, max: 4 });
    expect(statistics([5])).toEqual({ median: 5, spread: 0, min: 5, max: 5 });
  });

  it('shrugs off an outlier', () => {
    expect(statistics([1, 1, 1, 1, 1000])).toMatchObject({ median: 1, spread: 0 });
  });

  it('refuses an empty series and what is no number', () => {
    expect(() => statistics([])).toThrow(RangeError);
    expect(() => statistics([1, Number.NaN])).toThrow(/NaN/);
    expect(() => statistics([Infinity])).toThrow(RangeError);
  });
});
