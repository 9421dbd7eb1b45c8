// What BIRD itself makes of the examples, and of what it is given to include. Debian's bird2 is part of the set-up.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { routesSchema } from '../../../control/config/routes.ts';
import { composeInclude } from '../../../control/route/bird/include_codec.ts';
import { RoutesDirectory } from '../../../control/route/routes_directory.ts';

const BIRD = '/usr/sbin/bird';
const ADDRESSES = ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
const example = (name: string) =>
  readFileSync(new URL(`../../../control/config/${name}`, import.meta.url), 'utf8');

let directory: string;
let routes: RoutesDirectory;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-bird-'));
  routes = new RoutesDirectory(join(directory, 'routes'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What BIRD complains of. */
function complaint(configuration: string): string {
  const path = join(directory, 'bird.conf');
  writeFileSync(path, configuration);
  const { error, status, stderr } = spawnSync(BIRD, ['-p', '-c', path], { encoding: 'utf8' });
  if (error !== undefined) throw new Error('BIRD is missing: install bird2', { cause: error });
  return status === 0 ? '' : stderr;
}

/** With the directory of this test for the default one. */
function ofMux(): string {
  const { directory: byDefault } = routesSchema.parse({});
  const pattern = new RoutesDirectory(byDefault).includePattern;
  expect(example('bird.example.conf')).toContain(`include "${pattern}";`);
  return example('bird.example.conf').replace(pattern, routes.includePattern);
}

describe('BIRD', () => {
  it('takes the example of a mux before holdfastd has ever run, and of a router', () => {
    expect(complaint(ofMux())).toBe('');
    expect(complaint(example('router.example.conf'))).toBe('');
  });

  it.each(['normal', 'lastResort', 'withdrawn'] as const)(
    'takes what is included where the announcement is %s',
    async (level) => {
      mkdirSync(join(directory, 'routes'));
      const addresses = level === 'withdrawn' ? [] : ADDRESSES;
      await routes.writeInclude(composeInclude({ level, addresses }, ['64512:100', '1:2']));
      expect(complaint(ofMux())).toBe('');
      // It is read, and not merely not found.
      await routes.writeInclude(`${composeInclude({ level, addresses }, [])}garbage`);
      expect(complaint(ofMux())).toContain('syntax error');
    },
  );
});
