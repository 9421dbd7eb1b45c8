// Owns what each command makes of a namespace: the whole change, or a Failure that says why not. Pure; `nowMs` is the time
// that changed folders show.
import { namesOf } from '../../config/namespace.ts';
import type { EntryCommand, EntryPatch, NamespaceCommand } from '../../config/namespace_commands.ts';
import { Failure } from '../../lib/failure.ts';
import { type Folder, type Link, type Namespace, type NamespaceEntry, ROOT_ID } from './document.ts';
import { checkDepth, Draft } from './draft.ts';
import { folderFields, formatMode, joined, linkFields, same } from './forms.ts';
import { importDocument } from './import.ts';
import { childrenByName, depthOf, heightOf, pathOf, walk } from './lookup.ts';

/** The same object where the command changes nothing. @throws Failure, for what its author can do something about. */
export function apply(namespace: Namespace, command: NamespaceCommand, nowMs: number): Namespace {
  const draft = new Draft(namespace, nowMs);
  if (command.op === 'import') importDocument(namespace, draft, command.document);
  else STEPS[command.op](namespace, draft, command as never);
  return draft.finish();
}

type Of<Op extends EntryCommand['op']> = Extract<EntryCommand, { op: Op }>;
type Step<Op extends EntryCommand['op']> = (namespace: Namespace, draft: Draft, command: Of<Op>) => void;

const STEPS: { readonly [Op in EntryCommand['op']]: Step<Op> } = {
  mkdir: makeFolder,
  rmdir: removeFolder,
  link: makeLink,
  unlink: removeLink,
  mv: move,
  set: change,
  addStorage: (_, draft, { name, id, description }) => {
    checkNoStorage(draft, name);
    draft.addStorage({ name, id, ...(description !== undefined && { description }) });
  },
  setStorage: (namespace, draft, { name, description }) => {
    const { description: old, ...storage } = storageCalled(namespace, name);
    if ((old ?? null) === description) return;
    draft.setStorage({ ...storage, ...(description !== null && { description }) });
  },
  removeStorage,
};

function makeFolder(namespace: Namespace, draft: Draft, { path, parents, ...options }: Of<'mkdir'>): void {
  const names = namesOf(path);
  const found = walk(namespace, names);
  if ('entry' in found) {
    if (parents && found.entry.kind === 'folder') return;
    throw taken(path, found.entry);
  }
  checkFolder(namespace, found.above);
  checkDepth(names.length, path);
  const missing = names.slice(found.depth);
  if (missing.length > 1 && !parents) throw noFolder(names.slice(0, found.depth + 1));
  const fields = folderFields(options);
  missing.reduce((parentId, name) => draft.addFolder({ parentId, name, ...fields }).id, found.above.id);
}

function removeFolder(namespace: Namespace, draft: Draft, { path }: Of<'rmdir'>): void {
  const entry = existing(namespace, path);
  if (entry.kind === 'link') {
    throw new Failure('invalid', `${path} is a link`, { remedy: `holdfast namespace unlink ${path}` });
  }
  checkNotRoot(entry, 'removed');
  const { size } = childrenByName(namespace, entry.id);
  if (size > 0) {
    throw new Failure('in_use', `${path} is not empty`, {
      reason: `it has ${size === 1 ? 'one folder or link' : `${size} folders and links`}`,
      remedy: `remove or move them first; see holdfast namespace tree ${path}`,
    });
  }
  draft.remove(entry);
}

function makeLink(namespace: Namespace, draft: Draft, given: Of<'link'>): void {
  const { path, storage, target, ...options } = given;
  const { parentId, name } = newPlace(namespace, path);
  storageCalled(namespace, storage);
  draft.addLink({ parentId, name, storage, target, ...linkFields(options) });
}

function removeLink(namespace: Namespace, draft: Draft, { path }: Of<'unlink'>): void {
  const entry = existing(namespace, path);
  if (entry.kind === 'folder') {
    throw new Failure('invalid', `${path} is a folder`, { remedy: `holdfast namespace rmdir ${path}` });
  }
  draft.remove(entry);
}

function move(namespace: Namespace, draft: Draft, { from, to }: Of<'mv'>): void {
  const entry = existing(namespace, from);
  checkNotRoot(entry, 'moved');
  if (from === to) return;
  if (to.startsWith(`${from}/`)) {
    if (entry.kind === 'link') throw insideLink(from);
    throw new Failure('invalid', `${from} cannot be moved into itself`, { reason: `${to} is below it` });
  }
  const { parentId, name } = newPlace(namespace, to, entry.name);
  checkDepth(depthOf(namespace, parentId) + 1 + heightOf(namespace, entry.id), `${to}, with what is in it,`);
  draft.move(entry, parentId, name);
}

const FOLDER_FIELDS = ['mode', 'uid', 'gid', 'admin'] as const satisfies (keyof EntryPatch)[];
const LINK_FIELDS = [
  'readOnly',
  'clients',
  'anonymousUid',
  'anonymousGid',
  'quota',
] as const satisfies (keyof EntryPatch)[];

function change(namespace: Namespace, draft: Draft, { path, change: patch }: Of<'set'>): void {
  const entry = existing(namespace, path);
  const own: readonly string[] = entry.kind === 'folder' ? FOLDER_FIELDS : LINK_FIELDS;
  const given = Object.entries(patch).filter(([, value]) => value !== undefined);
  const foreign = given.map(([field]) => field).find((field) => !own.includes(field));
  if (foreign !== undefined) {
    throw new Failure('invalid', `a ${entry.kind} has no ${foreign}`, {
      reason: `${path} is a ${entry.kind}, which has ${own.join(', ')}`,
    });
  }
  if (entry.kind === 'folder') setFolder(draft, entry, Object.fromEntries(given) as EntryPatch);
  else setLink(draft, entry, Object.fromEntries(given) as EntryPatch);
}

function setFolder(draft: Draft, folder: Folder, patch: EntryPatch): void {
  const { mode, uid, gid, admin } = folder;
  const fields = { mode, uid, gid, admin };
  const next = folderFields({ mode: formatMode(mode), uid, gid, admin, ...patch });
  if (!same(fields, next)) draft.setFolder(folder, next);
}

function setLink(draft: Draft, link: Link, { quota, ...patch }: EntryPatch): void {
  const next = linkFields({ ...linkFields(link), ...patch, ...(quota && { quota }) });
  if (quota === null) delete next.quota;
  if (!same(linkFields(link), next)) draft.setLink(link, next);
}

function removeStorage(namespace: Namespace, draft: Draft, { name }: Of<'removeStorage'>): void {
  storageCalled(namespace, name);
  const links = [...namespace.entries.values()].filter((it) => it.kind === 'link' && it.storage === name);
  if (links.length > 0) {
    throw new Failure('in_use', `storage ${name} is in use`, {
      reason: `${links.length === 1 ? 'a link leads' : `${links.length} links lead`} into it, such as ${pathOf(namespace, links[0]!.id)}`,
      remedy: 'remove them first: holdfast namespace unlink',
    });
  }
  draft.removeStorage(name);
}

/** Where something new, or moved, comes to be. `moved`: its name before. */
function newPlace(namespace: Namespace, path: string, moved?: string): { parentId: number; name: string } {
  const names = namesOf(path);
  const found = walk(namespace, names);
  if ('entry' in found) throw taken(path, found.entry, moved);
  checkFolder(namespace, found.above);
  checkDepth(names.length, path);
  if (found.depth < names.length - 1) throw noFolder(names.slice(0, found.depth + 1));
  return { parentId: found.above.id, name: names.at(-1)! };
}

function existing(namespace: Namespace, path: string): NamespaceEntry {
  const found = walk(namespace, namesOf(path));
  if ('entry' in found) return found.entry;
  checkFolder(namespace, found.above);
  throw new Failure('not_found', `there is no ${path} in the namespace`, {
    remedy: 'see those there are: holdfast namespace tree',
  });
}

function storageCalled({ storages }: Pick<Namespace, 'storages'>, name: string) {
  const storage = storages.get(name);
  if (storage !== undefined) return storage;
  throw new Failure('not_found', `there is no storage ${name}`, {
    reason:
      storages.size === 0 ? 'there is none at all' : `there are ${[...storages.keys()].sort().join(', ')}`,
    remedy: `add it first: holdfast storages add ${name}`,
  });
}

function checkNoStorage({ storages }: Pick<Namespace, 'storages'>, name: string): void {
  if (!storages.has(name)) return;
  throw new Failure('conflict', `storage ${name} exists`, { remedy: 'see holdfast storages list' });
}

function checkFolder(namespace: Namespace, entry: NamespaceEntry): void {
  if (entry.kind === 'link') throw insideLink(pathOf(namespace, entry.id)!);
}

function checkNotRoot({ id }: NamespaceEntry, what: string): void {
  if (id === ROOT_ID) throw new Failure('invalid', `the root cannot be ${what}`);
}

function insideLink(path: string): Failure {
  return new Failure('invalid', `${path} is a link`, {
    reason: 'what is below a link is in its storage, not in the namespace',
    remedy: 'change it there, or through a client that has mounted the link',
  });
}

function taken(path: string, { kind }: NamespaceEntry, moved?: string): Failure {
  const into = kind === 'folder' && moved !== undefined;
  return new Failure('conflict', `${path} exists`, {
    reason: `it is a ${kind}`,
    remedy: into
      ? `to move into the folder, write ${joined(path, moved)}`
      : 'choose another name, or remove it first',
  });
}

function noFolder(names: readonly string[]): Failure {
  const path = `/${names.join('/')}`;
  return new Failure('not_found', `there is no folder ${path}`, {
    remedy: `make it first: holdfast namespace mkdir ${path}`,
  });
}
