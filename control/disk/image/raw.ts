// Owns the raw format: the bytes of the disk are the bytes of the file, what was never written is a hole. Knows no SCSI;
// the file comes as a port.
import type { BlockFile } from './block_file.ts';
import {
  type ByteRange,
  checkRange,
  type Extent,
  IMAGE_TRANSFER_BYTES_MAX,
  type Image,
  ImageFailure,
  type WriteOptions,
} from './image.ts';

export interface RawOptions {
  readonly logicalBlockBytes: 512 | 4096;
  /** At least the logical block; a power of two. */
  readonly physicalBlockBytes: number;
  /** What the file system gives back at a time. */
  readonly holeBytes: number;
  readonly readOnly: boolean;
}

export const RAW_OPTIONS: RawOptions = {
  logicalBlockBytes: 512,
  physicalBlockBytes: 4096,
  holeBytes: 4096,
  readOnly: false,
};

/** What lies beyond the last whole block of the file is not part of the disk. */
export async function openRaw(file: BlockFile, options: RawOptions = RAW_OPTIONS): Promise<Image> {
  const fileBytes = await file.size();
  const sizeBytes = fileBytes - (fileBytes % options.logicalBlockBytes);
  if (sizeBytes === 0) throw new ImageFailure('lost', `the file has ${fileBytes} bytes, less than one block`);
  return new RawImage(file, options, sizeBytes);
}

class RawImage implements Image {
  readonly format = 'raw';
  readonly thin = true;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly unmapBlockBytes: number;
  readonly readOnly: boolean;
  /** A write that the power ends may be done in part. */
  readonly atomicWriteBytesMax = 0;
  readonly #file: BlockFile;
  #sizeBytes: number;
  #closed = false;

  constructor(file: BlockFile, options: RawOptions, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.logicalBlockBytes = options.logicalBlockBytes;
    this.physicalBlockBytes = options.physicalBlockBytes;
    this.unmapBlockBytes = Math.max(options.holeBytes, options.logicalBlockBytes);
    this.readOnly = options.readOnly;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length, IMAGE_TRANSFER_BYTES_MAX);
    if (into.length > 0) await this.#file.read(offset, into);
  }

  async write(offset: number, bytes: Uint8Array, options: WriteOptions): Promise<void> {
    this.#checkChange(offset, bytes.length, IMAGE_TRANSFER_BYTES_MAX);
    if (options.atomic === true) throw new RangeError('a raw image writes nothing atomically');
    if (bytes.length > 0) await this.#file.write(offset, bytes, options.fua);
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    if (!this.readOnly) await this.#file.sync();
  }

  async unmap(ranges: readonly ByteRange[]): Promise<void> {
    for (const { offset, length } of ranges) this.#checkChange(offset, length);
    for (const { offset, length } of ranges) if (length > 0) await this.#file.punch(offset, length);
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#checkChange(offset, length);
    if (length > 0) await this.#file.zero(offset, length);
  }

  async map(offset: number, length: number, extentsMax: number): Promise<readonly Extent[]> {
    this.#check(offset, length);
    const extents: Extent[] = [];
    const end = offset + length;
    let at = offset;
    while (at < end && extents.length < extentsMax) {
      const data = this.#blockDown(await this.#file.seek(at, 'data'));
      // A block that is data in part is mapped: it begins no later than here.
      const mapped = data <= at;
      const next = mapped ? this.#blockUp(await this.#file.seek(at, 'hole')) : data;
      const to = Math.min(end, next);
      // A file that is written meanwhile may answer as if nothing were there: one block on, at least.
      const past = Math.max(to, at + this.logicalBlockBytes);
      const last = extents.at(-1);
      if (last?.mapped === mapped) extents[extents.length - 1] = { ...last, length: last.length + past - at };
      else extents.push({ offset: at, length: past - at, mapped });
      at = past;
    }
    return extents;
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#checkChange(0, 0);
    if (!(sizeBytes > 0 && sizeBytes % this.logicalBlockBytes === 0 && Number.isSafeInteger(sizeBytes)))
      throw new RangeError(`${sizeBytes} bytes are no whole blocks of ${this.logicalBlockBytes} bytes`);
    await this.#file.truncate(sizeBytes);
    await this.#file.sync();
    this.#sizeBytes = sizeBytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }

  #check(offset: number, length: number, lengthMax = Number.POSITIVE_INFINITY): void {
    if (this.#closed) throw new ImageFailure('lost', 'the image is closed');
    checkRange(this, offset, length);
    if (length > lengthMax)
      throw new RangeError(`${length} bytes are more than one transfer of ${lengthMax}`);
  }

  #checkChange(offset: number, length: number, lengthMax?: number): void {
    this.#check(offset, length, lengthMax);
    if (this.readOnly) throw new ImageFailure('read only', 'the image is opened to be read only');
  }

  #blockDown(offset: number): number {
    return offset - (offset % this.logicalBlockBytes);
  }

  #blockUp(offset: number): number {
    return this.#blockDown(offset + this.logicalBlockBytes - 1);
  }
}
