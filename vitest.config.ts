// One project per test group; `scripts/test GROUP` selects by these names.
import { defineConfig } from 'vitest/config';

const group = (name: string, options: Record<string, unknown> = {}) => ({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    pool: 'forks' as const,
    execArgv: ['--conditions=source', '--expose-gc'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    ...options,
  },
});

// Groups that load programs, raise namespaces or measure memory run one file at a time: the host has few cores.
const alone = { fileParallelism: false };

export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      group('unit'),
      group('bpf', alone),
      group('native', alone),
      group('sim', alone),
      group('lab', { ...alone, testTimeout: 120_000 }),
      group('interop', { ...alone, testTimeout: 300_000 }),
      group('fuzz', { ...alone, testTimeout: 600_000 }),
    ],
  },
});
