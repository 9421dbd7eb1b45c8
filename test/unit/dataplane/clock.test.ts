import { describe, expect, it } from 'vitest';
import { type ClockSample, DataplaneClock, Deadline, rateOf } from '../../../control/dataplane/clock.ts';
import { clockRecordCodec, muxSelfCodec } from '../../../control/dataplane/generated/layout.ts';
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

describe('the program is told how to tell the time by jiffies', () => {
  /** After a second in which jiffies went on by `jiffies`. */
  async function taught(
    jiffies: bigint,
    before: { jiffyNs?: bigint; offsetNs?: bigint; isDriven?: boolean } = {},
  ) {
    const record = new ArrayBuffer(clockRecordCodec.sizeBytes);
    const view = new DataView(record);
    const { jiffyNs = 0n, offsetNs = 0n } = before;
    const written = { driven_ns: 0n, jiffies_offset_ns: offsetNs, jiffy_ns: jiffyNs };
    clockRecordCodec.write(view, 0, written);
    const sample = { ns: 5_000n * MS, jiffies: 4_294_937_296n };
    const clock = new DataplaneClock(() => ({ ...sample }), before.isDriven ?? false, record);
    sample.ns += 1_000n * MS;
    sample.jiffies += jiffies;
    await clock.ready();
    const { jiffies_offset_ns, jiffy_ns } = clockRecordCodec.read(view, 0);
    return { jiffy_ns, now: BigInt.asUintN(64, sample.jiffies * jiffy_ns + jiffies_offset_ns), sample };
  }

  it.each([
    [100, 10_000_000n],
    [250, 4_000_000n],
    [300, 3_333_333n],
    [1000, 1_000_000n],
  ])('at %i a second', async (rate, jiffyNs) => {
    const { jiffy_ns, now, sample } = await taught(BigInt(rate));
    expect({ jiffy_ns, now }).toEqual({ jiffy_ns: jiffyNs, now: sample.ns });
  });

  it('but not again while it is right, nor at a rate that no kernel has, nor of driven time', async () => {
    const offsetNs = BigInt.asUintN(64, 6_000n * MS - 4_294_937_546n * 4n * MS);
    const right = await taught(250n, { jiffyNs: 4n * MS, offsetNs: offsetNs + 7n * MS });
    expect(right.now).toBe(6_007n * MS);
    const wrong = await taught(250n, { jiffyNs: 4n * MS, offsetNs: offsetNs + 9n * MS });
    expect(wrong.now).toBe(6_000n * MS);
    expect((await taught(512n)).jiffy_ns).toBe(0n);
    expect((await taught(250n, { isDriven: true })).jiffy_ns).toBe(0n);
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
