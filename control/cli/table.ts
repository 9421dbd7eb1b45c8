// Owns what tables and lists of facts look like: no borders, numbers to the right, no wider than the terminal.
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { Screen, Style } from './screen.ts';

export type Column<Row> = {
  readonly head: string;
  readonly cell: (row: Row) => string;
  readonly right?: true;
  /** What gives way where the terminal is too narrow: the ends of cells, or their words go on in the next line. */
  readonly narrow?: 'cut' | 'wrap';
  readonly style?: (row: Row) => Style | undefined;
};

const GAP = '  ';
const CUT_COLUMNS_MIN = 8;

const BORDERLESS = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
  ].map((part) => [part, '']),
);

export function table<Row>(screen: Screen, columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const natural = columns.map(({ head }, index) =>
    Math.max(widthOf(head), ...cells.map((line) => widthOf(line[index]!))),
  );
  const least = columns.map(({ narrow }, index) =>
    narrow === 'wrap'
      ? Math.max(...cells.flatMap((line) => line[index]!.split(' ').map(widthOf)), CUT_COLUMNS_MIN)
      : narrow === 'cut'
        ? CUT_COLUMNS_MIN
        : natural[index]!,
  );
  const widths = fitted(natural, least, screen.columns);
  const head = columns.map(({ head }) => screen.paint('dim', head));
  const body = rows.map((row, line) =>
    columns.map(({ style }, index) => screen.paint(style?.(row), cells[line]![index]!)),
  );
  return draw([head, ...body], columns, widths);
}

/** cli-table3 compares each row with all that are above it. */
const ROWS_AT_ONCE = 50;

function draw(
  rows: readonly (readonly string[])[],
  columns: readonly { readonly right?: true }[],
  widths: readonly number[],
): string {
  const parts: string[] = [];
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
    const drawn = new Table({
      chars: { ...BORDERLESS, middle: GAP },
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
      colWidths: [...widths],
      wordWrap: true,
      colAligns: columns.map(({ right }) => (right ? 'right' : 'left')),
    });
    drawn.push(...rows.slice(from, from + ROWS_AT_ONCE).map((row) => [...row]));
    parts.push(trimLines(drawn.toString()));
  }
  return parts.join('\n');
}

/** Names and what they are, in two columns; absent values are left out. */
export function facts(
  screen: Screen,
  named: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const present = named.filter((pair): pair is [string, string] => pair[1] !== undefined);
  const width = Math.max(0, ...present.map(([name]) => widthOf(name)));
  return present
    .map(([name, value]) => `${screen.paint('dim', name.padEnd(width))}${GAP}${value}`)
    .join('\n');
}

/** The widest column that can give way does so first. */
function fitted(
  natural: readonly number[],
  least: readonly number[],
  available: number | undefined,
): number[] {
  const widths = [...natural];
  if (available === undefined) return widths;
  let excess = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - available;
  while (excess > 0) {
    const flexible = widths.map((width, index) => (width > least[index]! ? width : 0));
    const widest = flexible.indexOf(Math.max(...flexible));
    if (flexible[widest] === 0) break;
    widths[widest]!--;
    excess--;
  }
  return widths;
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
