// The last lines of scripts/test: CI trusts nothing else.
import { describe, expect, it } from 'vitest';
import { type Results, summarize } from '../../../scripts/lib/summary.ts';

const file = (status: string, tests: [string, string][], message?: string): Results => ({
  testResults: [
    {
      name: `${process.cwd()}/test/unit/x.test.ts`,
      status,
      ...(message === undefined ? {} : { message }),
      assertionResults: tests.map(([fullName, testStatus]) => ({ fullName, status: testStatus })),
    },
  ],
});

const end = (results: Results | undefined, status: number, others: string[] = []) => {
  const summary = summarize(results, status, others);
  return { last: summary.lines.at(-1), failed: summary.failed, lines: summary.lines };
};

describe('the summary of scripts/test', () => {
  it('counts what passed and failed', () => {
    const results = file('failed', [
      ['a', 'passed'],
      ['b', 'failed'],
    ]);
    expect(end(results, 1)).toMatchObject({ last: '1 passed, 1 failed', failed: true });
    expect(end(file('passed', [['a', 'passed']]), 0)).toMatchObject({
      last: '1 passed, 0 failed',
      failed: false,
    });
  });

  it('names what was skipped', () => {
    const results = file('passed', [
      ['a', 'passed'],
      ['b', 'pending'],
      ['c', 'todo'],
    ]);
    const { last, lines, failed } = end(results, 0);
    expect(last).toBe('1 passed, 0 failed, 2 skipped');
    expect(lines).toContain('skipped: test/unit/x.test.ts: b');
    expect(failed).toBe(false);
  });

  it('fails when no test ran', () => {
    for (const results of [{ testResults: [] }, file('passed', [['a', 'skipped']])]) {
      const { last, failed, lines } = end(results, 0);
      expect(last).toMatch(/^0 passed, 1 failed/);
      expect(lines).toContain('failed: no test ran');
      expect(failed).toBe(true);
    }
  });

  it('counts a file that could not be loaded as a failure', () => {
    const { last, lines } = end(file('failed', [], 'Cannot find module\nat …'), 1);
    expect(last).toBe('0 passed, 2 failed');
    expect(lines).toContain('failed: test/unit/x.test.ts: Cannot find module');
  });

  it('fails when vitest failed although no test did', () => {
    expect(end(file('passed', [['a', 'passed']]), 1)).toMatchObject({
      last: '1 passed, 1 failed',
      failed: true,
    });
  });

  it('fails when there are no results, or when something beside the tests failed', () => {
    expect(end(undefined, 137).last).toBe('0 passed, 1 failed');
    expect(end(file('passed', [['a', 'passed']]), 0, ['scripts/check']).last).toBe('1 passed, 1 failed');
  });
});
