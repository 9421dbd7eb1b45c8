// Owns the commands that change the namespace, as the API takes them. What they do is control/file/namespace.
import { z } from 'zod';
import {
  folderOptionsSchema,
  linkOptionsSchema,
  linkSchema,
  type NamespaceDocument,
  namespacePathSchema,
  storageSchema,
} from './namespace.ts';
import { nameSchema } from './objects.ts';

const { mode, uid, gid, admin } = folderOptionsSchema.shape;
const { readOnly, clients, anonymousUid, anonymousGid, quota } = linkOptionsSchema.shape;

/** What is absent stays; null takes an optional field away. Of a folder or of a link: what it is decides which it has. */
export const entryPatchSchema = z.strictObject({
  mode: mode.unwrap().exactOptional(),
  uid: uid.unwrap().exactOptional(),
  gid: gid.unwrap().exactOptional(),
  admin: admin.unwrap().exactOptional(),
  readOnly: readOnly.unwrap().exactOptional(),
  clients: clients.unwrap().exactOptional(),
  anonymousUid: anonymousUid.unwrap().exactOptional(),
  anonymousGid: anonymousGid.unwrap().exactOptional(),
  quota: quota.unwrap().nullable().exactOptional(),
});
export type EntryPatch = z.infer<typeof entryPatchSchema>;

export const namespaceCommandSchema = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('mkdir'),
    path: namespacePathSchema,
    parents: z.boolean().default(false).describe('Also folders above it that are missing'),
    ...folderOptionsSchema.shape,
  }),
  z.strictObject({ op: z.literal('rmdir'), path: namespacePathSchema }),
  z.strictObject({ op: z.literal('link'), ...linkSchema.shape }),
  z.strictObject({ op: z.literal('unlink'), path: namespacePathSchema }),
  z.strictObject({
    op: z.literal('mv'),
    from: namespacePathSchema,
    to: namespacePathSchema.describe('The new path, its name included'),
  }),
  z.strictObject({ op: z.literal('set'), path: namespacePathSchema, change: entryPatchSchema }),
  z.strictObject({ op: z.literal('addStorage'), ...storageSchema.shape }),
  z.strictObject({
    op: z.literal('setStorage'),
    name: nameSchema,
    description: z.string().max(1_024).nullable(),
  }),
  z.strictObject({ op: z.literal('removeStorage'), name: nameSchema }),
]);
export type EntryCommand = z.infer<typeof namespaceCommandSchema>;

/** `import`: the namespace becomes the document. */
export type NamespaceCommand = EntryCommand | { readonly op: 'import'; readonly document: NamespaceDocument };
