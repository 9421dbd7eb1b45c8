import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const UNITS = join(ROOT, 'scripts/systemd');
const names = readdirSync(UNITS);
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

/** Where an installation links it to, in the tree. */
const inTree = (text: string) => text.replaceAll('/usr/local/bin/', join(ROOT, 'scripts/bin/'));
const settingsOf = (name: string) =>
  new Map(
    readFileSync(join(UNITS, name), 'utf8')
      .split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

describe('the units of systemd', () => {
  it('are a daemon and a supervisor that is bound to nothing', () => {
    expect(names.sort()).toEqual(['holdfast-supervisor.service', 'holdfastd.service']);
    const text = readFileSync(join(UNITS, 'holdfast-supervisor.service'), 'utf8');
    expect(text).not.toMatch(/^(BindsTo|PartOf|Requires|Requisite)=/m);
  });

  it.each(names)('%s starts again for ever, is watched, and keeps what it leaves in /run', (name) => {
    const settings = settingsOf(name);
    expect(settings.get('Type')).toBe('notify');
    expect(settings.get('Restart')).toBe('always');
    expect(settings.get('StartLimitIntervalSec')).toBe('0');
    expect(settings.get('WatchdogSec')).toMatch(/^\d+s$/);
    expect(settings.get('RuntimeDirectory')).toContain('holdfast-routes');
    expect(settings.get('RuntimeDirectoryPreserve')).toBe('yes');
    accessSync(inTree(settings.get('ExecStart')!), constants.X_OK);
  });

  it.runIf(hasSystemd).each(names)('%s has no mistake that systemd finds', (name) => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-units-'));
    try {
      for (const each of names)
        writeFileSync(join(directory, each), inTree(readFileSync(join(UNITS, each), 'utf8')));
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(directory, name)], {
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
