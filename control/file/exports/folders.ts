// Owns virtual folders as directories of a file service: attributes, rights, and which of them a client is shown. What
// changes them is the namespace's.
import type { AddressBytes } from '../../lib/address.ts';
import { AUTH_FLAVORS, type Credentials } from '../codec/rpc_credentials.ts';
import type { Attributes, FileTime, Rights } from '../filesystem/port.ts';
import { isAdmin } from '../namespace/access.ts';
import type { Folder, Namespace, NamespaceEntry } from '../namespace/document.ts';
import type { NamespaceView } from '../namespace/view.ts';

/** No inode of a storage that is served has this bit. */
const VIRTUAL_FILE_ID = 1n << 63n;
const FOLDER_BYTES = 4096n;

/** The number that a folder or link has in a virtual folder; the directory that a link leads to has its own. */
export function virtualFileId(id: number): bigint {
  return VIRTUAL_FILE_ID | BigInt(id);
}

export function folderAttributes(view: NamespaceView, folder: Folder): Attributes {
  const { id, mode, uid, gid, createdAtMs, modifiedAtMs, changedAtMs } = folder;
  const modified = timeOf(modifiedAtMs);
  let links = 2;
  for (const child of view.children(id)) if (child.kind === 'folder') links += 1;
  return {
    kind: 'directory',
    mode,
    links,
    uid,
    gid,
    sizeBytes: FOLDER_BYTES,
    usedBytes: 0n,
    device: { major: 0, minor: 0 },
    fileId: virtualFileId(id),
    accessed: modified,
    modified,
    changed: timeOf(changedAtMs),
    born: timeOf(createdAtMs),
  };
}

function timeOf(atMs: number): FileTime {
  return { seconds: Math.floor(atMs / 1000), nanoseconds: (atMs % 1000) * 1_000_000 };
}

/** By the folder's mode alone. Nobody writes: that is a change of the namespace. */
export function folderRights({ mode, uid, gid }: Folder, caller: Credentials): Rights {
  const named = caller.flavor === AUTH_FLAVORS.AUTH_SYS;
  if (named && caller.uid === 0) return { read: true, write: false, execute: true };
  const isGroup = named && (caller.gid === gid || caller.gids.includes(gid));
  const bits = named && caller.uid === uid ? mode >> 6 : isGroup ? mode >> 3 : mode;
  return { read: (bits & 4) !== 0, write: false, execute: (bits & 1) !== 0 };
}

/**
 * What one client is shown: all folders if it has access to any link or administers any folder, and the links that it has
 * access to. A stranger is shown nothing.
 */
export class Shown {
  readonly #view: NamespaceView;
  readonly #client: AddressBytes;
  #namespace: Namespace | undefined;
  #isStranger = true;

  constructor(view: NamespaceView, client: AddressBytes) {
    this.#view = view;
    this.#client = client;
  }

  shows(entry: NamespaceEntry): boolean {
    if (entry.kind === 'link') return this.#view.access(entry, this.#client) !== undefined;
    const { namespace } = this.#view;
    if (this.#namespace !== namespace) {
      this.#namespace = namespace;
      this.#isStranger = !this.#isNamed(namespace);
    }
    return !this.#isStranger;
  }

  #isNamed({ entries }: Namespace): boolean {
    for (const entry of entries.values()) {
      if (entry.kind === 'link' && this.#view.access(entry, this.#client) !== undefined) return true;
      if (entry.kind === 'folder' && isAdmin(entry, this.#client)) return true;
    }
    return false;
  }
}
