// Owns what the lab looks like in a terminal: the topology, tables, bars. Colour only where the output is a terminal.
import { stripVTControlCharacters, styleText } from 'node:util';
import type { BackendNode, LabPlan } from './plan.ts';

export type Style = Parameters<typeof styleText>[0];

/** Plain text unless `stream` is a terminal that wants colour. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream });
}

export type Painter = (style: Style, text: string) => string;

/** Without the nodes' addresses where the terminal has not the room. */
export function drawTopology(plan: LabPlan, terminalColumns = Number.POSITIVE_INFINITY): string {
  const full = drawBoxes(plan, true);
  return full.indexOf('\n') <= terminalColumns ? full : drawBoxes(plan, false);
}

function drawBoxes(plan: LabPlan, withAddresses: boolean): string {
  const heads = ['clients', 'router', 'muxes (XDP)', 'backends (XDP decap)'] as const;
  const services = [...plan.services4, ...plan.services6];
  const named = (name: string, ...more: string[]) => [name, ...(withAddresses ? more : [])].join(' ');
  const columns = [
    plan.clients.map(({ name, address4 }) => named(name, address4)),
    ['forwarding', 'ECMP by 5-tuple', ...(withAddresses ? services.map((address) => `→ ${address}`) : [])],
    plan.muxes.map(({ name, address4 }) => named(name, address4)),
    plan.backends.map((node) => `${named(node.name, node.tunnelAddress)} ${shapeOf(node)}`),
  ];
  const widths = columns.map((lines, index) =>
    Math.max(heads[index]!.length, ...lines.map(({ length }) => length)),
  );
  const height = Math.max(...columns.map(({ length }) => length));
  const rule = (left: string, mid: string, right: string) =>
    `${left}${widths.map((width) => '─'.repeat(width + 2)).join(`${right}   ${mid}`)}`;
  const row = (cells: readonly string[], join: string) =>
    `│ ${cells.map((cell, index) => cell.padEnd(widths[index]!)).join(join)} │`;
  return [
    `${rule('┌', '┌', '┐')}┐`,
    row(heads, ' ├───┤ '),
    `${rule('├', '├', '┤')}┤`,
    ...Array.from({ length: height }, (_, line) =>
      row(
        columns.map((lines) => lines[line] ?? ''),
        ' │   │ ',
      ),
    ),
    `${rule('└', '└', '┘')}┘`,
    ...(withAddresses ? [] : [`  services: ${services.join('  ')}`]),
    '  answers go from the backends through the router to the clients, past the muxes',
  ].join('\n');
}

function shapeOf({ encap, tunnelAddress }: BackendNode): string {
  const version = tunnelAddress.includes(':') ? '6' : '4';
  return encap === 'gue' ? `GUE/IPv${version}` : `IP/IPv${version}`;
}

export type Bar = {
  readonly value: number;
  /** Where a line is drawn across. */
  readonly mark: number;
  /** What the whole width stands for. */
  readonly largest: number;
  /** One more is drawn, as the line stands behind what it marks. */
  readonly columns: number;
};

export function drawBar({ value, mark, largest, columns }: Bar, paint: Painter): string {
  const columnOf = (of: number) => Math.round((of / largest) * columns);
  const marked = Math.min(columns, columnOf(mark));
  const cells = '█'.repeat(Math.min(columns, columnOf(value))).padEnd(columns + 1);
  return `${paint('cyan', cells.slice(0, marked))}${paint('yellow', '│')}${paint('cyan', cells.slice(marked + 1))}`;
}

/** Cells may be painted. */
export function drawTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const columnsOf = (cell: string) => stripVTControlCharacters(cell).length;
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => columnsOf(row[column] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, column) => cell + ' '.repeat(widths[column]! - columnsOf(cell))).join('  ')}`.trimEnd();
  return [paint('dim', line(head)), ...rows.map(line)].join('\n');
}
