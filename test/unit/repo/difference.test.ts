import { describe, expect, it } from 'vitest';
import { firstDifference } from '../../../scripts/lib/difference.ts';

describe('a hint at a difference', () => {
  it('is absent for equal texts', () => {
    expect(firstDifference('a\nb\n', 'a\nb\n')).toBeUndefined();
  });

  it('shows what was removed and added, and the line', () => {
    expect(firstDifference('a\nb\nc\n', 'a\nB\nc\n')).toBe('line 2:\n- b\n+ B');
    expect(firstDifference('a\nc\n', 'a\nb\nc\n')).toBe('line 2:\n+ b');
    expect(firstDifference('a\na\n', 'a\n')).toBe('line 2:\n- a');
  });

  it('shows only the first of several changed lines', () => {
    expect(firstDifference('a\nb\nc\nd\n', 'a\nB\nc\nD\n')).toBe('line 2:\n- b\n+ B');
  });

  it('is short', () => {
    const many = `${'x\n'.repeat(100)}`;
    expect(firstDifference('', many)!.split('\n').length).toBeLessThan(14);
  });
});
