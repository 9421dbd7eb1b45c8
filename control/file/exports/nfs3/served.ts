// Owns what serving a procedure is made of, for version 3 of NFS: finding what a call is about, running it, and making
// its result when the reply is written.

import type { Nfs3Arguments, Nfs3Name, Nfs3Result } from '../../codec/nfs3.ts';
import { checkName, isDotOrDotDot, NFSSTAT3, type Nfsstat3 } from '../../codec/nfs3_constants.ts';
import type { Span, XdrWriter } from '../../codec/xdr.ts';
import type { Answer, Change, Errno, FileHandle, FileName } from '../../filesystem/port.ts';
import { NO_CHANGE } from '../../filesystem/port.ts';
import type { Folder, NamespaceEntry } from '../../namespace/document.ts';
import type { Call } from '../call.ts';
import type { Grant } from '../grants.ts';
import { HandleSeal } from '../handle.ts';
import { NO_GRANT_STATUSES, type Refusal, statusOf } from './statuses.ts';

const S = NFSSTAT3;

/**
 * `run` reads the arguments at once: they are others' when it answers later. `result` is made when the reply is written,
 * where `writer` stands at its beginning; it counts until the next one.
 */
export type Served<Name extends Nfs3Name, Raw> = {
  readonly run: (args: Nfs3Arguments<Name>, call: Call) => Answer<Raw>;
  readonly result: (raw: Raw, call: Call, writer: XdrWriter) => Nfs3Result<Name>;
};

// biome-ignore lint/suspicious/noExplicitAny: a table has procedures of all types
type Any = any;
/** Of any program. */
export type AnyServed = {
  readonly run: (args: Any, call: Call) => Answer<Any>;
  readonly result: (raw: Any, call: Call, writer: XdrWriter) => unknown;
};

export type FilePlace = { readonly folder: undefined; readonly grant: Grant; readonly file: FileHandle };
export type FolderPlace = { readonly folder: Folder };
export type Place = FilePlace | FolderPlace;

/** What a handle names, if it is a good one and the caller has access there. */
export function placeOf(call: Call, { offset, length }: Span): Place | Refusal {
  const { seal, view } = call.exports;
  const { bytes } = call.request;
  if (!seal.open(bytes, offset, length)) return S.NFS3ERR_BADHANDLE;
  const { id, storageId } = seal;
  if (seal.isFolder) {
    const folder = view.folder(id);
    if (folder === undefined) return S.NFS3ERR_STALE;
    return call.session.shown.shows(folder) ? { folder } : S.NFS3ERR_ACCES;
  }
  call.linkId = id;
  const grant = call.session.grants.of(id, storageId, call.request.credentials);
  if (typeof grant === 'string') return NO_GRANT_STATUSES[grant];
  call.storageId = storageId;
  return { folder: undefined, grant, file: HandleSeal.fileIn(bytes, offset, length) };
}

/** A file of a storage; a virtual folder is what `inFolder` says. */
export function fileOf(call: Call, handle: Span, inFolder: Refusal): FilePlace | Refusal {
  const place = placeOf(call, handle);
  if (typeof place === 'number') return place;
  return place.folder === undefined ? place : inFolder;
}

/** The same where something is to be changed. */
export function writableOf(call: Call, handle: Span): FilePlace | Refusal {
  const place = fileOf(call, handle, S.NFS3ERR_ROFS);
  if (typeof place === 'number' || place.grant.mayWrite) return place;
  return S.NFS3ERR_ROFS;
}

export function nameOf(call: Call, { offset, length }: Span): FileName {
  return Uint8Array.prototype.slice.call(call.request.bytes, offset, offset + length);
}

export function badName(call: Call, { offset, length }: Span): Refusal | undefined {
  const status: Nfsstat3 = checkName(call.request.bytes, offset, length);
  return status === S.NFS3_OK ? undefined : status;
}

/** Of what is to be made, removed or renamed; `dots` is what is said of `.` and `..`. */
export function badNewName(call: Call, name: Span, dots: Refusal): Refusal | undefined {
  if (isDotOrDotDot(call.request.bytes, name.offset, name.length)) return dots;
  return badName(call, name);
}

/** An answer of the port, or why it was never asked. */
export type Outcome<T> = T | Refusal;
type Answered = { readonly ok: true } | { readonly ok: false; readonly errno: Errno };

export function statusIn(outcome: Outcome<Answered>): Nfsstat3 {
  if (typeof outcome === 'number') return outcome;
  return outcome.ok ? S.NFS3_OK : statusOf(outcome.errno);
}

export function changeIn(outcome: Outcome<{ readonly change: Change }>): Change {
  return typeof outcome === 'number' ? NO_CHANGE : outcome.change;
}

/**
 * Something is to be made in a virtual folder, or taken out of it. Folders are changed by namespace commands alone: what
 * will capture such calls takes this one's place.
 */
export function refusedInFolder(call: Call, folder: Folder, name: Span, makes: boolean): Refusal {
  const known = childOf(call, folder, name) !== undefined;
  if (makes && known) return S.NFS3ERR_EXIST;
  return makes || known ? S.NFS3ERR_ROFS : S.NFS3ERR_NOENT;
}

/** Names of folders are text: bytes that are none are no name there. */
export function childOf(call: Call, folder: Folder, { offset, length }: Span): NamespaceEntry | undefined {
  const bytes = call.request.bytes.subarray(offset, offset + length);
  let name: string;
  try {
    name = utf8.decode(bytes);
  } catch {
    return undefined;
  }
  return call.exports.view.child(folder.id, name);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
