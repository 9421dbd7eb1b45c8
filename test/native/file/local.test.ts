// Local directories as file systems: the contract, on ext4 (or whatever holds temporary files) and on tmpfs.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import { fileSystemContract } from '../../contract/filesystem.ts';

for (const [name, parent] of [
  ['a directory of temporary files', tmpdir()],
  ['a directory in memory', '/dev/shm'],
] as const) {
  fileSystemContract(name, () => {
    const path = mkdtempSync(join(parent, 'hf-local-'));
    chmodSync(path, 0o777);
    const fs = openLocalFileSystem(path, { threads: 4 });
    return {
      fs,
      reopen: () => openLocalFileSystem(path),
      remove: () => {
        fs.close();
        rmSync(path, { recursive: true });
      },
    };
  });
}
