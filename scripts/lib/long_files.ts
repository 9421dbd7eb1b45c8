// Owns the limit on the length of a file. A longer one says why in the comment at its top, with the words "one file
// because": somebody then thought about it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, sourceFiles } from './files.ts';

export const LINES_MAX = 600;

/** How far down the reason may stand: at the top, not in the middle. */
const TOP_LINES = 30;

const SOURCES = /\.(?:ts|tsx|c|h|cc|sh|css|html)$|^scripts\/[a-z_-]+$/;
const REASON = /^\s*(?:\/\/|\/?\*|#|<!--).*\bone file because\b/im;

export function tooLong(text: string): boolean {
  const lines = text.split('\n');
  return lines.length - 1 > LINES_MAX && !REASON.test(lines.slice(0, TOP_LINES).join('\n'));
}

export function longFiles(root = ROOT): string[] {
  return sourceFiles(SOURCES, root).filter((path) => tooLong(readFileSync(join(root, path), 'utf8')));
}

if (import.meta.main) {
  const found = longFiles();
  for (const path of found) {
    console.error(
      `${path} is longer than ${LINES_MAX} lines: split it, or say in its first comment "one file because ..."`,
    );
  }
  process.exitCode = found.length === 0 ? 0 : 1;
}
