import { describe, expect, it } from 'vitest';
import { GracePeriods } from '../../../control/dataplane/grace.ts';

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
