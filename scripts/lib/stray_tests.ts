// Owns the check that every test belongs to a group: vitest.config.ts looks nowhere else, and a test that nobody runs
// never fails.
import { sourceFiles } from './files.ts';

const RUN = /^test\/(?:unit|bpf|native|sim|lab|interop|fuzz)\/.*\.test\.ts$/;

export function strayTests(paths: readonly string[]): string[] {
  return paths.filter((path) => !RUN.test(path));
}

if (import.meta.main) {
  const found = strayTests(sourceFiles(/\.(?:test|spec)\.[jt]sx?$/));
  for (const path of found) console.error(`${path} is run by no group: name it test/GROUP/NAME.test.ts`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
