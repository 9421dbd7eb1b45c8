// Owns the forms between what users write and what the namespace has: a folder, a link, a storage.
import type {
  FolderForm,
  FolderOptions,
  LinkForm,
  LinkOptions,
  NamespaceDocument,
} from '../../config/namespace.ts';
import { type Folder, type Link, type Namespace, ROOT_ID } from './document.ts';
import { childrenByName } from './lookup.ts';

export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

export function folderFields({
  mode,
  uid,
  gid,
  admin,
}: FolderOptions): Pick<Folder, 'mode' | 'uid' | 'gid' | 'admin'> {
  return { mode: Number.parseInt(mode, 8), uid, gid, admin };
}

export function linkFields(options: LinkOptions): LinkOptions {
  const { readOnly, clients, anonymousUid, anonymousGid, quota } = options;
  return { readOnly, clients, anonymousUid, anonymousGid, ...(quota !== undefined && { quota }) };
}

export function folderForm(path: string, { mode, uid, gid, admin }: Folder): FolderForm {
  return { path, mode: formatMode(mode), uid, gid, admin };
}

export function linkForm(path: string, link: Link): LinkForm {
  return { path, storage: link.storage, target: link.target, ...linkFields(link) };
}

/** All of it, by path; a folder comes before what is in it. */
export function documentOf(namespace: Namespace): NamespaceDocument {
  const folders: FolderForm[] = [];
  const links: LinkForm[] = [];
  for (const { path, entry } of everyEntry(namespace)) {
    if (entry.kind === 'folder') folders.push(folderForm(path, entry));
    else links.push(linkForm(path, entry));
  }
  const storages = [...namespace.storages.values()].sort((a, b) => compare(a.name, b.name));
  return { storages, folders, links };
}

/** With their paths, in the order in which a tree is drawn: by name, and what is in a folder after it. */
export function* everyEntry(
  namespace: Namespace,
  from: { readonly path: string; readonly entry: Folder | Link } = {
    path: '/',
    entry: namespace.entries.get(ROOT_ID)!,
  },
): Generator<{ readonly path: string; readonly entry: Folder | Link }> {
  yield from;
  const children = [...childrenByName(namespace, from.entry.id).values()];
  for (const entry of children.sort((a, b) => compare(a.name, b.name))) {
    yield* everyEntry(namespace, { path: joined(from.path, entry.name), entry });
  }
}

export function joined(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Of values as the schemas make them, which have their fields in one order. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
