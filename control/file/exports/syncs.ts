// Owns what is to be known of data that goes to stable storage: when it may be lost, and who must not be told otherwise.
//
// The kernel reports a failed write-back of a file to one of those who wait for it, and all here share its descriptor: of
// two that sync one file, the other is told of success though its data is gone. So whoever has synced a file waits for
// those who were doing the same, and looks whether anything was lost meanwhile.
import type { Answer, Changed, FileHandle, FileSystem } from '../filesystem/port.ts';
import type { WriteVerifiers } from './write_verifiers.ts';

/** Errors that say that data may not have come to the storage, or that nobody knows. */
const LOSSES: ReadonlySet<string> = new Set([
  'EIO',
  'ENOSPC',
  'EDQUOT',
  'EBUSYNOW',
  'ESHUTDOWN',
  'EUCLEAN',
  'EREMOTEIO',
]);

export class Syncs {
  readonly #verifiers: WriteVerifiers;
  readonly #pending = new Map<FileSystem, Map<string, Set<Promise<unknown>>>>();

  constructor(verifiers: WriteVerifiers) {
    this.#verifiers = verifiers;
  }

  /** Runs what syncs a file. `isLost`: since it began, data of the storage may have been lost. */
  async run<T extends Changed>(
    fs: FileSystem,
    file: FileHandle,
    sync: () => Answer<T>,
  ): Promise<{ readonly answer: T; readonly isLost: boolean }> {
    const verifier = this.#verifiers.of(fs);
    const others = this.#of(fs, file);
    const own = this.#watched(fs, sync());
    others.add(own);
    let answer: T;
    try {
      answer = await own;
    } finally {
      others.delete(own);
      if (others.size === 0) this.#forget(fs, file);
    }
    if (others.size > 0) await Promise.all(others);
    return { answer, isLost: this.#verifiers.of(fs) !== verifier };
  }

  async #watched<T extends Changed>(fs: FileSystem, sync: Answer<T>): Promise<T> {
    const answer = await sync;
    if (!answer.ok && LOSSES.has(answer.errno)) this.#verifiers.lost(fs);
    return answer;
  }

  #of(fs: FileSystem, file: FileHandle): Set<Promise<unknown>> {
    let files = this.#pending.get(fs);
    if (files === undefined) {
      files = new Map();
      this.#pending.set(fs, files);
    }
    const key = keyOf(file);
    let pending = files.get(key);
    if (pending === undefined) {
      pending = new Set();
      files.set(key, pending);
    }
    return pending;
  }

  #forget(fs: FileSystem, file: FileHandle): void {
    const files = this.#pending.get(fs);
    files?.delete(keyOf(file));
    if (files?.size === 0) this.#pending.delete(fs);
  }
}

function keyOf(file: FileHandle): string {
  return String.fromCharCode(...file);
}
