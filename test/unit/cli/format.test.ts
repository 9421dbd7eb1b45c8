// How numbers, times and shares are written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as format from '../../../control/cli/format.ts';

describe('numbers', () => {
  it('have thousands separators', () => {
    const cases = { 0: '0', 999: '999', 1000: '1,000', 65537: '65,537', 1234567890: '1,234,567,890' };
    for (const [value, text] of Object.entries(cases)) expect(format.count(Number(value))).toBe(text);
  });

  it('keep their digits', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (value) => {
        expect(format.count(value).replaceAll(',', '')).toBe(String(value));
        expect(format.count(value)).toMatch(/^\d{1,3}(?:,\d{3})*$/);
      }),
    );
  });

  it('of a rate have a decimal where they are small', () => {
    expect([0, 0.04, 0.2, 9.94, 9.96, 1234.5].map(format.rate)).toEqual([
      '0',
      '<0.1',
      '0.2',
      '9.9',
      '10',
      '1,235',
    ]);
  });

  it('of bytes and bits have three digits and a scale', () => {
    expect([0, 999, 1000, 65_537, 999_499, 999_500, 987_654_321, 5e15].map(format.byteCount)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '65.5 kB',
      '999 kB',
      '1.00 MB',
      '988 MB',
      '5.00 PB',
    ]);
    expect([0, 1, 125, 1.25e9].map(format.bitRate)).toEqual([
      '0 bit/s',
      '8 bit/s',
      '1.00 kbit/s',
      '10.0 Gbit/s',
    ]);
  });

  it('never have more than three digits before the scale', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e17, noNaN: true }), (value) => {
        expect(format.bitRate(value)).toMatch(/^(?:\d{1,3}|\d\.\d\d|\d\d\.\d) [kMGTPE]?bit\/s$/);
      }),
    );
  });
});

describe('shares', () => {
  it('are per cent, and what is there is not nothing', () => {
    expect([0, 0.0001, 0.0005, 0.167, 1].map(format.percent)).toEqual([
      '0.0 %',
      '<0.1 %',
      '0.1 %',
      '16.7 %',
      '100.0 %',
    ]);
    expect(format.share(1, 4)).toBe(0.25);
    expect(format.share(0, 0)).toBe(0);
  });

  it('are bars in eighths of a column', () => {
    expect([0, 0.125 / 4, 0.25, 0.5, 1, 2, -1].map((it) => format.bar(it, 4))).toEqual([
      '',
      '▏',
      '█',
      '██',
      '████',
      '████',
      '',
    ]);
    expect(format.bar(0.99, 2)).toBe('██');
    expect(format.bar(0.9, 2)).toBe('█▊');
  });
});

describe('times', () => {
  it('that last have their two largest units', () => {
    const seconds = {
      0: '0 s',
      59: '59 s',
      61: '1 min 1 s',
      3600: '1 h',
      3661: '1 h 1 min',
      273600: '3 d 4 h',
    };
    for (const [value, text] of Object.entries(seconds))
      expect(format.duration(Number(value) * 1000)).toBe(text);
    expect(format.duration(-5)).toBe('0 s');
    expect(format.duration(86_400_000 + 5_000)).toBe('1 d');
  });

  it('are local', () => {
    const at = new Date(2026, 10, 3, 4, 5, 6).getTime();
    expect(format.dateTime(at)).toBe('2026-11-03 04:05:06');
    expect(format.timeWithMicroseconds(at + 7.25)).toBe('04:05:06.007250');
  });
});

it('things are counted in words', () => {
  expect([0, 1, 2000].map((it) => format.counted(it, 'pool'))).toEqual(['0 pools', '1 pool', '2,000 pools']);
});
