// Owns saying, in the list of tests, which capability of the host tests wait for that cannot run. Packages are none: set-up
// installs them.
import { describe } from 'vitest';

/** `missing`: in words; undefined where nothing is. */
export function describeUnlessMissing(name: string, missing: string | undefined, tests: () => void): void {
  if (missing === undefined) describe(name, tests);
  else describe.skip(`${name} (this host lacks ${missing})`, tests);
}
