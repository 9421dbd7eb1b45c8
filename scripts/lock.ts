// Rewrites package-lock.json so that `npm ci` accepts it: optional platform packages that the registry did not
// serve are left without an entry by `npm install`, and `npm ci` then calls the lock file out of step. Run it after
// every change of a dependency.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

type LockFile = { packages: Record<string, { optionalDependencies?: Record<string, string> }> };

rmSync('node_modules', { recursive: true, force: true });
rmSync('package-lock.json', { force: true });
execFileSync('npm', ['install'], { stdio: 'inherit' });

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as LockFile;
const locked = new Set(Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, '')));
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === '' || entry.optionalDependencies === undefined) continue;
  const kept = Object.entries(entry.optionalDependencies).filter(([name]) => locked.has(name));
  if (kept.length > 0) entry.optionalDependencies = Object.fromEntries(kept);
  else delete entry.optionalDependencies;
}
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
