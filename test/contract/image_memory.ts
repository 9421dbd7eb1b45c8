// An image in memory: for tests alone. It can be told to fail, and to wait, and it writes atomically.
import {
  type ByteRange,
  checkRange,
  type Extent,
  type Image,
  ImageFailure,
  type ImageFault,
  type WriteOptions,
} from '../../control/disk/image/image.ts';

export interface MemoryOptions {
  readonly sizeBytes: number;
  readonly logicalBlockBytes?: number;
  readonly physicalBlockBytes?: number;
  readonly thin?: boolean;
  readonly readOnly?: boolean;
  readonly atomicWriteBytesMax?: number;
}

export class MemoryImage implements Image {
  readonly format = 'memory';
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly unmapBlockBytes: number;
  readonly thin: boolean;
  readonly readOnly: boolean;
  readonly atomicWriteBytesMax: number;
  bytes: Uint8Array;
  /** One a block. */
  mapped: boolean[];
  /** What the next operations do instead. */
  fault: { readonly fault: ImageFault; readonly offset?: number } | undefined;
  /** Reads and writes wait for it. */
  gate: Promise<void> | undefined;
  flushes = 0;
  readonly writes: (WriteOptions & ByteRange)[] = [];
  #closed = false;

  constructor(options: MemoryOptions) {
    this.logicalBlockBytes = options.logicalBlockBytes ?? 512;
    this.physicalBlockBytes = options.physicalBlockBytes ?? this.logicalBlockBytes;
    this.unmapBlockBytes = this.logicalBlockBytes;
    this.thin = options.thin ?? true;
    this.readOnly = options.readOnly ?? false;
    this.atomicWriteBytesMax = options.atomicWriteBytesMax ?? 0;
    this.bytes = new Uint8Array(options.sizeBytes);
    this.mapped = new Array(options.sizeBytes / this.logicalBlockBytes).fill(false);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.#begin(offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, bytes: Uint8Array, options: WriteOptions): Promise<void> {
    await this.#begin(offset, bytes.length, true);
    this.writes.push({ ...options, offset, length: bytes.length });
    this.bytes.set(bytes, offset);
    this.#map(offset, bytes.length, true);
  }

  async flush(): Promise<void> {
    await this.#begin(0, 0);
    this.flushes += 1;
  }

  async unmap(ranges: readonly ByteRange[]): Promise<void> {
    for (const { offset, length } of ranges) await this.#begin(offset, length, true);
    for (const { offset, length } of ranges) {
      this.bytes.fill(0, offset, offset + length);
      this.#map(offset, length, false);
    }
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#begin(offset, length, true);
    this.bytes.fill(0, offset, offset + length);
    this.#map(offset, length, true);
  }

  async map(offset: number, length: number, extentsMax: number): Promise<readonly Extent[]> {
    await this.#begin(offset, length);
    const extents: { offset: number; length: number; mapped: boolean }[] = [];
    for (let at = offset; at < offset + length; at += this.logicalBlockBytes) {
      const mapped = this.mapped[at / this.logicalBlockBytes] ?? false;
      const last = extents.at(-1);
      if (last?.mapped === mapped) last.length += this.logicalBlockBytes;
      else if (extents.length === extentsMax) break;
      else extents.push({ offset: at, length: this.logicalBlockBytes, mapped });
    }
    return extents;
  }

  async resize(sizeBytes: number): Promise<void> {
    await this.#begin(0, 0, true);
    if (!(sizeBytes > 0 && sizeBytes % this.logicalBlockBytes === 0)) throw new RangeError('no whole blocks');
    const bytes = new Uint8Array(sizeBytes);
    bytes.set(this.bytes.subarray(0, sizeBytes));
    this.mapped.length = Math.min(this.mapped.length, sizeBytes / this.logicalBlockBytes);
    while (this.mapped.length < sizeBytes / this.logicalBlockBytes) this.mapped.push(false);
    this.bytes = bytes;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #begin(offset: number, length: number, changes = false): Promise<void> {
    if (this.#closed) throw new ImageFailure('lost', 'closed');
    checkRange(this, offset, length);
    if (changes && this.readOnly) throw new ImageFailure('read only', 'read only');
    if (this.gate !== undefined) await this.gate;
    if (this.fault !== undefined)
      throw new ImageFailure(
        this.fault.fault,
        'told to',
        this.fault.offset === undefined ? {} : { offset: this.fault.offset },
      );
  }

  #map(offset: number, length: number, mapped: boolean): void {
    const block = this.logicalBlockBytes;
    for (let at = offset; at < offset + length; at += block) this.mapped[at / block] = mapped;
  }
}
