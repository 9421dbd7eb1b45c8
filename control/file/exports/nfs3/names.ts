// Owns the procedures of NFS version 3 that change names of what exists: REMOVE, RMDIR, RENAME, LINK (RFC 1813, section
// 3.3). No name leads from one link to another.
import { NFSSTAT3 } from '../../codec/nfs3_constants.ts';
import type { Span } from '../../codec/xdr.ts';
import type { Attributes, Change, Changed } from '../../filesystem/port.ts';
import { NO_CHANGE } from '../../filesystem/port.ts';
import type { Call } from '../call.ts';
import {
  badNewName,
  changeIn,
  type FilePlace,
  nameOf,
  type Outcome,
  placeOf,
  refusedInFolder,
  type Served,
  statusIn,
} from './served.ts';
import type { Refusal } from './statuses.ts';
import { wireChange, wireObject, wireSecondChange } from './wire_attributes.ts';

const S = NFSSTAT3;

/** `makes`: the name is to be there afterwards. */
function placeOfName(
  call: Call,
  directory: Span,
  name: Span,
  dots: Refusal,
  makes: boolean,
): FilePlace | Refusal {
  const place = placeOf(call, directory);
  if (typeof place === 'number') return place;
  const bad = badNewName(call, name, dots);
  if (bad !== undefined) return bad;
  if (place.folder !== undefined) return refusedInFolder(call, place.folder, name, makes);
  return place.grant.mayWrite ? place : S.NFS3ERR_ROFS;
}

export const REMOVE: Served<'REMOVE', Outcome<Changed>> = {
  run: ({ directory, name }, call) => {
    const place = placeOfName(call, directory, name, S.NFS3ERR_ISDIR, false);
    if (typeof place === 'number') return place;
    const { grant, file } = place;
    return grant.fs.remove(grant.caller, file, nameOf(call, name));
  },
  result: (raw, call) => ({ status: statusIn(raw), wcc: wireChange(changeIn(raw), call.storageId) }),
};

const DOT = 1;

export const RMDIR: Served<'RMDIR', Outcome<Changed>> = {
  run: ({ directory, name }, call) => {
    const dots = name.length === DOT ? S.NFS3ERR_INVAL : S.NFS3ERR_EXIST;
    const place = placeOfName(call, directory, name, dots, false);
    if (typeof place === 'number') return place;
    const { grant, file } = place;
    return grant.fs.removeDirectory(grant.caller, file, nameOf(call, name));
  },
  result: (raw, call) => ({ status: statusIn(raw), wcc: wireChange(changeIn(raw), call.storageId) }),
};

type Renamed = Changed & { readonly toChange: Change };

export const RENAME: Served<'RENAME', Outcome<Renamed>> = {
  run: ({ fromDirectory, fromName, toDirectory, toName }, call) => {
    const from = placeOfName(call, fromDirectory, fromName, S.NFS3ERR_INVAL, false);
    if (typeof from === 'number') return from;
    const to = placeOfName(call, toDirectory, toName, S.NFS3ERR_INVAL, true);
    if (typeof to === 'number') return to;
    if (from.grant !== to.grant) return S.NFS3ERR_XDEV;
    const { fs, caller } = from.grant;
    return fs.rename(
      caller,
      { directory: from.file, name: nameOf(call, fromName) },
      { directory: to.file, name: nameOf(call, toName) },
    );
  },
  result: (raw, call) => ({
    status: statusIn(raw),
    from: wireChange(changeIn(raw), call.storageId),
    to: wireSecondChange(typeof raw === 'number' ? NO_CHANGE : raw.toChange, call.storageId),
  }),
};

type Linked = Changed & { readonly file: Attributes | undefined };

export const LINK: Served<'LINK', Outcome<Linked>> = {
  run: ({ handle, directory, name }, call) => {
    const source = placeOf(call, handle);
    if (typeof source === 'number') return source;
    const place = placeOfName(call, directory, name, S.NFS3ERR_EXIST, true);
    if (typeof place === 'number') return place;
    // A folder is a directory, which has one name.
    if (source.folder !== undefined) return S.NFS3ERR_INVAL;
    if (source.grant !== place.grant) return S.NFS3ERR_XDEV;
    const { fs, caller } = place.grant;
    return fs.link(caller, source.file, place.file, nameOf(call, name));
  },
  result: (raw, call) => ({
    status: statusIn(raw),
    attributes: wireObject(typeof raw === 'number' ? undefined : raw.file, call.storageId),
    wcc: wireChange(changeIn(raw), call.storageId),
  }),
};
