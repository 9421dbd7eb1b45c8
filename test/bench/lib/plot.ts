// Owns the picture of a benchmark: one horizontal bar a case, one panel a unit, as SVG that any browser shows and any
// diff reads. A line across a bar marks the reference, an arrowed one what the value must reach.
import type { BenchRecord } from './report.ts';
import { formatNumber } from './table.ts';

const WIDTH = 860;
const MARGIN = 16;
const LABELS = 280;
const VALUES = 110;
const ROW = 30;
const BAR = 16;
const TITLE = 52;
const PANEL_HEAD = 26;
const AXIS = 34;
const PLOT = WIDTH - LABELS - VALUES - 2 * MARGIN;
const TICKS_MAX = 6;
const TICK = new Intl.NumberFormat('en', { maximumSignificantDigits: 6 });

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2933; }
  .title { font-size: 18px; font-weight: 600; }
  .unit { font-weight: 600; fill: #52606d; }
  .tick { font-size: 11px; fill: #7b8794; text-anchor: middle; }
  .label { text-anchor: end; }
  .grid { stroke: #e4e7eb; }
  .bar { fill: #4c78a8; } .bar.ok { fill: #3f8f6b; } .bar.missed { fill: #c8553d; }
  .spread { stroke: #1f2933; stroke-width: 1.5; }
  .reference { stroke: #7b8794; stroke-width: 2; stroke-dasharray: 3 2; }
  .must { stroke: #111; stroke-width: 2; } .arrow { fill: #111; }
`;

export function plot(bench: string, description: string, records: readonly BenchRecord[]): string {
  const panels = Map.groupBy(records, (record) => record.unit);
  let y = TITLE;
  const parts: string[] = [];
  for (const [unit, rows] of panels) {
    parts.push(...panel(unit, rows, y));
    y += PANEL_HEAD + rows.length * ROW + AXIS;
  }
  const height = y + 28;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeText(`${bench}: ${description}`)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text class="title" x="${MARGIN}" y="30">${escapeText(bench)}<tspan dx="10" font-size="13" font-weight="400">${escapeText(description)}</tspan></text>`,
    ...parts,
    ...legend(records, height - 12),
    '</svg>',
    '',
  ].join('\n');
}

function panel(unit: string, rows: readonly BenchRecord[], top: number): string[] {
  const marks = rows.flatMap((row) => [row.value, row.max ?? 0, row.referenceValue ?? 0, ...mustValues(row)]);
  const ticks = ticksTo(Math.max(...marks, 0));
  const left = MARGIN + LABELS;
  const scale = PLOT / ticks.at(-1)!;
  const at = (value: number) => round(left + Math.max(0, value) * scale);
  const first = top + PANEL_HEAD;
  const bottom = first + rows.length * ROW;
  return [
    `<text class="unit" x="${left}" y="${top + 12}">${escapeText(unit)}</text>`,
    ...ticks.flatMap((tick) => [
      `<line class="grid" x1="${at(tick)}" y1="${first - 4}" x2="${at(tick)}" y2="${bottom}"/>`,
      `<text class="tick" x="${at(tick)}" y="${bottom + 15}">${TICK.format(tick)}</text>`,
    ]),
    ...rows.flatMap((row, index) => bar(row, first + index * ROW, at)),
  ];
}

function bar(row: BenchRecord, top: number, at: (value: number) => number): string[] {
  const middle = top + BAR / 2;
  const verdict = row.ok === undefined ? '' : row.ok ? ' ok' : ' missed';
  const ratio = row.ratio === null ? '' : ` (${formatNumber(row.ratio)}×)`;
  const spread = row.spread ?? 0;
  const parts = [
    `<text class="label" x="${at(0) - 8}" y="${middle + 4}">${escapeText(row.case)}</text>`,
    `<rect class="bar${verdict}" x="${at(0)}" y="${top}" width="${round(at(row.value) - at(0))}" height="${BAR}"/>`,
    `<text x="${MARGIN + LABELS + PLOT + 8}" y="${middle + 4}">${formatNumber(row.value)}${ratio}</text>`,
  ];
  if (spread > 0) {
    const [from, to] = [at(row.value - spread / 2), at(row.value + spread / 2)];
    parts.push(`<line class="spread" x1="${from}" y1="${middle}" x2="${to}" y2="${middle}"/>`);
  }
  if (row.referenceValue !== null) parts.push(upright('reference', at(row.referenceValue), top));
  for (const value of mustValues(row)) {
    const x = at(value);
    parts.push(upright('must', x, top));
    parts.push(`<path class="arrow" d="M${x - 4} ${top - 8}h8l-4 5z"/>`);
  }
  return parts;
}

function upright(name: string, x: number, top: number): string {
  return `<line class="${name}" x1="${x}" y1="${top - 4}" x2="${x}" y2="${top + BAR + 4}"/>`;
}

/** The limits as values: a limit on the ratio is a value once multiplied with the reference. */
function mustValues({ must, referenceValue }: BenchRecord): number[] {
  const limits = [must?.atMost, must?.atLeast].filter((limit) => limit !== undefined);
  return limits.map((limit) => limit * (referenceValue ?? 1));
}

function legend(records: readonly BenchRecord[], y: number): string[] {
  const references = new Set(records.flatMap((record) => record.reference ?? []));
  const parts = ['bar: median, line on it: spread between the quartiles'];
  if (references.size > 0) parts.push(`dashed: reference (${[...references].join(', ')})`);
  if (records.some((record) => record.must !== undefined)) parts.push('▼: must');
  return [
    `<text class="tick" style="text-anchor:start" x="${MARGIN}" y="${y}">${escapeText(parts.join(' · '))}</text>`,
  ];
}

/** From 0 to at least `max`, in steps of 1, 2 or 5 times a power of ten. */
export function ticksTo(max: number): number[] {
  if (!(max > 0)) return [0, 1];
  const rough = max / (TICKS_MAX - 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power;
  const count = Math.ceil(max / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
