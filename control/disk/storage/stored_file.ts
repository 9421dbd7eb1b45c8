// Owns the file of an image as it lies in a file system: port to port, in the rights of one caller. Knows no format.
import type { Answer, Caller, Failed, FileHandle, FileSystem } from '../../file/filesystem/port.ts';
import { TRANSFER_BYTES_MAX } from '../../file/filesystem/port.ts';
import type { BlockFile } from '../image/block_file.ts';
import { ImageFailure, type ImageFault } from '../image/image.ts';

/** Bytes given back or zeroed in one call, so that none of them takes long. */
const ALLOCATE_BYTES_MAX = 1024 * 1024 * 1024;
const ZEROS_BYTES = 1024 * 1024;

export function storedFile(fileSystem: FileSystem, caller: Caller, file: FileHandle): BlockFile {
  const blockFile: BlockFile = {
    async read(offset, into) {
      for (let done = 0; done < into.length; ) {
        const part = into.subarray(done, done + TRANSFER_BYTES_MAX);
        const answer = await expected(
          fileSystem.read(caller, file, BigInt(offset + done), part),
          offset + done,
        );
        if (answer.readBytes === 0 || answer.atEnd) {
          into.fill(0, done + answer.readBytes);
          return;
        }
        done += answer.readBytes;
      }
    },
    async write(offset, bytes, stable) {
      for (let done = 0; done < bytes.length; ) {
        const part = bytes.subarray(done, done + TRANSFER_BYTES_MAX);
        const how = stable ? 'data' : 'unstable';
        const answer = await expected(
          fileSystem.write(caller, file, BigInt(offset + done), part, how),
          offset + done,
        );
        if (answer.writtenBytes === 0) throw new ImageFailure('io', 'the storage wrote nothing', { offset });
        done += answer.writtenBytes;
      }
    },
    async punch(offset, length) {
      await allocated(offset, length, 'punch');
    },
    async zero(offset, length) {
      await allocated(offset, length, 'zero');
    },
    async seek(offset, what) {
      const answer = await fileSystem.seek(caller, file, BigInt(offset), what);
      if (answer.ok) return Number(answer.offset);
      if (answer.errno === 'ENXIO') return Number.MAX_SAFE_INTEGER;
      throw failure(answer, offset);
    },
    async size() {
      const { attributes } = await expected(fileSystem.attributesOf(file));
      return Number(attributes.sizeBytes);
    },
    async truncate(sizeBytes) {
      await expected(fileSystem.setAttributes(caller, file, { sizeBytes: BigInt(sizeBytes) }));
    },
    async sync() {
      await expected(fileSystem.commit(caller, file));
    },
    async close() {},
  };
  return blockFile;

  async function allocated(offset: number, length: number, what: 'punch' | 'zero'): Promise<void> {
    for (let at = offset; at < offset + length; at += ALLOCATE_BYTES_MAX) {
      const part = Math.min(ALLOCATE_BYTES_MAX, offset + length - at);
      const answer = await fileSystem.allocate(caller, file, BigInt(at), BigInt(part), what);
      if (answer.ok) continue;
      // tmpfs cannot zero, NFS before 4.2 cannot punch either: zeros that take space read the same.
      if (answer.errno !== 'EOPNOTSUPP') throw failure(answer, at);
      await writeZeros(at, part);
    }
  }

  async function writeZeros(offset: number, length: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(ZEROS_BYTES, length));
    for (let at = 0; at < length; at += zeros.length)
      await blockFile.write(offset + at, zeros.subarray(0, Math.min(zeros.length, length - at)), false);
  }
}

async function expected<T extends { readonly ok: boolean }>(
  answer: Answer<T>,
  offset?: number,
): Promise<Extract<T, { readonly ok: true }>> {
  const known: { readonly ok: boolean } = await answer;
  if (!known.ok) throw failure(known as Failed, offset);
  return known as Extract<T, { readonly ok: true }>;
}

const FAULTS: Readonly<Record<string, ImageFault>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  ENOENT: 'lost',
  ESTALE: 'lost',
  EACCES: 'lost',
  EPERM: 'lost',
  EROFS: 'read only',
};

function failure(failed: Failed, offset: number | undefined): ImageFailure {
  return new ImageFailure(
    FAULTS[failed.errno] ?? 'io',
    `the storage answered ${failed.errno}`,
    offset === undefined ? {} : { offset },
  );
}
