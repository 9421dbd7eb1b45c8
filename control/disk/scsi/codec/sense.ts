// Owns sense data: fixed and descriptor format (SPC-4 section 4.5). Decides nothing about when which sense is due.
import { field, setField } from './bytes.ts';
import { type AdditionalSense, SENSE_KEY, type SenseKey } from './constants.ts';

/** Where in the CDB or the parameter list the field is that was refused. */
export interface FieldPointer {
  readonly inCdb: boolean;
  readonly byte: number;
  /** Of the leftmost bit of the field; the whole byte without it. */
  readonly bit?: number;
}

export interface Sense {
  readonly key: SenseKey;
  /** 0xASCQ. */
  readonly code: AdditionalSense;
  readonly information?: number;
  readonly pointer?: FieldPointer;
  /** Of 65,536, with NOT READY and NO SENSE. */
  readonly progress?: number;
}

export const SENSE_FORMAT = { FIXED: 0x70, DESCRIPTOR: 0x72 } as const;
const FIXED_BYTES = 18;
const SKSV = 0x80;
const INFORMATION_FIXED_MAX = 0xffff_ffff;

export function encodeSense(sense: Sense, descriptorFormat: boolean): Uint8Array {
  return descriptorFormat ? encodeDescriptors(sense) : encodeFixed(sense);
}

/** SPC-4 section 4.5.3. INFORMATION that does not fit is left out, with VALID zero. */
function encodeFixed(sense: Sense): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES);
  bytes[0] = SENSE_FORMAT.FIXED;
  if (sense.information !== undefined && sense.information <= INFORMATION_FIXED_MAX) {
    bytes[0] |= 0x80;
    setField(bytes, 3, 4, sense.information);
  }
  bytes[2] = sense.key;
  bytes[7] = FIXED_BYTES - 8;
  setField(bytes, 12, 2, sense.code);
  const specific = keySpecific(sense);
  if (specific !== undefined) bytes.set(specific, 15);
  return bytes;
}

/** SPC-4 section 4.5.2: the information descriptor (type 00h) and the sense key specific one (type 02h). */
function encodeDescriptors(sense: Sense): Uint8Array {
  const specific = keySpecific(sense);
  const length = (sense.information === undefined ? 0 : 12) + (specific === undefined ? 0 : 8);
  const bytes = new Uint8Array(8 + length);
  bytes[0] = SENSE_FORMAT.DESCRIPTOR;
  bytes[1] = sense.key;
  setField(bytes, 2, 2, sense.code);
  bytes[7] = length;
  let at = 8;
  if (sense.information !== undefined) {
    bytes.set([0x00, 0x0a, 0x80, 0x00], at);
    setField(bytes, at + 4, 8, sense.information);
    at += 12;
  }
  if (specific !== undefined) {
    bytes.set([0x02, 0x06], at);
    bytes.set(specific, at + 4);
  }
  return bytes;
}

/** SPC-4 section 4.5.2.4. */
function keySpecific(sense: Sense): readonly number[] | undefined {
  if (sense.pointer !== undefined) {
    const { inCdb, byte, bit } = sense.pointer;
    const flags = SKSV | (inCdb ? 0x40 : 0) | (bit === undefined ? 0 : 0x08 | bit);
    return [flags, byte >> 8, byte & 0xff];
  }
  if (sense.progress !== undefined) {
    const progress = Math.min(0xffff, Math.max(0, Math.floor(sense.progress)));
    return [SKSV, progress >> 8, progress & 0xff];
  }
  return undefined;
}

/** For those who judge sense data: parsers, logs, tests. Nothing for what is no sense data. */
export function decodeSense(bytes: Uint8Array): Sense | undefined {
  const format = (bytes[0] ?? 0) & 0x7f;
  if (format === SENSE_FORMAT.FIXED && bytes.length >= 14) {
    const information = ((bytes[0] ?? 0) & 0x80) === 0 ? undefined : field(bytes, 3, 4);
    return decoded((bytes[2] ?? 0) & 0x0f, field(bytes, 12, 2), information, bytes.subarray(15, 18));
  }
  if (format !== SENSE_FORMAT.DESCRIPTOR || bytes.length < 8) return undefined;
  let information: number | undefined;
  let specific = new Uint8Array(0);
  for (let at = 8; at + 2 <= bytes.length; at += 2 + (bytes[at + 1] ?? 0)) {
    if (bytes[at] === 0x00 && at + 12 <= bytes.length) information = field(bytes, at + 4, 8);
    if (bytes[at] === 0x02 && at + 8 <= bytes.length) specific = bytes.slice(at + 4, at + 7);
  }
  return decoded((bytes[1] ?? 0) & 0x0f, field(bytes, 2, 2), information, specific);
}

function decoded(key: number, code: number, information: number | undefined, specific: Uint8Array): Sense {
  const flags = specific[0] ?? 0;
  const value = field(specific, 1, 2);
  const isPointer = (flags & SKSV) !== 0 && key === SENSE_KEY.ILLEGAL_REQUEST;
  const isProgress = (flags & SKSV) !== 0 && (key === SENSE_KEY.NOT_READY || key === SENSE_KEY.NO_SENSE);
  return {
    key: key as SenseKey,
    code: code as AdditionalSense,
    ...(information === undefined ? {} : { information }),
    ...(isPointer
      ? {
          pointer: {
            inCdb: (flags & 0x40) !== 0,
            byte: value,
            ...((flags & 0x08) === 0 ? {} : { bit: flags & 0x07 }),
          },
        }
      : {}),
    ...(isProgress ? { progress: value } : {}),
  };
}
