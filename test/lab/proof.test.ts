// The promise: change servers and load balancers as you like, while traffic flows, and no connection breaks.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from './lab.ts';
import { PROOF_LAB, playProof } from './proof/story.ts';
import { raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 10_000;
const LIMIT_MS = 420_000;

let lab: Lab;
beforeAll(async () => {
  lab = await raiseTestLab(PROOF_LAB);
});
afterAll(() => removeTestLab(lab));

describe(`${CONNECTIONS.toLocaleString('en')} connections, and requests all the while`, () => {
  it(
    'keep their servers while every backend is replaced and muxes die, hang, stop, leave, join and are upgraded',
    async () => {
      const startedMs = performance.now();
      const say = (text: string) =>
        console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${text}`);
      const { acts, totals, losses } = await playProof(lab, CONNECTIONS, {
        now: say,
        begins: (number, of, title) => say(`${number}/${of} ${title}`),
        ends: ({ checks }) => {
          for (const { expected, seen, kept } of checks) say(`${kept ? 'ok ' : 'NOT'} ${expected}: ${seen}`);
        },
      });
      expect(losses).toEqual([]);
      expect(acts.flatMap(({ checks }) => checks.filter(({ kept }) => !kept))).toEqual([]);
      expect(acts).toHaveLength(7);
      expect(totals).toMatchObject({ held: CONNECTIONS, broken: 0, corrupted: 0, failed: 0 });
      // All of them began at servers that were replaced since.
      const first = lab.backends.slice(0, 3).map(({ node }) => node.name);
      expect(Object.keys(totals.perBackend)).toEqual(first);
    },
    LIMIT_MS,
  );
});
