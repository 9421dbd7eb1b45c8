// Storages: a directory of the host and all below it on the same file system, reached by kernel handles. Programs of
// system calls run with the rights of a caller, on threads of the storage or, where the kernel can answer from memory,
// at once. What programs mean is the user's; src/file/program.h has every instruction.
import { binding, type NativeFileStorage } from '../binding.ts';
import { native } from '../errors.ts';
import { checkFunction, checkInteger, checkText } from '../rtnetlink/check.ts';
import { SLOT_BYTES } from './layout.ts';
import { Program } from './program.ts';

const THREADS_MAX = 256;
const SLOTS_MAX = 16_384;
const GROUPS_MAX = 65_536;
/** 0xffffffff means nobody to the kernel's calls. */
const ID_MAX = 0xffff_fffe;

export interface FileStorageOptions {
  /** Calls that may hang at the same time before the storage does nothing more. Default 8. */
  readonly threads?: number;
  /** Descriptors that are kept open. Default 16,384; the process's limit must allow for more. */
  readonly descriptors?: number;
  /** Programs at a time, under construction or under way. Default 1024. */
  readonly programs?: number;
}

export interface FileStorageState {
  /** Programs that no thread has taken yet. */
  readonly waiting: number;
  /** Programs that a thread is executing. */
  readonly running: number;
  /** Handed over and not yet told to be done. */
  readonly inFlight: number;
  readonly descriptors: number;
  /** Files that have a descriptor. */
  readonly files: number;
  readonly credentials: number;
}

/** A caller that a storage knows; to be removed when it is not needed any more. */
export type CredentialsNumber = number;

export class FileStorage {
  /** As statfs(2) names it. */
  readonly type: number;
  /** Whether programs can be done at once: the file system belongs to this host alone and its caches are the truth. */
  readonly local: boolean;
  readonly programs: number;
  readonly #native: NativeFileStorage;
  readonly #all: Program[];
  readonly #free: Program[];
  readonly #waiters: (((program: Program) => void) | undefined)[];

  /**
   * @throws SystemError: no such directory; EOPNOTSUPP where the file system has no handles; EPERM without
   * CAP_DAC_READ_SEARCH, CAP_SETUID and CAP_SETGID.
   */
  constructor(path: string, options: FileStorageOptions = {}) {
    checkText(path, 'path');
    const threads = checkInteger(options.threads ?? 8, 'threads', 1, THREADS_MAX);
    const descriptors = checkInteger(options.descriptors ?? 16_384, 'descriptors', 1, 2 ** 31 - 1);
    this.programs = checkInteger(options.programs ?? 1024, 'programs', 1, SLOTS_MAX);
    this.#native = native(
      `open storage ${path}`,
      () => new binding.FileStorage(path, threads, descriptors, this.programs),
    );
    const { type, local } = this.#native.describe();
    this.type = type;
    this.local = local;
    const memory = this.#native.memory();
    if (memory.byteLength !== this.programs * SLOT_BYTES)
      throw new RangeError('the addon is of another version');
    this.#all = Array.from({ length: this.programs }, (_, slot) => new Program(memory, slot));
    this.#free = [...this.#all].reverse();
    this.#waiters = new Array(this.programs).fill(undefined);
    this.#native.start((slots) => this.#onDone(slots));
  }

  /** The caller's rights: user, group and supplementary groups. */
  addCredentials(uid: number, gid: number, groups: readonly number[]): CredentialsNumber {
    checkInteger(uid, 'uid', 0, ID_MAX);
    checkInteger(gid, 'gid', 0, ID_MAX);
    if (groups.length > GROUPS_MAX) throw new RangeError(`a caller has at most ${GROUPS_MAX} groups`);
    for (const group of groups) checkInteger(group, 'group', 0, ID_MAX);
    return native('add credentials', () => this.#native.addCredentials(uid, gid, Uint32Array.from(groups)));
  }

  /** Programs under way keep theirs. */
  removeCredentials(credentials: CredentialsNumber): void {
    this.#native.removeCredentials(checkInteger(credentials, 'credentials', 1, 2 ** 32 - 1));
  }

  /** An empty program, or undefined where all are in use. Give it back with `release`. */
  take(): Program | undefined {
    return this.#free.pop()?.begin();
  }

  /** Not while it is under way. */
  release(program: Program): void {
    this.#free.push(program);
  }

  /** Whether it could be done without waiting for anything; otherwise nothing has changed. */
  tryNow(program: Program, credentials: CredentialsNumber, data?: Uint8Array): boolean {
    return this.#native.tryNow(program.slot, credentials, data);
  }

  /** On this thread, however long it takes. For programs that start, tests and measurements. */
  runHere(program: Program, credentials: CredentialsNumber, data?: Uint8Array): void {
    native('run program', () => this.#native.runHere(program.slot, credentials, data));
  }

  /** On a thread of the storage. The data must not be touched or transferred until `done` is called. */
  submit(
    program: Program,
    credentials: CredentialsNumber,
    data: Uint8Array | undefined,
    done: (program: Program) => void,
  ): void {
    checkFunction(done, 'done');
    native('submit program', () => this.#native.submit(program.slot, credentials, data));
    this.#waiters[program.slot] = done;
  }

  /** Closes descriptors that were not used for so long; such as write may have a shorter time. */
  expire(idleMs: number, writerIdleMs: number): void {
    this.#native.expire(idleMs, writerIdleMs);
  }

  state(): FileStorageState {
    return this.#native.state();
  }

  /** Waits for the programs that run; those that wait are never run, and nobody is told. Repeating it does nothing. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onDone(slots: Uint32Array): void {
    for (const slot of slots) {
      const done = this.#waiters[slot];
      this.#waiters[slot] = undefined;
      done?.(this.#all[slot]!);
    }
  }
}
