// Owns finding what is in a namespace: by path, by name in a folder, in order. Found once for each value, when it is
// first asked for.
import { namesOf } from '../../config/namespace.ts';
import { type Namespace, type NamespaceEntry, ROOT_ID } from './document.ts';

type Children = ReadonlyMap<string, NamespaceEntry>;
type Entries = Namespace['entries'];

const known = new WeakMap<Entries, ReadonlyMap<number, Children>>();
const ordered = new WeakMap<Children, readonly NamespaceEntry[]>();
const NONE: Children = new Map();

/** By name. */
export function childrenByName({ entries }: Pick<Namespace, 'entries'>, folderId: number): Children {
  let index = known.get(entries);
  if (index === undefined) {
    index = indexOf(entries);
    known.set(entries, index);
  }
  return index.get(folderId) ?? NONE;
}

/** By id, so that each has its place for as long as it is there. */
export function childrenById(
  namespace: Pick<Namespace, 'entries'>,
  folderId: number,
): readonly NamespaceEntry[] {
  const children = childrenByName(namespace, folderId);
  let sorted = ordered.get(children);
  if (sorted === undefined) {
    sorted = [...children.values()].sort((a, b) => a.id - b.id);
    ordered.set(children, sorted);
  }
  return sorted;
}

/** The entry at a path; or the first name on the way that is not there, or is below a link. */
export function walk(
  namespace: Namespace,
  names: readonly string[],
): { readonly entry: NamespaceEntry } | { readonly above: NamespaceEntry; readonly depth: number } {
  let entry = namespace.entries.get(ROOT_ID)!;
  for (const [depth, name] of names.entries()) {
    const next = childrenByName(namespace, entry.id).get(name);
    if (next === undefined) return { above: entry, depth };
    entry = next;
  }
  return { entry };
}

export function entryAt(namespace: Namespace, path: string): NamespaceEntry | undefined {
  const found = walk(namespace, namesOf(path));
  return 'entry' in found ? found.entry : undefined;
}

/** From the root; undefined where there is no such entry. */
export function pathOf({ entries }: Pick<Namespace, 'entries'>, id: number): string | undefined {
  const names: string[] = [];
  for (let at = entries.get(id); at?.id !== ROOT_ID; at = entries.get(at.parentId)) {
    if (at === undefined) return undefined;
    names.push(at.name);
  }
  return `/${names.reverse().join('/')}`;
}

export function depthOf({ entries }: Pick<Namespace, 'entries'>, id: number): number {
  let depth = 0;
  for (let at = entries.get(id); at !== undefined && at.id !== ROOT_ID; at = entries.get(at.parentId))
    depth++;
  return depth;
}

/** Levels below an entry. */
export function heightOf(namespace: Pick<Namespace, 'entries'>, id: number): number {
  let height = 0;
  let level = [...childrenByName(namespace, id).values()];
  while (level.length > 0) {
    height++;
    level = level.flatMap((it) => [...childrenByName(namespace, it.id).values()]);
  }
  return height;
}

function indexOf(entries: Entries): ReadonlyMap<number, Children> {
  const index = new Map<number, Map<string, NamespaceEntry>>();
  for (const entry of entries.values()) {
    if (entry.id === ROOT_ID) continue;
    const children = index.get(entry.parentId);
    if (children === undefined) index.set(entry.parentId, new Map([[entry.name, entry]]));
    else children.set(entry.name, entry);
  }
  return index;
}
