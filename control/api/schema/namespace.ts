// Owns what the API says of the namespace: what is in it, and what a command changes. What commands are is
// control/config/namespace_commands.ts; the document that is imported, control/config/namespace.ts.
import { z } from 'zod';
import { folderSchema, linkSchema, namespacePathSchema, storageSchema } from '../../config/namespace.ts';
import { count } from './common.ts';

/** Of changes that are told one by one. */
export const NAMESPACE_CHANGES_MAX = 1_000;

const id = count.describe('For good, and never another one’s');

export const namespaceEntrySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('folder'), id, ...folderSchema.shape, modifiedAtMs: count }),
  z.object({ kind: z.literal('link'), id, ...linkSchema.shape }),
]);
export type NamespaceEntryView = z.infer<typeof namespaceEntrySchema>;

export const storageViewSchema = z.object({
  ...storageSchema.required({ id: true }).shape,
  links: count.describe('That lead into it'),
});
export type StorageView = z.infer<typeof storageViewSchema>;

export const namespaceSchema = z.object({
  revision: count.describe('Of the namespace, not of the store: grows by one with each change'),
  storages: z.array(storageViewSchema).describe('By name'),
  entries: z
    .array(namespaceEntrySchema)
    .describe('By name, and what is in a folder after it: the order in which a tree is drawn'),
  service: z
    .object({ address: z.string(), port: count })
    .optional()
    .describe('Where clients mount it; absent where the node that answers does not serve files'),
});
export type NamespaceState = z.infer<typeof namespaceSchema>;

export const namespaceQuerySchema = z.strictObject({
  path: namespacePathSchema.default('/').describe('Only this, and what is in it'),
});

const changedSchema = z.object({
  action: z.enum(['add', 'change', 'move', 'remove']),
  kind: z.enum(['storage', 'folder', 'link']),
  name: z.string().describe('Of a storage its name, of the rest the path'),
  from: z.string().optional().describe('The path before, of what is moved; what is inside moves along'),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
});

export const namespaceChangeSchema = z.object({
  dryRun: z.boolean(),
  revision: count.describe('Of the namespace after the change; before it on a dry run'),
  amounts: z.object({ add: count, change: count, move: count, remove: count }),
  changes: z.array(changedSchema).describe(`The first ${NAMESPACE_CHANGES_MAX}`),
});
export type NamespaceChange = z.infer<typeof namespaceChangeSchema>;
