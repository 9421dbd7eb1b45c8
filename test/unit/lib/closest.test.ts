// Guessing what somebody meant who misspelt a word.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closestOf } from '../../../control/lib/closest.ts';

const WORDS = ['status', 'stats', 'services', 'explain', 'export', 'rm'];

describe('the closest word', () => {
  it('has letters wrong, missing, too many, or exchanged', () => {
    const cases = {
      stetus: 'status',
      statuss: 'status',
      statsu: 'status',
      serices: 'services',
      SERVICES: 'services',
      exprot: 'export',
      r: 'rm',
    };
    for (const [typed, meant] of Object.entries(cases)) expect(closestOf(typed, WORDS), typed).toBe(meant);
  });

  it('is none where too much is wrong, or nothing is known', () => {
    for (const typed of ['frobnicate', 'xyz', 'remove', 'x'.repeat(100)]) {
      expect(closestOf(typed, WORDS), typed).toBeUndefined();
    }
    expect(closestOf('status', [])).toBeUndefined();
  });

  it('of a word that is known is that word', () => {
    const words = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1 });
    fc.assert(
      fc.property(words, fc.nat(), (known, at) => {
        const word = known[at % known.length]!;
        expect(closestOf(word, known)).toBe(word);
      }),
    );
  });

  it('is found through one mistake in three letters, whichever it is', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{3,12}$/), fc.nat(), fc.nat(3), (word, place, kind) => {
        const at = place % (word.length - 1);
        const [before, here, after] = [word.slice(0, at), word.slice(at, at + 1), word.slice(at + 1)];
        const typed = [
          `${before}${after}`,
          `${before}-${after}`,
          `${before}${here}-${after}`,
          `${before}${after[0]}${here}${after.slice(1)}`,
        ][kind]!;
        expect(closestOf(typed, [word, '0123456789'])).toBe(word);
      }),
    );
  });
});
