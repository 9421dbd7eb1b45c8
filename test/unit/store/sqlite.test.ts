// The embedded store by the contract of every store, and what is its own: the file, other processes, crashes, time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostClock } from '../../../control/io/host_clock.ts';
import { openStore } from '../../../control/store/open.ts';
import { storeContract } from '../../contract/store.ts';

storeContract('the embedded store', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-store-'));
  return {
    open: () => openStore(`sqlite=${directory}/store.db`, { clock: hostClock() }),
    remove: async () => rmSync(directory, { recursive: true }),
  };
});
