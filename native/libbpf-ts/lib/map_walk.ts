// Owns iteration over a map: in batches where the kernel can, key by key where it cannot, and always bounded.
import { BpfError, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EOPNOTSUPP } from './errors.ts';
import type { NativeMap, NativeMapInfo } from './native.ts';

/** Entries a system call, unless values are so large that fewer fill BATCH_BYTES. */
const BATCH_ENTRIES = 256;
const BATCH_BYTES = 1 << 20;

/** What kernels answer for map types without batches; older ones know the whole command not. */
const NO_BATCHES: ReadonlySet<number> = new Set([-ENOTSUPP, -EOPNOTSUPP, -EINVAL]);

type Entry = [key: Uint8Array, value: Uint8Array];

/**
 * Yields at most maxEntries entries. The bound matters: get_next_key restarts from the first key when the one it is
 * given was deleted, so that a writer who keeps deleting would keep the walk from ending.
 */
export function* walkEntries(
  open: () => NativeMap,
  info: NativeMapInfo,
  subject: string,
): Generator<Entry, void, undefined> {
  const batches = walkBatches(open, info, subject);
  let left = info.maxEntries;
  let step = batches.next();
  if (step.value === 'no batches') {
    for (const key of walkKeysSingly(open, info, subject)) {
      const value = new Uint8Array(info.valueBytes);
      const status = open().lookup(key, value, 0);
      if (status === -ENOENT) continue; // deleted since
      if (status < 0) throw new BpfError('look up in', subject, -status);
      yield [key, value];
    }
    return;
  }
  for (; !step.done && left > 0; step = batches.next()) {
    const { keys, values, count } = step.value as Batch;
    for (let index = 0; index < count && left > 0; index++, left--) {
      yield [
        keys.slice(index * info.keySize, (index + 1) * info.keySize),
        values.slice(index * info.valueBytes, (index + 1) * info.valueBytes),
      ];
    }
  }
}

/** Keys alone are read singly for map types whose values cannot be read back, and in batches otherwise. */
export function* walkKeys(
  open: () => NativeMap,
  info: NativeMapInfo,
  subject: string,
): Generator<Uint8Array, void, undefined> {
  const batches = walkBatches(open, info, subject);
  let left = info.maxEntries;
  let step = batches.next();
  if (step.value === 'no batches') {
    yield* walkKeysSingly(open, info, subject);
    return;
  }
  for (; !step.done && left > 0; step = batches.next()) {
    const { keys, count } = step.value as Batch;
    for (let index = 0; index < count && left > 0; index++, left--) {
      yield keys.slice(index * info.keySize, (index + 1) * info.keySize);
    }
  }
}

interface Batch {
  keys: Uint8Array;
  values: Uint8Array;
  count: number;
}

function* walkBatches(
  open: () => NativeMap,
  info: NativeMapInfo,
  subject: string,
): Generator<Batch | 'no batches', void, undefined> {
  const entryBytes = info.keySize + info.valueBytes;
  let size = Math.max(
    1,
    Math.min(BATCH_ENTRIES, info.maxEntries, Math.floor(BATCH_BYTES / Math.max(1, entryBytes))),
  );
  const cursorBytes = Math.max(4, info.keySize);
  let keys = new Uint8Array(size * info.keySize);
  let values = new Uint8Array(size * info.valueBytes);
  let from: Uint8Array | undefined;
  while (true) {
    const next = new Uint8Array(cursorBytes);
    const { status, count } = open().lookupBatch(from, next, keys, values, size);
    if (status === -ENOSPC && size < info.maxEntries) {
      // One bucket of the hash holds more than this batch.
      size = Math.min(info.maxEntries, size * 2);
      keys = new Uint8Array(size * info.keySize);
      values = new Uint8Array(size * info.valueBytes);
      continue;
    }
    if (from === undefined && NO_BATCHES.has(status)) {
      yield 'no batches';
      return;
    }
    if (status < 0 && status !== -ENOENT) throw new BpfError('iterate', subject, -status);
    if (count > 0) yield { keys, values, count };
    if (status === -ENOENT) return;
    from = next;
  }
}

function* walkKeysSingly(
  open: () => NativeMap,
  info: NativeMapInfo,
  subject: string,
): Generator<Uint8Array, void, undefined> {
  const next = (key: Uint8Array | undefined): Uint8Array | undefined => {
    const found = new Uint8Array(info.keySize);
    const status = open().nextKey(key, found);
    if (status === -ENOENT) return undefined;
    if (status < 0) throw new BpfError('iterate', subject, -status);
    return found;
  };
  let key = next(undefined);
  for (let left = info.maxEntries; key !== undefined && left > 0; left--) {
    // Asked for before the key is handed out: the caller may delete it.
    const following = left > 1 ? next(key) : undefined;
    yield key;
    key = following;
  }
}
