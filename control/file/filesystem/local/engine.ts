// Runs programs for the operations of a local file system: at once where the kernel answers from memory, else on a thread
// of the storage. It owns the callers that the storage knows, the programs under way and the patience with them. What the
// programs do is the operations' (operations/).
import { FileStorage, type Program } from '@holdfast/linux';
import type { Answer, Caller, Errno, FileSystemState } from '../port.ts';
import { GROUPS_MAX } from '../port.ts';
import { errnoName } from './attributes.ts';

export type EngineOptions = {
  /** Calls of the storage that may hang before nothing but cached reads is answered. Default 8. */
  readonly threads?: number;
  readonly descriptors?: number;
  readonly pendingMax?: number;
  /** An operation that takes longer is answered EBUSYNOW. Default 10,000. */
  readonly patienceMs?: number;
  /** Descriptors that nobody uses are closed. Default 30,000, and 2,000 for those that write. */
  readonly idleMs?: number;
  readonly writerIdleMs?: number;
};

/** Callers that the storage is told of at a time; the one that came first makes room. */
const CALLERS_MAX = 4096;
const TICK_MS = 1000;

type Known = { readonly key: string; number: number };
type Pending = { readonly sinceMs: number; giveUp: (() => void) | undefined };

/** An operation: what it writes into a program, and what it makes of the results. */
export type Work<T> = {
  readonly caller: Caller;
  readonly data?: Uint8Array;
  /** Try without a thread first. */
  readonly atOnce?: boolean;
  readonly write: (program: Program) => void;
  /** `errno` undefined: everything was done. */
  readonly read: (program: Program, errno: Errno | undefined) => T;
  /** It was not run, or nobody knows how far. */
  readonly refuse: (errno: Errno) => T;
};

/** For operations that need no rights. */
export const ROOT_CALLER: Caller = { uid: 0, gid: 0, groups: [] };

export class Engine {
  readonly storage: FileStorage;
  readonly #patienceMs: number;
  readonly #byCaller = new WeakMap<Caller, Known>();
  readonly #byKey = new Map<string, Known>();
  readonly #pending = new Set<Pending>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(path: string, options: EngineOptions) {
    this.storage = new FileStorage(path, {
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.descriptors === undefined ? {} : { descriptors: options.descriptors }),
      ...(options.pendingMax === undefined ? {} : { programs: options.pendingMax }),
    });
    this.#patienceMs = options.patienceMs ?? 10_000;
    const { idleMs = 30_000, writerIdleMs = 2000 } = options;
    const tick = Math.min(TICK_MS, this.#patienceMs);
    this.#timer = setInterval(() => {
      this.storage.expire(idleMs, writerIdleMs);
      this.#giveUp();
    }, tick).unref();
  }

  run<T>(work: Work<T>): Answer<T> {
    if (this.#closed) throw new Error('the file system is closed');
    const program = this.storage.take();
    if (program === undefined) return work.refuse('EBUSYNOW');
    let credentials: number;
    try {
      credentials = this.#credentialsOf(work.caller);
      work.write(program);
      if (
        work.atOnce === true &&
        this.storage.local &&
        this.storage.tryNow(program, credentials, work.data)
      ) {
        const answer = outcome(work, program);
        this.storage.release(program);
        return answer;
      }
    } catch (bug) {
      this.storage.release(program);
      throw bug;
    }
    return new Promise<T>((resolve) => {
      const pending: Pending = {
        sinceMs: performance.now(),
        giveUp: () => resolve(work.refuse('EBUSYNOW')),
      };
      this.#pending.add(pending);
      this.storage.submit(program, credentials, work.data, () => {
        this.#pending.delete(pending);
        const answer = outcome(work, program);
        this.storage.release(program);
        if (pending.giveUp !== undefined) resolve(answer);
      });
    });
  }

  state(): FileSystemState {
    // The first is the oldest.
    const [oldest] = this.#pending;
    return {
      pending: this.#pending.size,
      oldestMs: oldest === undefined ? 0 : performance.now() - oldest.sinceMs,
      pendingMax: this.storage.programs,
      descriptors: this.storage.state().descriptors,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.storage.close();
    // Those that no thread had taken.
    for (const pending of this.#pending) pending.giveUp?.();
    this.#pending.clear();
  }

  #giveUp(): void {
    const patient = performance.now() - this.#patienceMs;
    for (const pending of this.#pending) {
      if (pending.sinceMs > patient) return;
      pending.giveUp?.();
      pending.giveUp = undefined;
    }
  }

  /** The object is looked at first: a caller comes again and again. */
  #credentialsOf(caller: Caller): number {
    const known = this.#byCaller.get(caller);
    if (known !== undefined && known.number !== 0) return known.number;
    if (caller.groups.length > GROUPS_MAX) throw new RangeError(`a caller has at most ${GROUPS_MAX} groups`);
    const key = `${caller.uid}:${caller.gid}:${caller.groups.join()}`;
    const same = this.#byKey.get(key) ?? this.#introduce(caller, key);
    this.#byCaller.set(caller, same);
    return same.number;
  }

  #introduce(caller: Caller, key: string): Known {
    if (this.#byKey.size === CALLERS_MAX) {
      const [oldest] = this.#byKey.values();
      this.#byKey.delete(oldest!.key);
      this.storage.removeCredentials(oldest!.number);
      // Whoever still holds it is introduced anew.
      oldest!.number = 0;
    }
    const known = { key, number: this.storage.addCredentials(caller.uid, caller.gid, caller.groups) };
    this.#byKey.set(key, known);
    return known;
  }
}

function outcome<T>(work: Work<T>, program: Program): T {
  return work.read(program, program.failedAt < 0 ? undefined : errnoName(program.error));
}
