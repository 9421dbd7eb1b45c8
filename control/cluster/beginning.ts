// Owns what a node needs of the cluster before it can load a program: the hash key's secret, from the store or, where
// that does not answer in time, as the node saved it; and making both agree once the store answers.
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoredNode } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import type { Store } from '../store/contract.ts';
import { HASH_SECRET_KEY, lostCluster, OBJECTS_KEY } from './layout.ts';
import { checkOnlyNode, hashSecret, registerNode, registrationEnds, secretOf } from './registry.ts';
import type { SavedState, SavedStateFile } from './saved_state.ts';

/** A store that works answers within milliseconds; a daemon that waits leaves its node without a new state. */
export const STORE_WAIT_MS = 2_000;

export type Registration = Omit<StoredNode, 'modRevision'> & {
  /** Where other nodes reach this one; undefined: nowhere. */
  readonly address: string | undefined;
};

export type Beginning = {
  readonly secret: Uint8Array;
  /** Where the store did not answer. */
  readonly saved?: { readonly state: SavedState; readonly problem: Failure };
};

/**
 * Without `file`, the store must answer. @throws Failure of the store where nothing of it was saved; conflict where
 * another node has this one's name, and renews its lease.
 */
export async function begin(
  store: Pick<Store, 'get' | 'txn'>,
  node: Registration,
  file: SavedStateFile | undefined,
): Promise<Beginning> {
  try {
    return await beginNow(store, node, file);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'conflict') throw error;
    // It may be this very node, from before its address changed. What goes wrong meanwhile is met again below.
    await registrationEnds(store, node.name).catch(() => undefined);
    return await beginNow(store, node, file);
  }
}

async function beginNow(
  store: Pick<Store, 'get' | 'txn'>,
  node: Registration,
  file: SavedStateFile | undefined,
): Promise<Beginning> {
  if (file === undefined) return { secret: await join(store, node) };
  const { state, unusable } = readCopy(file);
  try {
    return { secret: await inTime(joinKept(store, node, state)) };
  } catch (error) {
    if (!(error instanceof Failure) || error.code === 'configuration' || error.code === 'conflict')
      throw error;
    const entry = state?.entries.get(HASH_SECRET_KEY);
    if (state === undefined || entry === undefined) throw withoutCopy(error, unusable);
    return { secret: secretOf(entry.value), saved: { state, problem: startedFrom(state, error) } };
  }
}

/** What a node owes a store that answers again. True: the secret there is another one than it runs with. */
export async function catchUp(
  store: Pick<Store, 'get' | 'txn'>,
  node: Registration,
  secret: Uint8Array,
): Promise<boolean> {
  return Buffer.compare(await join(store, node, secret), secret) !== 0;
}

/** Registered, and the secret. */
async function join(
  store: Pick<Store, 'get' | 'txn'>,
  node: Registration,
  ours?: Uint8Array,
): Promise<Uint8Array> {
  await checkOnlyNode(store, node);
  await registerNode(store, node);
  return await hashSecret(store, ours);
}

/** Does nothing to a store that is not the one it was: a new secret there would be a new cluster. */
async function joinKept(
  store: Pick<Store, 'get' | 'txn'>,
  node: Registration,
  state: SavedState | undefined,
): Promise<Uint8Array> {
  const isLost = state?.entries.has(OBJECTS_KEY) && (await store.get(OBJECTS_KEY)) === undefined;
  if (isLost) throw lostCluster();
  return await join(store, node);
}

/** A copy that cannot be used matters only where it is needed. */
function readCopy(file: SavedStateFile): { state?: SavedState | undefined; unusable?: Failure } {
  try {
    return { state: file.read() };
  } catch (error) {
    if (error instanceof Failure) return { unusable: error };
    throw error;
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const late = sleep(STORE_WAIT_MS, undefined, { signal: done.signal }).then((): never => {
    throw new Failure('timeout', 'the store does not answer', {
      reason: `It did not within ${STORE_WAIT_MS / 1000} s.`,
    });
  });
  // Whichever is second is nobody's failure.
  work.catch(() => undefined);
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    done.abort();
  }
}

function withoutCopy(error: Failure, unusable: Failure | undefined): Failure {
  const copy =
    unusable === undefined
      ? 'This node has no copy of the cluster to start with.'
      : `${unusable.message}: ${unusable.reason}.`;
  return new Failure(error.code, error.message, {
    reason: `${error.reason ?? 'It does not answer.'} ${copy}`,
    remedy: error.remedy ?? 'start the store first',
    cause: error,
  });
}

function startedFrom({ savedAt, revision }: SavedState, error: Failure): Failure {
  return new Failure('unavailable', `this node started from its own copy of the cluster, of ${savedAt}`, {
    reason: `${error.body.message} The copy has revision ${revision}; what changed since is not known here.`,
    remedy: 'bring the store back: the node follows it again by itself',
  });
}
