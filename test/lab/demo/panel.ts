// Owns what the demo's panel looks like. Pure: where it is drawn is stage.ts's.
import { drawBar, type Painter } from '../drawing.ts';
import type { LiveFigures } from './live.ts';
import type { Share } from './shares.ts';

export type PanelState = {
  /** Painted. */
  readonly clock: string;
  readonly head: string;
  readonly step: string;
  readonly figures: LiveFigures | undefined;
};

/** Lines beside those of the backends. */
const LINES_WITHOUT_BACKENDS = 6;
const BACKENDS_MAX = 12;

export function drawPanel(
  { clock, head, step, figures }: PanelState,
  { rows, columns }: { rows: number; columns: number },
  paint: Painter,
): string[] {
  const lines = head === '' ? [`${clock} ${step}`] : [`${clock} ${paint('bold', head)}`, `        ${step}`];
  if (figures === undefined || head === '') return lines;
  const { traffic, muxes, held, broken, lostWithServer } = figures;
  if (traffic !== undefined) {
    const { requestsPerSecond, succeeded, failed, sentAgain, shares } = traffic;
    lines.push(
      `  requests  ${paint('bold', `${requestsPerSecond}/s`)}, ${succeeded} answered, ` +
        `${warn(paint, failed, 'failed')}${sentAgain > 0 ? `, ${sentAgain} sent again` : ''}`,
      ...drawBackends(shares, Math.min(BACKENDS_MAX, rows - LINES_WITHOUT_BACKENDS), columns, paint),
    );
  }
  lines.push(`  muxes     ${muxes.map((mux) => drawMux(mux, paint)).join('   ')}`);
  if (held + broken > 0) {
    const lost = lostWithServer > 0 ? `, ${lostWithServer} gone with the server that was killed` : '';
    lines.push(
      `  held      ${paint('bold', String(held))} connections, ${warn(paint, broken, 'broken')}${lost}`,
    );
  }
  return lines.slice(0, Math.max(1, rows - 1));
}

function drawBackends(shares: readonly Share[], most: number, columns: number, paint: Painter): string[] {
  const shown = shares.slice(0, shares.length > most ? Math.max(0, most - 1) : most);
  const largest = Math.max(1, ...shares.map(({ connections, ideal }) => Math.max(connections, ideal)));
  const width = Math.min(40, Math.max(10, columns - 40));
  const lines = shown.map(({ backend, connections, ideal }) => {
    const bar = drawBar({ value: connections, mark: ideal, largest, columns: width }, paint);
    return `  ${backend.padEnd(9)} ${bar} ${String(connections).padStart(5)} of ${Math.round(ideal)}`;
  });
  const more = shares.length - shown.length;
  return more > 0 ? [...lines, `            and ${more} backends more`] : lines;
}

function drawMux(
  { name, packetsPerSecond, hasDaemon }: LiveFigures['muxes'][number],
  paint: Painter,
): string {
  const forwards = packetsPerSecond > 0;
  const mark = forwards ? paint('green', '▶') : paint('dim', '·');
  return `${mark} ${name} ${packetsPerSecond}/s${hasDaemon ? '' : paint('yellow', ' without its daemon')}`;
}

function warn(paint: Painter, times: number, what: string): string {
  const text = `${times} ${what}`;
  return times > 0 ? paint('yellow', text) : text;
}
