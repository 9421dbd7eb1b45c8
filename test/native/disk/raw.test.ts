// Raw images on the file systems of this host: what they keep, and what they say about holes, comes from the kernel.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openRaw, RAW_OPTIONS } from '../../../control/disk/image/raw.ts';
import { storedFile } from '../../../control/disk/storage/stored_file.ts';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import { imageContract } from '../../contract/image.ts';

const ROOT = { uid: 0, gid: 0, groups: [] };

for (const [name, parent] of [
  ['raw in a directory of temporary files', tmpdir()],
  ['raw in memory', '/dev/shm'],
] as const) {
  const path = mkdtempSync(join(parent, 'hf-raw-'));
  const fs = openLocalFileSystem(path, { threads: 2 });
  let made = 0;
  let last = new Uint8Array(0);
  let options = RAW_OPTIONS;
  const open = () => openRaw(storedFile(fs, ROOT, last), options);
  imageContract(name, {
    async make(sizeBytes, logicalBlockBytes) {
      made += 1;
      options = { ...RAW_OPTIONS, logicalBlockBytes };
      const attributes = { mode: 0o600, sizeBytes: BigInt(sizeBytes) };
      const file = await fs.create(ROOT, fs.root, Buffer.from(`disk-${made}`), {
        how: 'guarded',
        attributes,
      });
      if (!file.ok) throw new Error(file.errno);
      last = Uint8Array.from(file.handle);
      return await open();
    },
    reopen: open,
  });
  afterAll(() => {
    fs.close();
    rmSync(path, { recursive: true });
  });
}
