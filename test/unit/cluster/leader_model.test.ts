import { describe, expect, it } from 'vitest';
import { type Fault, History, type Options } from './model/history.ts';

/** Seeds from 1 on. More: `HOLDFAST_HISTORIES=1000 vitest run …` */
const HISTORIES = Number(process.env.HOLDFAST_HISTORIES ?? 15);
/** Histories in which a planted fault is to be found. */
const FAULTY_MAX = 60;

const cases: [string, Options][] = [
  ['TCP, with muxes that die, hang, reboot, are suspected, leave and join', {}],
  ['QUIC, whose first packets come again, with the same', { kinds: ['quic'] }],
  ['UDP, TCP and QUIC, with the same', { kinds: ['udp', 'tcp', 'quic'] }],
  ['floods that leave no room for new flows', { flood: true, noDeaths: true }],
];

describe('a history of changes', () => {
  it.each(cases)('misdirects nothing: %s', { timeout: 120_000 + 1_000 * HISTORIES }, (_, options) => {
    const sums = { delivered: 0, asked: 0, cleaned: 0, edits: 0 };
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const history = new History(seed, options).run();
      expect(history.network.misdirected, `seed ${seed}`).toEqual([]);
      expect(history.problems, `seed ${seed}`).toEqual([]);
      sums.delivered += history.network.delivered;
      sums.asked += history.network.asked;
      sums.cleaned += history.counts.cleaned;
      sums.edits += history.counts.edits;
    }
    // It was about something.
    expect(sums.delivered).toBeGreaterThan(1_000 * HISTORIES);
    expect(sums.asked).toBeGreaterThan(100 * HISTORIES);
    expect(sums.edits).toBeGreaterThan(5 * HISTORIES);
    expect(sums.cleaned).toBeGreaterThan(HISTORIES / 2);
  });
});

const faults: [Fault, Options][] = [
  ['no barrier', {}],
  ['no hold', {}],
  ['no settle window', {}],
  ['no counts', {}],
  ['no unrecorded', { flood: true, noDeaths: true }],
];

describe('the model notices', () => {
  it.each(faults)('%s', { timeout: 120_000 }, (fault, options) => {
    for (let seed = 1; seed <= FAULTY_MAX; seed++) {
      if (new History(seed, { ...options, fault }).run().network.misdirected.length > 0) return;
    }
    expect.fail(`${FAULTY_MAX} histories are as good without`);
  });
});
