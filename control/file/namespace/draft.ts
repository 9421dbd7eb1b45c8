// Owns a namespace that is being changed: entries put, moved and taken out by id, with the rules that hold for each such
// step. Commands by path (commands.ts) and documents (import.ts) are made of these.
import {
  NAMESPACE_DEPTH_MAX,
  NAMESPACE_ENTRIES_MAX,
  STORAGE_ID_MAX,
  STORAGES_MAX,
} from '../../config/namespace.ts';
import { Failure } from '../../lib/failure.ts';
import {
  ENTRY_ID_MAX,
  type Folder,
  type Link,
  type Namespace,
  type NamespaceEntry,
  type Storage,
} from './document.ts';

export type NewFolder = Omit<Folder, 'kind' | 'id' | 'createdAtMs' | 'modifiedAtMs' | 'changedAtMs'>;
export type NewLink = Omit<Link, 'kind' | 'id'>;

/** Checks limits, and no more: whoever takes a step has looked whether it makes sense. */
export class Draft {
  readonly #before: Namespace;
  readonly #nowMs: number;
  readonly #entries: Map<number, NamespaceEntry>;
  readonly #storages: Map<string, Storage>;
  #nextId: number;
  #nextStorageId: number;
  #isChanged = false;

  constructor(before: Namespace, nowMs: number) {
    this.#before = before;
    // The clock of a node may be wrong, but not before all time.
    this.#nowMs = Math.max(0, Math.floor(nowMs));
    this.#entries = new Map(before.entries);
    this.#storages = new Map(before.storages);
    this.#nextId = before.nextId;
    this.#nextStorageId = before.nextStorageId;
  }

  get entries(): Namespace['entries'] {
    return this.#entries;
  }

  get storages(): Namespace['storages'] {
    return this.#storages;
  }

  addFolder(folder: NewFolder): Folder {
    const at = this.#nowMs;
    const times = { createdAtMs: at, modifiedAtMs: at, changedAtMs: at };
    const added: Folder = { kind: 'folder', id: this.#takeId(), ...folder, ...times };
    this.#put(added);
    this.#touch(added.parentId);
    return added;
  }

  addLink(link: NewLink): Link {
    const added: Link = { kind: 'link', id: this.#takeId(), ...link };
    this.#put(added);
    this.#touch(added.parentId);
    return added;
  }

  remove({ id, parentId }: NamespaceEntry): void {
    this.#entries.delete(id);
    this.#isChanged = true;
    this.#touch(parentId);
  }

  move({ id }: NamespaceEntry, parentId: number, name: string): void {
    const entry = this.#entries.get(id)!;
    this.#put({ ...entry, parentId, name });
    this.#touch(entry.parentId);
    if (entry.parentId !== parentId) this.#touch(parentId);
  }

  setFolder({ id }: Folder, fields: Pick<Folder, 'mode' | 'uid' | 'gid' | 'admin'>): void {
    const folder = this.#entries.get(id) as Folder;
    this.#put({ ...folder, ...fields, changedAtMs: this.#after(folder.changedAtMs) });
  }

  /** All options: what `fields` does not have is not there afterwards. */
  setLink(
    { id }: Link,
    fields: Omit<Link, 'kind' | 'id' | 'parentId' | 'name' | 'storage' | 'target'>,
  ): void {
    const { kind, parentId, name, storage, target } = this.#entries.get(id) as Link;
    this.#put({ kind, id, parentId, name, storage, target, ...fields });
  }

  addStorage({ id, ...storage }: Omit<Storage, 'id'> & { readonly id?: number | undefined }): void {
    if (this.#storages.size >= STORAGES_MAX) {
      throw new Failure('limit', `there are ${STORAGES_MAX} storages already`, {
        remedy: 'remove one that no link leads into',
      });
    }
    const given = id ?? this.#freeStorageId();
    const owner = [...this.#storages.values()].find((it) => it.id === given);
    if (owner !== undefined) {
      throw new Failure('conflict', `storage ${owner.name} has id ${given}`, {
        reason: 'handles of clients tell storages by their ids',
        remedy: 'give another id, or none',
      });
    }
    this.#nextStorageId = Math.max(this.#nextStorageId, given + 1);
    this.setStorage({ ...storage, id: given });
  }

  setStorage(storage: Storage): void {
    this.#storages.set(storage.name, storage);
    this.#isChanged = true;
  }

  removeStorage(name: string): void {
    this.#storages.delete(name);
    this.#isChanged = true;
  }

  /** The same object where nothing was changed. */
  finish(): Namespace {
    if (!this.#isChanged) return this.#before;
    return {
      revision: this.#before.revision + 1,
      nextId: this.#nextId,
      nextStorageId: this.#nextStorageId,
      storages: this.#storages,
      entries: this.#entries,
    };
  }

  #put(entry: NamespaceEntry): void {
    this.#entries.set(entry.id, entry);
    this.#isChanged = true;
  }

  #touch(folderId: number): void {
    const folder = this.#entries.get(folderId);
    // It may have gone in the same step.
    if (folder?.kind !== 'folder') return;
    const modifiedAtMs = this.#after(folder.modifiedAtMs);
    this.#put({ ...folder, modifiedAtMs, changedAtMs: Math.max(modifiedAtMs, folder.changedAtMs + 1) });
  }

  /** Clients take what they know to be true until a time differs. */
  #after(beforeMs: number): number {
    return Math.max(this.#nowMs, beforeMs + 1);
  }

  #takeId(): number {
    if (this.#entries.size >= NAMESPACE_ENTRIES_MAX) {
      throw new Failure('limit', `the namespace has ${NAMESPACE_ENTRIES_MAX} folders and links already`, {
        remedy: 'remove some: directories inside of links do not count',
      });
    }
    if (this.#nextId > ENTRY_ID_MAX) {
      throw new Failure('limit', 'all ids of folders and links were given', {
        reason: 'an id is never given again: handles that clients have would mean something else',
      });
    }
    return this.#nextId++;
  }

  #freeStorageId(): number {
    if (this.#nextStorageId <= STORAGE_ID_MAX) return this.#nextStorageId;
    const taken = new Set([...this.#storages.values()].map(({ id }) => id));
    for (let id = 1; ; id++) if (!taken.has(id)) return id;
  }
}

export function checkDepth(depth: number, path: string): void {
  if (depth <= NAMESPACE_DEPTH_MAX) return;
  throw new Failure('limit', `${path} would be ${depth} names deep`, {
    reason: `at most ${NAMESPACE_DEPTH_MAX} are possible`,
    remedy: 'put it higher up',
  });
}
