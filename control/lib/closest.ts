// Owns guessing what somebody meant who misspelt a word.

/** Longer words are no typing mistakes of ours. */
const LENGTH_MAX = 64;
/** Letters that may be wrong, missing or too many: one in three. */
const LETTERS_PER_MISTAKE = 3;

/** The candidate with the fewest differences, where it is close enough to be meant. */
export function closestOf(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > LENGTH_MAX) return undefined;
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    if (candidate.length > LENGTH_MAX) continue;
    const distance = distanceOf(word.toLowerCase(), candidate.toLowerCase());
    if (distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { candidate, distance };
  }
  const tolerance = Math.max(1, Math.floor(word.length / LETTERS_PER_MISTAKE));
  return best !== undefined && best.distance <= tolerance ? best.candidate : undefined;
}

/** Letters too many, missing, wrong, or exchanged with their neighbour (optimal string alignment). */
function distanceOf(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = last[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let least = Math.min(replaced, last[column]! + 1, current[column - 1]! + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, beforeLast[column - 2]! + 1);
      }
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length]!;
}
