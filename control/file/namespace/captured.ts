// Owns what operations of a file protocol in virtual folders mean: the command of the namespace that each is, for a client
// that administers the folder; or why it is none. Not here: committing it, and answering the client.

import { nameMistake } from '../../config/namespace.ts';
import type { NamespaceCommand } from '../../config/namespace_commands.ts';
import { namespaceCommandSchema } from '../../config/namespace_commands.ts';
import type { AddressBytes } from '../../lib/address.ts';
import { isAdmin } from './access.ts';
import { type Folder, type Namespace, ROOT_ID } from './document.ts';
import { formatMode, joined } from './forms.ts';
import { childrenByName, pathOf } from './lookup.ts';

/** Names are bytes, as clients send them. */
export type FolderOperation =
  | { readonly op: 'MKDIR'; readonly folder: number; readonly name: Uint8Array; readonly mode?: number }
  /** A symbolic link with the target STORAGE:DIRECTORY is a link of the namespace. */
  | {
      readonly op: 'SYMLINK';
      readonly folder: number;
      readonly name: Uint8Array;
      readonly target: Uint8Array;
    }
  | { readonly op: 'RMDIR' | 'REMOVE'; readonly folder: number; readonly name: Uint8Array }
  | {
      readonly op: 'RENAME';
      readonly folder: number;
      readonly name: Uint8Array;
      readonly toFolder: number;
      readonly toName: Uint8Array;
    };

export const REFUSALS = {
  /** The folder is gone. */
  stale: 'NFS3ERR_STALE',
  denied: 'NFS3ERR_ACCES',
  missing: 'NFS3ERR_NOENT',
  exists: 'NFS3ERR_EXIST',
  notDirectory: 'NFS3ERR_NOTDIR',
  isDirectory: 'NFS3ERR_ISDIR',
  notEmpty: 'NFS3ERR_NOTEMPTY',
  /** It has no meaning here. */
  invalid: 'NFS3ERR_INVAL',
} as const;
export type CaptureRefusal = keyof typeof REFUSALS;

export type Captured =
  | { readonly command: NamespaceCommand /** In words, for the history. */; readonly what: string }
  | { readonly refusal: CaptureRefusal };

/** `mode` of a new folder without one. */
const MODE = 0o755;

export function capture(namespace: Namespace, client: AddressBytes, operation: FolderOperation): Captured {
  const folder = folderOf(namespace, operation.folder);
  if (folder === undefined) return { refusal: 'stale' };
  if (!administers(namespace, folder, client)) return { refusal: 'denied' };
  const name = textOf(operation.name);
  if (name === undefined) return { refusal: 'invalid' };
  const path = joined(pathOf(namespace, folder.id)!, name);
  const known = childrenByName(namespace, folder.id).get(name);
  switch (operation.op) {
    case 'MKDIR': {
      if (known !== undefined) return { refusal: 'exists' };
      const mode = formatMode((operation.mode ?? MODE) & 0o7777);
      return made({ op: 'mkdir', path, mode }, `mkdir ${path}`);
    }
    case 'SYMLINK': {
      if (known !== undefined) return { refusal: 'exists' };
      const target = targetOf(operation.target);
      if (target === undefined || !namespace.storages.has(target.storage)) return { refusal: 'invalid' };
      return made({ op: 'link', path, ...target }, `link ${path} ${target.storage}:${target.target}`);
    }
    case 'RMDIR':
      if (known === undefined) return { refusal: 'missing' };
      // Clients see a link as a directory: to remove it as one would look like removing what is in it.
      if (known.kind === 'link') return { refusal: 'denied' };
      if (childrenByName(namespace, known.id).size > 0) return { refusal: 'notEmpty' };
      return made({ op: 'rmdir', path }, `rmdir ${path}`);
    case 'REMOVE':
      if (known === undefined) return { refusal: 'missing' };
      if (known.kind === 'folder') return { refusal: 'isDirectory' };
      return made({ op: 'unlink', path }, `unlink ${path}`);
    case 'RENAME': {
      if (known === undefined) return { refusal: 'missing' };
      return renamed(namespace, client, operation, path);
    }
  }
}

/** No name is taken from another: what a file system would replace stays. */
function renamed(
  namespace: Namespace,
  client: AddressBytes,
  { toFolder, toName }: FolderOperation & { op: 'RENAME' },
  from: string,
): Captured {
  const folder = folderOf(namespace, toFolder);
  if (folder === undefined) return { refusal: 'stale' };
  if (!administers(namespace, folder, client)) return { refusal: 'denied' };
  const name = textOf(toName);
  if (name === undefined) return { refusal: 'invalid' };
  const to = joined(pathOf(namespace, folder.id)!, name);
  if (to.startsWith(`${from}/`)) return { refusal: 'invalid' };
  if (to !== from && childrenByName(namespace, folder.id).has(name)) return { refusal: 'exists' };
  return made({ op: 'mv', from, to }, `mv ${from} ${to}`);
}

/** Checked as one of the API: a path may be too deep, a target none. */
function made(given: object, what: string): Captured {
  const parsed = namespaceCommandSchema.safeParse(given);
  return parsed.success ? { command: parsed.data, what } : { refusal: 'invalid' };
}

function folderOf(namespace: Namespace, id: number): Folder | undefined {
  const entry = namespace.entries.get(id);
  return entry?.kind === 'folder' ? entry : undefined;
}

/** Admins of a folder are those of all that is in it. */
function administers(namespace: Namespace, folder: Folder, client: AddressBytes): boolean {
  for (let at: Folder | undefined = folder; at !== undefined; at = folderOf(namespace, at.parentId)) {
    if (isAdmin(at, client)) return true;
    if (at.id === ROOT_ID) return false;
  }
  return false;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undefined: it cannot be the name of a folder or a link. */
function textOf(name: Uint8Array): string | undefined {
  try {
    const text = utf8.decode(name);
    return nameMistake(text) === undefined ? text : undefined;
  } catch {
    return undefined;
  }
}

function targetOf(bytes: Uint8Array): { readonly storage: string; readonly target: string } | undefined {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return undefined;
  }
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const target = text.slice(colon + 1).replace(/\/+$/, '');
  return { storage: text.slice(0, colon), target: target === '' ? '.' : target };
}
