// When backends are checked, and what results in a row come to.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Checks,
  type Effect,
  type Opinion,
  RUNNING_MAX,
  type Timing,
} from '../../../control/health/checks_core.ts';

const TIMING: Timing = { intervalMs: 100, timeoutMs: 50, rise: 2, fall: 3, jitter: 0 };
const GOOD = { isGood: true, reason: 'connected' };
const BAD = { isGood: false, reason: 'connection refused' };
const UNABLE = { isGood: undefined, reason: 'no port is free' };

/** One backend `a`, asked at 0, 100, 200 …; `results` are answered at once, undefined: never. */
function afterResults(
  results: readonly (typeof GOOD | typeof BAD | typeof UNABLE | undefined)[],
  timing = TIMING,
) {
  const checks = new Checks();
  checks.aim([{ key: 'a', timing }], 0, () => 0);
  const told: Opinion[] = [];
  const hear = (effects: readonly Effect[]) => {
    for (const it of effects) if (it.kind === 'opinion') told.push(it.opinion);
  };
  results.forEach((result, at) => {
    const nowMs = at * timing.intervalMs;
    const started = checks.tick(nowMs, 1_000 + nowMs);
    hear(started);
    const run = started.find((it) => it.kind === 'start');
    if (run?.kind !== 'start') throw new Error(`nothing is started at ${nowMs}`);
    if (result !== undefined) hear(checks.ended('a', run.run, result, nowMs + 1, 1_001 + nowMs));
    else hear(checks.tick(nowMs + timing.timeoutMs, 1_000 + nowMs + timing.timeoutMs));
  });
  return { checks, told };
}

describe('an opinion', () => {
  it.each([
    ['is none without enough results in a row', [GOOD], []],
    ['is up after as many good ones as it needs', [GOOD, GOOD], [true]],
    ['is down after as many bad ones', [BAD, BAD, BAD], [false]],
    ['counts anew after each other result', [GOOD, GOOD, BAD, BAD, GOOD, BAD, BAD, GOOD], [true]],
    ['falls, and rises', [GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD], [true, false, true]],
    ['is not told again while it stays', [GOOD, GOOD, GOOD, GOOD], [true]],
    ['takes a check that never returns for a bad one', [undefined, undefined, undefined], [false]],
    [
      'is given up while this mux cannot ask',
      [GOOD, GOOD, UNABLE, GOOD, GOOD],
      [true, undefined, undefined, true],
    ],
  ])('%s', (_, results, expected) => {
    expect(afterResults(results).told.map(({ isUp }) => isUp)).toEqual(expected);
  });

  it('says since when, and why', () => {
    const { told } = afterResults([BAD, BAD, undefined]);
    expect(told).toEqual([{ isUp: false, sinceMs: 1_250, reason: 'timeout: no answer within 50 ms' }]);
  });

  it('flips with rise or fall consecutive results and never else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        (results, rise, fall) => {
          const { told } = afterResults(
            results.map((isGood) => (isGood ? GOOD : BAD)),
            { ...TIMING, rise, fall },
          );
          // Another way to the same: the runs of equal results, and who is long enough to change something.
          const expected: boolean[] = [];
          let run = 0;
          results.forEach((isGood, at) => {
            run = at > 0 && results[at - 1] === isGood ? run + 1 : 1;
            if (run >= (isGood ? rise : fall) && expected.at(-1) !== isGood) expected.push(isGood);
          });
          expect(told.map(({ isUp }) => isUp)).toEqual(expected);
        },
      ),
    );
  });
});

describe('the time', () => {
  it('ends a check that never returns, which is aborted and counts once', () => {
    const checks = new Checks();
    checks.aim([{ key: 'a', timing: TIMING }], 0, () => 0);
    expect(checks.tick(0, 0)).toEqual([{ kind: 'start', key: 'a', run: 1, timeoutMs: 50 }]);
    expect(checks.wakeAtMs()).toBe(50);
    expect(checks.tick(49, 49)).toEqual([]);
    expect(checks.tick(50, 50)).toEqual([
      { kind: 'abort', key: 'a', run: 1 },
      {
        kind: 'ended',
        key: 'a',
        result: { isGood: false, reason: 'timeout: no answer within 50 ms' },
        isTimeout: true,
        durationMs: 50,
      },
    ]);
    expect(checks.ended('a', 1, GOOD, 60, 60)).toEqual([]);
    expect(checks.wakeAtMs()).toBe(100);
  });

  it('in which this mux stood still is no time of what it asks', () => {
    const checks = new Checks();
    checks.aim(
      ['a', 'b'].map((key, at) => ({
        key,
        timing: { ...TIMING, intervalMs: 1_000, timeoutMs: 50 + 10 * at },
      })),
      0,
      () => 0,
    );
    checks.tick(0, 0);
    expect(checks.wakeAtMs()).toBe(50);
    // Answers that came meanwhile are read before the next tick.
    expect(checks.tick(350, 350)).toEqual([]);
    expect(checks.ended('a', 1, GOOD, 351, 351)).toMatchObject([{ kind: 'ended', result: GOOD }]);
    expect(checks.wakeAtMs()).toBe(370);
    expect(checks.tick(370, 370)).toMatchObject([
      { kind: 'abort', key: 'b' },
      { kind: 'ended', key: 'b', isTimeout: true },
    ]);
  });

  it('of a tick that is a little late, or earlier than asked for, is none in which it stood still', () => {
    const checks = new Checks();
    checks.aim([{ key: 'a', timing: TIMING }], 0, () => 0);
    checks.tick(0, 0);
    checks.wakeAtMs();
    expect(checks.tick(10, 10)).toEqual([]);
    checks.wakeAtMs();
    expect(checks.tick(95, 95)).toMatchObject([{ kind: 'abort' }, { kind: 'ended', isTimeout: true }]);
  });

  it('of a mux that always stands still ends checks nevertheless', () => {
    const checks = new Checks();
    checks.aim([{ key: 'a', timing: TIMING }], 0, () => 0);
    checks.tick(0, 0);
    let stalls = 0;
    for (let nowMs = 0; ; stalls++) {
      nowMs = checks.wakeAtMs()! + 1_000;
      if (checks.tick(nowMs, nowMs).length > 0) break;
    }
    expect(stalls).toBe(3);
  });

  it('between checks is shortened by chance, and never longer', () => {
    const checks = new Checks();
    checks.aim([{ key: 'a', timing: { ...TIMING, jitter: 0.2 } }], 0, () => 0);
    checks.tick(0, 0);
    checks.ended('a', 1, GOOD, 1, 1);
    for (const [chance, dueMs] of [
      [0, 100],
      [0.5, 90],
      [1, 80],
    ] as const) {
      checks.schedule('a', chance);
      expect(checks.wakeAtMs()).toBe(dueMs);
    }
  });

  it('spreads the first checks over an interval', () => {
    const checks = new Checks();
    let chance = 0;
    checks.aim(
      ['a', 'b', 'c', 'd'].map((key) => ({ key, timing: TIMING })),
      0,
      () => {
        chance += 0.25;
        return chance - 0.25;
      },
    );
    const started = [0, 25, 50, 75].map((nowMs) =>
      checks.tick(nowMs, nowMs).flatMap((it) => (it.kind === 'start' ? it.key : [])),
    );
    expect(started).toEqual([['a'], ['b'], ['c'], ['d']]);
  });

  it(`runs at most ${RUNNING_MAX} at once, and the longest due first`, () => {
    const checks = new Checks();
    const targets = Array.from({ length: RUNNING_MAX + 2 }, (_, at) => ({ key: `${at}`, timing: TIMING }));
    let chance = 0.5;
    checks.aim(targets, 0, () => {
      chance -= 0.001;
      return chance;
    });
    const starts = checks.tick(60, 60).filter((it) => it.kind === 'start');
    expect(starts).toHaveLength(RUNNING_MAX);
    const keys = new Set(starts.map(({ key }) => key));
    expect([keys.has('0'), keys.has('1'), keys.has(`${RUNNING_MAX + 1}`)]).toEqual([false, false, true]);
    const first = starts[0]!;
    checks.ended(first.key, first.run, GOOD, 61, 61);
    expect(checks.tick(61, 61)).toMatchObject([{ kind: 'start', key: '1' }]);
  });
});

describe('what is to be checked', () => {
  it('is aborted when it is so no more', () => {
    const checks = new Checks();
    checks.aim([{ key: 'a', timing: TIMING }], 0, () => 0);
    checks.tick(0, 0);
    expect(checks.aim([], 1, () => 0)).toEqual([{ kind: 'abort', key: 'a', run: 1 }]);
    expect(checks.opinions().size).toBe(0);
    expect(checks.wakeAtMs()).toBeUndefined();
  });

  it('keeps its opinion under other times, and counts anew', () => {
    const { checks } = afterResults([GOOD, GOOD, BAD, BAD]);
    checks.aim([{ key: 'a', timing: { ...TIMING, fall: 2 } }], 350, () => 0);
    expect(checks.opinion('a')?.isUp).toBe(true);
    const [start] = checks.tick(400, 400);
    if (start?.kind !== 'start') throw new Error('nothing is started');
    expect(checks.ended('a', start.run, BAD, 401, 401).filter(({ kind }) => kind === 'opinion')).toEqual([]);
  });
});
