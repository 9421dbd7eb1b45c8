// The small rules about files: their length, and that every test is run by somebody.
import { describe, expect, it } from 'vitest';
import { LINES_MAX, longFiles, tooLong } from '../../../scripts/lib/long_files.ts';
import { strayTests } from '../../../scripts/lib/stray_tests.ts';

describe('the length of a file', () => {
  const lines = (count: number) => 'x;\n'.repeat(count);

  it('is limited in this tree', () => {
    expect(longFiles()).toEqual([]);
  });

  it('may exceed the limit only where the file says why at its top', () => {
    expect(tooLong(lines(LINES_MAX))).toBe(false);
    expect(tooLong(lines(LINES_MAX + 1))).toBe(true);
    expect(tooLong(`// The table of RFC 1813; one file because it is one table.\n${lines(LINES_MAX)}`)).toBe(
      false,
    );
    expect(tooLong(`/*\n * One file because the verifier sees one function.\n */\n${lines(LINES_MAX)}`)).toBe(
      false,
    );
    expect(tooLong(`${lines(LINES_MAX)}// one file because\n`)).toBe(true);
  });
});

describe('stray tests', () => {
  it('are those that no group runs', () => {
    const run = ['test/unit/a.test.ts', 'test/native/linux/b.test.ts', 'test/lab/c.test.ts'];
    const stray = [
      'test/contract/d.test.ts',
      'control/pool/e.test.ts',
      'test/unit/f.spec.ts',
      'test/unit/g.test.js',
    ];
    expect(strayTests([...run, ...stray])).toEqual(stray);
  });
});
