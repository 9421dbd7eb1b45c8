// Owns the contract of a disk image: bytes that can be read, written, unmapped and counted, whatever format keeps them.
// Knows no SCSI, no iSCSI and no format; test/contract/image.ts holds every implementation to it.
//
// Offsets and lengths are multiples of `logicalBlockBytes` and within `sizeBytes`: who asks checks that first, anything
// else is a bug and throws RangeError. What the storage refuses throws `ImageFailure`. Operations may be under way at the
// same time; those that touch the same bytes are the caller's to order.

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface Extent extends ByteRange {
  /** What is not mapped takes no space and reads as zeros. */
  readonly mapped: boolean;
}

export interface WriteOptions {
  /** On stable storage before the answer. */
  readonly fua: boolean;
  /** All or nothing, also over a loss of power: at most `atomicWriteBytesMax`. */
  readonly atomic?: boolean;
}

/** One read or write; more is for several. */
export const IMAGE_TRANSFER_BYTES_MAX = 8 * 1024 * 1024;

export interface Image {
  /** For people: raw, vhdx, … */
  readonly format: string;
  /** Changes by `resize` alone. */
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  /** Writes of whole ones, where they begin, need no reading first. */
  readonly physicalBlockBytes: number;
  /** Unmapping less than a whole one, where it begins, gives back no space. */
  readonly unmapBlockBytes: number;
  /** Space is taken when it is written first, and given back by `unmap`. */
  readonly thin: boolean;
  readonly readOnly: boolean;
  /** Zero: no write is certain to be atomic. */
  readonly atomicWriteBytesMax: number;

  /** Fills `into`. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** `bytes` must not change until the answer. */
  write(offset: number, bytes: Uint8Array, options: WriteOptions): Promise<void>;
  /** All that was written before is on stable storage. */
  flush(): Promise<void>;
  /** The bytes read as zeros afterwards; their space is given back where that can be. */
  unmap(ranges: readonly ByteRange[]): Promise<void>;
  /** As written with zeros, also where that needs space: `unmap` is what gives it back. */
  zero(offset: number, length: number): Promise<void>;
  /** From `offset`, without gap, neighbours of one kind joined: at most `extentsMax`, so it may end before `length`. */
  map(offset: number, length: number, extentsMax: number): Promise<readonly Extent[]>;
  /** What is beyond the new end is lost; what is new reads as zeros. */
  resize(sizeBytes: number): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** `full`: no space. `io`: the storage failed. `lost`: the file is not there, or not ours any more. `read only`: it is. */
export type ImageFault = 'full' | 'io' | 'lost' | 'read only';

export class ImageFailure extends Error {
  override readonly name = 'ImageFailure';
  readonly fault: ImageFault;
  /** Where in the image, if that is known. */
  readonly offset: number | undefined;

  constructor(fault: ImageFault, message: string, more: { offset?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.fault = fault;
    this.offset = more.offset;
  }
}

/** Throws RangeError for what no caller may ask. */
export function checkRange(
  image: Pick<Image, 'sizeBytes' | 'logicalBlockBytes'>,
  offset: number,
  length: number,
): void {
  const block = image.logicalBlockBytes;
  if (!(offset >= 0 && length >= 0 && offset + length <= image.sizeBytes))
    throw new RangeError(`${length} bytes at ${offset} are not within an image of ${image.sizeBytes} bytes`);
  if (offset % block !== 0 || length % block !== 0)
    throw new RangeError(`${length} bytes at ${offset} are no whole blocks of ${block} bytes`);
}
