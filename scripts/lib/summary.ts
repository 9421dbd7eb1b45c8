// Owns the end of scripts/test: what failed outside of a test, what was skipped, and the last line, from the results
// that vitest wrote as JSON. A run in which no test ran is a failure, however content vitest was.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';

const SKIPS_SHOWN_MAX = 50;

export interface Results {
  readonly testResults: readonly FileResult[];
}

interface FileResult {
  readonly name: string;
  readonly status: string;
  readonly message?: string;
  readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
}

export interface Summary {
  readonly lines: readonly string[];
  readonly failed: boolean;
}

/** `otherFailures` names what failed beside the tests; `status` is vitest's own. */
export function summarize(results: Results | undefined, status: number, otherFailures: string[]): Summary {
  const failures = [...otherFailures];
  const skips: string[] = [];
  let passed = 0;
  let failedTests = 0;
  for (const file of results?.testResults ?? []) {
    const path = relative(process.cwd(), file.name);
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failedTests++;
      else skips.push(`${path}: ${test.fullName}`);
    }
    // A file that cannot be loaded, or whose hook threw, has no failed test to count.
    const countedFailure = file.assertionResults.some((test) => test.status === 'failed');
    if (file.status === 'failed' && !countedFailure) failures.push(`${path}: ${firstLine(file.message)}`);
  }
  if (results === undefined) failures.push('vitest ended without writing its results');
  else if (passed + failedTests === 0) failures.push('no test ran');
  if (status !== 0 && failedTests + failures.length === 0) {
    failures.push(`vitest exited with ${status}: an error outside of any test, shown above`);
  }

  const failed = failedTests + failures.length;
  const counts = [`${passed} passed`, `${failed} failed`];
  if (skips.length > 0) counts.push(`${skips.length} skipped`);
  const hidden = skips.length - SKIPS_SHOWN_MAX;
  return {
    failed: failed > 0,
    lines: [
      ...skips.slice(0, SKIPS_SHOWN_MAX).map((skip) => `skipped: ${skip}`),
      ...(hidden > 0 ? [`skipped: ${hidden} more`] : []),
      ...failures.map((failure) => `failed: ${failure}`),
      counts.join(', '),
    ],
  };
}

function firstLine(text: string | undefined): string {
  return text?.split('\n')[0] || 'failed outside of its tests';
}

function readResults(path: string): Results | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Results;
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      results: { type: 'string', default: '' },
      status: { type: 'string', default: '0' },
      seconds: { type: 'string', default: '0' },
      failed: { type: 'string', multiple: true, default: [] },
    },
  });
  const { lines, failed } = summarize(readResults(values.results), Number(values.status), values.failed);
  console.log([...lines.slice(0, -1), `${values.seconds} s in all`, lines.at(-1)].join('\n'));
  process.exitCode = failed ? 1 : 0;
}
