// Owns the port to the file that keeps an image: positioned reads and writes, holes, size. Knows no format.

/** Failures are thrown as `ImageFailure`. */
export interface BlockFile {
  /** Fills `into`; what is beyond the end of the file reads as zeros. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** All of `bytes`. `stable`: on stable storage before the answer. */
  write(offset: number, bytes: Uint8Array, stable: boolean): Promise<void>;
  /** Gives the space back; the bytes read as zeros. */
  punch(offset: number, length: number): Promise<void>;
  /** Reads as zeros and keeps its space. */
  zero(offset: number, length: number): Promise<void>;
  /** The next byte from `offset` that is data, or in a hole; the end of the file counts as a hole, and as data if none follows. */
  seek(offset: number, what: 'data' | 'hole'): Promise<number>;
  size(): Promise<number>;
  truncate(sizeBytes: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}
