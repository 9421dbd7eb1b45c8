// Owns what counts and rates look like: the busiest first, in as many lines as there are.
import { bar, bitRate, byteCount, count, percent, rate, share } from './format.ts';
import type { Figures, Mover } from './rates.ts';
import type { Screen, Style } from './screen.ts';
import { type Column, table } from './table.ts';
import { verdictStyle } from './verdict.ts';

export type FiguresOptions = {
  readonly perSecond: boolean;
  /** Lines that may be used; all that are needed unless given. */
  readonly rows?: number;
};

const BAR_COLUMNS = 20;
/** Head and the line before it. */
const SECTION_ROWS = 2;

type Section = {
  readonly entries: number;
  /** The first so many entries, and how many are left out. */
  readonly draw: (entries: number) => string;
};

export function figuresText(screen: Screen, figures: Figures, options: FiguresOptions): string {
  const sections = [
    amountSection(screen, 'VERDICT', figures.packets, options),
    amountSection(screen, 'REASON', figures.reasons, options),
    trafficSection(screen, 'SERVICE', figures.services, ({ name }) => name, options),
    trafficSection(screen, 'BACKEND', figures.backends, ({ pool, name }) => `${pool}/${name}`, options),
  ].filter(({ entries }) => entries > 0);
  if (sections.length === 0) return options.perSecond ? 'no packets' : 'nothing was counted';
  const given = divide(
    sections.map(({ entries }) => entries),
    options.rows === undefined ? undefined : options.rows - sections.length * SECTION_ROWS,
  );
  return sections.map(({ draw }, index) => draw(given[index]!)).join('\n\n');
}

/** Lines for each section: an even part, and what the small ones leave goes to the others. */
export function divide(wanted: readonly number[], rows: number | undefined): number[] {
  if (rows === undefined) return [...wanted];
  const given = wanted.map(() => 0);
  for (let left = Math.max(wanted.length, rows); left > 0; left--) {
    const hungry = given.map((it, index) => (it < wanted[index]! ? it : Number.POSITIVE_INFINITY));
    const least = Math.min(...hungry);
    if (least === Number.POSITIVE_INFINITY) break;
    given[hungry.indexOf(least)]!++;
  }
  return given;
}

type Amount = { readonly name: string; readonly packets: number };

function amountSection(
  screen: Screen,
  head: string,
  amounts: Readonly<Record<string, number>>,
  { perSecond }: FiguresOptions,
): Section {
  const rows = Object.entries(amounts)
    .map(([name, packets]) => ({ name, packets }))
    .filter(({ packets }) => packets > 0)
    .sort((one, other) => other.packets - one.packets);
  const total = rows.reduce((sum, { packets }) => sum + packets, 0);
  const columns: Column<Amount>[] = [
    { head, cell: ({ name }) => name, style: ({ name }) => verdictStyle(name) },
    {
      head: perSecond ? 'PACKETS/S' : 'PACKETS',
      cell: ({ packets }) => (perSecond ? rate(packets) : count(packets)),
      right: true,
    },
    ...shareColumns<Amount>(screen, ({ packets }) => share(packets, total)),
  ];
  return section(screen, columns, rows);
}

type TrafficRow = { readonly packets: number; readonly bytes: number; readonly newFlows: number };

function trafficSection<Row extends TrafficRow>(
  screen: Screen,
  head: string,
  all: readonly Row[],
  nameOf: (row: Row) => string,
  { perSecond }: FiguresOptions,
): Section {
  const rows = [...all].sort(
    (one, other) => other.packets - one.packets || (nameOf(one) < nameOf(other) ? -1 : 1),
  );
  const total = rows.reduce((sum, { packets }) => sum + packets, 0);
  const amount = perSecond ? rate : count;
  const per = perSecond ? '/S' : '';
  const columns: Column<Row>[] = [
    { head, cell: nameOf, narrow: 'cut', style: () => 'bold' },
    { head: `PACKETS${per}`, cell: ({ packets }) => amount(packets), right: true },
    {
      head: perSecond ? 'BIT/S' : 'BYTES',
      cell: ({ bytes }) => (perSecond ? bitRate(bytes) : byteCount(bytes)),
      right: true,
    },
    { head: `NEW FLOWS${per}`, cell: ({ newFlows }) => amount(newFlows), right: true },
    ...shareColumns<Row>(screen, ({ packets }) => share(packets, total)),
  ];
  return section(screen, columns, rows);
}

function shareColumns<Row>(screen: Screen, shareOf: (row: Row) => number): Column<Row>[] {
  const drawn = { head: '', cell: (row: Row) => bar(shareOf(row), BAR_COLUMNS), style: (): Style => 'cyan' };
  return [
    { head: 'SHARE', cell: (row) => percent(shareOf(row)), right: true },
    ...(screen.hasBlocks ? [drawn] : []),
  ];
}

function section<Row>(screen: Screen, columns: readonly Column<Row>[], rows: readonly Row[]): Section {
  return {
    entries: rows.length,
    draw: (entries) => {
      if (entries >= rows.length) return table(screen, columns, rows);
      const shown = rows.slice(0, Math.max(0, entries - 1));
      const more = screen.paint('dim', `and ${count(rows.length - shown.length)} more`);
      return `${table(screen, columns, shown)}\n${more}`;
    },
  };
}

/** What changed most since the interval before; one line, also where nothing did. */
export function moversText(screen: Screen, movers: readonly Mover[]): string {
  if (movers.length === 0) return screen.paint('dim', 'moved: nothing much');
  const each = movers.map(({ what, was, is }) => {
    const arrow = is > was ? screen.paint('green', '↑') : screen.paint('yellow', '↓');
    return `${arrow} ${what} ${rate(was)} → ${rate(is)}`;
  });
  return `${screen.paint('dim', 'moved:')} ${each.join(', ')}`;
}
