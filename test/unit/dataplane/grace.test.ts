import { describe, expect, it, vi } from 'vitest';
import { GracePeriods, Periods } from '../../../control/dataplane/grace.ts';

function build() {
  const ends: (() => void)[] = [];
  const fails: (() => void)[] = [];
  const grace = new GracePeriods(
    () =>
      new Promise<void>((resolve, reject) => {
        ends.push(resolve);
        fails.push(() => reject(new Error('refused')));
      }),
  );
  return { ends, fails, grace };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('grace periods', () => {
  it('are shared by all who wait at the same time, and begin after each of them', async () => {
    const { ends, grace } = build();
    const first = grace.wait();
    const mark = grace.mark();
    const others = [grace.wait(), grace.wait(), grace.wait()];
    expect(ends).toHaveLength(1);
    ends[0]!();
    await first;
    await turn();
    expect(grace.passed(mark), 'the first one had begun before').toBe(false);
    expect(ends).toHaveLength(2);
    ends[1]!();
    await Promise.all(others);
    expect(grace.passed(mark)).toBe(true);
    expect(grace.passed(grace.mark())).toBe(false);
    expect(ends).toHaveLength(2);
  });

  it('that fail are told to those who wait for them, and the next one is begun', async () => {
    const { ends, fails, grace } = build();
    const mark = grace.mark();
    const first = grace.wait();
    const second = grace.wait();
    fails[0]!();
    await expect(first).rejects.toThrow('refused');
    await turn();
    expect(grace.passed(mark)).toBe(false);
    ends[1]!();
    await second;
    expect(grace.passed(mark)).toBe(true);
  });
});

describe('a period of the kernel', () => {
  function twoProofs() {
    const round = Promise.withResolvers<void>();
    const membarrier = Promise.withResolvers<void>();
    // Some tests let a proof fail before anybody waits for it.
    for (const { promise } of [round, membarrier]) promise.catch(() => undefined);
    const asked: string[] = [];
    const ask = (name: string, proof: Promise<void>) => () => {
      asked.push(name);
      return proof;
    };
    const periods = new Periods(ask('round', round.promise), ask('membarrier', membarrier.promise));
    return { round, membarrier, asked, periods };
  }

  it('has passed after a round of the CPUs, and the kernel is not asked', async () => {
    const { round, asked, periods } = twoProofs();
    round.resolve();
    await periods.pass();
    expect(asked).toEqual(['round']);
  });

  it("is the kernel's where a round is not possible", async () => {
    const { round, membarrier, asked, periods } = twoProofs();
    round.reject(new Error('a cpuset'));
    let isOver = false;
    const pass = periods.pass().then(() => {
      isOver = true;
    });
    await turn();
    await turn();
    expect({ asked, isOver }).toEqual({ asked: ['round', 'membarrier'], isOver: false });
    membarrier.resolve();
    await pass;
  });

  it("is the kernel's where somebody keeps a CPU, and no second round waits there", async () => {
    const { membarrier, asked, periods } = twoProofs();
    membarrier.resolve();
    await periods.pass();
    await periods.pass();
    expect(asked).toEqual(['round', 'membarrier', 'membarrier']);
  });

  it('has passed after a late round, too, where the kernel refuses', async () => {
    const { round, membarrier, asked, periods } = twoProofs();
    membarrier.reject(new Error('nohz_full'));
    const pass = periods.pass();
    await vi.waitUntil(() => asked.length === 2);
    round.resolve();
    await pass;
  });

  it('fails with what the kernel says where there is neither', async () => {
    const { round, membarrier, periods } = twoProofs();
    round.reject(new Error('a cpuset'));
    membarrier.reject(new Error('nohz_full'));
    await expect(periods.pass()).rejects.toThrow('nohz_full');
  });

  it("is the kernel's alone where rounds prove nothing", async () => {
    const asked: string[] = [];
    await new Periods(undefined, async () => void asked.push('membarrier')).pass();
    expect(asked).toEqual(['membarrier']);
  });
});
