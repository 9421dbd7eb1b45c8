// Owns bars in a terminal: one a case, for benchmarks whose values lie orders of magnitude apart. The picture for a
// browser is plot.ts.
import type { BenchRecord } from './report.ts';
import { formatNumber } from './table.ts';

const BAR_COLUMNS = 40;
/** Eighths of a column. */
const PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** By unit; the scale is logarithmic, and said to be. A bar of nothing is zero. */
export function formatBars(records: readonly BenchRecord[]): string {
  return [...Map.groupBy(records, ({ unit }) => unit)]
    .map(([unit, rows]) => panel(unit, rows).join('\n'))
    .join('\n\n');
}

function panel(unit: string, rows: readonly BenchRecord[]): string[] {
  const positive = rows.map(({ value }) => value).filter((value) => value > 0);
  // Whole decades; the least value that is not zero is to be seen.
  const low = Math.floor(Math.log10(Math.min(1, ...positive)) - 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, ...positive)) - 1e-9));
  const labels = Math.max(...rows.map((row) => row.case.length));
  const share = (value: number) => (value <= 0 ? 0 : (Math.log10(value) - low) / (high - low));
  const [first, last] = [power(low), power(high)];
  return [
    `${' '.repeat(labels)}  ${first}${last.padStart(BAR_COLUMNS - first.length)}  ${unit}, logarithmic scale`,
    ...rows.map((row) => `${row.case.padEnd(labels)}  ${bar(share(row.value))}  ${formatNumber(row.value)}`),
  ];
}

function bar(share: number): string {
  const eighths = Math.round(Math.min(1, share) * BAR_COLUMNS * 8);
  return `${'█'.repeat(eighths >> 3)}${PARTS[eighths & 7]}`.padEnd(BAR_COLUMNS, '·');
}

function power(exponent: number): string {
  return formatNumber(10 ** exponent);
}
