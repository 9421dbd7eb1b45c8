// Owns making a namespace be what a document says. What is at its path as before, and leads where it did, keeps its id:
// clients that have it mounted do not notice. Everything else is new, or gone.
import {
  type FolderForm,
  folderOptionsSchema,
  type LinkForm,
  type NamespaceDocument,
  namesOf,
} from '../../config/namespace.ts';
import { Failure } from '../../lib/failure.ts';
import { type Folder, type Link, type Namespace, type NamespaceEntry, ROOT_ID } from './document.ts';
import { checkDepth, type Draft } from './draft.ts';
import { compare, everyEntry, folderFields, folderForm, linkFields, linkForm, same } from './forms.ts';

type Wanted = {
  readonly folders: ReadonlyMap<string, FolderForm>;
  readonly links: ReadonlyMap<string, LinkForm>;
};

/** @throws Failure where the document contradicts itself, or what there is. */
export function importDocument(namespace: Namespace, draft: Draft, document: NamespaceDocument): void {
  const wanted = wantedOf(document);
  addStorages(namespace, draft, document);
  const kept = removeOthers(namespace, draft, wanted);
  const ids = new Map([['/', ROOT_ID]]);
  for (const [path, form] of [...wanted.folders].sort(byPath)) {
    ids.set(path, setFolder(draft, kept.get(path) as Folder | undefined, form, ids));
  }
  for (const [path, form] of [...wanted.links].sort(byPath)) {
    setLink(draft, kept.get(path) as Link | undefined, form, ids);
  }
  const names = new Set(document.storages.map(({ name }) => name));
  for (const name of namespace.storages.keys()) if (!names.has(name)) draft.removeStorage(name);
}

function wantedOf({ storages, folders, links }: NamespaceDocument): Wanted {
  const storageNames = new Set<string>();
  for (const { name } of storages) {
    if (storageNames.has(name)) throw contradiction(`storage ${name} is there twice`);
    storageNames.add(name);
  }
  const wanted = { folders: new Map<string, FolderForm>(), links: new Map<string, LinkForm>() };
  for (const folder of folders) {
    if (wanted.folders.has(folder.path)) throw contradiction(`folder ${folder.path} is there twice`);
    wanted.folders.set(folder.path, folder);
  }
  for (const link of links) {
    const { path, storage } = link;
    if (path === '/') throw contradiction('the root cannot be a link');
    if (wanted.links.has(path)) throw contradiction(`link ${path} is there twice`);
    if (wanted.folders.has(path)) throw contradiction(`${path} is both a folder and a link`);
    if (!storageNames.has(storage))
      throw contradiction(`link ${path} leads to storage ${storage}, which is not in it`);
    wanted.links.set(path, link);
  }
  for (const path of [...wanted.folders.keys(), ...wanted.links.keys()]) addFoldersAbove(wanted, path);
  return wanted;
}

function addFoldersAbove(wanted: Wanted & { folders: Map<string, FolderForm> }, path: string): void {
  checkDepth(namesOf(path).length, path);
  const options = folderOptionsSchema.parse({});
  for (let above = folderOf(path); ; above = folderOf(above)) {
    if (wanted.links.has(above)) throw contradiction(`${path} is below ${above}, which is a link`);
    if (!wanted.folders.has(above)) wanted.folders.set(above, { path: above, ...options });
    if (above === '/') return;
  }
}

function addStorages(namespace: Namespace, draft: Draft, { storages }: NamespaceDocument): void {
  // Those with ids of their own first: the others take what is free.
  for (const { name, id, description } of [...storages].sort(
    (a, b) => (a.id === undefined ? 1 : 0) - (b.id === undefined ? 1 : 0),
  )) {
    const known = namespace.storages.get(name);
    const text = description !== undefined && { description };
    if (known === undefined) draft.addStorage({ name, id, ...text });
    else if (id !== undefined && id !== known.id) {
      throw new Failure('conflict', `storage ${name} has id ${known.id}, not ${id}`, {
        reason: 'it is in the handles of clients, and stays while there is the storage',
        remedy: `write id ${known.id}, or give the storage another name`,
      });
    } else if (known.description !== description) draft.setStorage({ name, id: known.id, ...text });
  }
}

/** Takes out what is not wanted at its path; the rest, by path. */
function removeOthers(
  namespace: Namespace,
  draft: Draft,
  wanted: Wanted,
): ReadonlyMap<string, NamespaceEntry> {
  const kept = new Map<string, NamespaceEntry>();
  for (const { path, entry } of everyEntry(namespace)) {
    if (isWanted(path, entry, wanted)) kept.set(path, entry);
    else draft.remove(entry);
  }
  return kept;
}

function isWanted(path: string, entry: NamespaceEntry, { folders, links }: Wanted): boolean {
  if (entry.kind === 'folder') return folders.has(path) || path === '/';
  const link = links.get(path);
  return link?.storage === entry.storage && link.target === entry.target;
}

function setFolder(
  draft: Draft,
  known: Folder | undefined,
  form: FolderForm,
  ids: ReadonlyMap<string, number>,
): number {
  if (known === undefined) {
    return draft.addFolder({ ...placeOf(form.path, ids), ...folderFields(form) }).id;
  }
  if (!same(folderForm(form.path, known), form)) draft.setFolder(known, folderFields(form));
  return known.id;
}

function setLink(
  draft: Draft,
  known: Link | undefined,
  form: LinkForm,
  ids: ReadonlyMap<string, number>,
): void {
  const { path, storage, target } = form;
  if (known === undefined) draft.addLink({ ...placeOf(path, ids), storage, target, ...linkFields(form) });
  else if (!same(linkForm(path, known), { path, storage, target, ...linkFields(form) })) {
    draft.setLink(known, linkFields(form));
  }
}

function placeOf(path: string, ids: ReadonlyMap<string, number>): { parentId: number; name: string } {
  return { parentId: ids.get(folderOf(path))!, name: namesOf(path).at(-1)! };
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** A folder before what is in it. */
function byPath([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return namesOf(a).length - namesOf(b).length || compare(a, b);
}

function contradiction(message: string): Failure {
  return new Failure('invalid', 'the document contradicts itself', {
    reason: message,
    remedy: 'correct it; nothing was changed',
  });
}
