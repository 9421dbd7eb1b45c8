// Owns what the lab looks like in a terminal: the topology, tables, bars. Colour only where the output is a terminal.
import { styleText } from 'node:util';
import type { BackendNode, LabPlan } from './plan.ts';

type Style = Parameters<typeof styleText>[0];

/** Plain text unless `stream` is a terminal that wants colour. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream });
}

const BAR_COLUMNS = 30;

export function drawTopology(plan: LabPlan): string {
  const heads = ['clients', 'router', 'muxes (XDP)', 'backends (XDP decap)'] as const;
  const middle = [
    'forwarding',
    'ECMP by 5-tuple',
    ...plan.services4.map((address) => `→ ${address}`),
    ...plan.services6.map((address) => `→ ${address}`),
  ];
  const columns = [
    plan.clients.map(({ name, address4 }) => `${name} ${address4}`),
    middle,
    plan.muxes.map(({ name, address4 }) => `${name} ${address4}`),
    plan.backends.map((node) => `${node.name} ${node.tunnelAddress} ${shapeOf(node)}`),
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
    '  answers go from the backends through the router to the clients, past the muxes',
  ].join('\n');
}

function shapeOf({ encap, tunnelAddress }: BackendNode): string {
  const version = tunnelAddress.includes(':') ? '6' : '4';
  return encap === 'gue' ? `GUE/IPv${version}` : `IP/IPv${version}`;
}

export type Share = {
  readonly backend: string;
  readonly connections: number;
  readonly deviationPercent: number;
};

/** Every backend's part, also that of one which got nothing. */
export function sharesOf(perBackend: Readonly<Record<string, number>>, backends: readonly string[]): Share[] {
  const total = Object.values(perBackend).reduce((sum, each) => sum + each, 0);
  const ideal = total / backends.length;
  return backends.map((backend) => {
    const connections = perBackend[backend] ?? 0;
    const deviation = ideal === 0 ? 0 : (connections / ideal - 1) * 100;
    return { backend, connections, deviationPercent: Math.round(deviation * 10) / 10 };
  });
}

export function drawShares(shares: readonly Share[]): string {
  const most = Math.max(1, ...shares.map(({ connections }) => connections));
  return shares
    .map(({ backend, connections, deviationPercent }) => {
      const bar = '█'.repeat(Math.round((connections / most) * BAR_COLUMNS)).padEnd(BAR_COLUMNS);
      const deviation = `${deviationPercent >= 0 ? '+' : ''}${deviationPercent.toFixed(1)} %`;
      return `  ${backend.padEnd(10)} ${paint('cyan', bar)} ${String(connections).padStart(6)}  ${deviation.padStart(8)}`;
    })
    .join('\n');
}

export function drawTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd();
  return [paint('dim', line(head)), ...rows.map(line)].join('\n');
}
