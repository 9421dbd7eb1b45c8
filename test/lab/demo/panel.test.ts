// The demo's panel fits its terminal and shows what there is to show.
import { describe, expect, it } from 'vitest';
import type { LiveFigures } from './live.ts';
import { drawPanel } from './panel.ts';
import { sharesOf } from './shares.ts';

const plain = (_: unknown, text: string) => text;

function figures(backends: number): LiveFigures {
  const names = Array.from({ length: backends }, (_, index) => `backend${index + 1}`);
  return {
    traffic: {
      requestsPerSecond: 1200,
      succeeded: 100 * backends,
      failed: 0,
      sentAgain: 2,
      shares: sharesOf(
        Object.fromEntries(names.map((name) => [name, 100])),
        new Map(names.map((name) => [name, 1])),
      ),
    },
    muxes: [
      { name: 'mux1', packetsPerSecond: 0, hasDaemon: true },
      { name: 'mux2', packetsPerSecond: 5000, hasDaemon: false },
    ],
    held: 88,
    broken: 2,
    lostWithServer: 0,
  };
}

const draw = (of: LiveFigures | undefined, rows = 40, columns = 100) =>
  drawPanel({ clock: '1.0 s', head: '4/7 An act', step: 'a step', figures: of }, { rows, columns }, plain);

describe('the panel', () => {
  it('has the step, the rates, a bar for each backend, the muxes and what is held', () => {
    const lines = draw(figures(3));
    expect(lines[0]).toContain('4/7 An act');
    expect(lines[1]).toContain('a step');
    expect(lines[2]).toContain('1200/s, 300 answered, 0 failed, 2 sent again');
    expect(lines.filter((line) => /backend\d .*█.*│ +100 of 100$/.test(line))).toHaveLength(3);
    expect(lines.at(-2)).toContain('· mux1 0/s   ▶ mux2 5000/s without its daemon');
    expect(lines.at(-1)).toContain('88 connections, 2 broken');
  });

  it('is two lines where nothing is known yet', () => {
    expect(draw(undefined)).toHaveLength(2);
  });

  it.each([
    [60, 24],
    [60, 10],
    [6, 5],
    [6, 3],
  ])('of %i backends is lower than a terminal of %i rows', (backends, rows) => {
    const lines = draw(figures(backends), rows);
    expect(lines.length).toBeLessThan(rows);
    expect(lines[0]).toContain('4/7');
  });
});
