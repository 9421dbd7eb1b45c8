// Owns EXTENDED COPY(LID1) and what RECEIVE COPY RESULTS tells of it (SPC-4 sections 6.4 and 6.20): copies within this unit,
// and between it and others that the unit is told of.
import type { Image } from '../../image/image.ts';
import { lengthOf } from '../codec/commands.ts';
import { type AdditionalSense, ASC, SENSE_KEY } from '../codec/constants.ts';
import {
  COPY_LIST_BYTES_MAX,
  COPY_STATUS,
  type CopyRequest,
  type CopySegment,
  decodeCopyRequest,
  encodeCopyOperatingParameters,
  encodeCopyStatus,
  LIST_ID_DISCARD,
} from '../codec/copy.ts';
import { PIECE_BYTES } from './medium.ts';
import {
  failed,
  GOOD,
  illegal,
  invalidInCdb,
  listed,
  type Outcome,
  taken,
  WRONG_LIST_LENGTH,
} from './outcome.ts';
import type { Span, Task } from './task_set.ts';
import type { CopyEnd, NexusState, Unit } from './unit.ts';

/** Copies that a nexus may ask about afterwards; the oldest goes first. */
export const COPIES_KEPT_MAX = 16;
const CONCURRENT_COPIES_MAX = 16;

const copyAborted = (code: AdditionalSense): Outcome => failed({ key: SENSE_KEY.COPY_ABORTED, code });

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function isThisUnit(unit: Unit, designator: Uint8Array): boolean {
  return sameBytes(designator, unit.parts.identity.naa);
}

/** What of this unit a copy reads and writes. Nothing where the list is refused anyhow. */
export function copySpans(unit: Unit, list: Uint8Array): readonly Span[] {
  const decoded = decodeCopyRequest(list);
  if (!decoded.ok) return [];
  const { targets, segments } = decoded.request;
  return segments.flatMap((segment) => {
    const bytes = segment.bytes ?? 0;
    const span = (target: number, lba: number, byteOffset: number, writes: boolean): Span[] => {
      const { designator } = targets[target] ?? {};
      if (designator === undefined || !isThisUnit(unit, designator)) return [];
      const to = lba + Math.ceil((byteOffset + bytes) / unit.blockBytes);
      return [{ of: 'medium', from: lba, to, writes }];
    };
    return [
      ...span(segment.source, segment.sourceLba, segment.sourceByteOffset, false),
      ...span(segment.destination, segment.destinationLba, segment.destinationByteOffset, true),
    ];
  });
}

export async function extendedCopy(unit: Unit, task: Task, nexus: NexusState): Promise<Outcome> {
  const { cdb, dataOut } = task.command;
  const length = lengthOf(task.form, cdb);
  if (length === 0) return GOOD;
  const list = dataOut.subarray(0, length);
  if (dataOut.length < length) return WRONG_LIST_LENGTH;
  const decoded = decodeCopyRequest(list.subarray(0, COPY_LIST_BYTES_MAX + 1));
  if (!decoded.ok) {
    if (decoded.byte === undefined) return illegal(decoded.code);
    return illegal(decoded.code, { inCdb: false, byte: decoded.byte });
  }
  const { request } = decoded;
  const record = { status: COPY_STATUS.IN_PROGRESS as number, segments: 0, bytes: 0 };
  if (request.listIdUsage < LIST_ID_DISCARD) keep(nexus, request.listId, record);
  record.status = COPY_STATUS.FAILED;
  const outcome = await copyAll(unit, task, nexus, request, record);
  if (outcome !== undefined) return outcome;
  record.status = COPY_STATUS.COMPLETED;
  return taken(length);
}

function keep(
  { copies }: NexusState,
  listId: number,
  record: { status: number; segments: number; bytes: number },
): void {
  copies.delete(listId);
  if (copies.size >= COPIES_KEPT_MAX) {
    const [oldest] = copies.keys();
    if (oldest !== undefined) copies.delete(oldest);
  }
  copies.set(listId, record);
}

async function copyAll(
  unit: Unit,
  task: Task,
  nexus: NexusState,
  { targets, segments }: CopyRequest,
  record: { segments: number; bytes: number },
): Promise<Outcome | undefined> {
  const ends = targets.map(({ designator }) => {
    if (isThisUnit(unit, designator)) return { image: unit.image, writable: !unit.isWriteProtected };
    return unit.parts.copyEnd?.(designator, nexus.nexus);
  });
  for (const segment of segments) {
    const source = ends[segment.source];
    const destination = ends[segment.destination];
    if (source === undefined || destination === undefined) return copyAborted(ASC.UNREACHABLE_COPY_TARGET);
    const refused = segmentRefusal(segment, source, destination);
    if (refused !== undefined) return refused;
    const from = segment.sourceLba * source.image.logicalBlockBytes + segment.sourceByteOffset;
    const to = segment.destinationLba * destination.image.logicalBlockBytes + segment.destinationByteOffset;
    const bytes = lengthOfSegment(segment, source);
    const done = await copyBytes(source.image, from, destination.image, to, bytes, () => task.aborted);
    record.bytes += done;
    if (done < bytes) return undefined;
    record.segments += 1;
  }
  return undefined;
}

function lengthOfSegment(segment: CopySegment, source: CopyEnd): number {
  return segment.bytes ?? (segment.blocks ?? 0) * source.image.logicalBlockBytes;
}

/** Only whole blocks on both sides: a copy that begins within one would have to merge. */
function segmentRefusal(segment: CopySegment, source: CopyEnd, destination: CopyEnd): Outcome | undefined {
  const bytes = lengthOfSegment(segment, source);
  const sides = [
    { image: source.image, lba: segment.sourceLba, byteOffset: segment.sourceByteOffset },
    { image: destination.image, lba: segment.destinationLba, byteOffset: segment.destinationByteOffset },
  ];
  for (const { image, lba, byteOffset } of sides) {
    const block = image.logicalBlockBytes;
    if (byteOffset % block !== 0 || bytes % block !== 0) return copyAborted(ASC.NO_ADDITIONAL_SENSE);
    if (lba * block + byteOffset + bytes > image.sizeBytes) return copyAborted(ASC.NO_ADDITIONAL_SENSE);
  }
  return destination.writable
    ? undefined
    : failed({ key: SENSE_KEY.DATA_PROTECT, code: ASC.WRITE_PROTECTED });
}

/** In pieces; from the end where the two overlap and the destination lies behind, so that nothing is read after it was written. */
async function copyBytes(
  source: Image,
  from: number,
  destination: Image,
  to: number,
  bytes: number,
  isEnough: () => boolean,
): Promise<number> {
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, bytes));
  const backwards = source === destination && to > from && to < from + bytes;
  let done = 0;
  while (done < bytes && !isEnough()) {
    const piece = buffer.subarray(0, Math.min(buffer.length, bytes - done));
    const at = backwards ? bytes - done - piece.length : done;
    await source.read(from + at, piece);
    await destination.write(to + at, piece, { fua: false });
    done += piece.length;
  }
  return done;
}

export function receiveCopyStatus(_unit: Unit, task: Task, nexus: NexusState): Outcome {
  const { cdb } = task.command;
  const record = nexus.copies.get(cdb[2] ?? 0);
  if (record === undefined) return invalidInCdb(2);
  const data = encodeCopyStatus(record.status, record.segments, record.bytes);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

export function receiveCopyOperatingParameters(_unit: Unit, task: Task): Outcome {
  const data = encodeCopyOperatingParameters(CONCURRENT_COPIES_MAX);
  return listed(data, lengthOf(task.form, task.command.cdb), task.command);
}
