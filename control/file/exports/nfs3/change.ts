// Owns SETATTR and the procedures of NFS version 3 that make things: CREATE, MKDIR, SYMLINK, MKNOD (RFC 1813, section
// 3.3).

import type { Nfs3Result } from '../../codec/nfs3.ts';
import type { Sattr3 } from '../../codec/nfs3_attributes.ts';
import { CREATEMODE3, FTYPE3, NFSSTAT3, TIME_HOW } from '../../codec/nfs3_constants.ts';
import { EXACT_MAX, type Span } from '../../codec/xdr.ts';
import type {
  Answer,
  Changed,
  HowToCreate,
  Made,
  NewAttributes,
  Node,
  SetTime,
} from '../../filesystem/port.ts';
import { VERIFIER_BYTES } from '../../filesystem/port.ts';
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
  writableOf,
} from './served.ts';
import type { Refusal } from './statuses.ts';
import { wireChange, wireObject } from './wire_attributes.ts';

const S = NFSSTAT3;

/** Undefined: NFS3ERR_INVAL, no such time; or a size that this server has no number for. */
function newAttributes(sattr: Sattr3): NewAttributes | Refusal {
  if (!sattr.timesAreValid) return S.NFS3ERR_INVAL;
  if (sattr.setSize && sattr.size > EXACT_MAX) return S.NFS3ERR_FBIG;
  const accessed = newTime(sattr.atimeHow, sattr.atimeSeconds, sattr.atimeNanoseconds);
  const modified = newTime(sattr.mtimeHow, sattr.mtimeSeconds, sattr.mtimeNanoseconds);
  return {
    ...(sattr.setMode && { mode: sattr.mode & 0o7777 }),
    ...(sattr.setUid && { uid: sattr.uid }),
    ...(sattr.setGid && { gid: sattr.gid }),
    ...(sattr.setSize && { sizeBytes: BigInt(sattr.size) }),
    ...(accessed !== undefined && { accessed }),
    ...(modified !== undefined && { modified }),
  };
}

function newTime(how: number, seconds: number, nanoseconds: number): SetTime | undefined {
  if (how === TIME_HOW.DONT_CHANGE) return undefined;
  return how === TIME_HOW.SET_TO_SERVER_TIME ? 'now' : { seconds, nanoseconds };
}

export const SETATTR: Served<'SETATTR', Outcome<Changed>> = {
  run: ({ handle, attributes, guarded, guardSeconds, guardNanoseconds }, call) => {
    const place = writableOf(call, handle);
    if (typeof place === 'number') return place;
    const set = newAttributes(attributes);
    if (typeof set === 'number') return set;
    const { grant, file } = place;
    const guard = guarded ? { seconds: guardSeconds, nanoseconds: guardNanoseconds } : undefined;
    return grant.fs.setAttributes(grant.caller, file, set, guard);
  },
  result: (raw, call) => ({ status: statusIn(raw), wcc: wireChange(changeIn(raw), call.storageId) }),
};

/** Where something is to be made; what is wrong with it otherwise. */
function placeToMake(call: Call, directory: Span, name: Span): FilePlace | Refusal {
  const place = placeOf(call, directory);
  if (typeof place === 'number') return place;
  // Both names are always there.
  const bad = badNewName(call, name, S.NFS3ERR_EXIST);
  if (bad !== undefined) return bad;
  if (place.folder !== undefined) return refusedInFolder(call, place.folder, name, true);
  return place.grant.mayWrite ? place : S.NFS3ERR_ROFS;
}

/** What was made, with its handle as clients have it. */
type Making = { readonly outcome: Outcome<Changed<Made>>; readonly handle: Uint8Array | undefined };

function made(call: Call, { grant }: FilePlace, answer: Answer<Changed<Made>>): Answer<Making> {
  const settle = (outcome: Changed<Made>): Making => ({
    outcome,
    handle: outcome.ok ? call.exports.seal.file(grant.link.id, grant.storageId, outcome.handle) : undefined,
  });
  return answer instanceof Promise ? answer.then(settle) : settle(answer);
}

function refusal(outcome: Refusal): Making {
  return { outcome, handle: undefined };
}

function makingResult({ outcome, handle }: Making, call: Call): Nfs3Result<'CREATE'> {
  const wcc = wireChange(changeIn(outcome), call.storageId);
  if (typeof outcome !== 'number' && outcome.ok) {
    const attributes = wireObject(outcome.attributes, call.storageId);
    return { status: S.NFS3_OK, handle, attributes, wcc };
  }
  return { status: statusIn(outcome) as Refusal, wcc };
}

export const CREATE: Served<'CREATE', Making> = {
  run: (args, call) => {
    const place = placeToMake(call, args.directory, args.name);
    if (typeof place === 'number') return refusal(place);
    const { grant, file } = place;
    let how: HowToCreate;
    if (args.mode === CREATEMODE3.EXCLUSIVE) {
      const verifier = new Uint8Array(VERIFIER_BYTES);
      const view = new DataView(verifier.buffer);
      view.setUint32(0, args.verifierHigh);
      view.setUint32(4, args.verifierLow);
      how = { how: 'exclusive', verifier };
    } else {
      const attributes = newAttributes(args.attributes);
      if (typeof attributes === 'number') return refusal(attributes);
      how = { how: args.mode === CREATEMODE3.GUARDED ? 'guarded' : 'unchecked', attributes };
    }
    return made(call, place, grant.fs.create(grant.caller, file, nameOf(call, args.name), how));
  },
  result: makingResult,
};

export const MKDIR: Served<'MKDIR', Making> = {
  run: (args, call) => {
    const place = placeToMake(call, args.directory, args.name);
    if (typeof place === 'number') return refusal(place);
    const set = newAttributes(args.attributes);
    if (typeof set === 'number') return refusal(set);
    const { grant, file } = place;
    return made(call, place, grant.fs.makeDirectory(grant.caller, file, nameOf(call, args.name), set));
  },
  result: makingResult,
};

export const SYMLINK: Served<'SYMLINK', Making> = {
  run: (args, call) => {
    const place = placeToMake(call, args.directory, args.name);
    if (typeof place === 'number') return refusal(place);
    const set = newAttributes(args.attributes);
    if (typeof set === 'number') return refusal(set);
    const { grant, file } = place;
    const target = nameOf(call, args.path);
    return made(call, place, grant.fs.makeLink(grant.caller, file, nameOf(call, args.name), target, set));
  },
  result: makingResult,
};

export const MKNOD: Served<'MKNOD', Making> = {
  run: (args, call) => {
    const place = placeToMake(call, args.directory, args.name);
    if (typeof place === 'number') return refusal(place);
    const node = nodeOf(args.type, args.major, args.minor);
    if (node === undefined) return refusal(S.NFS3ERR_BADTYPE);
    const set = newAttributes(args.attributes);
    if (typeof set === 'number') return refusal(set);
    const { grant, file } = place;
    return made(call, place, grant.fs.makeNode(grant.caller, file, nameOf(call, args.name), node, set));
  },
  result: makingResult,
};

function nodeOf(type: number, major: number, minor: number): Node | undefined {
  if (type === FTYPE3.NF3FIFO) return { kind: 'fifo' };
  if (type === FTYPE3.NF3SOCK) return { kind: 'socket' };
  if (type === FTYPE3.NF3CHR) return { kind: 'character', device: { major, minor } };
  if (type === FTYPE3.NF3BLK) return { kind: 'block', device: { major, minor } };
  return undefined;
}
