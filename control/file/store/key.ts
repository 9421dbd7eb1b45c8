// Owns the file key in the store: what handles of all file nodes are signed with, made once by whoever needs it first. Only
// nodes with the role file ask for it.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { FILE_KEY_KEY } from '../../cluster/keys.ts';
import { parseStored } from '../../cluster/stored_value.ts';
import { Failure } from '../../lib/failure.ts';
import type { Store } from '../../store/contract.ts';

const KEY_BYTES = 16;
const FORMAT = 1;
const ATTEMPTS_MAX = 5;
const REMEDY =
  'put back a copy of the store; or delete the key namespace/key in it: clients that have mounted anything must then mount it anew';

const keySchema = z.strictObject({
  format: z.literal(FORMAT),
  key: z.string().regex(/^[0-9a-f]{32}$/),
});

export async function fileKey(store: Pick<Store, 'get' | 'txn'>): Promise<Uint8Array> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const found = await store.get(FILE_KEY_KEY);
    if (found !== undefined) {
      const { key } = parseStored(found.key, found.value, keySchema, { format: FORMAT, remedy: REMEDY });
      return Uint8Array.from(Buffer.from(key, 'hex'));
    }
    const key = randomBytes(KEY_BYTES).toString('hex');
    const value = JSON.stringify({ format: FORMAT, key });
    await store.txn([{ key: FILE_KEY_KEY, modRevision: 0 }], [{ put: FILE_KEY_KEY, value }]);
  }
  throw new Failure('conflict', 'the file key cannot be made', {
    reason: 'others delete it as soon as it is there',
    remedy: 'see who else writes to the store',
  });
}
