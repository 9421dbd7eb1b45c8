// Time as the program tells it, by the kernel's own clocks: what headers say of it.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { askHeaderCodec, Limit } from '../../control/dataplane/generated/layout.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { MUX_OPTIONS } from './lib/state.ts';

/** The longest jiffy is 10 ms; and test runs may wait for a CPU between two readings. */
const AGE_MAX_MS = 50;

let mux: MuxProgram;
beforeEach(() => {
  mux = MuxProgram.load(MUX_OPTIONS);
});
afterEach(() => mux.close());

/** By how much the time of a header lies behind CLOCK_MONOTONIC. */
function ageMs(): number {
  const header = mux.flows.composeProbe({ number: 1 });
  const nowTicks = process.hrtime.bigint() >> BigInt(Limit.LIMIT_TICK_SHIFT);
  const { time } = askHeaderCodec.read(new DataView(header.buffer), 0);
  return (Number(BigInt.asIntN(32, nowTicks - BigInt(time))) * 2 ** Limit.LIMIT_TICK_SHIFT) / 1e6;
}

it("is the host's, read from its clock at first and then from its jiffies", async () => {
  for (const source of ['clock', 'jiffies']) {
    const age = ageMs();
    expect(age, source).toBeGreaterThan(-11);
    expect(age, source).toBeLessThan(AGE_MAX_MS);
    await mux.clock.ready();
  }
  expect(new BigUint64Array(mux.mapClock().buffer, 0, 3)[2]).toBeGreaterThanOrEqual(1_000_000n);
});
