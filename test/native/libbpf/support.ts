// What the tests of this folder share: BPF programs compiled on demand, a private BPF file system, network
// namespaces of their own, and child processes for what may crash.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';

const HERE = import.meta.dirname;
const OUT = join(HERE, 'out');
const MULTIARCH = arch() === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';

/** The path of bpf/NAME.bpf.c, compiled. */
export function compiled(name: string): string {
  const source = join(HERE, 'bpf', `${name}.bpf.c`);
  const target = join(OUT, `${name}.bpf.o`);
  if (!existsSync(target) || statSync(target).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(OUT, { recursive: true });
    const flags = [
      '-O2',
      '-g',
      '-Wall',
      '-Werror',
      '-target',
      'bpf',
      '-mcpu=v3',
      `-I/usr/include/${MULTIARCH}`,
    ];
    execFileSync('clang', [...flags, '-c', source, '-o', target], { stdio: 'inherit' });
  }
  return target;
}

export function outFolder(): string {
  mkdirSync(OUT, { recursive: true });
  return OUT;
}

// What is left when a test fails or the process is told to end.
const cleanups = new Set<() => void>();
process.on('exit', () => {
  for (const cleanup of cleanups) cleanup();
});

function atEnd(cleanup: () => void): () => void {
  const once = (): void => {
    if (cleanups.delete(once)) cleanup();
  };
  cleanups.add(once);
  return once;
}

/** A BPF file system in a folder of its own. */
export function mountBpffs(): { path: string; unmount: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'libbpf-ts-bpffs-'));
  execFileSync('mount', ['-t', 'bpf', 'bpf', path]);
  const unmount = atEnd(() => {
    spawnSync('umount', ['-l', path]);
    rmdirSync(path);
  });
  return { path, unmount };
}

let namespaces = 0;

/** A network namespace with one end of a veth pair; the other end is in a second namespace. */
export interface Pair {
  readonly near: string;
  readonly far: string;
  /** Path for setns. */
  readonly nearPath: string;
  readonly farPath: string;
  readonly nearDevice: string;
  readonly farDevice: string;
  run(namespace: string, ...command: string[]): string;
  remove(): void;
}

export function makePair(): Pair {
  const id = `hf-test-${process.pid}-${namespaces++}`;
  const near = `${id}-a`;
  const far = `${id}-b`;
  const remove = atEnd(() => {
    for (const name of [near, far]) spawnSync('ip', ['netns', 'del', name]);
  });
  const run = (namespace: string, ...command: string[]): string =>
    execFileSync('ip', ['netns', 'exec', namespace, ...command], { encoding: 'utf8' });
  for (const name of [near, far]) execFileSync('ip', ['netns', 'add', name]);
  execFileSync('ip', ['-n', near, 'link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb', 'netns', far]);
  const ends = [
    [near, 'va', '198.18.77.1/24'],
    [far, 'vb', '198.18.77.2/24'],
  ] as const;
  for (const [name, device, address] of ends) {
    execFileSync('ip', ['-n', name, 'address', 'add', address, 'dev', device]);
    execFileSync('ip', ['-n', name, 'link', 'set', device, 'up']);
  }
  const path = (name: string): string => `/var/run/netns/${name}`;
  return {
    near,
    far,
    nearPath: path(near),
    farPath: path(far),
    nearDevice: 'va',
    farDevice: 'vb',
    run,
    remove,
  };
}

export interface ChildResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script of this folder in a process of its own, so that a crash is seen as a signal. */
export function runChild(script: string, args: readonly string[] = [], timeoutMs = 60_000): ChildResult {
  const result = spawnSync(
    process.execPath,
    ['--conditions=source', '--expose-gc', join(HERE, script), ...args],
    { encoding: 'utf8', timeout: timeoutMs, env: { ...process.env, NODE_OPTIONS: '' } },
  );
  return { status: result.status, signal: result.signal, stdout: result.stdout, stderr: result.stderr };
}

export function countFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Collects what can be collected; finalizers run in the loop's next turns. */
export async function collect(): Promise<void> {
  for (let round = 0; round < 4; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Little- or big-endian, as the host: 32-bit words as bytes. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
