// Owns the namespace of the file service as users write it: storages, folders, links and their options; defaults and
// limits. `namespace export` gives it, `namespace import` takes it, as YAML or JSON. Not here: reading such a
// file (namespace_document.ts), ids and commands (control/file/namespace), and where a storage is on a node (node.ts).
import { z } from 'zod';
import { parsePrefix } from '../lib/address.ts';
import { nameSchema } from './objects.ts';

/** Folders and links together, the root among them. */
export const NAMESPACE_ENTRIES_MAX = 65_536;
/** Names from the root to an entry. */
export const NAMESPACE_DEPTH_MAX = 64;
/** Of UTF-8: what file systems of Linux take. */
export const ENTRY_NAME_BYTES_MAX = 255;
/** Of Linux: PATH_MAX less its zero. */
export const TARGET_BYTES_MAX = 4_095;
export const STORAGES_MAX = 256;
/** It has 16 bits in handles. */
export const STORAGE_ID_MAX = 65_535;
/** Of a link, and prefixes of a folder that may administer it. */
export const CLIENT_RULES_MAX = 128;
/** Of Linux: -1 is nobody's, and means "leave it" to chown. */
const ID_MAX = 0xffff_fffe;
const NOBODY = 65_534;

const encoder = new TextEncoder();
const bytesOf = (text: string): number => encoder.encode(text).length;

/** Why this cannot be the name of a folder or link; undefined: it can. */
export function nameMistake(name: string): string | undefined {
  if (name === '') return 'a name is empty';
  if (name === '.' || name === '..') return `${name} is no name`;
  if (name.includes('/')) return 'a name has no /';
  // Terminals and logs of operators show names.
  if (/\p{Cc}/u.test(name)) return 'a name has no control characters';
  if (!name.isWellFormed()) return 'a name is well-formed Unicode';
  if (bytesOf(name) > ENTRY_NAME_BYTES_MAX)
    return `a name has at most ${ENTRY_NAME_BYTES_MAX} bytes of UTF-8`;
  return undefined;
}

/** `/`: no names. Not checked. */
export function namesOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

function pathMistake(path: string): string | undefined {
  if (!path.startsWith('/')) return 'a path in the namespace begins with /';
  const names = namesOf(path);
  if (names.length > NAMESPACE_DEPTH_MAX) return `a path has at most ${NAMESPACE_DEPTH_MAX} names`;
  return names.map(nameMistake).find((it) => it !== undefined);
}

function targetMistake(target: string): string | undefined {
  if (target === '.') return undefined;
  if (target.startsWith('/')) return "a target is relative to the storage's root";
  if (bytesOf(target) > TARGET_BYTES_MAX) return `a target has at most ${TARGET_BYTES_MAX} bytes`;
  return target
    .split('/')
    .map(nameMistake)
    .find((it) => it !== undefined);
}

function prefixMistake(text: string): string | undefined {
  try {
    parsePrefix(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const checked = (mistake: (text: string) => string | undefined, charactersMax: number) =>
  z
    .string()
    .max(charactersMax)
    .superRefine((text, context) => {
      const message = mistake(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    });

export const entryNameSchema = checked(nameMistake, ENTRY_NAME_BYTES_MAX);
export const namespacePathSchema = checked(
  pathMistake,
  NAMESPACE_DEPTH_MAX * (ENTRY_NAME_BYTES_MAX + 1),
).describe('Path in the namespace, from its root: /projects/web');
export const targetSchema = checked(targetMistake, TARGET_BYTES_MAX).describe(
  "Directory that a link leads to, from the storage's root: projects/web; the root itself is .",
);
export const addressPrefixSchema = checked(prefixMistake, 64).describe(
  'An address, or a prefix: 192.0.2.0/24, 2001:db8::/32',
);

const idSchema = z.int().min(0).max(ID_MAX);

export const storageIdSchema = z.int().min(1).max(STORAGE_ID_MAX);
export const storageSchema = z.strictObject({
  name: nameSchema,
  id: storageIdSchema
    .optional()
    .describe('In the handles of clients, for good; absent: the next that is free'),
  description: z.string().max(1_024).optional(),
});

/** Without its place. */
export const folderOptionsSchema = z.strictObject({
  mode: z
    .string({ error: 'must be four octal digits in quotes, such as "0755"' })
    .regex(/^[0-7]{4}$/, 'must be four octal digits, such as 0755')
    .default('0755')
    .describe('Permissions that clients see, four octal digits'),
  uid: idSchema.default(0),
  gid: idSchema.default(0),
  admin: z
    .array(addressPrefixSchema)
    .max(CLIENT_RULES_MAX)
    .default([])
    .describe('Clients that may change what is in this folder and below through the file protocol'),
});
export type FolderOptions = z.infer<typeof folderOptionsSchema>;

export const ACCESSES = ['rw', 'ro', 'none'] as const;
export const SQUASHES = ['root', 'all', 'none'] as const;

export const clientRuleSchema = z.strictObject({
  address: addressPrefixSchema,
  access: z.enum(ACCESSES),
  squash: z
    .enum(SQUASHES)
    .default('root')
    .describe('Whose requests are those of nobody: root: of uid and gid 0; all: everybody; none: nobody'),
});
export type ClientRule = z.infer<typeof clientRuleSchema>;

export const quotaSchema = z
  .strictObject({
    bytes: z.int().min(0).optional().describe('That files below the link may take'),
    files: z.int().min(0).optional().describe('Files and directories below the link'),
  })
  .refine((it) => it.bytes !== undefined || it.files !== undefined, {
    error: 'says neither bytes nor files',
  });

/** Without its place and what it leads to. */
export const linkOptionsSchema = z.strictObject({
  readOnly: z.boolean().default(false).describe('Nobody may write, whatever the clients say'),
  clients: z
    .array(clientRuleSchema)
    .max(CLIENT_RULES_MAX)
    .default([])
    .describe('The first that a client belongs to counts; a client of none has no access'),
  anonymousUid: idSchema.default(NOBODY).describe('Who is squashed is this user'),
  anonymousGid: idSchema.default(NOBODY),
  quota: quotaSchema.optional(),
});
export type LinkOptions = z.infer<typeof linkOptionsSchema>;

export const folderSchema = z.strictObject({
  path: namespacePathSchema,
  ...folderOptionsSchema.shape,
});
export type FolderForm = z.infer<typeof folderSchema>;

export const linkSchema = z.strictObject({
  path: namespacePathSchema,
  storage: nameSchema.describe('Name of the storage it leads into'),
  target: targetSchema,
  ...linkOptionsSchema.shape,
});
export type LinkForm = z.infer<typeof linkSchema>;

/** What `namespace import` takes and `export` gives. Folders above what is named are there without being named. */
export const namespaceDocumentSchema = z.strictObject({
  storages: z.array(storageSchema).max(STORAGES_MAX).default([]),
  folders: z.array(folderSchema).max(NAMESPACE_ENTRIES_MAX).default([]),
  links: z.array(linkSchema).max(NAMESPACE_ENTRIES_MAX).default([]),
});
export type NamespaceDocument = z.infer<typeof namespaceDocumentSchema>;
