// Owns writing the files that others act on: whole or not at all, and on the disk before they have their name.
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { Failure } from '../lib/failure.ts';

const BYTES_MAX = 4 << 20;

/** `mode`: who may read it. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  try {
    // One that was left there, whoever's it is, is not written into.
    await rm(temporary, { force: true });
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    try {
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    throw new Failure('unavailable', `${path} cannot be written`, {
      cause,
      remedy: 'see whether its file system is full or read-only',
    });
  }
}

export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new Failure('configuration', `the directory ${path} cannot be made`, {
      cause,
      remedy: 'set routes.directory to a directory that holdfastd may make or write to',
    });
  }
}

/** Undefined where there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const file = await open(path);
    try {
      if ((await file.stat()).size > BYTES_MAX) return undefined;
      return await readFile(file, 'utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
