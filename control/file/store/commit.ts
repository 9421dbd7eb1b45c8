// Owns writing changes of the namespace: planned against the newest, written whole or not at all, again where another
// change came first. What commands come to is control/file/namespace.
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../lib/failure.ts';
import type { Entry, Operation, Store } from '../../store/contract.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../namespace/document.ts';
import { type Authorship, recordOf } from '../namespace/history.ts';
import { idKey, recordOperations, revisionOf } from './history.ts';
import {
  DOCUMENT_PREFIX,
  DocumentReader,
  encodeNamespace,
  lostNamespace,
  NAMESPACE_HEAD_KEY,
} from './layout.ts';

/** Changes come from people, their scripts, and clients that administer folders: so many others at once are a loop. */
export const NAMESPACE_COMMIT_ATTEMPTS_MAX = 20;
const PAUSE_MS_MAX = 100;

export type NamespaceCommitOptions = {
  readonly dryRun?: boolean;
  /** As this node has seen it last; revision 0: nothing. Beside it a store without a namespace has lost it. */
  readonly known?: Namespace;
  /** The plan says all that the namespace is to be: a store that has lost it takes no others. */
  readonly isWhole?: boolean;
  /** Who makes it, for the history. A change whose id was done is not done again: what there is is both results. */
  readonly author?: Authorship;
};

/**
 * `plan` is called once an attempt, with the newest namespace, and gives the next one, or the same where there is nothing
 * to do; what it throws ends it. Where the store has lost the namespace, the change is one of what is known, so that ids,
 * and with them the handles of clients, stay.
 */
export async function commitNamespace(
  store: Pick<Store, 'get' | 'list' | 'txn'>,
  plan: (namespace: Namespace) => Namespace,
  { dryRun = false, known = EMPTY_NAMESPACE, isWhole = false, author }: NamespaceCommitOptions = {},
): Promise<{ readonly before: Namespace; readonly after: Namespace }> {
  const reader = new DocumentReader();
  for (let attempt = 0; attempt < NAMESPACE_COMMIT_ATTEMPTS_MAX; attempt++) {
    const { entries } = await store.list(DOCUMENT_PREFIX);
    const stored = new Map(entries.map((entry) => [entry.key, entry]));
    const found = reader.read(stored);
    if (author !== undefined && !dryRun && (await revisionOf(store, author.id)) !== undefined)
      return { before: found, after: found };
    const isLost = found.revision === 0 && known.revision > 0;
    if (isLost && !isWhole) throw lostNamespace();
    const before = isLost ? known : found;
    const planned = plan(before);
    // What is known has to be put back, even where the document says just that.
    const after = isLost && planned === before ? { ...before, revision: before.revision + 1 } : planned;
    const operations = encodeNamespace(found, after);
    checkReadable(stored, operations, after);
    if (dryRun || operations.length === 0) return { before, after };
    const comparisons = [
      { key: NAMESPACE_HEAD_KEY, modRevision: stored.get(NAMESPACE_HEAD_KEY)?.modRevision ?? 0 },
    ];
    if (author !== undefined) {
      operations.push(...(await recordOperations(store, recordOf(before, after, author))));
      // Asked for twice at once, at two nodes perhaps, it is done once.
      comparisons.push({ key: idKey(author.id), modRevision: 0 });
    }
    const { succeeded } = await store.txn(comparisons, operations);
    if (succeeded) return { before, after };
    await sleep(Math.random() * PAUSE_MS_MAX);
  }
  throw new Failure(
    'conflict',
    `other changes of the namespace came first, ${NAMESPACE_COMMIT_ATTEMPTS_MAX} times in turn`,
    { remedy: 'see who changes it all the time, then try again' },
  );

  /** What the store would have then, read as every node will: a plan with a bug must not stop them all. */
  function checkReadable(
    stored: ReadonlyMap<string, Entry>,
    operations: readonly Operation[],
    after: Namespace,
  ): void {
    const next = new Map(stored);
    for (const operation of operations) {
      if ('delete' in operation) next.delete(operation.delete);
      else {
        const { put: key, value } = operation;
        next.set(key, { key, value, createRevision: 1, modRevision: 1 });
      }
    }
    let reason: string | undefined;
    try {
      const read = reader.read(next);
      if (read.revision === after.revision && read.entries.size === after.entries.size) return;
      reason = 'it is another one then';
    } catch (error) {
      reason = error instanceof Failure ? (error.reason ?? error.message) : String(error);
    }
    throw new Failure('internal', 'the change was not written: what comes of it cannot be read back', {
      reason,
      remedy: 'this is a bug: please report it with the change',
    });
  }
}
