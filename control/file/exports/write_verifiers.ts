// Owns the verifiers of writes (RFC 1813, section 3.3.7): a client that gets another one than before knows that data
// which was not on stable storage may be lost, and sends it again. Each storage has its own, so that a failure of one
// makes nobody send data of another.
import type { FileSystem } from '../filesystem/port.ts';

export const WRITE_VERIFIER_BYTES = 8;

export type RandomBytes = (count: number) => Uint8Array;

export class WriteVerifiers {
  readonly #randomBytes: RandomBytes;
  readonly #current = new WeakMap<FileSystem, Uint8Array>();

  constructor(randomBytes: RandomBytes) {
    this.#randomBytes = randomBytes;
  }

  of(fs: FileSystem): Uint8Array {
    return this.#current.get(fs) ?? this.lost(fs);
  }

  /** Data that was acknowledged may be lost: the kernel tells of a failed write-back once, and not to every file. */
  lost(fs: FileSystem): Uint8Array {
    const verifier = this.#randomBytes(WRITE_VERIFIER_BYTES);
    this.#current.set(fs, verifier);
    return verifier;
  }
}
