import { describe, expect, it } from 'vitest';
import type { BlockFile } from '../../../../control/disk/image/block_file.ts';
import { ImageFailure } from '../../../../control/disk/image/image.ts';
import { openRaw, RAW_OPTIONS } from '../../../../control/disk/image/raw.ts';
import { imageContract } from '../../../contract/image.ts';
import { MemoryImage } from '../../../contract/image_memory.ts';

imageContract('in memory', {
  make: async (sizeBytes, logicalBlockBytes) => new MemoryImage({ sizeBytes, logicalBlockBytes }),
});

const HOLE = 4096;

/** A sparse file in memory: holes of 4096 bytes, as a file system has them. */
class SparseFile implements BlockFile {
  bytes: Uint8Array;
  data = new Set<number>();
  syncs = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    into.fill(0);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.bytes.set(bytes, offset);
    for (let at = Math.floor(offset / HOLE); at * HOLE < offset + bytes.length; at += 1) this.data.add(at);
  }

  async punch(offset: number, length: number): Promise<void> {
    this.bytes.fill(0, offset, offset + length);
    for (let at = Math.ceil(offset / HOLE); (at + 1) * HOLE <= offset + length; at += 1) this.data.delete(at);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.write(offset, new Uint8Array(length));
  }

  async seek(offset: number, what: 'data' | 'hole'): Promise<number> {
    for (let at = Math.floor(offset / HOLE); at * HOLE < this.bytes.length; at += 1)
      if (this.data.has(at) === (what === 'data')) return Math.max(offset, at * HOLE);
    return what === 'hole' ? this.bytes.length : Number.MAX_SAFE_INTEGER;
  }

  async size(): Promise<number> {
    return this.bytes.length;
  }

  async truncate(sizeBytes: number): Promise<void> {
    const bytes = new Uint8Array(sizeBytes);
    bytes.set(this.bytes.subarray(0, sizeBytes));
    this.bytes = bytes;
    for (const at of this.data) if (at * HOLE >= sizeBytes) this.data.delete(at);
  }

  async sync(): Promise<void> {
    this.syncs += 1;
  }

  async close(): Promise<void> {}
}

const rawOptions = (logicalBlockBytes: 512 | 4096) => ({ ...RAW_OPTIONS, logicalBlockBytes });

imageContract('raw over a sparse file', {
  make: (sizeBytes, blockBytes) => openRaw(new SparseFile(sizeBytes), rawOptions(blockBytes)),
});

describe('raw', () => {
  it('leaves out what is less than a block at the end of the file', async () => {
    expect((await openRaw(new SparseFile(5 * 512 + 100))).sizeBytes).toBe(5 * 512);
    await expect(openRaw(new SparseFile(511))).rejects.toThrow(ImageFailure);
  });

  it('is not written where it is opened to be read', async () => {
    const file = new SparseFile(8192);
    const image = await openRaw(file, { ...RAW_OPTIONS, readOnly: true });
    const refused = { fault: 'read only' };
    await expect(image.write(0, new Uint8Array(512), { fua: false })).rejects.toMatchObject(refused);
    await expect(image.unmap([{ offset: 0, length: 512 }])).rejects.toMatchObject(refused);
    await expect(image.zero(0, 512)).rejects.toMatchObject(refused);
    await expect(image.resize(512)).rejects.toMatchObject(refused);
    await image.flush();
    expect(file.syncs).toBe(0);
  });
});
