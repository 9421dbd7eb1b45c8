import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRACKED } from './cases/tracked.ts';
import { judgeTracked } from './lib/tracked_case.ts';
import { TrackedMux } from './lib/tracked_mux.ts';

describe('a packet of a tracked slot', () => {
  let mux: TrackedMux;
  beforeAll(() => {
    mux = new TrackedMux();
  });
  afterAll(() => mux?.close());

  for (const [name, rows] of Object.entries(TRACKED))
    it.each(rows.map((row) => [row.name, row] as const))(`${name}: %s`, (_, row) => judgeTracked(mux, row));

  it('names every case once', () => {
    const names = Object.entries(TRACKED).flatMap(([table, rows]) =>
      rows.map(({ name }) => `${table} ${name}`),
    );
    expect(new Set(names).size).toBe(names.length);
  });
});
