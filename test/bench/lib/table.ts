// Owns how records look in a terminal.
import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { BenchRecord, Must } from './report.ts';

export function formatTable(records: readonly BenchRecord[]): string {
  const table = new Table({
    head: ['case', 'median', 'spread', 'unit', 'reference', 'ratio', 'must', ''],
    colAligns: ['left', 'right', 'right', 'left', 'left', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const record of records) {
    table.push([
      record.case,
      formatNumber(record.value),
      formatSpread(record),
      record.unit,
      record.reference === null ? '' : `${record.reference} ${formatNumber(record.referenceValue!)}`,
      record.ratio === null ? '' : formatNumber(record.ratio),
      record.must === undefined ? '' : formatMust(record.must),
      verdict(record.ok),
    ]);
  }
  return table.toString();
}

/** Three significant digits, and thousands in groups: 0.0123, 4.56, 1 234. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const [whole, fraction] = value.toFixed(Math.min(digits, 20)).split('.');
  const grouped = whole!.replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

export function formatMust({ atMost, atLeast }: Must): string {
  const parts = [
    atMost === undefined ? [] : [`≤ ${formatNumber(atMost)}`],
    atLeast === undefined ? [] : [`≥ ${formatNumber(atLeast)}`],
  ];
  return parts.flat().join(', ');
}

function formatSpread({ spread, value }: BenchRecord): string {
  if (spread === undefined) return '';
  return value === 0
    ? `± ${formatNumber(spread / 2)}`
    : `± ${((50 * spread) / Math.abs(value)).toFixed(1)} %`;
}

function verdict(ok: boolean | undefined): string {
  if (ok === undefined) return '';
  return ok ? styleText('green', 'ok') : styleText(['red', 'bold'], 'missed');
}
