// Turns tables of cases into tests: each table in full, and each table cut at every length.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Case } from './case.ts';
import { type Judged, judge, judgeCuts, Rig } from './rig.ts';

type Tables = Readonly<Record<string, readonly Case[]>>;

export function describeTables(
  title: string,
  tables: Tables,
  make: () => Promise<Judged & { close(): void }> = () => Rig.load(),
): void {
  describe(title, () => {
    let rig: Judged & { close(): void };
    beforeAll(async () => {
      rig = await make();
    });
    afterAll(() => rig?.close());

    for (const [name, rows] of Object.entries(tables)) {
      it.each(rows.map((row) => [row.name, row] as const))(`${name}: %s`, (_, row) => judge(rig, row));

      it(`${name}: nothing incomplete leaves, and every run is counted once`, () => {
        expect(rows.reduce((runs, row) => runs + judgeCuts(rig, row), 0)).toBeGreaterThan(0);
      });
    }

    it('names every case once', () => {
      const names = Object.entries(tables).flatMap(([table, rows]) =>
        rows.map((row) => `${table}: ${row.name}`),
      );
      expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    });
  });
}
