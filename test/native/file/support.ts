// File systems of their own for tests: small, and such as can be frozen, filled, or made read-only.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const run = (command: string, ...args: string[]): void => {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 30_000 });
};

export class OwnStorage {
  readonly path: string;
  readonly #directory: string;
  #frozen = false;

  /** ext4 in a file, a fifth of it reserved for root. */
  constructor(sizeBytes = 16 * 1024 * 1024) {
    this.#directory = mkdtempSync(join(tmpdir(), 'hf-storage-'));
    this.path = join(this.#directory, 'mount');
    const image = join(this.#directory, 'image');
    mkdirSync(this.path);
    run('truncate', '-s', String(sizeBytes), image);
    run('mkfs.ext4', '-q', '-F', '-m', '20', image);
    run('mount', '-o', 'loop', image, this.path);
    chmodSync(this.path, 0o777);
  }

  /** From now on calls that change it hang, until `thaw`. */
  freeze(): void {
    run('fsfreeze', '--freeze', this.path);
    this.#frozen = true;
  }

  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    run('fsfreeze', '--unfreeze', this.path);
  }

  remount(option: 'ro' | 'rw'): void {
    run('mount', '-o', `remount,${option}`, this.path);
  }

  /** Another file system, in a directory of this one. */
  mountInside(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path);
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', path);
    return path;
  }

  remove(): void {
    this.thaw();
    run('umount', '--recursive', this.path);
    rmSync(this.#directory, { recursive: true });
  }
}

export type ThreadState = {
  readonly name: string;
  /** Real, effective, saved and of the file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly effective: bigint;
  readonly permitted: bigint;
};

/** Every thread of this process, as the kernel sees it. */
export function threads(): ThreadState[] {
  return readdirSync('/proc/self/task').flatMap((id) => {
    let status: string;
    try {
      status = readFileSync(`/proc/self/task/${id}/status`, 'utf8');
    } catch {
      return []; // it has just ended
    }
    const field = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
    const numbers = (name: string): number[] => (field(name).match(/\d+/g) ?? []).map(Number);
    return [
      {
        name: field('Name'),
        uids: numbers('Uid'),
        gids: numbers('Gid'),
        groups: numbers('Groups'),
        effective: BigInt(`0x${field('CapEff')}`),
        permitted: BigInt(`0x${field('CapPrm')}`),
      },
    ];
  });
}

export const workers = (): ThreadState[] => threads().filter((thread) => thread.name === 'file-worker');

/** Waits for what other threads do; fails after a time that no working machine needs. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  for (const end = performance.now() + timeoutMs; !condition(); ) {
    if (performance.now() > end) throw new Error(`${what} did not come in ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
