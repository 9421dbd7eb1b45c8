// Owns a hint at where two texts differ: enough to see which type changed, not a whole diff.

const LINES_MAX = 10;

/** The lines between the first and the last difference, `-` of `before` and `+` of `after`; undefined if equal. */
export function firstDifference(before: string, after: string): string | undefined {
  if (before === after) return undefined;
  const old = before.split('\n');
  const now = after.split('\n');
  let same = 0;
  while (same < old.length && same < now.length && old[same] === now[same]) same++;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - same && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const removed = shorten(old.slice(same, old.length - tail));
  const added = shorten(now.slice(same, now.length - tail));
  return [
    `line ${same + 1}:`,
    ...removed.map((line) => `- ${line}`),
    ...added.map((line) => `+ ${line}`),
  ].join('\n');
}

function shorten(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines];
  return [...lines.slice(0, LINES_MAX), `(${lines.length - LINES_MAX} more)`];
}
