// Network namespaces of one test file: named after the process, removed at its end however it ends.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export class Lab {
  readonly #names: string[] = [];
  readonly #onExit = (): void => this.remove();

  constructor() {
    removeOrphans();
    process.on('exit', this.#onExit);
  }

  /** A fresh namespace with loopback up; its path. */
  netns(label: string): string {
    const name = `hf-test-${process.pid}-${label}`;
    run('ip', 'netns', 'add', name);
    this.#names.push(name);
    this.ip(`/run/netns/${name}`, 'link set lo up');
    return `/run/netns/${name}`;
  }

  /** `ip` inside a namespace. */
  ip(path: string, command: string): string {
    return run('ip', '-n', path.replace('/run/netns/', ''), ...command.split(' '));
  }

  ipJson(path: string, command: string): Record<string, unknown>[] {
    const text = run('ip', '-n', path.replace('/run/netns/', ''), '-j', '-d', ...command.split(' '));
    return text.trim() === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
  }

  remove(): void {
    process.off('exit', this.#onExit);
    for (const name of this.#names.splice(0)) {
      try {
        run('ip', 'netns', 'del', name);
      } catch (error) {
        console.error(`namespace ${name} is left behind`, error);
      }
    }
  }
}

// A test process that was killed removed nothing.
function removeOrphans(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = /^hf-test-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) run('ip', 'netns', 'del', name);
  }
}

export async function eventually<T>(read: () => T | undefined, what: string, limitMs = 5_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = read();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
