// Owns the procedures of NFS version 3 that tell of a file system: FSSTAT, FSINFO, PATHCONF (RFC 1813, section 3.3).
import { FSF3, NAME_BYTES_MAX, NFSSTAT3, TRANSFER_BYTES_MAX } from '../../codec/nfs3_constants.ts';
import type { Span } from '../../codec/xdr.ts';
import { EXACT_MAX } from '../../codec/xdr.ts';
import type { Answer, Attributes, Done, Failed, SpaceState } from '../../filesystem/port.ts';
import type { Call } from '../call.ts';
import { folderAttributes } from '../folders.ts';
import { type Outcome, placeOf, type Served, statusIn } from './served.ts';
import type { Refusal } from './statuses.ts';
import { wireObject } from './wire_attributes.ts';

const S = NFSSTAT3;
/** Requests of whole pages are the cheapest. */
const MULTIPLE_BYTES = 4096;
const LISTING_BYTES_PREFERRED = 64 << 10;
/** Of ext4; others allow more. The storage says where it ends. */
const LINKS_MAX = 65_000;

const NO_SPACE: SpaceState = {
  totalBytes: 0n,
  freeBytes: 0n,
  availableBytes: 0n,
  totalFiles: 0n,
  freeFiles: 0n,
  nameBytesMax: NAME_BYTES_MAX,
  blockBytes: MULTIPLE_BYTES,
};

type Spaced = Done<{ space: SpaceState; attributes: Attributes }> | Failed;

function spaceOf({ handle }: { readonly handle: Span }, call: Call): Answer<Outcome<Spaced>> {
  const place = placeOf(call, handle);
  if (typeof place === 'number') return place;
  if (place.folder === undefined) return place.grant.fs.spaceOf(place.file);
  return { ok: true, space: NO_SPACE, attributes: folderAttributes(call.exports.view, place.folder) };
}

export const FSSTAT: Served<'FSSTAT', Outcome<Spaced>> = {
  run: spaceOf,
  result: (raw, call) => {
    if (typeof raw === 'number' || !raw.ok)
      return { status: statusIn(raw) as Refusal, attributes: undefined };
    const { totalBytes, freeBytes, availableBytes, totalFiles, freeFiles } = raw.space;
    return {
      status: S.NFS3_OK,
      attributes: wireObject(raw.attributes, call.storageId),
      totalBytes: Number(totalBytes),
      freeBytes: Number(freeBytes),
      availableBytes: Number(availableBytes),
      totalFiles: Number(totalFiles),
      freeFiles: Number(freeFiles),
      availableFiles: Number(freeFiles),
      invarsec: 0,
    };
  },
};

type Stated = Done<{ attributes: Attributes }> | Failed;

function attributesOf({ handle }: { readonly handle: Span }, call: Call): Answer<Outcome<Stated>> {
  const place = placeOf(call, handle);
  if (typeof place === 'number') return place;
  if (place.folder === undefined) return place.grant.fs.attributesOf(place.file);
  return { ok: true, attributes: folderAttributes(call.exports.view, place.folder) };
}

export const FSINFO: Served<'FSINFO', Outcome<Stated>> = {
  run: attributesOf,
  result: (raw, call) => {
    if (typeof raw === 'number' || !raw.ok)
      return { status: statusIn(raw) as Refusal, attributes: undefined };
    return {
      status: S.NFS3_OK,
      attributes: wireObject(raw.attributes, call.storageId),
      rtmax: TRANSFER_BYTES_MAX,
      rtpref: TRANSFER_BYTES_MAX,
      rtmult: MULTIPLE_BYTES,
      wtmax: TRANSFER_BYTES_MAX,
      wtpref: TRANSFER_BYTES_MAX,
      wtmult: MULTIPLE_BYTES,
      dtpref: LISTING_BYTES_PREFERRED,
      maxfilesize: EXACT_MAX,
      timeDeltaSeconds: 0,
      timeDeltaNanoseconds: 1,
      properties: FSF3.LINK | FSF3.SYMLINK | FSF3.HOMOGENEOUS | FSF3.CANSETTIME,
    };
  },
};

export const PATHCONF: Served<'PATHCONF', Outcome<Stated>> = {
  run: attributesOf,
  result: (raw, call) => {
    if (typeof raw === 'number' || !raw.ok)
      return { status: statusIn(raw) as Refusal, attributes: undefined };
    return {
      status: S.NFS3_OK,
      attributes: wireObject(raw.attributes, call.storageId),
      linkmax: LINKS_MAX,
      nameMax: NAME_BYTES_MAX,
      noTrunc: true,
      chownRestricted: true,
      caseInsensitive: false,
      casePreserving: true,
    };
  },
};
