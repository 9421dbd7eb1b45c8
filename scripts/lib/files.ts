// Owns the list of files that people write. Walks the tree instead of asking git, which refuses to work in a clone
// that another user owns, as in many CI containers.
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

const MADE = new Set(['.git', 'node_modules', 'out', 'build', 'dist', 'coverage', 'generated']);

/** Paths relative to `root`, sorted, that `wanted` matches. */
export function sourceFiles(wanted: RegExp, root = ROOT): string[] {
  const found: string[] = [];
  const visit = (directory: string): void => {
    for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory() && !MADE.has(entry.name)) visit(path);
      else if (entry.isFile() && wanted.test(path)) found.push(path);
    }
  };
  visit('');
  return found.sort();
}
