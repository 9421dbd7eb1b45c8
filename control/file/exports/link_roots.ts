// Owns finding the directory that a link leads to: name by name from the storage's root, and never through a symbolic
// link. The way is gone each time, so that a directory that was put in another's place is found; what was found last is
// kept to know a link's root when it is met.
import { namesOf } from '../../config/namespace.ts';
import type { Caller, Done, Failed, FileHandle, FileSystem, Made } from '../filesystem/port.ts';
import type { Link } from '../namespace/document.ts';

const ROOT_CALLER: Caller = { uid: 0, gid: 0, groups: [] };
const encoder = new TextEncoder();

export class LinkRoots {
  readonly #known = new Map<
    number,
    { readonly link: Link; readonly fs: FileSystem; readonly root: FileHandle }
  >();

  async find(link: Link, fs: FileSystem): Promise<Done<Made> | Failed> {
    const top = await fs.attributesOf(fs.root);
    if (!top.ok) return top;
    let found: Done<Made> = { ok: true, handle: fs.root, attributes: top.attributes };
    for (const name of link.target === '.' ? [] : namesOf(`/${link.target}`)) {
      const next = await fs.lookUp(ROOT_CALLER, found.handle, encoder.encode(name));
      if (!next.ok) return next;
      found = next;
    }
    if (found.attributes.kind !== 'directory') return { ok: false, errno: 'ENOTDIR' };
    this.#known.set(link.id, { link, fs, root: found.handle });
    return { ok: true, handle: found.handle, attributes: found.attributes };
  }

  /** Undefined: it must be found first. */
  known(link: Link, fs: FileSystem): FileHandle | undefined {
    const known = this.#known.get(link.id);
    // The target of a link is for good; its other options do not matter here.
    return known?.fs === fs && known.link.target === link.target ? known.root : undefined;
  }

  /** Links that are not in the namespace any more. */
  forget(isLink: (id: number) => boolean): void {
    for (const id of this.#known.keys()) if (!isLink(id)) this.#known.delete(id);
  }
}

export function sameHandle(a: FileHandle, b: FileHandle): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
