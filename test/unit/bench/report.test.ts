// A benchmark's record is complete and judged, and its table and picture say the same.
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { formatBars } from '../../bench/lib/bars.ts';
import { plot, ticksTo } from '../../bench/lib/plot.ts';
import { type Measurement, Report } from '../../bench/lib/report.ts';
import { formatNumber, formatTable } from '../../bench/lib/table.ts';

const record = (measurement: Partial<Measurement>) =>
  new Report('forward').add({ case: 'hit', unit: 'ns', ...measurement });

const floor = { reference: 'floor', referenceValue: 10 };

describe('a record', () => {
  it('has exactly the fields that readers of --json expect', () => {
    expect(record({ value: 20 })).toEqual({
      bench: 'forward',
      case: 'hit',
      value: 20,
      unit: 'ns',
      reference: null,
      referenceValue: null,
      ratio: null,
    });
  });

  it('is compared with its reference', () => {
    expect(record({ value: 25, ...floor })).toMatchObject({
      reference: 'floor',
      referenceValue: 10,
      ratio: 2.5,
    });
  });

  it('stands for a series by its median', () => {
    expect(record({ samples: [1, 2, 3, 4] })).toMatchObject({
      value: 2.5,
      median: 2.5,
      spread: 1.5,
      min: 1,
      max: 4,
    });
  });

  it('is judged by its ratio, or by its value without a reference', () => {
    expect(record({ value: 25, ...floor, must: { atMost: 2.5 } }).ok).toBe(true);
    expect(record({ value: 26, ...floor, must: { atMost: 2.5 } }).ok).toBe(false);
    expect(record({ value: 26, must: { atLeast: 27 } }).ok).toBe(false);
    expect(record({ value: 26, must: { atLeast: 20, atMost: 30 } }).ok).toBe(true);
  });

  it('is refused when something is missing or cannot be', () => {
    expect(() => record({})).toThrow(/either a value or samples/);
    expect(() => record({ value: 1, samples: [1] })).toThrow(/either a value or samples/);
    expect(() => record({ value: 1, reference: 'floor' })).toThrow(/a name and a value/);
    expect(() => record({ value: 1, reference: 'floor', referenceValue: 0 })).toThrow(/compared with 0/);
    expect(() => record({ value: Number.NaN })).toThrow(/finite/);
    expect(() => record({ value: 1, must: {} })).toThrow(/names a limit/);
    const report = new Report('forward');
    report.add({ case: 'hit', unit: 'ns', value: 1 });
    expect(() => report.add({ case: 'hit', unit: 'ns', value: 1 })).toThrow(/two cases/);
  });
});

const RECORDS = [
  record({ case: 'hit <hot>', samples: [19, 20, 21], ...floor, must: { atMost: 2.5 } }),
  record({ case: 'miss', samples: [40, 41, 42], ...floor, must: { atMost: 2.5 } }),
  record({ case: 'bare', value: 1234 }),
];

describe('the table', () => {
  it('shows median, spread, ratio, must and verdict', () => {
    const rows = stripVTControlCharacters(formatTable(RECORDS)).split('\n');
    expect(rows.find((row) => row.includes('hot'))).toMatch(
      /20\.0 .*± 2\.5 % .*floor 10\.0 .*2\.00 .*≤ 2\.50 .*ok/,
    );
    expect(rows.find((row) => row.includes('miss'))).toMatch(/4\.10 .*missed/);
  });

  it('writes three significant digits', () => {
    const written = [0, 0.01234, 4.556, 123.4, 1234, 6_900_000, -2.5].map(formatNumber);
    expect(written).toEqual(['0', '0.0123', '4.56', '123', '1\u202f234', '6\u202f900\u202f000', '-2.50']);
  });
});

describe('the plot', () => {
  const svg = plot('forward', 'Cost of a packet & more', RECORDS);

  it('has a title, an axis, a label and a bar a case, and markers', () => {
    expect(svg).toContain('<title>forward: Cost of a packet &amp; more</title>');
    expect(svg).toContain('hit &lt;hot&gt;');
    expect(svg.match(/<rect class="bar/g)).toHaveLength(3);
    expect(svg.match(/<line class="must"/g)).toHaveLength(2);
    expect(svg.match(/<line class="reference"/g)).toHaveLength(2);
    expect(svg).toContain('class="bar missed"');
  });

  it('is well-formed: every element is closed, nothing is NaN', () => {
    const open: string[] = [];
    for (const [, close, name, selfClosing] of svg.matchAll(/<(\/?)(\w+)[^<>]*?(\/?)>/g)) {
      if (close) expect(open.pop()).toBe(name);
      else if (!selfClosing) open.push(name!);
    }
    expect(open).toEqual([]);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('has round ticks from zero to beyond the longest bar', () => {
    expect(ticksTo(42)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(ticksTo(0.3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticksTo(0)).toEqual([0, 1]);
  });
});

describe('bars', () => {
  const report = new Report('consistency');
  for (const [name, value] of [
    ['hash', 100_000],
    ['table', 1_000],
    ['ours', 0],
  ] as const)
    report.add({ case: name, unit: 'per million', value });

  it('have a length by order of magnitude, and none where there is nothing', () => {
    const [scale, ...rows] = formatBars(report.records).split('\n');
    expect(scale).toMatch(/^ +0\.100 +100.000 {2}per million, logarithmic scale$/);
    const lengths = rows.map((row) => row.match(/█/g)?.length ?? 0);
    // Six decades from 0.1 on in 40 columns; 1,000 is the fourth.
    expect(lengths).toEqual([40, 26, 0]);
    expect(rows[2]).toMatch(/^ours {3}·{40} {2}0$/);
  });

  it('show also what is less than one', () => {
    const small = new Report('x');
    small.add({ case: 'a', unit: 'u', value: 0.02 });
    expect(formatBars(small.records)).toContain('█');
  });
});
