// Owns the layout of EXTENDED COPY(LID1), RECEIVE COPY RESULTS and the third-party copy page (SPC-4 sections 6.4, 6.20 and
// 7.8.17): descriptors of copy targets and of segments from block device to block device. Copies nothing.
import { field, joined, NO_BYTES, setField } from './bytes.ts';
import { type AdditionalSense, ASC } from './constants.ts';

export const COPY_TARGETS_MAX = 16;
export const COPY_SEGMENTS_MAX = 256;
const TARGET_BYTES = 32;
const HEAD_BYTES = 16;
const SEGMENT = { BLOCK_TO_BLOCK: 0x02, BLOCK_TO_BLOCK_OFFSET: 0x0a } as const;
const SEGMENT_BYTES = { [SEGMENT.BLOCK_TO_BLOCK]: 28, [SEGMENT.BLOCK_TO_BLOCK_OFFSET]: 32 } as const;
const IDENTIFICATION_TARGET = 0xe4;
/** Both lists together. */
const LISTS_BYTES_MAX = COPY_TARGETS_MAX * TARGET_BYTES + COPY_SEGMENTS_MAX * 28;
export const COPY_LIST_BYTES_MAX = HEAD_BYTES + LISTS_BYTES_MAX;
/** One segment. */
export const COPY_SEGMENT_BYTES_MAX = 256 * 1024 * 1024;
/** As VMware asks for it: copies are best cut in multiples of this. */
const DATA_SEGMENT_GRANULARITY_LOG2 = 16;

/** LIST ID USAGE (SPC-4 table 113). */
export const LIST_ID_DISCARD = 2;

export interface CopyTarget {
  readonly designator: Uint8Array;
  readonly blockBytes: number;
}

export interface CopySegment {
  /** Into the list of targets; it may point past its end. */
  readonly source: number;
  readonly destination: number;
  readonly sourceLba: number;
  readonly destinationLba: number;
  /** What to copy: in blocks of the source, or (0Ah) in bytes. */
  readonly blocks: number | undefined;
  readonly bytes: number | undefined;
  readonly sourceByteOffset: number;
  readonly destinationByteOffset: number;
}

export interface CopyRequest {
  readonly listId: number;
  readonly listIdUsage: number;
  readonly targets: readonly CopyTarget[];
  readonly segments: readonly CopySegment[];
}

export type CopyDecoded =
  | { readonly ok: true; readonly request: CopyRequest }
  | { readonly ok: false; readonly code: AdditionalSense; readonly byte?: number };

const refused = (code: AdditionalSense, byte?: number): CopyDecoded =>
  byte === undefined ? { ok: false, code } : { ok: false, code, byte };

export function decodeCopyRequest(list: Uint8Array): CopyDecoded {
  if (list.length < HEAD_BYTES) return refused(ASC.PARAMETER_LIST_LENGTH_ERROR);
  const targetsBytes = field(list, 2, 2);
  const segmentsBytes = field(list, 8, 4);
  const inlineBytes = field(list, 12, 4);
  if (inlineBytes !== 0) return refused(ASC.INLINE_DATA_LENGTH_EXCEEDED, 12);
  if (targetsBytes + segmentsBytes > LISTS_BYTES_MAX) return refused(ASC.PARAMETER_LIST_LENGTH_ERROR);
  if (HEAD_BYTES + targetsBytes + segmentsBytes > list.length)
    return refused(ASC.PARAMETER_LIST_LENGTH_ERROR);
  if (targetsBytes % TARGET_BYTES !== 0) return refused(ASC.PARAMETER_LIST_LENGTH_ERROR);
  if (targetsBytes / TARGET_BYTES > COPY_TARGETS_MAX) return refused(ASC.TOO_MANY_TARGET_DESCRIPTORS, 2);

  const targets: CopyTarget[] = [];
  for (let at = HEAD_BYTES; at < HEAD_BYTES + targetsBytes; at += TARGET_BYTES) {
    if (list[at] !== IDENTIFICATION_TARGET) return refused(ASC.UNSUPPORTED_TARGET_DESCRIPTOR_TYPE, at);
    const length = list[at + 7] ?? 0;
    if (length > 20) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, at + 7);
    targets.push({
      designator: list.slice(at + 8, at + 8 + length),
      blockBytes: field(list, at + 29, 3),
    });
  }

  const segments: CopySegment[] = [];
  const end = HEAD_BYTES + targetsBytes + segmentsBytes;
  for (let at = HEAD_BYTES + targetsBytes; at < end; ) {
    const type = list[at] ?? 0;
    if (type !== SEGMENT.BLOCK_TO_BLOCK && type !== SEGMENT.BLOCK_TO_BLOCK_OFFSET)
      return refused(ASC.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE, at);
    const size = SEGMENT_BYTES[type];
    if (at + size > end) return refused(ASC.PARAMETER_LIST_LENGTH_ERROR);
    if (field(list, at + 2, 2) !== size - 4) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, at + 2);
    if (segments.length === COPY_SEGMENTS_MAX) return refused(ASC.TOO_MANY_SEGMENT_DESCRIPTORS, 8);
    const segment = decodeSegment(list, at, type, targets);
    if (typeof segment === 'number') return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, segment);
    segments.push(segment);
    at += size;
  }
  return {
    ok: true,
    request: { listId: list[0] ?? 0, listIdUsage: ((list[1] ?? 0) >> 3) & 3, targets, segments },
  };
}

/** A segment, or the byte that is wrong. The DC bit says whose blocks the length of type 02h counts. */
function decodeSegment(
  list: Uint8Array,
  at: number,
  type: number,
  targets: readonly CopyTarget[],
): CopySegment | number {
  const source = field(list, at + 4, 2);
  const destination = field(list, at + 6, 2);
  const places = { sourceLba: field(list, at + 12, 8), destinationLba: field(list, at + 20, 8) };
  if (type === SEGMENT.BLOCK_TO_BLOCK_OFFSET) {
    const bytes = field(list, at + 8, 4);
    if (bytes > COPY_SEGMENT_BYTES_MAX) return at + 8;
    return {
      source,
      destination,
      ...places,
      blocks: undefined,
      bytes,
      sourceByteOffset: field(list, at + 28, 2),
      destinationByteOffset: field(list, at + 30, 2),
    };
  }
  const blocks = field(list, at + 10, 2);
  const ofDestination = ((list[at + 1] ?? 0) & 0x02) !== 0;
  const blockBytes = targets[ofDestination ? destination : source]?.blockBytes ?? 0;
  if (blocks * blockBytes > COPY_SEGMENT_BYTES_MAX) return at + 10;
  return {
    source,
    destination,
    ...places,
    blocks,
    bytes: blocks * blockBytes,
    sourceByteOffset: 0,
    destinationByteOffset: 0,
  };
}

export const COPY_STATUS = { IN_PROGRESS: 0x00, COMPLETED: 0x01, FAILED: 0x02 } as const;

/** SPC-4 section 6.20.2; the count is in blocks' bytes, TRANSFER COUNT UNITS zero. */
export function encodeCopyStatus(status: number, segmentsDone: number, bytesDone: number): Uint8Array {
  const bytes = new Uint8Array(12);
  setField(bytes, 0, 4, 8);
  bytes[4] = 0x80 | status; // HDD: nothing is held for the application client
  setField(bytes, 5, 2, segmentsDone);
  bytes[7] = bytesDone > 0xffff_ffff ? 0x01 : 0x00; // bytes, or KiB where bytes do not fit
  setField(bytes, 8, 4, bytesDone > 0xffff_ffff ? Math.floor(bytesDone / 1024) : bytesDone);
  return bytes;
}

/** SPC-4 section 6.20.4. */
export function encodeCopyOperatingParameters(concurrentMax: number): Uint8Array {
  const types = [SEGMENT.BLOCK_TO_BLOCK, SEGMENT.BLOCK_TO_BLOCK_OFFSET, IDENTIFICATION_TARGET];
  const bytes = new Uint8Array(44 + types.length);
  setField(bytes, 0, 4, bytes.length - 4);
  bytes[4] = 0x01; // SNLID: LIST ID USAGE 11b is not needed
  setField(bytes, 8, 2, COPY_TARGETS_MAX);
  setField(bytes, 10, 2, COPY_SEGMENTS_MAX);
  setField(bytes, 12, 4, LISTS_BYTES_MAX);
  setField(bytes, 16, 4, COPY_SEGMENT_BYTES_MAX);
  setField(bytes, 34, 2, concurrentMax);
  bytes[36] = Math.min(0xff, concurrentMax);
  bytes[37] = DATA_SEGMENT_GRANULARITY_LOG2;
  bytes[43] = types.length;
  bytes.set(types, 44);
  return bytes;
}

/** Page 8Fh: supported commands, parameter data, supported descriptors, list identifiers, general operations. */
export function encodeThirdPartyCopy(): Uint8Array {
  const commands = Uint8Array.of(
    0, // COMMANDS SUPPORTED LIST LENGTH, below
    ...[0x83, 1, 0x00],
    ...[0x84, 2, 0x00, 0x03],
  );
  commands[0] = commands.length - 1;
  const parameters = new Uint8Array(28);
  setField(parameters, 4, 2, COPY_TARGETS_MAX);
  setField(parameters, 6, 2, COPY_SEGMENTS_MAX);
  setField(parameters, 8, 4, LISTS_BYTES_MAX);
  const types = [SEGMENT.BLOCK_TO_BLOCK, SEGMENT.BLOCK_TO_BLOCK_OFFSET, IDENTIFICATION_TARGET];
  const listIds = Uint8Array.of(0, 1);
  const general = new Uint8Array(32);
  setField(general, 0, 4, 16);
  setField(general, 4, 4, 1);
  setField(general, 8, 4, COPY_SEGMENT_BYTES_MAX);
  general[12] = DATA_SEGMENT_GRANULARITY_LOG2;
  return joined(
    descriptor(0x0001, commands),
    descriptor(0x0004, parameters),
    descriptor(0x0008, Uint8Array.of(types.length, ...types)),
    descriptor(0x000c, listIds),
    descriptor(0x8001, general),
  );
}

/** Filled to four bytes (SPC-4 section 7.8.17.2). */
function descriptor(type: number, value: Uint8Array): Uint8Array {
  const head = new Uint8Array(4);
  const size = (value.length + 3) & ~3;
  setField(head, 0, 2, type);
  setField(head, 2, 2, size);
  return joined(head, value, size === value.length ? NO_BYTES : new Uint8Array(size - value.length));
}
