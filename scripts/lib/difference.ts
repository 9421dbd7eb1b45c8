// Owns a hint at where two texts differ: enough to see which type changed, not a whole diff.

const LINES_MAX = 10;

/** The first lines that differ, `-` of `before` and `+` of `after`; undefined if the texts are equal. */
export function firstDifference(before: string, after: string): string | undefined {
  if (before === after) return undefined;
  const old = before.split('\n');
  const now = after.split('\n');
  let first = 0;
  while (first < old.length && first < now.length && old[first] === now[first]) first++;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - first && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  let end = first;
  // Where as many lines went as came, the texts agree again after a changed line; otherwise only at their ends.
  if (old.length === now.length) while (old[end] !== now[end]) end++;
  else end = Infinity;
  const removed = shorten(old.slice(first, Math.min(end, old.length - tail)));
  const added = shorten(now.slice(first, Math.min(end, now.length - tail)));
  return [
    `line ${first + 1}:`,
    ...removed.map((line) => `- ${line}`),
    ...added.map((line) => `+ ${line}`),
  ].join('\n');
}

function shorten(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines];
  return [...lines.slice(0, LINES_MAX), `(${lines.length - LINES_MAX} more)`];
}
