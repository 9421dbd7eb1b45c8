// Owns the procedures of NFS version 3 that look: NULL, GETATTR, LOOKUP, ACCESS, READLINK (RFC 1813, section 3.3).
import { ACCESS3, isDotOrDotDot, NFSSTAT3 } from '../../codec/nfs3_constants.ts';
import type { Answer, Attributes, Done, Failed, Made, Rights } from '../../filesystem/port.ts';
import type { Folder, Link } from '../../namespace/document.ts';
import type { Call } from '../call.ts';
import { folderAttributes, folderRights } from '../folders.ts';
import { sameHandle } from '../link_roots.ts';
import {
  badName,
  childOf,
  type FilePlace,
  fileOf,
  nameOf,
  type Outcome,
  placeOf,
  type Served,
  statusIn,
} from './served.ts';
import { NO_GRANT_STATUSES, type Refusal, statusOf } from './statuses.ts';
import { wireDirectory, wireObject } from './wire_attributes.ts';

const S = NFSSTAT3;

export const NULL: Served<'NULL', undefined> = {
  run: () => undefined,
  result: () => undefined as never,
};

type Stated = Done<{ attributes: Attributes }> | Failed;

export const GETATTR: Served<'GETATTR', Outcome<Stated>> = {
  run: ({ handle }, call) => {
    const place = placeOf(call, handle);
    if (typeof place === 'number') return place;
    if (place.folder !== undefined)
      return { ok: true, attributes: folderAttributes(call.exports.view, place.folder) };
    return place.grant.fs.attributesOf(place.file);
  },
  result: (raw, call) => {
    if (typeof raw !== 'number' && raw.ok)
      return { status: S.NFS3_OK, attributes: wireObject(raw.attributes, call.storageId)! };
    return { status: statusIn(raw) as Refusal };
  },
};

/** What a name is: sealed already, as it may be of another storage than the directory. */
type Found = {
  readonly handle: Uint8Array;
  readonly attributes: Attributes;
  readonly storageId: number;
};
type LookedUp = {
  readonly found: Found | Refusal;
  readonly directory: Attributes | undefined;
};

export const LOOKUP: Served<'LOOKUP', LookedUp> = {
  run: ({ directory, name }, call): Answer<LookedUp> => {
    const place = placeOf(call, directory);
    const refuse = (found: Refusal): LookedUp => ({ found, directory: undefined });
    if (typeof place === 'number') return refuse(place);
    const bad = badName(call, name);
    if (bad !== undefined) return refuse(bad);
    const isDots = isDotOrDotDot(call.request.bytes, name.offset, name.length);
    if (place.folder !== undefined) {
      const { folder } = place;
      if (!folderRights(folder, call.credentials).execute) return refuse(S.NFS3ERR_ACCES);
      if (!isDots) return lookUpInFolder(call, folder, childOf(call, folder, name));
      const at = name.length === 1 ? folder : call.exports.view.parent(folder);
      return { found: foundFolder(call, at), directory: folderAttributes(call.exports.view, folder) };
    }
    if (isDots) return name.length === 1 ? lookUpSelf(call, place) : lookUpParent(call, place);
    const { grant, file } = place;
    const answer = grant.fs.lookUp(grant.caller, file, nameOf(call, name));
    if (answer instanceof Promise) return answer.then((one) => lookedUp(call, place, one));
    return lookedUp(call, place, answer);
  },
  result: ({ found, directory }, call) => {
    const wire = wireDirectory(directory, call.storageId);
    if (typeof found === 'number') return { status: found, directory: wire };
    const { handle, attributes, storageId } = found;
    return { status: S.NFS3_OK, handle, attributes: wireObject(attributes, storageId), directory: wire };
  },
};

function lookedUp(
  call: Call,
  { grant }: FilePlace,
  answer: (Done<Made> | Failed) & { readonly directory: Attributes | undefined },
): LookedUp {
  const { directory } = answer;
  if (answer.ok) {
    const handle = call.exports.seal.file(grant.link.id, grant.storageId, answer.handle);
    return { found: { handle, attributes: answer.attributes, storageId: grant.storageId }, directory };
  }
  // Another file system is mounted there: it is not what the link leads to.
  return { found: answer.errno === 'EXDEV' ? S.NFS3ERR_ACCES : statusOf(answer.errno), directory };
}

async function lookUpSelf(call: Call, { grant, file }: FilePlace): Promise<LookedUp> {
  const answer = await grant.fs.rightsOf(grant.caller, file);
  if (!answer.ok) return { found: statusOf(answer.errno), directory: undefined };
  const { attributes, rights } = answer;
  if (attributes.kind !== 'directory') return { found: S.NFS3ERR_NOTDIR, directory: attributes };
  if (!rights.execute) return { found: S.NFS3ERR_ACCES, directory: attributes };
  const handle = call.exports.seal.file(grant.link.id, grant.storageId, file);
  return { found: { handle, attributes, storageId: grant.storageId }, directory: attributes };
}

/** At the root of a link, the folder that the link is in: nothing of the storage above is ever shown. */
async function lookUpParent(call: Call, place: FilePlace): Promise<LookedUp> {
  const { grant, file } = place;
  const self = await lookUpSelf(call, place);
  if (typeof self.found === 'number') return self;
  const { directory } = self;
  const root = await rootOf(call, place);
  if (typeof root === 'number') return { found: root, directory };
  if (sameHandle(root, file)) {
    return { found: foundFolder(call, call.exports.view.parent(grant.link)), directory };
  }
  const answer = await grant.fs.lookUpParent(grant.caller, file, root);
  return lookedUp(call, place, { ...answer, directory });
}

async function rootOf(call: Call, { grant }: FilePlace): Promise<Uint8Array | Refusal> {
  const { roots } = call.exports;
  const known = roots.known(grant.link, grant.storage);
  if (known !== undefined) return known;
  const found = await roots.find(grant.link, grant.storage);
  return found.ok ? found.handle : statusOf(found.errno);
}

function foundFolder(call: Call, folder: Folder): Found {
  const { seal, view } = call.exports;
  return { handle: seal.folder(folder.id), attributes: folderAttributes(view, folder), storageId: 0 };
}

function lookUpInFolder(call: Call, folder: Folder, child: Folder | Link | undefined): Answer<LookedUp> {
  const directory = folderAttributes(call.exports.view, folder);
  if (child === undefined) return { found: S.NFS3ERR_NOENT, directory };
  if (child.kind === 'folder') return { found: foundFolder(call, child), directory };
  return enterLink(call, child).then((found) => ({ found, directory }));
}

/** The directory that a link leads to. */
export async function enterLink(call: Call, link: Link): Promise<Found | Refusal> {
  const grant = call.session.grants.of(link.id, undefined, call.credentials);
  if (typeof grant === 'string') return NO_GRANT_STATUSES[grant];
  const root = await call.exports.roots.find(link, grant.storage);
  if (!root.ok) return statusOf(root.errno);
  const { storageId } = grant;
  const handle = call.exports.seal.file(link.id, storageId, root.handle);
  return { handle, attributes: root.attributes, storageId };
}

type Allowed = { rights: Rights; attributes: Attributes; mayWrite: boolean };

export const ACCESS: Served<'ACCESS', Outcome<(Done<Allowed> | Failed) & { readonly asked?: number }>> = {
  run: ({ handle, access }, call) => {
    const place = placeOf(call, handle);
    if (typeof place === 'number') return place;
    if (place.folder !== undefined) {
      const rights = folderRights(place.folder, call.credentials);
      const attributes = folderAttributes(call.exports.view, place.folder);
      return { ok: true, rights, attributes, mayWrite: false, asked: access };
    }
    const { caller, fs, mayWrite } = place.grant;
    const answer = fs.rightsOf(caller, place.file);
    if (answer instanceof Promise)
      return answer.then((one) => (one.ok ? { ...one, mayWrite, asked: access } : one));
    return answer.ok ? { ...answer, mayWrite, asked: access } : answer;
  },
  result: (raw, call) => {
    if (typeof raw === 'number' || !raw.ok)
      return { status: statusIn(raw) as Refusal, attributes: undefined };
    const attributes = wireObject(raw.attributes, call.storageId);
    return { status: S.NFS3_OK, attributes, access: accessBits(raw) & (raw.asked ?? 0) };
  },
};

function accessBits({ rights, attributes, mayWrite }: Allowed): number {
  const write = rights.write && mayWrite;
  let bits = rights.read ? ACCESS3.READ : 0;
  if (attributes.kind === 'directory') {
    if (rights.execute) bits |= ACCESS3.LOOKUP;
    // Names are changed by those who may search as well.
    if (write && rights.execute) bits |= ACCESS3.MODIFY | ACCESS3.EXTEND | ACCESS3.DELETE;
    return bits;
  }
  if (rights.execute) bits |= ACCESS3.EXECUTE;
  if (write) bits |= ACCESS3.MODIFY | ACCESS3.EXTEND;
  return bits;
}

export const READLINK: Served<
  'READLINK',
  Outcome<Done<{ target: Uint8Array; attributes: Attributes }> | Failed>
> = {
  run: ({ handle }, call) => {
    const place = fileOf(call, handle, S.NFS3ERR_INVAL);
    return typeof place === 'number' ? place : place.grant.fs.readLink(place.grant.caller, place.file);
  },
  result: (raw, call) => {
    if (typeof raw !== 'number' && raw.ok) {
      const attributes = wireObject(raw.attributes, call.storageId);
      return { status: S.NFS3_OK, attributes, path: raw.target };
    }
    return { status: statusIn(raw) as Refusal, attributes: undefined };
  },
};
