// Owns writing edits of the cluster: planned against the newest state, written whole or not at all, again where another
// change came first. What edits come to is control/pool's.
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterState, type EditPlan, EMPTY_STATE } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import type { Entry, Operation, Revision, Store } from '../store/contract.ts';
import { decodeAcknowledgement } from './ack_layout.ts';
import { ACKS_PREFIX, HEAD_KEY } from './keys.ts';
import { decodeState, encodeChange, HASH_SECRET_KEY, lostCluster, OBJECTS_KEY } from './layout.ts';
import { contradicts } from './leader/barrier.ts';
import { decodeHead } from './version_layout.ts';
import { readSnapshot } from './view.ts';

/** Edits come from people and their scripts: so many others at the same moment are a loop of somebody's. */
export const COMMIT_ATTEMPTS_MAX = 20;
const PAUSE_MS_MAX = 100;

/** The cluster as this node has seen it last, and the entries that say so. */
export type KnownCluster = { readonly state: ClusterState; readonly entries: ReadonlyMap<string, Entry> };

export type CommitOptions = {
  readonly dryRun?: boolean;
  /** Beside which a store without objects has lost them. */
  readonly known?: KnownCluster | undefined;
  /** The edits say all that the cluster is to be: a store that has lost it takes no others. */
  readonly isWhole?: boolean;
};

/**
 * `plan` is called once an attempt, with the newest state; what it throws ends it. `revision` is that of the cluster
 * after the change: who has seen it has seen the change. Without one (a dry run, nothing to do), the last change's.
 *
 * Where the store has lost the cluster, the change is one of what is known: backends keep their numbers and slots their
 * backends, so that connections do not notice. The hash key's secret goes with it: it decides which slot a flow has.
 */
export async function commitEdits(
  store: Pick<Store, 'list' | 'txn'>,
  plan: (state: ClusterState) => EditPlan,
  { dryRun = false, known, isWhole = false }: CommitOptions = {},
): Promise<{ plan: EditPlan; revision: Revision }> {
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
    const { state, entries, objectsRevision } = await readSnapshot(store);
    const isLost = objectsRevision === 0 && known?.entries.has(OBJECTS_KEY) === true;
    if (isLost && !isWhole) throw lostCluster();
    if (objectsRevision === 0 && !isLost) await checkUnknown(store);
    const planned = plan(isLost ? known.state : state);
    const operations = isLost ? putBack(planned.after, known) : encodeChange(state, planned.after);
    checkReadable(state, entries, operations);
    // Revision 1 is the empty store's.
    if (dryRun || operations.length === 0) return { plan: planned, revision: Math.max(1, objectsRevision) };
    const { succeeded, revision } = await store.txn(
      [{ key: OBJECTS_KEY, modRevision: objectsRevision }],
      operations,
    );
    if (succeeded) return { plan: planned, revision };
    await sleep(Math.random() * PAUSE_MS_MAX);
  }
  throw new Failure(
    'conflict',
    `other changes of the cluster came first, ${COMMIT_ATTEMPTS_MAX} times in turn`,
    {
      remedy: 'see who changes it all the time, then try again',
    },
  );
}

/**
 * Beside a mux that has what no version of the store says, a store without objects has lost the cluster, though this node
 * never knew it: what it would write has other numbers and another secret. @throws Failure lostCluster().
 */
async function checkUnknown(store: Pick<Store, 'list'>): Promise<void> {
  const { entries } = await store.list(ACKS_PREFIX);
  if (entries.length === 0) return;
  // After them: nobody acknowledges what is not the head yet.
  const entry = (await store.list(HEAD_KEY)).entries.find(({ key }) => key === HEAD_KEY);
  const head = entry === undefined ? { number: 0, digest: '' } : decodeHead(entry);
  const knowing = entries.map(decodeAcknowledgement).find((it) => contradicts(it, head));
  if (knowing === undefined) return;
  const { name, version } = knowing;
  throw lostCluster(`${name} has version ${version} of it in effect, and this node does not know it.`);
}

function putBack(after: ClusterState, { entries }: KnownCluster): Operation[] {
  const secret = entries.get(HASH_SECRET_KEY);
  return [
    ...encodeChange(EMPTY_STATE, after),
    ...(secret === undefined ? [] : [{ put: HASH_SECRET_KEY, value: secret.value }]),
  ];
}

/** What the store would have then, read as every daemon will: a plan with a bug must not stop them all. */
function checkReadable(
  state: ClusterState,
  entries: ReadonlyMap<string, Entry>,
  operations: readonly Operation[],
): void {
  const next = new Map(entries);
  const modRevision = state.revision + 1;
  for (const operation of operations) {
    if ('delete' in operation) next.delete(operation.delete);
    else {
      const { put: key, value } = operation;
      next.set(key, { key, value, createRevision: modRevision, modRevision });
    }
  }
  try {
    decodeState(next, modRevision, state);
  } catch (error) {
    throw new Failure('internal', 'the change was not written: what comes of it cannot be read back', {
      remedy: 'this is a bug: please report it with the change',
      cause: error,
      ...(error instanceof Failure && error.reason !== undefined && { reason: error.reason }),
    });
  }
}
