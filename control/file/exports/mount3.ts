// Owns the procedures of MOUNT version 3 (RFC 1813, appendix I): from a path to a handle, and lists of what may be and
// what is mounted. A client hears of nothing that it has no access to.
import {
  type MOUNT3_PROCEDURES,
  MOUNTSTAT3,
  type Mount3Arguments,
  type Mount3Name,
  type Mount3Result,
  type Mountstat3,
} from '../codec/mount.ts';
import { NAME_BYTES_MAX, NFSSTAT3 } from '../codec/nfs3_constants.ts';
import { AUTH_FLAVORS } from '../codec/rpc_credentials.ts';
import type { Span } from '../codec/xdr.ts';
import type { Answer } from '../filesystem/port.ts';
import type { Link, NamespaceEntry } from '../namespace/document.ts';
import type { Call } from './call.ts';
import { enterLink } from './nfs3/look.ts';
import { type Refusal, statusOf } from './nfs3/statuses.ts';

const S = MOUNTSTAT3;
/** AUTH_SYS alone: whoever says nothing is nobody, and needs no promise of it. */
const FLAVORS = [AUTH_FLAVORS.AUTH_SYS];
/** Linux has PATH_MAX of 4096, and a name is a byte at least; the path's own limit is the codec's. */
const NAMES_MAX = 512;
const EVERYBODY: ReadonlySet<string> = new Set(['0.0.0.0/0', '::/0']);
const encoder = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Served<Name extends Mount3Name> = {
  readonly run: (args: Mount3Arguments<Name>, call: Call) => Answer<Mount3Result<Name>>;
  readonly result: (raw: Mount3Result<Name>) => Mount3Result<Name>;
};

function served<Name extends Mount3Name>(run: Served<Name>['run']): Served<Name> {
  return { run, result: (raw) => raw };
}

type Mnt = Mount3Result<'MNT'>;
type Refused = Exclude<Mountstat3, typeof S.MNT3_OK>;

export const MOUNT3_SERVED: { readonly [Name in keyof typeof MOUNT3_PROCEDURES]: Served<Name> } = {
  NULL: served<'NULL'>(() => undefined as never),
  MNT: served<'MNT'>(({ path }, call) => mount(call, path)),
  DUMP: served<'DUMP'>((_, call) => ({
    mounts: call.exports.mountList
      .list()
      .filter(({ client }) => client === call.client)
      .map(({ client, path }) => ({ hostname: encoder.encode(client), directory: encoder.encode(path) })),
  })),
  UMNT: served<'UMNT'>(({ path }, call) => {
    call.exports.mountList.remove(call.client, textOf(call, path) ?? '');
    return undefined as never;
  }),
  UMNTALL: served<'UMNTALL'>((_, call) => {
    call.exports.mountList.removeAll(call.client);
    return undefined as never;
  }),
  EXPORT: served<'EXPORT'>((_, call) => {
    const { view } = call.exports;
    const shown = view.links().filter((link) => call.session.shown.shows(link));
    return {
      exports: shown
        .map((link) => ({ path: view.pathOf(link.id) ?? '/', groups: groupsOf(link) }))
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .map(({ path, groups }) => ({ directory: encoder.encode(path), groups })),
    };
  }),
};

/** Who may mount it; nobody named is everybody. */
function groupsOf({ clients }: Link): Uint8Array[] {
  const some = clients.filter(({ access }) => access !== 'none').map(({ address }) => address);
  return some.some((address) => EVERYBODY.has(address)) ? [] : some.map((address) => encoder.encode(address));
}

async function mount(call: Call, span: Span): Promise<Mnt> {
  const names = namesIn(call, span);
  if (typeof names === 'number') return { status: names };
  const found = await walk(call, names);
  if (typeof found === 'number') return { status: found };
  // Latin-1 where it is no text: the list is for people.
  const path = textOf(call, span) ?? names.map((name) => Buffer.from(name).toString('latin1')).join('/');
  call.exports.mountList.add(call.client, path);
  return { status: S.MNT3_OK, handle: found, flavors: FLAVORS };
}

/** Slashes at the end, or twice, mean nothing. */
function namesIn(call: Call, { offset, length }: Span): Uint8Array[] | Refused {
  const path = call.request.bytes.slice(offset, offset + length);
  if (length === 0 || path[0] !== SLASH) return S.MNT3ERR_NOENT;
  const names: Uint8Array[] = [];
  for (let at = 1; at <= length; ) {
    const next = path.indexOf(SLASH, at);
    const end = next < 0 ? length : next;
    const name = path.subarray(at, end);
    at = end + 1;
    if (name.length === 0) continue;
    if (name.length > NAME_BYTES_MAX) return S.MNT3ERR_NAMETOOLONG;
    if (name.includes(0)) return S.MNT3ERR_INVAL;
    names.push(name);
    if (names.length > NAMES_MAX) return S.MNT3ERR_NAMETOOLONG;
  }
  return names;
}

const SLASH = 0x2f;

/** Through folders, into a link, and below it with the rights of the caller. */
async function walk(call: Call, names: readonly Uint8Array[]): Promise<Uint8Array | Refused> {
  const { view, seal } = call.exports;
  const { shown, grants } = call.session;
  let entry: NamespaceEntry = view.at('/')!;
  let depth = 0;
  for (; entry.kind === 'folder' && depth < names.length; depth++) {
    const name = decoded(names[depth]!);
    const child = name === undefined ? undefined : view.child(entry.id, name);
    // Strangers do not learn what there is.
    if (child === undefined) return shown.shows(entry) ? S.MNT3ERR_NOENT : S.MNT3ERR_ACCES;
    entry = child;
  }
  if (entry.kind === 'folder') return shown.shows(entry) ? seal.folder(entry.id) : S.MNT3ERR_ACCES;
  call.linkId = entry.id;
  const root = await enterLink(call, entry);
  if (typeof root === 'number') return mountStatus(root);
  if (depth === names.length) return root.handle;
  const grant = grants.of(entry.id, undefined, call.credentials);
  if (typeof grant === 'string') return S.MNT3ERR_ACCES;
  let file = call.exports.roots.known(grant.link, grant.storage)!;
  for (; depth < names.length; depth++) {
    const next = await grant.fs.lookUp(grant.caller, file, names[depth]!);
    if (!next.ok) return mountStatus(next.errno === 'EXDEV' ? NFSSTAT3.NFS3ERR_ACCES : statusOf(next.errno));
    if (next.attributes.kind !== 'directory') return S.MNT3ERR_NOTDIR;
    file = next.handle;
  }
  return seal.file(grant.link.id, grant.storageId, file);
}

const MOUNT_STATUSES: ReadonlySet<number> = new Set(Object.values(S));

/** Those of MOUNT have the numbers of NFS, but there are fewer. */
function mountStatus(status: Refusal): Refused {
  if (MOUNT_STATUSES.has(status)) return status as Refused;
  return status === NFSSTAT3.NFS3ERR_STALE ? S.MNT3ERR_NOENT : S.MNT3ERR_IO;
}

function textOf(call: Call, { offset, length }: Span): string | undefined {
  return decoded(call.request.bytes.subarray(offset, offset + length));
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
