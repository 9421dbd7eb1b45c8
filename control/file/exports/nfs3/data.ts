// Owns the procedures of NFS version 3 that move data: READ, WRITE, COMMIT (RFC 1813, section 3.3).
import { NFSSTAT3, STABLE_HOW, TRANSFER_BYTES_MAX } from '../../codec/nfs3_constants.ts';
import { readDataOffset } from '../../codec/nfs3_results.ts';
import { EXACT_MAX } from '../../codec/xdr.ts';
import type { Answer, Attributes, Changed, Done, Failed, Stability } from '../../filesystem/port.ts';
import type { Call } from '../call.ts';
import {
  changeIn,
  type FilePlace,
  fileOf,
  type Outcome,
  type Served,
  statusIn,
  writableOf,
} from './served.ts';
import type { Refusal } from './statuses.ts';
import { wireChange, wireObject } from './wire_attributes.ts';

const S = NFSSTAT3;
/** Where no file of any storage has bytes. */
const BEHIND_ALL = 2n ** 63n - 1n;

type WasRead = Done<{ readBytes: number; atEnd: boolean; attributes: Attributes }> | Failed;
type Reading = { readonly outcome: Outcome<WasRead>; readonly data: Uint8Array };

const NO_DATA = new Uint8Array(0);

export const READ: Served<'READ', Reading> = {
  run: ({ handle, offset, count }, call) => {
    const place = fileOf(call, handle, S.NFS3ERR_ISDIR);
    if (typeof place === 'number') return { outcome: place, data: NO_DATA };
    const { grant, file } = place;
    const bytes = Math.min(count, TRANSFER_BYTES_MAX);
    const data = call.exports.buffers.take(bytes);
    const from = offset > EXACT_MAX ? BEHIND_ALL : BigInt(offset);
    const outcome = grant.fs.read(grant.caller, file, from, data.subarray(0, bytes));
    if (outcome instanceof Promise) return outcome.then((one) => ({ outcome: one, data }));
    return { outcome, data };
  },
  result: ({ outcome, data }, call, writer) => {
    if (typeof outcome !== 'number' && outcome.ok) {
      const { readBytes, atEnd, attributes } = outcome;
      writer.bytes.set(data.subarray(0, readBytes), readDataOffset(writer));
      call.exports.buffers.give(data);
      return {
        status: S.NFS3_OK,
        attributes: wireObject(attributes, call.storageId),
        count: readBytes,
        eof: atEnd,
      };
    }
    // A storage that is late may still write there.
    if (typeof outcome !== 'number' && outcome.errno !== 'EBUSYNOW') call.exports.buffers.give(data);
    return { status: statusIn(outcome) as Refusal, attributes: undefined };
  },
};

const STABILITIES: Readonly<Record<number, Stability>> = {
  [STABLE_HOW.UNSTABLE]: 'unstable',
  [STABLE_HOW.DATA_SYNC]: 'data',
  [STABLE_HOW.FILE_SYNC]: 'all',
};

type Written = Changed<{ writtenBytes: number }>;
type Writing = {
  readonly outcome: Outcome<Written>;
  readonly stable: number;
  /** As it was when the write began: what was lost meanwhile may have been this. */
  readonly verifier: Uint8Array;
};

export const WRITE: Served<'WRITE', Writing> = {
  run: ({ handle, offset, stable, data }, call) => {
    const refuse = (outcome: Refusal): Writing => ({ outcome, stable, verifier: NO_DATA });
    const place = writableOf(call, handle);
    if (typeof place === 'number') return refuse(place);
    if (offset + data.length > EXACT_MAX) return refuse(S.NFS3ERR_FBIG);
    const { grant, file } = place;
    // The client was told of the limit; the rest it sends again.
    const bytes = Math.min(data.length, TRANSFER_BYTES_MAX);
    const buffer = call.exports.buffers.take(bytes);
    const start = data.offset;
    buffer.set(call.request.bytes.subarray(start, start + bytes));
    const verifier = call.exports.verifiers.of(grant.storage);
    const stability = STABILITIES[stable]!;
    const settle = (outcome: Written): Answer<Writing> => {
      if (outcome.ok || outcome.errno !== 'EBUSYNOW') call.exports.buffers.give(buffer);
      return { outcome, stable, verifier };
    };
    const written = (): Answer<Written> =>
      grant.fs.write(grant.caller, file, BigInt(offset), buffer.subarray(0, bytes), stability);
    if (stability !== 'unstable') return synced(call, place, written).then(settle);
    const outcome = written();
    return outcome instanceof Promise ? outcome.then(settle) : settle(outcome);
  },
  result: ({ outcome, stable, verifier }, call) => {
    const wcc = wireChange(changeIn(outcome), call.storageId);
    if (typeof outcome !== 'number' && outcome.ok)
      return { status: S.NFS3_OK, wcc, count: outcome.writtenBytes, committed: stable, verifier };
    return { status: statusIn(outcome) as Refusal, wcc };
  },
};

type Committed = { readonly outcome: Outcome<Changed>; readonly verifier: Uint8Array };

export const COMMIT: Served<'COMMIT', Committed> = {
  run: ({ handle }, call) => {
    const place = writableOf(call, handle);
    if (typeof place === 'number') return { outcome: place, verifier: NO_DATA };
    const { grant, file } = place;
    const { verifiers, syncs } = call.exports;
    // Whatever was lost until now: the client compares.
    return syncs
      .run(grant.storage, file, () => grant.fs.commit(grant.caller, file))
      .then(({ answer }) => ({ outcome: answer, verifier: verifiers.of(grant.storage) }));
  },
  result: ({ outcome, verifier }, call) => {
    const wcc = wireChange(changeIn(outcome), call.storageId);
    if (typeof outcome !== 'number' && outcome.ok) return { status: S.NFS3_OK, wcc, verifier };
    return { status: statusIn(outcome) as Refusal, wcc };
  },
};

/** A write that is to be on stable storage is not acknowledged when data of the storage was lost meanwhile. */
async function synced(
  call: Call,
  { grant, file }: FilePlace,
  write: () => Answer<Written>,
): Promise<Written> {
  const { answer, isLost } = await call.exports.syncs.run(grant.storage, file, write);
  return answer.ok && isLost ? { ok: false, errno: 'EIO', change: answer.change } : answer;
}
