import { describe, expect, it } from 'vitest';
import { type ClockSample, DataplaneClock, Deadline, rateOf } from '../../../control/dataplane/clock.ts';
import { muxSelfCodec } from '../../../control/dataplane/generated/layout.ts';
import { SelfRecord } from '../../../control/dataplane/self.ts';

const MS = 1_000_000n;

describe('the rate of jiffies', () => {
  it.each([
    [100, 64n, 640n * MS],
    [100, 65n, 640n * MS],
    [250, 64n, 259n * MS],
    [250, 64n, 252n * MS],
    [300, 64n, 214n * MS],
    [1000, 64n, 65n * MS],
    [1000, 2000n, 2001n * MS],
  ])('is %i, one jiffy more or less', (rate, jiffies, ns) => {
    const from: ClockSample = { ns: 5_000_000_123n, jiffies: 4_294_937_296n };
    expect(rateOf(from, { ns: from.ns + ns, jiffies: from.jiffies + jiffies })).toBe(rate);
  });

  it('is less than it seems where no kernel has such a one', () => {
    const found = rateOf({ ns: 0n, jiffies: 0n }, { ns: 1000n * MS, jiffies: 512n });
    expect(found).toBeGreaterThan(480);
    expect(found).toBeLessThan(512);
  });
});

describe('a deadline', () => {
  function build(isDriven: boolean) {
    const sample = { ns: 1_000n * MS, jiffies: isDriven ? 1_000n : 500n };
    const self = new SelfRecord(new ArrayBuffer(muxSelfCodec.sizeBytes));
    const clock = new DataplaneClock(() => ({ ...sample }), isDriven);
    return { sample, self, clock, deadline: new Deadline(self, clock) };
  }

  it('is rounded down, whatever part of its jiffy the present has used up', async () => {
    const { sample, self, clock, deadline } = build(false);
    const ready = clock.ready();
    sample.ns += 1_000n * MS;
    sample.jiffies += 250n;
    await ready;
    expect(clock.jiffiesPerSecond).toBe(250);
    // It passes when jiffies are beyond it: at the end of jiffy 1249, not later than 3,999 ms after the sample.
    deadline.set(2_000 + 2_000);
    expect(self.deadline).toBe(750n + 500n - 1n);
    expect(deadline.hasPassed).toBe(false);
    sample.jiffies = self.deadline;
    expect(deadline.hasPassed).toBe(false);
    sample.jiffies++;
    expect(deadline.hasPassed).toBe(true);
  });

  it('that was there before the clock is ready is told, and not too late', () => {
    const { self, deadline } = build(false);
    self.deadline = 500n + 750n;
    expect(deadline.atMs).toBe(1_000 + 750);
    expect(deadline.hasPassed).toBe(false);
  });

  it('is for ever, has passed, or lies behind', () => {
    const { self, deadline } = build(true);
    deadline.set(undefined);
    expect(self.deadline).toBe(0xffff_ffff_ffff_ffffn);
    expect(deadline.atMs).toBeUndefined();
    expect(deadline.hasPassed).toBe(false);
    deadline.set(-1e12);
    expect(self.deadline).toBe(0n);
    deadline.set(2_000);
    expect(deadline.hasPassed).toBe(false);
    expect(deadline.atMs!).toBeLessThanOrEqual(2_000);
    expect(deadline.atMs!).toBeGreaterThan(1_997);
    deadline.pass();
    expect(deadline.hasPassed).toBe(true);
  });
});
