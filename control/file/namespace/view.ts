// Owns the namespace as those who serve it see it: the newest value, questions about it, and word of each change. Where
// values come from (the store, a snapshot of the daemon) is whoever calls become().
import type { AddressBytes } from '../../lib/address.ts';
import { type Access, accessOf, isAdmin } from './access.ts';
import {
  EMPTY_NAMESPACE,
  type Folder,
  type Link,
  type Namespace,
  type NamespaceEntry,
  ROOT_ID,
  type Storage,
} from './document.ts';
import { childrenById, childrenByName, entryAt, pathOf } from './lookup.ts';

export type NamespaceListener = (now: Namespace, before: Namespace) => void;

export class NamespaceView {
  readonly #listeners = new Set<NamespaceListener>();
  #namespace: Namespace;

  constructor(namespace: Namespace = EMPTY_NAMESPACE) {
    this.#namespace = namespace;
  }

  get namespace(): Namespace {
    return this.#namespace;
  }

  /** Grows by one with each change. */
  get revision(): number {
    return this.#namespace.revision;
  }

  /** Undefined: there is no folder of this id any more, or it is a link's. */
  folder(id: number): Folder | undefined {
    const entry = this.#namespace.entries.get(id);
    return entry?.kind === 'folder' ? entry : undefined;
  }

  /** Undefined: handles that name it are stale. */
  link(id: number): Link | undefined {
    const entry = this.#namespace.entries.get(id);
    return entry?.kind === 'link' ? entry : undefined;
  }

  child(folderId: number, name: string): NamespaceEntry | undefined {
    return childrenByName(this.#namespace, folderId).get(name);
  }

  /**
   * By id, only those of greater ids than `afterId`: an id is a cookie that stays good whatever comes and goes between two
   * reads of a directory.
   */
  children(folderId: number, afterId = 0): readonly NamespaceEntry[] {
    const all = childrenById(this.#namespace, folderId);
    if (afterId === 0) return all;
    let [low, high] = [0, all.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (all[middle]!.id <= afterId) low = middle + 1;
      else high = middle;
    }
    return all.slice(low);
  }

  /** The folder that `..` is; of the root the root. */
  parent({ parentId }: NamespaceEntry): Folder {
    return this.folder(parentId) ?? this.folder(ROOT_ID)!;
  }

  storage(name: string): Storage | undefined {
    return this.#namespace.storages.get(name);
  }

  at(path: string): NamespaceEntry | undefined {
    return entryAt(this.#namespace, path);
  }

  pathOf(id: number): string | undefined {
    return pathOf(this.#namespace, id);
  }

  links(): Link[] {
    return [...this.#namespace.entries.values()].filter((it) => it.kind === 'link');
  }

  /** Undefined: the client has no access. */
  access(link: Link, client: AddressBytes): Access | undefined {
    return accessOf(link, client);
  }

  /** Whether the client may change what is in the folder through the file protocol. */
  administers(folderId: number, client: AddressBytes): boolean {
    for (let at = this.folder(folderId); at !== undefined; at = this.folder(at.parentId)) {
      if (isAdmin(at, client)) return true;
    }
    return false;
  }

  /** Tells everybody, unless it is the very same. */
  become(namespace: Namespace): void {
    const before = this.#namespace;
    if (namespace === before) return;
    this.#namespace = namespace;
    for (const listener of this.#listeners) listener(namespace, before);
  }

  /** Returns how to end it. */
  onChange(listener: NamespaceListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
