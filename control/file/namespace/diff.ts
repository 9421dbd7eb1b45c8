// Owns what differs between two values of the namespace, in the words of users.
import type { Folder, Link, Namespace, NamespaceEntry, Storage } from './document.ts';
import { compare, folderForm, linkForm, same } from './forms.ts';
import { pathOf } from './lookup.ts';

export type NamespaceChange = {
  readonly action: 'add' | 'change' | 'move' | 'remove';
  readonly kind: 'storage' | 'folder' | 'link';
  /** Of a storage its name, of the rest the path: after the change, unless it removes. */
  readonly name: string;
  /** Of what is moved: the path before. Its options may have changed as well. */
  readonly from?: string;
  readonly before?: object;
  readonly after?: object;
};

/** By kind and name. What is inside of a folder that moves has not changed. */
export function diff(before: Namespace, after: Namespace): NamespaceChange[] {
  const storages = differences(before.storages, after.storages, {
    same,
    change: (old, now) => ({ action: 'change', kind: 'storage', name: now.name, before: old, after: now }),
    one: (action, it) => ({ action, kind: 'storage', name: it.name, ...side(action, it) }),
  });
  const entries = differences(before.entries, after.entries, {
    same: (a, b) => same(visible(a), visible(b)),
    change: (old, now) => entryChange(before, after, old, now),
    one: (action, it) => {
      const path = pathOf(action === 'add' ? after : before, it.id)!;
      return { action, kind: it.kind, name: path, ...side(action, formOf(path, it)) };
    },
  });
  return [
    ...storages.sort((a, b) => compare(a.name, b.name)),
    ...entries.sort((a, b) => compare(a.name, b.name) || compare(b.action, a.action)),
  ];
}

function differences<K, T>(
  before: ReadonlyMap<K, T>,
  after: ReadonlyMap<K, T>,
  made: {
    readonly same: (a: T, b: T) => boolean;
    readonly change: (old: T, now: T) => NamespaceChange;
    readonly one: (action: 'add' | 'remove', it: T) => NamespaceChange;
  },
): NamespaceChange[] {
  if (before === after) return [];
  const changes: NamespaceChange[] = [];
  for (const [key, old] of before) if (!after.has(key)) changes.push(made.one('remove', old));
  for (const [key, now] of after) {
    const old = before.get(key);
    if (old === undefined) changes.push(made.one('add', now));
    else if (old !== now && !made.same(old, now)) changes.push(made.change(old, now));
  }
  return changes;
}

function entryChange(
  before: Namespace,
  after: Namespace,
  old: NamespaceEntry,
  now: NamespaceEntry,
): NamespaceChange {
  const name = pathOf(after, now.id)!;
  const isMoved = old.parentId !== now.parentId || old.name !== now.name;
  const forms = { before: formOf(name, old), after: formOf(name, now) };
  if (!isMoved) return { action: 'change', kind: now.kind, name, ...forms };
  return { action: 'move', kind: now.kind, name, from: pathOf(before, old.id)!, ...forms };
}

/** Times change with what is inside, which has changes of its own. */
function visible(entry: NamespaceEntry): object {
  if (entry.kind === 'link') return entry;
  const { createdAtMs: _, modifiedAtMs: __, changedAtMs: ___, ...rest } = entry;
  return rest;
}

function formOf(path: string, entry: Folder | Link): object {
  const { path: _, ...form } = entry.kind === 'folder' ? folderForm(path, entry) : linkForm(path, entry);
  return form;
}

function side(action: 'add' | 'remove', it: object | Storage): { after: object } | { before: object } {
  return action === 'add' ? { after: it } : { before: it };
}
