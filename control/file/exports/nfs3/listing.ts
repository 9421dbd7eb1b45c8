// Owns READDIR and READDIRPLUS of NFS version 3 (RFC 1813, sections 3.3.16 and 3.3.17): a page at a time, of a storage's
// directory with the storage's cookies, of a virtual folder with those of the namespace. No directory is ever held whole.

import type { Nfs3Result } from '../../codec/nfs3.ts';
import type { ReaddirArguments, ReaddirplusArguments } from '../../codec/nfs3_arguments.ts';
import { LISTING_BYTES_MAX, NFSSTAT3 } from '../../codec/nfs3_constants.ts';
import { Entries } from '../../codec/nfs3_listing.ts';
import type { XdrWriter } from '../../codec/xdr.ts';
import type { Answer, Attributes, Done, Entry, Failed, Listing } from '../../filesystem/port.ts';
import { LIST_ENTRIES_MAX, VERIFIER_BYTES } from '../../filesystem/port.ts';
import type { Folder } from '../../namespace/document.ts';
import type { Call } from '../call.ts';
import { folderAttributes, folderRights, virtualFileId } from '../folders.ts';
import { sameHandle } from '../link_roots.ts';
import { type FilePlace, type Outcome, placeOf, type Served, statusIn } from './served.ts';
import { type Refusal, statusOf } from './statuses.ts';
import { highOf, joined, lowOf, wireDirectory, wireObject } from './wire_attributes.ts';

const S = NFSSTAT3;

/** What an entry takes with a name of 12 bytes and a handle of ext4: the storage is not asked for many more than fit. */
const PLAIN_ENTRY_BYTES = 36;
const PLUS_ENTRY_BYTES = 160;
/** In front of the entries and behind them. */
const AROUND_BYTES = 104;
/** A client that asks for less is told so, and never gets a page without an entry. */
const ENTRIES_MIN = 8;

/** An entry as it is written: the handle is sealed already. */
type Written = {
  readonly name: Uint8Array;
  readonly fileId: bigint;
  readonly cookie: bigint;
  readonly attributes: Attributes | undefined;
  readonly handle: Uint8Array | undefined;
};

type Page = {
  readonly ok: true;
  readonly entries: Iterable<Written>;
  readonly atEnd: boolean;
  readonly verifier: Uint8Array;
  readonly directory: Attributes;
};
/** Of the arguments what the reply needs: they are others' by then. */
type Size = Pick<ReaddirplusArguments, 'count'> & { readonly dircount?: number };
type Listed = { readonly outcome: Outcome<Page | Failed>; readonly size: Size };

function list(args: ReaddirArguments | ReaddirplusArguments, call: Call): Answer<Listed> {
  const plus = 'dircount' in args;
  const size: Size = plus ? { count: args.count, dircount: args.dircount } : { count: args.count };
  const refuse = (outcome: Refusal): Listed => ({ outcome, size });
  const place = placeOf(call, args.directory);
  if (typeof place === 'number') return refuse(place);
  const cookie = joined(args.cookieHigh, args.cookieLow);
  const verifier = new Uint8Array(VERIFIER_BYTES);
  const view = new DataView(verifier.buffer);
  view.setUint32(0, args.verifierHigh);
  view.setUint32(4, args.verifierLow);
  if (place.folder !== undefined) return { outcome: folderPage(call, place.folder, cookie, verifier), size };
  const { grant, file } = place;
  const bytes = Math.min(args.count, LISTING_BYTES_MAX) - AROUND_BYTES;
  const fitting = Math.floor(bytes / (plus ? PLUS_ENTRY_BYTES : PLAIN_ENTRY_BYTES));
  const entriesMax = Math.min(LIST_ENTRIES_MAX, Math.max(ENTRIES_MIN, fitting));
  const answer = grant.fs.list(grant.caller, file, { cookie, verifier, entriesMax, plus });
  if (answer instanceof Promise) return answer.then((one) => storagePage(call, place, one, size));
  return storagePage(call, place, answer, size);
}

function storagePage(
  call: Call,
  place: FilePlace,
  answer: Done<Listing> | Failed,
  size: Size,
): Answer<Listed> {
  if (!answer.ok) return { outcome: answer, size };
  const { grant } = place;
  const page = (root: Uint8Array | undefined): Listed => ({
    outcome: { ...answer, entries: sealed(call, place, answer.entries, root) },
    size,
  });
  const { roots } = call.exports;
  const known = roots.known(grant.link, grant.storage);
  if (known !== undefined) return page(known);
  // Its number for `..` must not be that of a directory outside of the link.
  return roots
    .find(grant.link, grant.storage)
    .then((found) => (found.ok ? page(found.handle) : { outcome: statusOf(found.errno), size }));
}

/** One by one, as they are written: a page of a large directory is thousands. */
function* sealed(
  call: Call,
  { grant, file }: FilePlace,
  entries: readonly Entry[],
  root: Uint8Array | undefined,
): Generator<Written> {
  const isRoot = root !== undefined && sameHandle(root, file);
  const { seal } = call.exports;
  for (const entry of entries) {
    const { name, cookie } = entry;
    const isParent = isRoot && name.length === 2 && name[0] === DOT && name[1] === DOT;
    yield {
      name,
      cookie,
      fileId: isParent ? virtualFileId(grant.link.parentId) : entry.fileId,
      attributes: entry.file?.attributes,
      handle:
        entry.file === undefined ? undefined : seal.file(grant.link.id, grant.storageId, entry.file.handle),
    };
  }
}

const DOT = 0x2e;
/** Cookies of `.` and `..`; of a child, its id and one more, which is greater: the root is nobody's child. */
const SELF_COOKIE = 1n;
const PARENT_COOKIE = 2n;
const SELF = Uint8Array.of(DOT);
const PARENT = Uint8Array.of(DOT, DOT);
const encoder = new TextEncoder();

function folderPage(call: Call, folder: Folder, cookie: bigint, verifier: Uint8Array): Outcome<Page> {
  const { view } = call.exports;
  if (!folderRights(folder, call.credentials).read) return S.NFS3ERR_ACCES;
  const expected = folderVerifier(folder);
  if (cookie !== 0n && !sameHandle(expected, verifier)) return S.NFS3ERR_BAD_COOKIE;
  return {
    ok: true,
    entries: folderEntries(call, folder, cookie),
    atEnd: true,
    verifier: expected,
    directory: folderAttributes(view, folder),
  };
}

/** Ids are never used again, so that a cookie stays good whatever changes. */
function folderVerifier({ id }: Folder): Uint8Array {
  const verifier = new Uint8Array(VERIFIER_BYTES);
  const view = new DataView(verifier.buffer);
  view.setUint32(0, 0x4846_0000);
  view.setUint32(4, id);
  return verifier;
}

/** A link has neither attributes nor handle here: they are those of another file system, which is entered by looking it up. */
function* folderEntries(call: Call, folder: Folder, cookie: bigint): Generator<Written> {
  const { view, seal } = call.exports;
  const described = (name: Uint8Array, of: Folder, at: bigint): Written => ({
    name,
    fileId: virtualFileId(of.id),
    cookie: at,
    attributes: folderAttributes(view, of),
    handle: seal.folder(of.id),
  });
  if (cookie < SELF_COOKIE) yield described(SELF, folder, SELF_COOKIE);
  if (cookie < PARENT_COOKIE) yield described(PARENT, view.parent(folder), PARENT_COOKIE);
  const after = cookie <= PARENT_COOKIE ? 0 : Number(cookie) - 1;
  for (const child of view.children(folder.id, after)) {
    if (!call.session.shown.shows(child)) continue;
    const name = encoder.encode(child.name);
    const next = BigInt(child.id + 1);
    if (child.kind === 'folder') yield described(name, child, next);
    else
      yield {
        name,
        fileId: virtualFileId(child.id),
        cookie: next,
        attributes: undefined,
        handle: undefined,
      };
  }
}

/** Replies are written one at a time. */
const entries = new Entries();

function result({ outcome, size }: Listed, call: Call, writer: XdrWriter): Nfs3Result<'READDIR'> {
  if (typeof outcome === 'number' || !outcome.ok)
    return { status: statusIn(outcome) as Refusal, directory: undefined };
  const directory = wireDirectory(outcome.directory, call.storageId);
  entries.begin(writer, size as ReaddirplusArguments);
  let isFull = false;
  for (const { name, fileId, cookie, attributes, handle } of outcome.entries) {
    const [high, low] = [highOf(cookie), lowOf(cookie)];
    const wire = wireObject(attributes, call.storageId);
    if (!entries.add(highOf(fileId), lowOf(fileId), name, 0, name.length, high, low, wire, handle)) {
      isFull = true;
      break;
    }
  }
  const eof = outcome.atEnd && !isFull;
  if (entries.count === 0 && !eof) return { status: S.NFS3ERR_TOOSMALL, directory };
  const view = new DataView(outcome.verifier.buffer, outcome.verifier.byteOffset, VERIFIER_BYTES);
  return {
    status: S.NFS3_OK,
    directory,
    verifierHigh: view.getUint32(0),
    verifierLow: view.getUint32(4),
    entries,
    eof,
  };
}

export const READDIR: Served<'READDIR', Listed> = { run: list, result };
export const READDIRPLUS: Served<'READDIRPLUS', Listed> = { run: list, result };
