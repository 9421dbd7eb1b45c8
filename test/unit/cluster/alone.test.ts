import { describe, expect, it } from 'vitest';
import { Listening } from '../../../control/cluster/alone_core.ts';

/** What it says at the last of the ticks, one every 50 ms unless one is late. */
function alone(
  ticks: readonly { heardAgoMs?: number | undefined; isPast?: boolean; lateMs?: number }[],
): boolean {
  const listening = new Listening({ intervalMs: 50 });
  let nowMs = 0;
  let isAlone = false;
  for (const { heardAgoMs, isPast = true, lateMs = 0 } of ticks) {
    nowMs += 50 + lateMs;
    isAlone = listening.step({ isPastDeadline: isPast, heardAgoMs: [undefined, heardAgoMs] }, nowMs);
  }
  return isAlone;
}

const silence = (count: number) => Array.from({ length: count }, () => ({}));

describe('a mux past its deadline goes alone', () => {
  it('after a second of silence, listened to', () => {
    expect(alone(silence(21))).toBe(false);
    expect(alone(silence(22))).toBe(true);
  });

  it.each([
    ['a peer was heard lately', { heardAgoMs: 499 }],
    ['it is not past it', { isPast: false }],
    ['it slept in between', { lateMs: 60 }],
  ])('not where %s', (_, tick) => {
    expect(alone([...silence(30), tick])).toBe(false);
    expect(alone([...silence(30), tick, ...silence(20)])).toBe(false);
    expect(alone([...silence(30), tick, ...silence(21)])).toBe(true);
  });

  it('though a peer was heard long ago', () => {
    expect(alone([...silence(30), { heardAgoMs: 500 }])).toBe(true);
  });
});
