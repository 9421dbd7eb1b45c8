// Owns what is remembered of each change: what it touched, as it was before and after. From that come the namespace as it was
// at an earlier revision, and the change that takes one back. Not here: where it is kept (control/file/store).
import { z } from 'zod';
import { nameSchema } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import { entrySchema, headSchema, inconsistency, type Namespace, type NamespaceEntry } from './document.ts';
import { same } from './forms.ts';
import { pathOf } from './lookup.ts';

/** Older ones are forgotten. */
export const HISTORY_REVISIONS_MAX = 1_000;
/** Of the entries that a change touched; a greater one is remembered without them, and cannot be taken back. */
export const RECORD_ENTRIES_MAX = 2_000;

const head = headSchema.omit({ revision: true });
const changeSchema = z.strictObject({
  /** Undefined: it was not there. */
  before: entrySchema.exactOptional(),
  after: entrySchema.exactOptional(),
});
type Change = z.infer<typeof changeSchema>;

export const recordSchema = z.strictObject({
  revision: z.int().min(1),
  /** Of the command, given by whoever made it: it is done once, however often it is asked for. */
  id: z.string().min(1).max(128),
  atMs: z.int().min(0),
  /** Where it was made, and for whom: a user of the API, or a client's address. */
  node: nameSchema,
  by: z.string().max(256),
  /** In words: `mkdir /projects`. */
  what: z.string().max(8_192),
  /** Undefined: too much was touched to be remembered. */
  content: z
    .strictObject({ head: z.strictObject({ before: head, after: head }), changes: z.array(changeSchema) })
    .exactOptional(),
});
export type ChangeRecord = z.infer<typeof recordSchema>;
export type Authorship = Pick<ChangeRecord, 'id' | 'atMs' | 'node' | 'by' | 'what'>;

/** Of what `before` became; entries that a change leaves alone are the same objects. */
export function recordOf(before: Namespace, after: Namespace, author: Authorship): ChangeRecord {
  const changes: Change[] = [];
  for (const [id, old] of before.entries) {
    const now = after.entries.get(id);
    if (now === old) continue;
    if (now === undefined) changes.push({ before: old });
    else if (!same(old, now)) changes.push({ before: old, after: now });
  }
  for (const [id, now] of after.entries) if (!before.entries.has(id)) changes.push({ after: now });
  const record = { ...author, revision: after.revision };
  if (changes.length > RECORD_ENTRIES_MAX) return record;
  return { ...record, content: { head: { before: headOf(before), after: headOf(after) }, changes } };
}

/** The namespace as it was at `revision`. `records`: of all changes since, in any order. @throws Failure */
export function namespaceAt(
  namespace: Namespace,
  records: ReadonlyMap<number, ChangeRecord>,
  revision: number,
): Namespace {
  if (revision > namespace.revision) {
    throw new Failure('not_found', `there is no revision ${revision} yet`, {
      reason: `the namespace is at revision ${namespace.revision}`,
    });
  }
  const entries = new Map(namespace.entries);
  let { storages, nextId, nextStorageId } = headOf(namespace);
  for (let at = namespace.revision; at > revision; at--) {
    const { head, changes } = contentOf(records, at);
    for (const { before, after } of changes) {
      if (before === undefined) entries.delete(after!.id);
      else entries.set(before.id, before);
    }
    ({ storages, nextId, nextStorageId } = head.before);
  }
  return { revision, nextId, nextStorageId, storages: new Map(storages.map((it) => [it.name, it])), entries };
}

/**
 * What takes the change back and leaves all later ones: every field that it changed is as before. Ids come back with what it
 * removed, so handles of clients work again. @throws Failure `conflict` where a later change stands in the way.
 */
export function undo(
  namespace: Namespace,
  records: ReadonlyMap<number, ChangeRecord>,
  revision: number,
  nowMs: number,
): Namespace {
  if (revision > namespace.revision || revision < 1) {
    throw new Failure('not_found', `there is no revision ${revision} to take back`, { remedy: HISTORY });
  }
  const { head, changes } = contentOf(records, revision);
  const entries = new Map(namespace.entries);
  const atMs = Math.max(0, Math.floor(nowMs));
  for (const change of changes) takeBack(namespace, entries, change, { revision, atMs });
  const after: Namespace = {
    ...namespace,
    revision: namespace.revision + 1,
    storages: storagesBefore(namespace, head, revision),
    entries,
  };
  if (
    same([...headOf(after).storages], [...headOf(namespace).storages]) &&
    isSame(namespace.entries, entries)
  )
    return namespace;
  const wrong = inconsistency(after);
  if (wrong !== undefined) throw inTheWay(revision, wrong);
  return after;
}

type Step = { readonly revision: number; readonly atMs: number };

function takeBack(
  namespace: Namespace,
  entries: Map<number, NamespaceEntry>,
  { before, after }: Change,
  step: Step,
): void {
  const { id } = (before ?? after)!;
  const current = entries.get(id);
  if (before === undefined) {
    if (current !== undefined) entries.delete(id);
    return;
  }
  if (after === undefined) {
    if (current !== undefined) throw inTheWay(step.revision, `${pathOf(namespace, id)} is there again`);
    entries.set(id, before.kind === 'folder' ? touched(before, step.atMs) : before);
    return;
  }
  if (current === undefined) throw inTheWay(step.revision, `what it changed was removed since`);
  const next: Record<string, unknown> = { ...current };
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const field of fields) {
    if (TIMES.has(field)) continue;
    const [old, made, now] = [before, after, current].map((it) => (it as Record<string, unknown>)[field]);
    if (same(old, made)) continue;
    if (!same(now, made))
      throw inTheWay(step.revision, `${field} of ${pathOf(namespace, id)} was changed again since`);
    if (old === undefined) delete next[field];
    else next[field] = old;
  }
  const entry = next as NamespaceEntry;
  entries.set(id, entry.kind === 'folder' ? touched(entry, step.atMs) : entry);
}

/** Clients take what they know to be true until a time differs. */
function touched<T extends NamespaceEntry & { kind: 'folder' }>(folder: T, atMs: number): T {
  const modifiedAtMs = Math.max(atMs, folder.modifiedAtMs + 1);
  return { ...folder, modifiedAtMs, changedAtMs: Math.max(modifiedAtMs, folder.changedAtMs + 1) };
}

const TIMES: ReadonlySet<string> = new Set(['createdAtMs', 'modifiedAtMs', 'changedAtMs']);
type Content = NonNullable<ChangeRecord['content']>;

function storagesBefore(
  namespace: Namespace,
  { before, after }: Content['head'],
  revision: number,
): Namespace['storages'] {
  const storages = new Map(namespace.storages);
  const old = new Map(before.storages.map((it) => [it.name, it]));
  const made = new Map(after.storages.map((it) => [it.name, it]));
  for (const name of new Set([...old.keys(), ...made.keys()])) {
    if (same(old.get(name), made.get(name))) continue;
    if (!same(storages.get(name), made.get(name)))
      throw inTheWay(revision, `storage ${name} was changed again since`);
    const known = old.get(name);
    if (known === undefined) storages.delete(name);
    else storages.set(name, known);
  }
  return storages;
}

function headOf({ nextId, nextStorageId, storages }: Namespace): z.infer<typeof head> {
  return { nextId, nextStorageId, storages: [...storages.values()] };
}

function isSame(a: Namespace['entries'], b: Namespace['entries']): boolean {
  return a.size === b.size && [...a].every(([id, entry]) => b.get(id) === entry);
}

function contentOf(records: ReadonlyMap<number, ChangeRecord>, revision: number): Content {
  const record = records.get(revision);
  if (record?.content !== undefined) return record.content;
  if (record !== undefined) {
    throw new Failure('limit', `revision ${revision} touched too much to be remembered`, {
      reason: `at most ${RECORD_ENTRIES_MAX} folders and links are`,
      remedy: 'holdfast namespace import what was exported before it',
    });
  }
  throw new Failure('not_found', `what revision ${revision} changed is not known any more`, {
    reason: `the last ${HISTORY_REVISIONS_MAX} changes are remembered`,
    remedy: HISTORY,
  });
}

const HISTORY = 'see those there are: holdfast namespace history';

function inTheWay(revision: number, reason: string): Failure {
  return new Failure('conflict', `revision ${revision} cannot be taken back by itself`, {
    reason,
    remedy: `take back later changes first, or change it by hand; see holdfast namespace diff ${revision - 1} ${revision}`,
  });
}
