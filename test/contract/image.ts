// What every image must do (control/disk/image/image.ts), whatever format keeps it.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Image, ImageFailure } from '../../control/disk/image/image.ts';

export interface ImageMaker {
  /** All zeros. */
  make(sizeBytes: number, blockBytes: 512 | 4096): Promise<Image>;
  /** The same image once more, after `close`; nothing where it is gone then. */
  reopen?(image: Image): Promise<Image>;
}

const SIZE = 4 * 1024 * 1024;

export function imageContract(name: string, maker: ImageMaker): void {
  describe.each([512, 4096] as const)(`${name} with blocks of %i bytes`, (block) => {
    let image: Image;
    const open = async (sizeBytes = SIZE): Promise<Image> => {
      image = await maker.make(sizeBytes, block);
      return image;
    };
    afterEach(async () => {
      await image?.close();
    });

    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const into = new Uint8Array(length).fill(0xee);
      await image.read(offset, into);
      return into;
    };

    it('reads zeros where nothing was written', async () => {
      await open();
      expect(await read(0, 2 * block)).toEqual(new Uint8Array(2 * block));
      expect(await read(SIZE - block, block)).toEqual(new Uint8Array(block));
    });

    it('keeps what is written, over being closed too', async () => {
      await open();
      const bytes = new Uint8Array(3 * block).map((_, at) => at * 7);
      await image.write(block, bytes, { fua: true });
      await image.flush();
      expect(await read(block, 3 * block)).toEqual(bytes);
      if (maker.reopen === undefined) return;
      await image.close();
      image = await maker.reopen(image);
      expect([image.sizeBytes, await read(block, 3 * block)]).toEqual([SIZE, bytes]);
    });

    it('says what is mapped: contiguous from the offset, neighbours joined, no more than asked', async () => {
      await open();
      const unit = image.unmapBlockBytes;
      await image.write(unit, new Uint8Array(2 * unit).fill(1), { fua: false });
      const extents = await image.map(0, 8 * unit, 10);
      expect(extents[0]?.offset).toBe(0);
      for (const [at, extent] of extents.entries()) {
        const next = extents[at + 1];
        if (next === undefined) expect(extent.offset + extent.length).toBe(8 * unit);
        else expect([next.offset, next.mapped]).toEqual([extent.offset + extent.length, !extent.mapped]);
      }
      if (image.thin)
        expect(extents.map(({ length, mapped }) => [length / unit, mapped])).toEqual([
          [1, false],
          [2, true],
          [5, false],
        ]);
      expect((await image.map(0, 8 * unit, 1)).length).toBe(1);
      expect(await image.map(0, 0, 10)).toEqual([]);
    });

    it('gives back what is unmapped; zeros keep their space', async () => {
      await open();
      const unit = image.unmapBlockBytes;
      await image.write(0, new Uint8Array(8 * unit).fill(1), { fua: false });
      await image.unmap([
        { offset: 0, length: unit },
        { offset: 4 * unit, length: 2 * unit },
        { offset: 7 * unit, length: 0 },
      ]);
      await image.zero(2 * unit, unit);
      const seen = await read(0, 8 * unit);
      const blocks = Array.from({ length: 8 }, (_, at) => seen[at * unit]);
      expect(blocks).toEqual([0, 1, 0, 1, 0, 0, 1, 1]);
      if (!image.thin) return;
      expect((await image.map(0, unit, 1))[0]?.mapped).toBe(false);
      expect((await image.map(4 * unit, 2 * unit, 4)).every(({ mapped }) => !mapped)).toBe(true);
      expect((await image.map(unit, unit, 1))[0]?.mapped).toBe(true);
    });

    it('grows with zeros, and shrinks', async () => {
      await open();
      await image.write(SIZE - block, new Uint8Array(block).fill(5), { fua: false });
      await image.resize(2 * SIZE);
      expect([image.sizeBytes, await read(SIZE, block)]).toEqual([2 * SIZE, new Uint8Array(block)]);
      expect(await read(SIZE - block, block)).toEqual(new Uint8Array(block).fill(5));
      await image.resize(SIZE / 2);
      await image.resize(SIZE);
      expect(await read(SIZE - block, block)).toEqual(new Uint8Array(block));
    });

    it('throws RangeError for what no caller may ask', async () => {
      await open();
      const some = new Uint8Array(block);
      for (const ask of [
        () => image.read(SIZE, some),
        () => image.read(-block, some),
        () => image.read(1, some),
        () => image.read(0, new Uint8Array(block + 1)),
        () => image.write(SIZE - block, new Uint8Array(2 * block), { fua: false }),
        () => image.unmap([{ offset: 0, length: SIZE + block }]),
        () => image.zero(0, 1),
        () => image.map(Number.NaN, block, 1),
        () => image.resize(0),
        () => image.resize(block + 1),
      ])
        await expect(ask()).rejects.toThrow(RangeError);
    });

    it('is lost once it is closed, which it may be twice', async () => {
      await open();
      await image.close();
      await image.close();
      await expect(image.read(0, new Uint8Array(block))).rejects.toThrow(ImageFailure);
    });

    it('does what an array does, whatever is done to it', async () => {
      const blocks = 64;
      const place = fc.record({
        what: fc.constantFrom('write', 'unmap', 'zero', 'read'),
        from: fc.integer({ min: 0, max: blocks - 1 }),
        count: fc.integer({ min: 0, max: 24 }),
        byte: fc.integer({ min: 0, max: 255 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(place, { maxLength: 30 }), async (steps) => {
          await open(blocks * block);
          const model = new Uint8Array(blocks * block);
          for (const { what, from, count, byte } of steps) {
            const offset = from * block;
            const length = Math.min(count, blocks - from) * block;
            if (what === 'write')
              await image.write(offset, new Uint8Array(length).fill(byte), { fua: byte > 250 });
            if (what === 'unmap') await image.unmap([{ offset, length }]);
            if (what === 'zero') await image.zero(offset, length);
            if (what === 'read')
              expect(
                Buffer.compare(await read(offset, length), model.subarray(offset, offset + length)),
              ).toBe(0);
            else model.fill(what === 'write' ? byte : 0, offset, offset + length);
          }
          expect(Buffer.compare(await read(0, model.length), model)).toBe(0);
          for (const { offset, length, mapped } of await image.map(0, model.length, blocks))
            if (!mapped)
              expect(model.subarray(offset, offset + length).every((each) => each === 0)).toBe(true);
          await image.close();
        }),
        { numRuns: 25 },
      );
    });
  });
}
