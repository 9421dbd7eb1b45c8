// Owns what the namespace is: folders and links with persistent ids, storages, and what always holds of them. A value:
// commands make another one. Not here: how it is changed (commands.ts), looked up (lookup.ts) and stored.
import { z } from 'zod';
import {
  entryNameSchema,
  folderOptionsSchema,
  linkOptionsSchema,
  NAMESPACE_DEPTH_MAX,
  NAMESPACE_ENTRIES_MAX,
  STORAGE_ID_MAX,
  STORAGES_MAX,
  storageSchema,
  targetSchema,
} from '../../config/namespace.ts';
import { nameSchema } from '../../config/objects.ts';

export const ROOT_ID = 1;
/** Handles have 32 bits for it. */
export const ENTRY_ID_MAX = 0xffff_ffff;

const atMs = z.int().min(0);

const storedStorageSchema = storageSchema.required({ id: true });
/** Somewhere that links lead into; where it is, each node's file says. */
export type Storage = z.infer<typeof storedStorageSchema>;

const folderSchema = z.strictObject({
  kind: z.literal('folder'),
  id: z.int().min(ROOT_ID).max(ENTRY_ID_MAX),
  /** 0 of the root. */
  parentId: z.int().min(0).max(ENTRY_ID_MAX),
  /** Empty of the root. */
  name: z.union([z.literal(''), entryNameSchema]),
  mode: z.int().min(0).max(0o7777),
  uid: folderOptionsSchema.shape.uid.unwrap(),
  gid: folderOptionsSchema.shape.gid.unwrap(),
  admin: folderOptionsSchema.shape.admin.unwrap(),
  createdAtMs: atMs,
  /** Of what is in it; later than before after each change, whatever the clock says. */
  modifiedAtMs: atMs,
  /** Of anything about it. */
  changedAtMs: atMs,
});
export type Folder = z.infer<typeof folderSchema>;

const options = linkOptionsSchema.shape;
const linkSchema = z.strictObject({
  kind: z.literal('link'),
  id: z
    .int()
    .min(ROOT_ID + 1)
    .max(ENTRY_ID_MAX),
  parentId: z.int().min(ROOT_ID).max(ENTRY_ID_MAX),
  name: entryNameSchema,
  storage: nameSchema,
  /** For good: handles that clients have of a link lead there. */
  target: targetSchema,
  readOnly: options.readOnly.unwrap(),
  clients: options.clients.unwrap(),
  anonymousUid: options.anonymousUid.unwrap(),
  anonymousGid: options.anonymousGid.unwrap(),
  quota: options.quota,
});
export type Link = z.infer<typeof linkSchema>;

export type NamespaceEntry = Folder | Link;
export const entrySchema = z.discriminatedUnion('kind', [folderSchema, linkSchema]);

/** All but the entries. */
export const headSchema = z.strictObject({
  revision: z.int().min(0),
  nextId: z
    .int()
    .min(ROOT_ID + 1)
    .max(ENTRY_ID_MAX + 1),
  nextStorageId: z
    .int()
    .min(1)
    .max(STORAGE_ID_MAX + 1),
  storages: z.array(storedStorageSchema).max(STORAGES_MAX),
});

export type Namespace = {
  /** Grows by one with each change; 0: nothing has ever been changed. */
  readonly revision: number;
  /** Of the next folder or link: ids are never used again. */
  readonly nextId: number;
  /** Of the next storage that is not given one. */
  readonly nextStorageId: number;
  readonly storages: ReadonlyMap<string, Storage>;
  /** By id. What a change leaves alone is the same object after it. */
  readonly entries: ReadonlyMap<number, NamespaceEntry>;
};

export const DEFAULT_ROOT: Folder = {
  kind: 'folder',
  id: ROOT_ID,
  parentId: 0,
  name: '',
  mode: 0o755,
  uid: 0,
  gid: 0,
  admin: [],
  createdAtMs: 0,
  modifiedAtMs: 0,
  changedAtMs: 0,
};

export const EMPTY_NAMESPACE: Namespace = {
  revision: 0,
  nextId: ROOT_ID + 1,
  nextStorageId: 1,
  storages: new Map(),
  entries: new Map([[ROOT_ID, DEFAULT_ROOT]]),
};

/** What does not hold of it that must, in words; undefined: all does. */
export function inconsistency(namespace: Namespace): string | undefined {
  const { entries, storages, nextId } = namespace;
  if (entries.size > NAMESPACE_ENTRIES_MAX) return `there are more than ${NAMESPACE_ENTRIES_MAX} entries`;
  const root = entries.get(ROOT_ID);
  if (root?.kind !== 'folder' || root.parentId !== 0 || root.name !== '') return 'there is no root';
  const storageIds = new Set([...storages.values()].map(({ id }) => id));
  if (storageIds.size !== storages.size) return 'two storages have one id';
  const names = new Set<string>();
  for (const entry of entries.values()) {
    const { id, parentId, name } = entry;
    if (id >= nextId) return `entry ${id} has an id that is not given yet`;
    if (id === ROOT_ID) continue;
    const parent = entries.get(parentId);
    if (parent?.kind !== 'folder') return `entry ${id} is in ${parentId}, which is no folder`;
    if (name === '') return `entry ${id} has no name`;
    const place = `${parentId}/${name}`;
    if (names.has(place)) return `folder ${parentId} has ${name} twice`;
    names.add(place);
    if (entry.kind === 'link' && !storages.has(entry.storage)) {
      return `link ${id} leads to storage ${entry.storage}, which does not exist`;
    }
  }
  return depthMistake(entries);
}

/** Finds cycles as well: the way up from an entry in one has no end. */
function depthMistake(entries: Namespace['entries']): string | undefined {
  const depths = new Map([[ROOT_ID, 0]]);
  for (const start of entries.keys()) {
    const way: number[] = [];
    let id = start;
    while (!depths.has(id)) {
      way.push(id);
      if (way.length > NAMESPACE_DEPTH_MAX) return `entry ${start} is too deep, or in a cycle`;
      id = entries.get(id)!.parentId;
    }
    let depth = depths.get(id)!;
    for (const below of way.reverse()) depths.set(below, ++depth);
    if (depth > NAMESPACE_DEPTH_MAX) return `entry ${start} is deeper than ${NAMESPACE_DEPTH_MAX}`;
  }
  return undefined;
}
