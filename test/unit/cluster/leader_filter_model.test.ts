import { describe, expect, it } from 'vitest';
import { type Fault, FilterHistory } from './model/filter_history.ts';

/** Seeds from 1 on. More: `HOLDFAST_HISTORIES=1000 vitest run …` */
const HISTORIES = Number(process.env.HOLDFAST_HISTORIES ?? 15);
/** Histories in which a planted fault is to be found. */
const FAULTY_MAX = 60;

describe('a history of servers that all hear', () => {
  it('answers each request once, and resets nothing that lives', { timeout: 120_000 }, () => {
    const sums = { requests: 0, queries: 0, cleaned: 0, moved: 0, deaths: 0 };
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const history = new FilterHistory(seed).run();
      const { segment, counts } = history;
      expect(segment.wrong, `seed ${seed}`).toEqual([]);
      expect(history.unanswered, `seed ${seed}`).toBe(0);
      sums.requests += segment.requests;
      sums.queries += segment.queries;
      sums.cleaned += counts.cleaned;
      sums.moved += counts.moved;
      sums.deaths += counts.deaths;
    }
    // It was about something.
    expect(sums.requests).toBeGreaterThan(500 * HISTORIES);
    expect(sums.queries).toBeGreaterThan(100 * HISTORIES);
    expect(sums.moved).toBeGreaterThan(20 * HISTORIES);
    expect(sums.cleaned).toBeGreaterThan(2 * HISTORIES);
    expect(sums.deaths).toBeGreaterThan(HISTORIES);
  });
});

const faults: Fault[] = ['no barrier', 'no counts', 'released first', 'no holders'];

describe('the model notices', () => {
  it.each(faults)('%s', { timeout: 120_000 }, (fault) => {
    for (let seed = 1; seed <= FAULTY_MAX; seed++) {
      const history = new FilterHistory(seed, fault).run();
      if (history.segment.wrong.length + history.unanswered > 0) return;
    }
    expect.fail(`${FAULTY_MAX} histories are as good without`);
  });
});
